"""What each effect of a chip costs."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.figure import Costs
from reliability.plots.style import COLOURS, STYLE, points_to_show, say

_WIDTH_CM = 12.5


def effect_costs(summary: pd.DataFrame, costs: Costs) -> Figure:
    """Two panels with a line for each effect, the costliest on top.

    Left: what the effect costs alone, the digital network's accuracy minus that of chips with only this
    effect. Right: what is won when it alone is taken away, paired with the same chips that have all effects.
    Bars hold 95 % intervals over chips and inputs; the bound of outcomes that are all alike does not set the
    axis.

    Parameters
    ----------
    summary : DataFrame
        From :func:`reliability.summarize`, of a sweep of ``"effects"`` over all, each alone and all but each.
    costs : Costs
    """
    import seaborn as sns

    both = summary[summary["varies"] == "chips and inputs"].set_index("effects")
    alone = both[both["estimand"] == "drop"]
    without = both[(both["estimand"] == "difference") & (both["against"] == "effects=all")]
    names = [str(e).removeprefix("only ") for e in alone.index if str(e).startswith("only ")]
    worth = {name: without.loc[f"all but {name}", "value"] for name in names}
    names.sort(key=lambda name: -worth[name])
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_CM / 2.54, (2.4 + 0.55 * len(names)) / 2.54), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        cut = _bars(left, alone.loc[[f"only {name}" for name in names]], COLOURS[0])
        cut |= _bars(right, without.loc[[f"all but {name}" for name in names]], COLOURS[2])
        left.set_yticks(range(len(names)), [costs.names.get(name, name) for name in names])
        left.set_ylim(len(names) - 0.5, -0.5)
        left.set_xlabel("Lost by this effect alone (points)")
        right.set_xlabel("Won without it (points)")
        total = 100 * alone.loc["all", "value"]
        say(left, f"All effects together cost {total:.2f} points")
        say(right, "Lines: 95 % intervals" + ("\nOff the panel: no spread was seen" if cut else ""))
        sns.despine(figure)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, colour: str) -> bool:
    """Draw estimates and intervals; whether some run off the panel."""
    places = range(len(rows))
    axes.barh(places, 100 * rows["value"], color=colour, alpha=0.35, height=0.6, linewidth=0)
    axes.hlines(places, 100 * rows["low"], 100 * rows["high"], color=colour, linewidth=1.4)
    axes.plot(100 * rows["value"], places, "o", color=colour)
    axes.axvline(0, color="0.3", linewidth=0.6)
    shown = points_to_show(rows)
    if shown is not None:
        axes.set_xlim(shown)
    return shown is not None
