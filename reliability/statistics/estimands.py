"""Every estimand of a condition, by itself and against another condition, as rows of the summary."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.components import METHOD, SHARE_METHOD, variance_components
from reliability.statistics.conditions import Condition
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
from reliability.statistics.interval import CHIPS, CHIPS_AND_INPUTS, DIFFERENCE, FRACTION, REAL, Interval
from reliability.statistics.levels import Levels, held_at_once
from reliability.statistics.order import quantile_interval, tolerance_bound
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.row import Row, row_of
from reliability.statistics.sequential import proportion_sequence
from reliability.statistics.spread import spread_interval
from reliability.statistics.stopping import AT_EVERY_LOOK, mean_sequence, sequence_method


def _chips_method(values: NDArray) -> str:
    """How `chips_interval` made its interval."""
    if (values == values[0]).all():
        return "all chips equal: exact binomial bound"
    return "Student t over chips, corrected for skewness"


def rows_of_condition(
    condition: Condition,
    target: float | None,
    levels: Levels,
    metric: str,
    sequential: bool,
    read_again: bool,
) -> Iterator[Row]:
    """Mean, drop, variances, spread, bad chips and yield of one condition."""
    level = levels.alone
    bounds = REAL if condition.correct is None else FRACTION
    values = condition.values
    method = _chips_method(values)

    def mean_interval(own: float) -> Interval:
        return mean_sequence(values, 1.0 - own, bounds) if sequential else chips_interval(values, own, bounds)

    if sequential:
        method = sequence_method(bounds)
    on_these = f"on these {condition.inputs} inputs"
    yield row_of(
        condition,
        "mean",
        float(values.mean()),
        mean_interval(level),
        level,
        CHIPS,
        method,
        f"mean {metric} over all chips like these, {on_these}",
        **held_at_once(mean_interval, levels.exact if sequential else levels.chips),
    )
    if condition.outcomes is not None:
        text = f"mean {metric} over all chips and all inputs like these"
        sums = sums_of_outcomes(condition.outcomes)
        yield _population_row(condition, "mean", sums, level, text, levels.both)
    if condition.outcomes is not None and condition.reference is not None:
        sums = sums_of_drop(condition.outcomes, condition.reference)
        text = f"{metric} of the digital network minus the mean over all chips like these"
        at_once = (levels.exact if sequential else levels.chips, levels.drop)
        # Of an accuracy between 0 and 1, and with room for rounding.
        best = float(condition.reference.chips_by_input.mean()) + 1e-12
        looked = (best - 1 - 2e-12, best) if sequential else None
        yield from _paired_rows(
            condition, "drop", sums, "digital network", level, text, at_once, looked=looked
        )
    if not read_again:
        yield from rows_of_split([condition], level, metric)
    spread, interval = spread_interval(values, level, bounds)
    yield row_of(
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
            if sequential:
                return proportion_sequence(passed, values.size, 1.0 - own)
            return clopper_pearson(passed, values.size, own)

        yield row_of(
            condition,
            "yield",
            passed / condition.chips.size,
            yield_interval(level),
            level,
            CHIPS,
            f"Robbins' sequence, {AT_EVERY_LOOK}" if sequential else "Clopper-Pearson",
            f"fraction of chips whose {metric} is at least {goal:g}, {on_these}",
            target=goal,
            **held_at_once(yield_interval, levels.exact),
        )


def _rows_of_bad_chips(
    condition: Condition, levels: Levels, metric: str, bounds: tuple[float, float]
) -> Iterator[Row]:
    """The 5 % chip, what 95 % of chips surely reach, and the mean of the worst 5 %."""
    values, level = condition.values, levels.alone
    on_these = f"on these {condition.inputs} inputs"

    def quantile(own: float) -> Interval:
        return Interval(*quantile_interval(values, 0.05, own, bounds)[1:])

    def worst(own: float) -> Interval:
        return Interval(*cvar_interval(values, 0.05, own, bounds)[1:])

    yield row_of(
        condition,
        "quantile_05",
        quantile_interval(values, 0.05, level, bounds).estimate,
        quantile(level),
        level,
        CHIPS,
        "order statistics",
        f"{metric} that 95 % of chips reach or exceed, {on_these}",
        **held_at_once(quantile, levels.exact),
    )
    bound = tolerance_bound(values, 0.95, level, bounds)
    yield row_of(
        condition,
        "tolerance_05",
        bound,
        Interval(bound, bounds[1]),
        level,
        CHIPS,
        "order statistics, one-sided",
        f"{metric} that at least 95 % of all chips reach or exceed with confidence {level:g}, {on_these}",
    )
    yield row_of(
        condition,
        "cvar_05",
        cvar_interval(values, 0.05, level, bounds).estimate,
        worst(level),
        level,
        CHIPS,
        "Student t of the worst chips, corrected for skewness",
        f"mean {metric} of the worst 5 % of chips, {on_these}",
        **held_at_once(worst, levels.exact),
    )


_BRINGS = {
    "chip": "differences between chips",
    "inputs": "differences between inputs",
    "chip_inputs": "what a chip does on an input",
    "read": "reads, on all inputs alike",
    "read_inputs": "reads, on each input by itself",
}


def rows_of_split(reads: Sequence[Condition], level: float, metric: str) -> Iterator[Row]:
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
        yield row_of(
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
        yield row_of(
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
) -> Row:
    """A mean when chips and inputs vary."""
    crossed: CrossedMean = crossed_mean(sums)

    def interval(own: float) -> Interval:
        return population_interval(crossed, own)

    return row_of(
        condition,
        estimand,
        crossed.mean,
        interval(level),
        level,
        CHIPS_AND_INPUTS,
        population_method(crossed),
        description,
        input_floor=input_floor(crossed, level),
        **held_at_once(interval, at_once),
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
    *,
    looked: tuple[float, float] | None,
) -> Iterator[Row]:
    """A paired difference, when chips vary and when chips and inputs vary.

    `looked` are the bounds of the values where the number of chips was chosen by looking.
    """
    chips = sums.rows.size
    values = sums.rows / condition.inputs
    interval, method = _of_differences(values, DIFFERENCE, looked)

    yield row_of(
        condition,
        estimand,
        float(values.mean()),
        interval(level),
        level,
        CHIPS,
        method,
        f"{description}, on these {condition.inputs} inputs",
        against=against,
        **held_at_once(interval, at_once[0]),
    ) | {"chips": chips}
    text = f"{description}, over all inputs like these"
    row = _population_row(condition, estimand, sums, level, text, at_once[1], against=against)
    row["method"] = f"paired: {row['method']}"
    yield row | {"chips": chips}


def _of_differences(
    values: NDArray, bounds: tuple[float, float], looked: tuple[float, float] | None
) -> tuple[Callable[[float], Interval], str]:
    """What makes the interval of a mean difference over chips, and how."""
    if looked is not None:
        return lambda own: mean_sequence(values, 1.0 - own, looked), f"paired: {sequence_method(looked)}"
    return lambda own: chips_interval(values, own, bounds), f"paired: {_chips_method(values)}"


def rows_of_difference(
    condition: Condition, baseline: Condition, against: str, level: float, metric: str, sequential: bool
) -> Iterator[Row]:
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
        yield from _paired_rows(
            condition,
            "difference",
            sums,
            against,
            level,
            description,
            looked=DIFFERENCE if sequential else None,
        )
        return
    values = condition.values[here] - baseline.values[there]
    counted = condition.correct is not None and baseline.correct is not None
    bounds = DIFFERENCE if counted else REAL
    interval, method = _of_differences(values, bounds, bounds if sequential else None)
    yield row_of(
        condition,
        "difference",
        float(values.mean()),
        interval(level),
        level,
        CHIPS,
        method,
        f"{description}, on these {condition.inputs} inputs",
        against=against,
    ) | {"chips": chips.size}


def _of_chips(outcomes: Outcomes, rows: NDArray[np.int64]) -> Outcomes:
    """The outcomes of some chips; the very object, with the counts it keeps, where that is all of them."""
    return outcomes if rows.size == outcomes.chips else outcomes.of_chips(rows)
