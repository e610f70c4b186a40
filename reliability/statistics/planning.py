"""How many chips and how many inputs give a wanted interval at the least cost.

The mean over chips and inputs has variance s2_chip / T + s2_inputs / N + s2_both / (T N). For N inputs and a
variance v, (s2_chip N + s2_both) / (v N - s2_inputs) chips are needed, and none are enough where v N is not
above s2_inputs. With T (c + d N) seconds of simulation the cheapest N, taken as a real number, is

    N = B + sqrt(B^2 + ((s2_chip c + s2_both d) B + s2_both c) / (s2_chip d)),    B = s2_inputs / v.

The whole numbers here are exact: the fewest chips for every number of inputs by this formula with Student's
t in place of the normal quantile, and the cheapest of these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from reliability.errors import UserError
from reliability.statistics.components import Component
from reliability.statistics.interval import check_level

FEWEST_CHIPS = 10
"""No plan has fewer chips: they would not show how skewed chips are."""
MOST_CHIPS = 10**9
"""More chips than this count as out of reach."""


@dataclass(frozen=True)
class Split:
    """Variances of one outcome: of chips, of inputs, and of what a chip does on an input.

    Attributes
    ----------
    chip, inputs, chip_inputs : float
        Not negative; `chip_inputs` with what single reads redraw.
    """

    chip: float
    inputs: float
    chip_inputs: float

    def __post_init__(self) -> None:
        parts = (self.chip, self.inputs, self.chip_inputs)
        if not all(0.0 <= part < math.inf for part in parts):
            raise UserError(f"The variance split holds {parts}; none may be negative.")

    @classmethod
    def of(cls, components: Sequence[Component], end: str = "value") -> "Split":
        """The split of the components of one read, or of their intervals' ``"low"`` or ``"high"`` ends."""
        found = [c.value if end == "value" else getattr(c.interval, end) for c in components]
        return cls(*found[:3])


@dataclass(frozen=True)
class Cost:
    """Seconds of a simulation.

    Attributes
    ----------
    chip_s : float
        For one chip, whatever the inputs: drawing and programming its devices.
    input_s : float
        For one chip on one input.
    """

    chip_s: float
    input_s: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.chip_s < math.inf and 0.0 < self.input_s < math.inf):
            raise UserError(
                f"The cost holds {self.chip_s} s a chip and {self.input_s} s an input; the first may not be "
                f"negative and the second must be above 0."
            )

    def seconds(self, chips: ArrayLike, inputs: ArrayLike) -> NDArray[np.float64]:
        """Time of so many chips on so many inputs."""
        return np.asarray(chips, dtype=np.float64) * (self.chip_s + self.input_s * np.asarray(inputs))


@dataclass(frozen=True)
class Plan:
    """Numbers of chips and inputs, the half width that they give and the seconds that they take."""

    chips: int
    inputs: int
    half_width: float
    seconds: float


def _check_wanted(wanted: float) -> None:
    if not 0.0 < wanted < math.inf:
        raise UserError(f"The wanted half width holds {wanted}; it must be above 0, such as 0.005.")


def _check_at_least(what: str, counts: NDArray, least: int) -> None:
    if not (counts >= least).all():
        raise UserError(f"The half width was asked of {counts.min():g} {what}; at least {least} are needed.")


