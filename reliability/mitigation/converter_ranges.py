"""Ranges of converters: how much to clip so that rounding and clipping together err least."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from reliability.calibration import Ranges, find_ranges, pulses_of
from reliability.chip import Chip
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import by_name, changed
from reliability.mitigation.samples import Samples
from reliability.mitigation.tuning import Found
from reliability.network import Network
from reliability.tile import Converter, Tile
from reliability.training_inputs import enough_inputs, first_inputs

# Shares of the values that are clipped, at most a few in a hundred thousand to a third.
_CLIPPED = (0.0, *np.geomspace(2e-5, 0.35, 32).tolist())
# Column sums of one layer that are looked at.
_SUMS = 1 << 22


@dataclass(frozen=True)
class ConverterRanges(Cure):
    """The percentiles of what a layer's converters see on training inputs that their ranges end at.

    A smaller range has finer steps and clips more. Written to ``tile.dac.percentile`` and
    ``tile.adc.percentile``, whose ranges become calibrated. It costs one calibration of the design and
    nothing on the chip.

    Parameters
    ----------
    dac, adc : float, optional
        From 50 to 100; None leaves a converter as it is.
    """

    dac: float | None = None
    adc: float | None = None

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with these percentiles on the named layers, all by default, where they have converters."""

        def change(tile: Tile) -> Tile:
            for name, percentile in (("dac", self.dac), ("adc", self.adc)):
                converter = getattr(tile, name)
                if converter is not None and percentile is not None:
                    ranged = replace(converter, range="calibrated", percentile=percentile)
                    tile = replace(tile, **{name: ranged})
            return tile

        return changed(chip, "tile", change, layers)

    def describe(self) -> str:
        """Where ranges end."""
        found = {"DAC": self.dac, "ADC": self.adc}
        parts = [f"{name} to the {own:g}th percentile" for name, own in found.items() if own is not None]
        return f"ranges of {' and '.join(parts)}" if parts else "ranges as they are"


def find_converter_ranges(
    network: Network, inputs: Dataset, chip: Chip, *, multiplications: int = 4096, seed: int = 0
) -> Found:
    """The percentile for each converter that gives its layer's outputs the least mean-square error.

    Devices are exact here and each layer's inputs those of the digital network: only rounding and clipping
    err. DACs are set first, ADCs behind them.

    Parameters
    ----------
    network : Network
    inputs : Dataset
        Training inputs, of which the first ``chip.calibration_inputs`` are used.
    chip : Chip
    multiplications : int
        Of each layer, taken by chance from those of all inputs; fewer where the sums of many tiles, slices
        and pulses would not fit in memory.
    seed : int
        Of that choice.

    Returns
    -------
    Found
        Its table has one row a layer, converter and percentile tried: ``layer``, ``converter``,
        ``percentile``, ``range`` (of an ADC: of its first slice), ``error`` (mean-square error of the outputs
        over their mean square), ``chosen``.

    Raises
    ------
    UserError
        If no layer has converters, or there are too few training inputs.
    """
    chip = by_name(chip, network)
    crossbars = crossbars_of(chip_network(network, chip), chip)
    converting = {name: own for name, own in crossbars.items() if own.converts}
    if not converting:
        raise UserError(f"chip {chip.name!r} has no converters: there is no range to find")
    count = chip.calibration_inputs
    x = enough_inputs(first_inputs(inputs, network, count), count)
    seen = Samples(network, chip, x, converting, multiplications, seed)
    rows: list[dict[str, Any]] = []
    negative = bool((x < 0).any())
    # Signs do not depend on ranges, which are not known yet.
    signs = find_ranges(network, chip.with_tiles(_unranged), None, negative=negative)
    for name, own in converting.items():
        assert own.settings.tile is not None
        if own.settings.tile.dac is not None:
            tried = _dac_errors(own, own.settings.tile.dac, seen, signs[name].signed)
            chip = _set(chip, name, "dac", tried, rows)
    ranges = find_ranges(network, chip.with_tiles(_without_adc), x, negative=negative)
    for name, own in converting.items():
        assert own.settings.tile is not None
        if own.settings.tile.adc is not None:
            before = ranges.get(name, signs[name])
            tried = _adc_errors(own, own.settings.tile.adc, seen, before)
            chip = _set(chip, name, "adc", tried, rows)
    return Found(chip, pd.DataFrame(rows))


Tried = list[tuple[float, float, float]]
"""Percentile, range and relative error."""


def _set(chip: Chip, layer: str, converter: str, tried: Tried, rows: list[dict[str, Any]]) -> Chip:
    """The chip with the best percentile, the highest of equally good ones; adds to the table."""
    best = int(np.argmin([error for *_, error in tried]))
    rows += [
        {
            "layer": layer,
            "converter": converter,
            "percentile": percentile,
            "range": range_,
            "error": error,
            "chosen": i == best,
        }
        for i, (percentile, range_, error) in enumerate(tried)
    ]
    return ConverterRanges(**{converter: tried[best][0]}).apply(chip, [layer])


def _unranged(tile: Tile) -> Tile:
    """The tile with converters of some range, which calibration asks nothing about."""
    dac = None if tile.dac is None else replace(tile.dac, range=1.0)
    adc = None if tile.adc is None else replace(tile.adc, range=1.0)
    return replace(tile, dac=dac, adc=adc)


