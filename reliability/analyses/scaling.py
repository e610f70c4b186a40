"""How weights are best scaled to conductances, and converters to what they see."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.checks import check, is_number, is_whole
from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.datasets import Dataset
from reliability.effects import resolved
from reliability.mitigation.clipping import Clipping, find_clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.comparison import Comparison
from reliability.mitigation.converter_ranges import ConverterRanges, find_converter_ranges
from reliability.mitigation.overrides import by_name, layers_to_cure
from reliability.mitigation.tuning import Found, TrainingAccuracy
from reliability.network import Network
from reliability.report import COLUMNS

LAYER, COLUMN = "layer", "column"
FOUND = "found on training inputs"


@dataclass(frozen=True)
class Scales(Analysis):
    """Accuracy against where weights and converters' values are clipped, with a scale a layer or a column.

    Parameters
    ----------
    percentiles : tuple of float
        Of the weights' magnitudes, at which all layers are clipped; the first is what others are compared
        with.
    converter_percentiles : tuple of float
        Of what all converters see; likewise. Without converters none are tried.
    training_inputs : int
        On which the best setting of each layer is found.
    """

    percentiles: tuple[float, ...] = (100.0, 98.0, 95.0, 90.0, 85.0, 80.0, 70.0)
    converter_percentiles: tuple[float, ...] = (100.0, 99.9, 99.0)
    training_inputs: int = 512

    def __post_init__(self) -> None:
        for name in ("percentiles", "converter_percentiles"):
            values = getattr(self, name)
            good = isinstance(values, tuple) and len(values) > 0
            good = good and all(is_number(value, 50, 100) for value in values)
            good = good and len(set(values)) == len(values)
            check(good, f"analysis.{name}", values, "numbers from 50 to 100, each once")
        good = is_whole(self.training_inputs, 1, 1 << 20)
        check(good, "analysis.training_inputs", self.training_inputs, "a whole number above 0")

    def plan(self, setting: Setting) -> str:
        """What will be simulated."""
        chip = resolved(setting.chip)
        count = len(list(self._grid(_converts(setting.network, chip)))) + 1
        return (
            f"{count} descriptions, {setting.chips} chips on {len(setting.dataset)} inputs each; for each "
            f"layer {len(self.percentiles)} percentiles on {self.training_inputs} training inputs, twice"
        )

    def answer(self, setting: Setting) -> Answer:
        """Tables ``accuracy``, ``found`` (a row a layer), ``clipping`` and ``ranges`` (all that was tried).

        Raises
        ------
        UserError
            If the chip says a weight that all layers are clipped at, or there are too few training inputs.
        """
        network = setting.network
        chip = by_name(resolved(setting.chip), network)
        train = setting.training_set("scales are found on")
        layers = layers_to_cure(chip, network)
        grid = list(self._grid(_converts(network, chip)))
        comparison = Comparison(setting, len(grid) + 1)
        rows: list[dict[str, Any]] = []
        for scale, percentile, converted in grid:
            cured = Clipping(percentile).apply(_scaled(chip, scale, layers), layers)
            if converted is not None:
                cured = ConverterRanges(converted, converted).apply(cured, layers)
            what = {"scale": scale, "percentile": percentile, "converter_percentile": converted}
            rows += comparison.rows(cured, setting="all layers", **what)
        best, tried = self._search(setting, chip, layers, train)
        rows += comparison.rows(best, setting=FOUND, scale=best_scale(best, layers))
        accuracy = pd.DataFrame(rows)
        found = _found_table(network, best, layers)
        tables = {"accuracy": accuracy, "found": found} | tried
        draw = partial(_draw, accuracy, comparison.reference)
        return Answer(tables, _text(accuracy, found, tables, comparison.reference), draw)

    def _grid(self, converts: bool) -> Iterator[tuple[str, float, float | None]]:
        converted = self.converter_percentiles if converts else (None,)
        return itertools.product((LAYER, COLUMN), self.percentiles, converted)

    def _search(
        self, setting: Setting, chip: Chip, layers: list[str], train: Dataset
    ) -> tuple[Chip, dict[str, pd.DataFrame]]:
        """The chip with the scale, the percentiles and the ranges that are best on training inputs."""
        network, some = setting.network, train.head(min(self.training_inputs, len(train)))
        options: dict[str, Any] = {"time_s": setting.time_s, "threads": setting.threads}
        options["calibration"] = train
        clipped: dict[str, Found] = {}
        for scale in (LAYER, COLUMN):
            start = _scaled(chip, scale, layers)
            clipped[scale] = find_clipping(network, some, start, percentiles=self.percentiles, **options)
        # One measure for both, as it may not know the one or the other.
        accuracy = TrainingAccuracy(network, some, clipped[COLUMN].chip, **options)
        scores = {scale: accuracy.scores(own.chip).mean() for scale, own in clipped.items()}
        scale = max(scores, key=lambda name: scores[name])
        tried = {"clipping": pd.concat([own.table.assign(scale=name) for name, own in clipped.items()])}
        best = clipped[scale].chip
        if _converts(network, best):
            ranged = find_converter_ranges(network, train, best)
            best, tried["ranges"] = ranged.chip, ranged.table
        return best, tried


def _scaled(chip: Chip, scale: str, layers: list[str]) -> Chip:
    return ColumnScale().apply(chip, layers) if scale == COLUMN else chip


def best_scale(chip: Chip, layers: list[str]) -> str:
    """What the layers of a chip have a scale for each of."""
    own = chip.layers.get(layers[0])
    mapping = own.mapping if own is not None and own.mapping is not None else chip.mapping
    return COLUMN if mapping.weight_max == COLUMN else LAYER


def _converts(network: Network, chip: Chip) -> bool:
    return any(own.converts for own in crossbars_of(chip_network(network, chip), chip).values())


def _found_table(network: Network, chip: Chip, layers: list[str]) -> pd.DataFrame:
    rows = []
    crossbars = crossbars_of(chip_network(network, chip), chip)
    for layer in layers:
        mapping, tile = crossbars[layer].settings.mapping, crossbars[layer].settings.tile
        assert mapping is not None and tile is not None
        row: dict[str, Any] = {"layer": layer}
        row |= {"weight_max": mapping.weight_max, "clip_percentile": mapping.clip_percentile}
        row["dac_percentile"] = tile.dac.percentile if tile.dac else None
        row["adc_percentile"] = tile.adc.percentile if tile.adc else None
        rows.append(row)
    return pd.DataFrame(rows)


def _draw(accuracy: pd.DataFrame, reference: float) -> Any:
    from reliability.plots.scaling import scaling

    return scaling(accuracy, reference)


def _text(
    accuracy: pd.DataFrame, found: pd.DataFrame, tables: Mapping[str, pd.DataFrame], reference: float
) -> str:
    one = accuracy[accuracy["estimand"] == "mean"].iloc[0]
    lines = [
        f"Digital network {reference:.2%}; one scale a layer, nothing clipped {one['value']:.2%} "
        f"[{one['low']:.2%}, {one['high']:.2%}], {one['chips']} chips.",
        "",
        "one scale a  weights clipped at  converters at  won (points)  95 % interval, paired chips",
    ]
    won = accuracy[accuracy["estimand"] == "difference"]
    grid = won[won["setting"] != FOUND].sort_values("value", ascending=False, kind="stable")
    for _, row in grid.head(5).iterrows():
        converted = row["converter_percentile"]
        seen = "" if converted is None or pd.isna(converted) else f"{converted:g} %"
        lines.append(
            f"{row['scale']:11}  {row['percentile']:>16g} %  {seen:>13}  {100 * row['value']:12.2f}  "
            f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}]"
        )
    lines += [
        f"(the best five of {len(grid) + 1} by these test inputs, the same for all layers; their intervals",
        "leave out that they were picked as the best: other inputs would show less won)",
    ]
    for _, row in won[won["setting"] == FOUND].iterrows():
        lines += [
            "",
            f"Found layer by layer on training inputs: {100 * row['value']:.2f} points won "
            f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}]:",
        ]
    for _, row in found.iterrows():
        parts = [f"weights beyond {row['clip_percentile']:g} % clipped"]
        parts += [
            f"{name.upper()} to {row[f'{name}_percentile']:g} %"
            for name in ("dac", "adc")
            if pd.notna(row[f"{name}_percentile"])
        ]
        lines.append(f"  {row['layer']:16} a scale a {row['weight_max']}, {', '.join(parts)}")
    methods = ", ".join(dict.fromkeys(tables["clipping"]["method"]))
    note = (
        f"Clipping of weights by the accuracy on training inputs ({methods}), ranges by the outputs' error."
    )
    return "\n".join([*lines, "", *textwrap.wrap(note, COLUMNS)])
