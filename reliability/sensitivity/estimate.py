"""What a measure found for each group, with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reliability.sensitivity.drops import Drops
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import CHIPS
from reliability.statistics.shares import Shares

_EQUAL = "paired: all chips equal: exact binomial bound"
_DIFFERENT = "paired: Student t over chips, corrected for skewness"


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a measure found for each group.

    Attributes
    ----------
    groups : tuple of str
    value, low, high : ndarray, shape (groups,)
    method : str, or list of str
        How the intervals were made: all of them, or each.
    varies : str
        What varies in them.
    contributions : ndarray, shape (samples, groups), optional
        As :func:`reliability.statistics.ranking.ranking` takes them; None where the values are exact.
    """

    groups: tuple[str, ...]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    method: str | list[str]
    varies: str
    contributions: np.ndarray | None


def of_chips(drops: Drops, groups: Sequence[str], values: np.ndarray, reach: float = 1.0) -> Estimate:
    """Means over chips of one value a chip and group, shape (groups, chips)."""
    bounds = (reach * drops.bounds[0], reach * drops.bounds[1])
    intervals = [chips_interval(row, drops.question.level, bounds) for row in values]
    return Estimate(
        tuple(groups),
        values.mean(axis=1),
        np.array([interval.low for interval in intervals]),
        np.array([interval.high for interval in intervals]),
        [_EQUAL if (row == row[0]).all() else _DIFFERENT for row in values],
        CHIPS,
        values.T,
    )


def of_shares(groups: Iterable[str], shares: Shares, estimator: str) -> Estimate:
    """Shares of the variance between chips."""
    return Estimate(
        tuple(groups),
        shares.value,
        shares.low,
        shares.high,
        f"{estimator}, Fieller",
        CHIPS,
        shares.contributions,
    )


def of_blocks(estimate: Estimate, orders: np.ndarray, count: int, interval: str) -> Estimate:
    """The same, found from pairs of random orders, each pair on chips of its own."""
    method = f"{interval} over {len(orders)} random orders with their reverses, {count} chips each"
    return replace(estimate, method=method, varies=f"orders and {CHIPS}")


def exact(groups: Iterable[str], values: Sequence[float], method: str) -> Estimate:
    """Values in which nothing varies."""
    found = np.array(values)
    return Estimate(tuple(groups), found, found, found, method, "nothing: computed", None)
