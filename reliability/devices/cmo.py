"""Analog resistive memory of conductive metal oxide on HfOx, with relaxation and read noise.

Fits as in the ``ReRamCMO`` noise model of IBM's aihwkit (MIT licence), to devices of D. F. Falcone et al.
Written anew from its equations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.fluctuation import accumulated_1f
from reliability.devices.retention import Retaining
from reliability.kernels.float32 import log32
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel

_F = np.float32


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    constant, slope = parameters[0], parameters[1]
    for i in range(BLOCK):
        state[i] = fma32(max(fma32(slope, target[i], constant), _F(0)), latents[i], target[i])
        state[BLOCK + i] = latents[BLOCK + i]


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    mean, sd, frozen, redrawn = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(BLOCK):
        relaxed = max(fma32(sd, state[BLOCK + i], state[i] + mean), _F(0))
        # The amplitude is a fit for conductances well above 1 uS, where its logarithm is positive.
        amplitude = log32(max(relaxed, _F(1)))
        sigma = amplitude * redrawn
        g[i] = max(fma32(amplitude * frozen, latents[i], relaxed), _F(0))
        variance[i] = sigma * sigma


@dataclass(frozen=True)
class CMO(Retaining):
    """Analog resistive memory after aihwkit's ``ReRamCMONoiseModel``, in microsiemens and seconds.

    - Programming: ``G_p = G_target + (c0 + c1 G_target) xi``, where the error depends on the range in which a
      programmed conductance is accepted (0.2 % or 2 %). aihwkit's own default of 2 % names no entry of its
      table and means 0.2 %; here the numbers say which it is.
    - Relaxation: ``G_r = max(0, G_p + m ln t + (s0 + s1 ln t) xi')``, ``t = time_s + t0_s`` in seconds, with
      one ``xi'`` for each device and chip, so that a chip is one trajectory.
    - Read noise: ``G = max(0, G_r + b log10(G_r) sqrt(ln((t + t_read) / (2 t_read))) xi'')``, zero for
      ``G_r`` below 1 uS, drawn at each evaluation time.

    The numbers are absolute: they do not follow ``g_max_us``.

    Parameters
    ----------
    g_max_us, g_min_us : float
        Conductances of the largest weight and of none, microsiemens.
    programming_us : tuple of float
        ``c0`` (microsiemens) and ``c1``.
    relaxation_us : tuple of float
        ``m``, ``s0`` and ``s1``, microsiemens.
    read_us : float
        ``b``, microsiemens for each decade above 1 uS.
    t0_s, t_read_s : float
        From programming to the reference read, and duration of one read, seconds.
    programming_scale, relaxation_scale, read_scale : float
        Factors on the three; 0 switches one off.
    temperature_k, reference_k, activation_ev : float
        See :class:`~reliability.devices.retention.Retaining`; heat speeds up the relaxation only.
    """

    law: ClassVar[str] = "cmo"
    states: ClassVar[int] = 2
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"), Latent("relaxation"))
    time_latents: ClassVar[tuple[Latent, ...]] = (Latent("read_1f"),)
    program = _program
    conductance = _conductance
    verified: ClassVar[bool] = True

    g_max_us: float = 88.2
    g_min_us: float = 9.0
    programming_us: tuple[float, ...] = (0.00081107, 0.00106879)
    relaxation_us: tuple[float, ...] = (-0.089002, 0.411833, 0.042011)
    read_us: float = 0.0277316
    t0_s: float = 1.0
    t_read_s: float = 1e-6
    programming_scale: float = 1.0
    relaxation_scale: float = 1.0
    read_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_numbers("programming_us", 2)
        self.check_numbers("relaxation_us", 3)
        self.check("read_us", 0 <= self.read_us <= 1e3, "between 0 and 1000 (microsiemens)")
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")
        self.check("t_read_s", 0 < self.t_read_s < self.t0_s, "above 0 seconds and below t0_s")
        for name in ("programming_scale", "relaxation_scale", "read_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")

    def program_parameters(self) -> tuple[float, ...]:
        """Constant (uS) and slope of the programming error."""
        constant, slope = self.programming_us
        return (self.programming_scale * constant, self.programming_scale * slope)

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Mean and standard deviation of relaxation (uS), and the frozen and redrawn read amplitude (uS)."""
        mean, constant, slope = self.relaxation_us
        log_time = math.log(self.aged(time_s) + self.t0_s)
        sd = max(constant + slope * log_time, 0.0)
        per_e = self.read_scale * self.read_us / math.log(10)
        frozen, redrawn = accumulated_1f(time_s + self.t0_s, self.t_read_s, self.t0_s, observation_s)
        relaxation = (self.relaxation_scale * mean * log_time, self.relaxation_scale * sd)
        return (*relaxation, per_e * frozen, per_e * redrawn)

    def effects(self) -> dict[str, Device]:
        """``programming``, ``relaxation`` and ``read_1f``."""
        return self._without(
            {
                "programming": "programming_scale",
                "relaxation": "relaxation_scale",
                "read_1f": "read_scale",
            }
        )

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return observation_s is not None and self.read_scale * self.read_us > 0

    def describe(self) -> str:
        """What the law does."""
        constant, slope = self.programming_us
        text = (
            f"CMO/HfOx resistive memory (aihwkit's law), {self.g_min_us:g} to {self.g_max_us:g} uS, "
            f"reference read {self.t0_s:g} s after programming: programming error of {slope:g} G + "
            f"{constant:g} uS (x{self.programming_scale:g}), relaxation with the logarithm of time "
            f"(x{self.relaxation_scale:g}), 1/f read noise (x{self.read_scale:g}); conductances never below 0"
        )
        return self.with_temperature(text)
