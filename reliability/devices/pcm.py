"""Phase-change memory: programming error, drift and 1/f noise of doped Ge2Sb2Te5 cells.

The law is that of the PCM noise model in IBM's aihwkit (MIT licence), fitted there to a
million-device array in 90 nm technology: S. R. Nandakumar et al., "Phase-change memory
models for deep learning training and inference", IEEE ICECS 2019; V. Joshi et al., "Accurate
deep neural network inference using computational phase-change memory", Nat. Commun. 11:2473
(2020). Written anew from its equations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.fluctuation import accumulated_1f
from reliability.kernels.float32 import exp32, log32, normal_cdf32, normal_density32
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel

_F = np.float32


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    g_max, error, drift = parameters[0], parameters[1], parameters[2]
    sigma_0, sigma_1, sigma_2 = parameters[3], parameters[4], parameters[5]
    per_g_max = _F(1) / g_max
    for i in range(BLOCK):
        g = target[i] * per_g_max
        sigma = max(fma32(fma32(sigma_2, g, sigma_1), g, sigma_0), _F(0)) * error
        state[i] = max(fma32(sigma, latents[i], target[i]), _F(0))
        # The exponent follows the state that was wanted, the 1/f amplitude the one that was reached.
        log_g = log32(max(g, _F(1e-7)))
        mean = min(max(fma32(_F(-0.0155), log_g, _F(0.0244)), _F(0.049)), _F(0.1))
        spread = min(max(fma32(_F(-0.0125), log_g, _F(-0.0059)), _F(0.008)), _F(0.045))
        state[BLOCK + i] = abs(fma32(spread, latents[BLOCK + i], mean)) * drift
    # Loops of their own, because a CPU overlaps the devices of short loops only.
    for i in range(BLOCK):
        state[2 * BLOCK + i] = log32(max(state[i] * per_g_max, _F(1e-7)))
    for i in range(BLOCK):
        amplitude = _F(0.0088) / max(exp32(_F(0.65) * state[2 * BLOCK + i]), _F(1e-3))
        state[2 * BLOCK + i] = min(amplitude, _F(0.2))


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    log_time, frozen, redrawn, projected = parameters[0], parameters[1], parameters[2], parameters[3]
    # Each loop runs for all devices or for none: with branches around them Numba counts references.
    split = BLOCK if redrawn > _F(0) else 0
    for i in range(BLOCK - split):
        drifted = state[i] * exp32(-state[BLOCK + i] * log_time)
        noise = frozen * state[2 * BLOCK + i] * latents[i]
        g[i] = max(fma32(drifted, noise, drifted), _F(0))
        variance[i] = 0
    for i in range(split):
        drifted = state[i] * exp32(-state[BLOCK + i] * log_time)
        amplitude = drifted * state[2 * BLOCK + i]
        g[i] = fma32(amplitude * frozen, latents[i], drifted)
        variance[i] = max(amplitude * redrawn, _F(1e-12))
    # A conductance cannot be read below zero: mean and variance of the rectified normal law.
    for i in range(split):
        mean, sigma = g[i], variance[i]
        a = min(max(mean / sigma, _F(-12)), _F(12))
        below, density = normal_cdf32(a), normal_density32(a)
        rectified = sigma * fma32(a, below, density)
        square = sigma * sigma * fma32(fma32(a, a, _F(1)), below, a * density)
        g[i] = max(mean, _F(0)) if a >= _F(6) else max(rectified, _F(0))
        variance[i] = sigma * sigma if a >= _F(6) else max(square - rectified * rectified, _F(0))
    # What runs past the phase-change volume neither drifts nor fluctuates.
    for i in range(BLOCK if projected > _F(0) else 0):
        g[i] = fma32(projected, state[i] - g[i], g[i])
        variance[i] *= (_F(1) - projected) * (_F(1) - projected)


@dataclass(frozen=True)
class PCM(Device):
    """Phase-change memory after aihwkit's ``PCMLikeNoiseModel``.

    With ``g = G_target / G_max`` and ``t = time_s + t0_s``:

    - programming: ``G_p = max(0, G_target + sigma xi)``,
      ``sigma = (G_max / G_fit) (c0 + c1 g + c2 g**2)``, in aihwkit ``(0.26348 + 1.9650 g - 1.1731 g**2) uS``
      at 25 uS
    - drift: ``G_d = G_p (t / t0)**-nu``, ``nu = |mu + s xi|``,
      ``mu = clip(-0.0155 ln g + 0.0244, 0.049, 0.1)``, ``s = clip(-0.0125 ln g - 0.0059, 0.008, 0.045)``
    - 1/f noise: ``G = max(0, G_d (1 + Q sqrt(ln((t + t_read) / (2 t_read))) xi))``,
      ``Q = min(0.0088 / max(g_p**0.65, 1e-3), 0.2)`` with ``g_p = G_p / G_max``

    Programming error and exponent are drawn once per device and chip, the accumulated 1/f noise
    once per device, chip and evaluation time. Devices that hold a zero are as noisy as the rest.

    In projected PCM (W. W. Koelmans et al., Nat. Commun. 6:8181, 2015; I. Giannopoulos et al., IEDM 2018) a
    segment in parallel with the phase-change volume carries part of the read current. Here it carries the
    share ``p`` of what was programmed: ``p G_p + (1 - p) G``, so that drift and noise shrink by ``1 - p``.
    That is a model of ours, not a fit.

    Parameters
    ----------
    g_max_us : float
        Conductance of the largest weight, microsiemens.
    t0_s : float
        From programming to the reference read, seconds.
    t_read_s : float
        Duration of one read, seconds.
    programming_scale, drift_scale, read_scale : float
        Factors on the programming error, the drift exponent and the 1/f noise; 0 switches one off.
    programming_us : tuple of float
        Coefficients ``c0, c1, c2`` of the programming error, microsiemens.
    g_fit_us : float
        Largest conductance of the array that these describe, microsiemens.
    projected_share : float
        Share ``p`` of the programmed conductance that neither drifts nor fluctuates.
    """

    law: ClassVar[str] = "pcm"
    states: ClassVar[int] = 3
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"), Latent("drift"))
    time_latents: ClassVar[tuple[Latent, ...]] = (Latent("read_1f"),)
    program = _program
    conductance = _conductance
    verified: ClassVar[bool] = True
    _coefficients: ClassVar[int] = 3

    g_max_us: float = 25.0
    t0_s: float = 20.0
    t_read_s: float = 250e-9
    programming_scale: float = 1.0
    drift_scale: float = 1.0
    read_scale: float = 1.0
    programming_us: tuple[float, ...] = (0.26348, 1.9650, -1.1731)
    g_fit_us: float = 25.0
    projected_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")
        self.check("t_read_s", 0 < self.t_read_s < self.t0_s, "above 0 seconds and below t0_s")
        for name in ("programming_scale", "drift_scale", "read_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")
        self.check_numbers("programming_us", self._coefficients)
        self.check("g_fit_us", 1e-6 <= self.g_fit_us <= 1e6, "between 1e-6 and 1e6 (microsiemens)")
        self.check("projected_share", 0 <= self.projected_share <= 1, "between 0 and 1")

    def program_parameters(self) -> tuple[float, ...]:
        """G_max (uS), the factors on programming error and drift exponent, and the error's coefficients."""
        error = self.programming_scale * self.g_max_us / self.g_fit_us
        return (self.g_max_us, error, self.drift_scale, *self.programming_us)

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """``ln(t / t0)``, the 1/f amplitude factors of the frozen and the redrawn part, and ``p``."""
        t = time_s + self.t0_s
        frozen, redrawn = accumulated_1f(t, self.t_read_s, self.t0_s, observation_s)
        return (
            math.log(t / self.t0_s),
            self.read_scale * frozen,
            self.read_scale * redrawn,
            self.projected_share,
        )

    def effects(self) -> dict[str, Device]:
        """``programming``, ``drift`` and ``read_1f``."""
        return self._without(
            {"programming": "programming_scale", "drift": "drift_scale", "read_1f": "read_scale"}
        )

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return observation_s is not None and self.read_scale > 0

    def describe(self) -> str:
        """What the law does."""
        fitted = "" if self.programming_us == PCM.programming_us else " of another fit"
        return self._described("phase-change memory (aihwkit's PCM law; Joshi et al. 2020)", fitted)

    def _described(self, family: str, fitted: str = "") -> str:
        projected = (
            f"; a projection segment carries {self.projected_share:g} of it" if self.projected_share else ""
        )
        return (
            f"{family}, {self.g_min_us:g} to {self.g_max_us:g} uS{projected}, "
            f"reference read {self.t0_s:g} s after programming, reads of {self.t_read_s * 1e9:g} ns: "
            f"state-dependent programming error{fitted} (x{self.programming_scale:g}), drift with an "
            f"exponent of its own for each device (x{self.drift_scale:g}), 1/f read noise "
            f"(x{self.read_scale:g}); conductances never below 0"
        )
