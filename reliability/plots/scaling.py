"""What scales of weights and ranges of converters gain."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.plots.style import CLEAN, COLUMN_CM, STYLE, look_of, say

_TITLES = {"layer": "One scale a layer", "column": "One scale a column"}
_FOUND: dict[str, Any] = {"marker": "*", "markersize": 8, "color": "#000000", "linestyle": "none"}


def scaling(accuracy: pd.DataFrame, reference: float) -> Figure:
    """Accuracy won against the percentile at which weights are clipped, a panel for each kind of scale.

    Parameters
    ----------
    accuracy : DataFrame
        ``scale`` ("layer" or "column"), ``percentile`` (missing where found layer by layer),
        ``converter_percentile`` (missing without converters), ``estimand``, ``value``, ``low``, ``high``.
        The first "mean" is what each "difference" is taken from.
    reference : float
        Accuracy of the digital network.
    """
    import seaborn as sns

    start = accuracy[accuracy["estimand"] == "mean"].iloc[0]
    won = pd.concat([_zero(start), accuracy[accuracy["estimand"] == "difference"]])
    percentiles = sorted(won["percentile"].dropna().unique(), reverse=True)
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * COLUMN_CM / 2.54, 7.4 / 2.54), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (scale, title) in zip(panels, _TITLES.items(), strict=True):
            own = won[won["scale"] == scale]
            _panel(axes, own, percentiles)
            axes.axhline(0, color="0.3", linewidth=0.6)
            axes.axhline(100 * (reference - start["value"]), label="digital network", **CLEAN)
            axes.set_xlabel("Weights clipped at percentile")
            say(axes, f"{title}; bars: 95 % intervals, paired chips")
        panels[0].set_ylabel("Accuracy won (points)")
        entries = [axes.get_legend_handles_labels() for axes in panels]
        found = {label: handle for pair in entries for handle, label in zip(*pair, strict=True)}
        options: dict[str, Any] = {"ncols": 3, "frameon": False, "columnspacing": 1.4}
        figure.legend(found.values(), found.keys(), loc="outside upper left", **options)
        sns.despine(figure)
    return figure


def _zero(start: pd.Series) -> pd.DataFrame:
    """The setting that others are compared with: nothing won."""
    return pd.DataFrame([start]).assign(estimand="difference", value=0.0, low=0.0, high=0.0)


def _panel(axes: Axes, won: pd.DataFrame, percentiles: list[float]) -> None:
    grid = won[won["percentile"].notna()]
    for i, (converted, own) in enumerate(grid.groupby("converter_percentile", sort=False, dropna=False)):
        ordered = own.set_index("percentile").reindex(percentiles)
        x = np.arange(len(percentiles)) + 0.07 * i
        value = 100 * ordered["value"]
        bars = [value - 100 * ordered["low"], 100 * ordered["high"] - value]
        label = "all layers alike" if pd.isna(converted) else f"converters to {converted:g} %"
        axes.errorbar(x, value, bars, label=label, capsize=1.5, elinewidth=0.8, **look_of(i))
    for _, own in won[won["percentile"].isna()].iterrows():
        at, value = len(percentiles), 100 * own["value"]
        axes.errorbar(
            at,
            value,
            [[value - 100 * own["low"]], [100 * own["high"] - value]],
            capsize=1.5,
            elinewidth=0.8,
            label="found on training inputs",
            **_FOUND,
        )
    places = [f"{p:g}" for p in percentiles]
    if won["percentile"].isna().any():
        places.append("found")
    axes.set_xticks(range(len(places)), places)
