"""Variance components: against their definition, a naive jackknife, and degenerate tables."""

import math

import numpy as np
import pytest
from crossed_probit import CrossedProbit
from read_probit import ReadProbit
from scipy import stats

from reliability.errors import UserError
from reliability.statistics import Outcomes, crossed_mean, sums_of_outcomes
from reliability.statistics.components import (
    COMPONENTS,
    _beta_variance,
    _jackknife,
    _sums,
    variance_components,
)

TABLE_19 = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]])


def by_definition(values: np.ndarray) -> np.ndarray:
    """The five components of values of shape (reads, chips, inputs), from the effects themselves."""
    reads, chips, inputs = values.shape
    mean = values.mean()
    chip, input_, cell = values.mean(axis=(0, 2)), values.mean(axis=(0, 1)), values.mean(axis=0)
    evaluation = values.mean(axis=2)
    msa = inputs * reads * ((chip - mean) ** 2).sum() / (chips - 1)
    msb = chips * reads * ((input_ - mean) ** 2).sum() / (inputs - 1)
    both = cell - chip[:, None] - input_ + mean
    msab = reads * (both**2).sum() / ((chips - 1) * (inputs - 1))
    if reads == 1:
        return np.array([(msa - msab) / inputs, (msb - msab) / chips, msab, 0.0, 0.0])
    msr = inputs * ((evaluation - chip) ** 2).sum() / (chips * (reads - 1))
    rest = values - cell - evaluation[:, :, None] + chip[:, None]
    mse = (rest**2).sum() / (chips * (inputs - 1) * (reads - 1))
    return np.array(
        [
            (msa - msab - msr + mse) / (inputs * reads),
            (msb - msab) / (chips * reads),
            (msab - mse) / reads,
            (msr - mse) / inputs,
            mse,
        ]
    )


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("shape", [(1, 5, 7), (1, 130, 20), (2, 6, 9), (3, 70, 12)])
def test_components_and_their_jackknife_follow_the_definition(shape, reference):
    rng = np.random.default_rng(shape)
    values = rng.random(shape) < rng.random(shape[2])
    ideal = rng.random((1, shape[2])) < 0.9
    given = Outcomes.from_array(ideal) if reference else None
    full, without_chip, without_input = _sums([Outcomes.from_array(own) for own in values], given)
    numbers = ideal.astype(float) - values if reference else values.astype(float)
    assert full.components() == pytest.approx(by_definition(numbers), abs=1e-12)
    for axis, left_out in ((1, without_chip), (2, without_input)):
        naive = np.array(
            [by_definition(np.delete(numbers, k, axis=axis)) for k in range(numbers.shape[axis])]
        )
        assert pytest.approx(naive, abs=1e-12) == left_out.components().T
        count = numbers.shape[axis]
        expected = (count - 1) / count * ((naive - naive.mean(axis=0)) ** 2).sum(axis=0)
        assert _jackknife(left_out.components()) == pytest.approx(expected, abs=1e-14)


def test_one_read_agrees_with_the_crossed_mean():
    """Known answer 19: mean squares 0.1833333, 0.375 and 0.1416667 of 4 chips on 5 inputs."""
    found = variance_components([Outcomes.from_array(TABLE_19)])
    assert [part.name for part in found] == list(COMPONENTS[:3])
    expected = ((0.1833333 - 0.1416667) / 5, (0.375 - 0.1416667) / 4, 0.1416667)
    assert [part.value for part in found] == pytest.approx(expected, abs=5e-8)
    crossed = crossed_mean(sums_of_outcomes(Outcomes.from_array(TABLE_19)))
    parts = np.array([part.value for part in found]) / (4, 5, 20)
    assert parts.sum() == pytest.approx(crossed.se_population**2)
    assert [part.share for part in found] == pytest.approx(parts / parts.sum())


def test_components_of_reads_are_unbiased():
    design = ReadProbit(chips=12, inputs=25)
    rng = np.random.default_rng(3)
    found = np.array([_sums(design.draw(rng), None)[0].components() for _ in range(3000)])
    error = found.std(axis=0, ddof=1) / math.sqrt(3000)
    assert (np.abs(found.mean(axis=0) - design.components()) < 4 * error).all()


