"""Quantiles over chips with distribution-free intervals: order statistics and exact binomial probabilities.

The number of chips below the q-quantile is binomial(n, q), whatever the law of the
chips, so two order statistics enclose the quantile with a known probability. Ties
(accuracies are counts) only raise it.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, nctdtrit, ndtri

from reliability.errors import UserError
from reliability.statistics.interval import FRACTION, Interval, check_finite, check_level


class QuantileInterval(NamedTuple):
    """A quantile's estimate and the two ends of its interval, in the unit of the values."""

    estimate: float
    low: float
    high: float


def _check_quantile(count: int, q: float) -> None:
    if count < 1:
        raise UserError(f"The quantile was asked of {count} chips; at least 1 is needed.")
    if not 0.0 < q < 1.0:
        raise UserError(f"The quantile q holds {q}; it must lie between 0 and 1, such as 0.05.")


def _ordered(values: ArrayLike) -> NDArray[np.float64]:
    """The values of chips, rising."""
    chips = np.asarray(values, dtype=np.float64)
    check_finite(chips, "chips")
    return np.sort(chips)


def quantile_rank(n: int, q: float) -> int:
    """1-based rank of the order statistic that estimates the q-quantile: the least k with k / n >= q."""
    _check_quantile(n, q)
    # The small subtraction keeps q * n = 5.000000000000001 at rank 5.
    return min(n, max(1, math.ceil(q * n - 1e-9)))


@lru_cache(maxsize=256)
def quantile_indices(n: int, q: float, level: float = 0.95) -> tuple[int | None, int | None]:
    """1-based ranks (l, u) such that [X_(l), X_(u)] covers the q-quantile with at least `level`.

    Of all pairs the one with the smallest u - l is taken, and of those the one with the highest probability
    BinomialCDF(u - 1; n, q) - BinomialCDF(l - 1; n, q).

    Parameters
    ----------
    n : int
        Number of chips, at least 1.
    q : float
        The quantile's probability, between 0 and 1.
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    tuple
        (l, u). A side for which n is too small is None: the trivial bound stands there. The other side then
        has the whole of 1 - level.

    Raises
    ------
    UserError
        When n, q or level are impossible.

    References
    ----------
    David and Nagaraja, Order Statistics, 3rd ed. (2003), section 7.1.
    """
    check_level(level)
    _check_quantile(n, q)
    below = np.concatenate(
        [[0.0], bdtr(np.arange(n), n, q), [1.0]]
    )  # below[k] = P(fewer than k chips lie below)

    def shortest(lows: np.ndarray, highest: int) -> tuple[int, int] | None:
        highs = np.searchsorted(below[: highest + 1], below[lows] + level)
        inside = highs <= highest
        if not inside.any():
            return None
        lows, highs = lows[inside], highs[inside]
        shortest_first = np.lexsort((lows, below[lows] - below[highs], highs - lows))[0]
        return int(lows[shortest_first]), int(highs[shortest_first])

    both = shortest(np.arange(1, n + 1), n)
    if both is not None:
        return both
    low, high = shortest(np.arange(n + 1), n + 1) or (0, n + 1)
    return (low or None, high if high <= n else None)


def quantile_interval(
    values: ArrayLike, q: float, level: float = 0.95, bounds: tuple[float, float] = FRACTION
) -> QuantileInterval:
    """Estimate of the q-quantile over chips and its distribution-free interval.

    Parameters
    ----------
    values : array_like, shape (chips,)
        One value per chip.
    q, level : float
        As `quantile_indices`.
    bounds : tuple of two floats
        The trivial bounds, used on a side for which there are too few chips.

    Returns
    -------
    QuantileInterval
        The estimate is the order statistic of rank ceil(q n): an observed value, never an interpolated one.

    Raises
    ------
    UserError
        When there is no chip, a value is not finite, or q or the level is impossible.
    """
    ordered = _ordered(values)
    rank = quantile_rank(ordered.size, q)
    low, high = quantile_indices(ordered.size, q, level)
    return QuantileInterval(
        float(ordered[rank - 1]),
        bounds[0] if low is None else float(ordered[low - 1]),
        bounds[1] if high is None else float(ordered[high - 1]),
    )


