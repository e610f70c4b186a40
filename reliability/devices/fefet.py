"""Ferroelectric transistors: spread of the threshold voltage, and a memory window that closes."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.devices.retention import Retaining
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel

_F = np.float32


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    sigma = parameters[0]
    for i in range(BLOCK):
        # Not held at zero yet: a threshold above the read voltage is remembered.
        state[i] = fma32(sigma, latents[i], target[i])


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    kept, middle = parameters[0], parameters[1]
    # Without a loss what was programmed stays to the last bit.
    lossless = kept == _F(1)
    for i in range(BLOCK):
        present = state[i] if lossless else fma32(kept, state[i] - middle, middle)
        g[i] = max(present, _F(0))
        variance[i] = 0


@dataclass(frozen=True)
class FeFET(Retaining):
    """A ferroelectric transistor read at a fixed gate voltage, in its linear regime.

    Its conductance falls linearly with its threshold: from ``G_max`` at the lower end of the memory window
    ``V_w`` to ``G_min`` at the upper end.

    - Programming: ``V = V_target - s xi``, so ``G_p = G_target + (G_max - G_min) (s / V_w) xi``.
    - Retention: depolarisation closes the window of all devices about its middle, by a share ``r`` for each
      decade of time: ``G = max(0, M + (G_p - M) max(0, 1 - r log10(t / t0)))``, ``M = (G_max + G_min) / 2``,
      ``t = time_s + t0_s``.

    A textbook model of the device physics; the default numbers are typical ones from memory, not verified.

    Parameters
    ----------
    g_max_us, g_min_us : float
        Conductances of the largest weight and of none, microsiemens.
    sigma_v : float
        ``s``, standard deviation of the programmed threshold voltage, volts.
    window_v : float
        ``V_w``, volts.
    bits : int
        Bits of a device, which has ``2**bits`` evenly spaced levels.
    loss_per_decade : float
        ``r``.
    t0_s : float
        From programming to the reference read, seconds.
    temperature_k, reference_k, activation_ev : float
        See :class:`~reliability.devices.retention.Retaining`.
    """

    law: ClassVar[str] = "fefet"
    states: ClassVar[int] = 1
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"),)
    program = _program
    conductance = _conductance

    g_max_us: float = 10.0
    g_min_us: float = 0.001
    sigma_v: float = 0.05
    window_v: float = 1.2
    bits: int = 2
    loss_per_decade: float = 0.02
    t0_s: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("sigma_v", 0 <= self.sigma_v <= 10, "between 0 and 10 volts")
        self.check("window_v", 1e-3 <= self.window_v <= 100, "between 0.001 and 100 volts")
        whole = isinstance(self.bits, numbers.Integral) and not isinstance(self.bits, bool)
        self.check("bits", whole and 1 <= self.bits <= 8, "a whole number from 1 to 8")
        self.check("loss_per_decade", 0 <= self.loss_per_decade <= 1, "between 0 and 1")
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")

    @property
    def levels(self) -> int:
        """Conductances that a device can be programmed to, evenly spaced."""
        return 2**self.bits

    def program_parameters(self) -> tuple[float, ...]:
        """Standard deviation of the programmed conductance (uS)."""
        return ((self.g_max_us - self.g_min_us) * self.sigma_v / self.window_v,)

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Share of the window that is left, and its middle (uS)."""
        decades = math.log10((self.aged(time_s) + self.t0_s) / self.t0_s)
        return (max(1 - self.loss_per_decade * decades, 0.0), (self.g_max_us + self.g_min_us) / 2)

    def effects(self) -> dict[str, Device]:
        """``programming`` and ``retention``."""
        return self._without({"programming": "sigma_v", "retention": "loss_per_decade"})

    def describe(self) -> str:
        """What the law does."""
        text = (
            f"ferroelectric transistors of {self.bits} bits, {self.g_min_us:g} to {self.g_max_us:g} uS, "
            f"reference read {self.t0_s:g} s after programming: threshold spread of {self.sigma_v:g} V in a "
            f"window of {self.window_v:g} V, which closes by {self.loss_per_decade:g} for each decade of "
            f"time; conductances never below 0"
        )
        return self.with_temperature(text)
