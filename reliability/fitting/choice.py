"""Which distribution the residuals of the states have, chosen by BIC, and whether it can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reliability.devices.residual import DISTRIBUTIONS, Residual

_BINS = 240
_REACH = 6.0
_FEWEST = 20
_LEAST_PROBABILITY = 1e-300
# Shapes that no data can tell from the normal distribution, and where the search starts.
_STARTS = {"student_t": (4.0, 10.0), "skew_normal": (-2.0, 2.0), "lognormal": (-0.2, 0.2)}
_LARGEST_CORRECTION = 0.1


@dataclass(frozen=True, eq=False)
class Residuals:
    """Standardised residuals of the states that the clamp does not reach.

    Attributes
    ----------
    value : ndarray, shape (devices,)
        Over the standard deviation of the state; mean 0 and variance 1 in every state.
    state : ndarray of int, shape (devices,)
    low, high : ndarray, shape (states,)
        Where outliers begin.
    """

    value: np.ndarray
    state: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class Choice:
    """A distribution fitted to residuals.

    Attributes
    ----------
    residual : Residual
    start, scale : float
        Its mean and standard deviation in units of the residuals, which lack what outliers were cut with.
    table : DataFrame
        Every distribution with ``shape``, ``log_likelihood``, ``parameters`` and ``bic`` (differences from
        the lowest).
    """

    residual: Residual
    start: float
    scale: float
    table: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Histogram:
    """Counts of residuals, and how many of each state could have fallen into the cut-out tails."""

    middle: np.ndarray
    counts: np.ndarray
    low: np.ndarray
    high: np.ndarray
    devices: np.ndarray


def choose(residuals: Residuals) -> Choice:
    """Fit every distribution by maximum likelihood, outliers being cut off, and take the lowest BIC."""
    if residuals.value.size < _FEWEST:
        return Choice(Residual(), 0.0, 1.0, pd.DataFrame())
    histogram = _histogram(residuals)
    fits = {name: _fit(name, histogram) for name in DISTRIBUTIONS}
    count = residuals.value.size
    rows = []
    for name, (residual, _, _, likelihood) in fits.items():
        parameters = 2 if DISTRIBUTIONS[name] is None else 3
        rows.append(
            {
                "distribution": name,
                "shape": residual.shape if parameters == 3 else math.nan,
                "log_likelihood": likelihood,
                "parameters": parameters,
                "bic": parameters * math.log(count) - 2 * likelihood,
            }
        )
    table = pd.DataFrame(rows)
    best = str(table.loc[table["bic"].idxmin(), "distribution"])
    table["bic"] -= table["bic"].min()
    residual, start, scale, _ = fits[best]
    return Choice(residual, start, scale, table.sort_values("bic", ignore_index=True))


def _histogram(residuals: Residuals) -> _Histogram:
    counts, edges = np.histogram(residuals.value, _BINS, (-_REACH, _REACH))
    states = np.bincount(residuals.state, minlength=residuals.low.size)
    has = states > 0
    middle = 0.5 * (edges[1:] + edges[:-1])
    kept = counts > 0
    return _Histogram(middle[kept], counts[kept], residuals.low[has], residuals.high[has], states[has])


def _likelihood(residual: Residual, start: float, scale: float, data: _Histogram) -> float:
    """Log likelihood of binned residuals between the cuts."""
    density = residual.log_density((data.middle - start) / scale) - math.log(scale)
    inside = residual.cdf((data.high - start) / scale) - residual.cdf((data.low - start) / scale)
    found = data.counts @ density - data.devices @ np.log(np.maximum(inside, _LEAST_PROBABILITY))
    return float(found) if np.isfinite(found) else -1e12


def _fit(name: str, data: _Histogram) -> tuple[Residual, float, float, float]:
    """Shape, mean and standard deviation of highest likelihood."""
    from scipy.optimize import minimize

    limits = DISTRIBUTIONS[name]

    def unpack(x: np.ndarray) -> tuple[Residual, float, float]:
        shape = 0.0 if limits is None else float(np.clip(_to_shape(name, x[2]), *limits))
        return Residual(name, shape), float(x[0]), math.exp(float(np.clip(x[1], -1, 1)))

    best: tuple[float, np.ndarray] | None = None
    for begin in _STARTS.get(name, (None,)):
        x0 = np.array([0.0, 0.0] if begin is None else [0.0, 0.0, _from_shape(name, begin)])
        if best is None:
            start = _likelihood(*unpack(x0), data)
            best = (start, x0)
        simplex = np.vstack([x0, x0 + 0.05 * np.eye(x0.size)])
        options = {"xatol": 1e-3, "fatol": 1e-3, "maxfev": 250, "initial_simplex": simplex}
        done = minimize(lambda x: -_likelihood(*unpack(x), data), x0, method="Nelder-Mead", options=options)
        if -done.fun > best[0]:
            best = (float(-done.fun), done.x)
    assert best is not None
    return (*unpack(best[1]), best[0])


def _to_shape(name: str, x: float) -> float:
    return 1 / max(x, 1e-2) if name == "student_t" else x


def _from_shape(name: str, shape: float) -> float:
    return 1 / shape if name == "student_t" else shape


def correction(choice: Choice) -> tuple[float, float]:
    """Shift of the mean and factor on the standard deviation for what the cut took from the distribution."""
    held = np.clip(choice.start, -_LARGEST_CORRECTION, _LARGEST_CORRECTION)
    return float(held), float(np.clip(choice.scale, 1 - _LARGEST_CORRECTION, 1 + _LARGEST_CORRECTION))


def anderson_darling(residuals: Residuals, choice: Choice) -> float:
    """Anderson and Darling's statistic of the residuals between the cuts."""
    u = np.sort(_probabilities(residuals, choice))
    u = np.clip(u, 1e-12, 1 - 1e-12)
    n = u.size
    weight = 2 * np.arange(1, n + 1) - 1
    return float(-n - (weight @ (np.log(u) + np.log1p(-u[::-1]))) / n)


