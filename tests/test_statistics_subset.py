"""Rare events whose probability is known: subset simulation, and importance sampling beside it."""

import numpy as np
import pytest
from scipy import stats

from reliability import RunError, UserError
from reliability.statistics.importance import (
    Proposal,
    adapted_proposal,
    importance_sampling,
    mean_shift,
)
from reliability.statistics.subset import StandardNormals, subset_simulation

BETA = 4.7534


def along(z: np.ndarray, first: int = 0, last: int | None = None) -> np.ndarray:
    """A standard normal: the sum of some of the dimensions."""
    part = z[:, first:last].astype(np.float64)
    return part.sum(axis=1) / np.sqrt(part.shape[1])


def both(z: np.ndarray) -> np.ndarray:
    half = z.shape[1] // 2
    return np.minimum(along(z, 0, half), along(z, half))


PROBLEMS = {
    "half-space 2e-4": (along, 3.5, stats.norm.sf(3.5)),
    "half-space 1e-6": (along, BETA, stats.norm.sf(BETA)),
    "two-sided": (lambda z: along(z) ** 2, stats.norm.isf(5e-7) ** 2, 1e-6),
    "intersection": (both, stats.norm.isf(1e-3), 1e-6),
    "half-space 0.999": (along, stats.norm.isf(0.999), 0.999),
}


def repeats(name, dimension, samples, count):
    level, threshold, truth = PROBLEMS[name]
    runs = [
        subset_simulation(level, StandardNormals(dimension, (3, r)), threshold, samples=samples)
        for r in range(count)
    ]
    found = [run.probability(threshold) for run in runs]
    covered = np.mean([e.low <= truth <= e.high for e in found])
    return np.array([e.value for e in found]) / truth, covered, found, runs


@pytest.mark.parametrize("name", PROBLEMS)
def test_intervals_cover_the_known_probability(name):
    ratio, covered, found, _ = repeats(name, 20, 1000, 60)
    assert abs(ratio.mean() - 1) < 3 * ratio.std(ddof=1) / np.sqrt(len(ratio))
    # 95 % of 60 less three standard errors.
    assert covered >= 0.86
    # The stated error is the one that the repeats have.
    stated = np.sqrt(np.mean([e.relative_error**2 for e in found]))
    assert 0.75 < stated / np.log(ratio).std(ddof=1) < 1.35


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_coverage_in_a_thousand_dimensions(name):
    ratio, covered, _, _ = repeats(name, 1000, 1000, 300)
    assert covered >= 0.9
    assert abs(ratio.mean() - 1) < 3 * ratio.std(ddof=1) / np.sqrt(len(ratio))


def test_without_family_correlation_the_interval_would_be_too_short():
    """The variance of independent stages, which textbooks give, is a fraction of the true one."""
    ratio, _, _, runs = repeats("half-space 1e-6", 20, 1000, 60)
    independent = np.mean([(len(run.stages) - 1) * 9 / 1000 for run in runs])
    assert np.log(ratio).var(ddof=1) > 2 * independent


def test_one_run_answers_for_all_levels_passed():
    run = subset_simulation(along, StandardNormals(30, 5), BETA, samples=4000)
    for threshold in (0.5, 2.0, 3.0, 4.0):
        found = run.probability(threshold)
        assert found.low <= stats.norm.sf(threshold) <= found.high
    # The first stage is plain Monte Carlo: its error is the binomial one.
    found = run.probability(0.5)
    assert found.relative_error == pytest.approx(np.sqrt((1 - found.value) / found.value / 4000), rel=1e-3)


def test_what_the_first_stage_decides_is_a_count():
    """Its intervals are the exact ones of SciPy, of no sample and of all of them too."""
    level, threshold, _ = PROBLEMS["half-space 0.999"]
    run = subset_simulation(level, StandardNormals(20, 1), threshold, samples=1000)
    for asked in (-9.0, threshold, 0.5, 9.0):
        found = run.probability(asked, 0.9)
        count = int(np.count_nonzero(run.stages[0].marks >= asked))
        exact = stats.binomtest(count, 1000).proportion_ci(0.9, method="exact")
        assert (found.value, found.low, found.high) == pytest.approx((count / 1000, exact.low, exact.high))
        assert found.high > found.low
    # Further stages change nothing of it, as long as all that they hold is in the event.
    longer = subset_simulation(level, StandardNormals(20, 1), 3.5, samples=1000)
    assert len(longer.stages) > 1
    assert longer.probability(threshold) == run.probability(threshold)


@pytest.mark.parametrize("truth", [0.999, 0.9999])
def test_nearly_certain_events_are_covered(truth):
    threshold = stats.norm.isf(truth)
    runs = [subset_simulation(along, StandardNormals(1, (4, r)), threshold, samples=1000) for r in range(200)]
    found = [run.probability(threshold) for run in runs]
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.95


