"""Families fitted to errors: their ranking, their densities and quantiles, and the tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reliability.statistics.family_fit import FamilyFit
from reliability.statistics.likelihood import Array
from reliability.statistics.tail import Tail, fit_tail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METHOD = "parametric bootstrap, bias-corrected percentiles"
_VARIES = "errors, drawn from this family"

_PLACES, _OUTER_PLACES = 400, 30
_GRID = 600


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
        """Write the figure; the file's ending names the format.

        Raises
        ------
        UserError
            If figures have no such format or the folder does not exist.
        """
        from reliability.plots.style import figure_file, save

        file = figure_file(path)
        save(self.figure(), [file])
