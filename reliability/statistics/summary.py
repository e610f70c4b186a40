"""The summary of a trials table: every estimand with its interval, its confidence and what varies in it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reliability.errors import UserError
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.conditions import Condition, in_words, split_conditions
from reliability.statistics.crossed import (
    CrossedSums,
    chips_interval,
    crossed_mean,
    input_floor,
    population_interval,
    population_method,
    sums_of_difference,
    sums_of_drop,
    sums_of_outcomes,
)
from reliability.statistics.interval import DIFFERENCE, FRACTION, REAL, Interval, check_level
from reliability.statistics.lifetime import (
    failure_distribution,
    failure_quantile,
    first_failure,
    required_correct,
)
from reliability.statistics.order import quantile_interval
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.sequential import confidence_sequence
from reliability.statistics.spread import spread_interval

CHIPS = "chips, these inputs"
"""What varies: other chips would be made, and tested on these very inputs."""
CHIPS_AND_INPUTS = "chips and inputs"
"""What varies: other chips would be made, and other inputs drawn."""
UNPAIRED_FIELD = "class"
"""The condition field whose values have inputs of their own, so that no difference across them is paired."""
TIME_FIELD = "time_s"
"""The condition field that makes failure times."""
FAILURE_FRACTIONS = (0.5, 0.05)
"""Fractions of failed chips whose times are summarised."""

_Row = dict[str, Any]


def summarize(trials: pd.DataFrame, target: float | None = None, level: float = 0.95) -> pd.DataFrame:
    """Every estimand of every condition with its interval.

    Parameters
    ----------
    trials : DataFrame
        One row a trial: the condition fields named in ``trials.attrs["conditions"]``, ``chip``, ``inputs``,
        ``accuracy`` and, for right/wrong metrics, ``correct`` and ``correct_bits`` (`numpy.packbits` of the
        outcomes); ``trials.attrs["reference_bits"]``, base64, are those of the digital network.
        Where ``trials.attrs["ci_width"]`` says that the number of chips was chosen by looking at the
        intervals, means over chips come with a confidence sequence.
    target : float, optional
        Accuracy that a chip must reach. Without it the accuracy of the digital network less 0.01; without
        the digital network's outcomes either, the rows that need a target (yield, failure times) are left
        out.
    level : float
        Confidence of every interval by itself.

    Returns
    -------
    DataFrame
        One row for each condition and estimand, conditions in the order of the table, with the columns

        condition fields
            as in the trials; ``time_s`` is empty for failure times.
        estimand
            ``mean``, ``drop`` (digital network minus chips), ``spread`` (standard deviation over chips),
            ``quantile_05`` (the chip that 5 % of chips are worse than), ``yield`` (fraction of chips that
            meet the target), ``difference`` (mean minus that of another condition), ``failure_time_50`` and
            ``failure_time_05`` (first evaluated time by which that fraction of chips has failed, seconds).
        value, low, high, level
            the estimate, its interval, its confidence.
        varies
            what the interval is about: "chips, these inputs" or "chips and inputs".
        method
            how the interval was made.
        chips, inputs
            how many there were.
        target, against
            the accuracy to reach; what a drop or difference is taken from.
        input_floor
            the full width that this interval would keep with infinitely many chips ("chips and inputs" only).
        description
            the row in words.

        Differences are paired, chip by chip and input by input: each value of a field against the first one
        in the table, at equal values of all other fields. They are left out across ``class``, where the two
        conditions share no chips, and where their inputs differ in number. A metric that is not right/wrong
        has rows for chips on these inputs only, and no bounds.

    Raises
    ------
    UserError
        When the table, the target or the level is impossible.
    """
    check_level(level)
    fields, conditions = split_conditions(trials)
    _check_target(target, conditions)
    metric = str(trials.attrs.get("metric", "accuracy"))
    sequential = "ci_width" in trials.attrs
    rows: list[_Row] = []
    by_codes = {tuple(condition.codes.values()): condition for condition in conditions}
    for condition in conditions:
        rows.extend(_rows_of_condition(condition, target, level, metric, sequential))
        for field in fields:
            baseline = by_codes.get(tuple({**condition.codes, field: 0}.values()))
            if field != UNPAIRED_FIELD and condition.codes[field] != 0 and baseline is not None:
                against = f"{field}={in_words(baseline.where[field])}"
                rows.extend(_rows_of_difference(condition, baseline, against, level, metric))
    for series in _time_series(fields, conditions):
        rows.extend(_rows_of_failure(series, target, level, metric))
    own = [
        "estimand",
        "value",
        "low",
        "high",
        "level",
        "varies",
        "method",
        "chips",
        "inputs",
        "target",
        "against",
    ]
    summary = pd.DataFrame(rows, columns=[*fields, *own, "input_floor", "description"])
    summary.attrs = {"conditions": fields, "metric": metric}
    return summary


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
    _check_target(target, conditions)
    if TIME_FIELD not in fields:
        raise UserError(
            f"The trials table has the condition fields {fields}; failure times need {TIME_FIELD!r}."
        )
    tables = []
    for series in _time_series(fields, conditions):
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


def _check_target(target: float | None, conditions: list[Condition]) -> None:
    """Refuse a target that no fraction correct can have, such as a percentage."""
    if target is not None and any(condition.correct is not None for condition in conditions):
        required_correct(target, 1)


def _row(
    condition: Condition,
    estimand: str,
    value: float,
    interval: Interval,
    level: float,
    varies: str,
    method: str,
    description: str,
    **more: Any,
) -> _Row:
    """One row of the summary; fields that do not apply stay empty."""
    return {
        **condition.where,
        "estimand": estimand,
        "value": value,
        "low": interval.low,
        "high": interval.high,
        "level": level,
        "varies": varies,
        "method": method,
        "chips": condition.chips.size,
        "inputs": condition.inputs,
        "description": description,
        **more,
    }


def _chips_method(values: NDArray) -> str:
    """How `chips_interval` made its interval."""
    return "all chips equal: exact binomial bound" if (values == values[0]).all() else "Student t over chips"


def _rows_of_condition(
    condition: Condition, target: float | None, level: float, metric: str, sequential: bool
) -> Iterator[_Row]:
    """Mean, drop, spread, 5 % chip and yield of one condition."""
    bounds = REAL if condition.correct is None else FRACTION
    values = condition.values
    mean_interval, method = chips_interval(values, level, bounds), _chips_method(values)
    if sequential:
        mean_interval = confidence_sequence(
            values.size, float(values.mean()), float(values.std(ddof=1)), 1.0 - level
        )
        method = "asymptotic confidence sequence, valid at every look"
    on_these = f"on these {condition.inputs} inputs"
    yield _row(
        condition,
        "mean",
        float(values.mean()),
        mean_interval,
        level,
        CHIPS,
        method,
        f"mean {metric} over all chips like these, {on_these}",
    )
    if condition.outcomes is not None:
        text = f"mean {metric} over all chips and all inputs like these"
        yield _population_row(condition, "mean", sums_of_outcomes(condition.outcomes), level, text)
    if condition.outcomes is not None and condition.reference is not None:
        sums = sums_of_drop(condition.outcomes, condition.reference)
        text = f"{metric} of the digital network minus the mean over all chips like these"
        yield from _paired_rows(condition, "drop", sums, "digital network", level, text)
    spread, interval = spread_interval(values, level, bounds)
    yield _row(
        condition,
        "spread",
        spread,
        interval,
        level,
        CHIPS,
        "all chips equal: exact binomial bound"
        if spread == 0.0
        else "Hall's skewness-corrected t or chi-square, the wider",
        f"standard deviation of {metric} over chips, {on_these}",
    )
    quantile, low, high = quantile_interval(values, 0.05, level, bounds)
    yield _row(
        condition,
        "quantile_05",
        quantile,
        Interval(low, high),
        level,
        CHIPS,
        "order statistics",
        f"{metric} that 95 % of chips reach or exceed, {on_these}",
    )
    goal = condition.target(target)
    if goal is not None:
        passed = int(condition.meets(goal).sum())
        yield _row(
            condition,
            "yield",
            passed / condition.chips.size,
            clopper_pearson(passed, condition.chips.size, level),
            level,
            CHIPS,
            "Clopper-Pearson",
            f"fraction of chips whose {metric} is at least {goal:g}, {on_these}",
            target=goal,
        )


def _population_row(
    condition: Condition, estimand: str, sums: CrossedSums, level: float, description: str, **more: Any
) -> _Row:
    """A mean when chips and inputs vary."""
    crossed = crossed_mean(sums)
    return _row(
        condition,
        estimand,
        crossed.mean,
        population_interval(crossed, level),
        level,
        CHIPS_AND_INPUTS,
        population_method(crossed),
        description,
        input_floor=input_floor(crossed, level),
        **more,
    )


def _paired_rows(
    condition: Condition, estimand: str, sums: CrossedSums, against: str, level: float, description: str
) -> Iterator[_Row]:
    """A paired difference, when chips vary and when chips and inputs vary."""
    chips = sums.rows.size
    values = sums.rows / condition.inputs
    yield _row(
        condition,
        estimand,
        float(values.mean()),
        chips_interval(values, level, DIFFERENCE),
        level,
        CHIPS,
        f"paired: {_chips_method(values)}",
        f"{description}, on these {condition.inputs} inputs",
        against=against,
    ) | {"chips": chips}
    row = _population_row(
        condition, estimand, sums, level, f"{description}, over all inputs like these", against=against
    )
    row["method"] = f"paired: {row['method']}"
    yield row | {"chips": chips}


def _rows_of_difference(
    condition: Condition, baseline: Condition, against: str, level: float, metric: str
) -> Iterator[_Row]:
    """Mean of one condition minus that of another on the chips that stand under both."""
    if condition.inputs != baseline.inputs:
        return
    chips, here, there = np.intersect1d(
        condition.chips, baseline.chips, assume_unique=True, return_indices=True
    )
    if chips.size == 0:
        return
    description = f"mean {metric} of the same chips minus that at {against}"
    if condition.outcomes is not None and baseline.outcomes is not None:
        sums = sums_of_difference(_of_chips(condition.outcomes, here), _of_chips(baseline.outcomes, there))
        yield from _paired_rows(condition, "difference", sums, against, level, description)
        return
    values = condition.values[here] - baseline.values[there]
    counted = condition.correct is not None and baseline.correct is not None
    yield _row(
        condition,
        "difference",
        float(values.mean()),
        chips_interval(values, level, DIFFERENCE if counted else REAL),
        level,
        CHIPS,
        f"paired: {_chips_method(values)}",
        f"{description}, on these {condition.inputs} inputs",
        against=against,
    ) | {"chips": chips.size}


def _of_chips(outcomes: Outcomes, rows: NDArray[np.int64]) -> Outcomes:
    """The outcomes of some chips; the very object, with the counts it keeps, where that is all of them."""
    return outcomes if rows.size == outcomes.chips else outcomes.of_chips(rows)


def _time_series(fields: list[str], conditions: list[Condition]) -> list[list[Condition]]:
    """Conditions that differ in time only, in rising time, where there are at least two."""
    if TIME_FIELD not in fields:
        return []
    series: dict[tuple[int, ...], list[Condition]] = {}
    for condition in conditions:
        key = tuple(code for field, code in condition.codes.items() if field != TIME_FIELD)
        series.setdefault(key, []).append(condition)
    return [sorted(group, key=lambda c: c.where[TIME_FIELD]) for group in series.values() if len(group) > 1]


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


def _rows_of_failure(
    series: list[Condition], target: float | None, level: float, metric: str
) -> Iterator[_Row]:
    """Times by which given fractions of the chips have failed."""
    goal = series[0].target(target)
    if goal is None:
        return
    left, right, times = _failures(series, goal)
    if right.size == 0:
        return
    for fraction in FAILURE_FRACTIONS:
        after, by, low, high = failure_quantile(left, right, fraction, level)
        row = _row(
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
