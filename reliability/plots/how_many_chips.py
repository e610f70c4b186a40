"""Half width of an interval over the numbers of chips and inputs."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from reliability.plots.style import COLOURS, STYLE, say

_WIDTH_CM = 15.0
_TITLES = {"mean": "Mean accuracy", "drop": "Drop from digital"}


def width_contours(widths: pd.DataFrame, plans: pd.DataFrame) -> Figure:
    """Contours of the half width over chips and inputs, with the cheapest point of each wanted one.

    One panel for the mean, one for the drop. Above the dotted line there are no more inputs.

    Parameters
    ----------
    widths : DataFrame
        Columns ``of``, ``chips``, ``inputs`` and ``half_width``, a full grid for each value of ``of``.
    plans : DataFrame
        Columns ``of``, ``varies``, ``half_width``, ``chips``, ``inputs`` and ``all_inputs``.
    """
    import seaborn as sns

    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_CM / 2.54, 7.0 / 2.54), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, name in zip(panels, _TITLES, strict=True):
            own = plans[(plans["of"] == name) & (plans["varies"] == "chips and inputs")]
            _panel(axes, widths[widths["of"] == name], own)
            say(axes, f"{_TITLES[name]}: half width (points)")
            axes.set_xlabel("Chips")
        panels[0].set_ylabel("Inputs")
        sns.despine(figure)
    return figure


def _panel(axes: Axes, widths: pd.DataFrame, plans: pd.DataFrame) -> None:
    grid = 100 * widths.pivot(index="inputs", columns="chips", values="half_width")
    wanted = np.unique(100 * plans["half_width"].to_numpy())
    wanted = wanted[(wanted > grid.to_numpy().min()) & (wanted < grid.to_numpy().max())]
    axes.set_xscale("log")
    axes.set_yscale("log")
    if wanted.size:
        lines = axes.contour(grid.columns, grid.index, grid.to_numpy(), levels=wanted, colors=COLOURS[0])
        axes.clabel(lines, fmt="%g", fontsize=7)
    axes.yaxis.set_minor_formatter(NullFormatter())
    reached = plans.dropna(subset="chips")
    axes.plot(reached["chips"], reached["inputs"], "o", color=COLOURS[1])
    axes.axhline(float(plans["all_inputs"].iloc[0]), color="0.4", linewidth=0.8, linestyle=":")
    axes.set_xlim(grid.columns.min(), grid.columns.max())
    axes.set_ylim(grid.index.min(), grid.index.max())
