"""How rarely a chip fails: probabilities far below one in the number of chips that could be simulated.

A chip is its latents (the draws of its devices' laws) and its number, by which the counter draws everything
else: read noise, the reference read, faults, correlated variation, telegraph noise. So its accuracy is a
fixed number, and the probability that it falls short is defined. Subset simulation walks through chips
(:mod:`reliability.statistics.subset`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.kernels.engine import run_chips
from reliability.kernels.latent import BLOCK
from reliability.kernels.moves import move_chips
from reliability.kernels.scores import doubts
from reliability.latents import Role, key
from reliability.metrics import Metric
from reliability.montecarlo import Progress
from reliability.network import Network
from reliability.self_checks import check_ideal
from reliability.settings import whole
from reliability.simulation import Arithmetic, Simulation
from reliability.statistics.interval import CHIPS, check_level
from reliability.statistics.lifetime import required_correct
from reliability.statistics.subset import FEWEST, SHARE, EqualLevels, SubsetRun, subset_simulation
from reliability.training_inputs import Calibration

CHIPS_OF_STAGE = 10_000
"""Chips of a stage, unless told otherwise."""
METHOD = "subset simulation, families of chips"

# Share of the moves that also give a chip another number.
_RENUMBERED = 0.2
_NUMBERS = 2**31
# Floats that the chips of one batch of moves take (64 MiB).
_BATCH_FLOATS = 1 << 24
_MOST_BATCH = 1024
# Width of the smooth count's step, of the digital network's median margin.
_WIDTH = 0.1


class ChipSampler:
    """Samples of chips for subset simulation: draws them, moves them, and finds their levels.

    A sample is a record of ``latents`` (float32, block by block of devices) and ``number``. Its mark is the
    number of inputs that it gets wrong. Its level is a smooth count of them from the margins, which chips
    climb more easily than steps; chips that fail stand above all others.

    Parameters
    ----------
    simulation : Simulation
        Of one chip at one time, by a metric of right and wrong answers.
    fails : int
        Wrong inputs from which on a chip fails.
    """

    def __init__(self, simulation: Simulation, fails: int) -> None:
        conditions = len(simulation.sweep.conditions)
        if conditions != 1 or simulation.reference.dtype != bool or simulation.metric.by_class:
            raise UserError(
                f"rare failures are those of one chip at one time by right and wrong answers, not of "
                f"{conditions} conditions by metric {simulation.metric.name!r}"
            )
        self.simulation, self.fails = simulation, fails
        plan = simulation.compiled(0)
        if plan.adaptation is not None:
            raise UserError(
                f'compensation "{plan.variants[0]}" is fitted to calibration inputs by every chip: rare '
                f"failures are found without it; count failures with simulate instead"
            )
        self._workspaces, self._prepare = plan.workspaces(simulation.threads), plan.prepare
        moved, kinds = _moved_latents(simulation)
        if not moved:
            raise UserError(
                "the chip's devices draw nothing when they are programmed or read out, so that no chip can "
                "be moved towards failure; count failures with simulate instead"
            )
        self._kinds = np.array(kinds, np.int64)
        self._type = np.dtype([("latents", np.float32, (len(kinds) * BLOCK,)), ("number", np.int64)])
        latents = plan.arrays.latents.copy()
        for index, at in moved.items():
            latents[index]["supplied_at"] = at
            latents[index]["supplied_step"] = self._type.itemsize // 4
        self._plan = plan.arrays._replace(latents=latents)
        self._renumbers = len(moved) < len(latents)
        margins = np.diff(np.partition(simulation.digital_logits, -2, axis=1)[:, -2:], axis=1)
        self._width = np.float32(max(_WIDTH * float(np.median(margins)), 1e-6))
        self._words = key(simulation.seed, "moves", "", simulation.role)
        self._proposals = 0

    @property
    def batch(self) -> int:
        """Chips whose moves are looked at together."""
        logits = len(self.simulation.labels) * self.simulation.network.classes
        return int(np.clip(_BATCH_FLOATS // (self._type.itemsize // 4 + logits), 1, _MOST_BATCH))

    def draw(self, count: int) -> NDArray:
        """Independent chips."""
        return self._propose(np.zeros(0, self._type), count, 1.0)

    def move(self, samples: NDArray, step: float) -> NDArray:
        """Chips of which each is near one of the given ones."""
        return self._propose(samples, len(samples), step)

    def _propose(self, samples: NDArray, count: int, step: float) -> NDArray:
        out = np.empty(count, self._type)
        rows = _as_rows(samples) if len(samples) else _as_rows(out)
        threads = self.simulation.threads
        move_chips(rows, _as_rows(out), self._kinds, self._proposals, step, self._words, threads)
        if len(samples) and not self._renumbers:
            out["number"] = samples["number"]
        else:
            rng = np.random.default_rng([*self._words, self._proposals])
            out["number"] = rng.integers(_NUMBERS, size=count)
            if len(samples):
                out["number"] = np.where(rng.random(count) < _RENUMBERED, out["number"], samples["number"])
        self._proposals += count
        return out

    def level(self, samples: NDArray) -> NDArray[np.float64]:
        """Level and mark of each chip, shape (chips, 2); failures stand at the number of inputs and above."""
        sim, count = self.simulation, len(samples)
        shape = (count, 1, 1)
        ranks = np.empty((*shape, len(sim.labels)), np.uint8)
        logits = np.empty((*ranks.shape, sim.network.classes), np.float32)
        layers = len(self._plan.layers)
        unused = (
            np.zeros(shape, np.uint64),
            np.zeros((*shape, layers, 2), np.int64),
            np.zeros((count, 1), np.uint8),
            np.zeros((count, layers, 2), np.int64),
        )
        # Without a copy: the kernels find each chip's latents in its record.
        plan = self._plan._replace(supplied=_as_rows(samples).reshape(-1))
        numbers = np.ascontiguousarray(samples["number"])
        run_chips(
            plan, self._workspaces, 0, numbers, min(sim.threads, count), ranks, *unused, logits, self._prepare
        )
        wrong = np.count_nonzero(~sim.metric.outcomes(ranks, logits, sim.labels)[:, 0, 0], axis=-1)
        close = np.empty(count)
        doubts(logits[:, 0, 0], sim.labels.astype(np.int64), self._width, close)
        inputs = len(sim.labels)
        levels = np.where(
            wrong >= self.fails, inputs + wrong + close, inputs * np.minimum(close, 1 - 2.0**-20)
        )
        return np.stack([levels, wrong], axis=1)


def _as_rows(samples: NDArray) -> NDArray[np.float32]:
    """The records as rows of floats, the number's bits behind the latents."""
    return samples.view(np.float32).reshape(len(samples), -1)


