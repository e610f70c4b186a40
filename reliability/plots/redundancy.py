"""What copies of weights gain and what they cost."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from reliability.plots.style import CLEAN, COLUMN_CM, STYLE, look_of, say


def redundancy(accuracy: pd.DataFrame, errors: pd.DataFrame, reference: float) -> Figure:
    """Accuracy won against cells, and beside it the error of single multiplications against copies.

    Parameters
    ----------
    accuracy : DataFrame
        ``copied``, ``count``, ``cells_ratio``, ``estimand`` ("mean" of one copy, "difference" of more),
        ``value``, ``low``, ``high``.
    errors : DataFrame
        ``layer``, ``count``, ``value``, ``low``, ``high``, ``law``.
    reference : float
        Accuracy of the digital network.
    """
    import seaborn as sns

    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * COLUMN_CM / 2.54, 6.6 / 2.54), layout="constrained")
        left, right = figure.subplots(1, 2)
        _won(left, accuracy, reference)
        _errors(right, errors)
        sns.despine(figure)
    return figure


def _won(axes: Axes, accuracy: pd.DataFrame, reference: float) -> None:
    one = accuracy[(accuracy["count"] == 1) & (accuracy["estimand"] == "mean")]["value"].iloc[0]
    won = accuracy[accuracy["estimand"] == "difference"]
    for i, (where, own) in enumerate(won.groupby("copied", sort=False)):
        x = [1.0, *own["cells_ratio"]]
        y, low, high = (np.array([0.0, *100 * own[name]]) for name in ("value", "low", "high"))
        look: dict[str, Any] = look_of(i)
        axes.errorbar(x, y, [y - low, high - y], label=str(where), capsize=1.5, elinewidth=0.8, **look)
    axes.axhline(100 * (reference - one), label="all that errors cost", **CLEAN)
    axes.set_xscale("log")
    ticks = sorted({1.0, *won[won["copied"] == won["copied"].iloc[0]]["cells_ratio"]})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Cells, over those of one copy")
    axes.set_ylabel("Accuracy won (points)")
    axes.legend(frameon=False, loc="lower right")
    say(axes, f"One copy: {100 * one:.2f} %; bars: 95 % intervals, paired chips")


def _errors(axes: Axes, errors: pd.DataFrame) -> None:
    for i, (layer, own) in enumerate(errors.groupby("layer", sort=False)):
        look: dict[str, Any] = look_of(i)
        value = 100 * own["value"].to_numpy()
        bars = [value - 100 * own["low"], 100 * own["high"] - value]
        axes.errorbar(own["count"], value, bars, label=str(layer), linestyle="none", **look)
        if own["law"].notna().all():
            axes.plot(own["count"], 100 * own["law"], color=look["color"], linewidth=0.9)
    first = errors.groupby("layer", sort=False).first()["value"].max()
    counts = np.unique(errors["count"])
    axes.plot(
        counts, 100 * first / np.sqrt(counts), color="0.4", linestyle=":", label=r"$\propto 1/\sqrt{k}$"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [f"{count:g}" for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    marks = [m for m in (0.5, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100) if low <= m <= high]
    axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Copies of a weight, $k$")
    axes.set_ylabel("Error of a multiplication (%)")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    say(axes, r"Points: chips; lines: $\sqrt{b^2 + s^2/k}$ from the device's law")
