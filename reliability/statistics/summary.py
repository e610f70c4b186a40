"""The summary of a trials table: every estimand with its interval, its confidence and what varies in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reliability.errors import UserError
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.components import METHOD, SHARE_METHOD, variance_components
from reliability.statistics.conditions import Condition, in_words, split_conditions
from reliability.statistics.crossed import (
    CrossedMean,
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
from reliability.statistics.cvar import cvar_interval
from reliability.statistics.interval import DIFFERENCE, FRACTION, REAL, Interval, check_level
from reliability.statistics.lifetime import (
    failure_distribution,
    failure_quantile,
    first_failure,
    required_correct,
)
from reliability.statistics.order import quantile_interval, tolerance_bound
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.sequential import confidence_sequence
from reliability.statistics.simultaneous import (
    bonferroni_level,
    chips_covariance,
    joint_level,
    population_covariance,
)
from reliability.statistics.skewed import third_of_mean
from reliability.statistics.spread import spread_interval

CHIPS = "chips, these inputs"
"""What varies: other chips would be made, and tested on these very inputs."""
CHIPS_AND_INPUTS = "chips and inputs"
"""What varies: other chips would be made, and other inputs drawn."""
UNPAIRED_FIELD = "class"
"""The condition field whose values have inputs of their own, so that no difference across them is paired."""
READ_FIELD = "read"
"""The condition field whose values are evaluations of the same chips with other read noise."""
TIME_FIELD = "time_s"
"""The condition field that makes failure times."""
FAILURE_FRACTIONS = (0.5, 0.05)
"""Fractions of failed chips whose times are summarised."""

_Row = dict[str, Any]
_Maker = Callable[[float], Interval]


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
            ``mean``, ``drop`` (digital network minus chips), ``variance_chip``, ``variance_inputs`` and
            ``variance_chip_inputs`` (what chips, inputs and both together bring to the variance of one
            outcome), ``share_chip`` and ``share_inputs`` (in the variance of the mean over chips and inputs),
            ``spread`` (standard deviation over chips), ``quantile_05`` (the chip that 5 % of chips are worse
            than), ``tolerance_05`` (what 95 % of chips surely reach), ``cvar_05`` (mean of the worst 5 % of
            chips), ``yield`` (fraction of chips that meet the target), ``difference`` (mean minus that of
            another condition), ``failure_time_50`` and ``failure_time_05`` (first evaluated time by which
            that fraction of chips has failed, seconds). Where the trials hold several evaluations of the same
            chips (a condition field ``read``), the variances are estimated from all of them together, in rows
            in which ``read`` is empty, with ``variance_read`` and ``variance_read_inputs`` split off.
        value, low, high, level
            the estimate, its interval, its confidence.
        low_all, high_all
            an interval that holds for this estimand under all conditions at once with that confidence (means,
            drops, quantiles, the worst 5 % and yields; see `simultaneous_intervals`).
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
        in the table, at equal values of all other fields. They are left out across ``class`` and ``read``,
        where the two conditions share no chips, and where their inputs differ in number. A metric that is not
        right/wrong has rows for chips on these inputs only, and no bounds.

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
    levels = _joint_levels(fields, conditions, level)
    for condition in conditions:
        rows.extend(_rows_of_condition(condition, target, levels, metric, sequential, READ_FIELD in fields))
        for field in fields:
            baseline = by_codes.get(tuple({**condition.codes, field: 0}.values()))
            unpaired = field in (UNPAIRED_FIELD, READ_FIELD)
            if not unpaired and condition.codes[field] != 0 and baseline is not None:
                against = f"{field}={in_words(baseline.where[field])}"
                rows.extend(_rows_of_difference(condition, baseline, against, level, metric))
    for reads in _series(fields, conditions, READ_FIELD):
        rows.extend(row | {READ_FIELD: None} for row in _rows_of_split(reads, level, metric))
    for series in _series(fields, conditions, TIME_FIELD):
        if len(series) > 1:
            rows.extend(_rows_of_failure(series, target, level, metric))
    own = [
        "estimand",
        "value",
        "low",
        "high",
        "low_all",
        "high_all",
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


def simultaneous_intervals(
    trials: pd.DataFrame, target: float | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Intervals that hold for a whole curve: for each estimand under all conditions of the trials at once.

    Parameters and errors as `summarize`, and a `UserError` where there is one condition only.

    Returns
    -------
    DataFrame
        The rows of `summarize` for ``mean``, ``drop``, ``quantile_05``, ``cvar_05`` and ``yield``; ``low``
        and ``high`` of all rows of one estimand and one ``varies`` hold together with confidence ``level``.
        Means and drops take the quantile of the largest of the conditions' deviations, which are correlated
        as the same chips (and inputs) stand under each; where conditions share no chips or inputs, and for
        quantiles, the worst 5 % and yields, each interval has the Bonferroni level.
    """
    summary = summarize(trials, target, level)
    rows = summary[summary["low_all"].notna()].drop(columns=["low", "high", "input_floor"])
    if rows.empty:
        raise UserError("The trials table holds one condition; simultaneous intervals need two.")
    rows = rows.rename(columns={"low_all": "low", "high_all": "high"})
    rows["method"] += ", for all conditions at once"
    order = [name for name in summary.columns if name in rows.columns]
    found = rows[order].reset_index(drop=True)
    found.attrs = dict(summary.attrs)
    return found


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
    for series in _series(fields, conditions, TIME_FIELD):
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
    if (values == values[0]).all():
        return "all chips equal: exact binomial bound"
    return "Student t over chips, corrected for skewness"


