"""What several devices a weight gain: of all layers, of the most sensitive ones, or of some columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.checks import check, is_number, is_whole
from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.datasets import Dataset
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.layers import Linear
from reliability.metrics import Metric
from reliability.mitigation.comparison import Comparison
from reliability.mitigation.overrides import analog_layers, by_name, layers_to_cure
from reliability.mitigation.redundancy import Redundancy, column_gains, find_redundancy
from reliability.mitigation.samples import multiplied_inputs
from reliability.moments import weight_moments
from reliability.network import Network, Node
from reliability.report import COLUMNS
from reliability.simulation import Simulation
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import REAL

ALL, LAYERS, SOME_COLUMNS = "all layers", "most sensitive layers", "most sensitive columns"
BY_NORM = "columns of largest norm"
ERROR = "multiplication error"
_LEVEL = 0.95
_MULTIPLICATIONS = 64
_MOST_LAYERS = 6


@dataclass(frozen=True)
class Copies(Analysis):
    """Accuracy and cells with several copies of weights, and the error of single multiplications.

    Parameters
    ----------
    counts : tuple of int
        Copies of a weight; the first is what the others are compared with.
    share : float
        Of the chip's cells, that the most sensitive layers, or columns, may hold.
    training_inputs : int
        On which the most sensitive ones are found.
    """

    counts: tuple[int, ...] = (1, 2, 4, 8)
    share: float = 0.25
    training_inputs: int = 512

    def __post_init__(self) -> None:
        counts = self.counts
        good = isinstance(counts, tuple) and len(counts) > 1 and all(is_whole(k, 1, 16) for k in counts)
        good = good and counts[0] == 1 and len(set(counts)) == len(counts)
        check(good, "analysis.counts", counts, "whole numbers up to 16, each once, the first one 1")
        check(is_number(self.share, 1e-6, 1), "analysis.share", self.share, "a number above 0 and at most 1")
        good = is_whole(self.training_inputs, 1, 1 << 20)
        check(good, "analysis.training_inputs", self.training_inputs, "a whole number above 0")

    def plan(self, setting: Setting) -> str:
        """What will be simulated."""
        descriptions = 1 + 3 * (len(self.counts) - 1)
        return (
            f"{descriptions} descriptions, {setting.chips} chips on {len(setting.dataset)} inputs each; "
            f"{len(self.counts)} times {setting.chips} chips of each layer alone, on {_MULTIPLICATIONS} "
            f"multiplications"
        )

    def answer(self, setting: Setting) -> Answer:
        """Tables ``accuracy``, ``errors`` and ``ranks``.

        Raises
        ------
        UserError
            If weights are cut into slices already.
        """
        every = setting.training_set("copies are placed on")
        train = every.head(min(self.training_inputs, len(every)))
        network = setting.network
        chip = Redundancy(1).apply(by_name(resolved(setting.chip), network))
        layers_to_cure(chip, network)
        try:
            gains = column_gains(
                network, train, chip, time_s=setting.time_s, threads=setting.threads, calibration=every
            )
        except UserError as error:
            gains, refused = None, str(error)
        else:
            refused = ""
        comparison = Comparison(setting, 1 + (3 if gains else 2) * (len(self.counts) - 1))
        rows: list[dict[str, Any]] = []
        ranks: list[pd.DataFrame] = []
        for where, count in self._descriptions(gains is not None):
            if where == ALL:
                cured = Redundancy(count).apply(chip)
            elif where == BY_NORM:
                cured = Redundancy(count, self.share).apply(chip)
            else:
                of: Any = "layers" if where == LAYERS else "columns"
                found = find_redundancy(
                    network, train, chip, count=count, share=self.share, of=of, gains=gains
                )
                cured = found.chip
                if count == self.counts[1]:
                    ranks.append(found.table.assign(of=of))
            rows += comparison.rows(cured, copied=where, count=count)
        accuracy = pd.DataFrame(rows)
        accuracy["cells_ratio"] = accuracy["cells"] / accuracy["cells"].iloc[0]
        errors = pd.DataFrame(
            [
                row
                for layer in _some(analog_layers(chip, network))
                for row in self._errors(setting, chip, layer, train)
            ]
        )
        tables = {"accuracy": accuracy, "errors": errors}
        if ranks:
            tables["ranks"] = pd.concat(ranks, ignore_index=True)
        text = _text(tables, comparison.reference, self.share, refused)
        return Answer(tables, text, partial(_draw, tables, comparison.reference))

    def _descriptions(self, ranked: bool) -> list[tuple[str, int]]:
        places = (ALL, LAYERS, SOME_COLUMNS) if ranked else (ALL, BY_NORM)
        # One copy is the same chip everywhere.
        return [(ALL, 1), *((where, k) for where in places for k in self.counts[1:])]

    def _errors(self, setting: Setting, chip: Chip, layer: str, train: Dataset) -> list[dict[str, Any]]:
        """The error of one layer's multiplications alone, with each number of copies and by its law."""
        network, x = _one_layer(setting.network, chip, layer, train)
        alone = replace(chip, layers={layer: chip.layers[layer]} if layer in chip.layers else {})
        exact = network.forward(x).astype(np.float64)
        power = float((exact**2).mean()) or 1.0
        bias, spread = _law(network, x, alone, setting.time_s)
        rows = []
        for count in self.counts:
            squares = _squared_errors(setting, network, x, Redundancy(count).apply(alone), exact) / power
            low, high = chips_interval(squares, _LEVEL, REAL)
            rows.append(
                {
                    "layer": layer,
                    "count": count,
                    "estimand": ERROR,
                    "value": float(np.sqrt(squares.mean())),
                    "low": float(np.sqrt(max(low, 0.0))),
                    "high": float(np.sqrt(high)),
                    "level": _LEVEL,
                    "method": "root of the mean square over chips; Student t, corrected for skewness",
                    "varies": "chips, these multiplications",
                    "chips": len(squares),
                    "inputs": len(x),
                    "law": float(np.sqrt((bias + spread / count) / power)),
                    "law_bias": float(np.sqrt(bias / power)),
                }
            )
        return rows