def _without_adc(tile: Tile) -> Tile:
    return replace(tile, adc=None)


def _percentile(ordered: np.ndarray, percentile: float) -> float:
    """Of ascending magnitudes; 1 where all are zero, as in calibration."""
    place = percentile / 100 * (len(ordered) - 1)
    at, part = int(place), place - int(place)
    above = ordered[min(at + 1, len(ordered) - 1)]
    return float(ordered[at] + part * (above - ordered[at])) or 1.0


def rounding_error(values: np.ndarray, largest: float, converter: Converter, signed: bool) -> np.ndarray:
    """What a converter of range ``largest`` adds to values by rounding and clipping them."""
    code = converter.largest_code(signed)
    step = np.float32(largest / code)
    return np.clip(np.rint(values / step), -code if signed else 0, code) * step - values


def _dac_errors(crossbar: Crossbar, dac: Converter, seen: Samples, signed: bool) -> Tried:
    rows, values = seen.rows[crossbar.name], seen.magnitudes[crossbar.name]
    matrix = crossbar.mapped.matrix[:, : rows.shape[2]].reshape(rows.shape[1], -1, rows.shape[2])
    power = float((_products(rows, matrix).astype(np.float64) ** 2).mean()) or 1.0
    tried = []
    for clipped in _CLIPPED:
        largest = _percentile(values, 100 - 100 * clipped)
        error = _products(rounding_error(rows, largest, dac, signed), matrix).astype(np.float64)
        tried.append((_percent(clipped), largest, float((error**2).mean()) / power))
    return tried


def _percent(clipped: float) -> float:
    return round(100 - 100 * clipped, 5)


def _products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Each multiplication's outputs: (multiplications, groups * columns of a group)."""
    return (
        np.matmul(rows.transpose(1, 0, 2), matrix.transpose(0, 2, 1))
        .transpose(1, 0, 2)
        .reshape(len(rows), -1)
    )


def _adc_errors(crossbar: Crossbar, adc: Converter, seen: Samples, ranges: Ranges) -> Tried:
    mapped, rows = crossbar.mapped, seen.rows[crossbar.name]
    pulses = crossbar.pulses(ranges.signed) if ranges.inputs is not None else 1
    slices = len(crossbar.read_significance)
    reads = math.ceil(rows.shape[2] / crossbar.tile_rows) * slices * pulses
    rows = rows[: max(_SUMS // (crossbar.lines * reads), 64)]
    parts = list(_parts(crossbar, rows, ranges))
    exact = np.zeros((len(rows), crossbar.lines))
    magnitudes: list[list[np.ndarray]] = [[] for _ in range(slices)]
    for s, factor, sums in parts:
        exact += factor * sums
        magnitudes[s].append(np.abs(sums[:, mapped.held[s]]).ravel())
    ordered = [np.sort(np.concatenate(own)) for own in magnitudes]
    power = float((_columns(crossbar, exact) ** 2).mean()) or 1.0
    signed = ranges.signed or mapped.references == 0
    tried = []
    for clipped in _CLIPPED:
        largest = [_percentile(own, 100 - 100 * clipped) for own in ordered]
        error = np.zeros_like(exact)
        for s, factor, sums in parts:
            error += factor * rounding_error(sums, largest[s], adc, signed)
        relative = float((_columns(crossbar, error) ** 2).mean()) / power
        tried.append((_percent(clipped), largest[0], relative))
    return tried


def _parts(crossbar: Crossbar, rows: np.ndarray, ranges: Ranges) -> Iterator[tuple[int, float, np.ndarray]]:
    """Sums that are converted by themselves: slice, digital factor, sums (multiplications, lines)."""
    significance, count = crossbar.read_significance, rows.shape[2]
    weights = crossbar.slice_weights[: len(significance)].astype(np.float32)
    weights = weights.reshape(len(weights), rows.shape[1], -1, weights.shape[2])
    tile = crossbar.settings.tile
    base = float(tile.dac.base) if tile is not None and tile.dac is not None else 1.0
    for p, (pulse, bias_input) in enumerate(pulses_of(crossbar, rows, ranges)):
        for first in range(0, count, crossbar.tile_rows):
            end = min(first + crossbar.tile_rows, count)
            for s, of_slice in enumerate(significance):
                sums = _products(pulse[:, :, first:end], weights[s][:, :, first:end])
                if crossbar.bias_row and end == count:
                    sums = sums + weights[s][:, :, -1].ravel() * np.float32(bias_input)
                yield s, float(of_slice) * base**p, sums


def _columns(crossbar: Crossbar, lines: np.ndarray) -> np.ndarray:
    """What columns give of the sums of their lines: references subtracted, digital factors applied."""
    mapped, groups = crossbar.mapped, crossbar.window.groups
    by_group = lines.reshape(len(lines), groups, -1)
    own = by_group.shape[2] - mapped.references
    columns = by_group[:, :, :own]
    if mapped.references:
        columns = columns - by_group[:, :, own + np.arange(own) // mapped.tile_columns]
    return columns.reshape(len(lines), -1) * mapped.factors
