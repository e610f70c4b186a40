"""Retention that heat accelerates: time runs faster by Arrhenius' factor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reliability.devices.device import Device

BOLTZMANN_EV = 8.617333262e-5
"""Boltzmann's constant, electron volts per kelvin (CODATA 2018)."""


@dataclass(frozen=True)
class Retaining(Device):
    """A device whose change with time is thermally activated.

    At a temperature ``T`` the time that counts is ``time_s exp(E / k (1 / T_reference - 1 / T))``.

    Parameters
    ----------
    temperature_k : float
        Of the chip after programming, kelvin.
    reference_k : float
        Temperature at which the law was measured, kelvin: there nothing is accelerated.
    activation_ev : float
        Activation energy ``E``, electron volts.
    """

    temperature_k: float = 300.0
    reference_k: float = 300.0
    activation_ev: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("temperature_k", "reference_k"):
            self.check(name, 100 <= getattr(self, name) <= 1000, "between 100 and 1000 (kelvin)")
        self.check("activation_ev", 0 <= self.activation_ev <= 5, "between 0 and 5 (electron volts)")

    def aged(self, time_s: float) -> float:
        """Seconds at the reference temperature that change a device as much as ``time_s`` do here."""
        per_kelvin = 1 / self.reference_k - 1 / self.temperature_k
        return time_s * math.exp(self.activation_ev / BOLTZMANN_EV * per_kelvin)

    def with_temperature(self, text: str) -> str:
        """A description, followed by the temperature where it matters."""
        if self.temperature_k == self.reference_k:
            return text
        factor = f"{self.aged(1.0):.3g} times as fast ({self.activation_ev:g} eV)"
        return f"{text}; at {self.temperature_k:g} K, where time runs {factor}"
