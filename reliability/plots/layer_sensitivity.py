"""How much each layer, or effect, is to blame, by every measure."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reliability.plots.style import COLOURS, STYLE, points_to_show, say

_PANEL_CM = 4.4
_LABELS_CM = 2.2
_POINTS = "drop of accuracy"
_BAR: dict[str, Any] = {"color": "0.6", "marker": "_", "markeredgecolor": "0.3"}
_NAMES = {
    "one_noisy": "One noisy",
    "all_but_one": "All but one",
    "shapley": "Shapley value",
    "sobol_first": "Sobol, first order",
    "sobol_total": "Sobol, total",
    "shapley_effects": "Shapley effect",
}


def sensitivity_dots(found: pd.DataFrame) -> Figure:
    """A panel for each measure, with a dot and its interval for each group, in the order of the table.

    Groups whose ranks the chips do not tell apart are joined by a bar at the right of the panel, all that
    share a rank by one. Measures of a single group are left out. The bound of drops that are all alike does
    not set the axis.

    Parameters
    ----------
    found : DataFrame
        From :func:`reliability.sensitivity.measure_sensitivity`.
    """
    import seaborn as sns

    ranked = found[found["rank"].notna()]
    # Of a single group there is nothing to compare.
    shown = ranked if len(ranked) else found
    groups, measures = list(pd.unique(shown["group"])), list(pd.unique(shown["measure"]))
    columns = min(3, len(measures))
    lines = -(-len(measures) // columns)
    width, height = _LABELS_CM + _PANEL_CM * columns, lines * (1.9 + 0.42 * len(groups))
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / 2.54, height / 2.54), layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for panel, measure in zip(panels, measures, strict=False):
            _panel(panel, shown[shown["measure"] == measure], groups)
        for panel in panels[len(measures) :]:
            panel.set_visible(False)
        _legend(figure, shown, measures)
        sns.despine(figure)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    measure, unit = str(rows["measure"].iloc[0]), str(rows["unit"].iloc[0])
    scale = 100 if unit == _POINTS else 1
    colour = COLOURS[0] if unit == _POINTS else COLOURS[1]
    places = [groups.index(group) for group in rows["group"]]
    axes.hlines(places, scale * rows["low"], scale * rows["high"], color=colour, linewidth=1.4)
    axes.plot(scale * rows["value"], places, "o", color=colour)
    axes.axvline(0, color="0.3", linewidth=0.6)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel(_label(measure, unit))
    limits = points_to_show(rows) if unit == _POINTS else None
    if limits is not None:
        axes.set_xlim(limits)
    say(axes, _NAMES.get(measure, measure.replace("_", " ").capitalize()))
    for number, tied in enumerate(unresolved(rows)):
        own = [groups.index(group) for group in tied]
        at = 1.02 + 0.025 * number
        axes.plot([at] * len(own), sorted(own), transform=axes.get_yaxis_transform(), clip_on=False, **_BAR)


def _label(measure: str, unit: str) -> str:
    if measure == "analytic":
        return "Points per factor e of variance"
    return "Accuracy drop (points)" if unit == _POINTS else unit[0].upper() + unit[1:]


def _legend(figure: Figure, shown: pd.DataFrame, measures: list[str]) -> None:
    entries: list[tuple[Line2D, str]] = []
    bars = shown[shown["low"] < shown["high"]]
    if len(bars):
        level, varies = bars["level"].iloc[0], bars["varies"].iloc[0]
        computed = "" if len(bars) == len(shown) else "; none: computed"
        line = Line2D([], [], color="0.3", linewidth=1.4, marker="o")
        entries.append((line, f"{100 * level:g} % interval over {varies}{computed}"))
    if any(len(unresolved(shown[shown["measure"] == measure])) for measure in measures):
        entries.append((Line2D([], [], **_BAR), "ranks not told apart"))
    if entries:
        handles, labels = zip(*entries, strict=True)
        ncols = min(2, len(measures))
        figure.legend(handles, labels, loc="outside lower left", ncols=ncols, frameon=False)


def unresolved(rows: pd.DataFrame) -> list[list[str]]:
    """Groups of one measure that may share a rank: the largest such sets, from the top."""
    sets: list[list[str]] = []
    for rank in range(1, len(rows) + 1):
        tied = list(rows.loc[(rows["rank_low"] <= rank) & (rows["rank_high"] >= rank), "group"])
        if len(tied) > 1 and not any(set(tied) <= set(known) for known in sets):
            sets = [known for known in sets if not set(known) <= set(tied)] + [tied]
    return sets
