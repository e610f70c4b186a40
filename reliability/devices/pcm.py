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
from reliability.errors import UserError
from reliability.kernels.float32 import exp32, log32, normal_cdf32, normal_density32
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel

_F = np.float32


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    g_max, programming, drift = parameters[0], parameters[1], parameters[2]
    per_g_max = _F(1) / g_max
    error = programming * g_max / _F(25)
    for i in range(BLOCK):
        g = target[i] * per_g_max
        sigma = max(fma32(fma32(_F(-1.1731), g, _F(1.9650)), g, _F(0.26348)), _F(0)) * error
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
    log_time, frozen, redrawn = parameters[0], parameters[1], parameters[2]
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


@dataclass(frozen=True)
class PCM(Device):
    """Phase-change memory after aihwkit's ``PCMLikeNoiseModel``.

    With ``g = G_target / G_max`` and ``t = time_s + t0_s``:

    - programming: ``G_p = max(0, G_target + sigma xi)``,
      ``sigma = (G_max / 25 uS) (0.26348 + 1.9650 g - 1.1731 g**2) uS``
    - drift: ``G_d = G_p (t / t0)**-nu``, ``nu = |mu + s xi|``,
      ``mu = clip(-0.0155 ln g + 0.0244, 0.049, 0.1)``, ``s = clip(-0.0125 ln g - 0.0059, 0.008, 0.045)``
    - 1/f noise: ``G = max(0, G_d (1 + Q sqrt(ln((t + t_read) / (2 t_read))) xi))``,
      ``Q = min(0.0088 / max(g_p**0.65, 1e-3), 0.2)`` with ``g_p = G_p / G_max``

    Programming error and exponent are drawn once per device and chip, the accumulated 1/f noise
    once per device, chip and evaluation time. Devices that hold a zero are as noisy as the rest.

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
    """

    law: ClassVar[str] = "pcm"
    states: ClassVar[int] = 3
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"), Latent("drift"))
    time_latents: ClassVar[tuple[Latent, ...]] = (Latent("read_1f"),)
    program = _program
    conductance = _conductance

    g_max_us: float = 25.0
    t0_s: float = 20.0
    t_read_s: float = 250e-9
    programming_scale: float = 1.0
    drift_scale: float = 1.0
    read_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")
        self.check("t_read_s", 0 < self.t_read_s < self.t0_s, "above 0 seconds and below t0_s")
        for name in ("programming_scale", "drift_scale", "read_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")

    def program_parameters(self) -> tuple[float, ...]:
        """G_max (uS) and the factors on programming error and drift exponent."""
        return (self.g_max_us, self.programming_scale, self.drift_scale)

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """``ln(t / t0)``, and the 1/f amplitude factors of the frozen and the redrawn part."""
        t = time_s + self.t0_s
        if observation_s is None:
            frozen, redrawn = math.log((t + self.t_read_s) / (2 * self.t_read_s)), 0.0
        else:
            frozen = math.log((t + self.t_read_s) / self._observation(observation_s))
            redrawn = math.log(self._observation(observation_s) / (2 * self.t_read_s))
        return (
            math.log(t / self.t0_s),
            self.read_scale * math.sqrt(frozen),
            self.read_scale * math.sqrt(redrawn),
        )

    def effects(self) -> dict[str, Device]:
        """``programming``, ``drift`` and ``read_1f``."""
        return self._without(
            {"programming": "programming_scale", "drift": "drift_scale", "read_1f": "read_scale"}
        )

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return observation_s is not None and self.read_scale > 0

    def _observation(self, observation_s: float) -> float:
        low, high = 2 * self.t_read_s, self.t0_s
        if not low <= observation_s <= high:
            raise UserError(
                f"chip.observation_s = {observation_s!r} must lie between two read times of the device "
                f"({low:g} s) and the time from programming to the reference read ({high:g} s)"
            )
        return observation_s

    def describe(self) -> str:
        """What the law does."""
        return (
            f"phase-change memory (aihwkit's PCM law; Joshi et al. 2020), {self.g_min_us:g} to "
            f"{self.g_max_us:g} uS, "
            f"reference read {self.t0_s:g} s after programming, reads of {self.t_read_s * 1e9:g} ns: "
            f"state-dependent programming error (x{self.programming_scale:g}), drift with an exponent of "
            f"its own for each device (x{self.drift_scale:g}), 1/f read noise (x{self.read_scale:g}); "
            f"conductances never below 0"
        )
