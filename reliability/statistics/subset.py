"""Probabilities of rare events by subset simulation, with an interval from the families of its samples.

A rare event is reached through nested ones: of many samples the share ``SHARE`` with the highest levels goes
on, each as a Markov chain that stays above the level passed, until enough samples lie in the event. Every
sample descends from one of the first, independent ones. The event's samples fall into families accordingly,
and the spread of the family sizes is the variance of the estimate, correlated chains included. Where the
first samples alone decide, they are counted, and the interval is the exact one of a count.

References
----------
Au and Beck, Probabilistic Engineering Mechanics 16:263 (2001), for the method; Cotter, Roberts, Stuart and
White, Statistical Science 28:424 (2013), for the moves; Lee and Whiteley, Biometrika 105:609 (2018), and Du
and Guyader, Annals of Applied Probability 31:1021 (2021), for variance from genealogies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from reliability.errors import RunError, UserError
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.interval import check_level

SHARE = 0.1
"""Share of the samples that goes on to the next stage."""
ACCEPTANCE = 0.35
"""Share of moves that the step is adapted to."""
FEWEST = 1000
"""Fewest samples of a stage: the estimate's bias falls as one over them."""

_LENGTH = round(1 / SHARE)
_STILL = 0.02
_MOST_STAGES = 40


class Sampler(Protocol):
    """Draws samples of a law and moves them within it; a sample is a row of an array of any type."""

    def draw(self, count: int) -> NDArray:
        """Independent samples, shape (count, ...)."""

    def move(self, samples: NDArray, step: float) -> NDArray:
        """A proposal for each sample, reversible under the law; ``step``, up to 1, is its size."""


class StandardNormals:
    """Sampler of independent standard normals, moved by the preconditioned Crank-Nicolson proposal.

    Parameters
    ----------
    dimension : int
    seed : int or sequence of int
    """

    def __init__(self, dimension: int, seed: int | tuple[int, ...] = 0) -> None:
        self.dimension = dimension
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int) -> NDArray[np.float32]:
        """Independent samples; shape (count, dimension)."""
        return self._rng.standard_normal((count, self.dimension), np.float32)

    def move(self, samples: NDArray, step: float) -> NDArray[np.float32]:
        """``sqrt(1 - step**2)`` of each sample and ``step`` of a new one."""
        return np.float32(math.sqrt(1 - step * step)) * samples + np.float32(step) * self.draw(len(samples))


class Stage(NamedTuple):
    """Samples of the law given that their levels are above one that was passed.

    Attributes
    ----------
    above : float
        The level passed; minus infinity in the first stage.
    levels : ndarray of float64, shape (samples,)
    marks : ndarray of float64, shape (samples,)
        What probabilities are asked of: the levels themselves, unless others are given with them.
    families : ndarray of int64, shape (samples,)
        First sample that each descends from.
    step, acceptance : float
        Of the moves at the end of the stage, and share of them that was accepted; 1 in the first stage.
    """

    above: float
    levels: NDArray[np.float64]
    marks: NDArray[np.float64]
    families: NDArray[np.int64]
    step: float
    acceptance: float


class RareEvent(NamedTuple):
    """An estimated probability.

    Attributes
    ----------
    value, low, high : float
        Estimate and interval.
    relative_error : float
        Standard error of the estimate over the estimate.
    families : float
        Degrees of freedom of the standard error.
    """

    value: float
    low: float
    high: float
    relative_error: float
    families: float


