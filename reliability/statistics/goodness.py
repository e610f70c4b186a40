"""Distances between a sample and a distribution, and bootstrap intervals from refitted samples."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from reliability.statistics.interval import Interval
from reliability.statistics.likelihood import Array

# The logarithm of a probability is cut here, so that one impossible value does not make a statistic infinite.
_LEAST = 1e-16


def anderson_darling(below: Array) -> Array:
    """Anderson and Darling's A^2 of each sample, from its rising probabilities (samples, values).

    Ties are no special case: equal values have equal probabilities.
    """
    n = below.shape[1]
    u = np.clip(below, _LEAST, 1.0 - _LEAST)
    weight = 2.0 * np.arange(1, n + 1) - 1.0
    return -n - (np.log(u) @ weight + np.log1p(-u) @ weight[::-1]) / n


def kolmogorov_smirnov(below: Array) -> Array:
    """Largest distance D between the two distribution functions, of each sample as `anderson_darling`."""
    n = below.shape[1]
    steps = np.arange(n + 1) / n
    return np.maximum((steps[1:] - below).max(axis=1), (below - steps[:-1]).max(axis=1))


def bootstrap_p_value(statistic: float, resampled: Array) -> float:
    """Share of the resamples at least as far off, the sample itself counted among them."""
    return (1 + int(np.count_nonzero(resampled >= statistic))) / (resampled.size + 1)


def bootstrap_interval(value: float, resampled: Array, level: float) -> Interval:
    """Bias-corrected percentile interval of a parameter from its refits.

    References
    ----------
    Efron, Canadian Journal of Statistics 9:139 (1981).
    """
    count = resampled.size
    below = (np.count_nonzero(resampled < value) + 0.5 * np.count_nonzero(resampled == value)) / count
    bias = ndtri(min(max(below, 0.5 / count), 1.0 - 0.5 / count))
    tails = ndtr(2.0 * bias + ndtri([0.5 - 0.5 * level, 0.5 + 0.5 * level]))
    low, high = np.quantile(resampled, tails)
    return Interval(float(low), float(high))
