"""Accuracy against the budget of write-verify, ranking by ranking."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.plots.style import BAND, CLEAN, STYLE, look_of, say

_WIDTH_CM = 17.0
# Looks of the curves, which those of differences come behind.
_CURVES = 4
_NAMES = {
    "gradient": "accuracy gradient",
    "curvature": "second derivative (SWIM)",
    "u-curvature": "U-SWIM",
    "gauss_newton": "Gauss-Newton",
    "u-gauss_newton": "Gauss-Newton by variance",
    "fisher": "Fisher",
}


def budget_curves(budgets: pd.DataFrame, differences: pd.DataFrame, digital: float) -> Figure:
    """Three panels: mean accuracy and the 5 % chip against normalised write cycles, and paired differences.

    A single ranking has no differences and no third panel.

    Parameters
    ----------
    budgets, differences : DataFrame
        Tables of :class:`reliability.analyses.write_verify_budget.WriteVerifyBudget`.
    digital : float
        Accuracy of the digital network.
    """
    import seaborn as sns

    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_CM / 2.54, 6.8 / 2.54), layout="constrained")
        mean, bad, *paired = figure.subplots(1, 3 if len(differences) else 2)
        for axes, estimand, label in (
            (mean, "mean", "Mean accuracy (%)"),
            (bad, "quantile_05", "5 % chip (%)"),
        ):
            _curves(axes, budgets[budgets["estimand"] == estimand])
            axes.axhline(100 * digital, **CLEAN)
            axes.set_xlabel("Normalised write cycles")
            axes.set_ylabel(label)
        chips = int(budgets["chips"].iloc[0])
        say(mean, f"{chips} chips; bands: 95 % intervals")
        told = (budgets.loc[budgets["estimand"] == "quantile_05", "low"] > 0).any()
        why = "" if told else "\nNo bands: too few chips for a lower end"
        say(bad, f"Worse than 95 % of chips; dashed: digital{why}")
        handles, labels = mean.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)
        for axes in paired:
            _differences(axes, differences)
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)
        sns.despine(figure)
    return figure


def _curves(axes: Axes, rows: pd.DataFrame) -> None:
    for i, (name, own) in enumerate(rows.groupby("ranking", sort=False)):
        own, look = own.sort_values("nwc"), look_of(i)
        axes.plot(own["nwc"], 100 * own["value"], label=_NAMES.get(str(name), str(name)), **look)
        # Few chips give a quantile no lower end but 0, which would set the axis.
        low, high, told = 100 * own["low"], 100 * own["high"], own["low"] > 0
        axes.fill_between(own["nwc"], low, high, where=told, color=look["color"], **BAND)


def _differences(axes: Axes, differences: pd.DataFrame) -> None:
    """Neighbours in the order of the rankings, dodged, with their intervals."""
    of_mean = differences["estimand"] == "mean"
    rows = differences[of_mean & (differences["kind"] == "neighbours")]
    for i, ((first, second), own) in enumerate(rows.groupby(["ranking", "against"], sort=False)):
        own, look = own.sort_values("budget"), look_of(i + _CURVES)
        places = own["budget"] + 0.012 * (i - 1)
        label = f"{_short(str(first))} - {_short(str(second))}"
        axes.vlines(places, 100 * own["low"], 100 * own["high"], color=look["color"], linewidth=1)
        axes.plot(places, 100 * own["value"], linestyle="none", label=label, **look)
    axes.axhline(0, color="0.3", linewidth=0.6)
    axes.set_xlabel("Normalised write cycles")
    axes.set_ylabel("Difference of means (points)")
    say(axes, "Paired; bars: 95 % intervals")


def _short(name: str) -> str:
    return {"curvature": "SWIM", "u-curvature": "U-SWIM", "gauss_newton": "Gauss-Newton"}.get(name, name)
