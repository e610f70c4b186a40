"""Simultaneous intervals: levels against known laws, the table, and what is not shared."""

import numpy as np
import pytest
from crossed_probit import CrossedProbit
from scipy import stats
from test_statistics_summary import hand_made, pick, trials_of

from reliability.errors import UserError
from reliability.statistics import Outcomes, crossed_mean, population_interval, summarize, sums_of_outcomes
from reliability.statistics.simultaneous import (
    bonferroni_level,
    chips_covariance,
    joint_level,
    population_covariance,
)
from reliability.statistics.summary import simultaneous_intervals


@pytest.mark.parametrize("count", [2, 5, 20])
def test_independent_estimates_take_the_sidak_level(count):
    expected = 0.95 ** (1 / count)
    found = joint_level(np.eye(count))
    assert expected - 1e-4 <= found <= bonferroni_level(count)
    assert found == pytest.approx(expected, abs=0.2 * (1 - expected))


def test_equal_estimates_take_little_more_than_the_level():
    found = joint_level(np.ones((6, 6)))
    assert 0.95 <= found < 0.957
    assert joint_level(np.eye(1)) == 0.95


def test_level_is_that_of_the_largest_correlated_deviation():
    """Exchangeable correlation rho: P(all |Z| < z) is an integral over the common part."""
    rho, count = 0.8, 8
    z = stats.norm.ppf(0.5 + joint_level(rho * np.ones((count, count)) + (1 - rho) * np.eye(count)) / 2)
    common, weights = np.polynomial.hermite_e.hermegauss(80)
    own = [(sign * z - np.sqrt(rho) * common) / np.sqrt(1 - rho) for sign in (1, -1)]
    inside = (stats.norm.cdf(own[0]) - stats.norm.cdf(own[1])) ** count
    joint = float(inside @ weights / weights.sum())
    assert 0.95 - 0.001 <= joint <= 0.962


def test_an_estimate_that_does_not_vary_counts_as_independent():
    covariance = np.diag([1.0, 0.0, 4.0])
    assert joint_level(covariance) == pytest.approx(joint_level(np.eye(3)), abs=1e-12)
    assert chips_covariance([np.array([0.5])] * 3).shape == (3, 3)


def test_covariances_are_those_of_repeated_studies():
    design, scales, rng = CrossedProbit(chips=60, inputs=80), (0.5, 1.0, 1.5), np.random.default_rng(1)
    means, estimates = [], []
    for _ in range(1500):
        drawn, _ = design.draw(rng, scales)
        rows = [o.correct_by_chip / 80 for o in drawn]
        columns = [o.chips_by_input / 60 for o in drawn]
        means.append([r.mean() for r in rows])
        estimates.append(population_covariance(rows, columns))
    found, truth = np.mean(estimates, axis=0), np.cov(np.array(means).T)
    assert found == pytest.approx(truth, rel=0.15)


def test_hand_made_table():
    table = simultaneous_intervals(hand_made(), target=0.8)
    summary = summarize(hand_made(), target=0.8)
    assert set(table["estimand"]) == {"mean", "drop", "quantile_05", "cvar_05", "yield"}
    assert len(table) == 4 * 7
    assert table["method"].str.endswith("for all conditions at once").all()
    passed = pick(table, time_s=1.0, cure="global", estimand="yield")
    expected = stats.binomtest(4, 4).proportion_ci(1 - 0.05 / 4)
    assert (passed.low, passed.high) == pytest.approx((expected.low, expected.high))
    alone = summary[summary["low_all"].notna()].reset_index(drop=True)
    assert (table["low"] <= alone["low"] + 1e-12).all()
    assert (table["high"] >= alone["high"] - 1e-12).all()
    assert (table["value"] == alone["value"]).all()
    with pytest.raises(UserError, match="need two"):
        simultaneous_intervals(trials_of([({}, np.eye(4, dtype=bool))]))


def test_means_get_less_than_bonferroni_and_more_than_alone():
    scales = (0.6, 0.8, 1.0, 1.2)
    drawn, _ = CrossedProbit(chips=80, inputs=120).draw(np.random.default_rng(2), scales)
    arrays = [np.unpackbits(o.packed, axis=1, count=120).astype(bool) for o in drawn]
    table = simultaneous_intervals(
        trials_of([({"scale": s}, a) for s, a in zip(scales, arrays, strict=True)])
    )
    both = table[(table["estimand"] == "mean") & (table["varies"] == "chips and inputs")]
    for (_, row), outcomes in zip(both.iterrows(), drawn, strict=True):
        crossed = crossed_mean(sums_of_outcomes(outcomes))
        alone, most = (population_interval(crossed, level) for level in (0.95, bonferroni_level(4)))
        assert most.low < row.low < alone.low
        assert alone.high < row.high < most.high


def test_classes_and_other_chips_take_the_bonferroni_level():
    rng = np.random.default_rng(3)
    by_class = trials_of([({"class": k}, rng.random((30, 20 + k)) < 0.8) for k in range(3)])
    other_chips = trials_of([({"cure": k}, rng.random((30, 20)) < 0.8) for k in "abc"])
    other_chips.loc[other_chips["cure"] == "b", "chip"] += 5
    for trials, field, first in ((by_class, "class", 0), (other_chips, "cure", "a")):
        row = pick(
            simultaneous_intervals(trials), **{field: first}, estimand="mean", varies="chips and inputs"
        )
        outcomes = trials[trials[field] == first]["correct_bits"].tolist()
        correct = np.unpackbits(np.frombuffer(b"".join(outcomes), np.uint8).reshape(30, -1), axis=1, count=20)
        crossed = crossed_mean(sums_of_outcomes(Outcomes.from_array(correct)))
        expected = population_interval(crossed, bonferroni_level(3))
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high))


def test_mistakes():
    with pytest.raises(UserError, match="level"):
        joint_level(np.eye(2), 95)
    with pytest.raises(UserError, match="at least 1"):
        bonferroni_level(0)
