"""Devices whose middle levels are noisier than the lowest and the highest.

The model of Z. Yan et al. for two-bit devices, with the factors of their named devices (RRAM1, FeFET2, RRAM4,
FeFET6).
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.steady import conduct_state
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import program_kernel


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    edge, middle, low = parameters[0], parameters[1], parameters[2]
    high, lowest = parameters[3], parameters[4]
    for i in range(BLOCK):
        sigma = middle if (target[i] > low) & (target[i] < high) else edge
        state[i] = max(fma32(sigma, latents[i], target[i]), lowest)


@dataclass(frozen=True)
class FourLevel(Device):
    """Normal programming errors that depend on the level.

    ``G = G_target + s (G_max - G_min) xi`` with ``s = sigma_edge = sigma / sqrt(0.4 f**2 + 0.6)`` at the
    edges and ``sigma_middle = f sigma_edge`` in the middle, where the target's share of the range lies
    between 1/4 and 3/4 (both excluded). ``sigma**2`` is the mean of the variances if four in ten targets are
    in the middle.

    Parameters
    ----------
    g_max_us, g_min_us : float
        Conductances of the largest weight and of none, microsiemens.
    sigma : float
        Overall standard deviation, relative to the range.
    factor : float
        ``f``, how many times noisier the middle is.
    levels : int or None
        Conductances that a device can be programmed to. The source's own programs leave weights continuous,
        which is None.
    clamp : bool
        Hold programmed conductances at or above zero, as a real cell does.
    """

    law: ClassVar[str] = "four_level"
    states: ClassVar[int] = 1
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"),)
    program = _program
    conductance = conduct_state

    g_max_us: float = 25.0
    sigma: float = 0.01
    factor: float = 4.0
    levels: int | None = 4
    clamp: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("sigma", 0 <= self.sigma <= 10, "between 0 and 10 (of the range)")
        self.check("factor", 0 <= self.factor <= 100, "between 0 and 100")
        levels = self.levels
        whole = isinstance(levels, numbers.Integral) and not isinstance(levels, bool)
        good = levels is None or (whole and 2 <= levels <= 65536)
        self.check("levels", good, 'a whole number from 2 to 65536, or "none"')

    @property
    def sigmas(self) -> tuple[float, float]:
        """Standard deviations at the edges and in the middle, relative to the range."""
        edge = self.sigma / math.sqrt(0.4 * self.factor**2 + 0.6)
        return edge, self.factor * edge

    def program_parameters(self) -> tuple[float, ...]:
        """Standard deviations and bounds of the middle, and the lowest conductance (all uS)."""
        span = self.g_max_us - self.g_min_us
        edge, middle = self.sigmas
        lowest = 0.0 if self.clamp else -float(np.finfo(np.float32).max)
        # The bounds as targets of those shares are computed, so that a target on one equals it.
        bounds = (0.25 * span + self.g_min_us, 0.75 * span + self.g_min_us)
        return (edge * span, middle * span, *bounds, lowest)

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Variance of one read (uS**2): none."""
        return (0.0,)

    @property
    def bounds_us(self) -> tuple[float, float]:
        """From zero where the law holds conductances there."""
        return (0.0 if self.clamp else -math.inf, math.inf)

    def effects(self) -> dict[str, Device]:
        """``programming``."""
        return self._without({"programming": "sigma"})

    @property
    def linear_in(self) -> str | None:
        """``sigma``, where nothing is clamped."""
        return None if self.clamp else "sigma"

    def describe(self) -> str:
        """What the law does."""
        edge, middle = self.sigmas
        levels = "" if self.levels is None else f" in {self.levels} levels"
        text = (
            f"devices of {self.g_min_us:g} to {self.g_max_us:g} uS{levels} with level-dependent spread: "
            f"programming error of {edge:.3g} of the range at the edges and {middle:.3g} in the middle"
        )
        if self.clamp:
            text += ", held at or above 0 uS"
        return text
