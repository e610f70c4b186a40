"""How low accuracy can fall within a bound on the errors of the weights."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from reliability.plots.style import BAND, CLEAN, COLUMN_CM, STYLE, look_of, say

_NAMES = {"weight": "the weights' own units", "relative": "of the layer's largest weight"}


def worst_case(attacks: pd.DataFrame, random: pd.DataFrame, clean: float) -> Figure:
    """Accuracy against the largest error: attacks and random errors; beside it against the radius of a ball.

    Parameters
    ----------
    attacks : DataFrame
        A row an attack: ``norm`` ("max" or "l2"), ``unit``, ``bound``, ``attack``, ``value``, ``form``.
    random : DataFrame
        A row an estimand of chips with random errors: ``bound``, ``estimand`` ("mean", "quantile_05",
        "quantile_95"), ``value``.
    clean : float
        Accuracy without errors.
    """
    import seaborn as sns

    errors, radii = (attacks[attacks["norm"] == norm] for norm in ("max", "l2"))
    panels = 1 + (len(radii) > 0)
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        size = (panels * COLUMN_CM / 2.54, 6.6 / 2.54)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        _errors(axes[0], errors, random)
        if len(radii):
            _radii(axes[1], radii)
        for panel in axes:
            panel.axhline(100 * clean, label="without errors", **CLEAN)
            panel.set_ylabel("Accuracy (%)")
            panel.legend(frameon=False)
        sns.despine(figure)
        if len(radii):
            _probabilities(axes[1])
    return figure


def _errors(axes: Axes, errors: pd.DataFrame, random: pd.DataFrame) -> None:
    for i, (kind, own) in enumerate(errors.groupby("attack", sort=False)):
        axes.plot(own["bound"], 100 * own["value"], label=str(kind), **look_of(i))
    by_bound = 100 * random.drop_duplicates(["bound", "estimand"]).pivot(
        index="bound", columns="estimand", values="value"
    )
    look: dict[str, Any] = look_of(2)
    axes.fill_between(
        by_bound.index, by_bound["quantile_05"], by_bound["quantile_95"], color=look["color"], **BAND
    )
    axes.plot(by_bound.index, by_bound["mean"], label="uniform errors", **look)
    axes.set_xscale("log")
    axes.set_xticks(list(by_bound.index), [f"{bound:g}" for bound in by_bound.index])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"Largest error ({_NAMES[errors['unit'].iloc[0]]})")
    axes.set_ylim(-3, 103)
    band = "Band: 5\N{EN DASH}95 % of chips with uniform errors"
    say(axes, f"Attacks: upper bounds of the lowest accuracy\n{band}")


def _radii(axes: Axes, radii: pd.DataFrame) -> None:
    for i, (kind, own) in enumerate(radii.groupby("attack", sort=False)):
        axes.plot(own["bound"], 100 * own["value"], label=str(kind), **look_of(i))
    axes.set_xlim(0, 1.05 * radii["bound"].max())
    axes.set_xlabel("Radius, all errors together (standard deviations)")


def _probabilities(axes: Axes) -> None:
    """What a radius would be in one direction, above the panel."""
    from scipy.special import ndtr

    top = axes.secondary_xaxis("top")
    places = [r for r in axes.get_xticks() if 0 < r <= axes.get_xlim()[1]]
    shares = [f"{ndtr(-r):.0e}".split("e") for r in places]
    top.set_xticks(places, [f"${head}\\cdot10^{{{int(power)}}}$" for head, power in shares])
    top.set_xlabel("$\\Phi(-R)$, of one direction alone", fontsize=7)
