"""Levels of confidence: of an interval by itself, and where all conditions are to hold at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reliability.statistics.conditions import UNPAIRED_FIELD, Condition
from reliability.statistics.interval import Interval
from reliability.statistics.row import Row
from reliability.statistics.simultaneous import (
    bonferroni_level,
    chips_covariance,
    joint_level,
    population_covariance,
)

_Maker = Callable[[float], Interval]


@dataclass(frozen=True)
class Levels:
    """Confidence of an interval by itself, and of each where all conditions are to hold at once."""

    alone: float
    chips: float | None
    both: float | None
    drop: float | None
    exact: float | None


def joint_levels(fields: list[str], conditions: list[Condition], level: float) -> Levels:
    """Levels of the intervals of all conditions at once; None where there is one condition only."""
    if len(conditions) == 1:
        return Levels(level, None, None, None, None)
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
    return Levels(level, chips, both, drop, exact)


def held_at_once(make: _Maker, level: float | None) -> Row:
    """The interval that holds for all conditions at once, where there are several."""
    if level is None:
        return {}
    low, high = make(level)
    return {"low_all": low, "high_all": high}
