"""Accuracy against a varied quantity."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from reliability.figure import Curve
from reliability.plots.style import (
    BAND,
    CLEAN,
    COLUMN_CM,
    STYLE,
    look_of,
    points_to_show,
    reference_accuracy,
    say,
)
from reliability.units import DAY, HOUR, MONTH, YEAR

_TIMES = {0.0: "0\ns", 1.0: "1\ns", HOUR: "1\nh", DAY: "1\nday", MONTH: "1\nmonth", YEAR: "1\nyear"}


def accuracy_curve(trials: pd.DataFrame, summary: pd.DataFrame, curve: Curve) -> Figure:
    """Accuracy against one varied field, in one or two panels.

    Above: for each curve the mean over chips and the range from the 5 % to the 95 % chip, with the digital
    network as a dashed line. Below, where the digital network is known: its accuracy minus the mean, on
    the same inputs, with the 95 % interval over chips and inputs; the bound of outcomes that are all alike
    does not set the axis.

    Parameters
    ----------
    trials : DataFrame
        From :func:`reliability.simulate`.
    summary : DataFrame
        From :func:`reliability.summarize`.
    curve : Curve
    """
    import seaborn as sns

    drops = summary[(summary["estimand"] == "drop") & (summary["varies"] == "chips and inputs")]
    panels = 2 if len(drops) else 1
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        size = (COLUMN_CM / 2.54, (3.4 + 3.5 * panels) / 2.54)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
        hues = [None] if curve.hue is None else list(pd.unique(trials[curve.hue]))
        for i, hue in enumerate(hues):
            look = look_of(i)
            _chips(axes[0], trials if hue is None else trials[trials[curve.hue] == hue], curve, look)
            if panels == 2:
                _drop(axes[1], drops if hue is None else drops[drops[curve.hue] == hue], curve, look)
        say(axes[0], "Mean; band: 5\N{EN DASH}95 % of chips")
        if panels == 2:
            shown = points_to_show(drops)
            cut = "" if shown is None else "\nRuns off the panel where no spread was seen"
            say(axes[1], f"Mean drop; band: its 95 % interval (chips and inputs){cut}")
            if shown is not None:
                axes[1].set_ylim(shown)
        metric = str(trials.attrs.get("metric", "top-1")).capitalize()
        axes[0].set_ylabel(f"{metric} accuracy (%)")
        clean = reference_accuracy(trials)
        if clean is not None:
            axes[0].axhline(100 * clean, **CLEAN)
        if panels == 2:
            axes[1].set_ylabel("Drop (points)")
            axes[1].axhline(0, **CLEAN)
        _x_axis(axes[-1], trials, curve)
        _legend(figure, curve, hues, clean is not None)
        sns.despine(figure)
    return figure


def _chips(axes: Axes, trials: pd.DataFrame, curve: Curve, look: dict[str, Any]) -> None:
    chips = 100 * trials.groupby(curve.x)["accuracy"].quantile([0.05, 0.95]).unstack()
    means = 100 * trials.groupby(curve.x)["accuracy"].mean()
    axes.fill_between(means.index, chips[0.05], chips[0.95], color=look["color"], **BAND)
    axes.plot(means.index, means, **look)


def _drop(axes: Axes, rows: pd.DataFrame, curve: Curve, look: dict[str, Any]) -> None:
    rows = rows.sort_values(curve.x)
    axes.fill_between(rows[curve.x], 100 * rows["low"], 100 * rows["high"], color=look["color"], **BAND)
    axes.plot(rows[curve.x], 100 * rows["value"], **look)


def _x_axis(axes: Axes, trials: pd.DataFrame, curve: Curve) -> None:
    axes.set_xlabel(curve.label or curve.x)
    if not curve.log_x:
        return
    values = np.sort(trials[curve.x].unique())
    lowest = values[values > 0].min(initial=max(values[-1], 1.0))
    if values[0] > 0:
        axes.set_xscale("log")
    else:
        # Zero has no logarithm: below the first other value the axis is linear and short.
        axes.set_xscale("symlog", linthresh=lowest, linscale=0.5)
        axes.set_xlim(-0.15 * lowest, 2 * values[-1] if values[-1] > 0 else 1)
    if curve.x == "time_s":
        ticks = {t: text for t, text in _TIMES.items() if t == values[0] == 0 or lowest / 1.01 <= t}
        ticks = {t: text for t, text in ticks.items() if t <= values[-1] * 1.01}
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, curve: Curve, hues: list[Any], clean: bool) -> None:
    entries: list[tuple[Line2D, str]] = []
    for i, hue in enumerate(hues):
        name = "mean over chips" if hue is None else curve.names.get(str(hue), f"{curve.hue}: {hue}")
        entries.append((Line2D([], [], **look_of(i)), name))
    if clean:
        entries.append((Line2D([], [], **CLEAN), "digital network"))
    handles, labels = zip(*entries, strict=True)
    options: dict[str, Any] = {
        "frameon": False,
        "handlelength": 1.6,
        "columnspacing": 1.2,
        "labelspacing": 0.25,
    }
    figure.legend(handles, labels, loc="outside upper left", ncols=2, **options)
