"""Chips crossed with inputs: known answers 5 and 19, coverage (C1, C2), differences, degenerate data."""

import dataclasses
import math

import numpy as np
import pytest
from crossed_probit import DESIGNS, CrossedProbit
from scipy import optimize, stats

from reliability.errors import UserError
from reliability.statistics import (
    DIFFERENCE,
    Outcomes,
    chips_interval,
    crossed_mean,
    input_floor,
    population_interval,
    population_method,
    sums_of_difference,
    sums_of_drop,
    sums_of_outcomes,
    sums_of_values,
)

# Row sums 5, 4, 3, 3 and column sums 4, 4, 3, 3, 1 fix all mean squares of known answer 19.
TABLE_19 = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]])


def of_array(correct: np.ndarray):
    return crossed_mean(sums_of_outcomes(Outcomes.from_array(correct)))


def two_way(values: np.ndarray) -> tuple[float, float, float]:
    """Mean squares straight from their definition."""
    chips, inputs = values.shape
    mean, row, column = values.mean(), values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = ((values - row - column + mean) ** 2).sum() / ((chips - 1) * (inputs - 1))
    return inputs * row.var(ddof=1), chips * column.var(ddof=1), rest


def third_moment(values: np.ndarray) -> float:
    """Third central moment of a mean: of the values without bias (SciPy's k-statistic), over n squared."""
    return stats.kstat(values, 3) / values.size**2


def hall(mean: float, se: float, third: float, t: float) -> tuple[float, float]:
    """Where Hall's transformed statistic is t and -t, by bisection."""
    g = third / se**3

    def solve(quantile: float) -> float:
        return optimize.brentq(lambda x: x + g * x**2 / 3 + g**2 * x**3 / 27 + g / 6 - quantile, -1e4, 1e4)

    return mean - se * solve(t), mean - se * solve(-t)


def test_known_answer_19():
    crossed = of_array(TABLE_19)
    assert crossed.mean == 0.75
    assert (crossed.msa, crossed.msb, crossed.mse) == pytest.approx((0.1833333, 0.375, 0.1416667), abs=5e-8)
    assert crossed.se_population == pytest.approx(0.1443376, abs=5e-8)
    assert crossed.se_fixed == pytest.approx(0.0957427, abs=5e-8)
    assert crossed.df == pytest.approx(3.614458, abs=5e-7)
    rows, columns = TABLE_19.mean(axis=1), TABLE_19.mean(axis=0)
    third = third_moment(rows)
    both = third + third_moment(columns)
    low, high = hall(0.75, 0.1443376, both, stats.t.ppf(0.975, 3.614458))
    assert population_interval(crossed) == pytest.approx((max(0, low), min(1, high)), abs=1e-6)
    low, high = hall(0.75, 0.0957427, third, stats.t.ppf(0.975, 3))
    assert chips_interval(rows) == pytest.approx((low, min(1, high)), abs=1e-6)


def test_known_answer_5():
    design = CrossedProbit(chips=200, inputs=100)
    assert design.accuracy() == pytest.approx(0.9096947, abs=5e-8)
    chip, inputs, interaction = design.components()
    assert (chip, inputs, interaction) == pytest.approx((0.0020948, 0.0231101, 0.0569453), abs=5e-8)
    truth = math.sqrt(chip / 200 + inputs / 100 + interaction / 20_000)
    assert truth == pytest.approx(0.0156340, abs=5e-8)
    # What intervals of nominal 95 % that forget the inputs, or chips and inputs, cover.
    chips_only = math.sqrt(chip / 200 + interaction / 20_000)
    pooled = math.sqrt(design.accuracy() * (1 - design.accuracy()) / 20_000)
    assert (chips_only, pooled) == pytest.approx((0.0036498, 0.0020267), abs=5e-8)
    z = stats.norm.ppf(0.975)
    covered = [2 * stats.norm.cdf(z * se / truth) - 1 for se in (chips_only, pooled)]
    assert covered == pytest.approx([0.3527, 0.2006], abs=5e-5)


