"""A generic law: an error of any distribution, added to a conductance or multiplying it."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.distributions import CELLS, LOGNORMAL, REACH, table_of
from reliability.devices.steady import conduct_state
from reliability.kernels.intrinsics import float_of_int, fma32, nearest_int, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import program_kernel

_F = np.float32
_AHEAD = np.uint32(4)
_PER_CELL = _F(CELLS / (2 * REACH))


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    scale, own_scale, lowest, threshold = parameters[0], parameters[1], parameters[2], parameters[3]
    # Looking up in the table is a loop of its own, because it is the one that has no vector instructions.
    for i in range(BLOCK):
        place = fma32(latents[i], _PER_CELL, _F(CELLS / 2))
        cell = nearest_int(min(max(place - _F(0.5), _F(0)), _F(CELLS - 1)))
        left = parameters[_AHEAD + cell]
        state[i] = fma32(place - float_of_int(cell), parameters[_AHEAD + cell + np.uint32(1)] - left, left)
    for i in range(BLOCK):
        xi = latents[i]
        step = (_F(1) if xi > threshold else _F(0)) - (_F(1) if xi < -threshold else _F(0))
        state[i] = max(fma32(fma32(own_scale, target[i], scale), state[i] + step, target[i]), lowest)


@dataclass(frozen=True)
class Generic(Device):
    """A programming error of a chosen distribution, drawn once per device and chip.

    ``G = G_target + sigma u z`` with ``z`` of the distribution (:mod:`reliability.devices.distributions`) and
    the unit ``u``: the range ``G_max - G_min``, one level of it (the range over ``levels - 1``), or the
    device's own target, which makes the error multiplicative. A lognormal error multiplies:
    ``G = G_target exp(sigma xi)``.

    Both devices of a pair err. In a weight of ``N`` bits, ``K`` of them a device, errors of ``sigma`` levels
    add up to a standard deviation of ``sqrt(2) sigma W_max c 2**N / (2**N - 1)``,
    ``c = sqrt(sum of 4**(-i K), i = 1 to N / K)``; where the literature (SWIM, DAC 2022) writes
    ``sigma W_max c`` it has one noisy device a digit and ``2**N`` steps.

    Parameters
    ----------
    g_max_us, g_min_us : float
        Conductances of the largest weight and of none, microsiemens.
    sigma : float
        Scale of the error, in the unit.
    unit : {"range", "level", "own"}
    distribution : str
        ``"lognormal"``, ``"pepper"`` (-1 or 1 with the share that ``shape`` gives, otherwise 0), one of
        :data:`reliability.devices.distributions.NAMED`, or a continuous distribution of ``scipy.stats``.
    shape : tuple of float
        Shape parameters of the distribution.
    levels : int or None
        Conductances that a device can be programmed to, evenly spaced; None for any.
    read_sigma : float
        Standard deviation of one read, relative to ``g_max_us``.
    clamp : bool
        Hold programmed conductances at or above zero, as a real cell does.
    verified : bool
        Whether the error is what write-verify left, so that there is none to come.
    """

    law: ClassVar[str] = "generic"
    states: ClassVar[int] = 1
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"),)
    program = _program
    conductance = conduct_state

    g_max_us: float = 25.0
    sigma: float = 0.1
    unit: Literal["range", "level", "own"] = "range"
    distribution: str = "normal"
    shape: tuple[float, ...] = ()
    levels: int | None = None
    read_sigma: float = 0.0
    clamp: bool = False
    verified: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("sigma", 0 <= self.sigma <= 10, "between 0 and 10 (of the unit)")
        self.check("read_sigma", 0 <= self.read_sigma <= 10, "between 0 and 10 (of g_max_us)")
        self.check("unit", self.unit in ("range", "level", "own"), '"range", "level" or "own"')
        levels = self.levels
        whole = isinstance(levels, numbers.Integral) and not isinstance(levels, bool)
        good = levels is None or (whole and 2 <= levels <= 65536)
        self.check("levels", good, 'a whole number from 2 to 65536, or "none"')
        self.check("levels", levels is not None or self.unit != "level", 'given for the unit "level"')
        multiplies = self.distribution != LOGNORMAL or self.unit == "own"
        self.check("unit", multiplies, '"own" for a lognormal error, which multiplies')
        if self.shape:
            self.check_numbers("shape")
        self.check("shape", isinstance(self.shape, tuple), "a list of numbers")
        table_of(self.distribution, self.shape, self.sigma)

    def program_parameters(self) -> tuple[float, ...]:
        """Scales of the added (uS) and the multiplying error, lowest conductance (uS), threshold, table."""
        table, threshold = table_of(self.distribution, self.shape, self.sigma)
        lowest = 0.0 if self.clamp else -float(np.finfo(np.float32).max)
        if self.distribution == LOGNORMAL:
            return (0.0, 1.0, lowest, threshold, *table)
        own = self.unit == "own"
        span = (self.g_max_us - self.g_min_us) / (
            self.levels - 1 if self.unit == "level" and self.levels else 1
        )
        scales = (0.0, self.sigma) if own else (self.sigma * span, 0.0)
        return (*scales, lowest, threshold, *table)

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
        """``sigma``, where nothing is clamped or redrawn and no exponential is taken."""
        apart = self.clamp or self.read_sigma > 0 or self.distribution == LOGNORMAL
        return None if apart else "sigma"

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return self.read_sigma > 0

    def describe(self) -> str:
        """What the law does."""
        unit = {"range": "the range", "level": "a level", "own": "its own conductance"}[self.unit]
        shape = f" ({', '.join(f'{s:g}' for s in self.shape)})" if self.shape else ""
        text = f"generic devices, {self.g_min_us:g} to {self.g_max_us:g} uS"
        if self.levels is not None:
            text += f" in {self.levels} levels"
        text += f": {self.distribution}{shape} programming error of scale {self.sigma:g} of {unit}"
        if self.clamp:
            text += ", held at or above 0 uS"
        if self.read_sigma:
            text += f"; white read noise of {self.read_sigma:g} of G_max, redrawn at every read"
        return text
