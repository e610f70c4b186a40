"""The share of a loss that is regained: closed forms, and the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reliability.errors import UserError
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.regained import regained_share


def outcomes(correct: np.ndarray) -> Outcomes:
    return Outcomes.from_array(correct)


def test_all_nothing_and_half():
    rng = np.random.default_rng(0)
    healthy = rng.random((30, 80)) < 0.95
    ill = healthy & (rng.random((30, 80)) < 0.7)
    half = np.where(np.arange(80) % 2, healthy, ill)
    for cured, share in ((healthy, 1.0), (ill, 0.0)):
        found = regained_share(outcomes(healthy), outcomes(ill), outcomes(cured))
        assert found.value == share and found.of_chips == found.of_both == (share, share)
    found = regained_share(outcomes(healthy), outcomes(ill), outcomes(half))
    assert found.value == pytest.approx((half.sum() - ill.sum()) / (healthy.sum() - ill.sum()))
    assert found.of_both.low < found.of_chips.low < 0.5 < found.of_chips.high < found.of_both.high


def test_chips_interval_is_fiellers():
    """Its ends are the shares R for which the t test of (cured - ill) - R (healthy - ill) has p = 5 %."""
    rng = np.random.default_rng(1)
    ill = rng.random((25, 60)) < rng.uniform(0.4, 0.9, (25, 1))
    cured, healthy = ill | (rng.random((25, 60)) < 0.5), ill | (rng.random((25, 60)) < 0.9)
    found = regained_share(outcomes(healthy), outcomes(ill), outcomes(cured))
    for end in found.of_chips:
        rest = (cured.astype(float) - ill - end * (healthy.astype(float) - ill)).mean(axis=1)
        assert stats.ttest_1samp(rest, 0).pvalue == pytest.approx(0.05, rel=1e-3)


def test_a_loss_that_cannot_be_told_from_none_leaves_no_ends():
    rng = np.random.default_rng(2)
    healthy, ill, cured = (rng.random((6, 40)) < 0.9 for _ in range(3))
    found = regained_share(outcomes(healthy), outcomes(ill), outcomes(cured))
    assert found.of_chips == (-np.inf, np.inf)


@pytest.mark.slow
def test_coverage():
    """Chips and inputs with normal abilities and probit answers, for which all shares are known."""
    rng = np.random.default_rng(3)
    chips, inputs, repeats = 40, 150, 1000
    means, of_chips, of_inputs = np.array([2.2, 0.6, 1.7]), np.array([0.1, 0.6, 0.2]), 1.5
    p = stats.norm.cdf(means / np.sqrt(1 + of_chips + of_inputs))
    truth = (p[2] - p[1]) / (p[0] - p[1])
    hits = np.zeros(2)
    for _ in range(repeats):
        a, b = rng.normal(size=(chips, 1)), np.sqrt(of_inputs) * rng.normal(size=inputs)
        e = rng.normal(size=(chips, inputs))
        seen = [outcomes(m + np.sqrt(s) * a + b + e > 0) for m, s in zip(means, of_chips, strict=True)]
        found = regained_share(*seen)
        own = stats.norm.cdf((means[:, None] + b) / np.sqrt(1 + of_chips[:, None])).mean(axis=1)
        here = (own[2] - own[1]) / (own[0] - own[1])
        hits += [
            found.of_chips.low <= here <= found.of_chips.high,
            found.of_both.low <= truth <= found.of_both.high,
        ]
    assert (hits / repeats > 0.93).all() and (hits / repeats < 0.97).all(), hits / repeats


def test_what_cannot_be_compared_is_refused():
    right = np.ones((4, 9), bool)
    with pytest.raises(UserError, match="nothing was lost"):
        regained_share(outcomes(right), outcomes(right), outcomes(right))
    with pytest.raises(UserError, match="at least; healthy has 4 chips and 9 inputs, ill has 3 chips and 9 "):
        regained_share(outcomes(right), outcomes(right[:3]), outcomes(right))
    with pytest.raises(UserError, match=r"two of each at least; there are 1 chip and 9 inputs$"):
        regained_share(*(outcomes(right[:1]) for _ in range(3)))