def test_components_are_unbiased():
    design = CrossedProbit(chips=30, inputs=60)
    rng = np.random.default_rng(2)
    found = np.array(
        [
            # The raw estimates: those of the class count negative ones as zero.
            ((c.msa - c.mse) / 60, (c.msb - c.mse) / 30, c.mse)
            for c in (crossed_mean(sums_of_outcomes(design.draw(rng)[0][0])) for _ in range(2000))
        ]
    )
    error = found.std(axis=0, ddof=1) / math.sqrt(2000)
    assert (np.abs(found.mean(axis=0) - design.components()) < 4 * error).all()


@pytest.mark.parametrize("shape", [(2, 2), (3, 8), (254, 13), (255, 9), (256, 17), (600, 33)])
def test_blocks_of_chips_do_not_matter(shape):
    rng = np.random.default_rng(shape[0])
    first, second = rng.random(shape) < 0.8, rng.random(shape) < rng.random(shape[1])
    reference = rng.random((1, shape[1])) < 0.9
    one, two, ideal = (Outcomes.from_array(array) for array in (first, second, reference))
    pairs = (
        (sums_of_outcomes(one), first.astype(float)),
        (sums_of_difference(one, two), first.astype(float) - second),
        (sums_of_drop(two, ideal), reference.astype(float) - second),
    )
    for sums, values in pairs:
        crossed = crossed_mean(sums)
        assert crossed.mean == pytest.approx(values.mean(), abs=1e-14)
        assert (crossed.msa, crossed.msb, crossed.mse) == pytest.approx(two_way(values), rel=1e-9, abs=1e-12)
        real = crossed_mean(sums_of_values(values))
        assert dataclasses.astuple(real)[:6] == pytest.approx(
            dataclasses.astuple(crossed)[:6], rel=1e-9, abs=1e-12
        )


def test_counts_do_not_overflow_where_all_chips_are_right():
    outcomes = Outcomes.from_array(np.ones((1000, 3), dtype=bool))
    assert outcomes.chips_by_input.tolist() == [1000] * 3
    assert outcomes.correct_by_chip.tolist() == [3] * 1000


def test_real_values_far_from_zero_lose_no_digits():
    values = np.random.default_rng(3).standard_normal((40, 50))
    near, far = crossed_mean(sums_of_values(values)), crossed_mean(sums_of_values(values + 1e8))
    assert (far.msa, far.msb, far.mse) == pytest.approx((near.msa, near.msb, near.mse), rel=1e-6)
    expected = hall(near.mean, near.se_population, near.third_chips, stats.t.ppf(0.975, near.df))
    assert population_interval(near) == pytest.approx(expected, rel=1e-9)


@pytest.fixture(scope="module", params=range(4), ids=lambda k: f"{DESIGNS[k].chips}x{DESIGNS[k].inputs}")
def coverages(request):
    """C1 and C2: coverage of the population and of these inputs in 2000 studies of one design."""
    design = DESIGNS[request.param]
    rng = np.random.default_rng(1000 + request.param)
    truth = design.accuracy()
    hits = np.zeros(3)
    for _ in range(2000):
        (outcomes,), margins = design.draw(rng)
        here = design.accuracy_on(margins)
        both = population_interval(crossed_mean(sums_of_outcomes(outcomes)))
        chips = chips_interval(outcomes.correct_by_chip / design.inputs)
        hits += (
            both.low <= truth <= both.high,
            chips.low <= here <= chips.high,
            chips.low <= truth <= chips.high,
        )
    return design, hits / 2000


def test_population_interval_covers_the_population(coverages):
    assert 0.935 <= coverages[1][0] <= 0.965


def test_chips_interval_covers_these_inputs(coverages):
    assert 0.925 <= coverages[1][1] <= 0.965


