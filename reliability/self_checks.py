"""What a simulation must pass before its numbers are told: an ideal chip is exact, and a swept field acts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from reliability.chip import Chip, LayerChip
from reliability.crossbar import mapped_network
from reliability.effects import effect_names, resolved
from reliability.errors import RunError
from reliability.logits import chip_logits
from reliability.simulation import Simulation

# Rounding of float32 products allows this much; more is a wrong mapping, not arithmetic.
_IDEAL_TOLERANCE = 1e-5
# Inputs on which the kernels are compared with plain NumPy.
_COMPARED = 64


def check_ideal(simulation: Simulation) -> None:
    """Compare the chips of a sweep, without effects, with the digital network.

    Raises
    ------
    RunError
        If the largest difference of logits exceeds 1e-5 of the largest logit; names the layer.
    """
    x, y = simulation.inputs[:_COMPARED], simulation.labels[:_COMPARED]
    checked: list[Chip] = []
    for group in simulation.sweep.groups:
        chip = group.chip.without_effects().with_tiles(lambda tile: replace(tile, dac=None, adc=None))
        if chip in checked:
            # Groups that differ in their devices only are one and the same ideal chip.
            continue
        checked.append(chip)
        if _difference(simulation, chip, x, y) > _IDEAL_TOLERANCE:
            _blame_layer(simulation, chip, x, y)


def _blame_layer(simulation: Simulation, chip: Chip, x: np.ndarray, y: np.ndarray) -> None:
    nodes = [node.name for node in simulation.network.weighted]
    worst, difference = "", 0.0
    for position, name in enumerate(nodes):
        own = chip.layer(name, position, len(nodes))
        alone = replace(chip, layers={"*": LayerChip(analog=False), name: own})
        found = _difference(simulation, alone, x, y)
        if found >= difference:
            worst, difference = name, found
    raise RunError(
        f"layer {worst!r}: without any effect the chip's logits differ from the digital "
        f"network's by {difference:.1e} of the largest logit; at most {_IDEAL_TOLERANCE:g} is rounding"
    )


def _difference(simulation: Simulation, chip: Chip, x: np.ndarray, y: np.ndarray) -> float:
    """Largest difference of a chip's logits from those of the weights that it maps, of the largest logit."""
    digital = mapped_network(simulation.network, chip).forward(x)
    logits = chip_logits(simulation.network, chip, x, y)
    return float(np.abs(logits - digital).max() / max(np.abs(digital).max(), 1e-30))


def check_effects(simulation: Simulation, trials: pd.DataFrame) -> None:
    """Refuse a sweep whose values change nothing.

    Raises
    ------
    RunError
        If for a varied field all logits are identical under all its values.
    """
    fields = simulation.sweep.fields
    for field in fields:
        others = [f for f in fields if f != field]
        if trials[field].nunique() < 2:
            continue
        groups = trials.groupby([*others, "chip"], sort=False, observed=True)["checksum"]
        if (groups.nunique() == 1).all():
            values = ", ".join(str(v) for v in trials[field].unique())
            names = ", ".join(effect_names(resolved(simulation.chip))) or "none"
            raise RunError(
                f"sweeping {field} over {values} changed no logit of any chip; the chip's effects are "
                f"{names}, its devices {simulation.chip.device.describe()}: this field has no effect here"
            )
