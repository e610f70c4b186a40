"""Expectation maximisation for a mixture of two normal distributions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from reliability.statistics.likelihood import Array

_STEPS = 500
_LEAST_WEIGHT = 0.01


class Mixture(NamedTuple):
    """Two normal components; ``weight`` is that of the first."""

    weight: float
    mean_1: float
    sd_1: float
    mean_2: float
    sd_2: float


def expectation_maximisation(values: Array, floor: float) -> list[Mixture]:
    """Stationary points of the likelihood reached from different splits of the sample.

    Starts are the lower and the upper part, cut at three places, and a core within the outer values of both
    sides, for two components of one mean. The likelihood has several maxima; the caller takes the greatest.

    Parameters
    ----------
    values : ndarray, shape (values,)
    floor : float
        Least standard deviation of a component: without one the likelihood of a component on a single value
        is unbounded.

    Returns
    -------
    list of Mixture
        One a start.

    References
    ----------
    Dempster, Laird and Rubin, Journal of the Royal Statistical Society B 39:1 (1977).
    """
    ordered = np.sort(values)
    rank = (np.arange(ordered.size) + 0.5) / ordered.size
    splits = [rank < cut for cut in (0.2, 0.5, 0.8)] + [np.abs(rank - 0.5) < half for half in (0.4, 0.25)]
    # Soft, so that a component can still give a value up.
    return [_climb(ordered, np.where(split, 0.9, 0.1), floor) for split in splits]


def _climb(values: Array, share: Array, floor: float) -> Mixture:
    found = _maximise(values, share, floor)
    for _ in range(_STEPS):
        before = found
        found = _maximise(values, _share(values, found), floor)
        if max(abs(new - old) for new, old in zip(found, before, strict=True)) < 1e-5:
            break
    return found


def _share(values: Array, mixture: Mixture) -> Array:
    """Probability that each value is of the first component."""
    weight, mean_1, sd_1, mean_2, sd_2 = mixture
    first = np.log(weight / sd_1) - 0.5 * np.square((values - mean_1) / sd_1)
    second = np.log((1.0 - weight) / sd_2) - 0.5 * np.square((values - mean_2) / sd_2)
    return expit(first - second)


def _maximise(values: Array, share: Array, floor: float) -> Mixture:
    count = values.size
    found = []
    for own in (share, 1.0 - share):
        total = max(float(own.sum()), 1e-300)
        mean = float(own @ values) / total
        variance = float(own @ np.square(values - mean)) / total
        found += [mean, max(variance**0.5, floor)]
    weight = min(max(float(share.sum()) / count, _LEAST_WEIGHT), 1.0 - _LEAST_WEIGHT)
    return Mixture(weight, *found)
