"""Repair: what the working cells of weights are set to beside broken ones, and what error is left.

Everything here is in microsiemens. What a slice holds is the difference of its two sides: of a pair the
positive and the negative device, of an offset mapping the weight's own device and the reference. A broken
cell conducts what the fault map says; ``faults.WORKS``, below zero, stands for one that works.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .convert import accumulate
from .faults import find_faults
from .intrinsics import prefer_wide_vectors
from .layout import LAYER, TILE
from .pointer import caller
from .product import call_multiply
from .simd import VECTOR, End

KEEP, CORRECT, RESET, DIGITS = range(4)
"""How slices are set: as if no cell were broken; each by what is left of those before it; anew, to come as
near as possible to what all shall hold; the same in steps of a digit."""

_F = np.float32

REPAIR = np.dtype(
    [
        ("rule", np.int64),
        ("slices", np.int64),
        ("pair", np.int64),
        ("g_min", np.float32),  # of a device
        ("g_range", np.float32),
        ("step", np.float32),  # of one digit
    ]
)


@compiled(nogil=True)
def fault_map(layers, effects, latents, chip, stuck, field, scratch):
    """:func:`faults.find_faults` of the first layer and the first effects of two arrays."""
    find_faults(layers[0], effects[0], latents, chip, stuck, field, scratch)


@compiled()
def _reach(how, a, b, reference):
    """Smallest and largest difference that one slice can hold, and a difference from which its digits count.

    ``a`` and ``b`` are what its sides conduct if broken, ``reference`` what the second side of an offset
    mapping does otherwise.
    """
    largest = how.g_min + how.g_range
    if how.pair == 0 and b < _F(0):
        b = reference
    if a < _F(0) and b < _F(0):
        return -how.g_range, how.g_range, _F(0)
    if a < _F(0):
        return how.g_min - b, largest - b, how.g_min - b
    if b < _F(0):
        return a - largest, a - how.g_min, a - how.g_min
    return a - b, a - b, a - b


@compiled()
def _kept(how, a, b, reference, h):
    """What one slice holds if its working side is set to what the difference ``h`` of working cells takes."""
    if how.pair:
        plus, minus = max(h, _F(0)) + how.g_min, max(-h, _F(0)) + how.g_min
    else:
        plus, minus = h + reference, reference
    return (plus if a < _F(0) else a) - (minus if b < _F(0) else b)


@compiled()
def set_slices(how, significance, a, b, references, nominal, first, count, wanted, held, left):
    """Set the slices of weights whose cells are broken in one and the same way.

    Parameters
    ----------
    how : record of REPAIR
    significance : ndarray of float32, shape (slices,)
    a, b : ndarray of float32, shape (slices,)
        What the two sides conduct; below zero if they work.
    references : ndarray of float32, shape (slices,)
        What the second side of an offset mapping is set to.
    nominal : ndarray of float32, shape (slices, weights)
        Differences that the slices hold where nothing is broken.
    first, count : int
        Of the weights.
    wanted : ndarray of float32, shape (weights,)
        What all slices shall hold together, each times its significance.
    held : ndarray of float32, shape (2 x slices, count)
        Written: the differences that the slices then hold, and scratch behind them.
    left : ndarray of float32, shape (2, count)
        Written: what they miss of what is wanted, and scratch behind it.
    """
    prefer_wide_vectors()
    for i in range(count):
        left[0, i] = left[1, i] = wanted[first + i]
    if how.rule == CORRECT:
        for s in range(how.slices):
            for i in range(count):
                h = nominal[s, first + i] if s == 0 else left[0, i] / significance[s]
                h = min(max(h, -how.g_range), how.g_range)
                held[s, i] = _kept(how, a[s], b[s], references[s], h)
                left[0, i] -= significance[s] * held[s, i]
        return
    for s in range(how.slices):
        for i in range(count):
            held[s, i] = _kept(how, a[s], b[s], references[s], nominal[s, first + i])
            left[0, i] -= significance[s] * held[s, i]
    if how.rule == KEEP:
        return
    if how.rule == DIGITS:
        _set_digits(how, significance, a, b, references, count, held, left)
    else:
        _set_anew(how, significance, a, b, references, nominal, first, count, held, left)
    # Slices stay where setting them anew would not come nearer.
    for s in range(how.slices):
        for i in range(count):
            anew = abs(left[1, i]) < abs(left[0, i])
            held[s, i] = held[how.slices + s, i] if anew else held[s, i]
    for i in range(count):
        left[0, i] = left[1, i] if abs(left[1, i]) < abs(left[0, i]) else left[0, i]


@compiled()
def _set_anew(how, significance, a, b, references, nominal, first, count, held, left):
    """Bring each slice into its reach, then put what is missing on them, the most significant first."""
    prefer_wide_vectors()
    for s in range(how.slices):
        low, high, _ = _reach(how, a[s], b[s], references[s])
        for i in range(count):
            h = min(max(nominal[s, first + i], low), high)
            held[how.slices + s, i] = h
            left[1, i] -= significance[s] * h
    for s in range(how.slices):
        low, high, _ = _reach(how, a[s], b[s], references[s])
        for i in range(count):
            before = held[how.slices + s, i]
            h = min(max(before + left[1, i] / significance[s], low), high)
            held[how.slices + s, i] = h
            left[1, i] -= significance[s] * (h - before)


@compiled()
def _set_digits(how, significance, a, b, references, count, held, left):
    """Choose digits, the most significant first, that leave what is near the middle of the others' reach."""
    prefer_wide_vectors()
    middle = _F(0)
    for s in range(how.slices):
        low, high, _ = _reach(how, a[s], b[s], references[s])
        middle += significance[s] * _F(0.5) * (low + high)
    for s in range(how.slices):
        low, high, origin = _reach(how, a[s], b[s], references[s])
        middle -= significance[s] * _F(0.5) * (low + high)
        for i in range(count):
            best = (left[1, i] - middle) / significance[s] - origin
            h = min(max(origin + how.step * np.rint(best / how.step), low), high)
            held[how.slices + s, i] = h
            left[1, i] -= significance[s] * h


