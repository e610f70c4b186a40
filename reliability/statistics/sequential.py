"""Looking while the chips come in, and stopping, without spoiling the confidence.

An ordinary 95 % interval that is looked at again and again misses the truth at some look far
more often than in 5 % of studies. A confidence sequence covers at all looks together, so one may stop at any.

References
----------
Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics (2024), arXiv 2103.06476, for the mean;
Robbins, Annals of Mathematical Statistics 41:1397 (1970), for the proportion.
"""

import math
from collections.abc import Callable

from reliability.errors import UserError
from reliability.statistics.binomial import check_counts
from reliability.statistics.interval import FRACTION, Interval
from reliability.statistics.skewed import skewed_interval

FIRST_LOOK = 100
"""Chips before the first look; the sequence for a mean is asymptotic and needs a burn-in."""
EQUAL_BELOW = 1e-9
"""Spread below which all chips were equal: rounding leaves 1e-16, one other outcome on 10^6 inputs 10^-8."""
GROWTH = 1.25
"""Ratio of the chips at one look to those at the look before."""
TIGHTEST_AT = 500
"""Number of chips at which the sequence for a mean is tuned to be narrowest."""


def check_alpha(alpha: float) -> None:
    """Raise a `UserError` unless the error probability lies strictly between 0 and 1."""
    if not 0.0 < alpha < 1.0:
        raise UserError(
            f"The error probability alpha holds {alpha}; it must lie between 0 and 1, such as 0.05."
        )


def look_counts(maximum: int) -> tuple[int, ...]:
    """Numbers of chips at which to look: 100, then each about 1.25 times the last, ending at `maximum`.

    They are fixed beforehand, so the looks do not depend on threads, batches or interruptions.

    Raises
    ------
    UserError
        When `maximum` is below 100.
    """
    if maximum < FIRST_LOOK:
        raise UserError(
            f"The greatest number of chips holds {maximum}; "
            f"stopping by the width of an interval needs at least {FIRST_LOOK}."
        )
    counts = []
    count = float(FIRST_LOOK)
    while round(count) < maximum:
        counts.append(round(count))
        count *= GROWTH
    return (*counts, maximum)


def _half_width(count: int, sd: float, alpha: float, t_star: float) -> float:
    """Half width of the asymptotic confidence sequence of a mean (normal mixture)."""
    log_term = -2.0 * math.log(alpha)
    rho2 = (log_term + math.log(log_term + 1.0)) / t_star
    grown = count * rho2 + 1.0
    return sd * math.sqrt(2.0 * grown / (count**2 * rho2) * math.log(math.sqrt(grown) / alpha))


def confidence_sequence(
    count: int,
    mean: float,
    sd: float,
    alpha: float = 0.05,
    t_star: float = TIGHTEST_AT,
    third: float = 0.0,
    bounds: tuple[float, float] = FRACTION,
) -> Interval:
    """The interval of the mean over chips at one look of an asymptotic sequence, these inputs held fixed.

    With probability of about 1 - alpha the intervals at all looks from `FIRST_LOOK` chips on contain the
    mean together, once these chips show what the mean depends on. A rare kind of chip that none of them is
    ruins that: of chips near 0.9 with a spread of 0.005, of which 1 % are dead, the mean is missed at some
    look in a third of the studies. :func:`reliability.statistics.betting.betting_sequence` holds there.

    Parameters
    ----------
    count : int
        Chips so far, at least `FIRST_LOOK`.
    mean, sd : float
        Mean and standard deviation of the values of these chips.
    alpha : float
        Probability of ever missing.
    t_star : float
        Number of chips at which the sequence is narrowest.
    third : float
        Third central moment of the mean (`third_of_mean`), for whose skewness the ends are corrected by
        Hall's transformation.
    bounds : tuple of two floats
        The least and the greatest value possible.

    Returns
    -------
    Interval
        Within the bounds. Chips that are all equal so far get the sequence of Robbins for the probability
        of an unseen other value, so that the first look does not end the study by false certainty.

    Raises
    ------
    UserError
        When there are too few chips or alpha is impossible.
    """
    check_alpha(alpha)
    if count < FIRST_LOOK:
        raise UserError(f"The look has {count} chips; a confidence sequence starts at {FIRST_LOOK}.")
    if sd < EQUAL_BELOW:
        rare = proportion_sequence(0, count - 1, alpha).high
        return Interval(mean - rare * (mean - bounds[0]), mean + rare * (bounds[1] - mean))
    se = sd / math.sqrt(count)
    low, high = skewed_interval(mean, se, third, _half_width(count, sd, alpha, t_star) / se)
    return Interval(max(bounds[0], low), min(bounds[1], high))


def sequence_width(count: int, sd: float, alpha: float = 0.05) -> float:
    """Full width at `count` chips of spread `sd`, before clipping to (0, 1)."""
    check_alpha(alpha)
    if sd < EQUAL_BELOW:
        return proportion_sequence(0, count - 1, alpha).high
    return 2.0 * _half_width(count, sd, alpha, TIGHTEST_AT)


def proportion_sequence(successes: int, trials: int, alpha: float = 0.05) -> Interval:
    """The interval of a proportion (a yield) at one look of Robbins' confidence sequence.

    It holds every p with p^k (1 - p)^(n - k) (n + 1) C(n, k) >= alpha. All looks, from the first chip on,
    cover together with probability of at least 1 - alpha, exactly.

    Parameters
    ----------
    successes, trials : int
        k and n, 0 <= k <= n.
    alpha : float
        Probability of ever missing.

    Raises
    ------
    UserError
        When the counts or alpha are impossible.
    """
    check_alpha(alpha)
    check_counts(successes, trials)
    failures = trials - successes
    log_choose = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(failures + 1)
    threshold = math.log(alpha) - math.log(trials + 1) - log_choose

    def plausible(proportion: float) -> bool:
        # An end of the range is plausible only where no outcome contradicts it.
        if proportion in (0.0, 1.0):
            return (successes if proportion == 0.0 else failures) == 0
        return successes * math.log(proportion) + failures * math.log1p(-proportion) >= threshold

    best = successes / trials if trials else 0.5
    return Interval(_boundary(plausible, best, 0.0), _boundary(plausible, best, 1.0))


def _boundary(plausible: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where plausibility ends between a plausible and an end value, rounded outwards; the end if never."""
    if plausible(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2.0
        if plausible(middle):
            inside = middle
        else:
            outside = middle
    return outside
