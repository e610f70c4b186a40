"""Periodic refresh: the same law after every programming, other draws, and cells that wear."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_networks import chip_logits, mlp, noise

import reliability as rl
from reliability.effects import effect_names
from reliability.errors import UserError
from reliability.layers import Linear
from reliability.mitigation.refresh import Refresh
from reliability.moments import weight_moments
from reliability.network import Network, Node
from reliability.refresh import programming_at, worst_times
from reliability.units import DAY, YEAR

EVERY = 10 * DAY
CHIP = rl.Chip(refresh_s=EVERY, refresh_cycles=0.0)


def layer(columns: int = 100, rows: int = 100, value: float = 0.5) -> Network:
    weight = np.full((columns, rows), value, np.float32)
    return Network((Node("fc", Linear(weight)),), (rows,))


def held(chip: rl.Chip, time_s: float, net: Network | None = None, **options) -> np.ndarray:
    chip = replace(chip, mapping=rl.Mapping(weight_max=1.0))
    return rl.chip_weights(net or layer(), chip, time_s=time_s, **options)["fc"]


def table(chip: rl.Chip, times: list[float], **options):
    net = mlp(9, 8, 3)
    x, y = noise(50, 9, seed=3), np.arange(50) % 3
    vary = {"time_s": times, "compensation": ["none", "global"]}
    return rl.simulate(net, (x, y), chip, vary=vary, **{"chips": 5, "seed": 2, **options})


@given(st.floats(1e-3, 1e9), st.floats(0, 1e12))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_times_count_from_the_latest_refresh_exactly(every, time_s):
    chip, rest, count = programming_at(rl.Chip(refresh_s=every), time_s)
    assert 0 <= rest < every
    assert count == Fraction(time_s) // Fraction(every)
    assert rest == pytest.approx(float(Fraction(time_s) % Fraction(every)), rel=1e-12, abs=0)
    assert math.isinf(chip.refresh_s)


def test_before_the_first_refresh_nothing_changes():
    never, often = table(rl.Chip(), [0.0, DAY]), table(rl.Chip(refresh_s=2 * DAY), [0.0, DAY])
    assert never.equals(often)
    both = table(rl.Chip(refresh_s=2 * DAY), [0.0, DAY, 2 * DAY, 5 * DAY])
    early = both[both["time_s"] <= DAY].reset_index(drop=True)
    assert never.equals(early), "later times change no earlier one"
    assert sorted(both["chip"].unique()) == [0, 1, 2, 3, 4], "a chip keeps its number"


@pytest.mark.parametrize("since", [0.0, DAY])
def test_the_law_after_a_refresh_is_the_law_after_programming(since):
    first, later = (held(CHIP, at + since).ravel() for at in (0.0, 3 * EVERY))
    assert stats.ks_2samp(first, later).pvalue > 1e-3
    assert abs(first.mean() - later.mean()) < 5 * first.std() * np.sqrt(2 / first.size)
    # Other devices' draws: programming errors, exponents and 1/f noise do not come back.
    assert abs(np.corrcoef(first, later)[0, 1]) < 5 / np.sqrt(first.size)
    assert (held(CHIP, EVERY + since) != held(CHIP, 3 * EVERY + since)).mean() > 0.99


def test_between_refreshes_one_programming_drifts():
    """The devices of one programming keep their errors; its drift is that since the refresh."""
    early, late = held(CHIP, EVERY + 60).ravel(), held(CHIP, 2 * EVERY - 60).ravel()
    assert np.corrcoef(early, late)[0, 1] > 0.5
    never = held(rl.Chip(), EVERY - 60)
    assert late.mean() == pytest.approx(never.mean(), rel=0.01)
    assert late.mean() < 0.75 * early.mean()


def test_the_reference_is_read_anew():
    trials = table(CHIP, [EVERY, EVERY + DAY])
    rows = {key: own["checksum"].to_numpy() for key, own in trials.groupby(["time_s", "compensation"])}
    np.testing.assert_array_equal(rows[EVERY, "none"], rows[EVERY, "global"])
    assert (rows[EVERY + DAY, "none"] != rows[EVERY + DAY, "global"]).all()


def test_what_was_broken_or_varied_when_the_chip_was_made_stays():
    quiet = rl.devices.gaussian(sigma=0.0)
    chip = rl.Chip(quiet, faults=rl.Faults(stuck_low=0.05, stuck_high=0.1), refresh_s=EVERY)
    np.testing.assert_array_equal(held(chip, 0.0), held(chip, 7 * EVERY))
    chip = rl.Chip(quiet, variation=rl.Variation(cell=0.1, tile=0.1), refresh_s=EVERY)
    np.testing.assert_array_equal(held(chip, 0.0), held(chip, 7 * EVERY))


def test_cells_wear_with_every_refresh_and_stay_worn():
    """The share that has failed is the endurance law's, with the cycles before and those of the refreshes."""
    worn = rl.Faults(cycles=10, endurance_cycles=100, endurance_shape=2.0, worn_low=0.0)
    chip = rl.Chip(rl.devices.ideal(), faults=worn, refresh_s=EVERY, refresh_cycles=5.0)
    seen = []
    for count in (0, 4, 10):
        conducts = held(chip, count * EVERY + DAY) > 0
        wanted = -np.expm1(-(((10 + 5 * count) / 100) ** 2))
        assert abs(1 - conducts.mean() - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / conducts.size)
        seen.append(conducts)
    assert not (seen[2] & ~seen[1]).any() and not (seen[1] & ~seen[0]).any()


