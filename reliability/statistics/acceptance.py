"""Acceptance of a yield: how many chips to try, and how many of them may fail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betainc, betaincinv

from reliability.errors import UserError
from reliability.statistics.interval import check_level


@dataclass(frozen=True)
class AcceptancePlan:
    """So many chips are tried; the yield is certified unless too many fail.

    Attributes
    ----------
    chips : int
    failures : int
        The most that may fail.
    at_least : float
        The yield that is certified.
    alpha : float
        What a chip population whose yield is just `at_least` may be certified with, at most.

    References
    ----------
    The exact binomial test; B. Clopper and E. S. Pearson, Biometrika 26:404 (1934). Trying the chips one by
    one and giving up once more than `failures` have failed decides the same and costs fewer chips.
    """

    chips: int
    failures: int
    at_least: float
    alpha: float

    def power(self, true_yield: ArrayLike) -> NDArray[np.float64]:
        """Probability that a population of this yield, or of each of several, is certified."""
        return np.asarray(betainc(self.chips - self.failures, self.failures + 1, true_yield))

    def yield_for(self, power: float) -> float:
        """The yield that is certified with this probability."""
        return float(betaincinv(self.chips - self.failures, self.failures + 1, power))


@lru_cache(maxsize=4096)
def acceptance_plan(chips: int, at_least: float, alpha: float) -> AcceptancePlan | None:
    """The plan of so many chips, or None where even no failure at all would not certify.

    Parameters
    ----------
    chips : int
        At least 1.
    at_least : float
        Yield to certify, above 0 and below 1.
    alpha : float
        One minus the confidence.
    """
    check_level(1.0 - alpha)
    if chips < 1:
        raise UserError(f"A plan was asked for {chips} chips; at least 1 is needed.")
    if not 0.0 < at_least < 1.0:
        raise UserError(f"The yield to certify holds {at_least}; it must lie between 0 and 1, such as 0.95.")
    failures = -1
    while failures + 1 < chips and bdtr(failures + 1, chips, 1.0 - at_least) <= alpha:
        failures += 1
    return None if failures < 0 else AcceptancePlan(chips, failures, at_least, alpha)


def smallest_plan(
    true_yield: float, at_least: float, alpha: float, power: float, most: int
) -> AcceptancePlan | None:
    """The plan of fewest chips that certifies a population of `true_yield` with this power.

    Only the fewest chips for each number of failures come into question.

    Returns
    -------
    AcceptancePlan or None
        None where `most` chips are not enough.
    """
    if true_yield <= at_least:
        return None
    for failures in range(most):
        chips = fewest_chips(failures, at_least, alpha)
        if chips > most:
            return None
        plan = AcceptancePlan(chips, failures, at_least, alpha)
        if plan.power(true_yield) >= power:
            return plan
    return None


@lru_cache(maxsize=65536)
def fewest_chips(failures: int, at_least: float, alpha: float) -> int:
    """Fewest chips of which so many may fail and the yield is certified still."""
    low, high = failures, failures + 1
    while bdtr(failures, high, 1.0 - at_least) > alpha:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bdtr(failures, middle, 1.0 - at_least) > alpha else (low, middle)
    return high
