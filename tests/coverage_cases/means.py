"""Means, differences and variance components of chips x inputs, in the crossed probit model."""

from collections.abc import Callable, Iterator

import numpy as np
from crossed_probit import DESIGNS, CrossedProbit
from read_probit import ReadProbit
from scipy.special import ndtr

from coverage_cases import Coverage, Kind, case
from reliability.statistics import chips_interval, clopper_pearson, crossed_mean, population_interval
from reliability.statistics.components import variance_components
from reliability.statistics.crossed import sums_of_difference, sums_of_drop, sums_of_outcomes
from reliability.statistics.interval import DIFFERENCE, Interval

FEW_CHIPS = (CrossedProbit(20, 300, margin=3.5), CrossedProbit(20, 300, chip_sd=1.0))
"""20 chips: nearly perfect ones (accuracy 0.983), and ones of very different quality (0.880)."""


def inside(truth: float, interval: Interval) -> bool:
    return interval.low <= truth <= interval.high


def title(design: CrossedProbit) -> str:
    return f"{design.chips} chips x {design.inputs} inputs, accuracy {design.accuracy():.3f}"


MEANS: dict[str, Kind] = {
    "mean, chips and inputs": "approximate",
    "mean, chips on these inputs": "approximate",
    "mean, chips and inputs, by the interval over chips": "for comparison",
    "mean, chips and inputs, by the pooled binomial interval": "for comparison",
}
"""Intervals of a mean; the last two forget that inputs, or that chips and inputs, are drawn."""


def _means(designs: tuple[CrossedProbit, ...]) -> Callable:
    def run(rng: np.random.Generator, repeats: int) -> Iterator[Coverage]:
        for design in designs:
            truth, hits = design.accuracy(), np.zeros(len(MEANS))
            for _ in range(repeats):
                (outcomes,), margins = design.draw(rng)
                both = population_interval(crossed_mean(sums_of_outcomes(outcomes)))
                correct = outcomes.correct_by_chip
                chips = chips_interval(correct / design.inputs)
                pooled = clopper_pearson(int(correct.sum()), design.chips * design.inputs)
                hits += (
                    inside(truth, both),
                    inside(design.accuracy_on(margins), chips),
                    inside(truth, chips),
                    inside(truth, pooled),
                )
            for (name, kind), covered in zip(MEANS.items(), hits / repeats, strict=True):
                yield Coverage(f"{name}: {title(design)}", kind, covered, repeats)

    return run


@case(repeats=4000)
def means(rng, repeats):
    yield from _means(DESIGNS)(rng, repeats)


@case(repeats=4000)
def means_of_few_chips(rng, repeats):
    yield from _means(FEW_CHIPS)(rng, repeats)


@case(repeats=4000)
def differences(rng, repeats):
    """Accuracy at one noise scale minus that at another, the same chips and inputs."""
    for design, scales in (
        (CrossedProbit(chips=100, inputs=300), (0.5, 1.0)),
        (CrossedProbit(chips=30, inputs=450), (1.0, 1.5)),
    ):
        truth, hits = design.accuracy(scales[1]) - design.accuracy(scales[0]), np.zeros(2)
        for _ in range(repeats):
            (before, after), margins = design.draw(rng, scales)
            sums = sums_of_difference(after, before)
            here = design.accuracy_on(margins, scales[1]) - design.accuracy_on(margins, scales[0])
            chips = chips_interval(sums.rows / design.inputs, bounds=DIFFERENCE)
            hits += inside(truth, population_interval(crossed_mean(sums))), inside(here, chips)
        what = f"{design.chips} chips x {design.inputs} inputs, difference {truth:.3f}"
        for name, covered in zip(("chips and inputs", "chips on these inputs"), hits / repeats, strict=True):
            yield Coverage(f"paired difference, {name}: {what}", "approximate", covered, repeats)


