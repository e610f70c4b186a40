"""Ranks: how often all rank intervals hold together, and that clear differences are told."""

import math

import numpy as np
import pytest
from scipy import stats

from reliability.errors import UserError
from reliability.statistics.ranking import ranking


def draw(rng: np.random.Generator, means: np.ndarray, samples: int, skewed: bool = False) -> np.ndarray:
    """Samples with a common part, of which differences are free, and spreads of their own."""
    own = (
        rng.exponential(size=(samples, len(means))) - 1
        if skewed
        else rng.standard_normal((samples, len(means)))
    )
    return means + rng.standard_normal((samples, 1)) + own * (0.5 + np.arange(len(means)) / len(means))


def hold(means: np.ndarray, samples: int, repeats: int, skewed: bool = False) -> tuple[float, float]:
    """How often all rank intervals hold the true ranks, and the share of ranks that are resolved."""
    least = 1 + (means[:, None] > means).sum(axis=0)
    most = len(means) - (means[:, None] < means).sum(axis=0)
    held, resolved = 0, 0.0
    for repeat in range(repeats):
        found = draw(np.random.default_rng([1, repeat]), means, samples, skewed)
        table = ranking(found.mean(axis=0), found)
        # Groups that are equal have all ranks between them, and the interval must hold them all.
        held += ((table["rank_low"] <= least) & (most <= table["rank_high"])).all()
        resolved += table["resolved"].mean()
    return held / repeats, resolved / repeats


@pytest.mark.parametrize(
    ("means", "skewed"),
    [([0.0] * 5, False), ([0.0, 0.0, 0.4, 0.4, 1.0], False), ([0.0, 0.1, 0.2, 0.3, 0.4], True)],
    ids=["all equal", "two pairs", "near, skewed"],
)
def test_all_ranks_hold_together(means, skewed):
    held, _ = hold(np.array(means), 100, 300, skewed)
    assert held >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 300)


@pytest.mark.slow
@pytest.mark.parametrize("means", [[0.0] * 6, [0.0] * 3 + [0.5] * 3, [0.0, 0.02, 0.04, 0.06, 1.0, 2.0]])
@pytest.mark.parametrize("samples", [10, 50, 500])
def test_all_ranks_hold_together_in_many_designs(means, samples):
    held, _ = hold(np.array(means), samples, 4000)
    assert held >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 4000)


def test_the_level_is_used():
    """A level of 50 % is not held in nearly all studies, so that the tests above have power."""
    held = 0
    for repeat in range(300):
        found = draw(np.random.default_rng([2, repeat]), np.zeros(3), 50)
        held += (ranking(found.mean(axis=0), found, 0.5)["rank_low"] == 1).all()
    assert 0.5 - 3 * math.sqrt(0.25 / 300) <= held / 300 <= 0.75


def test_clear_differences_are_resolved():
    held, resolved = hold(np.array([0.0, 1.0, 2.0, 3.0]), 200, 100)
    assert held >= 0.9 and resolved > 0.99


def test_steps_tell_more_than_one_bound():
    """Pairs that are told apart leave their part of the allowed error to the others."""
    samples = np.random.default_rng(3).standard_normal((400, 12))
    samples += np.r_[np.arange(11) * 5.0, 50.0] - samples.mean(axis=0)
    error = (samples[:, 11] - samples[:, 10]).std(ddof=1) / 20
    one_bound, last = (stats.t.ppf(1 - 0.05 / pairs, 399) for pairs in (132, 132 - 65))
    for t, told in ((last * 0.99, False), (last * 1.01, True), (one_bound * 0.99, True)):
        far = samples + t * error * (np.arange(12) == 11)
        assert ranking(far.mean(axis=0), far)["resolved"].all() == told


def test_pairing_counts():
    """What all groups have in common hides no difference."""
    rng = np.random.default_rng(4)
    own = 0.1 * rng.standard_normal((50, 3)) + np.array([0.0, 0.2, 0.4])
    table = ranking((own + 1).mean(axis=0), own + 100 * rng.standard_normal((50, 1)))
    assert table["resolved"].all() and table["rank"].tolist() == [3, 2, 1]


def test_exact_values_and_ties():
    table = ranking([0.2, 0.5, 0.2, 0.1])
    assert table["rank"].tolist() == [2, 1, 2, 4]
    assert table["rank_low"].tolist() == [2, 1, 2, 4] and table["rank_high"].tolist() == [3, 1, 3, 4]
    assert table["resolved"].tolist() == [False, True, False, True]


def test_groups_that_never_differ_by_more_or_less_are_not_told_apart():
    common = np.random.default_rng(5).standard_normal((20, 1))
    samples = common + np.array([0.0, 0.0, 1.0])
    assert ranking(samples.mean(axis=0), samples)["rank_low"].tolist() == [1, 1, 1]


def test_impossible_input_is_refused():
    with pytest.raises(UserError, match=r"2 estimates was given contributions of shape \(5, 3\)"):
        ranking([1.0, 2.0], np.zeros((5, 3)))
    with pytest.raises(UserError, match="level"):
        ranking([1.0, 2.0], level=95)