def test_chips_interval_does_not_cover_the_population(coverages):
    """Guards against answering the wrong question: known answer 5 says 0.3527 for 200 chips on 100 inputs."""
    design, (_, _, covered) = coverages
    if design is DESIGNS[0]:
        assert covered == pytest.approx(0.3527, abs=3.5 * math.sqrt(0.3527 * 0.6473 / 2000))
    assert covered < 0.90


def paired_coverage(design: CrossedProbit, scales: tuple[float, float], repeats: int) -> tuple[float, float]:
    """Coverage of accuracy(scales[1]) - accuracy(scales[0]) by the population and by the chips interval."""
    rng = np.random.default_rng(77)
    truth = design.accuracy(scales[1]) - design.accuracy(scales[0])
    hits = np.zeros(2)
    for _ in range(repeats):
        (before, after), margins = design.draw(rng, scales)
        sums = sums_of_difference(after, before)
        both = population_interval(crossed_mean(sums))
        chips = chips_interval(sums.rows / design.inputs, bounds=DIFFERENCE)
        here = design.accuracy_on(margins, scales[1]) - design.accuracy_on(margins, scales[0])
        hits += both.low <= truth <= both.high, chips.low <= here <= chips.high
    return tuple(hits / repeats)


def test_paired_difference_covers():
    both, chips = paired_coverage(CrossedProbit(chips=100, inputs=300), (0.5, 1.0), 2000)
    assert 0.93 <= both <= 0.97
    assert 0.925 <= chips <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("scales", [(0.1, 0.2), (0.5, 0.6), (1.0, 2.0), (0.3, 1.5)])
@pytest.mark.parametrize(("chips", "inputs"), [(30, 450), (200, 450), (1000, 100)])
def test_paired_difference_covers_in_many_designs(chips, inputs, scales):
    both, _ = paired_coverage(CrossedProbit(chips, inputs), scales, 1500)
    # Among 100 inputs the small scales leave so few disagreements that the interval is widened.
    assert 0.92 <= both <= (0.97 if scales[1] > 0.2 else 1.0)


def test_pairing_is_worth_it():
    design = CrossedProbit(chips=200, inputs=300)
    (before, after), _ = design.draw(np.random.default_rng(4), (1.0, 1.1))
    paired = crossed_mean(sums_of_difference(after, before)).se_population
    single = [crossed_mean(sums_of_outcomes(outcomes)).se_population for outcomes in (before, after)]
    assert paired < 0.2 * math.hypot(*single)


def drop_coverage(design: CrossedProbit, scale: float, repeats: int) -> tuple[float, float]:
    """Coverage of the drop from the digital network (scale 0) and of the mean, chips and inputs varying."""
    rng = np.random.default_rng(78)
    accuracy, clean = design.accuracy(scale), design.accuracy(0.0)
    hits = np.zeros(2)
    for _ in range(repeats):
        (ideal, chips), _ = design.draw(rng, (0.0, scale))
        drop = population_interval(crossed_mean(sums_of_drop(chips, ideal.of_chips(np.array([0])))))
        mean = population_interval(crossed_mean(sums_of_outcomes(chips)))
        hits += drop.low <= clean - accuracy <= drop.high, mean.low <= accuracy <= mean.high
    return tuple(hits / repeats)


def test_drop_covers():
    for covered in drop_coverage(CrossedProbit(chips=100, inputs=300), 0.7, 1000):
        assert 0.93 <= covered <= 0.972


@pytest.mark.parametrize(("margin", "scale"), [(3.5, 0.5), (4.5, 1.0), (5.0, 1.0)])
def test_nearly_perfect_chips_are_not_overconfident(margin, scale):
    """Most studies see fewer than one wrong input a chip; the t interval alone covers 72 to 88 % here."""
    for covered in drop_coverage(CrossedProbit(chips=100, inputs=100, margin=margin), scale, 1000):
        assert covered >= 0.935


