"""What a yield costs, and how the recommended chip keeps its accuracy."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.plots.style import BAND, CLEAN, COLOURS, COLUMN_CM, STYLE, say
from reliability.units import grid_in_words


def price_of_yield(designs: pd.DataFrame, accuracies: pd.DataFrame, at_least: float) -> Figure:
    """Yield against price of the designs that were tried; accuracy against time of the recommended chip.

    Parameters
    ----------
    designs, accuracies : DataFrame
        Of :class:`reliability.mitigation.advice.Advice`. The first chip of ``accuracies`` says what the
        marked design is called: "recommended", or "best" where nothing meets the goal.
    at_least : float
        Share of chips that must pass.
    """
    import seaborn as sns

    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * COLUMN_CM / 2.54, 7.5 / 2.54), layout="constrained")
        left, right = figure.subplots(1, 2)
        _yields(left, designs, at_least, str(accuracies["chip"].iloc[0]))
        _accuracies(right, accuracies)
        # Points and bands leave no corner free for sure.
        options: dict[str, Any] = {"ncols": 2, "frameon": False}
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", **options)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", **options)
        sns.despine(figure)
    return figure


def _yields(axes: Axes, designs: pd.DataFrame, at_least: float, name: str) -> None:
    others = designs[~(designs["efficient"] | designs["recommended"])]
    axes.plot(
        others["price"], 100 * others["value"], ".", color="0.75", markersize=2.5, label="tried", zorder=1
    )
    front = designs[designs["efficient"]].sort_values("price")
    bars = 100 * (front["value"] - front["low"]), 100 * (front["high"] - front["value"])
    axes.errorbar(
        front["price"],
        100 * front["value"],
        yerr=bars,
        fmt="o-",
        color=COLOURS[0],
        elinewidth=0.7,
        linewidth=0.8,
        label="none cheaper is better",
    )
    own = designs[designs["recommended"]]
    bars = 100 * (own["value"] - own["low"]), 100 * (own["high"] - own["value"])
    axes.errorbar(
        own["price"],
        100 * own["value"],
        yerr=bars,
        fmt="*",
        color=COLOURS[1],
        markersize=8,
        elinewidth=0.7,
        label=name,
        zorder=5,
    )
    axes.axhline(100 * at_least, label=f"asked for: {100 * at_least:.10g} %", **CLEAN)
    axes.set_ylim(-3, 103)
    axes.set_xlabel("Price (chip without cures: 1)")
    axes.set_ylabel("Chips that pass (%)")
    say(axes, "Bars: 95 % intervals over the search's chips, its inputs")


def _accuracies(axes: Axes, accuracies: pd.DataFrame) -> None:
    times = sorted(accuracies["time_s"].unique())
    places = {t: i for i, t in enumerate(times)}
    for i, (name, own) in enumerate(accuracies.groupby("chip", sort=False)):
        x = [places[t] for t in own["time_s"]]
        colour = COLOURS[(1, 0)[i % 2]]
        if len(times) > 1:
            axes.fill_between(x, 100 * own["p05"], 100 * own["p95"], color=colour, **BAND)
            axes.plot(x, 100 * own["mean"], "o-", color=colour, label=str(name))
        else:
            bars = 100 * (own["mean"] - own["p05"]), 100 * (own["p95"] - own["mean"])
            axes.errorbar([i], 100 * own["mean"], yerr=bars, fmt="o", color=colour)
    digital, target = (100 * accuracies[column].iloc[0] for column in ("digital", "target"))
    axes.axhline(digital, color="0.6", linewidth=0.8, linestyle=":", label="digital network")
    axes.axhline(target, label="target", **CLEAN)
    if len(times) > 1:
        axes.set_xticks(range(len(times)), [_tick(word) for word in grid_in_words(times)])
        axes.set_xlabel("Time since the reference read")
    else:
        axes.set_xlim(-0.5, accuracies["chip"].nunique() - 0.5)
        axes.set_xticks(range(accuracies["chip"].nunique()), accuracies["chip"].unique())
    axes.set_ylabel("Accuracy (%)")
    shape = "band" if len(times) > 1 else "bar"
    say(axes, f"Mean; {shape}: 5\N{EN DASH}95 % of fresh chips, fresh inputs")


def _tick(time: str) -> str:
    """A time on two lines; on three, that of a moment before a refresh."""
    number, unit = time.split(" ")[-2:]
    return f"before\nrefresh,\n{number} {unit}" if "before" in time else f"{number}\n{unit}"
