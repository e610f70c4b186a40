"""Which distribution errors have: nine families, their ranking, tests of fit, intervals and the tail.

A continuous law of discrete values, such as accuracies, which are whole multiples of 1/N, describes the
values before they were rounded to their grid. With ``step`` given it is fitted by the probabilities of the
grid's cells, and resamples are rounded to it too: a test for continuous values rejects even the true law, for
the ties alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from reliability.errors import UserError
from reliability.statistics.families import FAMILIES, Family
from reliability.statistics.goodness import (
    anderson_darling,
    bootstrap_interval,
    bootstrap_p_value,
    kolmogorov_smirnov,
)
from reliability.statistics.interval import Interval, check_level
from reliability.statistics.likelihood import Array
from reliability.statistics.rounded import Rounded
from reliability.statistics.tail import Tail, fit_tail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEWEST = 20
_FEWEST_RESAMPLES = 99
_MOST_RESAMPLED = 10_000
_AT_ONCE = 200_000
_TIED = 0.05
_REJECTED = 0.05
_METHOD = "parametric bootstrap, bias-corrected percentiles"
_VARIES = "errors, drawn from this family"
# Between these probabilities quantiles are compared; beyond, those of few values say little.
_INNER = (0.01, 0.99)
_PLACES, _OUTER_PLACES = 400, 30
_GRID = 600


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


@dataclass(frozen=True, eq=False)
class DistributionFit:
    """Families fitted to errors, and how sure that is.

    Attributes
    ----------
    errors : ndarray, shape (values,)
        Sorted.
    fits : tuple of FamilyFit
        Lowest AICc first.
    name : str
        What the errors are.
    step : float or None
        Distance of neighbouring possible values.
    level : float
        Confidence of each interval by itself.
    resamples, resampled : int
        How many resamples were refitted, of how many values each.
    notes : tuple of str
        What to know before a fit is believed.
    """

    errors: Array
    fits: tuple[FamilyFit, ...]
    name: str
    step: float | None
    level: float
    resamples: int
    resampled: int
    notes: tuple[str, ...]

    @property
    def best(self) -> FamilyFit:
        """The family of lowest AICc; its p-values say whether it, too, is to be rejected."""
        return self.fits[0]

    def table(self) -> pd.DataFrame:
        """A row a family and parameter, best family first.

        Returns
        -------
        DataFrame
            ``family``, ``parameter``, ``value``, ``low``, ``high``, ``level``, ``method``, ``varies``; then
            of the whole family, the same in each of its rows: ``log_likelihood``, ``aicc``, ``bic``,
            ``akaike_weight``, ``anderson_darling``, ``anderson_darling_p``, ``kolmogorov_smirnov``,
            ``kolmogorov_smirnov_p``, ``wasserstein`` and ``quantile_deviation`` (both in standard
            deviations); and ``values`` and ``resamples``.
        """
        weights = np.exp(-0.5 * np.array([fit.aicc - self.best.aicc for fit in self.fits]))
        weights /= weights.sum()
        rows = [
            {
                "family": fit.family,
                "parameter": parameter,
                "value": value,
                "low": fit.intervals[parameter].low,
                "high": fit.intervals[parameter].high,
                "level": self.level,
                "method": _METHOD,
                "varies": _VARIES,
                "log_likelihood": fit.log_likelihood,
                "aicc": fit.aicc,
                "bic": fit.bic,
                "akaike_weight": weight,
                "anderson_darling": fit.anderson_darling,
                "anderson_darling_p": fit.anderson_darling_p,
                "kolmogorov_smirnov": fit.kolmogorov_smirnov,
                "kolmogorov_smirnov_p": fit.kolmogorov_smirnov_p,
                "wasserstein": fit.wasserstein,
                "quantile_deviation": fit.quantile_deviation,
                "values": self.errors.size,
                "resamples": self.resamples,
            }
            for fit, weight in zip(self.fits, weights, strict=True)
            for parameter, value in fit.parameters.items()
        ]
        return pd.DataFrame(rows)

    def densities(self) -> pd.DataFrame:
        """Density of the errors (a histogram) and of every family, on a fine grid over 99.8 % of the errors.

        Returns
        -------
        DataFrame
            ``error``, ``observed``, and a column a family.
        """
        errors, step = self.errors, self.step
        low, high = np.quantile(errors, [0.001, 0.999])
        quarter, three_quarters = np.quantile(errors, [0.25, 0.75])
        # Freedman and Diaconis's width; half of all values may be equal.
        width = 2.0 * (three_quarters - quarter) * errors.size ** (-1 / 3) or (high - low) / 30
        width = max(width, (high - low) / 150)
        start = low
        if step is not None:
            # Bins that hold different numbers of possible values would show stripes.
            width = max(1, round(width / step)) * step
            start = (round(low / step) - 0.5) * step
        first = math.floor((errors[0] - start) / width)
        bins = np.floor((errors - start) / width).astype(int) - first
        heights = np.bincount(bins) / (errors.size * width)
        edge = 0.08 * (high - low) + 0.5 * width
        x = np.linspace(low - edge, high + edge, _GRID)
        bin_of_x = np.floor((x - start) / width).astype(int) - first
        inside = (bin_of_x >= 0) & (bin_of_x < heights.size)
        observed = np.where(inside, heights[np.clip(bin_of_x, 0, heights.size - 1)], 0.0)
        return pd.DataFrame(
            {"error": x, "observed": observed} | {fit.family: fit.density(x) for fit in self.fits}
        )

    def quantiles(self) -> pd.DataFrame:
        """Quantiles of the errors and of every family: at most 400, and both tails whole.

        Returns
        -------
        DataFrame
            ``probability``, ``observed``, and a column a family.
        """
        n = self.errors.size
        some = np.arange(n)
        if n > _PLACES:
            middle = np.linspace(0, n - 1, _PLACES - 2 * _OUTER_PLACES).round().astype(int)
            some = np.unique(np.concatenate([some[:_OUTER_PLACES], middle, some[-_OUTER_PLACES:]]))
        p = (some + 0.5) / n
        return pd.DataFrame(
            {"probability": p, "observed": self.errors[some]}
            | {fit.family: fit.quantile(p) for fit in self.fits}
        )

    def tail(self, above: float = 0.9, side: str = "upper") -> Tail:
        """The tail without belief in any family; parameters as :func:`reliability.statistics.fit_tail`."""
        return fit_tail(self.errors, above=above, side=side, step=self.step, level=self.level)

    def figure(self) -> Figure:
        """The errors as a histogram with the best densities, and their quantiles against the best fit's."""
        from reliability.plots.error_distribution import error_distribution

        return error_distribution(self.table(), self.densities(), self.quantiles(), self.name)

    def plot(self, path: str | Path) -> None:
        """Write the figure; the file's ending names the format."""
        from reliability.plots.style import save

        save(self.figure(), [Path(path)])