@pytest.mark.slow
@pytest.mark.parametrize("margin", [2.2, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0])
@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0])
@pytest.mark.parametrize(("chips", "inputs"), [(30, 450), (500, 450), (100, 100)])
def test_near_certainty_in_many_designs(chips, inputs, margin, scale):
    for covered in drop_coverage(CrossedProbit(chips, inputs, margin), scale, 600):
        assert covered >= 0.90


def test_without_chip_variance_the_inputs_still_count():
    """Chips that never differ: the interval is that of a mean over inputs, with N - 1 degrees of freedom."""
    one = np.random.default_rng(5).random(80) < 0.7
    crossed = of_array(np.tile(one, (50, 1)))
    assert (crossed.s2_chip, crossed.mse) == (0.0, 0.0)
    assert crossed.se_population == pytest.approx(one.std(ddof=1) / math.sqrt(80), rel=1e-12)
    assert crossed.df == pytest.approx(79)
    assert population_interval(crossed).width == pytest.approx(input_floor(crossed), rel=1e-9)


def test_negative_components_count_as_zero():
    """Rows and columns all equal but not constant: MSA + MSB - MSE is negative, the variance must not be."""
    checkers = np.indices((10, 10)).sum(axis=0) % 2
    crossed = of_array(checkers)
    assert crossed.msa + crossed.msb - crossed.mse < 0
    assert (crossed.s2_chip, crossed.s2_input) == (0.0, 0.0)
    assert crossed.se_population == pytest.approx(math.sqrt(crossed.mse / 100))
    assert 0.0 < population_interval(crossed).low < 0.5 < population_interval(crossed).high < 1.0


@pytest.mark.parametrize(("chips", "inputs"), [(2, 2), (30, 450), (1000, 100)])
def test_all_correct_is_no_certainty(chips, inputs):
    correct = np.ones((chips, inputs), dtype=bool)
    crossed = of_array(correct)
    low, high = population_interval(crossed)
    assert high == 1.0
    # Exact: as if every chip had been tested on one input of its own, less the one that showed the value.
    assert low == pytest.approx(0.025 ** (1 / (min(chips, inputs) - 1)))
    assert population_method(crossed) == "all outcomes equal: exact binomial bound"
    low, high = population_interval(of_array(~correct))
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / (min(chips, inputs) - 1)))
    assert 0.0 < input_floor(crossed) < 1.0


def test_few_departures_widen_the_interval_and_many_inputs_do_not():
    """30 wrong outcomes of 100 chips on 100 inputs: on one input they say little, on 30 inputs enough."""
    one_input, many_inputs = np.ones((2, 100, 100), dtype=bool)
    one_input[:30, 0] = False
    many_inputs[np.arange(30), np.arange(30)] = False
    bound = stats.beta.ppf(0.975, 1.3, 99.7)
    few, enough = of_array(one_input), of_array(many_inputs)
    assert (few.carriers, enough.carriers) == pytest.approx((1.0, 30.0))
    assert population_interval(few).low == pytest.approx(1 - bound)
    assert "widened" in population_method(few)
    assert population_interval(enough).low > 0.99
    assert "widened" not in population_method(enough)
    ideal = Outcomes.from_array(np.ones((1, 100), dtype=bool))
    drop = crossed_mean(sums_of_drop(Outcomes.from_array(one_input), ideal))
    assert population_interval(drop).high == pytest.approx(bound)
    assert population_interval(drop).low == pytest.approx(-stats.beta.ppf(0.975, 1, 100))


