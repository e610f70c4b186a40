"""The plain Gaussian law: every programmed conductance misses by a normal error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    sigma, lowest = parameters[0], parameters[1]
    for i in range(BLOCK):
        state[i] = max(fma32(sigma, latents[i], target[i]), lowest)


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    read_variance = parameters[0]
    for i in range(BLOCK):
        g[i] = state[i]
        variance[i] = read_variance


@dataclass(frozen=True)
class Gaussian(Device):
    """Additive normal programming error and, if asked for, additive white read noise.

    ``G = G_target + sigma G_max xi`` once per chip, and ``+ read_sigma G_max xi'`` at every read.
    The weight of a pair so errs by ``sqrt(2) sigma`` of the layer's largest weight.

    Parameters
    ----------
    sigma : float
        Standard deviation of programming, relative to ``g_max_us``.
    read_sigma : float
        Standard deviation of one read, relative to ``g_max_us``.
    clamp : bool
        Hold programmed conductances at or above zero, as a real cell does. Off, the law is the
        additive weight noise of the literature, exactly normal.
    g_max_us : float
        Conductance of the largest weight, microsiemens.
    """

    law: ClassVar[str] = "gaussian"
    states: ClassVar[int] = 1
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"),)
    program = _program
    conductance = _conductance

    g_max_us: float = 25.0
    sigma: float = 0.05
    read_sigma: float = 0.0
    clamp: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("sigma", 0 <= self.sigma <= 10, "between 0 and 10 (of g_max_us)")
        self.check("read_sigma", 0 <= self.read_sigma <= 10, "between 0 and 10 (of g_max_us)")

    def program_parameters(self) -> tuple[float, ...]:
        """Standard deviation (uS) and the lowest conductance (uS)."""
        return (self.sigma * self.g_max_us, 0.0 if self.clamp else -float(np.finfo(np.float32).max))

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Variance of one read (uS**2)."""
        return ((self.read_sigma * self.g_max_us) ** 2,)

    @property
    def bounds_us(self) -> tuple[float, float]:
        """From zero where the law holds conductances there."""
        return (0.0 if self.clamp else -math.inf, math.inf)

    def effects(self) -> dict[str, Device]:
        """``programming`` and ``read``."""
        return self._without({"programming": "sigma", "read": "read_sigma"})

    @property
    def linear_in(self) -> str | None:
        """``sigma``, where nothing is clamped or redrawn."""
        return None if self.clamp or self.read_sigma > 0 else "sigma"

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return self.read_sigma > 0

    def describe(self) -> str:
        """What the law does."""
        text = (
            f"Gaussian devices, {self.g_min_us:g} to {self.g_max_us:g} uS: programming error of standard "
            f"deviation {self.sigma:g} of G_max, drawn once per chip"
        )
        if self.clamp:
            text += ", held at or above 0 uS"
        if self.read_sigma:
            text += f"; white read noise of {self.read_sigma:g} of G_max, redrawn at every read"
        return text
