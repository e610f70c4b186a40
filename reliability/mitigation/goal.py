"""What a chip shall reach, for how long, and how sure that must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reliability.checks import is_number
from reliability.chip import Chip
from reliability.errors import UserError
from reliability.statistics.lifetime import required_correct
from reliability.units import DAY, HOUR, MONTH, YEAR, percent

_TIMES = (HOUR, DAY, MONTH, YEAR, 10 * YEAR)


@dataclass(frozen=True)
class Goal:
    """A chip passes if it meets its target at every time; so large a share of chips shall pass.

    Parameters
    ----------
    target : float, optional
        Accuracy, a fraction.
    max_drop : float, optional
        Without a target: what a chip may lose against the digital network on the same inputs.
    at_least : float
        Share of chips.
    times : tuple of float
        Seconds since the reference read, rising.
    confidence : float
    """

    target: float | None = None
    max_drop: float | None = None
    at_least: float = 0.95
    times: tuple[float, ...] = (0.0, HOUR, DAY, MONTH, YEAR)
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.target is None and self.max_drop is None:
            raise UserError("a goal has a target (an accuracy) or a max_drop (a loss of accuracy)")
        for name in ("target", "max_drop"):
            value = getattr(self, name)
            if value is not None and not (is_number(value, 0, 1) and value > 0):
                raise UserError(f"{name} = {value!r} must be a fraction above 0 and at most 1")
        for name in ("at_least", "confidence"):
            value = getattr(self, name)
            if not is_number(value, 0, 1) or value in (0, 1):
                raise UserError(f"{name} = {value!r} must be a fraction between 0 and 1, such as 0.95")
        numbers = all(is_number(time, 0, 1e12) for time in self.times)
        if not self.times or not numbers or any(np.diff(self.times) <= 0):
            raise UserError(f"times = {self.times!r} must be seconds from 0 to 1e12, rising")

    def required(self, reference: np.ndarray) -> int:
        """Fewest right answers of a chip that meets the target.

        Parameters
        ----------
        reference : ndarray of bool, shape (N,)
            Which of the inputs the digital network gets right.

        Raises
        ------
        UserError
            If a drop as large as ``max_drop`` leaves nothing.
        """
        if self.target is not None:
            return required_correct(self.target, len(reference))
        assert self.max_drop is not None
        wanted = float(reference.mean()) - self.max_drop
        if wanted <= 0:
            raise UserError(
                f"max_drop = {self.max_drop:g} leaves nothing of the digital network's "
                f"{float(reference.mean()):.4f}"
            )
        return required_correct(wanted, len(reference))

    def on(self, reference: np.ndarray) -> Goal:
        """The same goal with the accuracy that it asks for on inputs that the digital network sees so."""
        if self.max_drop is None:
            return self
        return replace(self, target=self.required(reference) / len(reference))

    def describe(self) -> str:
        """The goal in words."""
        drop = f"at most {100 * (self.max_drop or 0):.2f} points below the digital network's"
        wanted = f"an accuracy {drop}"
        if self.target is not None:
            wanted = f"an accuracy of at least {self.target:.2%}"
            wanted += "" if self.max_drop is None else f" ({drop})"
        return f"at least {percent(self.at_least)} of chips keep {wanted}"


def asked_goal(
    target: float | None,
    max_drop: float | None,
    at_least: float,
    times: tuple[float, ...],
    confidence: float,
) -> Goal:
    """The goal of one of an accuracy and a loss; a loss of one point where neither is given.

    Raises
    ------
    UserError
        If both are given, or a number is not allowed.
    """
    if target is not None and max_drop is not None:
        raise UserError("a recommendation has either a target or a max_drop")
    drop = 0.01 if target is None and max_drop is None else max_drop
    return Goal(target, drop, at_least, times, confidence)


def time_grid(chip: Chip, horizon_s: float) -> tuple[float, ...]:
    """Times at which a chip must meet its target: the reference read, the horizon, and times between.

    At least four, an hour, a day, a month, a year and ten years among them.

    Parameters
    ----------
    chip : Chip
    horizon_s : float
        Seconds.
    """
    if not is_number(horizon_s, 0, 1e12):
        raise UserError(f"horizon_s = {horizon_s!r} must be a number of seconds from 0 to 1e12")
    if horizon_s == 0:
        return (0.0,)
    times = [0.0, *(t for t in _TIMES if t < 0.9 * horizon_s), float(horizon_s)]
    if len(times) < 4:
        times = [0.0, *(float(t) for t in horizon_s * np.array([1e-2, 1e-1, 1.0]))]
    return tuple(times)


def is_steady(chip: Chip, layers: Sequence[str]) -> bool:
    """Whether nothing about a chip changes with time, so that one time stands for all."""
    if not math.isinf(chip.refresh_s):
        return False
    for place, name in enumerate(layers):
        own = chip.layer(name, place, len(layers))
        assert own.device is not None and own.telegraph is not None
        if not own.analog:
            continue
        early, late = (own.device.time_parameters(t, chip.frozen_below_s) for t in (0.0, 1e8))
        changes = early != late or own.device.time_latents or own.telegraph.is_on
        if changes or own.device.redraws(chip.frozen_below_s):
            return False
    return True
