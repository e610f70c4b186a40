"""The share of a loss that a cure regains, on common chips and inputs.

The share (cured - ill) / (healthy - ill) divides by a mean that is itself estimated. Fieller's interval asks
which shares R make the mean of (cured - ill) - R (healthy - ill) differ from zero too little to tell; the
variance of that mean is quadratic in R, whether chips vary or chips and inputs, so that the ends are roots.

References
----------
Fieller, Journal of the Royal Statistical Society B 16:175 (1954).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from reliability.errors import UserError
from reliability.statistics.crossed import crossed_mean, sums_of_values
from reliability.statistics.interval import REAL, Interval, check_level
from reliability.statistics.outcomes import Outcomes

FIELLER = "Fieller's interval of a ratio of paired differences"


@dataclass(frozen=True)
class Regained:
    """A share that is regained, with its intervals.

    Attributes
    ----------
    value : float
        1 where a cure regains all, below 0 where it does harm.
    of_chips, of_both : Interval
        Over other chips on these inputs, and over other chips and inputs; without ends where the loss itself
        cannot be told from none.
    """

    value: float
    of_chips: Interval
    of_both: Interval


def regained_share(healthy: Outcomes, ill: Outcomes, cured: Outcomes, level: float = 0.95) -> Regained:
    """The share of the accuracy lost from healthy to ill chips that cured ones regain.

    Parameters
    ----------
    healthy, ill, cured : Outcomes
        Of the same chips on the same inputs.
    level : float
        Confidence of each interval by itself.

    Raises
    ------
    UserError
        If they differ in chips or inputs, there are fewer than two of either, or nothing was lost.
    """
    check_level(level)
    given = {"healthy": healthy, "ill": ill, "cured": cured}
    sizes = {(own.chips, own.inputs) for own in given.values()}
    chips, inputs = min(sizes)
    if len(sizes) > 1 or min(chips, inputs) < 2:
        held = f"there are {_sizes(healthy)}"
        if len(sizes) > 1:
            held = ", ".join(f"{name} has {_sizes(own)}" for name, own in given.items())
        raise UserError(f"a share regained takes the same chips and inputs, two of each at least; {held}")
    whole, without, now = (_values(own) for own in (healthy, ill, cured))
    part, lost = now - without, whole - without
    gain, loss = float(part.mean()), float(lost.mean())
    if loss == 0:
        raise UserError("nothing was lost on these chips and inputs, so that no share of it can be regained")
    value = gain / loss
    means = np.stack([part.mean(axis=1), lost.mean(axis=1)])
    of_chips = _fieller(gain, loss, np.cov(means) / chips, chips - 1, level)
    spread = np.array([[_square(part), 0.0], [0.0, _square(lost)]])
    spread[0, 1] = spread[1, 0] = (_square(part + lost) - _square(part - lost)) / 4
    df = crossed_mean(sums_of_values(part - value * lost)).df
    return Regained(value, of_chips, _fieller(gain, loss, spread, df, level))


def _sizes(outcomes: Outcomes) -> str:
    chips, inputs = outcomes.chips, outcomes.inputs
    return f"{chips} chip{'s'[: chips != 1]} and {inputs} input{'s'[: inputs != 1]}"


def _values(outcomes: Outcomes) -> NDArray[np.float32]:
    return np.unpackbits(outcomes.packed, axis=1, count=outcomes.inputs).astype(np.float32)


def _square(values: NDArray) -> float:
    """Squared standard error of a mean over chips and inputs: (MSA + MSB - MSE) / (T N)."""
    found = crossed_mean(sums_of_values(values))
    return (found.msa + found.msb - found.mse) / values.size


def _fieller(a: float, b: float, covariance: NDArray, df: float, level: float) -> Interval:
    """All R for which the mean of a - R b is within t standard errors of zero, if that is an interval."""
    if df <= 0:
        # Nothing varies: cured chips are the ill or the healthy ones, answer by answer.
        return Interval(a / b, a / b)
    t = float(stdtrit(df, 0.5 + level / 2))
    square = b * b - t * t * float(covariance[1, 1])
    mixed = a * b - t * t * float(covariance[0, 1])
    rest = a * a - t * t * float(covariance[0, 0])
    inner = mixed * mixed - square * rest
    if square <= 0 or inner < 0:
        return Interval(*REAL)
    return Interval((mixed - math.sqrt(inner)) / square, (mixed + math.sqrt(inner)) / square)
