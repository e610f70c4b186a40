"""The loop of write-verify, device by device in plain Python, on the draws of the counter."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import naive
import numpy as np

from reliability.kernels.latent import BLOCK, fill_normals
from reliability.latents import key

F = np.float32


@functools.lru_cache(4096)
def normals(words: tuple[int, int], chip: int, copy: int, cycle: int, block: int) -> np.ndarray:
    """The normals of one block of devices in one cycle."""
    z = np.empty(BLOCK, F)
    address = (np.uint32(chip), np.uint32(copy), np.uint32(cycle), *map(np.uint32, words))
    fill_normals(z, 0, block, *address)
    return z


@dataclass(frozen=True)
class Loop:
    """One layer's loops on one chip, of Gaussian devices whose reads redraw white noise; lengths in uS."""

    layer: str
    chip: int
    sigma: float
    tolerance: float
    max_cycles: int
    noise_variance: float = 0.0
    step: float = 0.0
    step_sigma: float = 0.0
    seed: int = 0

    def run(self, device: int, copy: int, target: float, stuck: float | None = None) -> tuple[float, int]:
        """What the last write left, and the number of writes."""
        target, cycle = F(target), 0
        g = self._fma(self.sigma, self._normal("programming", device, copy, 0), target)
        while True:
            cycle += 1
            if cycle == self.max_cycles:
                return g, cycle
            read = g if stuck is None else F(stuck)
            if self.noise_variance:
                z = self._normal("verify_read", device, copy, cycle - 1)
                read = self._fma(np.sqrt(F(self.noise_variance)), z, read)
            if abs(read - target) <= F(self.tolerance):
                return g, cycle
            if self.step:
                z = self._normal("verify_step", device, copy, cycle)
                g = self._fma(self.step_sigma, z, self._fma(self.step, target - read, g))
            else:
                g = self._fma(self.sigma, self._normal("programming", device, copy, cycle), target)

    def _normal(self, quantity: str, device: int, copy: int, cycle: int) -> np.float32:
        words = key(self.seed, quantity, self.layer, "certify")
        return normals(words, self.chip, copy, cycle, device // BLOCK)[device % BLOCK]

    @staticmethod
    def _fma(x: float, y: float, z: float) -> np.float32:
        return naive.fma(np.array([x], F), np.array([y], F), np.array([z], F))[0]