def test_reads_split_what_one_read_cannot():
    """With one read the components of reads are part of those of chips and of chips x inputs."""
    design = ReadProbit(chips=150, inputs=200)
    reads = design.draw(np.random.default_rng(4))
    one, two = variance_components(reads[:1]), variance_components(reads)
    truth = design.components()
    assert [part.name for part in two] == list(COMPONENTS)
    assert one[2].interval.low < truth[2] + truth[4] < one[2].interval.high
    assert one[2].interval.low > truth[2]
    for part, value in zip(two, truth, strict=True):
        assert part.interval.low < value < part.interval.high


def test_variance_of_a_sample_variance_of_beta_draws():
    mean, variance = 0.9, 0.02
    size = mean * (1 - mean) / variance - 1
    law = stats.beta(mean * size, (1 - mean) * size)
    fourth = (law.stats("k") + 3) * variance**2
    expected = fourth / 50 - variance**2 * 47 / (50 * 49)
    assert _beta_variance(mean, variance, 50) == pytest.approx(float(expected), rel=1e-9)
    assert _beta_variance(0.5, 0.0, 50) == 0.0


def test_shares_add_up_and_lie_within_their_intervals():
    design = CrossedProbit(chips=30, inputs=80)
    rng = np.random.default_rng(5)
    for _ in range(30):
        (outcomes,), _ = design.draw(rng)
        found = variance_components([outcomes])
        for part in found:
            assert 0.0 <= part.interval.low <= part.value <= part.interval.high <= 0.25
            assert 0.0 <= part.share_interval.low <= part.share <= part.share_interval.high <= 1.0
        if min(part.value for part in found) > 0.0:
            assert sum(part.share for part in found) == pytest.approx(1.0)


@pytest.mark.parametrize("right", [True, False])
def test_nothing_varied_is_no_certainty(right):
    found = variance_components([Outcomes.from_array(np.full((40, 60), right))])
    assert [part.value for part in found] == [0.0] * 3
    rare = [1 - 0.025 ** (1 / (n - 1)) for n in (40, 60, 40)]
    assert [part.interval.high for part in found] == pytest.approx(rare)


def test_chips_that_never_differ():
    one = np.random.default_rng(6).random(60) < 0.7
    chip, inputs, both = variance_components([Outcomes.from_array(np.tile(one, (40, 1)))])
    assert (chip.value, both.value) == (0.0, 0.0)
    assert chip.interval.high > 0.0 and both.interval.high > 0.0
    assert inputs.value == pytest.approx(one.var(ddof=1))
    assert inputs.share == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 9), (9, 2)])
def test_too_little_to_tell(shape):
    table = np.zeros(shape, dtype=bool)
    table.flat[::3] = True
    for part in variance_components([Outcomes.from_array(table)]):
        assert part.interval == (0.0, 0.25)
        assert part.share_interval == (0.0, 1.0)


def test_no_nan_in_any_small_table():
    """Every right/wrong table of 3 chips on 3 inputs, and its drop."""
    ideal = Outcomes.from_array(np.array([[True, True, False]]))
    for code in range(512):
        outcomes = Outcomes.from_array((code >> np.arange(9).reshape(3, 3) & 1).astype(bool))
        for reference in (None, ideal):
            for part in variance_components([outcomes], reference):
                numbers = (part.value, *part.interval, part.share, *part.share_interval)
                assert np.isfinite(numbers).all()
                assert part.interval.low <= part.value <= part.interval.high
                assert part.interval.width > 0.0


def test_levels_and_mistakes():
    outcomes = Outcomes.from_array(np.random.default_rng(7).random((20, 30)) < 0.8)
    wide, narrow = (variance_components([outcomes], level=level) for level in (0.99, 0.5))
    assert all(a.interval.width > b.interval.width for a, b in zip(wide, narrow, strict=True))
    with pytest.raises(UserError, match="level"):
        variance_components([outcomes], level=95)
    with pytest.raises(UserError, match="no outcomes"):
        variance_components([])
    with pytest.raises(UserError, match="same chips on the same inputs"):
        variance_components([outcomes, outcomes.of_chips(np.arange(5))])