def one_sided_index(n: int, q: float, confidence: float = 0.95) -> int | None:
    """1-based rank l, the largest for which X_(l) is a lower bound of the q-quantile with this confidence.

    None where n is too small (fewer than `minimum_chips`). Errors as `quantile_indices`.
    """
    check_level(confidence)
    _check_quantile(n, q)
    at_least = 1.0 - bdtr(np.arange(n), n, q)  # at_least[l - 1] = P(at least l chips lie below the quantile)
    rank = int(np.count_nonzero(at_least >= confidence))
    return rank or None


def minimum_chips(q: float, confidence: float = 0.95) -> int:
    """Fewest chips of which the worst is a lower bound of the q-quantile with this confidence.

    So with q = 0.05 and confidence 0.95 it takes 59 chips to say "95 % of all chips are at least as good as
    the worst one seen" (Wilks, Annals of Mathematical Statistics 12:91, 1941).
    """
    check_level(confidence)
    _check_quantile(1, q)
    return math.ceil(math.log1p(-confidence) / math.log1p(-q))


@lru_cache(maxsize=256)
def tolerance_indices(n: int, share: float, confidence: float = 0.95) -> tuple[int, int] | None:
    """1-based ranks (l, u) such that, so surely, [X_(l), X_(u)] holds at least this share of all chips.

    The ranks are as near to each other, and as near to the middle, as they can be. What lies between u - l
    spacings of order statistics follows the beta law Beta(u - l, n - u + l + 1) whatever the chips' law.

    Parameters
    ----------
    n : int
        Number of chips, at least 1.
    share : float
        Of all chips, between 0 and 1.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    tuple of int or None
        None where n is too small; 93 chips are needed for 95 % of chips with confidence 0.95.

    References
    ----------
    Wilks, Annals of Mathematical Statistics 12:91 (1941).
    """
    check_level(confidence)
    _check_quantile(n, share)
    # P(what lies in m spacings >= share) = P(fewer than m of n draws lie in a region of that share).
    enough = np.flatnonzero(bdtr(np.arange(n - 1), n, share) >= confidence) if n > 1 else np.array([])
    if enough.size == 0:
        return None
    spacings = int(enough[0]) + 1
    low = (n + 1 - spacings) // 2
    return low, low + spacings


def tolerance_interval(
    values: ArrayLike, share: float, confidence: float = 0.95, bounds: tuple[float, float] = FRACTION
) -> Interval:
    """Between which values at least this share of all chips lies, with this confidence.

    Parameters and errors as `tolerance_indices`, which see, and values must be finite; with too few chips
    the bounds.
    """
    ordered = _ordered(values)
    ranks = tolerance_indices(ordered.size, share, confidence)
    if ranks is None:
        return Interval(*bounds)
    return Interval(float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]))


def tolerance_bound(
    values: ArrayLike, share: float, confidence: float = 0.95, bounds: tuple[float, float] = FRACTION
) -> float:
    """What at least this share of all chips reaches or exceeds, with this confidence.

    It is the order statistic of `one_sided_index` for the (1 - share)-quantile; the least possible value
    where there are fewer than `minimum_chips`. Values must be finite.
    """
    ordered = _ordered(values)
    rank = one_sided_index(ordered.size, 1.0 - share, confidence)
    return bounds[0] if rank is None else float(ordered[rank - 1])


def normal_tolerance_factor(n: int, share: float, confidence: float = 0.95) -> float:
    """Factor k of mean - k sd, what this share of chips exceeds with this confidence, if chips are normal.

    Only for chips that are known to be normal: of skewed, discrete accuracies the 5 % chip that such a fit
    gives was covered in 29 to 40 % of samples only; `tolerance_bound` supposes nothing.

    References
    ----------
    Owen, Technometrics 10:445 (1968).
    """
    check_level(confidence)
    _check_quantile(n, share)
    if n < 2:
        raise UserError("The normal tolerance factor was asked of 1 chip; at least 2 are needed.")
    centre = float(ndtri(share)) * math.sqrt(n)
    return float(nctdtrit(n - 1, centre, confidence)) / math.sqrt(n)
