"""The reference workloads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

import reliability as rl
from reliability.network import Network, mlp
from reliability.simulation import Simulation

TIMES = [0.0, rl.HOUR, rl.DAY, rl.MONTH, rl.YEAR]


@dataclass(frozen=True)
class Workload:
    """One trial's work, and how to simulate many of them."""

    weights: list[np.ndarray]
    x: np.ndarray
    labels: np.ndarray
    network: Network
    chip: rl.Chip
    vary: dict[str, list]
    times: int

    @property
    def flops(self) -> float:
        """Floating-point operations of one chip's products."""
        return 2.0 * len(self.x) * self.times * sum(w.size for w in self.weights)

    def simulation(self, threads: int) -> Simulation:
        """The sweep, ready to run."""
        return Simulation(self.network, (self.x, self.labels), self.chip, self.vary, threads=threads)


def w1(sigma: float = 0.02) -> Workload:
    """W1: MLP 784-256-128-10, 1,000 inputs, two Gaussian-programmed devices a weight."""
    return _workload((784, 256, 128, 10), rl.Chip(device=rl.devices.gaussian(sigma=sigma)), {}, 1)


def w4() -> Workload:
    """W4, the main job: a PCM chip 784-250-10 at five times, 1,000 inputs, global compensation."""
    chip = rl.Chip(device=rl.devices.pcm(), compensation="global")
    return _workload((784, 250, 10), chip, {"time_s": TIMES}, len(TIMES))


def _workload(sizes: tuple[int, ...], chip: rl.Chip, vary: dict[str, list], times: int) -> Workload:
    rng = np.random.default_rng(0)
    weights = [(rng.standard_normal((b, a)) * np.sqrt(2 / a)).astype(np.float32) for a, b in pairwise(sizes)]
    x = rng.random((1000, sizes[0]), np.float32)
    biases = [np.zeros(len(w), np.float32) for w in weights]
    network = mlp(weights, list(biases))
    return Workload(weights, x, network.forward(x).argmax(axis=1), network, chip, vary, times)