@dataclass(frozen=True)
class _Levels:
    """Confidence of an interval by itself, and of each where all conditions are to hold at once."""

    alone: float
    chips: float | None
    both: float | None
    drop: float | None
    exact: float | None


def _joint_levels(fields: list[str], conditions: list[Condition], level: float) -> _Levels:
    """Levels of the intervals of all conditions at once; None where there is one condition only."""
    if len(conditions) == 1:
        return _Levels(level, None, None, None, None)
    exact = bonferroni_level(len(conditions), level)
    first = conditions[0]
    paired = all(np.array_equal(c.chips, first.chips) for c in conditions)
    chips = joint_level(chips_covariance([c.values for c in conditions]), level) if paired else exact
    both = drop = exact
    same = UNPAIRED_FIELD not in fields and all(c.inputs == first.inputs for c in conditions)
    if paired and same:
        columns = [c.outcomes.chips_by_input / c.chips.size for c in conditions if c.outcomes is not None]
        if len(columns) == len(conditions):
            rows = [c.values for c in conditions]
            both = joint_level(population_covariance(rows, columns), level)
            references = [c.reference for c in conditions if c.reference is not None]
            if len(references) == len(conditions):
                lost = [r.chips_by_input - own for r, own in zip(references, columns, strict=True)]
                drop = joint_level(population_covariance(rows, lost), level)
    return _Levels(level, chips, both, drop, exact)


def _at_once(make: _Maker, level: float | None) -> _Row:
    """The interval that holds for all conditions at once, where there are several."""
    if level is None:
        return {}
    low, high = make(level)
    return {"low_all": low, "high_all": high}


def _rows_of_condition(
    condition: Condition,
    target: float | None,
    levels: _Levels,
    metric: str,
    sequential: bool,
    read_again: bool,
) -> Iterator[_Row]:
    """Mean, drop, variances, spread, bad chips and yield of one condition."""
    level = levels.alone
    bounds = REAL if condition.correct is None else FRACTION
    values = condition.values
    method = _chips_method(values)

    def mean_interval(own: float) -> Interval:
        if not sequential:
            return chips_interval(values, own, bounds)
        mean, sd = float(values.mean()), float(values.std(ddof=1))
        return confidence_sequence(values.size, mean, sd, 1.0 - own, third=third_of_mean(values))

    if sequential:
        method = "asymptotic confidence sequence, valid at every look"
    on_these = f"on these {condition.inputs} inputs"
    yield _row(
        condition,
        "mean",
        float(values.mean()),
        mean_interval(level),
        level,
        CHIPS,
        method,
        f"mean {metric} over all chips like these, {on_these}",
        **_at_once(mean_interval, levels.exact if sequential else levels.chips),
    )
    if condition.outcomes is not None:
        text = f"mean {metric} over all chips and all inputs like these"
        sums = sums_of_outcomes(condition.outcomes)
        yield _population_row(condition, "mean", sums, level, text, levels.both)
    if condition.outcomes is not None and condition.reference is not None:
        sums = sums_of_drop(condition.outcomes, condition.reference)
        text = f"{metric} of the digital network minus the mean over all chips like these"
        at_once = (levels.chips, levels.drop)
        yield from _paired_rows(condition, "drop", sums, "digital network", level, text, at_once)
    if not read_again:
        yield from _rows_of_split([condition], level, metric)
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
    yield from _rows_of_bad_chips(condition, levels, metric, bounds)
    goal = condition.target(target)
    if goal is not None:
        passed = int(condition.meets(goal).sum())

        def yield_interval(own: float) -> Interval:
            return clopper_pearson(passed, values.size, own)

        yield _row(
            condition,
            "yield",
            passed / condition.chips.size,
            yield_interval(level),
            level,
            CHIPS,
            "Clopper-Pearson",
            f"fraction of chips whose {metric} is at least {goal:g}, {on_these}",
            target=goal,
            **_at_once(yield_interval, levels.exact),
        )


