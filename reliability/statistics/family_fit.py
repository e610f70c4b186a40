"""One family fitted to errors, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reliability.errors import UserError
from reliability.statistics.families import FAMILIES
from reliability.statistics.family import Family
from reliability.statistics.goodness import (
    anderson_darling,
    bootstrap_interval,
    bootstrap_p_value,
    kolmogorov_smirnov,
)
from reliability.statistics.interval import Interval
from reliability.statistics.likelihood import Array
from reliability.statistics.rounded import Rounded

_AT_ONCE = 200_000

# Between these probabilities quantiles are compared; beyond, those of few values say little.
_INNER = (0.01, 0.99)


@dataclass(frozen=True, eq=False)
class FamilyFit:
    """One family, fitted by maximum likelihood.

    Attributes
    ----------
    family : str
    parameters, intervals : dict
        By name, in the unit of the errors; each interval by itself.
    log_likelihood : float
        Of the errors as given, so that families can be compared: of the probabilities of their cells where
        they are rounded, of densities otherwise.
    aicc, bic : float
    anderson_darling, kolmogorov_smirnov : float
        The statistics A^2 and D.
    anderson_darling_p, kolmogorov_smirnov_p : float
        From resamples that were drawn from the fit and refitted.
    wasserstein : float
        Mean distance between the quantiles of errors and fit, in standard deviations of the errors.
    quantile_deviation : float
        The largest such distance from the 1 % to the 99 % quantile.
    """

    family: str
    parameters: dict[str, float]
    intervals: dict[str, Interval]
    log_likelihood: float
    aicc: float
    bic: float
    anderson_darling: float
    anderson_darling_p: float
    kolmogorov_smirnov: float
    kolmogorov_smirnov_p: float
    wasserstein: float
    quantile_deviation: float
    _theta: Array
    _shift: float
    _scale: float

    def cdf(self, x: ArrayLike) -> Array:
        """Probability of an error up to each value."""
        return self._evaluated(x, lambda family, z: family.cdf(z, self._theta[None]))

    def density(self, x: ArrayLike) -> Array:
        """Probability density at each value, per unit of the errors."""

        def density(family: Family, z: Array) -> Array:
            return np.exp(family.terms(z, self._theta[None])[0]) / self._scale

        return self._evaluated(x, density)

    def quantile(self, q: ArrayLike) -> Array:
        """Value of each probability, strictly between 0 and 1."""
        p = np.asarray(q, dtype=np.float64)
        if not ((p > 0.0) & (p < 1.0)).all():
            raise UserError("A quantile's probability q must lie between 0 and 1, such as 0.999.")
        found = FAMILIES[self.family].quantile(p.ravel(), self._theta)
        return self._shift + self._scale * found.reshape(p.shape)

    def _evaluated(self, x: ArrayLike, what: Callable[[Family, Array], Array]) -> Array:
        values = np.asarray(x, dtype=np.float64)
        z = (values.ravel() - self._shift) / self._scale
        family = FAMILIES[self.family]
        inside = z > 0.0 if family.positive else np.ones(z.size, bool)
        found = np.zeros(z.size)
        with np.errstate(all="ignore"):
            found[inside] = what(family, z[inside][None])[0]
        return found.reshape(values.shape)


def fit_family(
    family: Family,
    values: Array,
    resampled: Array,
    step: float | None,
    level: float,
    resamples: int,
    seed: Sequence[int],
) -> FamilyFit:
    """Fit a family to rising values, and refit it to resamples of the fit.

    Parameters
    ----------
    family : Family
    values, resampled : ndarray, shapes (values,), (resampled values,)
        Rising: all values, and those that tests and intervals are of.
    step : float or None
        Distance of neighbouring possible values.
    level : float
        Confidence of each interval by itself.
    resamples : int
    seed : sequence of int

    Returns
    -------
    FamilyFit
    """
    shift, scale = _standard(values, family.positive, step)
    law = family if step is None else Rounded(family, step / scale, -shift / scale)
    z, z_tested = (values - shift) / scale, (resampled - shift) / scale
    theta, log_likelihood = law.fit(z)
    own = theta if resampled.size == values.size else law.refit(z_tested[None], theta)[0]
    below = law.cdf(z_tested[None], own[None])
    distance, farthest = float(anderson_darling(below)[0]), float(kolmogorov_smirnov(below)[0])
    refits, distances, largest = _bootstrap(law, own, resampled.size, resamples, seed)

    narrowed = theta + (refits - own) * math.sqrt(resampled.size / values.size)
    told = family.told(theta[None], shift, scale)[0]
    of_refits = family.told(np.clip(narrowed, family.low, family.high), shift, scale)
    if step is None:
        # Probabilities of cells have no unit.
        log_likelihood -= values.size * math.log(scale)
    n, k = values.size, theta.size
    mean, most = _deviations(family, theta, law.spread(z[None])[0] if isinstance(law, Rounded) else z)
    return FamilyFit(
        family=family.name,
        parameters=dict(zip(family.parameters, map(float, told), strict=True)),
        intervals={
            parameter: bootstrap_interval(float(told[i]), of_refits[:, i], level)
            for i, parameter in enumerate(family.parameters)
        },
        log_likelihood=log_likelihood,
        aicc=2 * k - 2 * log_likelihood + 2 * k * (k + 1) / (n - k - 1),
        bic=k * math.log(n) - 2 * log_likelihood,
        anderson_darling=distance,
        anderson_darling_p=bootstrap_p_value(distance, distances),
        kolmogorov_smirnov=farthest,
        kolmogorov_smirnov_p=bootstrap_p_value(farthest, largest),
        wasserstein=mean,
        quantile_deviation=most,
        _theta=theta,
        _shift=shift,
        _scale=scale,
    )


def _standard(values: Array, positive: bool, step: float | None) -> tuple[float, float]:
    """Shift and scale that standardise values; positive ones are only scaled."""
    if positive:
        return 0.0, float(np.exp(np.log(np.maximum(values, 0.25 * (step or 0.0))).mean()))
    quarter, three_quarters = np.quantile(values, [0.25, 0.75])
    # Half of all values may be equal.
    return float(np.median(values)), float(three_quarters - quarter) / 1.349 or float(values.std())


def _bootstrap(
    law: Family | Rounded, theta: Array, count: int, resamples: int, seed: Sequence[int]
) -> tuple[Array, Array, Array]:
    """Refitted parameters, A^2 and D of samples drawn from a fit, a few samples at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // count)
    refits, distances, largest = [], [], []
    for first in range(0, resamples, at_once):
        drawn = law.draw(random, theta, (min(at_once, resamples - first), count))
        drawn.sort(axis=1)
        found = law.refit(drawn, theta)
        below = law.cdf(drawn, found)
        refits.append(found)
        distances.append(anderson_darling(below))
        largest.append(kolmogorov_smirnov(below))
    return np.concatenate(refits), np.concatenate(distances), np.concatenate(largest)


def _deviations(family: Family, theta: Array, z: Array) -> tuple[float, float]:
    """Mean and largest distance between quantiles of values and fit, in standard deviations."""
    places = min(z.size, 1000)
    p = (np.arange(places) + 0.5) / places
    observed = np.quantile(z, p, method="inverted_cdf")
    away = np.abs(observed - family.quantile(p, theta)) / z.std()
    inner = (p >= _INNER[0]) & (p <= _INNER[1])
    return float(away.mean()), float(away[inner].max())
