"""How much of the variance comes from chips, from inputs and from reads, with intervals.

Chips i = 1..T, inputs j = 1..N and, where the same chips were evaluated several times, reads r = 1..R:

    y_ijr = mean + chip_i + input_j + (chip, input)_ij + (chip, read)_ir + (chip, input, read)_ijr.

The five variances are linear in the mean squares of the balanced analysis of variance, whose estimates have
no bias whatever y is. With one read the last two are part of what stands before them and cannot be told
apart from it.

The sampling variance of an estimate comes from the delete-one jackknife over chips plus that over inputs,
less what both hold. Few chips, or few hard inputs, show too little of a fourth moment for that alone:
intervals made of it covered 85 to 93 %. It is therefore not let fall below what chips and inputs would have
whose means follow a beta law (for chips of a narrow spread: a normal one). The interval is that of a scaled
chi-square with the degrees of freedom that this variance implies (Satterthwaite), shifted by the mean square
that was subtracted.

References
----------
Searle, Casella and McCulloch, Variance Components (1992), chapter 4; Arvesen, Annals of Mathematical
Statistics 40:2076 (1969), for the jackknife of variance components.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, expit, logit, ndtri

from reliability.errors import UserError
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.interval import Interval, check_level
from reliability.statistics.outcomes import Outcomes

COMPONENTS = ("chip", "inputs", "chip_inputs", "read", "read_inputs")
"""Names of the variances, in the order of the model."""
METHOD = "ANOVA; chi-square with degrees of freedom from the jackknife over chips and over inputs"
"""How the interval of a component is made."""
SHARE_METHOD = "ANOVA; jackknife over chips and over inputs on the logit scale"
"""How the interval of a share is made."""

_BLOCK_CHIPS = 64
# Below this the jackknife leaves no degree of freedom.
_FEWEST = 3


@dataclass(frozen=True)
class Component:
    """One variance component.

    Attributes
    ----------
    name : str
        One of `COMPONENTS`.
    value : float
        Estimated variance of one outcome that it makes; 0 where the estimate is negative.
    interval : Interval
    share : float
        Share that it has in the variance of the mean over these numbers of chips, inputs and reads.
    share_interval : Interval
    """

    name: str
    value: float
    interval: Interval
    share: float
    share_interval: Interval


@dataclass(frozen=True, eq=False)
class _Sums:
    """All that the mean squares need, of everything or with one chip or one input left out.

    Each field is a number, or an array with an entry for what was left out.
    """

    chips: int
    inputs: int
    reads: int
    total: NDArray
    of_chips: NDArray
    of_reads: NDArray
    of_inputs: NDArray
    of_cells: NDArray
    squares: NDArray

    def mean_squares(self) -> NDArray:
        """Of chips, inputs, both, reads and the rest; shape (5, ...), the last two 0 for one read."""
        chips, inputs, reads = self.chips, self.inputs, self.reads
        centre = self.total**2 / (chips * inputs * reads)
        chip = self.of_chips / (inputs * reads) - centre
        input_ = self.of_inputs / (chips * reads) - centre
        both = self.of_cells / reads - centre - chip - input_
        read = self.of_reads / inputs - self.of_chips / (inputs * reads)
        rest = self.squares - self.of_cells / reads - read
        free = (chips - 1) * (inputs - 1)
        again = max(reads - 1, 1)
        return np.array(
            [
                chip / (chips - 1),
                input_ / (inputs - 1),
                both / free,
                read / (chips * again),
                rest / (chips * (inputs - 1) * again),
            ]
        )

    def components(self) -> NDArray:
        """The five variances, negative ones as they are; shape (5, ...)."""
        chip, input_, both, read, rest = self.mean_squares()
        chips, inputs, reads = self.chips, self.inputs, self.reads
        return np.array(
            [
                (chip - both - read + rest) / (inputs * reads),
                (input_ - both) / (chips * reads),
                (both - rest) / reads,
                (read - rest) / inputs,
                rest,
            ]
        )


def variance_components(
    reads: Sequence[Outcomes], reference: Outcomes | None = None, level: float = 0.95
) -> tuple[Component, ...]:
    """Variance components of right/wrong outcomes, or of their drop from a network that has no chips.

    Parameters
    ----------
    reads : sequence of Outcomes
        The same chips on the same inputs, once for each read.
    reference : Outcomes, optional
        One row, the digital network: the components are those of its outcomes minus the chips'.
    level : float
        Confidence of each interval by itself, between 0 and 1. Intervals of the components are approximate,
        those of the shares cover more.

    Returns
    -------
    tuple of Component
        The first three of `COMPONENTS` with one read, all five with several. With fewer than three chips or
        inputs the intervals are all that is possible.

    Raises
    ------
    UserError
        When there is no read, chip or input, the reads differ in size, or the level is impossible.
    """
    check_level(level)
    if not reads or min(reads[0].chips, reads[0].inputs) == 0:
        raise UserError("The variance components were asked of no outcomes; at least one is needed.")
    sizes = {(read.chips, read.inputs) for read in reads}
    if len(sizes) > 1:
        raise UserError(
            f"The reads hold {sorted(sizes)} chips and inputs; all need the same chips on the same inputs."
        )
    chips, inputs = reads[0].chips, reads[0].inputs
    kept = len(COMPONENTS) if len(reads) > 1 else 3
    # A variance of values between 0 and 1 is at most 1/4, of differences at most 1.
    widest = 0.25 if reference is None else 1.0
    if min(chips, inputs) < 2:
        return tuple(_unknown(name, 0.0, widest) for name in COMPONENTS[:kept])
    full, without_chip, without_input = _sums(reads, reference)
    values = np.maximum(full.components(), 0.0)
    if min(chips, inputs) < _FEWEST:
        return tuple(_unknown(COMPONENTS[k], float(values[k]), widest) for k in range(kept))
    mean = float(full.total) / (chips * inputs * len(reads))
    if reference is None:
        laws = ((mean, 1.0), (mean, 1.0))
    else:
        # Chips lose what their accuracies lack; what inputs lose lies between -1 and 1.
        right = float(reference.correct_by_chip[0]) / inputs - mean
        laws = ((right, 1.0), ((1.0 + mean) / 2.0, 2.0))
    variances, floors = _sampling_variances(full, without_chip, without_input, laws)
    shares = _shares(full, without_chip, without_input, floors, level)
    found = []
    subtracted = _subtracted(full)
    confirmed = (chips, inputs, min(chips, inputs), chips, min(chips, inputs))
    for k in range(kept):
        seen = float(full.components()[k] + subtracted[k])
        if seen > 0.0 and variances[k] > 0.0:
            interval = _chi_square(seen, float(subtracted[k]), float(variances[k]), level)
        else:
            # Nothing varied: what other chips or inputs, too rare to be among these, may make.
            interval = Interval(0.0, clopper_pearson(0, confirmed[k] - 1, level).high)
        low, high = min(interval.low, values[k]), max(min(widest, interval.high), values[k])
        found.append(
            Component(COMPONENTS[k], float(values[k]), Interval(float(low), float(high)), *shares[k])
        )
    return tuple(found)


def _unknown(name: str, value: float, widest: float) -> Component:
    return Component(name, value, Interval(0.0, widest), 0.0, Interval(0.0, 1.0))


def _blocks(reads: Sequence[Outcomes], reference: Outcomes | None) -> Iterator[tuple[slice, NDArray]]:
    """The values of some chips at a time; shape (reads, chips, inputs)."""
    inputs = reads[0].inputs
    ideal = None if reference is None else np.unpackbits(reference.packed[0], count=inputs).astype(np.int8)
    for start in range(0, reads[0].chips, _BLOCK_CHIPS):
        block = slice(start, start + _BLOCK_CHIPS)
        values = np.stack([np.unpackbits(read.packed[block], axis=1, count=inputs) for read in reads])
        yield block, values if ideal is None else ideal - values.view(np.int8)


def _sums(reads: Sequence[Outcomes], reference: Outcomes | None) -> tuple[_Sums, _Sums, _Sums]:
    """Sums of everything, without each chip, and without each input."""
    chips, inputs, count = reads[0].chips, reads[0].inputs, len(reads)
    by_read = np.stack([read.correct_by_chip for read in reads]).astype(np.float64)
    by_input = np.sum([read.chips_by_input for read in reads], axis=0).astype(np.float64)
    if reference is not None:
        by_read = float(reference.correct_by_chip[0]) - by_read
        by_input = chips * count * reference.chips_by_input.astype(np.float64) - by_input
    by_chip = by_read.sum(axis=0)
    # Inner products of what is left out with the sums that it is part of.
    chip_inner, chip_cells, chip_squares = np.empty((3, chips))
    input_inner, input_reads, input_cells, input_squares = np.zeros((4, inputs))
    for block, values in _blocks(reads, reference):
        cells = values.sum(axis=0, dtype=np.float64)
        chip_inner[block] = cells @ by_input
        chip_cells[block] = np.einsum("ij,ij->i", cells, cells)
        input_inner += by_chip[block] @ cells
        input_cells += np.einsum("ij,ij->j", cells, cells)
        if count == 1:
            chip_squares[block] = chip_cells[block]
            continue
        squared = np.abs(values)
        chip_squares[block] = squared.sum(axis=(0, 2))
        input_squares += squared.sum(axis=(0, 1))
        for read, own in zip(by_read[:, block], values, strict=True):
            input_reads += read @ own.astype(np.float64)
    if count == 1:
        input_reads, input_squares = input_inner, input_cells
    full = _Sums(
        chips,
        inputs,
        count,
        by_chip.sum(),
        np.square(by_chip).sum(),
        np.square(by_read).sum(),
        np.square(by_input).sum(),
        chip_cells.sum(),
        chip_squares.sum(),
    )
    without_chip = _Sums(
        chips - 1,
        inputs,
        count,
        full.total - by_chip,
        full.of_chips - np.square(by_chip),
        full.of_reads - np.square(by_read).sum(axis=0),
        full.of_inputs - 2.0 * chip_inner + chip_cells,
        full.of_cells - chip_cells,
        full.squares - chip_squares,
    )
    without_input = _Sums(
        chips,
        inputs - 1,
        count,
        full.total - by_input,
        full.of_chips - 2.0 * input_inner + input_cells,
        full.of_reads - 2.0 * input_reads + input_squares,
        full.of_inputs - np.square(by_input),
        full.of_cells - input_cells,
        full.squares - input_squares,
    )
    return full, without_chip, without_input


def _subtracted(full: _Sums) -> NDArray:
    """What each estimate is short of the mean square that it is made of; shape (5,)."""
    chips, inputs, reads = full.chips, full.inputs, full.reads
    squares = full.mean_squares()
    per = np.array([inputs * reads, chips * reads, reads, inputs, 1])
    return np.maximum(squares / per - full.components(), 0.0)


def _jackknife(left_out: NDArray) -> NDArray:
    """Variance of an estimate from its values with one chip or input left out; shape (5, n) to (5,)."""
    count = left_out.shape[1]
    return (count - 1) ** 2 / count * left_out.var(axis=1, ddof=1)


def _sampling_variances(
    full: _Sums,
    without_chip: _Sums,
    without_input: _Sums,
    laws: tuple[tuple[float, float], tuple[float, float]],
) -> tuple[NDArray, tuple[float, float]]:
    """Variances of the five estimates, and by how much the beta laws raised the parts of chips and inputs.

    ``laws`` are the means of the beta laws of chips and of inputs, and the lengths of their ranges.
    """
    of_chips, of_inputs = _jackknife(without_chip.components()), _jackknife(without_input.components())
    chips, inputs, reads = full.chips, full.inputs, full.reads
    _, _, both, read, rest = full.mean_squares()
    seen = np.maximum(full.components(), 0.0) + _subtracted(full)
    # Both jackknifes hold what varies with chips and inputs together.
    noise = np.array([both / (inputs * reads), both / (chips * reads), 0.0, rest / inputs, 0.0])
    again = chips * max(reads - 1, 1)
    draws = np.array([chips, inputs, 1, again, 1])
    shared = 2.0 * (2.0 * seen * noise - np.square(noise)) / draws
    chip_floor, input_floor = (
        _beta_variance(mean, float(variance) / length**2, count) * length**4
        for (mean, length), variance, count in zip(laws, seen, (chips, inputs), strict=False)
    )
    chip_floor += 2.0 * (read / (inputs * reads)) ** 2 / again
    rises = tuple(
        max(1.0, floor / part) if part > 0.0 else 1.0
        for floor, part in ((chip_floor, of_chips[0]), (input_floor, of_inputs[1]))
    )
    found = np.maximum(of_chips + of_inputs - shared, np.maximum(of_chips, of_inputs))
    found[0] = max(of_chips[0], chip_floor) + max(of_inputs[0] - shared[0], 0.0)
    found[1] = max(of_inputs[1], input_floor) + max(of_chips[1] - shared[1], 0.0)
    if seen[1] > 0.0:
        # This variance is itself known from few hard inputs: of F with so many degrees below for chi-square.
        found[1] *= 1.0 + found[1] / seen[1] ** 2
    return found, (rises[0], rises[1])


def _beta_variance(mean: float, variance: float, count: int) -> float:
    """Variance of the sample variance of draws from the beta law of this mean and variance."""
    most = mean * (1.0 - mean)
    if not 0.0 < variance < most:
        return 2.0 * variance**2 / (count - 1)
    size = most / variance - 1.0
    skew = (2.0 * mean - 1.0) ** 2 * (size + 1.0) / (most * (size + 2.0))
    excess = 6.0 * (skew - 1.0) / (size + 3.0)
    return variance**2 * (2.0 / (count - 1) + excess / count)


def _chi_square(seen: float, subtracted: float, variance: float, level: float) -> Interval:
    """Interval of seen - subtracted, where what was seen is a scaled chi-square of this variance."""
    tail = (1.0 - level) / 2.0
    free = max(1.0, 2.0 * seen**2 / variance)
    low, high = (free * seen / float(chdtri(free, p)) - subtracted for p in (tail, 1.0 - tail))
    return Interval(max(0.0, low), max(0.0, high))


def _shares(
    full: _Sums,
    without_chip: _Sums,
    without_input: _Sums,
    rises: tuple[float, float],
    level: float,
) -> list[tuple[float, Interval]]:
    """Share of each component in the variance of the mean, with its interval."""
    chips, inputs, reads = full.chips, full.inputs, full.reads
    per = 1.0 / np.array(
        [chips, inputs, chips * inputs, chips * reads, chips * inputs * reads], dtype=np.float64
    )

    def shares(sums: _Sums) -> NDArray:
        parts = np.moveaxis(sums.components(), 0, -1) * per
        total = parts.sum(axis=-1, keepdims=True)
        return np.moveaxis(parts / np.where(total == 0.0, math.inf, total), -1, 0)

    own = shares(full)
    variances = rises[0] * _jackknife(shares(without_chip)) + rises[1] * _jackknife(shares(without_input))
    z = float(ndtri(0.5 + level / 2.0))
    found = []
    for share, variance in zip(own.tolist(), variances.tolist(), strict=True):
        inside = min(1.0, max(0.0, share))
        if 0.0 < share < 1.0:
            half = z * math.sqrt(variance) / (share * (1.0 - share))
            interval = Interval(float(expit(logit(share) - half)), float(expit(logit(share) + half)))
        else:
            reach = z * math.sqrt(variance) if variance > 0.0 else 1.0
            interval = Interval(max(0.0, inside - reach), min(1.0, inside + reach))
        found.append((inside, interval))
    return found