@compiled()
def _is_broken(a, b, slices):
    largest = _F(-1)
    for s in range(slices):
        largest = max(largest, a[s], b[s])
    return largest >= _F(0)


@compiled(nogil=True)
def row_costs(hows, significance, a, b, references, nominal, wanted, weights, cells, held, left, cost):
    """What it costs to hold each weight row of a tile in each of its word lines: weighted squared errors.

    Parameters
    ----------
    hows : ndarray of REPAIR, shape (1,)
    significance, references : ndarray of float32, shape (slices,)
    a : ndarray of float32, shape (slices, lines, word lines)
        Of the lines that hold the weights.
    b : ndarray of float32, shape (slices, lines, word lines), or (slices, 1, word lines) of a reference
    nominal : ndarray of float32, shape (lines, slices, rows)
    wanted : ndarray of float32, shape (lines, rows)
    weights : ndarray of float32, shape (rows,)
        Of the squared errors of a row.
    cells, held, left : ndarray of float32, shape (2, slices), (2 x slices, rows), (2, rows)
        Scratch.
    cost : ndarray of float64, shape (rows, word lines)
        Written.
    """
    prefer_wide_vectors()
    how = hows[0]
    rows, word_lines = cost.shape
    for p in range(word_lines):
        for r in range(rows):
            cost[r, p] = 0.0
        for line in range(a.shape[1]):
            for s in range(how.slices):
                cells[0, s] = a[s, line, p]
                cells[1, s] = b[s, line if how.pair else 0, p]
            if not _is_broken(cells[0], cells[1], how.slices):
                continue
            set_slices(
                how, significance, cells[0], cells[1], references, nominal[line], 0, rows, wanted[line], held,
                left,
            )  # fmt: skip
            for r in range(rows):
                cost[r, p] += np.float64(weights[r] * left[0, r] * left[0, r])


@compiled(nogil=True)
def column_costs(
    hows, significance, a, b, references, nominal, wanted, weights, places, own, reference, cells, held, left,
    cost,
):  # fmt: skip
    """What it costs to hold each weight column of a tile in its own line and in each spare one.

    Parameters
    ----------
    hows, significance, references, nominal, wanted, weights, cells, held, left
        As for :func:`row_costs`.
    a, b : ndarray of float32, shape (slices, physical lines, word lines)
        Of all lines, the spare ones behind the ``own``.
    places : ndarray of int64, shape (rows,)
        The word line of each row.
    own : int
        Lines that are not spare.
    reference : int
        Physical line that serves as the reference; of an offset mapping.
    cost : ndarray of float64, shape (columns, 1 + spare lines)
        Written; in their own lines first.
    """
    how = hows[0]
    for j in range(cost.shape[0]):
        for k in range(cost.shape[1]):
            line = j if k == 0 else own + k - 1
            beside = line if how.pair else reference
            total = 0.0
            for r in range(places.size):
                for s in range(how.slices):
                    cells[0, s], cells[1, s] = a[s, line, places[r]], b[s, beside, places[r]]
                if not _is_broken(cells[0], cells[1], how.slices):
                    continue
                set_slices(
                    how, significance, cells[0], cells[1], references, nominal[j], r, 1, wanted[j], held, left
                )
                total += np.float64(weights[r] * left[0, 0] * left[0, 0])
            cost[j, k] = total


