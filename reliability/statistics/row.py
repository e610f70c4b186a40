"""One row of the summary."""

from typing import Any

from reliability.statistics.conditions import Condition
from reliability.statistics.interval import Interval
from reliability.statistics.lifetime import required_correct

Row = dict[str, Any]


def check_target(target: float | None, conditions: list[Condition]) -> None:
    """Refuse a target that no fraction correct can have, such as a percentage."""
    if target is not None and any(condition.correct is not None for condition in conditions):
        required_correct(target, 1)


def row_of(
    condition: Condition,
    estimand: str,
    value: float,
    interval: Interval,
    level: float,
    varies: str,
    method: str,
    description: str,
    **more: Any,
) -> Row:
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
