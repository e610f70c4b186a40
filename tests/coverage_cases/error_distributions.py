"""Parameters of fitted distributions, and far quantiles by peaks over a threshold."""

import error_laws
from scipy import stats

from coverage_cases import Coverage, case


@case(repeats=300, elsewhere=True)
def error_distributions(rng, repeats):
    """Bootstrap intervals of every family's parameters: the worst parameter of each."""
    for family in error_laws.TRUE:
        for rounded in (False, True):
            found, _ = error_laws.fit_coverage(family, repeats=repeats, rounded=rounded)
            worst = min(found, key=found.__getitem__)
            kind = "rounded" if rounded else "exact"
            name = f"{family} fitted to 300 {kind} values, worst parameter ({worst})"
            yield Coverage(name, "bootstrap", found[worst], repeats)


@case(repeats=300, elsewhere=True)
def far_quantiles(rng, repeats):
    """The 0.9995 quantile of 2,000 values."""
    for name, law in (("Student t 5", stats.t(5)), ("exponential", stats.expon()), ("normal", stats.norm())):
        for step in (None, 0.3):
            covered = error_laws.tail_coverage(law, repeats=repeats, step=step)
            grid = "" if step is None else f" rounded to {step}"
            yield Coverage(f"0.9995 quantile over a threshold: {name}{grid}", "bootstrap", covered, repeats)
