"""Shares of a variance: ratios of two means over the same samples, with intervals.

A ratio R = E N / E V has no t interval of its own, because its estimate divides by a random number. Fieller's
interval asks instead which R make the mean of N - R V differ from zero too little to tell, and that mean has
a t interval. For squares of skewed quantities, which is what variances are made of, it covers near 95 % from
about 100 samples on, where the delta method needs a thousand.

References
----------
Fieller, Journal of the Royal Statistical Society B 16:175 (1954).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from reliability.errors import UserError
from reliability.statistics.interval import Interval, check_level


class NothingVaries(UserError):
    """There is no variance to share."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares of one variance, estimated from the same samples.

    Attributes
    ----------
    value, low, high : ndarray, shape (groups,)
        Each share with its interval.
    contributions : ndarray, shape (samples, groups)
        What each sample adds: their mean is `value`, and their covariance over the number of samples that of
        the estimates, to first order.
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    contributions: NDArray[np.float64]


def shares_of(parts: ArrayLike, whole: ArrayLike, level: float = 0.95) -> Shares:
    """Mean parts over the mean whole, each share with Fieller's interval.

    Parameters
    ----------
    parts : array_like, shape (samples, groups)
        Each sample's contribution to the groups' parts of a variance.
    whole : array_like, shape (samples,)
        Each sample's contribution to the variance.
    level : float
        Confidence of each interval by itself.

    Returns
    -------
    Shares
        Intervals are cut to [0, 1], where a share must lie, but never so that they lose the estimate, which
        may lie just outside.

    Raises
    ------
    UserError
        When there are fewer than 3 samples.
    NothingVaries
        When the samples are all equal.
    """
    check_level(level)
    numerators, denominators = np.asarray(parts, np.float64), np.asarray(whole, np.float64)
    samples = len(denominators)
    if samples < 3:
        raise UserError(f"Shares of a variance were asked of {samples} samples; at least 3 are needed.")
    total = float(denominators.mean())
    if not total > 0.0:
        raise NothingVaries(f"shares of a variance were asked of {samples} samples that do not differ at all")
    value = numerators.mean(axis=0) / total
    contributions = value + (numerators - value * denominators[:, np.newaxis]) / total
    ends = [fieller_interval(column, denominators, level) for column in numerators.T]
    low = np.array([max(end.low, min(0.0, v)) for end, v in zip(ends, value, strict=True)])
    high = np.array([min(end.high, max(1.0, v)) for end, v in zip(ends, value, strict=True)])
    return Shares(value, low, high, contributions)


def fieller_interval(numerators: ArrayLike, denominators: ArrayLike, level: float = 0.95) -> Interval:
    """Fieller's interval of the ratio of two means over the same samples.

    Infinite where the denominators' mean is not told from zero.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    samples = len(top)
    t = float(stdtrit(samples - 1, 0.5 + level / 2.0))
    (s_top, s_both), (_, s_bottom) = np.cov(top, bottom) * (t * t / samples)
    m_top, m_bottom = float(top.mean()), float(bottom.mean())
    # The R for which (m_top - R m_bottom)^2 is at most t^2 times its variance solve a quadratic equation.
    a = m_bottom * m_bottom - s_bottom
    b = m_top * m_bottom - s_both
    c = m_top * m_top - s_top
    if a <= 0.0:
        return Interval(-math.inf, math.inf)
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Interval((b - root) / a, (b + root) / a)