def half_width(split: Split, chips: ArrayLike, inputs: ArrayLike, level: float = 0.95) -> NDArray[np.float64]:
    """Half width to expect of the interval of a mean over chips and inputs.

    Student's t with Satterthwaite's degrees of freedom of the expected mean squares, as in
    `population_interval` before its correction for skewness.

    Parameters
    ----------
    split : Split
    chips, inputs : int or ndarray of int
        At least 2 each.
    level : float
        Confidence, between 0 and 1.

    Raises
    ------
    UserError
        With fewer chips or inputs, or when the level is impossible.
    """
    check_level(level)
    t, n = np.asarray(chips, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    _check_at_least("chips", t, 2)
    _check_at_least("inputs", n, 2)
    mse = split.chip_inputs
    msa, msb = n * split.chip + mse, t * split.inputs + mse
    square = msa + msb - mse
    spread = msa**2 / (t - 1) + msb**2 / (n - 1) + mse**2 / ((t - 1) * (n - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        df = np.where(spread > 0.0, square**2 / spread, math.inf)
    found = stdtrit(df, 0.5 + level / 2.0) * np.sqrt(square / (t * n))
    return np.where(square > 0.0, found, 0.0)


def chips_half_width(
    split: Split, chips: ArrayLike, inputs: ArrayLike, level: float = 0.95
) -> NDArray[np.float64]:
    """Half width to expect of the interval of a mean over chips, at least 2, on these very inputs."""
    check_level(level)
    t, n = np.asarray(chips, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    _check_at_least("chips", t, 2)
    _check_at_least("inputs", n, 1)
    return _single_half_width(split.chip + split.chip_inputs / n, t, level)


def fewest_chips(
    split: Split, inputs: ArrayLike, wanted: float, level: float = 0.95, *, fixed: bool = False
) -> NDArray[np.int64]:
    """Fewest chips whose interval has at most the wanted half width, for each number of inputs.

    Parameters
    ----------
    split : Split
    inputs : int or ndarray of int
        At least 2; 1 is enough where the inputs are `fixed`.
    wanted : float
        Half width, above 0.
    level : float
    fixed : bool
        The inputs are these very ones, and only chips vary.

    Returns
    -------
    ndarray of int64
        At least `FEWEST_CHIPS`; `MOST_CHIPS` where no smaller number is enough.

    Raises
    ------
    UserError
        When the wanted half width is not positive, or there are too few inputs.
    """
    _check_wanted(wanted)
    n = np.atleast_1d(np.asarray(inputs, dtype=np.int64))

    def enough(chips: NDArray[np.int64]) -> NDArray[np.bool_]:
        if fixed:
            return np.asarray(chips_half_width(split, chips, n, level) <= wanted)
        return np.asarray(half_width(split, chips, n, level) <= wanted)

    # The normal quantile gives what is needed at least; Student's t a little more.
    v = (wanted / float(ndtri(0.5 + level / 2.0))) ** 2
    with np.errstate(divide="ignore"):
        room = v * n if fixed else v * n - split.inputs
        start = np.where(
            room > 0.0, (split.chip * n + split.chip_inputs) / np.maximum(room, 1e-300), MOST_CHIPS
        )
    low = np.clip(np.ceil(start), FEWEST_CHIPS, MOST_CHIPS).astype(np.int64) - 1
    high = low + 1
    while (grow := ~enough(high) & (high < MOST_CHIPS)).any():
        low = np.where(grow, high, low)
        high = np.where(grow, np.minimum(2 * high, MOST_CHIPS), high)
    while (wide := high - low > 1).any():
        middle = (low + high) // 2
        good = enough(middle)
        low, high = np.where(wide & ~good, middle, low), np.where(wide & good, middle, high)
    return high


def cheapest(split: Split, cost: Cost, wanted: float, most_inputs: int, level: float = 0.95) -> Plan | None:
    """Cheapest numbers of chips and inputs for a wanted half width of the mean over chips and inputs.

    Parameters
    ----------
    split, cost : Split, Cost
    wanted : float
        Half width, above 0.
    most_inputs : int
        Inputs that there are.
    level : float

    Returns
    -------
    Plan or None
        None where all inputs are too few, whatever the chips: see `inputs_needed`.
    """
    inputs = np.arange(2, most_inputs + 1)
    if inputs.size == 0:
        return None
    chips = fewest_chips(split, inputs, wanted, level)
    reached = chips < MOST_CHIPS
    if not reached.any():
        return None
    seconds = np.where(reached, cost.seconds(chips, inputs), math.inf)
    best = int(np.argmin(seconds))
    found = float(half_width(split, chips[best], inputs[best], level))
    return Plan(int(chips[best]), int(inputs[best]), found, float(seconds[best]))


def inputs_needed(split: Split, wanted: float, level: float = 0.95) -> int:
    """Fewest inputs with which endlessly many chips reach the wanted half width, which must be above 0."""
    check_level(level)
    _check_wanted(wanted)
    if split.inputs == 0.0:
        return 2
    # Endlessly many chips leave the inputs' variance alone, as endlessly many inputs would leave the chips'.
    count = 2
    while float(_single_half_width(split.inputs, count, level)) > wanted:
        count = max(count + 1, math.floor(split.inputs * (float(ndtri(0.5 + level / 2.0)) / wanted) ** 2))
    return count


def _single_half_width(variance: ArrayLike, count: ArrayLike, level: float) -> NDArray[np.float64]:
    """Half width to expect of a mean of so many independent values."""
    number = np.asarray(count, dtype=np.float64)
    return np.asarray(stdtrit(number - 1.0, 0.5 + level / 2.0) * np.sqrt(np.asarray(variance) / number))


def enough_chips(split: Split, inputs: int, share: float = 0.1) -> float:
    """Chips beyond which little is gained on so many inputs: their part is this share of the inputs'.

    The standard error of the mean over chips and inputs is then within share / 2 of its value with endlessly
    many chips. Infinite where the inputs do not vary.
    """
    if split.inputs == 0.0:
        return math.inf
    return (split.chip * inputs + split.chip_inputs) / (share * split.inputs)
