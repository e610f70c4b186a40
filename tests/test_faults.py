"""Faults: how many cells break, which ones, and that every chip's faults grow with their rates."""

from __future__ import annotations

import numpy as np
import pytest
from effects_chip import G_US, IDEAL, cells, layer_of
from scipy import stats

import reliability as rl
from reliability.errors import UserError

CELLS = 1_000_000


def faulty(**rates) -> np.ndarray:
    """Cells of half the largest conductance, 0 for those at high and G_US for those at low resistance.

    The empty device of each pair breaks too; only cells whose empty partner works are returned as they are.
    """
    tile = rl.Tile(rows=rates.pop("rows", 100), columns=rates.pop("columns", 50))
    chip = rl.Chip(device=IDEAL, faults=rl.Faults(**rates), tile=tile)
    return cells(chip, value=0.5)


def share_test(found: int, total: int, share: float) -> None:
    """Within four standard errors of a binomial count."""
    assert abs(found - total * share) < 4 * np.sqrt(total * share * (1 - share)), found / total


def test_single_cells_break_with_their_probabilities():
    g = faulty(stuck_low=0.0175, stuck_high=0.0904)
    # A broken empty device at high resistance shows nothing, at low resistance it takes G_US off.
    works = 1 - 0.0175
    share_test(int(np.isclose(g, G_US).sum()), CELLS, 0.0175 * works)
    share_test(int(np.isclose(g, 0).sum()), CELLS, 0.0904 * works + 0.0175**2)
    share_test(int(np.isclose(g, -G_US / 2).sum()), CELLS, (works - 0.0904) * 0.0175)


def test_the_preset_and_its_swap():
    assert rl.stuck_cells() == rl.Faults(stuck_low=0.0175, stuck_high=0.0904)
    assert rl.stuck_cells(swapped=True) == rl.Faults(stuck_low=0.0904, stuck_high=0.0175)


@pytest.mark.parametrize(
    "rate", ["stuck_low", "stuck_high", "cluster_share", "open_rows", "open_columns", "cycles"]
)
def test_what_is_broken_at_one_rate_is_broken_at_every_higher_one(rate):
    values = (1e7, 3e7) if rate == "cycles" else (0.02, 0.05)
    low, high = (faulty(**{rate: value}) != G_US / 2 for value in values)
    assert low.any() and not (low & ~high).any() and high.sum() > 1.5 * low.sum()


def test_wear_follows_the_weibull_law():
    faults = rl.Faults(cycles=5e7, endurance_cycles=1e8, endurance_shape=1.5)
    share = stats.weibull_min(1.5, scale=1e8).cdf(5e7)
    assert faults.worn_share == pytest.approx(share, rel=1e-12)
    g = faulty(cycles=5e7, endurance_cycles=1e8, endurance_shape=1.5, worn_low=0.25)
    share_test(int(np.isclose(g, G_US).sum()), CELLS, share * 0.25 * (1 - 0.25 * share))


def test_clusters_break_their_share_in_discs():
    rate, radius = 0.03, 3.0
    g = faulty(cluster_share=rate, cluster_radius=radius, rows=1000, columns=1000)
    broken = g == 0
    inside = broken[4:-4, 4:-4]
    # Discs overlap and reach 29 cells, so counts are dispersed: allow for that in the standard error.
    assert abs(inside.mean() - rate) < 4 * np.sqrt(rate * 29 / inside.size)
    # Neighbours break together far more often than alone; beyond the discs they know nothing of each other.
    near = (inside[1:] & inside[:-1]).mean()
    far = (inside[8:] & inside[:-8]).mean()
    assert near > 0.6 * rate
    assert far == pytest.approx(rate**2, rel=0.25)


def test_clusters_end_at_their_tile():
    """A disc of radius 3 within tiles of 2 x 2 cells breaks the whole tile and nothing else."""
    g = faulty(cluster_share=0.02, cluster_radius=3.0, rows=2, columns=2)
    broken = (g == 0).reshape(500, 2, 500, 2).sum(axis=(1, 3))
    assert set(np.unique(broken)) == {0, 4}


def test_open_word_lines_are_open_in_their_tile_only():
    g = faulty(open_rows=0.1)
    lines = (g.reshape(20, 50, 10, 100) == 0).all(axis=1)  # tile across, tile down, row
    assert ((g == 0).reshape(20, 50, 10, 100).any(axis=1) == lines).all()
    share_test(int(lines.sum()), lines.size, 0.1)
    assert not (lines[0] == lines[1]).all()


def test_open_bit_lines_are_open_in_their_tile_only():
    g = faulty(open_columns=0.1)
    lines = (g.reshape(1000, 10, 100) == 0).all(axis=2)
    share_test(int(lines.sum()), lines.size, 0.1)
    assert not (lines[:, 0] == lines[:, 1]).all()


def test_an_open_reference_line_shows_in_all_columns_of_its_tile():
    mapping = rl.Mapping(scheme="offset", weight_max=1.0)
    chip = rl.Chip(
        device=IDEAL, mapping=mapping, tile=rl.Tile(rows=40, columns=10), faults=rl.Faults(open_columns=0.2)
    )
    w = rl.chip_weights(layer_of(200, 80, 0.0), chip)["fc"].reshape(20, 10, 2, 40)
    # A weight of zero is the middle: an open own line gives -1, an open reference +1, both 0.
    reference = (w == 1).any(axis=(1, 3))
    assert 0 < reference.sum() < reference.size
    for across, down in zip(*np.nonzero(reference), strict=True):
        assert set(np.unique(w[across, :, down])) <= {0.0, 1.0}


def test_stuck_cells_conduct_what_is_asked():
    chip = rl.Chip(device=IDEAL, faults=rl.Faults(stuck_low=0.5, stuck_high=0.5, low_us=7.0, high_us=2.0))
    g = cells(chip, 100, 100)
    assert np.allclose(np.unique(g.round(5)), [-5, 0, 5])
    device = rl.devices.ideal(g_max_us=10.0, g_min_us=1.0)
    g = cells(rl.Chip(device=device, faults=rl.Faults(stuck_high=1.0)), 100, 100)
    assert np.allclose(g, 0, atol=1e-6)


def test_chips_differ_and_times_do_not():
    chip = rl.Chip(device=IDEAL, faults=rl.Faults(stuck_high=0.3))
    one = cells(chip, 50, 50)
    assert (one == cells(chip, 50, 50, time_s=1e6)).all()
    assert not (one == cells(chip, 50, 50, number=1)).all()
    assert not (one == cells(chip, 50, 50, seed=1)).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stuck_low", 1.5),
        ("stuck_high", -0.1),
        ("cluster_share", 1.0),
        ("cluster_radius", 1e3),
        ("cluster_state", "open"),
        ("low_us", "large"),
        ("cycles", -1.0),
        ("endurance_shape", 0.0),
    ],
)
def test_wrong_fields_are_named(field, value):
    with pytest.raises(UserError, match=f"faults.{field}"):
        rl.Faults(**{field: value})


def test_probabilities_that_exceed_one_together():
    with pytest.raises(UserError, match="at most 1"):
        rl.Faults(stuck_low=0.6, stuck_high=0.6)
