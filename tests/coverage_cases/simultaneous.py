"""Whole curves: that the intervals of all conditions hold at once."""

from collections.abc import Iterator

import numpy as np
from crossed_probit import CrossedProbit

from coverage_cases import Coverage, case
from reliability.statistics import (
    chips_interval,
    clopper_pearson,
    crossed_mean,
    population_interval,
    quantile_interval,
)
from reliability.statistics.crossed import sums_of_drop, sums_of_outcomes
from reliability.statistics.simultaneous import (
    bonferroni_level,
    chips_covariance,
    joint_level,
    population_covariance,
)

SCALES = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 2.0)


@case(repeats=1000)
def curves(rng, repeats) -> Iterator[Coverage]:
    """Eight noise scales on the same chips and inputs."""
    for design in (CrossedProbit(chips=100, inputs=300), CrossedProbit(chips=40, inputs=400, margin=3.0)):
        truth = [design.accuracy(scale) for scale in SCALES]
        clean, hits = design.accuracy(0.0), np.zeros(3)
        for _ in range(repeats):
            (ideal, *chips), margins = design.draw(rng, (0.0, *SCALES))
            reference = ideal.of_chips(np.array([0]))
            rows = [outcomes.correct_by_chip / design.inputs for outcomes in chips]
            columns = [outcomes.chips_by_input / design.chips for outcomes in chips]
            level = joint_level(chips_covariance(rows))
            here = [design.accuracy_on(margins, scale) for scale in SCALES]
            ends = [chips_interval(values, level) for values in rows]
            hits[0] += all(low <= t <= high for t, (low, high) in zip(here, ends, strict=True))
            level = joint_level(population_covariance(rows, columns))
            ends = [population_interval(crossed_mean(sums_of_outcomes(o)), level) for o in chips]
            hits[1] += all(low <= t <= high for t, (low, high) in zip(truth, ends, strict=True))
            lost = [reference.chips_by_input - own for own in columns]
            level = joint_level(population_covariance(rows, lost))
            ends = [population_interval(crossed_mean(sums_of_drop(o, reference)), level) for o in chips]
            hits[2] += all(low <= clean - t <= high for t, (low, high) in zip(truth, ends, strict=True))
        names = ("means, chips on these inputs", "means, chips and inputs", "drops, chips and inputs")
        for name, covered in zip(names, hits / repeats, strict=True):
            what = f"curve of 8 {name}: {design.chips} chips x {design.inputs} inputs"
            yield Coverage(what, "conservative", covered, repeats)


@case(repeats=4000)
def curves_of_yields_and_quantiles(rng, repeats) -> Iterator[Coverage]:
    """Eight spreads of the same normal chips."""
    chips, level = 200, bonferroni_level(len(SCALES))
    z = rng.standard_normal((repeats, chips))
    truth_yield, truth_quantile = 0.9331927987311419, -1.6448536269514722
    hits = np.zeros(2)
    for values in z:
        # Yield at mean - 1.5 sd and the 5 % chip; the chips are re-ordered a little by each condition.
        own = [np.cos(s) * values + np.sin(s) * np.roll(values, 1) for s in np.array(SCALES) / 10.0]
        passed = [clopper_pearson(int((v >= -1.5).sum()), chips, level) for v in own]
        hits[0] += all(low <= truth_yield <= high for low, high in passed)
        bad = [quantile_interval(v, 0.05, level, (-np.inf, np.inf)) for v in own]
        hits[1] += all(low <= truth_quantile <= high for _, low, high in bad)
    for name, covered in zip(("yields", "5 % chips"), hits / repeats, strict=True):
        yield Coverage(f"curve of 8 {name}: {chips} chips", "conservative", covered, repeats)
