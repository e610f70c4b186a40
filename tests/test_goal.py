"""What a chip shall reach, and when."""

import numpy as np
import pytest

from reliability import YEAR, Chip, UserError, devices
from reliability.mitigation.goal import Goal, is_steady, time_grid
from reliability.units import DAY, HOUR, MONTH


def test_targets_and_drops_in_whole_inputs():
    reference = np.arange(450) < 437
    assert Goal(target=0.9).required(reference) == 405
    # A drop of two points of 450 inputs is nine of them.
    assert Goal(max_drop=0.02).required(reference) == 428
    assert Goal(max_drop=0.0201).required(reference) == 428


def test_a_goal_has_a_target_or_a_drop():
    with pytest.raises(UserError, match="has a target"):
        Goal()
    assert Goal(max_drop=0.02).on(np.arange(450) < 437).required(np.arange(225) < 219) == 214
    with pytest.raises(UserError, match="leaves nothing"):
        Goal(max_drop=0.5).required(np.arange(10) < 3)


@pytest.mark.parametrize(
    "fields",
    [{"target": 0.0}, {"target": 1.2}, {"target": 0.9, "at_least": 1.0}, {"target": 0.9, "confidence": 0.0},
     {"target": 0.9, "times": ()}, {"target": 0.9, "times": (1.0, 1.0)}, {"target": 0.9, "times": (-1.0,)}],
)  # fmt: skip
def test_wrong_goals_are_refused(fields):
    with pytest.raises(UserError):
        Goal(**fields)


def test_grids_have_at_least_four_times_and_end_at_the_horizon():
    assert time_grid(Chip(), YEAR) == (0.0, HOUR, DAY, MONTH, YEAR)
    for horizon in (10.0, DAY, MONTH, 3 * MONTH, 20 * YEAR):
        grid = time_grid(Chip(), horizon)
        assert len(grid) >= 4 and grid[0] == 0 and grid[-1] == horizon
        assert list(grid) == sorted(set(grid))
    assert time_grid(Chip(), 0.0) == (0.0,)
    with pytest.raises(UserError, match="horizon_s"):
        time_grid(Chip(), -1.0)


def test_only_chips_that_never_change_are_steady():
    assert is_steady(Chip(device=devices.gaussian(sigma=0.1)), ["fc1", "fc2"])
    assert not is_steady(Chip(device=devices.pcm()), ["fc1", "fc2"])
    assert not is_steady(Chip(device=devices.gaussian(sigma=0.1, read_sigma=0.01)), ["fc1", "fc2"])
