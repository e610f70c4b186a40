"""When chips have failed, from the conditions of all times."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reliability.errors import UserError
from reliability.statistics.conditions import TIME_FIELD, Condition, series_along, split_conditions
from reliability.statistics.interval import CHIPS, Interval, check_level
from reliability.statistics.lifetime import failure_distribution, failure_quantile, first_failure
from reliability.statistics.row import Row, check_target, row_of

FAILURE_FRACTIONS = (0.5, 0.05)
"""Fractions of failed chips whose times are summarised."""


def failure_table(trials: pd.DataFrame, target: float | None = None, level: float = 0.95) -> pd.DataFrame:
    """Fraction of chips that have failed by each time, for each combination of the other condition fields.

    Parameters and errors as `summarize`, and a `UserError` when there is no target or no field ``time_s``.

    Returns
    -------
    DataFrame
        One row for each combination and time: the other fields, ``time_s``, ``failed`` (fraction), ``low``,
        ``high`` (Clopper-Pearson, each time by itself), ``level``, ``varies``, ``method``, ``chips``,
        ``inputs``, ``target``.
    """
    check_level(level)
    fields, conditions = split_conditions(trials)
    check_target(target, conditions)
    if TIME_FIELD not in fields:
        raise UserError(
            f"The trials table has the condition fields {fields}; failure times need {TIME_FIELD!r}."
        )
    tables = []
    for series in series_along(fields, conditions, TIME_FIELD):
        if len(series) == 1:
            continue
        goal = series[0].target(target)
        if goal is None:
            raise UserError(
                "The target holds nothing and the trials hold no digital network to take it from; give one."
            )
        _, right, times = _failures(series, goal)
        table = failure_distribution(right, times, level).rename(columns={"time": TIME_FIELD})
        for field, value in series[0].where.items():
            if field != TIME_FIELD:
                table[field] = [value] * len(table)
        method = "Clopper-Pearson, each time by itself"
        tables.append(table.assign(varies=CHIPS, method=method, inputs=series[0].inputs, target=goal))
    if not tables:
        raise UserError(
            f"The field {TIME_FIELD!r} holds one time for each condition; failure times need two."
        )
    others = [field for field in fields if field != TIME_FIELD]
    own = ["failed", "low", "high", "level", "varies", "method", "chips", "inputs", "target"]
    return pd.concat(tables, ignore_index=True)[[*others, TIME_FIELD, *own]]


def _failures(
    series: list[Condition], goal: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[float]]:
    """Ends (left, right] of the failure times of the chips that stand under all times, and these times."""
    chips = series[0].chips
    for condition in series[1:]:
        chips = np.intersect1d(chips, condition.chips, assume_unique=True)
    times = [float(condition.where[TIME_FIELD]) for condition in series]
    met = np.stack([c.meets(goal)[np.searchsorted(c.chips, chips)] for c in series], axis=1)
    left, right = first_failure(met, 1, times)
    return left, right, times


def rows_of_failure(
    series: list[Condition], target: float | None, level: float, metric: str
) -> Iterator[Row]:
    """Times by which given fractions of the chips have failed."""
    goal = series[0].target(target)
    if goal is None:
        return
    left, right, times = _failures(series, goal)
    if right.size == 0:
        return
    for fraction in FAILURE_FRACTIONS:
        after, by, low, high = failure_quantile(left, right, fraction, level)
        row = row_of(
            series[0],
            f"failure_time_{round(100 * fraction):02d}",
            by,
            Interval(low, high),
            level,
            CHIPS,
            f"order statistics of interval-censored times; estimate in ({after:g}, {by:g}] s",
            f"time in s by which {fraction:.0%} of chips have first fallen below {metric} {goal:g}, "
            f"seen at {len(times)} times, on these {series[0].inputs} inputs",
            target=goal,
        )
        yield row | {TIME_FIELD: None, "chips": right.size}
