"""Chip descriptions compared on the same chips and inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from reliability.analysis import Setting
from reliability.by_design import ByDesign
from reliability.chip import Chip
from reliability.mitigation.costs import count_costs, total_costs
from reliability.self_checks import check_ideal
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import CHIPS, DIFFERENCE, FRACTION, REAL, Interval
from reliability.statistics.order import quantile_interval

_LEVEL = 0.95


class _Seen(NamedTuple):
    """Accuracy and checksum of the logits of each chip."""

    scores: np.ndarray
    checksums: np.ndarray


class Comparison:
    """Accuracies of descriptions, each beside that of the first one, chip by chip.

    Parameters
    ----------
    setting : Setting
        Its chips stand under every description, on its test inputs.
    total : int
        Descriptions that will be compared, of which progress tells.

    Attributes
    ----------
    reference : float
        Accuracy of the digital network.
    """

    def __init__(self, setting: Setting, total: int) -> None:
        self.setting, self.total = setting, total
        self._done = 0
        self._first: _Seen | None = None
        self._known: ByDesign[_Seen] = ByDesign()
        self.reference = float("nan")

    def rows(self, chip: Chip, **what: Any) -> list[dict[str, Any]]:
        """Mean, 5 % chip, difference of the mean from that of the first description, and costs, as rows.

        Parameters
        ----------
        chip : Chip
        what : object
            Columns that say what the description is.
        """
        seen, is_right = self._seen(chip)
        first = self._first = self._first or seen
        scores, bounds = seen.scores, FRACTION if is_right else REAL
        mean = chips_interval(scores, _LEVEL, bounds)
        worst = quantile_interval(scores, 0.05, _LEVEL, bounds)
        student = "Student t over chips, corrected for skewness"
        found = [("mean", float(scores.mean()), *mean, student), ("quantile_05", *worst, "order statistics")]
        if seen is not first:
            gain = scores - first.scores
            won, how = chips_interval(gain, _LEVEL, DIFFERENCE if is_right else REAL), f"paired: {student}"
            if np.array_equal(seen.checksums, first.checksums):
                won, how = Interval(0.0, 0.0), "paired: the same logits to the last bit"
            found.append(("difference", float(gain.mean()), *won, how))
        inputs = len(self.setting.dataset)
        what |= total_costs(count_costs(self.setting.network, chip))
        return [
            what
            | {"estimand": name, "value": value, "low": low, "high": high, "level": _LEVEL}
            | {"method": method, "varies": CHIPS, "chips": len(scores), "inputs": inputs}
            for name, value, low, high, method in found
        ]

    def _seen(self, chip: Chip) -> tuple[_Seen, bool]:
        simulation = self.setting.simulation(chip=chip)
        is_right = simulation.reference.dtype == bool
        self.reference = float(simulation.reference.mean())
        self._done += 1

        def simulate() -> _Seen:
            check_ideal(simulation)
            found = simulation.observe(0, self.setting.chips)
            if self.setting.progress:
                self.setting.progress(self._done, self.total, "descriptions")
            return _Seen(found.scores.ravel(), found.checksums.ravel())

        return self._known.get(chip, simulate), is_right
