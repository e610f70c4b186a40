"""Probabilities of rare events by subset simulation, where they are known."""

import test_statistics_subset

from coverage_cases import Coverage, case
from reliability.statistics.subset import SHARE


@case(repeats=300, elsewhere=True)
def rare_events(rng, repeats):
    """Half-spaces, a two-sided event and an intersection in 20 dimensions, 1,000 samples a stage."""
    for problem, (_, _, truth) in test_statistics_subset.PROBLEMS.items():
        covered = float(test_statistics_subset.repeats(problem, 20, 1000, repeats)[1])
        # What the first stage decides is a count, whose interval is exact.
        kind = "conservative" if truth > SHARE else "bootstrap"
        yield Coverage(f"rare event, subset simulation: {problem}", kind, covered, repeats)
