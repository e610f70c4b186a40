"""Going on until the interval of a mean over chips is narrow enough, looked at again and again.

Where values are bounded the sequence is that of betting, which holds for every law: rare dead chips that
none of a hundred shows cost width, about 9 over the number of chips, and not confidence. Where they are not,
no sequence holds for every law, and the asymptotic one is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reliability.errors import UserError
from reliability.statistics.betting import betting_sequence
from reliability.statistics.interval import FRACTION, Interval
from reliability.statistics.sequential import confidence_sequence, look_counts
from reliability.statistics.skewed import third_of_mean

AT_EVERY_LOOK = "valid at every look"
"""What a method says whose interval holds although the number of chips was chosen by looking at it."""


def sequence_method(bounds: tuple[float, float] = FRACTION) -> str:
    """How the interval of values within these bounds is made."""
    kind = "betting" if np.isfinite(bounds).all() else "asymptotic"
    return f"{kind} confidence sequence, {AT_EVERY_LOOK}"


def mean_sequence(values: ArrayLike, alpha: float = 0.05, bounds: tuple[float, float] = FRACTION) -> Interval:
    """The interval of the mean over chips, these inputs held fixed, at the last look of a study.

    Parameters
    ----------
    values : array_like, shape (chips,)
        One value a chip, in the order in which they came, of at least 100 chips.
    alpha : float
        Probability of ever missing.
    bounds : tuple of two floats
        The least and the greatest value possible.

    Raises
    ------
    UserError
        As :func:`betting_sequence` and :func:`confidence_sequence`.
    """
    chips = np.asarray(values, np.float64)
    return _at_looks(chips, look_counts(chips.size), alpha, bounds)[-1]


def expected_widths(
    pilot: ArrayLike, maximum: int, alpha: float = 0.05, bounds: tuple[float, float] = FRACTION
) -> dict[int, float]:
    """Full width of the interval at each look, if chips go on like those of a pilot.

    Parameters
    ----------
    pilot : array_like, shape (chips,)
        Values of a few chips.
    maximum : int
        Most chips allowed, at least 100.
    alpha, bounds
        As in :func:`mean_sequence`.
    """
    looks = look_counts(maximum)
    found = _at_looks(np.resize(np.asarray(pilot, np.float64), maximum), looks, alpha, bounds)
    return {count: interval.width for count, interval in zip(looks, found, strict=True)}


def chips_needed(
    pilot: ArrayLike,
    width: float,
    maximum: int,
    alpha: float = 0.05,
    bounds: tuple[float, float] = FRACTION,
) -> int | None:
    """Chips at the first look whose interval is narrower than `width`, as :func:`expected_widths` says.

    None if there is none.

    Raises
    ------
    UserError
        When `width` is not positive.
    """
    if not width > 0.0:
        raise UserError(f"The interval width holds {width}; it must be above 0, such as 0.005.")
    widths = expected_widths(pilot, maximum, alpha, bounds)
    return next((count for count, own in widths.items() if own < width), None)


def _at_looks(
    chips: NDArray[np.float64], looks: Sequence[int], alpha: float, bounds: tuple[float, float]
) -> list[Interval]:
    if np.isfinite(bounds).all():
        return betting_sequence(chips, looks, alpha, bounds)
    found = []
    for count in looks:
        own = chips[:count]
        mean, sd = float(own.mean()), float(own.std(ddof=1))
        found.append(confidence_sequence(count, mean, sd, alpha, third=third_of_mean(own), bounds=bounds))
    return found
