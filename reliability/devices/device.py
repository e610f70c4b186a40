"""What every device law offers: its numbers, its latents, and its two kernels."""

from __future__ import annotations

import dataclasses
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from reliability.errors import UserError

NORMAL = "normal"
UNIFORM = "uniform"
# What is redrawn at every read, and by write-verify, has keys of its own, which no latent may share.
_OWN_QUANTITIES = ("readings", "readout", "calibration", "verify_read", "verify_step")


@dataclass(frozen=True)
class Latent:
    """One independent draw per device: a standard normal, or a uniform on (0, 1].

    The name takes part in the key of the generator, so a law that keeps the name of a
    draw keeps its values.
    """

    name: str
    kind: str = NORMAL

    def __post_init__(self) -> None:
        if self.name in _OWN_QUANTITIES:
            raise UserError(
                f"a latent cannot be named {self.name!r}: reads and write-verify draw that themselves"
            )
        if self.kind not in (NORMAL, UNIFORM):
            raise UserError(
                f"latent {self.name!r} has kind {self.kind!r}, allowed are {NORMAL!r}, {UNIFORM!r}"
            )


@dataclass(frozen=True)
class Device(ABC):
    """A memory cell and its law.

    A law is a frozen dataclass of numbers with their units in their names, and two compiled
    kernels over blocks of devices (:mod:`reliability.kernels.law`): ``program`` writes what
    programming leaves in a device, ``conductance`` reads it at a time. Everything random
    enters through the latents named here, so one chip is a function of its latents.

    Attributes
    ----------
    law : str
        Name of the law, as chip files spell it.
    states : int
        Floats that a device keeps from its programming.
    program_latents, time_latents : tuple of Latent
        Drawn once per chip, and once per chip and evaluation time.
    program, conductance : compiled kernels
    verified : bool
        Whether the law was fitted to devices that write-verify had programmed; laws of any numbers are told.

    Parameters
    ----------
    g_max_us : float
        Conductance of the largest weight, microsiemens.
    g_min_us : float
        Conductance of a device that holds nothing, microsiemens. The two devices of a pair cancel it.
    note : str
        Where the numbers come from, and which of them are not verified.
    """

    law: ClassVar[str]
    states: ClassVar[int]
    program_latents: ClassVar[tuple[Latent, ...]] = ()
    time_latents: ClassVar[tuple[Latent, ...]] = ()
    program: ClassVar[Callable]
    conductance: ClassVar[Callable]
    verified: ClassVar[bool] = False

    g_max_us: float
    g_min_us: float = 0.0
    note: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in ("float", float):
                number = isinstance(value, numbers.Real) and not isinstance(value, bool)
                self.check(field.name, number and value == value, "a number")
        self.check("verified", isinstance(self.verified, bool), "true or false")
        self.check("g_max_us", 1e-6 <= self.g_max_us <= 1e6, "between 1e-6 and 1e6 (microsiemens)")
        self.check("g_min_us", 0 <= self.g_min_us < self.g_max_us, "at least 0 and below g_max_us")

    def check(self, name: str, holds: bool, allowed: str) -> None:
        """Raise :class:`UserError` for field ``name`` unless ``holds``; ``allowed`` says what is."""
        if not holds:
            raise UserError(f"device.{name} = {getattr(self, name)!r} of law {self.law!r} must be {allowed}")

    def check_numbers(
        self, name: str, count: int | None = None, low: float = -1e12, high: float = 1e12
    ) -> None:
        """Raise :class:`UserError` unless field ``name`` is a tuple of ``count`` numbers in a range."""
        values = getattr(self, name)
        good = isinstance(values, tuple) and len(values) > 0 and (count is None or len(values) == count)
        good = good and all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in values)
        many = "numbers" if count is None else f"{count} numbers"
        allowed = f"a list of {many} from {low:g} to {high:g}"
        self.check(name, good and all(low <= value <= high for value in values), allowed)

    @abstractmethod
    def program_parameters(self) -> tuple[float, ...]:
        """Numbers that the program kernel takes."""

    @abstractmethod
    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """Numbers that the conductance kernel takes at one time.

        Parameters
        ----------
        time_s : float
            Since the reference read.
        observation_s : float or None
            Where fluctuation accumulated over a time is split, the duration of one evaluation:
            slower parts are frozen during it, faster ones redrawn at every read. None freezes all.
        """

    @property
    def levels(self) -> int | None:
        """Conductances that a device can be programmed to, evenly spaced; None for any."""
        return None

    @property
    def bounds_us(self) -> tuple[float, float]:
        """Smallest and largest conductance that steps of write-verify can leave, microsiemens."""
        return (0.0, math.inf)

    def effects(self) -> dict[str, Device]:
        """The effects that the law has now, each with the same device that lacks it."""
        return {}

    def _without(self, scales: dict[str, str]) -> dict[str, Device]:
        """Effects by name, each with the device whose field that scales it is zero, where it is not yet."""
        present = {effect: field for effect, field in scales.items() if getattr(self, field) > 0}
        return {effect: replace(self, **cast(Any, {field: 0.0})) for effect, field in present.items()}

    @property
    def linear_in(self) -> str | None:
        """Field that scales all deviations from the targets and changes nothing else, if there is one."""
        return None

    def redraws(self, observation_s: float | None) -> bool:
        """Whether single reads redraw part of the conductance."""
        return False

    @abstractmethod
    def describe(self) -> str:
        """What the law does, in words and SI units, with its source."""
