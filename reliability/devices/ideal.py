"""The device that does what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reliability.devices.device import Device
from reliability.devices.steady import conduct_state
from reliability.kernels.intrinsics import prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import program_kernel


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    for i in range(BLOCK):
        state[i] = target[i]


@dataclass(frozen=True)
class Ideal(Device):
    """A device that keeps exactly the conductance it was given.

    Parameters
    ----------
    g_max_us : float
        Conductance of the largest weight, microsiemens.
    """

    law: ClassVar[str] = "ideal"
    states: ClassVar[int] = 1
    program = _program
    conductance = conduct_state

    g_max_us: float = 25.0

    def program_parameters(self) -> tuple[float, ...]:
        """None."""
        return ()

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Variance of one read (uS**2): none."""
        return (0.0,)

    def describe(self) -> str:
        """What the law does."""
        return f"ideal devices, {self.g_min_us:g} to {self.g_max_us:g} uS: no error of any kind"