def test_wear_is_an_effect_that_can_be_taken_away():
    worn = rl.Faults(endurance_cycles=10)
    chip = rl.Chip(rl.devices.ideal(), faults=worn, refresh_s=EVERY)
    assert "wear" in effect_names(chip)
    assert "wear" not in effect_names(replace(chip, refresh_s=math.inf))
    assert (held(chip, 5 * EVERY) == 0).any()
    assert (held(replace(chip, effects="all but wear"), 5 * EVERY) == held(chip, 0.0)).all()


def test_layers_with_faults_of_their_own_wear_too():
    own = rl.LayerChip(faults=rl.Faults(endurance_cycles=10, worn_low=0.0))
    chip = rl.Chip(rl.devices.ideal(), layers={"fc": own}, refresh_s=EVERY)
    share = (held(chip, 10 * EVERY) == 0).mean()
    assert share == pytest.approx(1 - np.exp(-1), abs=0.03)


def test_threads_and_resumed_blocks_change_no_bit():
    times = [0.0, DAY, EVERY, EVERY + DAY, 3 * EVERY]
    whole = table(CHIP, times, chips=40, threads=1)
    assert table(CHIP, times, chips=40, threads=3).equals(whole)
    blocks: dict = {}

    class Store:
        def get(self, *at):
            return blocks.get(at)

        def put(self, *at_and_block):
            *at, block = at_and_block
            blocks[tuple(at)] = block

    kept = table(CHIP, times, chips=40, store=Store())
    for at in list(blocks)[::2]:
        del blocks[at]
    assert table(CHIP, times, chips=40, store=Store()).equals(kept)
    assert kept.equals(whole)


def test_the_analytic_network_counts_from_the_refresh_too():
    net = layer(10, 10)
    one = weight_moments(net, CHIP, time_s=4 * EVERY + DAY)["fc"]
    two = weight_moments(net, rl.Chip(), time_s=DAY)["fc"]
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.variance, two.variance)


def test_supplied_latents_are_those_of_one_programming():
    net, x = mlp(4, 3), noise(5, 4)
    chip = rl.Chip(rl.devices.gaussian(), refresh_s=EVERY)
    latents = rl.draw_latents(net, chip, chips=1)
    chip_logits(net, x, chip, 1, latents=latents)
    with pytest.raises(UserError, match="latents are supplied for one programming"):
        chip_logits(net, x, chip, 1, latents=latents, time_s=EVERY)


def test_what_is_fitted_to_inputs_is_fitted_anew():
    chip = replace(CHIP, compensation="matched", calibration_inputs=40)
    net, x = mlp(6, 5, 3), noise(20, 6)
    given = noise(40, 6, seed=8)
    first, later = (chip_logits(net, x, chip, 60, time_s=t, calibration=given) for t in (DAY, EVERY + DAY))
    errors = [found - net.forward(x) for found in (first, later)]
    assert np.sqrt((errors[1] ** 2).mean()) == pytest.approx(np.sqrt((errors[0] ** 2).mean()), rel=0.2)
    assert abs(np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]) < 0.2


# Which times of a grid to look at.


def test_worst_times_end_just_before_refreshes():
    grid = [DAY, YEAR, 2 * YEAR]
    found = worst_times(grid, YEAR)
    assert found == (DAY, math.nextafter(YEAR, 0), YEAR, math.nextafter(2 * YEAR, 0), 2 * YEAR)
    assert worst_times(grid, math.inf) == tuple(grid)
    assert worst_times(grid, 5 * YEAR) == tuple(grid)


@given(st.floats(0.01, 1e7), st.lists(st.floats(0, 1e9), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_worst_times_are_the_oldest_of_their_programming(every, grid):
    found = worst_times(grid, every)
    assert set(grid) <= set(found)
    for time_s in grid:
        count = programming_at(rl.Chip(refresh_s=every), time_s).refresh
        if count:
            ages = [programming_at(rl.Chip(refresh_s=every), t) for t in found]
            for programming in (0, count - 1):
                own = max(age.time_s for age in ages if age.refresh == programming)
                assert own > every - 2 * math.ulp(time_s)


def test_a_chip_just_before_a_refresh_is_worse_than_at_round_times():
    chip = replace(CHIP, compensation="none")
    at = [programming_at(chip, t).time_s for t in worst_times([2 * EVERY], EVERY)]
    assert at[2] == 0 and at[:2] == pytest.approx([EVERY, EVERY])


def test_the_cure():
    cure = Refresh(30 * DAY, cycles=8.0)
    chip = cure.apply(rl.Chip())
    assert (chip.refresh_s, chip.refresh_cycles) == (30 * DAY, 8.0)
    with pytest.raises(UserError, match="name no layers"):
        cure.apply(chip, ["fc1"])
    with pytest.raises(UserError, match=r"chip\.refresh_s"):
        rl.Chip(refresh_s=0.0)