def _moved_latents(simulation: Simulation) -> tuple[dict[int, int], list[int]]:
    """Where in a chip's row each latent of the devices' laws stands, by its index, and each block's kind.

    Latents of the reference read, before the time asked for, stay the counter's.
    """
    plan, chip = simulation.compiled(0).arrays, simulation.sweep.groups[0].chip
    moved: dict[int, int] = {}
    kinds: list[int] = []
    for i, crossbar in enumerate(crossbars_of(chip_network(simulation.network, chip), chip).values()):
        layer, device = plan.layers[i], crossbar.settings.device
        if not crossbar.settings.analog or device is None:
            continue
        last = layer["time_latents_at"] + (plan.times - 1) * layer["time_latents"]
        own = [layer["program_latents_at"] + j for j in range(layer["program_latents"])]
        for index in [*own, *(last + j for j in range(layer["time_latents"]))]:
            moved[int(index)] = len(kinds) * BLOCK
            kinds += [int(plan.latents[index]["kind"])] * (crossbar.copies * int(layer["blocks"]))
    return moved, kinds


@dataclass(frozen=True, eq=False)
class RareFailures:
    """How probable it is that a chip gets at least so many inputs wrong.

    Attributes
    ----------
    run : SubsetRun
    required : int
        Inputs that a chip must get right.
    inputs : int
    chips : int
        Chips that were evaluated.
    """

    run: SubsetRun
    required: int
    inputs: int
    chips: int

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """One row for each accuracy that a chip may fall below, from the median chip's to the target.

        Returns
        -------
        DataFrame
            ``target`` (an accuracy), ``required`` (inputs), ``value`` (probability that a chip gets fewer
            than these right), ``low``, ``high``, ``level``, ``varies``, ``method``, ``relative_error``,
            ``df`` (degrees of freedom of the interval), ``chips`` (evaluated for the whole table) and
            ``inputs``.
        """
        check_level(level)
        first = int(np.median(self.run.stages[0].marks)) + 1
        rows = []
        for wrong in range(min(first, self.inputs - self.required + 1), self.inputs - self.required + 2):
            found = self.run.probability(wrong, level)
            required = self.inputs - wrong + 1
            row: dict[str, Any] = {"target": required / self.inputs, "required": required}
            row |= {"value": found.value, "low": found.low, "high": found.high, "level": level}
            row |= {"varies": CHIPS, "method": METHOD, "relative_error": found.relative_error}
            rows.append(row | {"df": found.families, "chips": self.chips, "inputs": self.inputs})
        return pd.DataFrame(rows)

    def stages(self) -> pd.DataFrame:
        """One row a stage: the smooth count of wrong inputs that was passed, its probability, and the moves.

        Returns
        -------
        DataFrame
            ``smooth_count``, ``probability``, ``chips``, ``families`` (first chips that these descend from),
            ``step`` and ``acceptance`` of the moves.
        """
        size = self.run.stages[0].levels.size
        rows = [
            {
                "smooth_count": max(stage.above, 0.0),
                "probability": stage.levels.size / size * SHARE**i,
                "chips": stage.levels.size,
                "families": np.unique(stage.families).size,
                "step": stage.step,
                "acceptance": stage.acceptance,
            }
            for i, stage in enumerate(self.run.stages)
        ]
        return pd.DataFrame(rows)


