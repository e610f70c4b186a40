"""Exact column sums of the first layer, which all chips share, and its inputs as 8-bit codes.

See :mod:`reliability.kernels.response`. Only a fully connected layer that reads the network's own inputs has
sums that are the same on all chips and small enough to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reliability.calibration import Ranges, pulses_of
from reliability.crossbar import Crossbar
from reliability.kernels.simd import VECTOR

_LARGEST = 1 << 26
"""Shared sums that are kept, at most (256 MiB)."""

_LEVELS = 255
# Integer sums of so many rows fit in 32 bits.
_MOST_ROWS = 60_000


@dataclass(frozen=True, eq=False)
class Span:
    """Rows whose sums are converted, or added up, together.

    Attributes
    ----------
    row, rows : int
    zero : int
        Code of an input of zero.
    step : float
        Input of one code.
    codes : ndarray of uint8
        [block][four rows][VECTOR][4], flat.
    base : ndarray of float32
        Exact sums, [block][line][VECTOR], flat.
    """

    row: int
    rows: int
    zero: int
    step: float
    codes: np.ndarray
    base: np.ndarray


def spans_of(
    crossbar: Crossbar, x: np.ndarray, ranges: Ranges | None, observation_s: float | None = None
) -> list[Span]:
    """Spans of a fully connected layer that reads the network's inputs; none where it cannot share its sums.

    Parameters
    ----------
    crossbar : Crossbar
    x : ndarray of float32, shape (N, *input_shape)
        Prepared inputs.
    ranges : Ranges, optional
        Of the layer's converters.
    observation_s : float, optional
        Where the chip splits fluctuation (:attr:`reliability.Chip.frozen_below_s`).
    """
    rows = crossbar.matrix.shape[1]
    tile, device, mapped = crossbar.settings.tile, crossbar.settings.device, crossbar.mapped
    assert tile is not None and device is not None
    # Without converters behind them the sums of all tiles add up to one.
    step_rows = crossbar.tile_rows if tile.adc is not None else rows
    spans = -(-rows // step_rows)
    fits = len(x) * crossbar.lines * spans <= _LARGEST and rows <= _MOST_ROWS
    # Noise that each tile redraws comes between its sums and what is done with them.
    apart = crossbar.is_tiled and crossbar.redraws(observation_s, len(x))
    if not fits or apart or tile.wires.is_on or crossbar.bias_row or len(mapped.significance) > 1:
        return []
    pulses = list(pulses_of(crossbar, x, ranges or Ranges(True)))
    if len(pulses) > 1:
        return []
    driven = pulses[0][0].reshape(len(x), *crossbar.source).transpose(0, 2, 3, 1).reshape(len(x), -1)
    codes, zero, step = _codes(crossbar, driven, ranges)
    # What the kernels take a chip's deviations from, rounded as they round it.
    targets = crossbar.targets_us[0].astype(np.float32)
    weights = (targets * np.float32(mapped.weight_scale / crossbar.range_us)).astype(np.float64)
    made = []
    for first in range(0, rows, step_rows):
        here = slice(first, min(first + step_rows, rows))
        base = driven[:, here].astype(np.float64) @ weights[:, here].T
        made.append(Span(first, here.stop - first, zero, step, _pack_codes(codes[:, here]), _pack_sums(base)))
    return made


def _codes(crossbar: Crossbar, driven: np.ndarray, ranges: Ranges | None) -> tuple[np.ndarray, int, float]:
    """Inputs as bytes, the byte of zero, and the input of one step: exact behind a DAC of up to 8 bits."""
    tile = crossbar.settings.tile
    if tile is not None and tile.dac is not None and ranges is not None and ranges.inputs is not None:
        largest = tile.dac.largest_code(ranges.signed)
        if tile.dac.bits <= 8:
            step, zero = ranges.inputs / largest, largest if ranges.signed else 0
            return (np.rint(driven / step) + zero).astype(np.uint8), zero, step
    low, high = min(float(driven.min()), 0.0), max(float(driven.max()), 0.0)
    step = (high - low) / _LEVELS or 1.0
    zero = round(-low / step)
    return np.clip(np.rint(driven / step) + zero, 0, _LEVELS).astype(np.uint8), zero, step


def _pack_codes(codes: np.ndarray) -> np.ndarray:
    count, rows = codes.shape
    blocks, quads = -(-count // VECTOR), -(-rows // 4)
    full = np.zeros((blocks * VECTOR, 4 * quads), np.uint8)
    full[:count, :rows] = codes
    return full.reshape(blocks, VECTOR, quads, 4).transpose(0, 2, 1, 3).ravel()


def _pack_sums(sums: np.ndarray) -> np.ndarray:
    count, lines = sums.shape
    blocks = -(-count // VECTOR)
    full = np.zeros((blocks * VECTOR, lines), np.float32)
    full[:count] = sums
    return full.reshape(blocks, VECTOR, lines).transpose(0, 2, 1).ravel()
