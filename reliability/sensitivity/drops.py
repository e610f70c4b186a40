"""The drops of accuracy that runs found, chip by chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reliability.effects import resolved
from reliability.self_checks import check_ideal
from reliability.sensitivity.question import Question, Run
from reliability.statistics.interval import DIFFERENCE, REAL


class Drops:
    """The drops of accuracy that runs found, chip by chip."""

    def __init__(self, question: Question, drops: Mapping[Run, np.ndarray], is_right: bool) -> None:
        self.question, self.drops = question, drops
        self.bounds = DIFFERENCE if is_right else REAL

    def noisy(self, groups: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Drop of each chip with only these groups noisy, against the chip with none."""
        return self._noisy(groups, first, count) - self._noisy(0, first, count)

    def _noisy(self, groups: int, first: int, count: int | None) -> np.ndarray:
        count = self.question.chips if count is None else count
        if groups == 0:
            runs = self.question.noisy(0)
            return np.full(count, self.drops[runs[0]][0] if runs else 0.0)
        return self._of(Run("noisy", groups, first, count))

    def mixed(self, groups: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Drop of each chip with the draws of these sources from other chips."""
        run = self.question.mixed(groups)
        return self._of(run._replace(first=first, chips=self.question.chips if count is None else count))

    def _of(self, run: Run) -> np.ndarray:
        if run in self.drops:
            return self.drops[run]
        every = self.drops[run._replace(first=0, chips=self.question.chips)]
        return every[run.first : run.first + run.chips]


def simulate_runs(question: Question, runs: Sequence[Run]) -> Drops:
    """Simulate all runs."""
    setting = question.setting
    sweep = setting.simulation(chip=resolved(setting.chip), role=question.role)
    check_ideal(sweep)
    digital, is_right = float(sweep.reference.mean()), sweep.reference.dtype == bool
    drops: dict[Run, np.ndarray] = {}
    chips = sum(run.chips for run in runs)

    def watch(done: int) -> None:
        if setting.progress:
            before = sum(run.chips for run in drops)
            setting.progress(before + done, chips, f"{len(drops)} of {len(runs)} runs")

    for run in runs:
        simulation = setting.simulation(
            chip=question.chip_of(run), seeds=question.seeds_of(run), role=question.role
        )
        drops[run] = digital - simulation.observe(run.first, run.chips, watch=watch).scores[:, 0, 0]
    return Drops(question, drops, is_right)
