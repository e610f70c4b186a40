"""The measures by name, and the runs that some of them need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reliability.errors import UserError
from reliability.sensitivity.computed import COMPUTED
from reliability.sensitivity.measure import Measure
from reliability.sensitivity.mixed import MIXED
from reliability.sensitivity.noisy import NOISY
from reliability.sensitivity.question import Question, Run


def check_measures(measures: Sequence[str] | None) -> tuple[str, ...]:
    """The names of measures, all of them by default; a :class:`UserError` for one that there is not."""
    chosen = tuple(MEASURES if measures is None else dict.fromkeys(measures))
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown or not chosen:
        raise UserError(f"measures = {list(chosen)!r} must be some of {', '.join(MEASURES)}")
    return chosen


def chosen_measures(question: Question, measures: Sequence[str] | None) -> tuple[str, ...]:
    """The measures to take: those named, or all that can be taken of a question.

    Raises
    ------
    UserError
        If one is named that there is not, or that cannot be taken.
    """
    chosen = check_measures(measures)
    refused = refused_measures(question, chosen)
    if measures is None:
        return tuple(name for name in chosen if name not in refused)
    for name, reason in refused.items():
        raise UserError(f"measure {name!r}: {reason}")
    return chosen


def refused_measures(question: Question, measures: Iterable[str] | None = None) -> dict[str, str]:
    """The measures that cannot be taken, of those named or of all, and why."""
    found = {name: MEASURES[name].refuses(question) for name in measures or MEASURES}
    return {name: reason for name, reason in found.items() if reason is not None}


def runs_of(question: Question, measures: Iterable[str]) -> list[Run]:
    """All runs that some measures need, each once."""
    runs = dict.fromkeys(run for name in measures for run in MEASURES[name].runs(question))
    every = {run: run._replace(first=0, chips=question.chips) for run in runs}
    return [run for run in runs if every[run] == run or every[run] not in runs]


MEASURES: dict[str, Measure] = NOISY | MIXED | COMPUTED
"""The measures by name; one more is one more entry, with a function that gives an :class:`Estimate`."""