def fit_error_distribution(
    errors: ArrayLike,
    *,
    families: Sequence[str] | None = None,
    name: str = "error",
    step: float | None = None,
    level: float = 0.95,
    resamples: int = 399,
    seed: int = 0,
) -> DistributionFit:
    """Fit families of distributions to errors, rank them, and test whether any can be believed.

    On the whole line: ``normal``, ``student_t``, ``skew_normal``, ``logistic``, ``generalised_extreme_value``
    (of maxima; its shape, positive for heavy upper tails, is held above -1/2, where maximum likelihood is
    regular, and at most 1) and ``normal_mixture`` (two components, none narrower than 2 % of the spread).
    Three of them have three parameters, the mixture five, the others two. ``lognormal``, ``gamma`` and
    ``weibull`` have two parameters and location zero, since a free location makes their likelihoods
    unbounded: they are offered only where all errors are positive, or zero by rounding. For values below a
    bound, such as accuracies, whose lower tail is the long one, fit ``1 - accuracy``.

    Every resample is drawn from a fitted family and refitted, beginning at the parameters that it was drawn
    under; from the refits come both the p-values of the tests and the intervals (bias-corrected percentiles).
    The intervals therefore hold for a family that is the right one. All errors count as independent: errors
    of one chip that share its devices are not, and p-values are then too small. With very many errors every
    family is rejected, and ``wasserstein`` and ``quantile_deviation`` say whether it matters.

    Beyond 10 000 errors the families are fitted to all, but tests are of 10 000 chosen by chance, and
    intervals are those of 10 000 narrowed by the square root of the ratio; a note says so.

    Parameters
    ----------
    errors : array_like
        Any shape, at least 20 finite values, not all equal: errors of multiplications, layer outputs or
        logits, or accuracies over chips.
    families : sequence of str, optional
        Only these; None takes all that can be offered.
    name : str
        What the errors are, for the figure.
    step : float, optional
        Distance of neighbouring possible values where they are discrete, such as 1/N for accuracies on N
        inputs. The likelihood is then that of the cells of this grid, and resamples are rounded to it.
    level : float
        Confidence of intervals.
    resamples : int
        Bootstrap resamples of each family, at least 99.
    seed : int

    Returns
    -------
    DistributionFit

    Raises
    ------
    UserError
        When the errors are too few, not finite or all equal, a family is unknown or cannot be offered, or a
        number is not allowed.

    References
    ----------
    Stute, Gonzales Manteiga and Presedo Quindimil, Metrika 40:243 (1993), for the bootstrap of the tests;
    Burnham and Anderson, Model Selection and Multimodel Inference, 2nd ed. (2002), for AICc.
    """
    check_level(level)
    values = _checked(errors, step)
    if resamples < _FEWEST_RESAMPLES:
        raise UserError(f"resamples = {resamples!r} must be at least {_FEWEST_RESAMPLES}")
    chosen = _offered(values, families, step)
    resampled = values
    if values.size > _MOST_RESAMPLED:
        random = np.random.default_rng([seed, len(FAMILIES)])
        resampled = np.sort(random.choice(values, _MOST_RESAMPLED, replace=False))
    order = list(FAMILIES)
    fits = [
        _fitted(FAMILIES[family], values, resampled, step, level, resamples, [seed, order.index(family)])
        for family in chosen
    ]
    fits.sort(key=lambda fit: fit.aicc)
    left_out = families is None and len(chosen) < len(order)
    notes = _notes(values, step, chosen if left_out else None, fits[0])
    return DistributionFit(values, tuple(fits), name, step, level, resamples, resampled.size, notes)


