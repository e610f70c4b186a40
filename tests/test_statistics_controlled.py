"""Regression on a control, and samples of unequal probability."""

import numpy as np
import pytest
from scipy import stats

from reliability import UserError
from reliability.statistics import controlled_mean, inclusion_probabilities, systematic_sample


def test_without_a_varying_control_the_interval_is_students():
    values = np.random.default_rng(0).normal(3.0, 2.0, 25)
    found = controlled_mean(values, np.zeros(25))
    low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.slope == 0 and found.df == 24


def test_the_estimate_is_the_intercept_of_a_regression():
    rng = np.random.default_rng(1)
    controls = rng.normal(size=40)
    values = 0.9 + 0.3 * controls + rng.normal(0, 0.1, 40)
    found, line = controlled_mean(values, controls), stats.linregress(controls, values)
    assert found.value == pytest.approx(line.intercept)
    assert found.error == pytest.approx(line.intercept_stderr)
    assert found.slope == pytest.approx(line.slope)


@pytest.mark.parametrize("count", [100, 300])
def test_the_interval_of_a_quadratic_with_known_mean_covers(count):
    # f = 1 + g e + (sum of l (e**2 - 1)) / 2 with its linear part as control; the mean is 1.
    rng = np.random.default_rng(2)
    e = rng.normal(size=(4000, count, 6))
    g, curve = np.array([0.5, 0.3, 0.2, 0.1, 0.1, 0.05]), np.array([0.2, -0.1, 0.1, 0.05, 0.0, 0.0])
    values = 1 + e @ g + 0.5 * (e**2 - 1) @ curve
    found = [controlled_mean(v, c) for v, c in zip(values, e @ g, strict=True)]
    coverage = np.mean([f.low <= 1 <= f.high for f in found])
    assert 0.935 <= coverage <= 0.965
    gain = values.mean(axis=1).var() / np.var([f.value for f in found])
    exact = (g @ g + 0.5 * curve @ curve) / (0.5 * curve @ curve) * (1 - 1 / (count - 2))
    assert gain == pytest.approx(exact, rel=0.15)


def test_the_error_of_an_estimated_mean_of_the_control_counts():
    rng = np.random.default_rng(3)
    controls = rng.normal(size=50)
    values = 2 * controls + rng.normal(0, 0.1, 50)
    known, estimated = (controlled_mean(values, controls, known_error=e) for e in (0.0, 0.5))
    assert estimated.error == pytest.approx(np.hypot(known.error, known.slope * 0.5))


def test_too_few_values_are_refused():
    with pytest.raises(UserError, match="3 values and 3 controls"):
        controlled_mean(np.ones(3), np.ones(3))


def test_probabilities_follow_sizes_and_add_up():
    sizes = np.array([10.0, 1.0, 1.0, 2.0, 4.0])
    found = inclusion_probabilities(sizes, 3)
    assert found.sum() == pytest.approx(3) and found.max() <= 1
    # The two large ones are certain, the others share what is left.
    assert found == pytest.approx([1, 0.25, 0.25, 0.5, 1])


def test_systematic_samples_have_the_probabilities_asked_for():
    probabilities = inclusion_probabilities(np.array([5.0, 1.0, 1.0, 2.0, 3.0, 0.1]), 3)
    rng, counts = np.random.default_rng(4), np.zeros(6)
    for _ in range(20_000):
        chosen = systematic_sample(probabilities, rng)
        assert len(set(chosen)) == 3
        counts[chosen] += 1
    error = np.sqrt(probabilities * (1 - probabilities) / 20_000)
    assert (np.abs(counts / 20_000 - probabilities) <= 4 * error + 1e-12).all()


@pytest.mark.parametrize("count", [0, 5, 1.5])
def test_samples_of_impossible_numbers_are_refused(count):
    with pytest.raises(UserError, match=f"holds {count} of 3; it must be a whole number from 1 to 3"):
        inclusion_probabilities(np.ones(3), count)
    assert inclusion_probabilities(np.array([1.0, 3.0, 9.0]), 3).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_sizes_that_give_no_probability_are_refused(bad):
    with pytest.raises(UserError, match="must all be finite and above 0"):
        inclusion_probabilities(np.array([1.0, bad, 2.0]), 2)
