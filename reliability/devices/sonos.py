"""SONOS charge-trap memory in 40 nm technology.

The fit in Sandia's CrossSim (BSD licence) of arrays by T. P. Xiao et al., written anew from its equations.
The loss of the mean current with time, a polynomial of tenth order there, is not part of this law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.retention import Retaining
from reliability.devices.steady import keep_target
from reliability.kernels.float32 import exp32
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel
from reliability.units import DAY

_F = np.float32


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    first, first_rate = parameters[0], parameters[1]
    now, rate = parameters[2], parameters[3]
    read_at_most, read_rate = parameters[4], parameters[5]
    for i in range(BLOCK):
        sigma = first * (_F(1) - exp32(state[i] * first_rate)) + now * (_F(1) - exp32(state[i] * rate))
        held = max(fma32(sigma, state[BLOCK + i], state[i]), _F(0))
        read = read_at_most * (_F(1) - exp32(held * read_rate))
        g[i] = held
        variance[i] = read * read


@dataclass(frozen=True)
class SONOS(Retaining):
    """Charge-trap memory whose spread saturates with the current and grows with time.

    With the read current ``I = G V_read``: ``I(t) = max(0, I_target + A(t) (1 - exp(-I_target / B(t))) xi)``,
    one ``xi`` for each device and chip, so that a chip is one trajectory, and read noise of
    ``A_r (1 - exp(-I / B_r))`` about the current that is held, redrawn at every read. Between the days of the
    table ``A`` and ``B`` are interpolated linearly in time, after the last they stay. The change of the mean
    current with time is not in the law: the source's polynomials were not available.

    Parameters
    ----------
    g_max_us : float
        Conductance of the largest weight, microsiemens. The source goes to 3200 nA (16 uS) right after
        programming and to 1800 nA (9 uS) at later times.
    read_v : float
        ``V_read``, volts.
    times_s : tuple of float
        Times of the table since programming, seconds, ascending.
    sigma_na, scale_na : tuple of float
        ``A`` and ``B`` at these times, nanoamperes.
    read_sigma_na, read_scale_na : float
        ``A_r`` and ``B_r``, nanoamperes.
    programming_scale, retention_scale, read_scale : float
        Factors on the spread at the first time, on what it gains after it and on the read noise; 0 switches
        one off.
    temperature_k, reference_k, activation_ev : float
        See :class:`~reliability.devices.retention.Retaining`.
    """

    law: ClassVar[str] = "sonos"
    states: ClassVar[int] = 2
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"),)
    program = keep_target
    conductance = _conductance
    verified: ClassVar[bool] = True

    g_max_us: float = 9.0
    read_v: float = 0.2
    times_s: tuple[float, ...] = (0.0, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY)
    sigma_na: tuple[float, ...] = (19.887, 25.591, 28.728, 31.043, 33.762, 34.579)
    scale_na: tuple[float, ...] = (176.31, 186.86, 193.57, 198.90, 204.77, 207.34)
    read_sigma_na: float = 12.580
    read_scale_na: float = 215.37
    programming_scale: float = 1.0
    retention_scale: float = 1.0
    read_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("read_v", 1e-3 <= self.read_v <= 10, "between 0.001 and 10 volts")
        self.check_numbers("times_s", None, 0)
        ascending = all(a < b for a, b in zip(self.times_s, self.times_s[1:], strict=False))
        self.check("times_s", ascending, "ascending times")
        self.check_numbers("sigma_na", len(self.times_s), 0)
        self.check_numbers("scale_na", len(self.times_s), 1e-3)
        self.check("read_sigma_na", 0 <= self.read_sigma_na <= 1e6, "between 0 and 1e6 (nanoamperes)")
        for name in ("programming_scale", "retention_scale", "read_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")
        self.check("read_scale_na", 1e-3 <= self.read_scale_na <= 1e6, "between 0.001 and 1e6 (nanoamperes)")

    def program_parameters(self) -> tuple[float, ...]:
        """None."""
        return ()

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Largest standard deviation (uS) and decay (1/uS) of the first and present spread and of a read."""
        # One nanoampere at one volt is a thousandth of a microsiemens.
        us_per_na = 1e-3 / self.read_v
        age = self.aged(time_s)
        sigma, scale = (float(np.interp(age, self.times_s, v)) for v in (self.sigma_na, self.scale_na))
        # With both factors equal nothing of the first spread is left over.
        first = (self.programming_scale - self.retention_scale) * self.sigma_na[0]
        parts = (
            (first, self.scale_na[0]),
            (self.retention_scale * sigma, scale),
            (self.read_scale * self.read_sigma_na, self.read_scale_na),
        )
        return tuple(x for most, decay in parts for x in (most * us_per_na, -1 / (decay * us_per_na)))

    def effects(self) -> dict[str, Device]:
        """``programming`` (the first spread), ``retention`` (what it gains with time) and ``read``."""
        retention = {"retention": "retention_scale"} if len(self.times_s) > 1 else {}
        return self._without({"programming": "programming_scale", **retention, "read": "read_scale"})

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return self.read_scale * self.read_sigma_na > 0

    def describe(self) -> str:
        """What the law does."""
        days = self.times_s[-1] / DAY
        text = (
            f"SONOS memory (CrossSim's fit), {self.g_min_us:g} to {self.g_max_us:g} uS read at "
            f"{self.read_v:g} V: spread of up to {self.sigma_na[0]:g} nA, {self.sigma_na[-1]:g} nA after "
            f"{days:g} days, read noise of up to {self.read_sigma_na:g} nA redrawn at every read; "
            f"currents never below 0, their mean does not change with time"
        )
        return self.with_temperature(text)
