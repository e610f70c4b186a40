"""Intervals that hold for all conditions of a sweep at once.

Each of twenty 95 % intervals of a curve misses in one study of twenty; that all twenty hold is another claim.
For means every interval is given the level at which the largest of the correlated deviations stays inside
(max-|t|): the same chips stand under every condition, so this takes far less than the Bonferroni level.
Exact intervals of yields and quantiles take the Bonferroni level, at which they stay exact.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from reliability.errors import UserError
from reliability.statistics.interval import check_level

_DRAWS = 20_000
_CHUNK = 5_000


def bonferroni_level(count: int, level: float = 0.95) -> float:
    """Level of each of `count` intervals that together hold with `level`, however they depend on each other.

    Raises
    ------
    UserError
        When the count is below 1 or the level impossible.
    """
    check_level(level)
    if count < 1:
        raise UserError(f"The number of intervals holds {count}; it must be at least 1.")
    return 1.0 - (1.0 - level) / count


def joint_level(covariance: NDArray, level: float = 0.95) -> float:
    """Level of each interval at which the intervals of correlated, nearly normal estimates hold together.

    Parameters
    ----------
    covariance : ndarray, shape (estimates, estimates)
        Of the estimates, up to a factor; an estimate without variance counts as uncorrelated.
    level : float
        Confidence of all together, between 0 and 1.

    Returns
    -------
    float
        Between `level` and the Bonferroni level: what the largest absolute of correlated standard normals
        stays below, from 20,000 fixed draws, less 3 standard errors of that simulation. Intervals made at
        this level by Student's t, each with its own degrees of freedom, keep their own tails.

    Raises
    ------
    UserError
        When there is no estimate or the level is impossible.
    """
    count = covariance.shape[0]
    most = bonferroni_level(count, level)
    if count == 1:
        return level
    sd = np.sqrt(np.diag(covariance))
    correlation = (
        covariance / np.where(sd > 0.0, sd, math.inf) / np.where(sd > 0.0, sd, math.inf)[:, np.newaxis]
    )
    np.fill_diagonal(correlation, 1.0)
    # Means of unequal weights may leave tiny negative eigenvalues.
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    largest = np.concatenate([np.abs(drawn @ root).max(axis=1) for drawn in _draws(count)])
    safely = level + 3.0 * math.sqrt(level * (1.0 - level) / _DRAWS)
    z = float(np.quantile(largest, min(safely, 1.0)))
    return min(most, max(level, 2.0 * float(ndtr(z)) - 1.0))


@functools.lru_cache(maxsize=1)
def _draws(count: int) -> list[NDArray[np.float64]]:
    """The fixed standard normals, in chunks (draws, count): the same for every estimand of a summary."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((_CHUNK, count)) for _ in range(_DRAWS // _CHUNK)]


def chips_covariance(values: Sequence[NDArray]) -> NDArray:
    """Covariance of means over the same chips, these inputs held fixed.

    Parameters
    ----------
    values : sequence of ndarray, each shape (chips,)
        One value a chip, for each condition.
    """
    stacked = np.stack(values)
    return np.atleast_2d(np.cov(stacked)) / stacked.shape[1] if stacked.shape[1] > 1 else np.eye(len(stacked))


def population_covariance(rows: Sequence[NDArray], columns: Sequence[NDArray]) -> NDArray:
    """Covariance of means over the same chips and the same inputs, both of which vary.

    The interaction's part is left in both terms; it is small beside them and raises variances and covariances
    alike.

    Parameters
    ----------
    rows, columns : sequence of ndarray, each shape (chips,) or (inputs,)
        Means over the inputs of each chip, and over the chips of each input, for each condition.
    """
    return chips_covariance(rows) + chips_covariance(columns)
