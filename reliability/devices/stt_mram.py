"""Spin-transfer-torque magnetic memory: two resistances that spread, and writes that fail."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from reliability.devices.device import UNIFORM, Device, Latent
from reliability.devices.steady import conduct_state
from reliability.kernels.float32 import exp32
from reliability.kernels.intrinsics import prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import program_kernel


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    parallel, antiparallel, middle = parameters[0], parameters[1], parameters[2]
    sigma_p, sigma_ap, write_error = parameters[3], parameters[4], parameters[5]
    for i in range(BLOCK):
        is_parallel = (target[i] > middle) ^ (latents[BLOCK + i] <= write_error)
        nominal = parallel if is_parallel else antiparallel
        sigma = sigma_p if is_parallel else sigma_ap
        state[i] = nominal * exp32(sigma * latents[i])


@dataclass(frozen=True)
class STTMRAM(Device):
    """A magnetic tunnel junction with a parallel and an antiparallel state.

    ``G = G_state exp(sigma_state xi)``: the resistance of each state is lognormal about its nominal one. The
    antiparallel state conducts ``G_min = G_max / (1 + TMR)``, with the tunnel magnetoresistance ``TMR`` at
    the read voltage. A write leaves the other state with a probability of its own, independently in each
    device. States do not change with time.

    The default numbers are typical ones from memory, not verified.

    Parameters
    ----------
    g_max_us : float
        Nominal conductance of the parallel state, microsiemens.
    tmr : float
        Sets ``g_min_us``, which cannot be given.
    sigma_p, sigma_ap : float
        Standard deviations of the logarithm of the resistance in the parallel and the antiparallel state.
    write_error : float
        Probability that a write fails.
    """

    law: ClassVar[str] = "stt_mram"
    states: ClassVar[int] = 1
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"), Latent("write", UNIFORM))
    program = _program
    conductance = conduct_state

    g_max_us: float = 200.0
    g_min_us: float = field(init=False, default=0.0)
    tmr: float = 1.5
    sigma_p: float = 0.05
    sigma_ap: float = 0.08
    write_error: float = 1e-4

    def __post_init__(self) -> None:
        good = isinstance(self.tmr, float | int) and not isinstance(self.tmr, bool)
        self.check("tmr", good and 0 < self.tmr <= 1e6, "above 0 and at most 1e6")
        if isinstance(self.g_max_us, float | int):
            object.__setattr__(self, "g_min_us", self.g_max_us / (1 + self.tmr))
        super().__post_init__()
        for name in ("sigma_p", "sigma_ap"):
            self.check(name, 0 <= getattr(self, name) <= 5, "between 0 and 5")
        self.check("write_error", 0 <= self.write_error <= 1, "between 0 and 1")

    @property
    def levels(self) -> int:
        """Two: a device is binary."""
        return 2

    def program_parameters(self) -> tuple[float, ...]:
        """Conductances of the states and between them (uS), spreads, and the probability of an error."""
        middle = (self.g_max_us + self.g_min_us) / 2
        return (self.g_max_us, self.g_min_us, middle, self.sigma_p, self.sigma_ap, self.write_error)

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Variance of one read (uS**2): none."""
        return (0.0,)

    def effects(self) -> dict[str, Device]:
        """``programming`` (the spread of the resistances) and ``write`` (failed writes)."""
        found: dict[str, Device] = {}
        if self.sigma_p > 0 or self.sigma_ap > 0:
            found["programming"] = replace(self, sigma_p=0.0, sigma_ap=0.0)
        if self.write_error > 0:
            found["write"] = replace(self, write_error=0.0)
        return found

    def describe(self) -> str:
        """What the law does."""
        return (
            f"spin-transfer-torque magnetic memory, binary, {self.g_min_us:g} or {self.g_max_us:g} uS "
            f"(TMR {100 * self.tmr:g} %): lognormal resistances of {self.sigma_p:g} in the parallel and "
            f"{self.sigma_ap:g} in the antiparallel state, writes that fail with probability "
            f"{self.write_error:g}"
        )
