"""Converters: a tile's inputs to levels and pulses, its column sums to codes and back to numbers."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .intrinsics import fma32, prefer_wide_vectors
from .simd import VECTOR, make_quantise

_F = np.float32
_set = make_quantise(False)
_add = make_quantise(True)


@compiled()
def count_lanes(lanes, at, inputs):
    """Clipped values of the first ``inputs`` lanes of a vector; its counters start again at zero."""
    prefer_wide_vectors()
    total = np.int32(0)
    for i in range(VECTOR):
        total += lanes[at + i] if i < inputs else np.int32(0)
        lanes[at + i] = 0
    return np.int64(total)


@compiled()
def _digits(codes, out, step, base, weight):
    """The digits of significance ``1 / weight``, times ``step``; the sign is the polarity of the pulse."""
    prefer_wide_vectors()
    for i in range(codes.size):
        digit = np.trunc(codes[i] * weight) - base * np.trunc(codes[i] * (weight / base))
        out[i] = step * digit


@compiled()
def drive(x, x_at, out, out_at, pulse_step, vectors, pulses, base, converter, lanes, inputs):
    """What the rows of a layer are driven with: ``vectors`` inputs through its DAC, pulse by pulse.

    Parameters
    ----------
    x, x_at : ndarray of float32, int
    out, out_at, pulse_step : ndarray of float32, int, int
        Written: the pulses, least significant first.
    vectors, pulses : int
    base : float32
        Significance of a pulse over that of the one before, a power of two.
    converter : record of layout.CONVERTER
    lanes : ndarray of int32
        Zeros; scratch.
    inputs : int
        Lanes that hold inputs.

    Returns
    -------
    int
        Inputs beyond the converter's range.
    """
    inverse, lowest, highest = converter.inverse, converter.lowest, converter.highest
    if pulses == 1:
        _set(x, x_at, out, out_at, vectors, inverse, converter.step, lowest, highest, lanes)
        return count_lanes(lanes, 0, inputs)
    n = vectors * VECTOR
    last = out_at + (pulses - 1) * pulse_step
    _set(x, x_at, out, last, vectors, inverse, _F(1), lowest, highest, lanes)
    codes = out[last : last + n]
    weight = _F(1)
    for p in range(pulses):
        # The last pulse takes the place of the codes.
        first = out_at + p * pulse_step
        _digits(codes, out[first : first + n], converter.step, base, weight)
        weight /= base
    return count_lanes(lanes, 0, inputs)


@compiled()
def read(
    part, sums, all_lines, first_line, lines, vectors, factor, converter, begins,
    lanes, inputs, input_step, clipped,
):  # fmt: skip
    """Column sums of one strip through their converters, added to ``sums`` with their ``factor``.

    Parameters
    ----------
    part : ndarray of float32, vectors x lines x VECTOR
    sums : ndarray of float32, vectors x all lines x VECTOR
    all_lines, first_line, lines, vectors : int
    factor : float32
        Significance of the slice and the pulse.
    converter : record of layout.CONVERTER
    begins : bool
        Whether to write and not to add.
    lanes : ndarray of int32
        Zeros; scratch.
    inputs, input_step : int
        Inputs from the first vector on, and from one vector to the next.
    clipped : ndarray of int64
        The number of sums beyond the range is added to its last element.
    """
    step = converter.step * factor
    inverse, lowest, highest = converter.inverse, converter.lowest, converter.highest
    for v in range(vectors):
        at, to = v * lines * VECTOR, (v * all_lines + first_line) * VECTOR
        if begins:
            _set(part, at, sums, to, lines, inverse, step, lowest, highest, lanes)
        else:
            _add(part, at, sums, to, lines, inverse, step, lowest, highest, lanes)
        clipped[clipped.size - 1] += count_lanes(lanes, 0, inputs - v * input_step)


@compiled()
def accumulate(part, sums, all_lines, first_line, lines, vectors, factor, begins):
    """The same without converters."""
    prefer_wide_vectors()
    count = lines * VECTOR
    for v in range(vectors):
        at, to = v * count, (v * all_lines + first_line) * VECTOR
        source, target = part[at : at + count], sums[to : to + count]
        if begins:
            for i in range(count):
                target[i] = source[i] * factor
        else:
            for i in range(count):
                target[i] = fma32(source[i], factor, target[i])


@compiled()
def subtract_references(layer, sums, vectors):
    """Columns less the reference of their tile; the columns close ranks."""
    own = layer.columns // layer.groups
    lines = own + layer.references
    for v in range(vectors):
        for g in range(layer.groups):
            at = (v * layer.lines + g * lines) * VECTOR
            to = (v * layer.columns + g * own) * VECTOR
            for j in range(own):
                beside = at + (own + j // layer.tile_columns) * VECTOR
                for i in range(VECTOR):
                    # Sources lie at or behind their targets, and are read in time.
                    sums[to + j * VECTOR + i] = sums[at + j * VECTOR + i] - sums[beside + i]
