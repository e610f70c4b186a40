"""How probable it is that a chip falls short of each accuracy."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from reliability.plots.style import BAND, COLOURS, COLUMN_CM, STYLE, say


def failure_probability(failures: pd.DataFrame, plain: pd.DataFrame) -> Figure:
    """Probability that a chip's accuracy is below what it must reach, on a logarithmic scale.

    Line and band: subset simulation with its 95 % interval. Points and bars: plain Monte Carlo with its own,
    where it saw a chip fail.

    Parameters
    ----------
    failures, plain : DataFrame
        With ``target`` (a fraction), ``value``, ``low`` and ``high``, one row an accuracy.
    """
    import seaborn as sns

    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN_CM / 2.54, 6.5 / 2.54), layout="constrained")
        axes = figure.subplots()
        reached = failures[failures["value"] > 0]
        x = 100 * reached["target"]
        axes.fill_between(x, reached["low"], reached["high"], color=COLOURS[0], **BAND)
        axes.plot(x, reached["value"], color=COLOURS[0], label="subset simulation")
        seen = plain[plain["value"] > 0]
        bars = (seen["value"] - seen["low"], seen["high"] - seen["value"])
        axes.errorbar(
            100 * seen["target"],
            seen["value"],
            yerr=bars,
            fmt="o",
            color=COLOURS[1],
            elinewidth=0.8,
            label="plain Monte Carlo",
        )
        axes.set_yscale("log")
        axes.set_xlabel("Accuracy that a chip must reach (%)")
        axes.set_ylabel("Probability that it does not")
        axes.legend(frameon=False, loc="lower right")
        say(axes, "Band and bars: 95 % intervals over chips, these inputs")
        sns.despine(figure)
    return figure