@dataclass(frozen=True, eq=False)
class SubsetRun:
    """A finished subset simulation.

    Attributes
    ----------
    stages : tuple of Stage
    evaluations : int
        Samples whose level was evaluated.
    """

    stages: tuple[Stage, ...]
    evaluations: int

    def probability(self, threshold: float, level: float = 0.95) -> RareEvent:
        """Probability that a sample's mark is at least ``threshold``, with its interval.

        Each stage answers for the levels up to the one that the next stage passed. The interval is symmetric
        in the logarithm, with Student's t at the degrees of freedom (Satterthwaite) that the family sizes'
        fourth moment leaves. A threshold that no sample reached has probability 0 and the upper end of the
        last stage. Where the first stage alone decides, since all samples of later ones are in the event or
        there are none, its independent samples are counted and have Clopper and Pearson's exact interval.

        Parameters
        ----------
        threshold : float
            At most the one that the run was made for, or the estimate rests on few samples.
        level : float
            Confidence.
        """
        check_level(level)
        size = self.stages[0].levels.size
        if all((stage.marks >= threshold).all() for stage in self.stages[1:]):
            return _count(int(np.count_nonzero(self.stages[0].marks >= threshold)), size, level)
        ends = [*(stage.above for stage in self.stages[1:]), math.inf]
        sums = np.zeros(size)
        for number, (stage, end) in enumerate(zip(self.stages, ends, strict=True)):
            inside = (stage.marks >= threshold) & (stage.levels <= end)
            sums += SHARE**number * np.bincount(stage.families[inside], minlength=size)
        if sums.any():
            return _estimate(sums, level)
        last = np.bincount(self.stages[-1].families, minlength=size) * SHARE ** (len(self.stages) - 1)
        return RareEvent(0.0, 0.0, _estimate(last, level).high, math.inf, 0.0)


def _count(events: int, samples: int, level: float) -> RareEvent:
    """A probability from how many of so many independent samples are in the event."""
    value = events / samples
    error = math.sqrt((1 - value) / (value * (samples - 1))) if events else math.inf
    return RareEvent(value, *clopper_pearson(events, samples, level), error, samples - 1.0)


def _estimate(sums: NDArray, level: float) -> RareEvent:
    """A probability from what the samples in the event add up to, family by family."""
    families = sums.size
    value = float(sums.mean())
    shares = sums / sums.sum() - 1 / families
    variance = float(shares @ shares) * families / (families - 1)
    fourth = float((shares**4).sum()) - variance**2 / families
    freedom = max(2 * variance**2 / fourth, 1.0) if fourth > 0 else float(families - 1)
    error = math.sqrt(variance)
    factor = math.exp(min(float(stdtrit(freedom, 0.5 + level / 2)) * error, 700.0))
    return RareEvent(value, value / factor, min(value * factor, 1.0), error, freedom)


def subset_simulation(
    level: Callable[[NDArray], NDArray],
    sampler: Sampler,
    threshold: float,
    *,
    samples: int = 10_000,
    lowest: float = 1e-12,
    batch: int = 1000,
    watch: Callable[[int, float], None] | None = None,
) -> SubsetRun:
    """Reach the event ``level(sample) >= threshold`` through nested ones.

    Memory holds a fifth of a stage's samples and one batch of moves.

    Parameters
    ----------
    level : callable
        Levels of an array of samples; shape (samples,), a deterministic function of the sample, and
        practically without ties below the threshold. Or shape (samples, 2): levels, and marks of which
        probabilities are asked in their place.
    sampler : Sampler
    threshold : float
    samples : int
        Of a stage, at least ``FEWEST``.
    lowest : float
        Probability below which the run ends without having reached the event.
    batch : int
        Samples that are evaluated at a time.
    watch : callable, optional
        Told the evaluations so far and the probability of the level passed.

    Raises
    ------
    UserError
        If there are too few samples, or the levels are no numbers or tied.
    RunError
        If hardly a move is accepted: no move within the law is small enough to keep a sample's level.
    """
    if samples < FEWEST:
        raise UserError(f"subset simulation got {samples} samples a stage; it needs at least {FEWEST}.")
    walk = _Walk(level, sampler, batch, watch)
    stage, best = walk.first(samples)
    stages = [stage]
    while np.count_nonzero(stage.levels >= threshold) < stage.levels.size // _LENGTH:
        passed = SHARE ** (len(stages) - 1)
        if passed * SHARE < lowest or len(stages) > _MOST_STAGES:
            break
        stage = walk.next(best, len(stages))
        stages.append(stage)
    return SubsetRun(tuple(stages), walk.evaluations)


class EqualLevels(UserError):
    """Too many samples have one level, which none can be told to pass."""


