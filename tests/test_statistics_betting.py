"""Betting: the capital itself, the evidence of a yield, and known answers of methods.md 1.4."""

import itertools
import math

import numpy as np
import pytest
import threshold_chips
from scipy import integrate

from reliability.errors import UserError
from reliability.statistics import confidence_sequence, proportion_sequence
from reliability.statistics.betting import betting_sequence, certified_yield, yield_evidence


def capital(values: np.ndarray, claimed: float, alpha: float) -> tuple[float, float]:
    """Both capitals after the last value, bet by bet (Waudby-Smith and Ramdas 2024, equations 24 to 26)."""
    up, down, total, squares = 1.0, 1.0, 0.0, 0.0
    variance = 0.25
    for t, value in enumerate(values, start=1):
        stake = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1)))
        up *= 1 + min(stake, 0.5 / claimed) * (value - claimed)
        down *= 1 - min(stake, 0.5 / (1 - claimed)) * (value - claimed)
        total += value
        mean = (0.5 + total) / (t + 1)
        squares += (value - mean) ** 2
        variance = (0.25 + squares) / (t + 1)
    return up / 2, down / 2


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("count", [3, 40, 300])
def test_ends_are_where_half_the_capital_is_enough(count, alpha):
    values = threshold_chips.draw_accuracies(np.random.default_rng(count), count)
    ((low, high),) = betting_sequence(values, [count], alpha)
    if low > 0.0:
        assert capital(values, low, alpha)[0] == pytest.approx(1 / alpha, rel=1e-4)
    if high < 1.0:
        assert capital(values, high, alpha)[1] == pytest.approx(1 / alpha, rel=1e-4)
    assert low <= values.mean() <= high


def test_intervals_only_narrow_and_follow_the_bounds():
    values = threshold_chips.draw_accuracies(np.random.default_rng(1), 600)
    found = betting_sequence(values, range(50, 601, 50))
    assert all(a.low <= b.low <= b.high <= a.high for a, b in itertools.pairwise(found))
    assert found[-1].width < found[0].width
    differences = 2.0 * values - 1.0
    ((low, high),) = betting_sequence(differences, [600], bounds=(-1.0, 1.0))
    ((plain_low, plain_high),) = betting_sequence(values, [600])
    assert (low, high) == pytest.approx((2 * plain_low - 1, 2 * plain_high - 1), abs=1e-8)


def test_half_widths_beside_the_asymptotic_sequence():
    """Section 1.4: 0.038, 0.014, 0.0047 and 0.0027 for chips of sd 0.028, the asymptotic 0.0094 to 0.0020."""
    values = 0.9 + 0.028 * np.random.default_rng(2).standard_normal(2000)
    counts = (100, 300, 1000, 2000)
    for count, own, printed in zip(
        counts, betting_sequence(np.clip(values, 0, 1), counts), (0.038, 0.014, 0.0047, 0.0027), strict=True
    ):
        assert own.width / 2 == pytest.approx(printed, rel=0.12)
        asymptotic = confidence_sequence(count, values[:count].mean(), 0.028).width
        assert 1.2 < own.width / asymptotic < 5.0


def test_equal_chips_still_leave_room():
    ((low, high),) = betting_sequence(np.full(300, 0.9), [300])
    assert low < 0.9 < high
    (all_right,) = betting_sequence(np.ones(300), [300])
    assert 0.9 < all_right.low < 1.0 == all_right.high


@pytest.mark.parametrize(("successes", "trials", "bound"), [(95, 100, 0.9), (3, 10, 0.5), (50, 100, 0.9)])
def test_evidence_is_the_mixture(successes, trials, bound):
    def ratio(q: float) -> float:
        return (q / bound) ** successes * ((1 - q) / (1 - bound)) ** (trials - successes)

    expected = integrate.quad(ratio, bound, 1, epsabs=1e-14)[0] / (1 - bound)
    assert yield_evidence(successes, trials, bound) == pytest.approx(math.log(expected), rel=1e-9)


def test_evidence_never_overflows():
    assert yield_evidence(0, 0, 0.9) == pytest.approx(0.0)
    assert yield_evidence(100_000, 100_000, 0.5) > 60_000
    assert yield_evidence(0, 100_000, 0.99) < -60_000 or yield_evidence(0, 100_000, 0.99) == -math.inf


def when_certified(bound: float, truth: float, most: int) -> np.ndarray:
    """Probability that a yield is certified at exactly n chips, n = 0..most, by enumeration."""
    law = np.zeros(most + 2)  # by failures
    law[0] = 1.0
    allowed, stopped = -1, np.zeros(most + 1)
    for n in range(1, most + 1):
        law[1:] = law[1:] * truth + law[:-1] * (1 - truth)
        law[0] *= truth
        while allowed + 1 <= n and yield_evidence(n - allowed - 1, n, bound) >= math.log(20):
            allowed += 1
        stopped[n] = law[: allowed + 1].sum()
        law[: allowed + 1] = 0.0
    return stopped


@pytest.mark.parametrize(
    ("bound", "truth", "mean", "median"),
    [(0.95, 0.97, 727, 600), (0.99, 0.999, 574, 449), (0.9, 0.95, 209, 168)],
)
def test_chips_to_certify(bound, truth, mean, median):
    """Section 1.4 simulated 729 (median 600), 575 (450) and 222 (190); enumeration gives the last as 209."""
    stopped = when_certified(bound, truth, 8000)
    assert stopped.sum() == pytest.approx(1.0, abs=1e-6)
    assert stopped @ np.arange(8001) == pytest.approx(mean, abs=0.6)
    assert np.searchsorted(np.cumsum(stopped), 0.5) == median


@pytest.mark.parametrize("bound", [0.9, 0.95, 0.99])
def test_false_certificates_are_rare(bound):
    """Exactly at the bound: section 1.4 simulated 0.035 to 0.043; at any of 3,000 chips, enumerated."""
    wrong = when_certified(bound, bound, 3000).sum()
    assert 0.02 < wrong <= 0.05


def test_certified_yield_is_the_largest_certified():
    for successes, trials in ((95, 100), (50, 60), (997, 1000), (5, 5)):
        bound = certified_yield(successes, trials)
        assert yield_evidence(successes, trials, bound) == pytest.approx(math.log(20), abs=1e-5)
        assert yield_evidence(successes, trials, bound + 0.002) < math.log(20)
        # One-sided, it certifies more than the lower end of the two-sided sequence.
        assert bound > proportion_sequence(successes, trials).low
    assert certified_yield(0, 5) == 0.0
    assert certified_yield(0, 0) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: betting_sequence([0.1, 1.2], [2]), "1.2; a betting sequence"),
        (lambda: betting_sequence([0.1, np.nan], [2]), "within finite bounds"),
        (lambda: betting_sequence([0.1, 0.2], [2], bounds=(0.0, math.inf)), "within finite bounds"),
        (lambda: betting_sequence([0.1, 0.2], [2, 1]), "must rise"),
        (lambda: betting_sequence([0.1, 0.2], []), "must rise"),
        (lambda: betting_sequence([0.1, 0.2], [3]), "at most 2"),
        (lambda: betting_sequence([0.1, 0.2], [2], alpha=5), "alpha holds 5"),
        (lambda: yield_evidence(5, 4, 0.9), "5 successes"),
        (lambda: yield_evidence(4, 5, 90), "certify holds 90"),
    ],
)
def test_impossible_input_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()