@case(repeats=4000)
def drops(rng, repeats):
    """The digital network minus the chips, on the same inputs."""
    for design in (CrossedProbit(chips=100, inputs=300), CrossedProbit(chips=20, inputs=1000, margin=3.5)):
        truth, hits = design.accuracy(0.0) - design.accuracy(), np.zeros(2)
        for _ in range(repeats):
            (ideal, chips), margins = design.draw(rng, (0.0, 1.0))
            sums = sums_of_drop(chips, ideal.of_chips(np.array([0])))
            here = float((margins > 0).mean()) - design.accuracy_on(margins)
            over_chips = chips_interval(sums.rows / design.inputs, bounds=DIFFERENCE)
            hits += inside(truth, population_interval(crossed_mean(sums))), inside(here, over_chips)
        what = f"{design.chips} chips x {design.inputs} inputs, drop {truth:.3f}"
        for name, covered in zip(("chips and inputs", "chips on these inputs"), hits / repeats, strict=True):
            yield Coverage(f"drop, {name}: {what}", "approximate", covered, repeats)


@case(repeats=4000)
def components(rng, repeats):
    """The variance split, and the shares in the variance of the mean."""
    for design in DESIGNS:
        truth = design.components()
        per = np.array(truth) / (design.chips, design.inputs, design.chips * design.inputs)
        share = per / per.sum()
        hits = np.zeros(5)
        for _ in range(repeats):
            (outcomes,), _ = design.draw(rng)
            found = variance_components([outcomes])
            hits += [
                *(inside(value, part.interval) for value, part in zip(truth, found, strict=True)),
                *(inside(share[k], found[k].share_interval) for k in range(2)),
            ]
        names = ("variance of chips", "variance of inputs", "variance of chips x inputs")
        for name, covered in zip(names, hits / repeats, strict=False):
            yield Coverage(f"{name}: {title(design)}", "approximate", covered, repeats)
        for name, covered in zip(("chips", "inputs"), hits[3:] / repeats, strict=True):
            yield Coverage(f"share of {name}: {title(design)}", "conservative", covered, repeats)


@case(repeats=4000)
def components_of_reads(rng, repeats):
    """Two reads of each chip, with read noise on single inputs and on whole evaluations."""
    design = ReadProbit(chips=60, inputs=150)
    truth, hits = design.components(), np.zeros(5)
    for _ in range(repeats):
        found = variance_components(design.draw(rng))
        hits += [inside(value, part.interval) for value, part in zip(truth, found, strict=True)]
    names = ("chips", "inputs", "chips x inputs", "reads", "reads of single inputs")
    for name, covered in zip(names, hits / repeats, strict=True):
        yield Coverage(f"variance of {name}, 2 reads: 60 chips x 150 inputs", "approximate", covered, repeats)


def variance_of_lost(design: CrossedProbit) -> float:
    """Variance between inputs of what chips lose on them: digital outcome minus the mean over chips."""
    step = 1e-4
    z = np.arange(-9.0, 9.0, step) + step / 2
    margin = design.margin + design.input_sd * z
    lost = (margin > 0) - ndtr(margin / np.sqrt(1.0 + design.chip_sd**2))
    weight = np.exp(-0.5 * z**2)
    weight /= weight.sum()
    return float(weight @ lost**2 - (weight @ lost) ** 2)


@case(repeats=4000)
def components_of_drops(rng, repeats):
    """The variance split of the drop from the digital network."""
    for design in (CrossedProbit(chips=100, inputs=300), CrossedProbit(chips=60, inputs=600, chip_sd=0.8)):
        chip, _, both = design.components()
        truth, hits = (chip, variance_of_lost(design), both), np.zeros(3)
        for _ in range(repeats):
            (ideal, chips), _ = design.draw(rng, (0.0, 1.0))
            found = variance_components([chips], ideal.of_chips(np.array([0])))
            hits += [inside(value, part.interval) for value, part in zip(truth, found, strict=True)]
        what = f"{design.chips} chips x {design.inputs} inputs"
        for name, covered in zip(("chips", "inputs", "chips x inputs"), hits / repeats, strict=True):
            yield Coverage(f"variance of {name}, of the drop: {what}", "approximate", covered, repeats)
