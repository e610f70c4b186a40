"""Which layer, or which effect, is to blame for what chips lose and for how they differ."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.npz import npz_bytes
from reliability.sensitivity import (
    DROP,
    LOSS,
    MEASURES,
    MOST,
    chosen_measures,
    measure_sensitivity,
    question_of,
    runs_of,
)
from reliability.sensitivity.computed import weight_curvature


@dataclass(frozen=True)
class LayerSensitivity(Analysis):
    """Every measure of blame for every layer, or effect, on the same chips.

    Parameters
    ----------
    of : {"layers", "effects"}
    measures : tuple of str
        Names of :data:`reliability.sensitivity.MEASURES`; empty for all of them.
    groups : mapping of str to str
        Names of groups, with patterns of what they hold; what none names is a group of its own.
    permutations : int, optional
        Random orders for the Shapley values, in place of all sets.
    most : int
        Chips times inputs that may be evaluated.
    """

    of: Literal["layers", "effects"] = "layers"
    measures: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    permutations: int | None = None
    most: int = MOST

    def plan(self, setting: Setting) -> str:
        """What is run, and its cost."""
        question = question_of(setting, self.of, groups=self.groups, permutations=self.permutations)
        chosen = chosen_measures(question, self.measures or None).names
        runs = runs_of(question, chosen)
        chips = sum(run.chips for run in runs)
        return (
            f"{', '.join(chosen)} of {self.of} {', '.join(question.groups)}: {len(runs)} runs, "
            f"{chips:,} chips x {len(setting.dataset)} inputs = {chips * len(setting.dataset):,} evaluations "
            f"of at most {self.most:,}"
        )

    def answer(self, setting: Setting) -> Answer:
        """Every measure of every group, with its rank, and the second derivatives by every weight."""
        found = measure_sensitivity(
            setting,
            self.of,
            measures=self.measures or None,
            groups=self.groups,
            permutations=self.permutations,
            most=self.most,
        )

        def draw() -> Any:
            from reliability.plots.layer_sensitivity import sensitivity_dots

            return sensitivity_dots(found)

        files = {}
        if "curvature" in set(found["measure"]):
            files["second_derivatives.npz"] = npz_bytes(weight_curvature(setting))
        text = sensitivity_text(found)
        for name, why in found.attrs["left_out"].items():
            text += "\n" + textwrap.fill(f"Without {name}: {why}.", 100)
        return Answer({"sensitivity": found}, text, draw, files)


def sensitivity_text(found: pd.DataFrame) -> str:
    """The measures as text: value, interval and rank of every group, one block a measure."""
    lines = []
    width = max(12, *(len(group) for group in found["group"]))
    for measure, rows in found.groupby("measure", sort=False):
        about, unit = MEASURES[str(measure)].about, str(rows["unit"].iloc[0])
        scale, form, what = (100, ".2f", "points of accuracy lost") if unit == DROP else (1, ".3f", unit)
        # Losses by second derivatives are as small as variances.
        form = ".3g" if unit == LOSS else form
        lines.append(f"{measure} ({about}; {what})")
        for row in rows.to_dict("records"):
            value, low, high = (f"{scale * row[name]:{form}}" for name in ("value", "low", "high"))
            exact = row["low"] == row["high"]
            text = f"  {row['group']:{width}} {value:>7}  " + ("" if exact else f"[{low}, {high}]")
            if not pd.isna(row["rank"]):
                open_rank = f"rank {row['rank_low']} to {row['rank_high']}"
                text = f"{text:{width + 30}} " + (f"rank {row['rank']}" if row["resolved"] else open_rank)
            lines.append(text.rstrip())
        if (rows["low"] == rows["high"]).all():
            lines += textwrap.wrap(
                f"({rows['method'].iloc[0]})", 100, initial_indent="  ", subsequent_indent="  "
            )
    lines.append("")
    level = f"{found['level'].iloc[0]:.0%}"
    lines.append(
        f"{level} intervals over chips, on these inputs; ranks of one measure hold together at that level."
    )
    return "\n".join(lines)
