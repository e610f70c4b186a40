"""Quantile intervals from order statistics: known answer 11, exact coverage (C3), SciPy."""

import numpy as np
import pytest
import threshold_chips
from scipy import stats

from reliability.errors import UserError
from reliability.statistics import (
    clopper_pearson,
    minimum_chips,
    one_sided_index,
    quantile_indices,
    quantile_interval,
    quantile_rank,
)
from reliability.statistics.order import (
    normal_tolerance_factor,
    tolerance_bound,
    tolerance_indices,
    tolerance_interval,
)


def probability(n: int, q: float, low: int, high: int) -> float:
    return float(stats.binom.cdf(high - 1, n, q) - stats.binom.cdf(low - 1, n, q))


def test_known_answer_11():
    assert quantile_indices(1000, 0.05) == (37, 64)
    assert probability(1000, 0.05, 37, 64) == pytest.approx(0.950417, abs=5e-7)
    assert quantile_indices(100, 0.05) == (1, 10)
    assert quantile_indices(200, 0.05) == (4, 17)
    assert one_sided_index(1000, 0.05) == 39
    assert stats.binom.sf(38, 1000, 0.05) == pytest.approx(0.956652, abs=5e-7)
    assert one_sided_index(59, 0.05) == 1
    assert one_sided_index(58, 0.05) is None
    proportions = ((0.95, 0.95), (0.99, 0.95), (0.99, 0.99), (0.999, 0.95))
    assert [minimum_chips(1 - p, c) for p, c in proportions] == [59, 299, 459, 2995]


def test_known_answer_11_tolerance():
    assert next(n for n in range(80, 110) if tolerance_indices(n, 0.95) is not None) == 93
    assert tolerance_indices(93, 0.95) == (1, 93)
    factors = [normal_tolerance_factor(n, 0.95) for n in (10, 30, 100)]
    assert factors == pytest.approx([2.910963, 2.219838, 1.926539], abs=5e-7)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("n", [2, 30, 93, 200])
def test_tolerance_ranks_are_the_closest_that_hold_enough(n, share):
    """What lies between X_(l) and X_(u) of a uniform law is Beta(u - l, n - u + l + 1)."""
    found = tolerance_indices(n, share)
    sure = [stats.beta.sf(share, m, n - m + 1) for m in range(1, n)]
    if found is None:
        assert max(sure) < 0.95
        return
    low, high = found
    assert sure[high - low - 1] >= 0.95
    assert high - low == 1 or sure[high - low - 2] < 0.95
    assert 1 <= low < high <= n
    assert abs((low - 1) - (n - high)) <= 1


def test_tolerance_of_chips():
    rng = np.random.default_rng(8)
    values = rng.random((2000, 100))
    held = np.array([np.subtract(*tolerance_interval(own, 0.9)[::-1]) for own in values])
    assert (held >= 0.9).mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2000)
    bounds = np.array([tolerance_bound(own, 0.95) for own in values])
    assert (bounds <= 0.05).mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert tolerance_interval(values[0, :20], 0.95) == (0.0, 1.0)
    assert tolerance_bound(values[0, :58], 0.95) == 0.0
    assert tolerance_bound(values[0, :59], 0.95) == values[0, :59].min()


def test_normal_factor_holds_for_normal_chips():
    values = np.random.default_rng(9).standard_normal((4000, 30))
    bound = values.mean(axis=1) - normal_tolerance_factor(30, 0.95) * values.std(axis=1, ddof=1)
    assert (bound <= stats.norm.ppf(0.05)).mean() == pytest.approx(0.95, abs=0.01)
    with pytest.raises(UserError, match="at least 2"):
        normal_tolerance_factor(1, 0.95)


@pytest.mark.parametrize("q", [0.01, 0.05, 0.5, 0.9])
@pytest.mark.parametrize("n", [1, 4, 30, 59, 100])
def test_pair_is_the_shortest_with_enough_probability(n, q):
    found = quantile_indices(n, q)
    enough = [
        (high - low, -probability(n, q, low, high), low, high)
        for low in range(1, n + 1)
        for high in range(low + 1, n + 1)
        if probability(n, q, low, high) >= 0.95
    ]
    if enough:
        assert found == min(enough)[2:]
    else:
        assert None in found
        assert probability(n, q, found[0] or 0, found[1] or n + 1) >= 0.95


