"""The certificate of a design: on chips and inputs that nothing was chosen by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reliability.mitigation.common_chips import CommonChips
from reliability.mitigation.goal import Goal
from reliability.mitigation.space import Design
from reliability.statistics.acceptance import AcceptancePlan
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.interval import CHIPS
from reliability.units import grid_in_words, percent, time_in_words

# Chips that are simulated at a time, between looks at how many have failed.
_STEP = 32
_LEVEL = 0.95

SHARES = (0.6, 0.3, 0.1)
"""How the risk of a wrong certificate is shared out over the attempts to get one."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """Whether the goal's share of chips was certified, and on what.

    Attributes
    ----------
    goal : Goal
    times : tuple of float
        At which a chip had to meet its target, seconds.
    is_steady : bool
        Whether nothing about the chip changes with time, so that one time stands for all.
    plan : AcceptancePlan
        Laid down before the first chip.
    design : Design
    attempt : int
        Which of at most three, from 1. What an attempt before found on the same inputs, of other chips, may
        have led to this design; the statement is about chips like these on these inputs.
    correct : ndarray of int, shape (chips, times)
        Right answers; fewer chips than planned where too many had failed.
    required, inputs : int
        Right answers that a chip needs, of so many inputs.
    first_chip : int
        Number of the first chip, of role ``"certify"``.
    """

    goal: Goal
    times: tuple[float, ...]
    is_steady: bool
    plan: AcceptancePlan
    design: Design
    attempt: int
    correct: np.ndarray
    required: int
    inputs: int
    first_chip: int

    @property
    def failures(self) -> int:
        """Chips that missed the target at any time."""
        return int((self.correct.min(axis=1) < self.required).sum())

    @property
    def holds(self) -> bool:
        """Whether the yield is certified."""
        return len(self.correct) == self.plan.chips and self.failures <= self.plan.failures

    @property
    def accuracy(self) -> np.ndarray:
        """Of the chips at each time, (chips, times)."""
        return self.correct / self.inputs

    def row(self) -> dict[str, Any]:
        """The attempt in numbers."""
        good = len(self.correct) - self.failures
        low, high = clopper_pearson(good, len(self.correct), _LEVEL)
        return {
            "attempt": self.attempt,
            "design": self.design.describe(),
            "number": self.design.number,
            "holds": self.holds,
            "at_least": self.goal.at_least,
            "confidence": self.goal.confidence,
            "alpha": self.plan.alpha,
            "planned_chips": self.plan.chips,
            "allowed_failures": self.plan.failures,
            "required": self.required,
            "inputs": self.inputs,
            "first_chip": self.first_chip,
            "chips": len(self.correct),
            "failures": self.failures,
            "estimand": "yield",
            "value": good / len(self.correct),
            "low": low,
            "high": high,
            "level": _LEVEL,
            "method": "Clopper-Pearson; the attempt ends once too many have failed",
            "varies": CHIPS,
        }

    def describe(self) -> str:
        """The statement, or why there is none."""
        when = f" at {grid_in_words(self.times)[0]}"
        if self.is_steady:
            when = "; they do not change with time"
        elif len(self.times) > 1:
            when = f" at one of the times {', '.join(grid_in_words(self.times))}"
        seen = "the search has not seen" if self.attempt == 1 else "only attempts before have seen"
        tried = (
            f"of {len(self.correct):,} fresh chips on {self.inputs} inputs that {seen}, "
            f"{self.failures} missed {self.required} right answers{when}"
        )
        if self.holds:
            return (
                f"With {percent(self.goal.confidence)} confidence {self.goal.describe()} "
                f"until {time_in_words(self.goal.times[-1])} ({tried}; {self.plan.failures} were allowed)."
            )
        return f"Not certified: {tried}; {self.plan.failures} of {self.plan.chips} were allowed."


def certify(
    chips: CommonChips, design: Design, goal: Goal, plan: AcceptancePlan, attempt: int, first_chip: int
) -> Certificate:
    """Try a plan's chips, and no more once too many have failed.

    Parameters
    ----------
    chips : CommonChips
        Of role ``"certify"``.
    design : Design
    goal : Goal
    plan : AcceptancePlan
    attempt : int
    first_chip : int
        Chips before it have been used by other attempts.
    """
    correct = np.empty((0, len(chips.times)), np.int64)
    while len(correct) < plan.chips:
        count = min(_STEP, plan.chips - len(correct))
        more = chips.fresh(design.number, design.chip, first_chip + len(correct), count)
        correct = np.concatenate([correct, more])
        if (correct.min(axis=1) < chips.required).sum() > plan.failures:
            break
    return Certificate(
        goal,
        chips.times,
        chips.is_steady,
        plan,
        design,
        attempt,
        correct,
        chips.required,
        chips.inputs,
        first_chip,
    )