def test_no_paired_difference_is_no_certainty():
    outcomes = Outcomes.from_array(np.random.default_rng(6).random((200, 90)) < 0.9)
    crossed = crossed_mean(sums_of_difference(outcomes, outcomes))
    low, high = population_interval(crossed)
    assert (low, high) == pytest.approx((-(1 - 0.025 ** (1 / 89)), 1 - 0.025 ** (1 / 89)))
    low, high = chips_interval(np.zeros(200), bounds=DIFFERENCE)
    assert (low, high) == pytest.approx((-(1 - 0.025 ** (1 / 199)), 1 - 0.025 ** (1 / 199)))


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1)])
def test_one_chip_or_one_input_says_nothing_of_the_population(shape):
    correct = np.zeros(shape, dtype=bool)
    correct.flat[0] = True
    crossed = of_array(correct)
    assert population_interval(crossed) == (0.0, 1.0)
    assert input_floor(crossed) == 1.0
    assert crossed.df == 0.0
    assert math.isinf(crossed.se_population)
    assert not any(
        math.isnan(x) for x in (crossed.s2_chip, crossed.s2_input, crossed.s2_interaction, crossed.se_fixed)
    )
    if shape[0] == 1:
        assert chips_interval(np.array([0.7])) == pytest.approx((0.0, 1.0), abs=1e-15)


def test_no_nan_and_no_zero_width_in_any_small_table():
    """Every right/wrong table of 3 chips on 3 inputs."""
    for code in range(512):
        correct = (code >> np.arange(9).reshape(3, 3) & 1).astype(bool)
        outcomes = Outcomes.from_array(correct)
        for sums in (
            sums_of_outcomes(outcomes),
            sums_of_drop(outcomes, Outcomes.from_array(np.ones((1, 3)))),
        ):
            crossed = crossed_mean(sums)
            interval = population_interval(crossed)
            assert sums.bounds[0] <= interval.low <= crossed.mean <= interval.high <= sums.bounds[1]
            assert interval.width > 0.1
            assert not math.isnan(input_floor(crossed))
            fixed = chips_interval(sums.rows / 3, bounds=sums.bounds)
            assert fixed.low <= crossed.mean + 1e-12
            assert fixed.high >= crossed.mean - 1e-12
            assert fixed.width > 0.1


def test_input_floor_is_what_many_chips_approach():
    design = CrossedProbit(chips=20_000, inputs=60)
    (outcomes,), _ = design.draw(np.random.default_rng(7))
    many = crossed_mean(sums_of_outcomes(outcomes))
    few = crossed_mean(sums_of_outcomes(outcomes.of_chips(np.arange(20))))
    assert population_interval(many).width == pytest.approx(input_floor(many), rel=0.01)
    assert population_interval(few).width > 1.01 * input_floor(few)
    assert chips_interval(outcomes.correct_by_chip / 60).width < 0.05 * input_floor(many)


def test_chips_interval_is_student_t_but_for_skewness():
    values = np.random.default_rng(9).random(17)
    expected = hall(values.mean(), stats.sem(values), third_moment(values), stats.t.ppf(0.95, 16))
    assert chips_interval(values, 0.9) == pytest.approx(expected)
    even = np.concatenate([values, 1.0 - values])
    expected = stats.t.interval(0.9, 33, even.mean(), stats.sem(even))
    assert chips_interval(even, 0.9) == pytest.approx(expected)


def test_impossible_input_is_refused():
    outcomes = Outcomes.from_array(TABLE_19)
    other = Outcomes.from_array(TABLE_19[:, :4])
    with pytest.raises(UserError, match="4 chips on 5 inputs against 4 chips on 4"):
        sums_of_difference(outcomes, other)
    with pytest.raises(UserError, match="4 rows of 5 inputs"):
        sums_of_drop(outcomes, outcomes)
    with pytest.raises(UserError, match="0 chips"):
        of_array(np.ones((0, 5)))
    with pytest.raises(UserError, match="0 chips"):
        chips_interval(np.array([]))
    for bad in (np.nan, np.inf):
        with pytest.raises(UserError, match="The chips hold 1 values that are NaN or infinite"):
            chips_interval(np.array([0.9, bad, 0.8]))
    with pytest.raises(UserError, match="level"):
        population_interval(of_array(TABLE_19), 95)
    with pytest.raises(UserError, match="20 inputs need 3 bytes"):
        Outcomes(np.zeros((2, 2), dtype=np.uint8), 20)
