"""Confidence sequences: how often they contain the truth at all looks together."""

import math

import numpy as np
import threshold_chips
from scipy import special, stats

from coverage_cases import Coverage, case
from reliability.statistics import confidence_sequence, look_counts, proportion_sequence
from reliability.statistics.betting import betting_sequence, yield_evidence
from reliability.statistics.skewed import third_of_mean


def _dead(rng: np.random.Generator, size) -> np.ndarray:
    """Chips of accuracies near 0.9, of which one in a hundred is dead."""
    return np.where(rng.random(size) < 0.01, 0.0, 0.9 + 0.005 * rng.standard_normal(size))


EVERY = range(40, 1001, 40)
LAWS = {
    "threshold chips": (threshold_chips.draw_accuracies, threshold_chips.mean_and_spread()[0]),
    "chips of which 1 % are dead": (_dead, 0.9 * 0.99),
}


@case(repeats=1000)
def betting(rng, repeats):
    """The truth is refuted at no look."""
    laws = LAWS | {"yield 0.95": (lambda rng, size: (rng.random(size) < 0.95).astype(float), 0.95)}
    # No interval reaches beyond the one before: the last holds the truth where all do.
    for name, (draw, truth) in laws.items():
        covered = 0
        for values in draw(rng, (repeats, 1000)):
            low, high = betting_sequence(values, EVERY)[-1]
            covered += low <= truth <= high
        name = f"mean, betting sequence, every 40th n to 1,000: {name}"
        yield Coverage(name, "sequence", covered / repeats, repeats)


def never_left(least: np.ndarray, most: np.ndarray, chance: float) -> float:
    """Probability that the count of n successes stays within [least[n], most[n]] for all n, exactly."""
    law = np.ones(1)
    for n in range(1, least.size):
        law = np.convolve(law, [1.0 - chance, chance])
        counts = np.arange(n + 1)
        law[(counts < least[n]) | (counts > most[n])] = 0.0
    return float(law.sum())


def robbins_region(truth: float, trials: int, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """For every n the fewest and the most successes at which the sequence contains the truth."""
    least, most = np.zeros(trials + 1, int), np.zeros(trials + 1, int)
    for n in range(1, trials + 1):
        # One more trial moves each end by at most one count.
        low, high = least[n - 1], most[n - 1] + 1
        while proportion_sequence(int(low), n, alpha).high < truth:
            low += 1
        while proportion_sequence(int(high), n, alpha).low > truth:
            high -= 1
        least[n], most[n] = low, high
    return least, most


@case()
def yield_sequence(rng, repeats):
    """Robbins' sequence at every n to 600, against the mixture's own formula; both enumerated."""
    for truth in (0.5, 0.95, 0.999):
        least, most = robbins_region(truth, 600)
        by_formula = []
        for n in range(601):
            k = np.arange(n + 1)
            mixture = stats.binom.pmf(k, n, truth) * (n + 1)
            inside = k[mixture >= 0.05]
            by_formula.append((inside.min(), inside.max()))
        expected = never_left(*np.array(by_formula).T, truth)
        covered = never_left(least, most, truth)
        yield Coverage(
            f"yield, Robbins' sequence, every n to 600: yield {truth}", "exact", covered, 0, expected
        )


@case()
def yield_certificate(rng, repeats):
    """A yield exactly at the bound is certified wrongly, at any n to 1,000, with at most 5 %; enumerated."""
    limit = math.log(20.0)

    def by_scipy(k: int, n: int, bound: float) -> float:
        law = stats.beta(k + 1, n - k + 1)
        ratio = k * math.log(bound) + (n - k) * math.log1p(-bound)
        return law.logsf(bound) + special.betaln(k + 1, n - k + 1) - ratio - math.log1p(-bound)

    for bound in (0.9, 0.95, 0.99):
        covered = []
        for evidence in (yield_evidence, by_scipy):
            most = np.zeros(1001, int)
            for n in range(1, 1001):
                # One more chip raises the fewest successes that certify by at most one.
                certified = evidence(int(most[n - 1]) + 1, n, bound) >= limit if most[n - 1] < n else False
                most[n] = most[n - 1] + (not certified)
            covered.append(never_left(np.zeros(1001, int), most, bound))
        name = f"yield certified by evidence, any n to 1,000: yield {bound}"
        yield Coverage(name, "exact", covered[0], 0, covered[1])


@case(repeats=1000)
def looks_of_a_study(rng, repeats):
    """The sequences at the looks of a study, which may stop at any of them."""
    counts = look_counts(3000)
    for name, (draw, truth) in LAWS.items():
        covered = 0
        for values in draw(rng, (repeats, counts[-1])):
            low, high = betting_sequence(values, counts)[-1]
            covered += low <= truth <= high
        name = f"mean, betting sequence, all looks of a study to 3,000 chips: {name}"
        yield Coverage(name, "sequence", covered / repeats, repeats)


@case(repeats=2000)
def asymptotic_looks(rng, repeats):
    """The asymptotic sequence, for values without bounds: right where no kind of chip is rare."""
    counts = look_counts(3000)
    for (name, (draw, truth)), kind in zip(LAWS.items(), ("sequence", "for comparison"), strict=True):
        covered = 0
        for values in draw(rng, (repeats, counts[-1])):
            kept = True
            for count in counts:
                own = values[:count]
                mean, sd = float(own.mean()), float(own.std(ddof=1))
                low, high = confidence_sequence(count, mean, sd, third=third_of_mean(own))
                kept &= low <= truth <= high
            covered += kept
        name = f"mean, asymptotic sequence, all looks of a study to 3,000 chips: {name}"
        yield Coverage(name, kind, covered / repeats, repeats)