def test_too_few_chips_get_the_trivial_bound():
    assert quantile_indices(20, 0.05) == (None, 4)
    estimate, low, high = quantile_interval(np.linspace(0.5, 0.9, 20), 0.05)
    assert (estimate, low) == (0.5, 0.0)
    assert high == pytest.approx(0.5 + 3 * 0.4 / 19)
    assert quantile_interval([3.0], 0.5, bounds=(-np.inf, np.inf)) == (3.0, -np.inf, np.inf)


def test_estimate_is_an_observed_value_within_its_interval():
    rng = np.random.default_rng(1)
    assert [quantile_rank(n, 0.05) for n in (1, 20, 21, 100, 1000)] == [1, 1, 2, 5, 50]
    assert quantile_rank(100, 0.07) == 7  # 0.07 * 100 is 7.000000000000001
    for n in (5, 60, 200, 1000):
        values = rng.standard_normal(n)
        for q in (0.05, 0.5, 0.95):
            estimate, low, high = quantile_interval(values, q, bounds=(-np.inf, np.inf))
            assert estimate in values
            assert low <= estimate <= high


@pytest.mark.parametrize("chips", [59, 100])
def test_coverage_of_threshold_chips_is_exact(chips):
    """C3: all samples that differ for the interval are enumerated, with their trinomial probability."""
    accuracy, chance = threshold_chips.law()
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    truth = threshold_chips.QUANTILE_05
    assert chance[accuracy < truth].sum() < 0.05 <= chance[accuracy <= truth].sum()
    below, at = chance[accuracy < truth].sum(), chance[accuracy == truth].sum()
    covered = 0.0
    for worse in range(25):
        for equal in range(25):
            values = np.repeat([truth - 0.1, truth, truth + 0.1], [worse, equal, chips - worse - equal])
            _, low, high = quantile_interval(values, 0.05)
            if low <= truth <= high:
                covered += stats.multinomial.pmf(
                    [worse, equal, chips - worse - equal], chips, [below, at, 1 - below - at]
                )
    assert covered >= 0.95


@pytest.mark.parametrize("target", [0.7, 0.805, 0.85, 0.95])
def test_yield_of_threshold_chips_is_covered(target):
    """C3: the yield interval, by enumeration."""
    accuracy, chance = threshold_chips.law()
    truth = chance[accuracy >= target].sum()
    counts = np.arange(101)
    covered = np.array([low <= truth <= high for low, high in (clopper_pearson(int(k), 100) for k in counts)])
    assert stats.binom.pmf(counts, 100, truth)[covered].sum() >= 0.95


@pytest.mark.parametrize("n", [30, 100, 1000])
@pytest.mark.parametrize("q", [0.05, 0.5])
def test_agrees_with_scipy(n, q):
    values = np.random.default_rng(n).standard_normal(n)
    ordered = np.sort(values)
    theirs = stats.quantile_test(values, p=q, alternative="greater").confidence_interval(0.95).low
    rank = one_sided_index(n, q)
    assert theirs == ordered[rank - 1] if rank else np.isnan(theirs)
    # SciPy's two-sided interval has equal tails; the shortest pair is never longer.
    equal_tails = stats.quantile_test(values, p=q).confidence_interval(0.95)
    low, high = quantile_indices(n, q)
    if low is not None and np.isfinite(equal_tails).all():
        span = np.searchsorted(ordered, equal_tails.high) - np.searchsorted(ordered, equal_tails.low)
        assert high - low <= span


@pytest.mark.parametrize(
    ("n", "q", "level", "words"),
    [(0, 0.05, 0.95, "0 chips"), (10, 5, 0.95, "q holds 5"), (10, 0.5, 95, "level")],
)
def test_impossible_input_is_refused(n, q, level, words):
    for function in (quantile_indices, one_sided_index, tolerance_indices):
        with pytest.raises(UserError, match=words):
            function(n, q, level)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    values = [0.9] * 95 + [bad] * 5
    for function in (quantile_interval, tolerance_interval, tolerance_bound):
        with pytest.raises(UserError, match="The chips hold 5 values that are NaN or infinite"):
            function(values, 0.05)
