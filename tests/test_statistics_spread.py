"""The spread over chips: coverage for normal and for skewed discrete chips, and degenerate chips."""

import numpy as np
import pytest
import threshold_chips

from reliability.errors import UserError
from reliability.statistics import spread_interval


def normal_chips(rng, size):
    """Accuracies on 1000 inputs, normal but for the counting."""
    return np.round(900 + 12 * rng.standard_normal(size)) / 1000


def few_bad_chips(rng, size):
    """Drops that follow a chi-square law of one degree of freedom: skewness -2.9, excess kurtosis 12."""
    return 1.0 - np.floor(200 * np.minimum(0.04 + 0.04 * rng.standard_normal(size) ** 2, 1.0)) / 200


LAWS = {
    "normal": (normal_chips, float(np.sqrt(0.012**2 + 1e-6 / 12))),
    "threshold": (threshold_chips.draw_accuracies, threshold_chips.mean_and_spread()[1]),
    "few bad": (few_bad_chips, float(few_bad_chips(np.random.default_rng(0), 4_000_000).std())),
}


def coverage(name: str, chips: int, repeats: int) -> float:
    draw, truth = LAWS[name]
    samples = draw(np.random.default_rng(chips), (repeats, chips))
    intervals = [spread_interval(sample)[1] for sample in samples]
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("chips", [100, 300])
def test_coverage(name, chips):
    assert 0.925 <= coverage(name, chips, 2000) <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("chips", [100, 300, 1000])
def test_coverage_with_more_repeats(name, chips):
    assert 0.93 <= coverage(name, chips, 10_000) <= 0.97


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("chips", [3, 10, 30])
def test_few_chips_are_not_overconfident(name, chips):
    assert coverage(name, chips, 1000) >= (0.93 if name == "normal" else 0.80)


def test_chi_square_interval_alone_would_fail():
    """The coverage test has power: with skewed chips the usual interval misses far too often."""
    from scipy import stats

    draw, truth = LAWS["few bad"]
    samples = draw(np.random.default_rng(5), (1000, 300))
    variance = samples.var(axis=1, ddof=1)
    low, high = (299 * variance / stats.chi2.ppf(p, 299) for p in (0.975, 0.025))
    assert np.mean((low <= truth**2) & (truth**2 <= high)) < 0.7


def test_value_and_order():
    value, (low, high) = spread_interval([0.8, 0.9, 0.85, 0.95])
    assert value == pytest.approx(np.std([0.8, 0.9, 0.85, 0.95], ddof=1))
    assert 0.0 <= low < value < high <= 0.5


def test_interval_does_not_depend_on_unit_or_origin():
    values = threshold_chips.draw_accuracies(np.random.default_rng(8), 50)
    real = (-np.inf, np.inf)
    value, (low, high) = spread_interval(values, bounds=real)
    moved_value, (moved_low, moved_high) = spread_interval(7.0 - 1000.0 * values, bounds=real)
    assert (moved_value, moved_low, moved_high) == pytest.approx(
        (1000 * value, 1000 * low, 1000 * high), rel=1e-9
    )


@pytest.mark.parametrize("values", [[0.9], [0.9, 0.9], [0.9] * 1000, [0.1 + 0.2] * 7])
def test_equal_chips_do_not_prove_zero_spread(values):
    value, (low, high) = spread_interval(values)
    assert (value, low) == (0.0, 0.0)
    assert 0.0 < high <= 0.5


def test_equal_chips_bound_covers_rare_dead_chips():
    """A fraction of chips is dead; samples that show none must still cover the true spread."""
    for chips in (20, 100, 1000):
        _, (_, high) = spread_interval([0.9] * chips)
        for dead in np.linspace(0.0, 0.5, 200):
            truth = 0.9 * np.sqrt(dead * (1 - dead))
            assert truth <= high or (1 - dead) ** chips <= 0.05


def test_chips_of_two_kinds_have_an_interval():
    """Squared deviations are all equal here, so only the chi-square interval has a width."""
    value, (low, high) = spread_interval([0.8, 0.9] * 50)
    assert low < 0.9 * value
    assert high > 1.1 * value
    _, (low, high) = spread_interval([0.8, 0.9])
    assert low < 0.05
    assert high == 0.5


@pytest.mark.parametrize("level", [0.01, 0.1, 0.5, 0.95])
def test_interval_holds_the_value(level):
    rng = np.random.default_rng(4)
    samples = [np.array([1.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.array([0.8, 0.9])]
    samples += [rng.random(chips) for chips in (2, 3, 9)]
    for sample in samples:
        value, (low, high) = spread_interval(sample, level)
        assert 0.0 <= low <= value <= high <= 0.5
        # No law between 0 and 1 has a standard deviation above one half.
        assert value == pytest.approx(min(np.std(sample, ddof=1), 0.5))


def test_impossible_input_is_refused():
    with pytest.raises(UserError, match="0 chips"):
        spread_interval([])
    with pytest.raises(UserError, match="level"):
        spread_interval([0.1, 0.2], level=95)
    with pytest.raises(UserError, match="2 values that are NaN or infinite"):
        spread_interval([0.1, np.nan, 0.2, np.inf])