class _Best:
    """The highest samples of a stage and the one below them, whose level is the next one to pass."""

    def __init__(self, count: int, like: NDArray) -> None:
        self.samples = np.empty((count + 1, *like.shape[1:]), like.dtype)
        self.levels = np.full((count + 1, 2), -np.inf)
        self.families = np.zeros(count + 1, np.int64)

    def add(self, samples: NDArray, levels: NDArray[np.float64], families: NDArray[np.int64]) -> None:
        count = len(self.levels)
        rivals = np.concatenate([self.levels[:, 0], levels[:, 0]])
        keeps = np.argpartition(rivals, -count)[-count:]
        new = keeps[keeps >= count] - count
        goes = np.setdiff1d(np.arange(count), keeps, assume_unique=True)
        for own, source in ((self.samples, samples), (self.levels, levels), (self.families, families)):
            own[goes] = source[new]


class _Walk:
    """One run, stage by stage. Levels are pairs of a level and a mark."""

    def __init__(
        self,
        level: Callable[[NDArray], NDArray],
        sampler: Sampler,
        batch: int,
        watch: Callable[[int, float], None] | None,
    ) -> None:
        self.level, self.sampler, self.batch, self.watch = level, sampler, batch, watch
        self.evaluations = 0
        self.step = 0.5

    def _levels(self, samples: NDArray) -> NDArray[np.float64]:
        found = np.asarray(self.level(samples), np.float64)
        if found.shape not in ((len(samples),), (len(samples), 2)) or np.isnan(found).any():
            raise UserError(
                f"the level must give one number a sample, or two, gave {found.dtype} {found.shape}"
            )
        self.evaluations += len(samples)
        return found if found.ndim == 2 else np.stack([found, found], axis=1)

    def _batches(self, count: int) -> Iterator[slice]:
        return (slice(first, min(first + self.batch, count)) for first in range(0, count, self.batch))

    def first(self, count: int) -> tuple[Stage, _Best]:
        """Independent samples."""
        best, levels = None, np.empty((count, 2))
        families = np.arange(count)
        for part in self._batches(count):
            samples = self.sampler.draw(part.stop - part.start)
            levels[part] = self._levels(samples)
            best = best or _Best(count // _LENGTH, samples)
            best.add(samples, levels[part], families[part])
            self._tell(1.0)
        assert best is not None
        return Stage(-math.inf, levels[:, 0], levels[:, 1], families, 1.0, 1.0), best

    def next(self, best: _Best, number: int) -> Stage:
        """A chain from each of the highest samples of the stage before, which give way to the new ones."""
        above = float(best.levels[:, 0].min())
        goes_on = best.levels[:, 0] > above
        if not goes_on.any():
            raise EqualLevels(
                f"the samples' highest levels are all {above:g}; levels must hardly ever be equal"
            )
        chains = best.samples[goes_on]
        levels, families = best.levels[goes_on], best.families[goes_on]
        best.levels[:] = -np.inf
        best.add(chains, levels, families)
        found = [levels.copy()]
        share = 0.0
        for _ in range(_LENGTH - 1):
            accepted = 0
            for part in self._batches(len(chains)):
                proposals = self.sampler.move(chains[part], self.step)
                reached = self._levels(proposals)
                moves = np.flatnonzero(reached[:, 0] > above)
                chains[part.start + moves] = proposals[moves]
                levels[part.start + moves] = reached[moves]
                best.add(chains[part], levels[part], families[part])
                accepted += moves.size
                self._tell(SHARE**number)
            found.append(levels.copy())
            share += accepted / len(chains) / (_LENGTH - 1)
            self.step = min(self.step * math.exp(accepted / len(chains) - ACCEPTANCE), 1.0)
        if share < _STILL:
            raise RunError(
                f"only {share:.1%} of the moves above level {above:g} were accepted: what decides the "
                f"level is drawn as a whole and cannot be moved in steps"
            )
        joined = np.concatenate(found)
        return Stage(above, joined[:, 0], joined[:, 1], np.tile(families, _LENGTH), self.step, share)

    def _tell(self, passed: float) -> None:
        if self.watch is not None:
            self.watch(self.evaluations, passed)
