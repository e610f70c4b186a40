"""Stopping by the width of an interval: what a pilot foretells, and that rare chips are not forgotten."""

import numpy as np
import pytest

from reliability.errors import UserError
from reliability.statistics import betting_sequence, chips_needed, expected_widths, look_counts, mean_sequence

PATHS = 300


def near_point_nine(rng: np.random.Generator, size, dead: float) -> np.ndarray:
    """Chips that differ a little, of which some are dead."""
    healthy = 0.9 + 0.005 * rng.standard_normal(size)
    return np.where(rng.random(size) < dead, 0.0, healthy)


@pytest.mark.parametrize("dead", [0.003, 0.01, 0.03])
def test_rare_dead_chips_are_covered_at_all_looks(dead):
    """An asymptotic sequence misses the mean here in up to three quarters of the studies."""
    rng = np.random.default_rng(4)
    paths = near_point_nine(rng, (PATHS, 2000), dead)
    looks = look_counts(2000)
    # No interval reaches beyond the one before: the last holds the truth where all do.
    covered = 0
    for values in paths:
        low, high = betting_sequence(values, looks)[-1]
        covered += low <= 0.9 * (1 - dead) <= high
    assert covered >= 0.95 * PATHS - 3 * np.sqrt(0.05 * 0.95 * PATHS)


def test_the_interval_is_that_of_the_last_look():
    values = near_point_nine(np.random.default_rng(5), 700, 0.02)
    assert mean_sequence(values) == betting_sequence(values, look_counts(700))[-1]
    low, high = mean_sequence(values - 0.9, bounds=(-0.9, 0.1))
    assert (low + 0.9, high + 0.9) == pytest.approx(mean_sequence(values), abs=1e-8)


def test_a_pilot_foretells_the_widths():
    rng = np.random.default_rng(6)
    told = expected_widths(near_point_nine(rng, 32, 0.0), 5000)
    assert tuple(told) == look_counts(5000)
    found = {n: mean_sequence(near_point_nine(rng, n, 0.0)).width for n in (305, 931, 2842)}
    assert found == pytest.approx({n: told[n] for n in found}, rel=0.1)


def test_chips_needed_is_the_first_look_that_is_narrow_enough():
    pilot = near_point_nine(np.random.default_rng(7), 32, 0.0)
    told = expected_widths(pilot, 5000)
    needed = chips_needed(pilot, 0.01, 5000)
    assert told[needed] < 0.01 and min(told[n] for n in told if n < needed) >= 0.01
    assert chips_needed(pilot, 0.0001, 5000) is None
    for width in (0.0, float("nan")):
        with pytest.raises(UserError, match=f"width holds {width}"):
            chips_needed(pilot, width, 5000)


def test_values_without_bounds_have_an_asymptotic_sequence():
    values = np.random.default_rng(8).normal(3.0, 2.0, 400)
    found = mean_sequence(values, bounds=(-np.inf, np.inf))
    assert found.low < 3.0 < found.high and 0.2 < found.width < 1.2
