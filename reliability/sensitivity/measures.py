"""The measures by name, and the runs that some of them need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from reliability.checks import check_names
from reliability.errors import UserError
from reliability.sensitivity.computed import COMPUTED
from reliability.sensitivity.measure import Measure
from reliability.sensitivity.mixed import MIXED
from reliability.sensitivity.noisy import NOISY
from reliability.sensitivity.question import Question, Run


class Chosen(NamedTuple):
    """Measures to take, and why others are not."""

    names: tuple[str, ...]
    left_out: dict[str, str]


def check_measures(measures: Sequence[str] | None) -> tuple[str, ...]:
    """The names of measures, all of them by default; a :class:`UserError` for one that there is not."""
    check_names("measures", measures)
    chosen = tuple(MEASURES if measures is None else dict.fromkeys(measures))
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown or not chosen:
        raise UserError(f"measures = {list(chosen)!r} must be some of {', '.join(MEASURES)}")
    return chosen


def chosen_measures(question: Question, measures: Sequence[str] | None) -> Chosen:
    """The measures to take: those named, or all that can be taken of a question.

    Raises
    ------
    UserError
        If one is named that there is not, or that cannot be taken.
    """
    names = check_measures(measures)
    return _left(names, {name: MEASURES[name].refuses(question) for name in names}, measures is not None)


def checked_measures(question: Question, measures: Sequence[str] | None, chosen: Sequence[str]) -> Chosen:
    """Those of the chosen measures whose checks hold; the checks cost chips.

    Raises
    ------
    UserError
        If one is named whose check fails.
    """
    return _left(chosen, {name: MEASURES[name].check(question) for name in chosen}, measures is not None)


def _left(names: Sequence[str], against: Mapping[str, str | None], named: bool) -> Chosen:
    left_out = {name: reason for name, reason in against.items() if reason is not None}
    for name, reason in left_out.items():
        if named:
            raise UserError(f"measure {name!r}: {reason}")
    return Chosen(tuple(name for name in names if name not in left_out), left_out)


def runs_of(question: Question, measures: Iterable[str]) -> list[Run]:
    """All runs that some measures need, each once."""
    runs = dict.fromkeys(run for name in measures for run in MEASURES[name].runs(question))
    every = {run: run._replace(first=0, chips=question.chips) for run in runs}
    return [run for run in runs if every[run] == run or every[run] not in runs]


MEASURES: dict[str, Measure] = NOISY | MIXED | COMPUTED
"""The measures by name; one more is one more entry, with a function that gives an :class:`Estimate`."""
