"""The mean of the worst chips: by hand, few chips, ties; its coverage is in tests/coverage_cases/chips.py."""

import numpy as np
import pytest
import threshold_chips
from coverage_cases.chips import LAWS, threshold_worst
from scipy import integrate, stats

from reliability.errors import UserError
from reliability.statistics import quantile_interval
from reliability.statistics.cvar import cvar_interval


def test_estimate_is_the_mean_of_the_worst():
    values = np.random.default_rng(1).random(200)
    assert cvar_interval(values, 0.05).estimate == pytest.approx(np.sort(values)[:10].mean())
    # 5 % of 130 chips are six and a half.
    worst = np.sort(values[:130])
    expected = (worst[:6].sum() + 0.5 * worst[6]) / 6.5
    assert cvar_interval(values[:130], 0.05).estimate == pytest.approx(expected)


def test_the_truths_of_the_coverage_cases():
    normal = integrate.quad(lambda p: stats.norm.ppf(p, 0.9, 0.02), 0, 0.05)[0] / 0.05
    assert LAWS["normal"][2] == pytest.approx(normal, abs=1e-9)
    loss = integrate.quad(lambda p: 1 - stats.expon.isf(p, scale=0.02), 0, 0.05)[0] / 0.05
    assert LAWS["exponential"][2] == pytest.approx(loss, abs=1e-7)
    drawn = np.sort(threshold_chips.draw_accuracies(np.random.default_rng(2), 400_000))[:20_000]
    assert threshold_worst() == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 100)


def test_interval_lies_about_the_estimate_and_below_the_quantile():
    rng = np.random.default_rng(3)
    for chips in (40, 100, 1000):
        for level in (0.5, 0.95, 0.999):
            values = threshold_chips.draw_accuracies(rng, chips)
            estimate, low, high = cvar_interval(values, 0.05, level)
            assert 0.0 <= low <= estimate <= high <= 1.0
            assert estimate <= quantile_interval(values, 0.05).estimate
    wide, narrow = (cvar_interval(values, 0.05, level) for level in (0.99, 0.9))
    assert wide.low < narrow.low <= narrow.high < wide.high


def test_few_chips_say_little():
    values = np.linspace(0.8, 0.9, 39)
    estimate, low, high = cvar_interval(values, 0.05)
    assert low == 0.0
    assert high == quantile_interval(values, 0.05).high
    assert cvar_interval([0.5], 0.05).low == 0.0
    assert estimate < 0.81


def test_ties_are_no_certainty():
    estimate, low, high = cvar_interval(np.full(100, 0.9), 0.05)
    assert estimate == 0.9
    assert low < 0.5
    assert 0.9 < high <= 1.0
    # The worst eight are equal: nothing is seen below them, but the others show how far chips differ.
    tied = np.repeat([0.90, 0.91, 0.92], [8, 42, 50])
    estimate, low, high = cvar_interval(tied, 0.05)
    assert estimate == pytest.approx(0.9)
    assert 0.8 < low < 0.9
    assert high == quantile_interval(tied, 0.05).high


def test_mistakes():
    with pytest.raises(UserError, match="q holds 5"):
        cvar_interval([0.1, 0.2], 5)
    with pytest.raises(UserError, match="level"):
        cvar_interval([0.1, 0.2], 0.05, 95)
    with pytest.raises(UserError, match="0 chips"):
        cvar_interval([], 0.05)
    with pytest.raises(UserError, match="5 values that are NaN or infinite"):
        cvar_interval([0.9] * 95 + [np.nan] * 5, 0.05)
