"""Estimates with a control variate, from independent groups, and from samples of unequal probability."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from reliability.errors import UserError
from reliability.statistics.interval import check_level


class Controlled(NamedTuple):
    """An estimate with its standard error and interval.

    ``slope`` is the coefficient of the control, ``df`` the degrees of freedom of the interval.
    """

    value: float
    error: float
    low: float
    high: float
    slope: float
    df: int


def controlled_mean(
    values: np.ndarray, controls: np.ndarray, *, known_error: float = 0.0, level: float = 0.95
) -> Controlled:
    """Mean of independent values whose controls have mean zero, by regression on the control.

    The intercept of an ordinary regression with its t interval (S. S. Lavenberg and P. D. Welch, Manage. Sci.
    27:322, 1981).

    Parameters
    ----------
    values, controls : ndarray, shape (groups,)
    known_error : float
        Standard error of the control's mean, where that is itself estimated from other draws.
    level : float

    Raises
    ------
    UserError
        With fewer than four groups.
    """
    check_level(level)
    count = len(values)
    if count < 4 or len(controls) != count:
        raise UserError(
            f"{count} values and {len(controls)} controls: give at least four of each, as many of both"
        )
    centred = controls - controls.mean()
    power = float(centred @ centred)
    slope = float(centred @ (values - values.mean())) / power if power > 0 else 0.0
    value = float(values.mean() - slope * controls.mean())
    df = count - 2 if power > 0 else count - 1
    residual = values - values.mean() - slope * centred
    scale = 1 / count + (controls.mean() ** 2 / power if power > 0 else 0.0)
    error = math.sqrt(float(residual @ residual) / df * scale + (slope * known_error) ** 2)
    half = float(stdtrit(df, 0.5 + level / 2)) * error
    return Controlled(value, error, value - half, value + half, slope, df)


def inclusion_probabilities(sizes: np.ndarray, count: int) -> np.ndarray:
    """Probabilities proportional to sizes, at most one, that add up to ``count``.

    Parameters
    ----------
    sizes : ndarray, shape (N,)
        Above zero, since estimates divide by the probabilities.
    count : int
        From 1 to N.

    Raises
    ------
    UserError
        When a size is not above zero and finite, or the count is not allowed.
    """
    if not ((sizes > 0.0) & (sizes < math.inf)).all():
        raise UserError("The sizes of a sample's candidates must all be finite and above 0.")
    if not 1 <= count <= len(sizes) or count % 1:
        raise UserError(
            f"The sample holds {count} of {len(sizes)}; it must be a whole number from 1 to {len(sizes)}."
        )
    found = np.zeros(len(sizes))
    certain = np.zeros(len(sizes), bool)
    while True:
        left = count - certain.sum()
        found[certain] = 1.0
        found[~certain] = sizes[~certain] * (left / sizes[~certain].sum()) if (~certain).any() else 0.0
        beyond = found > 1
        if not beyond.any():
            return np.minimum(found, 1.0)
        certain |= beyond


def systematic_sample(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sample with given inclusion probabilities and a fixed size: every unit step along a random order.

    Systematic sampling (W. G. Madow, Ann. Math. Stat. 20:333, 1949).

    Parameters
    ----------
    probabilities : ndarray, shape (N,)
        Whose sum is a whole number.
    rng : Generator

    Returns
    -------
    ndarray of int
        Chosen places, in order.
    """
    order = rng.permutation(len(probabilities))
    count = round(float(probabilities.sum()))
    ends = np.cumsum(probabilities[order])
    # Rounding must not lose the last one.
    ends[-1] = max(ends[-1], count)
    picks = np.searchsorted(ends, rng.random() + np.arange(count), side="right")
    return np.sort(order[np.minimum(picks, len(order) - 1)])
