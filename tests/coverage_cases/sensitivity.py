"""Sobol indices, Shapley values and effects of problems whose shares are known."""

import test_statistics_shapley
import test_statistics_sobol

from coverage_cases import Coverage, case


@case(repeats=4000, elsewhere=True)
def sobol(rng, repeats):
    """First-order indices (which may be covered more often where they are zero) and total ones."""
    for problem in test_statistics_sobol.PROBLEMS:
        for index, found in zip(
            ("first-order", "total"), test_statistics_sobol.coverage(problem, 1000, repeats), strict=True
        ):
            for group, coverage in enumerate(found, start=1):
                name = f"{index} Sobol index {group}, 1,000 chips: {problem}"
                yield Coverage(name, "approximate", float(coverage), repeats)


@case(repeats=4000, elsewhere=True)
def shapley(rng, repeats):
    """Shapley values and effects, from all sets and from orders."""
    for problem, found in test_statistics_shapley.coverage(1000, repeats).items():
        for group, coverage in enumerate(found, start=1):
            name = f"Shapley, {problem}, group {group}, 1,000 chips"
            yield Coverage(name, "approximate", float(coverage), repeats)
