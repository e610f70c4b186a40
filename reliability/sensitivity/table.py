"""The table of all measures of all groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reliability.analysis import Setting
from reliability.crossbar import Crossbar
from reliability.errors import UserError
from reliability.latents import Role
from reliability.sensitivity.drops import simulate_runs
from reliability.sensitivity.estimate import Estimate
from reliability.sensitivity.measures import MEASURES, checked_measures, chosen_measures, runs_of
from reliability.sensitivity.question import Of, Question, question_of, setting_crossbars
from reliability.settings import whole
from reliability.statistics.ranking import ranking
from reliability.statistics.shares import NothingVaries

MOST = 200_000_000
"""Chips times inputs that are evaluated at most, unless more are allowed."""


def measure_sensitivity(
    setting: Setting,
    of: Of = "layers",
    *,
    measures: Sequence[str] | None = None,
    groups: Mapping[str, str] | None = None,
    permutations: int | None = None,
    most: int = MOST,
    role: Role = "certify",
    level: float = 0.95,
) -> pd.DataFrame:
    """Which layers, or effects, cost accuracy and make chips differ, and in which order.

    Parameters
    ----------
    setting : Setting
        Network, inputs, chip, evaluation time, number of chips and seed.
    of : {"layers", "effects"}
        What is compared. A layer that is not noisy is digital.
    measures : sequence of str, optional
        Of :data:`MEASURES`; all of them by default.
    groups : mapping of str to str, optional
        Groups of layers or effects: a name, and patterns with ``*`` and ``?``, separated by commas. What no
        pattern names is a group of its own.
    permutations : int, optional
        Estimate Shapley values from so many random orders with their reverses, each pair on chips of its
        own. By default all sets of up to 10 groups are run, and 50 pairs of orders of more.
    most : int
        Chips times inputs that may be evaluated.
    role : {"search", "certify"}
        As in :func:`reliability.simulate`.
    level : float
        Confidence of each interval by itself, and of all ranks of a measure together.

    Returns
    -------
    DataFrame
        One row a measure and group: ``group``, ``measure``, ``unit`` (a drop of accuracy, as a fraction, or a
        share of the variance between chips), ``value``, ``low``, ``high``, ``level``, ``method``, ``varies``,
        ``rank`` (1 is most to blame), ``rank_low``, ``rank_high``, ``resolved`` (empty for a single group)
        and ``devices`` (memory cells of the group's layers). Group ``"all"`` stands for all groups.
        ``attrs["left_out"]`` says why measures that were not named are missing.

    Raises
    ------
    UserError
        If a setting is not allowed, nothing is noisy, all chips are equal where the variance is asked for, or
        more than ``most`` evaluations are needed.
    RunError
        If the chip without effects is not the digital network.
    """
    asked = question_of(setting, of, groups=groups, permutations=permutations, role=role, level=level)
    chosen, left_out = chosen_measures(asked, measures)
    runs = runs_of(asked, chosen)
    evaluations = sum(run.chips for run in runs) * len(setting.dataset)
    if evaluations > whole("most", most, 1, 2**63 - 1):
        raise UserError(
            f"{', '.join(chosen)} of {len(asked.groups)} {of} on {setting.chips} chips and "
            f"{len(setting.dataset)} inputs take {evaluations:,} evaluations, most = {most:,} are allowed: "
            f"take fewer chips, inputs, measures or groups, or allow more"
        )
    chosen, failed = checked_measures(asked, measures, chosen)
    drops = simulate_runs(asked, runs_of(asked, chosen))
    crossbars = setting_crossbars(setting)
    tables, left_out = [], left_out | failed
    for name in chosen:
        try:
            tables.append(_table(asked, name, MEASURES[name].find(asked, drops), crossbars))
        except NothingVaries as error:
            # Known after the runs only; the other measures have their values all the same.
            if measures is not None:
                raise UserError(f"measure {name!r}: {error}") from None
            left_out[name] = str(error)
    found = pd.concat(tables, ignore_index=True)
    found.attrs["left_out"] = left_out
    return found


def _table(
    question: Question, measure: str, estimate: Estimate, crossbars: Mapping[str, Crossbar]
) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "group": estimate.groups,
            "measure": measure,
            "unit": MEASURES[measure].unit,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "level": question.level,
            "method": estimate.method,
            "varies": estimate.varies,
        }
    )
    ranks = pd.DataFrame({name: pd.NA for name in ("rank", "rank_low", "rank_high", "resolved")}, rows.index)
    if len(rows) > 1:
        ranks = ranking(estimate.value, estimate.contributions, question.level)
    for name in ("rank", "rank_low", "rank_high"):
        rows[name] = ranks[name].astype("Int64")
    rows["resolved"] = ranks["resolved"].astype("boolean")
    own = [
        question.groups[group] if question.of == "layers" and group in question.groups else crossbars
        for group in estimate.groups
    ]
    rows["devices"] = [sum(crossbars[name].devices for name in names) for names in own]
    return rows
