"""Intervals of a proportion from a count of successes (yield, failed fraction)."""

import math
from numbers import Real

from scipy.special import betaincinv, ndtri

from reliability.errors import UserError
from reliability.statistics.interval import Interval, check_level


def check_counts(successes: int, trials: int) -> None:
    """Raise a `UserError` unless both are whole and there are between 0 and all successes."""
    numbers = isinstance(successes, Real) and isinstance(trials, Real)
    if not numbers or not 0 <= successes <= trials or successes % 1 or trials % 1:
        raise UserError(
            f"The counts hold {successes!r} successes in {trials!r} trials; both must be whole numbers, and "
            f"successes must be 0 to {trials}."
        )


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Two-sided exact interval of a proportion; it covers with at least `level`, whatever the proportion.

    Parameters
    ----------
    successes, trials : int
        Whole, 0 <= successes <= trials. With no trials the interval is (0, 1).
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    Interval
        Ends between 0 and 1.

    Raises
    ------
    UserError
        When the counts or the level are impossible.

    References
    ----------
    Clopper and Pearson, Biometrika 26:404 (1934).
    """
    check_level(level)
    check_counts(successes, trials)
    tail = (1.0 - level) / 2.0
    failures = trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1.0 - tail))
    return Interval(low, high)


def clopper_pearson_lower(successes: int, trials: int, level: float = 0.95) -> float:
    """One-sided exact lower bound of a proportion: the certificate "at least this much, this surely".

    Parameters and errors as `clopper_pearson`; the whole of 1 - level is spent on the lower side.
    """
    check_level(level)
    check_counts(successes, trials)
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, trials - successes + 1, 1.0 - level))


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Two-sided Wilson (score) interval of a proportion, for display: near `level` on average, not at least.

    Parameters and errors as `clopper_pearson`.

    References
    ----------
    Brown, Cai and DasGupta, Statistical Science 16:101 (2001).
    """
    check_level(level)
    check_counts(successes, trials)
    if trials == 0:
        return Interval(0.0, 1.0)
    z = float(ndtri(0.5 + level / 2.0))
    proportion = successes / trials
    stretch = 1.0 + z * z / trials
    centre = (proportion + z * z / (2.0 * trials)) / stretch
    half = z / stretch * math.sqrt(proportion * (1.0 - proportion) / trials + (z / (2.0 * trials)) ** 2)
    # At 0 or all successes one end is exactly 0 or 1; the subtraction would leave rounding there.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return Interval(low, high)
