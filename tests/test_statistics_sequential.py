"""Confidence sequences: how often they ever miss (C5), that ordinary intervals do, and the looks."""

import math

import numpy as np
import pytest
import threshold_chips

from reliability.errors import UserError
from reliability.statistics import (
    confidence_sequence,
    look_counts,
    proportion_sequence,
    sequence_width,
)

PATHS = 2000
BAND = 3 * math.sqrt(0.05 * 0.95 / PATHS)


def running(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the first `counts` values of every path, shape (paths, looks)."""
    total = np.cumsum(values, axis=1)[:, counts - 1]
    squares = np.cumsum(np.square(values), axis=1)[:, counts - 1]
    return total / counts, np.sqrt((squares - total**2 / counts) / (counts - 1))


def test_mean_is_covered_at_all_looks_together():
    counts = np.arange(100, 2100, 5)
    rng = np.random.default_rng(11)
    truth = threshold_chips.mean_and_spread()[0]
    mean, sd = running(threshold_chips.draw_accuracies(rng, (PATHS, 2095)), counts)
    half = np.array([sequence_width(int(count), 1.0) for count in counts]) / 2.0
    error = np.abs(mean - truth) / sd
    assert np.any(error > half, axis=1).mean() <= 0.05 + BAND
    # The same looks at an ordinary 95 % interval: without this the assertion above might have no power.
    assert np.any(error > 1.96 / np.sqrt(counts), axis=1).mean() > 0.25


def contains(truth: float, count: int) -> tuple[int, int]:
    """Fewest and most successes of which the sequence contains the truth, by bisection."""
    middle = round(truth * count)

    def inside(successes: int) -> bool:
        low, high = proportion_sequence(successes, count)
        return low <= truth <= high

    assert inside(middle)
    ends = []
    for limit in (0, count):
        kept, lost = middle, limit
        if inside(limit):
            kept = limit
        while abs(lost - kept) > 1 and kept != limit:
            half = (kept + lost) // 2
            kept, lost = (half, lost) if inside(half) else (kept, half)
        ends.append(kept)
    return ends[0], ends[1]


@pytest.mark.parametrize("truth", [0.5, 0.95, 0.999])
def test_yield_is_covered_at_all_looks_together(truth):
    counts = np.arange(50, 20_050, 50)
    passed = np.cumsum(np.random.default_rng(12).binomial(50, truth, (PATHS, counts.size)), axis=1)
    least, most = np.array([contains(truth, int(count)) for count in counts]).T
    assert np.any((passed < least) | (passed > most), axis=1).mean() <= 0.05 + BAND
    score = np.abs(passed / counts - truth) / np.sqrt(
        truth * (1 - truth) / counts
    )  # Wilson: contained below 1.96
    assert np.any(score > 1.96, axis=1).mean() > 0.3


def test_yield_sequence_is_robbins_mixture():
    low, high = proportion_sequence(95, 100)
    for end in (low, high):
        mixture = end**95 * (1 - end) ** 5 * 101 * math.comb(100, 95)
        assert mixture == pytest.approx(0.05, rel=1e-9)
    assert low < 0.95 < high
    assert proportion_sequence(0, 0) == (0.0, 1.0)
    low, high = proportion_sequence(0, 100)
    assert low == 0.0
    assert high == pytest.approx(1 - (0.05 / 101) ** (1 / 100))
    assert proportion_sequence(100, 100) == pytest.approx((1 - high, 1.0))


def test_mean_sequence_follows_its_formula():
    """Half width written out once more: sd sqrt(2 (n r + 1) / (n^2 r) log(sqrt(n r + 1) / alpha))."""
    ratio = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 500
    half = 0.028 * math.sqrt(
        2 * (300 * ratio + 1) / (300**2 * ratio) * math.log(math.sqrt(300 * ratio + 1) / 0.05)
    )
    assert confidence_sequence(300, 0.9, 0.028) == pytest.approx((0.9 - half, 0.9 + half), rel=1e-12)
    # Half widths printed in methods.md, section 1.4, for sd 0.028.
    printed = {100: 0.0094, 300: 0.0050, 1000: 0.0028, 2000: 0.0020}
    for count, width in printed.items():
        assert sequence_width(count, 0.028) / 2 == pytest.approx(width, abs=1e-4)
    assert confidence_sequence(100, 0.999, 0.028).high == 1.0


def test_sequence_is_narrowest_for_its_size_at_its_tuning_point():
    widths = [confidence_sequence(500, 0.5, 0.02, t_star=t).width for t in (100, 250, 500, 1000, 4000)]
    assert min(widths) == widths[2]


def test_looks_are_fixed_and_end_at_the_maximum():
    assert look_counts(100) == (100,)
    assert look_counts(300) == (100, 125, 156, 195, 244, 300)
    counts = np.array(look_counts(10_000))
    assert counts[-1] == 10_000
    assert (np.diff(counts) > 0).all()
    assert np.allclose(counts[1:-1] / counts[:-2], 1.25, atol=0.01)
    assert set(look_counts(5000)[:-1]) <= set(look_counts(10_000))


def test_equal_chips_do_not_stop_at_the_first_look():
    low, high = confidence_sequence(100, 0.9, 0.0)
    assert low < 0.9 < high
    assert high - low == pytest.approx(sequence_width(100, 0.0))
    # The spread of equal values is seldom exactly zero in floating point.
    assert sequence_width(100, float(np.std([0.1 + 0.2, 0.3] * 50))) == sequence_width(100, 0.0)


def test_equal_chips_with_rare_dead_ones_are_covered():
    """Some chips are dead: while all chips seen are equal no look may exclude the mean too often."""
    for dead in (0.001, 0.003, 0.01, 0.03):
        truth = 0.9 * (1 - dead)
        looks = look_counts(5000)
        missing = [count for count in looks if not truth >= confidence_sequence(count, 0.9, 0.0).low]
        if missing:
            assert (1 - dead) ** missing[0] <= 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: look_counts(99), "99"),
        (lambda: confidence_sequence(99, 0.5, 0.1), "99 chips"),
        (lambda: confidence_sequence(100, 0.5, 0.1, alpha=5), "alpha holds 5"),
        (lambda: proportion_sequence(5, 4), "5 successes"),
        (lambda: proportion_sequence(1.5, 3), "1.5 successes in 3 trials; both must be whole"),
        (
            lambda: proportion_sequence([1, 2], [3, 4]),
            r"hold \[1, 2\] successes in \[3, 4\] trials; both must be whole",
        ),
        (lambda: proportion_sequence("1", 3), "hold .1. successes in 3 trials; both must be whole"),
    ],
)
def test_impossible_input_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()
