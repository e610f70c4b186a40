"""What each repair regains."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from reliability.plots.style import COLOURS, STYLE, say

_WIDTH_CM = 12.5


def regained_dots(table: pd.DataFrame, regains: float) -> Figure:
    """Left: the share of the lost accuracy that each repair regains; right: what it takes.

    Thick bars hold 95 % intervals over chips on these inputs, thin ones over chips and inputs. Repairs stand
    in the order of what they regain.

    Parameters
    ----------
    table : DataFrame
        From :class:`reliability.analyses.repair_comparison.RepairComparison`.
    regains : float
        The share that is asked for, a dashed line.
    """
    import seaborn as sns

    rows = table[table["estimand"] == "regained"]
    chips = rows[rows["varies"] == "chips, these inputs"].sort_values("value").reset_index(drop=True)
    both = rows[rows["varies"] != "chips, these inputs"].set_index("repair").loc[chips["repair"]]
    places = range(len(chips))
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_CM / 2.54, (2.2 + 0.42 * len(chips)) / 2.54), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 3))
        least = min(-5.0, 100 * float(chips["low"].clip(lower=-1).min()))
        for rows, width, label in (
            (both, 0.7, "thin: chips and inputs vary"),
            (chips, 2.0, "thick: chips vary, these inputs"),
        ):
            bar = {"color": COLOURS[0], "linewidth": width, "label": label}
            left.hlines(places, 100 * rows["low"], 100 * rows["high"], **bar)
        left.plot(100 * chips["value"], places, "o", color=COLOURS[0])
        asked = f"asked for: {100 * regains:.10g} %"
        left.axvline(100 * regains, color="0.3", linewidth=0.6, linestyle="--", label=asked)
        left.axvline(0, color="0.3", linewidth=0.6)
        left.set_xlim(least, 105)
        left.set_yticks(places, chips["repair"])
        left.set_xlabel("Lost accuracy regained (%)")
        stored = 100 * chips["bits"] / chips["cells"]
        spare = 100 * chips["spare_cells"] / chips["cells"]
        right.plot(stored, places, "s", color=COLOURS[2], label="stored bits")
        right.plot(spare, places, "o", color=COLOURS[1], label="spare cells")
        right.set_xlabel("Added (% of cells)")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False)
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
        say(left, "Bars: 95 % intervals")
        sns.despine(figure)
    return figure
