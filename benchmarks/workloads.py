"""The reference workloads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

import reliability as rl
from reliability.layers import (
    Add,
    BatchNorm,
    Conv2d,
    GlobalAveragePool,
    Layer,
    Linear,
    PadChannels,
    ReLU,
    Subsample,
)
from reliability.network import Network, Node, mlp
from reliability.simulation import Simulation
from reliability.trials import trials_table

TIMES = [0.0, rl.HOUR, rl.DAY, rl.MONTH, rl.YEAR]
ARITHMETIC = {"ours (float32)": "float32", "ours (shared int8 first layer)": "auto"}
"""What the tables call the ways to compute the first layer, and how they are asked for."""


@dataclass(frozen=True)
class Workload:
    """One trial's work, and how to simulate many of them.

    Labels are the digital network's own classes, so that accuracy is agreement with it.
    """

    weights: list[np.ndarray]
    x: np.ndarray
    labels: np.ndarray
    network: Network
    chip: rl.Chip
    vary: dict[str, list] = field(default_factory=dict)
    times: int = 1
    calibration: np.ndarray | None = None

    @property
    def flops(self) -> float:
        """Floating-point operations of one trial's products."""
        return 2.0 * len(self.x) * self.network.products_per_input

    def simulation(self, threads: int, arithmetic: str = "auto") -> Simulation:
        """The sweep, ready to run; ``arithmetic`` is that of the first layer."""
        return Simulation(
            self.network,
            (self.x, self.labels),
            self.chip,
            self.vary,
            threads=threads,
            arithmetic=arithmetic,
            calibration=self.calibration,
        )

    def engines(self, threads: int) -> dict[str, Simulation]:
        """The sweep by each way to compute the first layer that this machine and workload allow."""
        ready = {name: self.simulation(threads, way) for name, way in ARITHMETIC.items()}
        return {
            name: simulation
            for name, simulation in ready.items()
            if ARITHMETIC[name] == "float32" or first_layer(simulation) != "float32"
        }


def first_layer(simulation: Simulation) -> str:
    """Arithmetic that the first layer of a chip was computed in, as the trials table tells it."""
    blocks = [[simulation.block(group, 0, 1)] for group in range(len(simulation.sweep.groups))]
    return trials_table(simulation, blocks, 1)["first_layer"].iloc[0]


def w1(sigma: float = 0.02, inputs: int = 1000) -> Workload:
    """W1: MLP 784-256-128-10, 1,000 inputs, two Gaussian-programmed devices a weight."""
    return _mlp((784, 256, 128, 10), rl.Chip(device=rl.devices.gaussian(sigma=sigma)), inputs=inputs)


def w2(sigma: float = 0.02) -> Workload:
    """W2: W1 on tiles of 256 rows, with an 8-bit DAC a row and an 8-bit ADC a column of each tile."""
    tile = rl.Tile(rows=256, columns=256, dac=rl.DAC(bits=8), adc=rl.ADC(bits=8))
    chip = rl.Chip(device=rl.devices.gaussian(sigma=sigma), tile=tile)
    calibration = np.random.default_rng(1).random((500, 784), np.float32)
    return replace(_mlp((784, 256, 128, 10), chip), calibration=calibration)


def w4() -> Workload:
    """W4, the main job: a PCM chip 784-250-10 at five times, 1,000 inputs, global compensation."""
    chip = rl.Chip(device=rl.devices.pcm(), compensation="global")
    return replace(_mlp((784, 250, 10), chip), vary={"time_s": TIMES}, times=len(TIMES))


def w3(sigma: float = 0.02, inputs: int = 100) -> Workload:
    """W3: ResNet-20 for CIFAR-10, 100 images, two Gaussian-programmed devices a weight.

    Random weights and inputs of the right shapes: this workload is for timing only.
    """
    rng = np.random.default_rng(0)
    nodes: list[Node] = []

    def add(name: str, layer: Layer, *inputs: str) -> str:
        nodes.append(Node(name, layer, inputs))
        return name

    def conv(name: str, source: str, inputs: int, outputs: int, stride: int) -> str:
        weight = rng.standard_normal((outputs, inputs, 3, 3)) * np.sqrt(2 / (9 * inputs))
        layer = Conv2d(weight, stride=(stride, stride), padding=(1, 1, 1, 1))
        ones, zeros = np.ones(outputs), np.zeros(outputs)
        return add(f"{name}.bn", BatchNorm(ones, zeros, zeros, ones), add(name, layer, source))

    last, channels = add("relu", ReLU(), conv("stem", "input", 3, 16, 1)), 16
    for stage, width in enumerate((16, 32, 64)):
        for block in range(3):
            name, stride = f"{stage}.{block}", 2 if stage and not block else 1
            inner = add(f"{name}.relu1", ReLU(), conv(f"{name}.conv1", last, channels, width, stride))
            inner = conv(f"{name}.conv2", inner, width, width, 1)
            if stride == 2:
                pad = (width - channels) // 2
                last = add(f"{name}.pad", PadChannels(pad, pad), add(f"{name}.sub", Subsample(), last))
            last, channels = add(f"{name}.relu2", ReLU(), add(f"{name}.add", Add(), inner, last)), width
    add("logits", Linear(rng.standard_normal((10, 64))), add("pool", GlobalAveragePool(), last))
    network = Network(tuple(nodes), (3, 32, 32))
    x = rng.standard_normal((inputs, 3, 32, 32)).astype(np.float32)
    chip = rl.Chip(device=rl.devices.gaussian(sigma=sigma))
    return Workload([], x, network.forward(x).argmax(axis=1), network, chip)


def _mlp(sizes: tuple[int, ...], chip: rl.Chip, inputs: int = 1000) -> Workload:
    rng = np.random.default_rng(0)
    weights = [(rng.standard_normal((b, a)) * np.sqrt(2 / a)).astype(np.float32) for a, b in pairwise(sizes)]
    x = rng.random((inputs, sizes[0]), np.float32)
    network = mlp(weights, [np.zeros(len(w), np.float32) for w in weights])
    return Workload(weights, x, network.forward(x).argmax(axis=1), network, chip)
