"""Resistive memory by a fit of its spread: a polynomial of the target, at one time or several.

Such fits stand in IBM's aihwkit (MIT licence) and Sandia's CrossSim (BSD licence) for measurements of W. Wan
et al., "A compute-in-memory chip based on resistive random-access memory", Nature 608, 504 (2022), and V.
Milo et al., "Optimized programming algorithms for multilevel RRAM in hardware neural networks", IEEE IRPS
2021. Written anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.retention import Retaining
from reliability.devices.steady import keep_target
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel

_F = np.float32
_MOST = 5


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    per_unit, read_variance = parameters[0], parameters[1]
    c0, c1, c2, c3, c4 = parameters[2], parameters[3], parameters[4], parameters[5], parameters[6]
    for i in range(BLOCK):
        x = state[i] * per_unit
        sigma = max(fma32(fma32(fma32(fma32(c4, x, c3), x, c2), x, c1), x, c0), _F(0))
        g[i] = max(fma32(sigma, state[BLOCK + i], state[i]), _F(0))
        variance[i] = read_variance


@dataclass(frozen=True)
class RRAM(Retaining):
    """Resistive memory whose spread about the target is a polynomial of the target.

    ``G(t) = max(0, G_target + sigma(G_target, t) xi)`` with one ``xi`` for each device and chip, so that a
    chip is one trajectory, and ``sigma = r (c0 + c1 x + c2 x**2 + ...)``, ``x = G_target / (r unit)``. The
    factor ``r = G_max / G_fit`` carries a fit to devices of another largest conductance with the same
    relative spread. (aihwkit's model of Wan's array means to do the same, but by default leaves the spread of
    40 uS as it is.)

    Between the times of the fit the coefficients are interpolated in the logarithm of time, which starts
    ``t0_s`` before the reference read; before the first and after the last of them the spread is that of the
    nearest one, as nothing was measured there. The fits hold the spread of conductances at each time and not
    its course in one device: that each keeps its ``xi`` is a choice. So what the spread gains after the first
    time is an effect of its own, relaxation.

    Parameters
    ----------
    g_max_us, g_min_us : float
        Conductances of the largest weight and of none, microsiemens.
    sigma_us : tuple of tuple of float
        Coefficients ``c0, c1, ...`` (at most five) at each time, microsiemens.
    times_s : tuple of float
        The times of the fit since programming, seconds, ascending.
    unit_us : float
        Conductance for which ``x`` is 1, microsiemens.
    g_fit_us : float
        Largest conductance of the array that the fit describes, microsiemens.
    t0_s : float
        From programming to the reference read, seconds.
    programming_scale, relaxation_scale : float
        Factors on the spread at the first time and on what it gains after it; 0 switches one off.
    read_sigma : float
        White noise of every read, relative to ``g_max_us``. Short reads of Wan's array are advised 0.01.
    temperature_k, reference_k, activation_ev : float
        See :class:`~reliability.devices.retention.Retaining`.
    """

    law: ClassVar[str] = "rram"
    states: ClassVar[int] = 2
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"),)
    program = keep_target
    conductance = _conductance
    verified: ClassVar[bool] = True

    g_max_us: float = 40.0
    g_min_us: float = 1.0
    sigma_us: tuple[tuple[float, ...], ...] = (
        (0.348, 16.030, -43.853, 45.393, -16.815),
        (0.701, 22.086, -50.773, 47.095, -16.458),
        (0.782, 20.274, -43.507, 37.062, -11.934),
    )
    times_s: tuple[float, ...] = (1.0, 86400.0, 172800.0)
    unit_us: float = 40.0
    g_fit_us: float = 40.0
    t0_s: float = 1.0
    programming_scale: float = 1.0
    relaxation_scale: float = 1.0
    read_sigma: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_numbers("times_s", None, 1e-12)
        ascending = all(a < b for a, b in zip(self.times_s, self.times_s[1:], strict=False))
        self.check("times_s", ascending, "ascending times")
        rows = self.sigma_us
        good = isinstance(rows, tuple) and len(rows) == len(self.times_s)
        good = good and all(isinstance(row, tuple) and 0 < len(row) <= _MOST for row in rows)
        good = good and len({len(row) for row in rows}) == 1
        good = good and all(isinstance(c, int | float) and abs(c) <= 1e12 for row in rows for c in row)
        self.check(
            "sigma_us", good, f"a list of at most {_MOST} coefficients for each of {len(self.times_s)} times"
        )
        for name in ("unit_us", "g_fit_us"):
            self.check(name, 1e-6 <= getattr(self, name) <= 1e6, "between 1e-6 and 1e6 (microsiemens)")
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")
        for name in ("programming_scale", "relaxation_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")
        self.check("read_sigma", 0 <= self.read_sigma <= 10, "between 0 and 10 (of g_max_us)")

    def program_parameters(self) -> tuple[float, ...]:
        """None."""
        return ()

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """1 over the unit (1/uS), read variance (uS**2), and five coefficients (uS)."""
        rescale = self.g_max_us / self.g_fit_us
        log_time = math.log(self.aged(time_s) + self.t0_s)
        coefficients = [0.0] * _MOST
        for i, values in enumerate(zip(*self.sigma_us, strict=True)):
            gained = float(np.interp(log_time, np.log(self.times_s), values)) - values[0]
            spread = self.programming_scale * values[0] + self.relaxation_scale * gained
            coefficients[i] = rescale * spread
        return (1 / (self.unit_us * rescale), (self.read_sigma * self.g_max_us) ** 2, *coefficients)

    def effects(self) -> dict[str, Device]:
        """``programming`` (the first spread), ``relaxation`` (what it gains with time) and ``read``."""
        relaxation = {"relaxation": "relaxation_scale"} if len(self.times_s) > 1 else {}
        return self._without({"programming": "programming_scale", **relaxation, "read": "read_sigma"})

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return self.read_sigma > 0

    def describe(self) -> str:
        """What the law does."""
        relaxes = f" (relaxation x{self.relaxation_scale:g})" if len(self.times_s) > 1 else ""
        times = ", ".join(f"{t:g}" for t in self.times_s)
        read = f"; white read noise of {self.read_sigma:g} of G_max" if self.read_sigma else ""
        text = (
            f"resistive memory, {self.g_min_us:g} to {self.g_max_us:g} uS: a spread about the target that is "
            f"a polynomial of the target (x{self.programming_scale:g}), fitted at {times} s{relaxes}; "
            f"conductances never below 0{read}"
        )
        return self.with_temperature(text)