def test_marks_that_levels_only_resemble():
    """Climbed by one number, asked about another: the event must be among the highest levels."""

    def level(z):
        mark = np.floor(2 * along(z))
        climbed = along(z) + 0.3 * z[:, 0]
        return np.stack([np.where(mark >= 8, 100.0, climbed), mark], axis=1)

    run = subset_simulation(level, StandardNormals(30, 2), 100.0, samples=4000)
    for mark in (2, 4, 6, 7, 8):
        found = run.probability(mark)
        assert found.low <= stats.norm.sf(mark / 2) <= found.high
    assert found.relative_error < 0.3


def test_budget_memory_and_batches():
    sizes = []

    def level(z):
        sizes.append(len(z))
        return along(z)

    told = []
    run = subset_simulation(
        level,
        StandardNormals(10, 1),
        3.5,
        samples=1000,
        batch=37,
        watch=lambda done, passed: told.append((done, passed)),
    )
    assert max(sizes) == 37 and sum(sizes) == run.evaluations == told[-1][0]
    # A thousand at first, then nine moves of a hundred chains a stage, less a few that stood at its level.
    stages = len(run.stages) - 1
    assert 1000 + 860 * stages <= run.evaluations <= 1000 + 900 * stages
    assert told[-1][1] == pytest.approx(0.1 ** (len(run.stages) - 1))


def test_an_event_that_cannot_be_reached_gets_an_upper_bound():
    run = subset_simulation(lambda z: np.minimum(along(z), 3.0 + 1e-6 * along(z)), StandardNormals(5), 9.0,
                            samples=1000, lowest=1e-6)  # fmt: skip
    found = run.probability(9.0)
    assert found.value == found.low == 0 and 1e-7 < found.high < 1e-4


def test_what_cannot_be_moved_is_refused():
    class Redrawn(StandardNormals):
        def move(self, samples, step):
            return self.draw(len(samples))

    with pytest.raises(RunError, match="cannot be moved in steps"):
        subset_simulation(along, Redrawn(3), BETA, samples=1000)


def test_mistakes():
    with pytest.raises(UserError, match="got 500 samples a stage; it needs at least 1000"):
        subset_simulation(along, StandardNormals(3), 3.0, samples=500)
    with pytest.raises(UserError, match="levels must hardly ever be equal"):
        subset_simulation(lambda z: np.zeros(len(z)), StandardNormals(3), 3.0, samples=1000)
    with pytest.raises(UserError, match="one number a sample"):
        subset_simulation(lambda z: z[:, :3], StandardNormals(3), 3.0, samples=1000)


def test_mean_shift_has_the_known_relative_variance():
    """Known answer: exp(b**2) sf(2 b) / sf(b)**2 - 1 = 5.387 at b = 4.7534."""
    exact = np.exp(BETA**2) * stats.norm.sf(2 * BETA) / stats.norm.sf(BETA) ** 2 - 1
    assert exact == pytest.approx(5.387, abs=5e-4)
    proposal = mean_shift(np.full(10, BETA / np.sqrt(10)))
    found = importance_sampling(along, BETA, proposal, samples=100_000, seed=2)
    assert found.relative_variance == pytest.approx(exact, rel=0.04)
    assert found.low <= stats.norm.sf(BETA) <= found.high and not found.refused
    # One sample's share is the smaller, the more effective samples there are.
    assert found.largest_share < 1e-3 and found.effective_samples == pytest.approx(1e5 / 6.387, rel=0.04)


@pytest.mark.parametrize("name", ["half-space 1e-6", "two-sided"])
def test_adapted_proposals_agree(name):
    level, threshold, truth = PROBLEMS[name]
    covered = 0
    for r in range(40):
        proposal = adapted_proposal(level, threshold, np.ones((1, 50)), seed=(1, r))
        found = importance_sampling(level, threshold, proposal, samples=2000, seed=(2, r))
        covered += found.low <= truth <= found.high
    assert covered >= 34


def test_a_proposal_that_misses_the_event_is_refused():
    """Shifted in a direction that is half wrong, or far too little."""
    wrong = np.where(np.arange(50) < 25, 1.0, 0.0)
    point = 3.4 * wrong / np.linalg.norm(wrong)
    assert importance_sampling(along, BETA, mean_shift(point), samples=2000).refused
    with pytest.raises(RunError, match="directions do not lead to it"):
        adapted_proposal(along, BETA, wrong)
    nothing = importance_sampling(along, 60.0, mean_shift(np.ones(5)), samples=100)
    assert nothing.refused and nothing.value == 0 and np.isnan(nothing.high)


def test_proposals_never_shrink():
    with pytest.raises(UserError, match=r"smallest variance is 0.5; it must be at least 1"):
        Proposal(np.eye(1, 4), np.ones(1), np.zeros((1, 1)), np.full((1, 1, 1), 0.5))
    with pytest.raises(UserError, match="orthonormal"):
        Proposal(np.ones((1, 4)), np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)))
    with pytest.raises(UserError, match="means of shape"):
        Proposal(np.eye(1, 4), np.ones(1), np.zeros((2, 1)), np.ones((1, 1, 1)))
    with pytest.raises(UserError, match="vector other than zero"):
        mean_shift(np.zeros(3))
