"""Accuracy of chips that differ in kind."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reliability.figure import Points
from reliability.plots.style import CLEAN, COLUMN_CM, STYLE, look_of, reference_accuracy, say


def accuracy_points(trials: pd.DataFrame, points: Points) -> Figure:
    """A line for each value of a varied field: the mean over chips, and the range of the chips.

    Bars reach from the 5 % to the 95 % chip; the dashed line is the digital network on the same inputs.

    Parameters
    ----------
    trials : DataFrame
        From :func:`reliability.simulate`.
    points : Points
    """
    import seaborn as sns

    values = list(pd.unique(trials[points.y]))
    hues = [None] if points.hue is None else list(pd.unique(trials[points.hue]))
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        height = 2.6 + (0.3 + 0.18 * len(hues)) * len(values)
        figure = Figure(figsize=(COLUMN_CM / 2.54, height / 2.54), layout="constrained")
        axes = figure.subplots()
        for i, hue in enumerate(hues):
            look = look_of(i)
            own = trials if hue is None else trials[trials[points.hue] == hue]
            by_value = 100 * own.groupby(points.y)["accuracy"].quantile([0.05, 0.95]).unstack()
            means = 100 * own.groupby(points.y)["accuracy"].mean()
            for line, value in enumerate(values):
                at = line + 0.22 * (i - (len(hues) - 1) / 2)
                axes.plot(by_value.loc[value], [at, at], color=look["color"], linewidth=2, alpha=0.45)
                axes.plot(means[value], at, **look)
        axes.set_yticks(range(len(values)), [points.names.get(str(v), str(v)) for v in values])
        axes.set_ylim(len(values) - 0.5, -0.5)
        metric = str(trials.attrs.get("metric", "top-1")).capitalize()
        axes.set_xlabel(f"{metric} accuracy (%)")
        say(axes, "Mean; bar: 5\N{EN DASH}95 % of chips")
        clean = reference_accuracy(trials)
        if clean is not None:
            axes.axvline(100 * clean, **CLEAN)
        _legend(figure, points, hues, clean is not None)
        sns.despine(figure)
    return figure


def _legend(figure: Figure, points: Points, hues: list[Any], clean: bool) -> None:
    entries: list[tuple[Line2D, str]] = []
    if hues != [None]:
        for i, hue in enumerate(hues):
            name = points.names.get(str(hue), str(hue))
            entries.append((Line2D([], [], **look_of(i)), name))
    if clean:
        entries.append((Line2D([], [], **CLEAN), "digital network"))
    if entries:
        handles, labels = zip(*entries, strict=True)
        figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, handlelength=1.6)
