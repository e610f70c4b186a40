"""Phase-change memory programmed by blind SET pulses, as in training.

The model of S. R. Nandakumar et al., "A phase-change memory model for neuromorphic computing", J. Appl. Phys.
124, 152135 (2018), with the numbers that Y. Demirag's ``srnn-pcm`` (MIT licence) uses. Written anew from its
equations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from reliability.devices.device import Device, Latent
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel

_F = np.float32
_MOST = 256


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    pulses, reset, ceiling, n_reset = np.int64(parameters[0]), parameters[1], parameters[2], parameters[3]
    n1, n2, n3 = parameters[4], parameters[5], parameters[6]
    m1, c1, a1 = parameters[7], parameters[8], parameters[9]
    m2, c2, a2 = parameters[10], parameters[11], parameters[12]
    history, forget, exact = parameters[13], parameters[14], parameters[15]
    for i in range(BLOCK):
        state[i] = target[i] if exact > _F(0) else reset
    for pulse in range(pulses):
        history *= forget
        mean_0, sd_0 = fma32(a1, history, c1), fma32(a2, history, c2)
        taken = _F(pulse + 1)
        for i in range(BLOCK):
            wanted = fma32(fma32(n3, target[i], n2), target[i], n1) * target[i] - n_reset
            g = state[i]
            sd = fma32(m2, g, sd_0)
            after = fma32(sd, latents[pulse * BLOCK + i], fma32(m1, g, mean_0) + g)
            state[i] = min(max(after, reset), ceiling) if wanted >= taken else g


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    factor, slope, constant = parameters[0], parameters[1], parameters[2]
    for i in range(BLOCK):
        drifted = state[i] * factor
        sigma = fma32(slope, drifted, constant)
        g[i] = drifted
        variance[i] = sigma * sigma


@dataclass(frozen=True)
class PCMPulses(Device):
    """Phase-change memory that partial SET pulses bring towards their targets, without looking.

    - A device starts at ``G = G_reset`` with history ``P = 1``. It gets
      ``n = floor(n(G_target) - n(G_reset))`` pulses, ``n(G) = n1 G + n2 G**2 + n3 G**3``. Each sets
      ``P <- P exp(-1 / a)``, then
      ``G <- clip(G + m1 G + c1 + a1 P + (m2 G + c2 + a2 P) xi, G_reset, G_ceiling)``, in microsiemens, with a
      normal of its own.
    - Drift: ``G_d = G (t / T0)**-nu`` at ``t = time_s + T0`` after the last pulse. All devices of a chip are
      taken to get their last pulse at the same time.
    - Read noise: ``N(0, m3 G_d + c3)`` is added at every read. It is noise of the current, not of the
      conductance, and may be negative.

    Pulses saturate: their mean cannot exceed ``-c1 / m1``, 10.5 uS, and targets beyond some 9 uS are missed
    by all devices.

    Parameters
    ----------
    g_max_us : float
        Conductance of the largest weight, microsiemens.
    g_min_us : float
        At least what RESET leaves: a device that holds nothing gets no pulse.
    blind : bool
        False brings each device exactly to its target, as an ideal program-and-verify would.
    pulse_scale : float
        Factor on the randomness of a pulse; 0 leaves its mean, and the error that rounding to pulses makes.
    drift_exponent : float
    t0_s : float
        ``T0``, from the last pulse to the reference read, seconds.
    read_scale : float
        Factor on the read noise.
    reset_us, ceiling_us : float
        What RESET leaves, and what no pulse exceeds, microsiemens.
    count : tuple of float
        ``n1, n2, n3``.
    step, step_sd : tuple of float
        ``m1, c1, a1`` and ``m2, c2, a2`` (the latter two of each in microsiemens).
    memory : float
        ``a``, in pulses.
    read_noise : tuple of float
        ``m3, c3`` (the latter in microsiemens).
    """

    law: ClassVar[str] = "pcm_pulses"
    states: ClassVar[int] = 1
    program = _program
    conductance = _conductance

    g_max_us: float = 8.0
    g_min_us: float = 0.1
    blind: bool = True
    pulse_scale: float = 1.0
    drift_exponent: float = 0.04
    t0_s: float = 38.6
    read_scale: float = 1.0
    reset_us: float = 0.1
    ceiling_us: float = 12.0
    count: tuple[float, ...] = (0.81, -0.15, 0.027)
    step: tuple[float, ...] = (-0.084, 0.880, 1.40)
    step_sd: tuple[float, ...] = (0.091, 0.260, 2.15)
    memory: float = 2.6
    read_noise: tuple[float, ...] = (0.03, 0.13)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")
        self.check("drift_exponent", 0 <= self.drift_exponent <= 1, "between 0 and 1")
        for name in ("pulse_scale", "read_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")
        self.check("reset_us", 0 <= self.reset_us <= self.g_min_us, "at least 0 and at most g_min_us")
        self.check("ceiling_us", self.reset_us < self.ceiling_us <= 1e6, "above reset_us and at most 1e6")
        for name in ("count", "step", "step_sd"):
            self.check_numbers(name, 3)
        self.check("memory", 0 < self.memory < math.inf, "above 0 pulses")
        self.check_numbers("read_noise", 2, 0)
        self.check("g_max_us", self.pulses_to(self.g_max_us) <= _MOST, f"reached by at most {_MOST} pulses")

    def pulses_to(self, target_us: float) -> int:
        """Pulses that a device with this target gets."""
        n1, n2, n3 = self.count
        at_target, at_reset = (g * (n1 + g * (n2 + g * n3)) for g in (target_us, self.reset_us))
        return max(math.floor(at_target - at_reset), 0)

    @property
    def program_latents(self) -> tuple[Latent, ...]:  # type: ignore[override]
        """One normal for each pulse that the largest target may get."""
        # One more than the number for the largest target, which float32 may round up to.
        pulses = self.pulses_to(self.g_max_us) + 1 if self.blind else 0
        return tuple(Latent(f"pulse_{i + 1}") for i in range(pulses))

    def program_parameters(self) -> tuple[float, ...]:
        """Pulses at most, bounds (uS), and the numbers of the counting and of a pulse."""
        n1, n2, n3 = self.count
        at_reset = self.reset_us * (n1 + self.reset_us * (n2 + self.reset_us * n3))
        spread = tuple(self.pulse_scale * number for number in self.step_sd)
        pulses = len(self.program_latents)
        bounds = (self.reset_us, self.ceiling_us, at_reset, *self.count)
        return (pulses, *bounds, *self.step, *spread, 1.0, math.exp(-1 / self.memory), float(not self.blind))

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Factor of drift, and slope and constant (uS) of the read noise."""
        slope, constant = self.read_noise
        factor = ((time_s + self.t0_s) / self.t0_s) ** -self.drift_exponent
        return (factor, self.read_scale * slope, self.read_scale * constant)

    @property
    def bounds_us(self) -> tuple[float, float]:
        """What RESET leaves, and what no pulse exceeds."""
        return (self.reset_us, self.ceiling_us)

    def effects(self) -> dict[str, Device]:
        """``programming`` (all that blind pulses miss), ``drift`` and ``read``."""
        found = self._without({"drift": "drift_exponent", "read": "read_scale"})
        return {"programming": replace(self, blind=False), **found} if self.blind else found

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return self.read_scale > 0 and any(number > 0 for number in self.read_noise)

    def describe(self) -> str:
        """What the law does."""
        written = (
            f"up to {self.pulses_to(self.g_max_us)} blind SET pulses (randomness x{self.pulse_scale:g})"
            if self.blind
            else "written exactly"
        )
        slope, constant = (self.read_scale * number for number in self.read_noise)
        return (
            f"phase-change memory after its pulse model (Nandakumar et al. 2018), {self.g_min_us:g} to "
            f"{self.g_max_us:g} uS: {written}, drift with exponent {self.drift_exponent:g} from "
            f"{self.t0_s:g} s after the last pulse, read noise of {slope:g} G + {constant:g} uS redrawn at "
            f"every read"
        )
