"""Exact intervals: yields, quantiles and tolerance, whose coverage is enumerated in two ways."""

import numpy as np
import threshold_chips
from scipy import stats

from coverage_cases import Coverage, case
from reliability.statistics import (
    clopper_pearson,
    clopper_pearson_lower,
    one_sided_index,
    quantile_indices,
    wilson,
)
from reliability.statistics.order import tolerance_indices
from reliability.statistics.simultaneous import bonferroni_level


def enumerated(contains, trials: int, proportion: float) -> float:
    """Coverage of a proportion by what says of every count whether it contains it."""
    counts = np.arange(trials + 1)
    covered = np.array([contains(int(count)) for count in counts])
    return float(stats.binom.pmf(counts, trials, proportion)[covered].sum())


@case()
def yields(rng, repeats):
    """Clopper-Pearson against SciPy's."""
    for trials, proportion in ((100, 0.95), (1000, 0.999), (59, 0.9), (20, 0.5)):

        def ours(k, trials=trials, proportion=proportion):
            low, high = clopper_pearson(k, trials)
            return low <= proportion <= high

        def theirs(k, trials=trials, proportion=proportion):
            low, high = stats.binomtest(k, trials).proportion_ci(0.95, "exact")
            return low <= proportion <= high

        def ours_lower(k, trials=trials, proportion=proportion):
            return clopper_pearson_lower(k, trials) <= proportion

        def theirs_lower(k, trials=trials, proportion=proportion):
            return k == 0 or stats.beta.ppf(0.05, k, trials - k + 1) <= proportion

        for name, one, other in (("", ours, theirs), ("lower bound, ", ours_lower, theirs_lower)):
            covered, expected = (enumerated(f, trials, proportion) for f in (one, other))
            what = f"yield, Clopper-Pearson {name}{trials} chips, yield {proportion}"
            yield Coverage(what, "exact", covered, 0, expected)


@case()
def wilson_on_average(rng, repeats):
    """Wilson covers about 95 % on average over yields, not at each."""
    for trials in (100, 1000):
        ends = np.array([wilson(k, trials) for k in range(trials + 1)])
        # Averaged over a uniform yield, each count has probability 1 / (n + 1) and the yield a beta law.
        k = np.arange(trials + 1)
        law = stats.beta(k + 1, trials - k + 1)
        covered = float((law.cdf(ends[:, 1]) - law.cdf(ends[:, 0])).mean())
        yield Coverage(
            f"yield, Wilson, on average over all yields: {trials} chips", "approximate", covered, 0
        )


@case()
def quantiles(rng, repeats):
    """Order statistics: ranks from the binomial law, coverage from the beta law of the order statistics."""
    for chips, q in ((100, 0.05), (200, 0.05), (1000, 0.05), (30, 0.05), (100, 0.5)):
        low, high = quantile_indices(chips, q)
        at_least = 0.0 if low is None else stats.binom.cdf(low - 1, chips, q)
        at_most = 1.0 if high is None else stats.binom.cdf(high - 1, chips, q)
        # X_(k) of a uniform law follows Beta(k, n - k + 1).
        below = 1.0 if low is None else stats.beta.cdf(q, low, chips - low + 1)
        above = 0.0 if high is None else stats.beta.cdf(q, high, chips - high + 1)
        yield Coverage(f"quantile {q}: {chips} chips", "exact", at_most - at_least, 0, below - above)
    for chips in (59, 100, 1000):
        rank = one_sided_index(chips, 0.05)
        covered = stats.binom.sf(rank - 1, chips, 0.05)
        expected = stats.beta.cdf(0.05, rank, chips - rank + 1)
        yield Coverage(f"95 % of chips reach a bound: {chips} chips", "exact", covered, 0, expected)


@case()
def tolerance(rng, repeats):
    for chips in (93, 100, 1000):
        low, high = tolerance_indices(chips, 0.95)
        covered = stats.beta.sf(0.95, high - low, chips - high + low + 1)
        expected = stats.binom.cdf(high - low - 1, chips, 0.95)
        yield Coverage(f"95 % of chips within two bounds: {chips} chips", "exact", covered, 0, expected)


@case()
def simultaneous_yields(rng, repeats):
    """Eight yields of independent chips at once: the product of enumerated coverages."""
    targets = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999)
    level = bonferroni_level(len(targets))
    ours, theirs = 1.0, 1.0
    for proportion in targets:

        def inside(k, interval, proportion=proportion):
            low, high = interval(k)
            return low <= proportion <= high

        ours *= enumerated(
            lambda k, p=inside: p(k, lambda k: clopper_pearson(k, 100, level)), 100, proportion
        )
        theirs *= enumerated(
            lambda k, p=inside: p(k, lambda k: stats.binomtest(k, 100).proportion_ci(1 - 0.05 / 8, "exact")),
            100,
            proportion,
        )
    yield Coverage("8 yields at once, independent chips: 100 chips each", "exact", ours, 0, theirs)


@case()
def quantile_of_discrete_chips(rng, repeats):
    """Accuracies are counts: ties raise the coverage above that of the ranks, never lower it."""
    accuracy, chance = threshold_chips.law()
    truth = threshold_chips.QUANTILE_05
    below, upto = chance[accuracy < truth].sum(), chance[accuracy <= truth].sum()
    for chips in (59, 100):
        low, high = quantile_indices(chips, 0.05)
        # X_(l) <= truth: at least l chips lie at or below it; X_(u) >= truth: fewer than u lie below it.
        counts = np.arange(chips + 1)
        missed = 0.0 if low is None else stats.binom.cdf(low - 1, chips, upto)
        missed += 0.0 if high is None else stats.binom.sf(high - 1, chips, below)
        covered = 0.0
        for worse in counts:
            rest = stats.binom.pmf(counts, chips - worse, (upto - below) / (1.0 - below))
            enough = worse + counts >= (low or 0)
            if high is None or worse < high:
                covered += stats.binom.pmf(worse, chips, below) * rest[enough].sum()
        yield Coverage(f"quantile 0.05 of discrete chips: {chips}", "exact", covered, 0, 1.0 - missed)
