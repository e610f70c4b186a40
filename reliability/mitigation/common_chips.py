"""The same chips under many designs, simulated as far as is asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.latents import Role
from reliability.mitigation.goal import Goal
from reliability.network import Network
from reliability.simulation import Simulation
from reliability.training_inputs import Calibration

# Designs whose plans are kept.
_KEPT = 4


class CommonChips:
    """Chips of one seed and role on one set of inputs, under any description.

    Parameters
    ----------
    network : Network
    dataset : Dataset
    chip : Chip
        Without cures; its digital network is that of all.
    goal : Goal
    times : sequence of float
        At which chips are evaluated, seconds.
    is_steady : bool
        Whether no design changes with time, so that one time stands for all.
    seed, role, threads, calibration
        As in :func:`reliability.simulate`.

    Attributes
    ----------
    required : int
        Fewest right answers of a chip that meets the target.
    evaluated : int
        Chips that were simulated, at all times, so far.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        chip: Chip,
        goal: Goal,
        times: Sequence[float],
        *,
        is_steady: bool = False,
        seed: int = 0,
        role: Role = "search",
        threads: int | None = None,
        calibration: Calibration | Callable[[], Dataset] | None = None,
    ) -> None:
        self.base = Simulation(
            network, dataset, chip, seed=seed, role=role, threads=threads, calibration=calibration
        )
        self.times, self.is_steady = tuple(times), is_steady
        self.required = goal.required(self.base.reference)
        self.evaluated = 0
        self._plans: OrderedDict[int, Simulation] = OrderedDict()
        self._known: dict[int, np.ndarray] = {}

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.base.labels)

    def correct(self, design: int, chip: Chip, chips: int) -> np.ndarray:
        """Right answers of chips 0 to ``chips - 1``, int64 of shape (chips, times).

        Parameters
        ----------
        design : int
            Number under which the results of a description are kept.
        chip : Chip
        chips : int
        """
        known = self._known.get(design)
        have = 0 if known is None else len(known)
        if have < chips:
            more = self._simulate(self._plan(design, chip), have, chips)
            self._known[design] = known = more if known is None else np.concatenate([known, more])
        assert known is not None
        return known[:chips]

    def margins(self, design: int, chip: Chip, chips: int) -> np.ndarray:
        """By how many right answers chips exceed what is required at the worst of the times, (chips,)."""
        return self.correct(design, chip, chips).min(axis=1) - self.required

    def fresh(self, design: int, chip: Chip, first: int, count: int) -> np.ndarray:
        """Right answers of chips ``first`` to ``first + count - 1``, (count, times); they are not kept."""
        return self._simulate(self._plan(design, chip), first, first + count)

    def tried(self, design: int) -> int:
        """Chips of a design so far."""
        return len(self._known.get(design, ()))

    def known(self, design: int) -> np.ndarray:
        """Margins of a design's chips so far."""
        return self._known[design].min(axis=1) - self.required

    def _plan(self, design: int, chip: Chip) -> Simulation:
        if design not in self._plans:
            while len(self._plans) >= _KEPT:
                self._plans.popitem(last=False)
            self._plans[design] = self.base.of_chip(chip, self.times)
        self._plans.move_to_end(design)
        return self._plans[design]

    def _simulate(self, simulation: Simulation, first: int, last: int) -> np.ndarray:
        places, count = simulation.sweep.places, last - first
        groups = {place.group for place in places}
        scores = {group: simulation.observe(first, count, group).scores for group in groups}
        found = np.stack([scores[p.group][:, p.time, p.variant] for p in places], axis=1)
        self.evaluated += count
        return np.rint(found * self.inputs).astype(np.int64)
