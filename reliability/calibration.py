"""Ranges of converters, from what the digital network shows on training inputs.

The ranges belong to the chip's design: they are found once, with exact weights, before any device is
programmed, and never from the inputs on which accuracy is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reliability.chip import Chip
from reliability.crossbar import Crossbar, analog_crossbars, chip_network, crossbars_of, mapped_network
from reliability.errors import UserError
from reliability.layers import (
    Add,
    AveragePool2d,
    Concat,
    Flatten,
    GlobalAveragePool,
    MaxPool2d,
    PadChannels,
    ReLU,
    ReLU6,
    Sigmoid,
    Subsample,
    windows,
)
from reliability.network import INPUT, Network
from reliability.tile import Converter
from reliability.training_inputs import enough_inputs

# Inputs whose activations are held at a time.
_CHUNK = 32
_KEEP_SIGN = (Add, AveragePool2d, Concat, Flatten, GlobalAveragePool, MaxPool2d, PadChannels, Subsample)


@dataclass(frozen=True)
class Ranges:
    """The converters of one layer.

    Attributes
    ----------
    signed : bool
        Whether the layer's inputs can be negative.
    inputs : float or None
        Largest input that the DAC drives, in units of the layer's inputs.
    sums : tuple of float
        Largest column sum that the ADC reads, in units of weight times input, one a slice; empty without.
    """

    signed: bool
    inputs: float | None = None
    sums: tuple[float, ...] = ()


def is_needed(network: Network, chip: Chip) -> bool:
    """Whether a chip's converters take ranges from training inputs."""
    found = crossbars_of(chip_network(network, chip), chip).values()
    return any(
        c.settings.analog and c.settings.tile is not None and c.settings.tile.is_calibrated for c in found
    )


def find_ranges(network: Network, chip: Chip, x: np.ndarray | None, *, negative: bool) -> dict[str, Ranges]:
    """Ranges of every layer with a converter.

    Parameters
    ----------
    network : Network
    chip : Chip
    x : ndarray of float32, shape (N, *input_shape), or None
        Prepared training inputs; at least ``chip.calibration_inputs`` where a range is calibrated, of which
        the first so many are used.
    negative : bool
        Whether the network's inputs can be negative.

    Raises
    ------
    UserError
        If a range is to be calibrated and there are not enough training inputs.
    """
    crossbars = {n: c for n, c in crossbars_of(chip_network(network, chip), chip).items() if c.converts}
    if not crossbars:
        return {}
    count = chip.calibration_inputs
    if is_needed(network, chip):
        if x is None:
            raise UserError(
                f"the converters' ranges are calibrated on {count} training inputs (chip.calibration_inputs)"
                f": give calibration inputs, or set tile.dac.range and tile.adc.range"
            )
        x = enough_inputs(x, count)
    signs = _signs(network, negative)
    mapped = mapped_network(network, chip)
    sources = {node.name: node.inputs[0] for node in mapped.weighted if node.name in crossbars}
    ranges = {name: Ranges(signs[source]) for name, source in sources.items()}
    dacs = {
        name: c.settings.tile.dac for name, c in crossbars.items() if c.settings.tile and c.settings.tile.dac
    }
    tails = {
        name: _Tail(dac, count * int(np.prod(crossbars[name].source)))
        for name, dac in dacs.items()
        if dac.range == "calibrated"
    }
    if tails and x is not None:
        for values in _activations(mapped, x):
            for name, tail in tails.items():
                tail.add(values[sources[name]])
    for name, dac in dacs.items():
        given = tails[name].value() if name in tails else float(dac.range)
        ranges[name] = Ranges(ranges[name].signed, given)
    return ranges | _sum_ranges(mapped, crossbars, sources, ranges, x)


def _sum_ranges(
    mapped: Network,
    crossbars: dict[str, Crossbar],
    sources: dict[str, str],
    ranges: dict[str, Ranges],
    x: np.ndarray | None,
) -> dict[str, Ranges]:
    """The same with the ranges of the ADCs."""
    adcs = {
        name: c.settings.tile.adc for name, c in crossbars.items() if c.settings.tile and c.settings.tile.adc
    }
    tails: dict[str, list[_Tail]] = {}
    for name, adc in adcs.items():
        if adc.range == "calibrated" and x is not None:
            totals = len(x) * conversions(crossbars[name], ranges[name].signed)
            tails[name] = [_Tail(adc, int(total)) for total in totals]
    if tails and x is not None:
        for values in _activations(mapped, x):
            for name, own in tails.items():
                for s, sums in _column_sums(crossbars[name], values[sources[name]], ranges[name]):
                    own[s].add(sums)
    found = {}
    for name, adc in adcs.items():
        slices = len(crossbars[name].read_significance)
        given = tuple(t.value() for t in tails[name]) if name in tails else (float(adc.range),) * slices
        found[name] = Ranges(ranges[name].signed, ranges[name].inputs, given)
    return found


