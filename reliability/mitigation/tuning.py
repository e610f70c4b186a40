"""Settings of cures, found from training inputs layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.errors import RunError, UserError
from reliability.network import Network
from reliability.simulation import Simulation
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import CHIPS

CHIPS_TRIED = 64
"""Chips that stand in where the analytic network does not know a chip or disagrees with it."""

_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Found:
    """A cured chip, and what was tried to find it.

    Attributes
    ----------
    chip : Chip
    table : DataFrame
        A row a setting that was tried: what it was, what it gave on training inputs, whether it was
        ``chosen``.
    """

    chip: Chip
    table: pd.DataFrame


class TrainingAccuracy:
    """Mean accuracy over chips on training inputs, by which a search compares descriptions.

    The analytic network gives it where it knows the chip and agrees with simulated chips; elsewhere the same
    simulated chips stand under every description (role ``"search"``).

    Parameters
    ----------
    network : Network
    inputs : Dataset
        Training inputs.
    chip : Chip
        On which the analytic network is checked.
    time_s : float
        Evaluation time, seconds.
    chips : int
        Simulated chips, in the check and in place of the analytic network.
    threads : int, optional
    calibration : Dataset, optional
        Training inputs from which converters take their ranges, where these are others.

    Attributes
    ----------
    method : str
        What gives the accuracies.
    """

    def __init__(
        self,
        network: Network,
        inputs: Dataset,
        chip: Chip,
        *,
        time_s: float = 0.0,
        chips: int = CHIPS_TRIED,
        threads: int | None = None,
        calibration: Dataset | None = None,
    ) -> None:
        self.network, self.inputs, self.chips = network, inputs, chips
        ranging = inputs if calibration is None else calibration
        self._options: dict[str, Any] = {"time_s": time_s, "threads": threads, "calibration": ranging}
        self.is_analytic = True
        try:
            AnalyticNetwork(network, inputs, chip, **self._options).check(max(chips, 2))
        except (UserError, RunError):
            self.is_analytic = False
        self.method = "analytic network" if self.is_analytic else f"the same {chips} simulated chips"

    def scores(self, chip: Chip) -> np.ndarray:
        """Accuracy of each simulated chip, or the one number of the analytic network."""
        if self.is_analytic:
            return np.array([AnalyticNetwork(self.network, self.inputs, chip, **self._options).accuracy])
        simulation = Simulation(self.network, self.inputs, chip, role="search", **self._options)
        return simulation.observe(0, self.chips).scores.ravel()

    def row(self, scores: np.ndarray) -> dict[str, Any]:
        """Columns of a table that say what the scores of one description estimate."""
        value = float(scores.mean())
        low, high, varies = value, value, "nothing: computed"
        if not self.is_analytic:
            (low, high), varies = chips_interval(scores, _LEVEL), f"{CHIPS} (training)"
        return {
            "estimand": "mean accuracy on training inputs",
            "value": value,
            "low": low,
            "high": high,
            "level": _LEVEL,
            "method": self.method,
            "varies": varies,
        }


def tune_layers(
    accuracy: TrainingAccuracy,
    chip: Chip,
    layers: Sequence[str],
    field: str,
    values: Sequence[Any],
    change: Callable[[Chip, str, Any], Chip],
) -> Found:
    """The best value for each layer, one layer after the other, with the best of the layers before.

    Parameters
    ----------
    accuracy : TrainingAccuracy
    chip : Chip
    layers : sequence of str
    field : str
        What the values are, as the table's column.
    values : sequence
        Of equally good ones the first is taken.
    change : callable
        Gives a chip with a layer's value set.
    """
    rows: list[dict[str, Any]] = []
    for layer in layers:
        tried = [accuracy.scores(change(chip, layer, value)) for value in values]
        best = int(np.argmax([scores.mean() for scores in tried]))
        chip = change(chip, layer, values[best])
        rows += [
            {"layer": layer, field: value, **accuracy.row(scores), "chosen": i == best}
            for i, (value, scores) in enumerate(zip(values, tried, strict=True))
        ]
    return Found(chip, pd.DataFrame(rows))
