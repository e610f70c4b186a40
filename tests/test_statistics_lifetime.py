"""Failure times: interval censoring, whole-number targets, and the coverage of their quantiles."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from reliability.errors import UserError
from reliability.statistics import (
    failure_distribution,
    failure_quantile,
    first_failure,
    required_correct,
)


@pytest.mark.parametrize(
    ("target", "inputs", "least"),
    [(0.9, 10, 9), (0.7, 10, 7), (0.07, 100, 7), (0.905, 10, 10), (0.0, 10, 0), (1.0, 7, 7)],
)
def test_targets_are_whole_inputs(target, inputs, least):
    assert required_correct(target, inputs) == least


@pytest.mark.parametrize("target", ["0.95", None, [0.9], 1.1, -0.1, math.nan])
def test_targets_that_are_no_fraction_are_told(target):
    with pytest.raises(UserError, match=f"target holds {re.escape(repr(target))}; it must be an accuracy"):
        required_correct(target, 10)


def test_every_decimal_target_is_met_by_exactly_its_count():
    for inputs in (10, 450, 897, 10_000):
        for correct in range(0, inputs + 1, max(1, inputs // 100)):
            assert required_correct(correct / inputs, inputs) == correct


def test_first_failure_by_hand():
    correct = np.array(
        [
            [9, 9, 9, 9],  # never fails
            [8, 9, 9, 9],  # failed at the first time, recovers
            [9, 9, 7, 9],  # fails between the second and third
            [9, 9, 9, 8],  # fails at the last
        ]
    )
    left, right = first_failure(correct, 9, [1.0, 10.0, 100.0, 1000.0])
    assert left.tolist() == [1000.0, 0.0, 10.0, 100.0]
    assert right.tolist() == [math.inf, 1.0, 100.0, 1000.0]


def test_quantile_by_hand():
    left = np.repeat([0.0, 1.0, 10.0], [40, 30, 30])
    right = np.repeat([1.0, 10.0, math.inf], [40, 30, 30])
    # Of 100 chips the median's interval is made of the 40th and the 60th.
    assert failure_quantile(left, right, 0.5) == (1.0, 10.0, 0.0, 10.0)
    assert failure_quantile(left, right, 0.05) == (0.0, 1.0, 0.0, 1.0)
    assert failure_quantile(left, right, 0.9) == (10.0, math.inf, 10.0, math.inf)
    assert failure_quantile(left[:3], right[:3], 0.5) == (0.0, 1.0, 0.0, math.inf)


def test_distribution_by_hand():
    table = failure_distribution(np.array([1.0, 10.0, math.inf, math.inf]), [1.0, 10.0])
    assert table["time"].tolist() == [1.0, 10.0]
    assert table["failed"].tolist() == [0.25, 0.5]
    for row, count in zip(table.itertuples(), (1, 2), strict=True):
        expected = stats.binomtest(count, 4).proportion_ci(0.95)
        assert (row.low, row.high, row.level, row.chips) == pytest.approx(
            (expected.low, expected.high, 0.95, 4)
        )


@pytest.mark.parametrize("chips", [30, 100, 300])
@pytest.mark.parametrize("q", [0.05, 0.5])
def test_quantile_interval_covers(chips, q):
    """Lognormal failure times seen on a coarse grid; the true quantile lies inside a cell, or on its edge."""
    rng = np.random.default_rng(chips)
    truth = float(np.exp(2.0 * stats.norm.ppf(q)))
    for grid in (np.geomspace(0.01, 100, 9), np.array([truth / 3, truth, 3 * truth])):
        times = np.exp(2.0 * rng.standard_normal((2000, chips)))
        covered = 0
        for sample in times:
            alive = (sample[:, np.newaxis] > grid).astype(np.int64)
            found = failure_quantile(*first_failure(alive, 1, grid), q)
            assert found.low <= found.after < found.by <= found.high
            covered += found.low < truth <= found.high
        assert covered / 2000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_quantile_interval_is_no_wider_than_it_must_be():
    """On a fine grid the coverage comes down to that of the order statistics, so the test above can fail."""
    rng = np.random.default_rng(9)
    grid = np.geomspace(0.001, 1000, 2000)
    covered = 0
    for sample in np.exp(rng.standard_normal((500, 300))):
        alive = (sample[:, np.newaxis] > grid).astype(np.int64)
        found = failure_quantile(*first_failure(alive, 1, grid), 0.5)
        covered += found.low < 1.0 <= found.high
    assert 0.92 <= covered / 500 <= 0.985


def test_impossible_input_is_refused():
    with pytest.raises(UserError, match="target holds 90"):
        required_correct(90, 100)
    with pytest.raises(UserError, match="target holds nan"):
        required_correct(math.nan, 100)
    with pytest.raises(UserError, match="must rise"):
        first_failure(np.ones((3, 2)), 1, [2.0, 1.0])
    with pytest.raises(UserError, match="3 times"):
        first_failure(np.ones((3, 2)), 1, [1.0, 2.0, 3.0])
