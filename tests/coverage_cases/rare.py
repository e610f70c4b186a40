"""Probabilities of rare events by subset simulation, where they are known."""

import test_statistics_subset

from coverage_cases import Coverage, case


@case(repeats=300, elsewhere=True)
def rare_events(rng, repeats):
    """Half-spaces, a two-sided event and an intersection in 20 dimensions, 1,000 samples a stage."""
    for problem in test_statistics_subset.PROBLEMS:
        covered = float(test_statistics_subset.repeats(problem, 20, 1000, repeats)[1])
        yield Coverage(f"rare event, subset simulation: {problem}", "bootstrap", covered, repeats)
