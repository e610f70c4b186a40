"""The distribution of errors, with the families that were fitted to it."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reliability.plots.style import CLEAN, COLOURS, STYLE, say

_WIDTH_CM, _HEIGHT_CM = 17.0, 7.0
_CURVES = 3
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)))


def error_distribution(
    fits: pd.DataFrame, densities: pd.DataFrame, quantiles: pd.DataFrame, name: str
) -> Figure:
    """Two panels: the errors as a histogram with densities, and their quantiles against those of the fits.

    Shown are the three best families by AICc, the normal one in the place of the third where it is none of
    them.

    Parameters
    ----------
    fits, densities, quantiles : DataFrame
        ``table()``, ``densities()`` and ``quantiles()`` of what :func:`reliability.fit_error_distribution`
        gives.
    name : str
        What the errors are.
    """
    import seaborn as sns

    families = fits.drop_duplicates("family").set_index("family")
    shown = list(families.index[:_CURVES])
    if "normal" in families.index and "normal" not in shown:
        shown[_CURVES - 1 :] = ["normal"]
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_CM / 2.54, _HEIGHT_CM / 2.54), layout="constrained")
        left, right = figure.subplots(1, 2)
        _histogram(left, densities, shown)
        _quantiles(right, quantiles, shown)
        left.set(xlabel=name[:1].upper() + name[1:], ylabel="Probability density")
        right.set(xlabel="Quantile of the fit", ylabel="Quantile of the errors")
        say(left, f"{families['values'].iloc[0]} values; lines: maximum likelihood")
        say(right, "p: Anderson and Darling, parameters refitted")
        handles = [Line2D([], [], color=COLOURS[i + 1], linestyle=_LINES[i]) for i in range(len(shown))]
        labels = [_label(family, families.loc[family]) for family in shown]
        figure.legend(handles, labels, loc="outside upper left", ncols=len(shown), frameon=False)
        sns.despine(figure)
    return figure


def _label(family: str, row: pd.Series) -> str:
    p = row["anderson_darling_p"]
    # No resample was as far off: the p-value is at most this.
    sign = "=" if p > 1.5 / (row["resamples"] + 1) else "\N{LESS-THAN OR EQUAL TO}"
    return f"{family.replace('_', ' ').replace('student', 'Student')} (p {sign} {p:.2g})"


def _histogram(axes: Axes, densities: pd.DataFrame, shown: list[str]) -> None:
    x = densities["error"]
    axes.fill_between(x, densities["observed"], step="mid", color=COLOURS[0], alpha=0.3, linewidth=0)
    for i, family in enumerate(shown):
        axes.plot(x, densities[family], color=COLOURS[i + 1], linestyle=_LINES[i])
    axes.set_xlim(x.iloc[0], x.iloc[-1])
    axes.set_ylim(0, 1.15 * densities["observed"].max())


def _quantiles(axes: Axes, quantiles: pd.DataFrame, shown: list[str]) -> None:
    observed = quantiles["observed"]
    ends = [observed.iloc[0], observed.iloc[-1]]
    axes.plot(ends, ends, **CLEAN)
    for i, family in enumerate(shown):
        axes.plot(
            quantiles[family], observed, ".", color=COLOURS[i + 1], markersize=2.5, zorder=9 - i, label=family
        )
    # A family with a far too heavy tail would leave all else a point.
    reach = 0.4 * (ends[1] - ends[0])
    low, high = axes.get_xlim()
    best = quantiles[shown[0]]
    axes.set_xlim(
        max(low, min(ends[0] - reach, best.iloc[0])), min(high, max(ends[1] + reach, best.iloc[-1]))
    )
