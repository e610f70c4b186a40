"""Clipped weights: a layer's few largest weights give way, and all others use more of the range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import analog_layers, by_name, changed
from reliability.mitigation.tuning import CHIPS_TRIED, Found, TrainingAccuracy, tune_layers
from reliability.network import Network

PERCENTILES = (100.0, 99.9, 99.5, 99.0, 98.0, 95.0, 90.0, 80.0, 70.0)
"""Of the magnitudes of a layer's weights, that are tried."""


@dataclass(frozen=True)
class Clipping(Cure):
    """Weights beyond a percentile of their magnitudes are clipped to it.

    Errors of devices that are a share of the range of conductances shrink with the weight that the range
    stands for; what is cut off is lost. Simulated as ``mapping.clip_percentile``, of the layer's or, with a
    scale a column, of each column's weights. It costs nothing on the chip.

    Parameters
    ----------
    percentile : float
        From 50 to 100.
    """

    percentile: float = 99.5

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with clipped weights on the named layers, all by default."""
        return changed(chip, "mapping", lambda own: replace(own, clip_percentile=self.percentile), layers)

    def describe(self) -> str:
        """Where weights are clipped."""
        return f"weights clipped at their {self.percentile:g}th percentile"


def find_clipping(
    network: Network,
    inputs: Dataset,
    chip: Chip,
    *,
    percentiles: Sequence[float] = PERCENTILES,
    time_s: float = 0.0,
    chips: int = CHIPS_TRIED,
    threads: int | None = None,
    calibration: Dataset | None = None,
) -> Found:
    """The best percentile for each analog layer, one layer after the other, on training inputs.

    Parameters
    ----------
    network : Network
    inputs : Dataset
        Training inputs.
    chip : Chip
    percentiles : sequence of float
        Of equally good ones the first is taken.
    time_s : float
    chips, threads, calibration
        As of :class:`~reliability.mitigation.tuning.TrainingAccuracy`.

    Returns
    -------
    Found
        Its table has columns ``layer``, ``percentile``, ``estimand``, ``value``, ``low``, ``high``,
        ``level``, ``method``, ``varies``, ``chosen``.
    """
    chip = by_name(chip, network)
    accuracy = TrainingAccuracy(
        network, inputs, chip, time_s=time_s, chips=chips, threads=threads, calibration=calibration
    )
    return tune_layers(
        accuracy,
        chip,
        analog_layers(chip, network),
        "percentile",
        percentiles,
        lambda own, layer, percentile: Clipping(percentile).apply(own, [layer]),
    )
