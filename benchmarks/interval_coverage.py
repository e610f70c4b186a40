"""How often 95 % intervals of a mean accuracy cover the truth, in 2,000 simulated studies of four designs.

    python benchmarks/interval_coverage.py

prints a markdown table in a few seconds. The studies are those of `tests/crossed_probit.py`, where the
truth is known exactly, both over all inputs and on the inputs drawn. The standard error of a coverage of
0.95 is 0.005.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from crossed_probit import DESIGNS  # noqa: E402

from reliability.statistics import (  # noqa: E402
    chips_interval,
    clopper_pearson,
    crossed_mean,
    population_interval,
    sums_of_outcomes,
)

STUDIES = 2000

print("| chips | inputs | accuracy | crossed | chips only | pooled binomial | on these inputs: chips only |")
print("|---|---|---|---|---|---|---|")
for number, design in enumerate(DESIGNS):
    rng = np.random.default_rng(number)
    truth = design.accuracy()
    covered = np.zeros(4)
    for _ in range(STUDIES):
        (outcomes,), margins = design.draw(rng)
        crossed = population_interval(crossed_mean(sums_of_outcomes(outcomes)))
        chips = chips_interval(outcomes.correct_by_chip / design.inputs)
        pooled = clopper_pearson(int(outcomes.correct_by_chip.sum()), design.chips * design.inputs)
        on_these = design.accuracy_on(margins)
        covered[:3] += [low <= truth <= high for low, high in (crossed, chips, pooled)]
        covered[3] += chips.low <= on_these <= chips.high
    cells = " | ".join(f"{value:.3f}" for value in covered / STUDIES)
    print(f"| {design.chips} | {design.inputs} | {truth:.3f} | {cells} |", flush=True)
