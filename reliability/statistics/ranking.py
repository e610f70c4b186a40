"""Ranks of estimates, and which of them the data tell apart.

An estimated rank is as uncertain as the differences that make it. All pairs are compared at once, each by its
paired t statistic, with the allowed error shared out among them (Holm: pairs that are told apart leave their
part to the others). The lowest and highest rank that a group may have follow from the pairs told apart, and
hold for all groups together.

References
----------
Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91:476 (2024); Holm, Scandinavian Journal of
Statistics 6:65 (1979).
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from reliability.errors import UserError
from reliability.statistics.interval import check_level

# Differences that spread less than this share of what they are made of spread by rounding.
_ROUNDING = 1e-12


def ranking(values: ArrayLike, contributions: ArrayLike | None = None, level: float = 0.95) -> pd.DataFrame:
    """Ranks of estimates that were made from the same samples, the largest first.

    Parameters
    ----------
    values : array_like, shape (groups,)
        The estimates.
    contributions : array_like, shape (samples, groups), optional
        What each sample adds: the estimates are their means, or have their covariance (:class:`Shares`).
        Without them the values are taken as exact.
    level : float
        Probability with which all rank intervals hold together.

    Returns
    -------
    DataFrame
        One row a group: ``rank`` (1 is the largest; equal values share one), ``rank_low``, ``rank_high``, and
        ``resolved``, whether these two are equal. Groups whose difference is the same in all samples are told
        apart only where the values are exact.

    Raises
    ------
    UserError
        When the shapes do not fit or there are fewer than 3 samples.
    """
    check_level(level)
    value = np.asarray(values, np.float64)
    if contributions is None:
        above = value[:, np.newaxis] > value
    else:
        samples = np.asarray(contributions, np.float64)
        if samples.ndim != 2 or samples.shape[1:] != value.shape or len(samples) < 3:
            raise UserError(
                f"A ranking of {value.size} estimates was given contributions of shape {samples.shape}; "
                f"(samples, {value.size}) with at least 3 samples is needed."
            )
        above = _told_apart(value, samples, level)
    low = 1 + above.sum(axis=0)
    high = value.size - above.sum(axis=1)
    rank = 1 + (value[:, np.newaxis] > value).sum(axis=0)
    return pd.DataFrame({"rank": rank, "rank_low": low, "rank_high": high, "resolved": low == high})


def _told_apart(value: NDArray[np.float64], samples: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """Whether group i is above group j, for all pairs (i, j) together."""
    count = len(samples)
    covariance = np.atleast_2d(np.cov(samples.T)) / count
    variances = np.diag(covariance)
    squares = variances[:, np.newaxis] + variances - 2.0 * covariance
    varies = squares > _ROUNDING * (variances[:, np.newaxis] + variances)
    errors = np.sqrt(np.where(varies, squares, 1.0))
    t = np.where(varies, (value[:, np.newaxis] - value) / errors, 0.0)
    above = np.zeros_like(varies)
    while (still_open := varies & ~above).any():
        # Both directions of a pair count: neither is known to be the wrong one.
        told = still_open & (t > stdtrit(count - 1, 1.0 - (1.0 - level) / still_open.sum()))
        if not told.any():
            break
        above |= told
    return above
