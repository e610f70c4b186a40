"""Intervals of a proportion: known answer 10, enumerated coverage (C4), SciPy; equal observations."""

import numpy as np
import pytest
from scipy import stats

from reliability.errors import UserError
from reliability.statistics import clopper_pearson, clopper_pearson_lower, unanimous_interval, wilson


def coverage(interval, trials: int, proportion: float, level: float = 0.95) -> float:
    """Exact coverage by enumeration of all counts."""
    counts = np.arange(trials + 1)
    ends = [interval(int(count), trials, level) for count in counts]
    covered = np.array([low <= proportion <= high for low, high in ends])
    return float(stats.binom.pmf(counts, trials, proportion)[covered].sum())


def test_known_answer_10():
    assert wilson(95, 100) == pytest.approx((0.888250, 0.978456), abs=5e-7)
    assert clopper_pearson(95, 100) == pytest.approx((0.887165, 0.983568), abs=5e-7)
    assert 1.0 - clopper_pearson_lower(1000, 1000) == pytest.approx(0.00299125, abs=5e-9)
    assert coverage(wilson, 100, 0.95) == pytest.approx(0.965891, abs=5e-7)
    assert coverage(clopper_pearson, 100, 0.95) == pytest.approx(0.982607, abs=5e-7)
    assert coverage(wilson, 1000, 0.999) == pytest.approx(0.920, abs=5e-4)
    assert coverage(clopper_pearson, 1000, 0.999) == pytest.approx(0.981, abs=5e-4)


def test_known_answer_10_of_what_is_not_used():
    """The same enumeration gives the printed coverage of the Wald and Jeffreys intervals."""

    def wald(successes, trials, level):
        p = successes / trials
        half = stats.norm.ppf(0.5 + level / 2) * np.sqrt(p * (1 - p) / trials)
        return p - half, p + half

    def jeffreys(successes, trials, level):
        low, high = stats.beta.interval(level, successes + 0.5, trials - successes + 0.5)
        return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)

    assert coverage(wald, 100, 0.95) == pytest.approx(0.877463, abs=5e-7)
    assert coverage(wald, 1000, 0.999) == pytest.approx(0.632, abs=5e-4)
    assert coverage(jeffreys, 100, 0.95) == pytest.approx(0.934730, abs=5e-7)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
@pytest.mark.parametrize("trials", [1, 7, 100, 1000])
def test_agrees_with_scipy(trials, level):
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        test = stats.binomtest(successes, trials)
        for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
            theirs = test.proportion_ci(level, method=method)
            assert ours(successes, trials, level) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        lower = stats.binomtest(successes, trials, alternative="greater").proportion_ci(level).low
        assert clopper_pearson_lower(successes, trials, level) == pytest.approx(lower, abs=1e-9)


def test_clopper_pearson_never_covers_less():
    for trials in (5, 40, 100):
        for proportion in np.linspace(0.01, 0.99, 50):
            assert coverage(clopper_pearson, trials, proportion, 0.95) >= 0.95
            assert coverage(clopper_pearson, trials, proportion, 0.8) >= 0.8
            counts = np.arange(trials + 1)
            certified = [clopper_pearson_lower(int(k), trials) <= proportion for k in counts]
            assert stats.binom.pmf(counts, trials, proportion)[certified].sum() >= 0.95


def test_no_trials_say_nothing():
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert wilson(0, 0) == (0.0, 1.0)
    assert clopper_pearson_lower(0, 0) == 0.0


@pytest.mark.parametrize("function", [clopper_pearson, clopper_pearson_lower, wilson])
@pytest.mark.parametrize(
    ("successes", "trials", "level", "words"),
    [
        (-1, 10, 0.95, "-1 successes"),
        (11, 10, 0.95, "11 successes"),
        (1.5, 10, 0.95, "1.5 successes in 10 trials; both must be whole"),
        (1, 10.5, 0.95, "1 successes in 10.5 trials; both must be whole"),
        (1, np.inf, 0.95, "both must be whole"),
        (np.nan, 10, 0.95, "nan successes"),
        (5, 10, 95, "level.*95"),
        (5, 10, 0.0, "level"),
    ],
)
def test_impossible_input_is_refused(function, successes, trials, level, words):
    with pytest.raises(UserError, match=words):
        function(successes, trials, level)


@pytest.mark.parametrize("chips", [2, 20, 100])
def test_equal_chips_still_cover(chips):
    """Chips show 0.9 or are dead: whatever the fraction, equal chips mislead at most 1 time in 20."""
    low, high = unanimous_interval(0.9, chips - 1, 0.95, (0.0, 1.0))
    assert 0.0 <= low < 0.9 < high <= 1.0
    for dead in np.linspace(0.0, 1.0, 201):
        truth = 0.9 * (1.0 - dead)
        low_if_dead, high_if_dead = unanimous_interval(0.0, chips - 1, 0.95, (0.0, 1.0))
        missed = (1.0 - dead) ** chips * (not low <= truth <= high)
        missed += dead**chips * (not low_if_dead <= truth <= high_if_dead)
        assert missed <= 0.05


def test_one_chip_says_nothing():
    assert unanimous_interval(0.9, 0, 0.95, (0.0, 1.0)) == pytest.approx((0.0, 1.0), abs=1e-15)