def _probabilities(residuals: Residuals, choice: Choice) -> np.ndarray:
    """Probability between the cuts that lies below each residual."""
    low, high = _limits(residuals, choice)
    return (choice.residual.cdf((residuals.value - choice.start) / choice.scale) - low) / (high - low)


def believable(residuals: Residuals, choice: Choice, resamples: int, seed: int) -> tuple[float, float, float]:
    """Anderson and Darling's statistic, its p-value, and the mean distance from the distribution.

    The p-value comes from draws of the fitted distribution. Every draw goes through what the data went
    through: the cut, the standardisation of each state, the fit of the distribution.
    """
    observed = anderson_darling(residuals, choice)
    random = np.random.default_rng(seed)
    counts = np.maximum(np.bincount(residuals.state, minlength=residuals.low.size), 1)
    larger = 0
    for _ in range(resamples):
        drawn = _between_cuts(residuals, choice, random.random(residuals.value.size))
        mean = np.bincount(residuals.state, drawn, counts.size) / counts
        centred = drawn - mean[residuals.state]
        sd = np.sqrt(np.bincount(residuals.state, centred**2, counts.size) / np.maximum(counts - 1, 1))
        sd = np.where(sd > 0, sd, 1.0)
        low, high = (residuals.low - mean) / sd, (residuals.high - mean) / sd
        own = Residuals(centred / sd[residuals.state], residuals.state, low, high)
        fitted = Choice(*_fit(choice.residual.distribution, _histogram(own))[:3], choice.table)
        larger += anderson_darling(own, fitted) >= observed
    u = _probabilities(residuals, choice)
    order = np.argsort(u)
    even = np.empty(u.size)
    even[order] = (np.arange(u.size) + 0.5) / u.size
    distance = float(np.abs(residuals.value - _between_cuts(residuals, choice, even)).mean())
    return observed, (larger + 1) / (resamples + 1), distance


def _between_cuts(residuals: Residuals, choice: Choice, u: np.ndarray) -> np.ndarray:
    """Values of the fitted distribution between the cuts of each device's state, with probabilities ``u``."""
    from scipy import special

    low, high = _limits(residuals, choice)
    xi = special.ndtri(low + (high - low) * u)
    grid = np.linspace(-8, 8, 3201)
    return choice.start + choice.scale * np.interp(xi, grid, choice.residual.quantile(grid))


def _limits(residuals: Residuals, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities below either cut, by device."""
    cuts = (residuals.low, residuals.high)
    low, high = (choice.residual.cdf((cut - choice.start) / choice.scale) for cut in cuts)
    return low[residuals.state], high[residuals.state]