@compiled(nogil=True)
def settle(
    hows, significance, stuck, reference_of, references, nominal, wanted, cells, held, left, aims, errors
):  # fmt: skip
    """Final targets of a layer's cells, and what every weight misses.

    Parameters
    ----------
    hows, significance, references, cells, held, left
        As for :func:`row_costs`.
    stuck : ndarray of float32, shape (copies, lines x rows or more)
        What the cells that the weights have come to conduct.
    reference_of : ndarray of int64, shape (lines,)
        The reference line of each line; -1 of a pair's lines, -2 of reference lines.
    nominal : ndarray of float32, shape (lines, slices, rows)
    wanted : ndarray of float32, shape (lines, rows)
    aims : ndarray of float32, shape (copies, lines x rows or more)
        Targets of the cells; of weights with broken cells they are changed. Empty where targets stay.
    errors : ndarray of float32, shape (lines, rows)
        Written: what is wanted less what is held.
    """
    how = hows[0]
    lines, rows = wanted.shape
    devices = 2 if how.pair else 1
    for line in range(lines):
        other = reference_of[line]
        for r in range(rows):
            errors[line, r] = _F(0)
            if other == -2:
                continue
            at = line * rows + r
            for s in range(how.slices):
                cells[0, s] = stuck[devices * s, at]
                cells[1, s] = stuck[devices * s + 1, at] if how.pair else stuck[s, other * rows + r]
            if not _is_broken(cells[0], cells[1], how.slices):
                continue
            set_slices(
                how, significance, cells[0], cells[1], references, nominal[line], r, 1, wanted[line], held,
                left,
            )  # fmt: skip
            errors[line, r] = left[0, 0]
            if aims.size == 0:
                continue
            for s in range(how.slices):
                h, a, b = held[s, 0], cells[0, s], cells[1, s]
                if how.pair == 0:
                    aims[s, at] = h + (references[s] if b < _F(0) else b)
                elif a < _F(0) and b < _F(0):
                    aims[2 * s, at] = max(h, _F(0)) + how.g_min
                    aims[2 * s + 1, at] = max(-h, _F(0)) + how.g_min
                elif a < _F(0):
                    aims[2 * s, at] = h + b
                elif b < _F(0):
                    aims[2 * s + 1, at] = a - h


@compiled()
def add_words(
    multiply, layer, tiles, offsets, runs, words, at, x, x_at, x_step, part, sums, vectors, factor, nothing
):  # fmt: skip
    """Add the digital corrections of a strip of column sums, exact inputs times stored words.

    Parameters
    ----------
    multiply : int
        Address of the product.
    layer, tiles, offsets, runs, x, x_at, x_step, vectors
        As for :func:`product.multiply`.
    words : ndarray of float32
        From ``at`` on columns x rows, zeros where nothing is stored.
    part : ndarray of float32
        Scratch: as many sums.
    sums : ndarray of float32
        Vectors x columns x VECTOR, which is added to.
    factor : float32
        What the digital end will multiply the sums by.
    nothing : ndarray of float32
    """
    prefer_wide_vectors()
    zero, one = np.int64(0), _F(1)
    end = End(nothing, zero, zero, False, nothing, zero, zero, nothing, nothing, zero, one, one, one)
    call_multiply(
        multiply, layer, tiles, zero, layer.tiles, offsets, runs, layer.columns, words, at, x, x_at, x_step,
        part, zero, vectors, False, end,
    )  # fmt: skip
    if layer.bias_row:
        for j in range(layer.columns):
            bias = words[at + j * layer.rows + layer.rows - 1]
            for v in range(vectors):
                first = (v * layer.columns + j) * VECTOR
                for i in range(first, first + VECTOR):
                    part[i] += bias
    accumulate(part, sums, layer.columns, zero, layer.columns, vectors, one / factor, False)


_FLOATS, _INTS, _INT, _FLOAT = types.float32[::1], types.int64[::1], types.int64, types.float32
WORDS = types.void(
    _INT, from_dtype(LAYER), types.Array(from_dtype(TILE), 1, "C"), _INTS, _INTS, _FLOATS, _INT, _FLOATS,
    _INT, _INT, _FLOATS, _FLOATS, _INT, _FLOAT, _FLOATS,
)  # fmt: skip
"""Signature of :func:`add_words`."""


@intrinsic
def call_add_words(
    typingctx, address, multiply, layer, tiles, offsets, runs, words, at, x, x_at, x_step, part, sums,
    vectors, factor, nothing,
):  # fmt: skip
    """Call :func:`add_words` at ``address``."""
    return caller(WORDS)
