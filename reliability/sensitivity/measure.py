"""One way to say how much a group is to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from reliability.sensitivity.drops import Drops
from reliability.sensitivity.estimate import Estimate
from reliability.sensitivity.question import Question, Run

DROP = "drop of accuracy"
SHARE = "share of variance"
LOSS = "cross-entropy"
"""Units of the measures; the variance is that between chips."""


Find = Callable[[Question, Drops], Estimate]


def _no_runs(question: Question) -> Iterable[Run]:
    return ()


def _never(question: Question) -> str | None:
    return None


@dataclass(frozen=True)
class Measure:
    """One way to say how much a group is to blame.

    Attributes
    ----------
    about : str
        What the value is.
    unit : str
        What it is counted in.
    find : callable
        Takes the question and what the runs found.
    runs : callable
        The runs that it needs.
    refuses : callable
        Why the measure cannot be taken of a question, or None; found at no cost.
    check : callable
        Why it would be wrong, or None; found on simulated chips.
    """

    about: str
    unit: str
    find: Find
    runs: Callable[[Question], Iterable[Run]] = field(default=_no_runs)
    refuses: Callable[[Question], str | None] = field(default=_never)
    check: Callable[[Question], str | None] = field(default=_never)
