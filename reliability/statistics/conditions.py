"""The trials table taken apart: one `Condition` for each combination of the condition fields."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reliability.errors import UserError
from reliability.statistics.lifetime import required_correct
from reliability.statistics.outcomes import Outcomes

DEFAULT_LOSS = 0.01
"""Accuracy below that of the digital network which the default target allows."""
UNPAIRED_FIELD = "class"
"""The condition field whose values have inputs of their own, so that no difference across them is paired."""
READ_FIELD = "read"
"""The condition field whose values are evaluations of the same chips with other read noise."""
TIME_FIELD = "time_s"
"""The condition field that makes failure times."""


@dataclass(frozen=True, eq=False)
class Condition:
    """All chips under one condition, in the order of their numbers.

    Attributes
    ----------
    where : dict
        Value of each condition field.
    codes : dict
        Rank of each of these values by first appearance in the table.
    chips : ndarray of int64, shape (chips,)
        Chip numbers, rising.
    values : ndarray of float64, shape (chips,)
        Fraction correct of each chip, or its value of a metric that is not right/wrong.
    correct : ndarray of int64, shape (chips,), or None
        Correct inputs of each chip; None for a metric that is not right/wrong.
    inputs : int
        Number of inputs.
    outcomes : Outcomes or None
        Outcome of each input, where the table holds them.
    reference : Outcomes or None
        The digital network on the same inputs, one row, where the table holds it.
    """

    where: dict[str, Any]
    codes: dict[str, int]
    chips: NDArray[np.int64]
    values: NDArray[np.float64]
    correct: NDArray[np.int64] | None
    inputs: int
    outcomes: Outcomes | None
    reference: Outcomes | None

    def target(self, asked: float | None) -> float | None:
        """The target asked for, else the accuracy of the digital network less `DEFAULT_LOSS`, else None."""
        if asked is not None or self.reference is None:
            return asked
        return max(0.0, int(self.reference.correct_by_chip[0]) / self.inputs - DEFAULT_LOSS)

    def meets(self, target: float) -> NDArray[np.bool_]:
        """Which chips meet the target, compared in whole inputs where there are counts; shape (chips,)."""
        if self.correct is None:
            return self.values >= target
        return self.correct >= required_correct(target, self.inputs)


def in_words(value: Any) -> str:
    """A condition's value as a reader would write it."""
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def split_conditions(trials: pd.DataFrame) -> tuple[list[str], list[Condition]]:
    """The condition fields and the conditions, in order of first appearance.

    Raises
    ------
    UserError
        When the table lacks a column or its `attrs`, is empty, repeats a chip within a condition, or
        contradicts itself (outcomes that do not add up to the correct counts).
    """
    fields = trials.attrs.get("conditions")
    if fields is None:
        raise UserError(
            'The trials table holds no attrs["conditions"]; it must name the columns that make a condition '
            "(an empty list for a single one)."
        )
    missing = [name for name in (*fields, "chip", "inputs", "accuracy") if name not in trials.columns]
    if missing:
        raise UserError(
            f"The trials table holds no column {missing[0]!r}; its columns are {list(trials.columns)}."
        )
    if trials.empty:
        raise UserError("The trials table holds no rows; at least one trial is needed.")

    codes = np.zeros((len(trials), len(fields)), dtype=np.int64)
    for index, field in enumerate(fields):
        codes[:, index] = pd.factorize(trials[field], use_na_sentinel=False)[0]
    group = np.zeros(len(trials), dtype=np.int64)
    for column in codes.T:
        # Renumbered after each field, so that many fields cannot overflow.
        group = pd.factorize(group * (int(column.max()) + 1) + column)[0]
    chip = trials["chip"].to_numpy(dtype=np.int64)
    order = np.lexsort((chip, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    conditions = []
    for rows in np.split(order, starts[1:]):
        first = int(rows[0])
        where = {field: trials[field].iloc[first] for field in fields}
        own_codes = dict(zip(fields, codes[first].tolist(), strict=True))
        conditions.append(_condition(trials, rows, chip[rows], where, own_codes))
    return list(fields), conditions


def series_along(fields: list[str], conditions: list[Condition], along: str) -> list[list[Condition]]:
    """Conditions that differ in one field only, in its rising order; none without that field."""
    if along not in fields:
        return []
    series: dict[tuple[int, ...], list[Condition]] = {}
    for condition in conditions:
        key = tuple(code for field, code in condition.codes.items() if field != along)
        series.setdefault(key, []).append(condition)
    return [sorted(group, key=lambda c: c.where[along]) for group in series.values()]


def _condition(
    trials: pd.DataFrame,
    rows: NDArray[np.int64],
    chips: NDArray[np.int64],
    where: dict[str, Any],
    codes: dict[str, int],
) -> Condition:
    """One condition from its rows of the table, which are sorted by chip."""
    name = ", ".join(f"{field}={in_words(value)}" for field, value in where.items()) or "(the only one)"
    repeated = chips[1:][np.diff(chips) == 0]
    if repeated.size:
        raise UserError(
            f"The trials table holds chip {repeated[0]} twice under condition {name}; once is allowed."
        )
    inputs = trials["inputs"].to_numpy()[rows]
    if (inputs != inputs[0]).any() or inputs[0] < 1:
        raise UserError(
            f"The column 'inputs' holds {sorted(set(inputs.tolist()))} under condition {name}; "
            "all its trials need the same number, at least 1."
        )
    count = int(inputs[0])
    correct = _correct(trials, rows, count, name)
    outcomes = None if correct is None else _outcomes(trials, rows, correct, count, name)
    if correct is not None:
        values = correct / count
    else:
        values = trials["accuracy"].to_numpy(dtype=np.float64)[rows]
        if not np.isfinite(values).all():
            raise UserError(
                f"The column 'accuracy' holds a missing or infinite value under condition {name}; "
                f"none is allowed."
            )
    return Condition(where, codes, chips, values, correct, count, outcomes, _reference(trials, where, count))


def _correct(
    trials: pd.DataFrame, rows: NDArray[np.int64], inputs: int, name: str
) -> NDArray[np.int64] | None:
    """Correct counts, None where the metric is not right/wrong."""
    if "correct" not in trials.columns:
        return None
    counts = trials["correct"].to_numpy(dtype=np.float64, na_value=np.nan)[rows]
    if np.isnan(counts).all():
        return None
    if not ((counts >= 0) & (counts <= inputs) & (counts == np.floor(counts))).all():
        raise UserError(
            f"The column 'correct' holds a value under condition {name} "
            f"that is no count between 0 and {inputs}."
        )
    return counts.astype(np.int64)


def _outcomes(
    trials: pd.DataFrame, rows: NDArray[np.int64], correct: NDArray[np.int64], inputs: int, name: str
) -> Outcomes | None:
    """Outcomes of each input, None where the table does not hold them."""
    if "correct_bits" not in trials.columns:
        return None
    packed = trials["correct_bits"].to_numpy(dtype=object)[rows].tolist()
    if not any(isinstance(bits, bytes) for bits in packed):
        return None
    length = -(-inputs // 8)
    if not all(isinstance(bits, bytes) and len(bits) == length for bits in packed):
        raise UserError(
            f"The column 'correct_bits' holds an entry under condition {name} that is not {length} bytes "
            f"({inputs} inputs, eight to a byte)."
        )
    outcomes = Outcomes(np.frombuffer(b"".join(packed), dtype=np.uint8).reshape(-1, length), inputs)
    if (outcomes.correct_by_chip != correct).any():
        raise UserError(
            f"The columns 'correct' and 'correct_bits' contradict each other under condition {name}; "
            "the bits must add up to the count."
        )
    return outcomes


def _reference(trials: pd.DataFrame, where: dict[str, Any], inputs: int) -> Outcomes | None:
    """The digital network's outcomes on this condition's inputs, None where the table does not hold them."""
    text = trials.attrs.get("reference_bits")
    if isinstance(text, dict):
        text = text.get(str(where.get("class")))
    if text is None:
        return None
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return Outcomes(packed[np.newaxis], inputs)
