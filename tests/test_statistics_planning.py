"""Plans of chips and inputs: brute force, the closed form, and what is out of reach."""

import math

import numpy as np
import pytest
from crossed_probit import CrossedProbit
from scipy import stats

from reliability.errors import UserError
from reliability.statistics import crossed_mean, sums_of_outcomes
from reliability.statistics.components import variance_components
from reliability.statistics.planning import (
    FEWEST_CHIPS,
    MOST_CHIPS,
    Cost,
    Split,
    cheapest,
    chips_half_width,
    enough_chips,
    fewest_chips,
    half_width,
    inputs_needed,
)

SPLIT = Split(0.0020948, 0.0231101, 0.0569453)
COST = Cost(0.002, 3e-5)


@pytest.mark.parametrize("wanted", [0.05, 0.03, 0.02])
@pytest.mark.parametrize("cost", [COST, Cost(0.0, 1e-4), Cost(0.1, 1e-6)])
def test_cheapest_is_that_of_all_pairs(wanted, cost):
    chips, inputs = np.meshgrid(np.arange(FEWEST_CHIPS, 600), np.arange(2, 1200), indexing="ij")
    enough = half_width(SPLIT, chips, inputs) <= wanted
    seconds = np.where(enough, cost.seconds(chips, inputs), math.inf)
    plan = cheapest(SPLIT, cost, wanted, 1199)
    assert plan.seconds == seconds.min()
    assert half_width(SPLIT, plan.chips, plan.inputs) == plan.half_width <= wanted
    assert plan.chips == FEWEST_CHIPS or half_width(SPLIT, plan.chips - 1, plan.inputs) > wanted


@pytest.mark.parametrize("wanted", [0.01, 0.005, 0.002])
@pytest.mark.parametrize("cost", [COST, Cost(0.0005, 1e-4)])
def test_many_chips_follow_the_closed_form(wanted, cost):
    """N = B + sqrt(B^2 + ...) with the normal quantile; its cost is flat about the optimum."""
    a, b, both = SPLIT.chip, SPLIT.inputs, SPLIT.chip_inputs
    variance = (wanted / stats.norm.ppf(0.975)) ** 2
    floor = b / variance
    more = ((a * cost.chip_s + both * cost.input_s) * floor + both * cost.chip_s) / (a * cost.input_s)
    inputs = floor + math.sqrt(floor**2 + more)
    chips = (a * inputs + both) / (variance * inputs - b)
    plan = cheapest(SPLIT, cost, wanted, 100_000)
    assert plan.inputs == pytest.approx(inputs, rel=0.03)
    assert plan.chips == pytest.approx(chips, rel=0.03)
    assert plan.seconds == pytest.approx(float(cost.seconds(chips, inputs)), rel=0.03)


def test_half_width_is_what_studies_show():
    design = CrossedProbit(chips=40, inputs=200)
    rng = np.random.default_rng(1)
    expected = half_width(Split(*design.components()), 40, 200)
    found = []
    for _ in range(400):
        (outcomes,), _ = design.draw(rng)
        crossed = crossed_mean(sums_of_outcomes(outcomes))
        found.append(stats.t.ppf(0.975, crossed.df) * crossed.se_population)
    assert np.mean(found) == pytest.approx(float(expected), rel=0.03)


def test_chips_on_these_inputs():
    chips = int(fewest_chips(SPLIT, 500, 0.01, fixed=True)[0])
    assert chips_half_width(SPLIT, chips, 500) <= 0.01 < chips_half_width(SPLIT, chips - 1, 500)
    sd = math.sqrt(SPLIT.chip + SPLIT.chip_inputs / 500)
    assert chips_half_width(SPLIT, 30, 500) == pytest.approx(stats.t.ppf(0.975, 29) * sd / math.sqrt(30))


def test_a_small_test_set_is_out_of_reach():
    needed = inputs_needed(SPLIT, 0.01)
    sd = math.sqrt(SPLIT.inputs)
    for inputs, enough in ((needed, True), (needed - 1, False)):
        reached = stats.t.ppf(0.975, inputs - 1) * sd / math.sqrt(inputs) <= 0.01
        assert reached == enough
    assert cheapest(SPLIT, COST, 0.01, needed - 1) is None
    assert fewest_chips(SPLIT, needed - 1, 0.01)[0] == MOST_CHIPS
    assert cheapest(SPLIT, COST, 0.01, needed + 5) is not None
    assert cheapest(SPLIT, COST, 0.01, 1) is None


def test_beyond_enough_chips_little_is_gained():
    chips = enough_chips(SPLIT, 450)
    assert chips == pytest.approx((SPLIT.chip * 450 + SPLIT.chip_inputs) / (0.1 * SPLIT.inputs))
    at, endless = (half_width(SPLIT, n, 450) for n in (round(chips), 10**8))
    assert 1.0 < at / endless < 1.05
    assert enough_chips(Split(0.1, 0.0, 0.1), 450) == math.inf


def test_without_variance_anything_is_enough():
    nothing = Split(0.0, 0.0, 0.0)
    assert half_width(nothing, 10, 10) == 0.0
    assert cheapest(nothing, COST, 0.001, 50).inputs == 2
    assert inputs_needed(nothing, 0.001) == 2


def test_split_of_components():
    (outcomes,), _ = CrossedProbit(chips=50, inputs=100).draw(np.random.default_rng(2))
    parts = variance_components([outcomes])
    assert Split.of(parts).chip == parts[0].value
    assert Split.of(parts, "high").chip_inputs == parts[2].interval.high


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Split(-0.1, 0.0, 0.0), "none may be negative"),
        (lambda: Cost(0.1, 0.0), "must be above 0"),
        (lambda: fewest_chips(SPLIT, 100, 0.0), "half width holds 0"),
        (lambda: half_width(SPLIT, 10, 10, level=95), "level"),
        (lambda: half_width(SPLIT, 1, 10), "asked of 1 chips; at least 2"),
        (lambda: half_width(SPLIT, 10, np.array([5, 0])), "asked of 0 inputs; at least 2"),
        (lambda: fewest_chips(SPLIT, 1, 0.01), "asked of 1 inputs; at least 2"),
        (lambda: chips_half_width(SPLIT, 1, 10), "asked of 1 chips; at least 2"),
        (lambda: chips_half_width(SPLIT, 10, 0), "asked of 0 inputs; at least 1"),
        (lambda: inputs_needed(SPLIT, 0.0), "half width holds 0"),
        (lambda: inputs_needed(SPLIT, math.nan), "half width holds nan"),
        (lambda: inputs_needed(SPLIT, 0.01, level=95), "level"),
    ],
)
def test_impossible_input_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()