def _checked(errors: ArrayLike, step: float | None) -> Array:
    try:
        given = np.asarray(errors)
    except ValueError:  # nested lists of unequal lengths
        raise UserError(
            "The errors are lists of unequal lengths; they must be an array of numbers."
        ) from None
    if given.dtype.kind not in "iuf":
        raise UserError(f"The errors hold {given.dtype} values; all must be finite numbers.")
    values = given.ravel().astype(np.float64)
    if values.size < _FEWEST:
        raise UserError(f"The errors hold {values.size} values; at least {_FEWEST} are needed.")
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise UserError(f"The errors hold {bad} values that are NaN or infinite; all must be finite.")
    # A spread of rounding alone is no spread.
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise UserError(f"The errors all hold {values[0]:g}; a distribution needs values that differ.")
    if step is not None:
        if not 0.0 < step < math.inf:
            raise UserError(f"step = {step!r} must be above 0, such as 0.001 for accuracies on 1000 inputs")
        off = np.abs(values / step - np.round(values / step))
        if off.max() > 1e-3:
            raise UserError(
                f"The errors hold {values[off.argmax()]:.9g}; with step = {step:g} all must be its multiples."
            )
    return np.sort(values)


def _offered(values: Array, families: Sequence[str] | None, step: float | None) -> list[str]:
    # What was rounded to zero may have been positive.
    positive = values[0] > 0.0 if step is None else values[0] > -0.5 * step
    if families is None:
        return [name for name, family in FAMILIES.items() if positive or not family.positive]
    if isinstance(families, str) or not families:
        raise UserError(f"families = {families!r} must list at least one of {', '.join(FAMILIES)}")
    for name in families:
        if name not in FAMILIES:
            raise UserError(f"families holds {name!r}; each must be one of {', '.join(FAMILIES)}")
        if FAMILIES[name].positive and not positive:
            raise UserError(
                f"families holds {name!r}, which needs positive errors; the least is {values[0]:g}"
            )
    return list(dict.fromkeys(families))


def _fitted(
    family: Family,
    values: Array,
    resampled: Array,
    step: float | None,
    level: float,
    resamples: int,
    seed: Sequence[int],
) -> FamilyFit:
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


def _notes(
    values: Array, step: float | None, offered: Sequence[str] | None, best: FamilyFit
) -> tuple[str, ...]:
    notes = []
    distinct = np.unique(values).size
    if step is None and distinct < (1.0 - _TIED) * values.size:
        notes.append(
            f"{values.size} errors hold {distinct} different values: tests without a step reject every "
            f"continuous law for the ties alone"
        )
    if step is not None:
        notes.append(
            f"errors are multiples of {step:g}, {values.std() / step:.3g} to a standard deviation: a law "
            f"describes them before rounding, and resamples were rounded likewise"
        )
    if offered is not None:
        missing = [name for name in FAMILIES if name not in offered]
        notes.append(f"not offered, since not all errors are positive: {', '.join(missing)}")
    if values.size > _MOST_RESAMPLED:
        notes.append(f"tests are of {_MOST_RESAMPLED} of {values.size} errors, chosen by chance")
    if best.anderson_darling_p < _REJECTED:
        notes.append(
            f"even the best family, {best.family}, is rejected (p = {best.anderson_darling_p:.3g}); it is "
            f"{best.wasserstein:.2g} standard deviations off on average"
        )
    return tuple(notes)
