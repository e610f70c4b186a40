"""Half width of an interval over the numbers of chips and inputs."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reliability.plots.style import COLOURS, STYLE, say

_WIDTH_CM = 15.0
_TITLES = {"mean": "Mean accuracy", "drop": "Drop from digital"}


def width_contours(widths: pd.DataFrame, plans: pd.DataFrame) -> Figure:
    """Contours of the half width over chips and inputs, with the cheapest point of each wanted one.

    One panel for the mean, one for the drop. Above the dotted line there are no more inputs. A panel that no
    contour of a wanted half width crosses says what the half widths are.

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
        line, dot = panels[0].get_lines()
        names = ["all inputs that there are", "cheapest plan over chips and inputs"]
        figure.legend([line, dot], names, loc="outside lower left", ncols=2, frameon=False)
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
    else:
        least, most = grid.to_numpy().min(), grid.to_numpy().max()
        found = f"Half widths from {least:.2g} to {most:.2g} points"
        if most == 0:
            found = "Outcomes do not differ:\nhalf width 0"
        axes.text(0.5, 0.5, found, transform=axes.transAxes, ha="center", fontsize=7)
    axes.axhline(float(plans["all_inputs"].iloc[0]), color="0.4", linewidth=0.8, linestyle=":")
    # Where nothing differs every plan is the smallest one.
    differs = bool(grid.to_numpy().max() > 0)
    reached = plans[plans["chips"].notna() & differs]
    axes.plot(reached["chips"], reached["inputs"], "o", color=COLOURS[1])
    axes.set_xlim(grid.columns.min(), grid.columns.max())
    axes.set_ylim(grid.index.min(), grid.index.max())
    for axis, ends in ((axes.xaxis, grid.columns), (axes.yaxis, grid.index)):
        # Labels of 2 and 5 where there is room.
        subs = (1, 2, 5) if ends.max() < 300 * ends.min() else (1,)
        axis.set_major_locator(LogLocator(10, subs))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
