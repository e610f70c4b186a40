"""When chips fail: the first time at which a chip's accuracy is below its target.

Accuracy is known at the evaluated times only, so a failure time is known to lie in (left, right]:
interval-censored on the grid. A chip below its target at the first time failed in (0, t_1]; a chip that
never was failed, if ever, in (t_last, infinity]. A chip that falls below and recovers between two evaluated
times is not seen to fail.
"""

import math
from numbers import Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from reliability.errors import UserError
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.order import quantile_indices, quantile_rank


class FailureQuantile(NamedTuple):
    """A quantile of the failure time, estimated to lie in (after, by]; its interval is (low, high]."""

    after: float
    by: float
    low: float
    high: float


def required_correct(target: float, inputs: int) -> int:
    """Fewest correct inputs that meet a target accuracy.

    Targets are compared in whole inputs: 0.9 * 10 is not always 9 in floating point, and `accuracy >= 0.9`
    then fails chips that meet the target.

    Raises
    ------
    UserError
        When the target is not a fraction.
    """
    if not isinstance(target, Real) or not 0.0 <= target <= 1.0:
        raise UserError(f"The target holds {target!r}; it must be an accuracy between 0 and 1, such as 0.9.")
    return max(0, math.ceil(target * inputs - 1e-9))


def first_failure(
    values: NDArray, required: float, times: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval (left, right] in which each chip first failed.

    Parameters
    ----------
    values : ndarray, shape (chips, times)
        Correct inputs (or a real-valued metric) of the same chips at each time.
    required : float
        A chip has failed where its value is below this; for counts take `required_correct`.
    times : array_like, shape (times,)
        Times, rising.

    Returns
    -------
    tuple of two ndarrays, shape (chips,)
        left and right, in the unit of the times; right is infinite for a chip that never failed.

    Raises
    ------
    UserError
        When the times do not rise or do not match the table.
    """
    grid = np.asarray(times, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != grid.size or grid.size == 0:
        raise UserError(
            f"The failure table holds shape {values.shape}; it needs a column for each of {grid.size} times."
        )
    if not (np.diff(grid) > 0.0).all():
        raise UserError(f"The times hold {grid.tolist()}; they must rise.")
    failed = values < required
    # Without any failure the first one comes after the last column.
    first = np.where(failed.any(axis=1), failed.argmax(axis=1), grid.size)
    ends = np.concatenate([[0.0], grid, [math.inf]])
    return ends[first], ends[first + 1]


def failure_quantile(
    left: NDArray[np.float64], right: NDArray[np.float64], q: float, level: float = 0.95
) -> FailureQuantile:
    """The time by which a fraction q of the chips has failed, with a distribution-free interval.

    The order statistics X_(l) and X_(u) of `quantile_indices` enclose the quantile; X_(l) lies above its
    left end and X_(u) at most at its right end, so (left_(l), right_(u)] encloses it too, with at least the
    same confidence.

    Parameters
    ----------
    left, right : ndarray, shape (chips,)
        From `first_failure`.
    q, level : float
        As `quantile_indices`.

    Returns
    -------
    FailureQuantile
        Ends may be 0 or infinite: before the first and after the last time nothing is known.
    """
    # All intervals lie on one grid, so left and right are sorted by the same order.
    lefts, rights = np.sort(left), np.sort(right)
    rank = quantile_rank(lefts.size, q)
    low, high = quantile_indices(lefts.size, q, level)
    return FailureQuantile(
        after=float(lefts[rank - 1]),
        by=float(rights[rank - 1]),
        low=0.0 if low is None else float(lefts[low - 1]),
        high=math.inf if high is None else float(rights[high - 1]),
    )


def failure_distribution(right: NDArray[np.float64], times: ArrayLike, level: float = 0.95) -> pd.DataFrame:
    """Fraction of chips that have failed by each time, with Clopper-Pearson intervals, one time by itself.

    Parameters
    ----------
    right : ndarray, shape (chips,)
        Right ends from `first_failure`.
    times : array_like, shape (times,)
        The same times.
    level : float
        Confidence of each interval by itself, not of the curve as a whole.

    Returns
    -------
    DataFrame
        One row a time: time, failed (fraction), low, high, level, chips.
    """
    rows = []
    for time in np.asarray(times, dtype=np.float64):
        failed = int(np.count_nonzero(right <= time))
        low, high = clopper_pearson(failed, right.size, level)
        rows.append((float(time), failed / right.size, low, high, level, right.size))
    return pd.DataFrame(rows, columns=["time", "failed", "low", "high", "level", "chips"])