def _some(layers: list[str]) -> list[str]:
    """All layers, or some from the first to the last."""
    places = np.linspace(0, len(layers) - 1, min(len(layers), _MOST_LAYERS)).round().astype(int)
    return [layers[i] for i in places]


def _one_layer(network: Network, chip: Chip, layer: str, data: Dataset) -> tuple[Network, np.ndarray]:
    """A layer as a network of its own, on inputs that it multiplies in the whole one."""
    x = multiplied_inputs(network, chip, network.prepare(data.x), _MULTIPLICATIONS)[layer]
    crossbar = crossbars_of(chip_network(network, chip), chip)[layer]
    groups = x.shape[1]
    # Groups differ in their inputs only; the first one's devices stand for all.
    matrix = crossbar.matrix[: len(crossbar.matrix) // groups]
    bias = None
    if crossbar.bias_row:
        matrix, bias = matrix[:, :-1], matrix[:, -1]
    node = Node(layer, Linear(matrix, bias))
    return Network((node,), (x.shape[2],), name=network.name), np.ascontiguousarray(x[:, 0])


def _law(network: Network, x: np.ndarray, chip: Chip, time_s: float) -> tuple[float, float]:
    """Mean squares of what does not and what does average out over copies; not numbers where unknown."""
    try:
        own = next(iter(weight_moments(network, chip, time_s=time_s, inputs=len(x)).values()))
    except UserError:
        return float("nan"), float("nan")
    layer = network.weighted[0].layer
    assert isinstance(layer, Linear)
    weight, rows = layer.weight, x.astype(np.float64)
    if own.mean.shape[1] > weight.shape[1]:
        assert layer.bias is not None
        weight = np.column_stack([weight, layer.bias])
        rows = np.column_stack([rows, np.ones(len(rows))])
    bias = float(((rows @ (own.mean - weight).T) ** 2).mean())
    spread = rows**2 @ (own.variance + own.read_variance).T
    if len(own.reference_variance):
        spread = spread + (rows**2 @ own.reference_variance.T)[:, own.reference_of]
    return bias, float(spread.mean())


def _squared_errors(
    setting: Setting, network: Network, x: np.ndarray, chip: Chip, exact: np.ndarray
) -> np.ndarray:
    """Mean square of each chip's errors."""

    def score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return ((logits - exact) ** 2).mean(axis=1)

    simulation = Simulation(
        network,
        (x, np.zeros(len(x), np.int64)),
        chip,
        time_s=setting.time_s,
        seed=setting.seed,
        metric=Metric("error", score),
        threads=setting.threads,
        arithmetic=setting.arithmetic,
        calibration=np.resize(x, (max(len(x), chip.calibration_inputs), x.shape[1])),
    )
    return simulation.observe(0, setting.chips).scores.ravel()


def _draw(tables: Mapping[str, pd.DataFrame], reference: float) -> Any:
    from reliability.plots.redundancy import redundancy

    return redundancy(tables["accuracy"], tables["errors"], reference)


def _text(tables: Mapping[str, pd.DataFrame], reference: float, share: float, refused: str) -> str:
    accuracy, errors = tables["accuracy"], tables["errors"]
    one = accuracy[(accuracy["count"] == 1) & (accuracy["estimand"] == "mean")].iloc[0]
    lines = [
        f"Digital network {reference:.2%}; one copy of each weight {one['value']:.2%} "
        f"[{one['low']:.2%}, {one['high']:.2%}], {one['chips']} chips.",
        "",
        f"{'copied':26} {'copies':>6} {'cells':>10} {'times':>6}  {'won (points)':>12}  95 % interval",
    ]
    for _, row in accuracy[accuracy["estimand"] == "difference"].iterrows():
        lines.append(
            f"{row['copied']:26} {row['count']:6d} {row['cells']:10,.0f} {row['cells_ratio']:6.2f}  "
            f"{100 * row['value']:12.2f}  [{100 * row['low']:.2f}, {100 * row['high']:.2f}]"
        )
    lines += ["", *textwrap.wrap(_PAIRED.format(share=share), COLUMNS)]
    if refused:
        lines += ["", *textwrap.wrap(f"No layers or columns were ranked: {refused}", COLUMNS)]
    lines += ["", "Error of a multiplication over the root mean square of its outputs:"]
    lines.append(f"{'layer':16} {'copies':>6} {'error':>8}  95 % interval       by its law")
    for _, row in errors.iterrows():
        law = "unknown" if np.isnan(row["law"]) else f"{row['law']:.4f}"
        lines.append(
            f"{row['layer']:16} {row['count']:6d} {row['value']:8.4f}  [{row['low']:.4f}, {row['high']:.4f}]"
            f"{law:>12}"
        )
    lines += ["", *textwrap.wrap(_LAW, COLUMNS)]
    return "\n".join(lines)


_PAIRED = (
    "Differences are paired: the same chips and inputs with one copy and with more. The most sensitive "
    "layers and columns are those whose errors cost most accuracy on training inputs for each cell, by the "
    "analytic network, up to {share:.0%} of the cells, or one layer at least."
)
_LAW = (
    "Law: root of b^2 + s^2 / k, with b the mean error of the weights, which all copies share, and s its "
    "spread, both from the moments of the device's law."
)