def input_powers(network: Network, chip: Chip, x: np.ndarray) -> dict[str, np.ndarray]:
    """Mean square of the input of every row of every layer on devices.

    Parameters
    ----------
    network : Network
    chip : Chip
    x : ndarray of float32, shape (N, *input_shape)
        Prepared training inputs.

    Returns
    -------
    dict of str to ndarray of float64, shape (groups, rows)
        Over inputs and places, of the digital network with the weights that the mapping represents; 1 of a
        row of biases.
    """
    mapped = mapped_network(network, chip)
    crossbars = analog_crossbars(network, chip)
    sources = {node.name: node.inputs[0] for node in mapped.weighted if node.name in crossbars}
    sums = {name: np.zeros(c.source) for name, c in crossbars.items()}
    for values in _activations(mapped, x):
        for name, crossbar in crossbars.items():
            images = values[sources[name]].reshape(-1, *crossbar.source)
            sums[name] += np.square(images, dtype=np.float64).sum(axis=0)
    found = {}
    for name, crossbar in crossbars.items():
        window, groups = crossbar.window, crossbar.window.groups
        shape = (window.kernel, window.stride, window.padding, window.dilation)
        squares = windows(sums[name][None], *shape, 0.0).mean(axis=(0, 2, 3)) / len(x)
        by_group = squares.reshape(groups, window.channels, *window.kernel)
        rows = by_group.transpose(0, 2, 3, 1).reshape(groups, -1)
        found[name] = np.concatenate([rows, np.ones((groups, int(crossbar.bias_row)))], axis=1)
    return found


def conversions(crossbar: Crossbar, signed: bool) -> np.ndarray:
    """Column sums that each slice's converters read for one input, shape (slices,)."""
    tiles = math.ceil((crossbar.matrix.shape[1] - crossbar.bias_row) / crossbar.tile_rows)
    held = crossbar.mapped.held[: len(crossbar.read_significance)]
    return held.sum(axis=1) * crossbar.places * tiles * crossbar.pulses(signed)


def _activations(network: Network, x: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for first in range(0, len(x), _CHUNK):
        yield network.activations(x[first : first + _CHUNK])


def _column_sums(crossbar: Crossbar, x: np.ndarray, ranges: Ranges) -> Iterator[tuple[int, np.ndarray]]:
    """Sums of every tile, slice and pulse: (slice, sums) with one sum an input, place and line."""
    window, slices = crossbar.window, len(crossbar.read_significance)
    weights = crossbar.slice_weights[:slices].astype(np.float32)
    rows, groups = crossbar.matrix.shape[1] - crossbar.bias_row, window.groups
    own = weights.shape[1] // groups
    for pulse, bias_input in pulses_of(crossbar, x, ranges):
        images = pulse.reshape(-1, *crossbar.source)
        patches = windows(images, window.kernel, window.stride, window.padding, window.dilation, 0.0)
        for g in range(groups):
            part = patches[:, g * window.channels : (g + 1) * window.channels]
            inputs = part.transpose(0, 2, 3, 4, 5, 1).reshape(-1, rows)
            for first in range(0, rows, crossbar.tile_rows):
                here = slice(first, first + crossbar.tile_rows)
                for s in range(len(weights)):
                    lines = weights[s, g * own : (g + 1) * own]
                    sums = inputs[:, here] @ lines[:, :rows][:, here].T
                    if crossbar.bias_row and first + crossbar.tile_rows >= rows:
                        sums += lines[:, -1] * np.float32(bias_input)
                    yield s, sums[:, crossbar.mapped.held[s, g * own : (g + 1) * own]]


def pulses_of(crossbar: Crossbar, x: np.ndarray, ranges: Ranges) -> Iterator[tuple[np.ndarray, float]]:
    """What drives the rows, and the bias row, pulse by pulse; the least significant one comes first."""
    tile = crossbar.settings.tile
    if tile is None or tile.dac is None or ranges.inputs is None:
        yield x, 1.0
        return
    largest = tile.dac.largest_code(ranges.signed)
    step = np.float32(ranges.inputs / largest)
    codes = np.clip(np.rint(x * (np.float32(1) / step)), -largest if ranges.signed else 0, largest)
    pulses, base = tile.dac.pulses(ranges.signed), tile.dac.base
    for p in range(pulses):
        lower = np.trunc(codes / np.float32(base**p))
        upper = np.trunc(codes / np.float32(base ** (p + 1)))
        # The bias row has a driver of its own, which acts once, with the last pulse.
        yield step * (lower - np.float32(base) * upper), float(base**-p) if p + 1 == pulses else 0.0


def _signs(network: Network, negative: bool) -> dict[str, bool]:
    """Whether each node's outputs can be negative."""
    signs = {INPUT: negative}
    for node in network.nodes:
        if isinstance(node.layer, ReLU | ReLU6 | Sigmoid):
            signs[node.name] = False
        elif isinstance(node.layer, _KEEP_SIGN):
            signs[node.name] = any(signs[name] for name in node.inputs)
        else:
            signs[node.name] = True
    return signs


class _Tail:
    """The largest of many values, as many as a percentile of their magnitudes needs."""

    def __init__(self, converter: Converter, total: int) -> None:
        # The place of the percentile among all values in ascending order, as numpy.percentile has it.
        self.place = converter.percentile / 100 * (total - 1)
        self.keep = total - int(self.place)
        self.largest = np.zeros(0, np.float32)

    def add(self, values: np.ndarray) -> None:
        """Take in some of the values."""
        found = np.abs(values).ravel()
        if self.keep == 1:
            found = found.max(keepdims=True)
        joined = np.concatenate([self.largest, found])
        cut = max(len(joined) - self.keep, 0)
        self.largest = np.partition(joined, cut)[cut:] if cut else joined

    def value(self) -> float:
        """The percentile; 1 where all values are zero, so that a dead layer still has a range."""
        lowest = np.sort(self.largest)[:2].astype(np.float64)
        part = self.place - int(self.place)
        return float(lowest[0] + part * (lowest[-1] - lowest[0])) or 1.0
