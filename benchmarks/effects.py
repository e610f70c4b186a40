"""What each effect of a chip costs in time: ResNet-20 with all effects, with each alone and without any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tables import print_table
from timing import alternate, medians
from workloads import w3

import reliability as rl
from reliability.effects import choices
from reliability.simulation import Simulation

CHIP = rl.Chip(
    device=rl.devices.pcm(),
    tile=rl.Tile(rows=128, columns=128, dac=rl.DAC(bits=8), adc=rl.ADC(bits=8), wires=rl.Wires(word_ohm=1.0)),
    telegraph=rl.Telegraph(amplitude=0.1, correlation_s=1.0, read_interval_s=1e-6),
    faults=rl.stuck_cells(),
    variation=rl.Variation(die=0.02, tile=0.02, field=0.02),
)
"""PCM in 128 x 128 tiles with 8-bit converters, wires, stuck cells, slow traps and correlated variation."""

INPUTS = 500
CHIPS = 2


def report(rounds: int, cores: int) -> None:
    """Time of one chip with each choice of effects, over that without any."""
    workload = w3(inputs=INPUTS)
    calibration = np.random.default_rng(1).standard_normal((64, 3, 32, 32)).astype(np.float32)
    chosen = [choice for choice in choices(CHIP) if not choice.startswith("all but")]
    contenders = {}
    for choice in chosen:
        simulation = Simulation(
            workload.network,
            (workload.x, workload.labels),
            replace(CHIP, effects=choice, calibration_inputs=64),
            time_s=rl.DAY,
            threads=cores,
            calibration=calibration,
        )
        simulation.ranges(simulation.sweep.groups[0].chip)
        contenders[choice, cores] = (lambda s=simulation: s.block(0, 0, CHIPS), CHIPS)
    seconds = medians(alternate(contenders, rounds))
    clean = seconds["none", cores]
    print(f"\n## Effects: ResNet-20, {INPUTS} images, {cores} threads\n")
    print_table(
        ["effects", "s a chip", "of the effect-free chip"],
        [(choice, seconds[choice, cores], seconds[choice, cores] / clean) for choice in chosen],
    )