def rare_failure(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    target: float,
    *,
    time_s: float = 0.0,
    chips: int = CHIPS_OF_STAGE,
    seed: int = 0,
    role: Role = "certify",
    metric: str | Metric | Callable = "top-1",
    threads: int | None = None,
    arithmetic: Arithmetic = "auto",
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> RareFailures:
    """Probability that a chip gets fewer than a target share of these inputs right.

    Parameters
    ----------
    network, inputs, chip, time_s, seed, role, threads, arithmetic, calibration
        As in :func:`reliability.simulate`. Subset simulation reaches what the devices' laws draw; faults,
        correlated variation and telegraph noise follow the chip's number and change as a whole, so that
        failures which these alone decide are not reached.
    target : float
        Accuracy that a chip must reach; compared in whole inputs.
    chips : int
        Of a stage; a probability of 10^-k takes about 0.9 k + 0.1 times as many.
    metric : {"top-1", "top-5"} or callable
        A callable must give truth values.
    progress : callable, optional

    Returns
    -------
    RareFailures

    Raises
    ------
    UserError
        If a setting is not allowed, or the chip has nothing that could be moved.
    RunError
        If the chip without effects is not the digital network, or hardly a move is accepted.
    """
    simulation = Simulation(
        network,
        inputs,
        chip,
        time_s=time_s,
        seed=seed,
        role=role,
        metric=metric,
        threads=threads,
        arithmetic=arithmetic,
        calibration=calibration,
    )
    return find_rare_failures(simulation, target, chips=chips, progress=progress)


def find_rare_failures(
    simulation: Simulation, target: float, *, chips: int = CHIPS_OF_STAGE, progress: Progress | None = None
) -> RareFailures:
    """Run a prepared simulation of one condition; parameters as in :func:`rare_failure`."""
    whole("chips", chips, FEWEST, 2**31)
    inputs = len(simulation.labels)
    required = required_correct(target, inputs)
    if required < 1:
        raise UserError(f"target = {target} is met by every chip; it must be above 0")
    check_ideal(simulation)
    sampler = ChipSampler(simulation, inputs - required + 1)

    def watch(done: int, passed: float) -> None:
        if progress:
            # The bar ends where a probability of 1e-6 would.
            progress(done, max(done, round(6.4 * chips)), f"chips rarer than {passed:.0e} reached")

    try:
        run = subset_simulation(
            sampler.level,
            sampler,
            inputs,
            samples=chips,
            batch=sampler.batch,
            watch=watch,
        )
    except EqualLevels:
        raise UserError(
            "the worst of these chips do not differ in what their devices draw, so that none can be moved "
            "towards failure; count failures with simulate instead"
        ) from None
    return RareFailures(run, required, inputs, run.evaluations)