def _rows_of_bad_chips(
    condition: Condition, levels: _Levels, metric: str, bounds: tuple[float, float]
) -> Iterator[_Row]:
    """The 5 % chip, what 95 % of chips surely reach, and the mean of the worst 5 %."""
    values, level = condition.values, levels.alone
    on_these = f"on these {condition.inputs} inputs"

    def quantile(own: float) -> Interval:
        return Interval(*quantile_interval(values, 0.05, own, bounds)[1:])

    def worst(own: float) -> Interval:
        return Interval(*cvar_interval(values, 0.05, own, bounds)[1:])

    yield _row(
        condition,
        "quantile_05",
        quantile_interval(values, 0.05, level, bounds).estimate,
        quantile(level),
        level,
        CHIPS,
        "order statistics",
        f"{metric} that 95 % of chips reach or exceed, {on_these}",
        **_at_once(quantile, levels.exact),
    )
    bound = tolerance_bound(values, 0.95, level, bounds)
    yield _row(
        condition,
        "tolerance_05",
        bound,
        Interval(bound, bounds[1]),
        level,
        CHIPS,
        "order statistics, one-sided",
        f"{metric} that at least 95 % of all chips reach or exceed with confidence {level:g}, {on_these}",
    )
    yield _row(
        condition,
        "cvar_05",
        cvar_interval(values, 0.05, level, bounds).estimate,
        worst(level),
        level,
        CHIPS,
        "Student t of the worst chips, corrected for skewness",
        f"mean {metric} of the worst 5 % of chips, {on_these}",
        **_at_once(worst, levels.exact),
    )


_BRINGS = {
    "chip": "differences between chips",
    "inputs": "differences between inputs",
    "chip_inputs": "what a chip does on an input",
    "read": "reads, on all inputs alike",
    "read_inputs": "reads, on each input by itself",
}


def _rows_of_split(reads: Sequence[Condition], level: float, metric: str) -> Iterator[_Row]:
    """Variance components of one condition, from all evaluations of its chips."""
    found = [read.outcomes for read in reads if read.outcomes is not None]
    if len(found) < len(reads) or len({read.inputs for read in reads}) > 1:
        return
    chips = reads[0].chips
    for read in reads[1:]:
        chips = np.intersect1d(chips, read.chips, assume_unique=True)
    if chips.size == 0:
        return
    kept = [
        _of_chips(outcomes, np.searchsorted(read.chips, chips))
        for outcomes, read in zip(found, reads, strict=True)
    ]
    components = variance_components(kept, level=level)
    alone = " (with what reads redraw)" if len(reads) == 1 else ""
    for part in components:
        text = f"variance of one outcome ({metric}) that {_BRINGS[part.name]} bring"
        text += alone if part.name == "chip_inputs" else ""
        yield _row(
            reads[0],
            f"variance_{part.name}",
            part.value,
            part.interval,
            level,
            CHIPS_AND_INPUTS,
            METHOD,
            text,
        ) | {"chips": chips.size}
    for part in components[:2]:
        text = f"share that {_BRINGS[part.name]} have in the variance of this mean over chips and inputs"
        yield _row(
            reads[0],
            f"share_{part.name}",
            part.share,
            part.share_interval,
            level,
            CHIPS_AND_INPUTS,
            SHARE_METHOD,
            text,
        ) | {"chips": chips.size}


def _population_row(
    condition: Condition,
    estimand: str,
    sums: CrossedSums,
    level: float,
    description: str,
    at_once: float | None = None,
    **more: Any,
) -> _Row:
    """A mean when chips and inputs vary."""
    crossed: CrossedMean = crossed_mean(sums)

    def interval(own: float) -> Interval:
        return population_interval(crossed, own)

    return _row(
        condition,
        estimand,
        crossed.mean,
        interval(level),
        level,
        CHIPS_AND_INPUTS,
        population_method(crossed),
        description,
        input_floor=input_floor(crossed, level),
        **_at_once(interval, at_once),
        **more,
    )


def _paired_rows(
    condition: Condition,
    estimand: str,
    sums: CrossedSums,
    against: str,
    level: float,
    description: str,
    at_once: tuple[float | None, float | None] = (None, None),
) -> Iterator[_Row]:
    """A paired difference, when chips vary and when chips and inputs vary."""
    chips = sums.rows.size
    values = sums.rows / condition.inputs

    def interval(own: float) -> Interval:
        return chips_interval(values, own, DIFFERENCE)

    yield _row(
        condition,
        estimand,
        float(values.mean()),
        interval(level),
        level,
        CHIPS,
        f"paired: {_chips_method(values)}",
        f"{description}, on these {condition.inputs} inputs",
        against=against,
        **_at_once(interval, at_once[0]),
    ) | {"chips": chips}
    text = f"{description}, over all inputs like these"
    row = _population_row(condition, estimand, sums, level, text, at_once[1], against=against)
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


def _series(fields: list[str], conditions: list[Condition], along: str) -> list[list[Condition]]:
    """Conditions that differ in one field only, in its rising order; none without that field."""
    if along not in fields:
        return []
    series: dict[tuple[int, ...], list[Condition]] = {}
    for condition in conditions:
        key = tuple(code for field, code in condition.codes.items() if field != along)
        series.setdefault(key, []).append(condition)
    return [sorted(group, key=lambda c: c.where[along]) for group in series.values()]


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
