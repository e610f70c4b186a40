"""Figures for papers, from tables alone."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reliability.figure import Curve, Figure, Points
from reliability.plots.costs import effect_costs
from reliability.plots.curve import accuracy_curve
from reliability.plots.points import accuracy_points
from reliability.plots.style import reference_accuracy, save

__all__ = ["accuracy_curve", "accuracy_points", "draw", "effect_costs", "reference_accuracy", "save"]


def draw(trials: pd.DataFrame, summary: pd.DataFrame, figure: Figure) -> Drawing:
    """The figure of a study, from its trials and their summary."""
    if isinstance(figure, Curve):
        return accuracy_curve(trials, summary, figure)
    if isinstance(figure, Points):
        return accuracy_points(trials, figure)
    return effect_costs(summary, figure)
