"""The first layer at the speed of 8-bit integers: an exact product shared by all chips, and what a chip adds.

All chips read the same inputs with their first layer. Its exact column sums are computed once; what the
devices of one chip add to them is small, so that it is rounded to 8 bits and multiplied as integers, without
further error. Rounding adds at most ``ROUNDING`` to the variance of a layer's deviations; where it would add
more, the chip's layer is computed in float32 like any other.
"""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .convert import count_lanes, read
from .intrinsics import add32, and32, bits_of, float_of_bits, fma32, mul32, nearest_int, prefer_wide_vectors
from .simd import OUTPUTS, VECTOR, VECTORS, make_response

_F = np.float32
_CODES = _F(127)
ROUNDING = 1e-3

_full_3, _full_1, _one_3, _one_1 = (
    make_response(outputs, vectors, False) for outputs in (OUTPUTS, 1) for vectors in (3, 1)
)
_read_full_3, _read_full_1, _read_one_3, _read_one_1 = (
    make_response(outputs, vectors, True) for outputs in (OUTPUTS, 1) for vectors in (3, 1)
)


@compiled()
def deviate(w, target, scale, out):
    """What weights deviate by from those that the targets stand for."""
    prefer_wide_vectors()
    for i in range(w.size):
        out[i] = w[i] - target[i] * scale


@compiled()
def _largest(deviations):
    """Largest magnitude; its bits are compared, because integers vectorise."""
    prefer_wide_vectors()
    largest = np.uint32(0)
    for k in range(deviations.size):
        bits = and32(bits_of(deviations[k]), np.uint32(0x7FFFFFFF))
        largest = bits if bits > largest else largest
    return float_of_bits(largest)


@compiled()
def _round(deviations, inverse, out):
    """Deviations in steps of ``1 / inverse``; returns the sum of these and of their squares."""
    prefer_wide_vectors()
    total, energy = np.uint32(0), np.uint32(0)
    for k in range(deviations.size):
        step = nearest_int(deviations[k] * inverse)
        out[k] = np.int8(step)
        total = add32(total, step)
        energy = add32(energy, mul32(step, step))
    return np.int32(total), energy


@compiled()
def round_line(plan, work, layer, j, deviations):
    """Round one chip's deviations of line ``j`` of a layer that starts from shared sums.

    Parameters
    ----------
    plan : layout.Plan
    work : layout.Workspace
        ``deltas``, ``starts`` and ``scales`` are written.
    layer : record of layout.LAYER
    j : int
    deviations : ndarray of float32, shape (rows,)

    Returns
    -------
    rounding, energy : float
        Sums of the variances that rounding adds and of the squared deviations; the first is infinite where a
        deviation is not a finite number.
    """
    rounding, energy = 0.0, 0.0
    for s in range(layer.spans):
        span = plan.spans[layer.spans_at + s]
        own = deviations[span.row : span.row + span.rows]
        largest = _largest(own)
        # The logits of a chip that is not a number are left to the float32 path.
        if not largest < _F(1e30):
            return np.inf, 0.0
        step = largest / _CODES
        inverse = _F(1) / step if step > _F(1e-30) else _F(0)
        at = span.deltas_at + j * 4 * span.quads
        total, squares = _round(own, inverse, work.deltas[at : at + span.rows])
        work.starts[span.scales_at + j] = -np.int32(span.zero) * total
        work.scales[span.scales_at + j] = step * span.step
        rounding += np.float64(step) * step / 12 * span.rows
        energy += np.float64(step) * step * squares
    return rounding, energy


@compiled()
def respond(plan, work, layer, number, reads, first_block, vectors, c, begins, clipped):
    """Column sums of one span of rows: the shared exact ones and what this chip adds.

    Parameters
    ----------
    plan, work, layer
        As :func:`round_line`.
    number : int
        Of the layer's spans.
    reads : bool
        Whether the sums pass converters.
    first_block, vectors : int
        Blocks of inputs.
    c : ndarray of float32
        Vectors x lines x VECTOR. Written; behind converters the sums are added to it unless it ``begins``.
    begins : bool
    clipped : ndarray of int64
        The number of sums beyond their converter's range is added to its last element.
    """
    span = plan.spans[layer.spans_at + number]
    stride = 4 * span.quads
    x_step = stride * VECTOR
    step = layer.lines * VECTOR
    converter = plan.converters[layer.adc_at if reads else 0]
    first = 0
    while first < vectors:
        many = vectors - first >= VECTORS
        x_at = span.codes_at + (first_block + first) * x_step
        base_at = span.base_at + (first_block + first) * step
        j = 0
        while j < layer.lines:
            args = (
                work.deltas, span.deltas_at + j * stride, stride, work.starts, work.scales,
                span.scales_at + j, plan.codes, x_at, x_step, span.quads,
                plan.base, base_at + j * VECTOR, step, c, first * step + j * VECTOR, step,
                converter.inverse, converter.step, converter.lowest, converter.highest, begins, work.lanes,
            )  # fmt: skip
            if layer.lines - j >= OUTPUTS:
                j += OUTPUTS
                if reads and many:
                    _read_full_3(*args)
                elif reads:
                    _read_full_1(*args)
                elif many:
                    _full_3(*args)
                else:
                    _full_1(*args)
            else:
                j += 1
                if reads and many:
                    _read_one_3(*args)
                elif reads:
                    _read_one_1(*args)
                elif many:
                    _one_3(*args)
                else:
                    _one_1(*args)
        done = VECTORS if many else 1
        if reads:
            for v in range(done):
                inputs = plan.count - (first_block + first + v) * VECTOR
                clipped[clipped.size - 1] += count_lanes(work.lanes, v * VECTOR, inputs)
        first += done


@compiled()
def go_part_way(base, whole, level, out):
    """From ``base``, the share ``level`` of the way to ``whole``."""
    prefer_wide_vectors()
    for i in range(out.size):
        out[i] = fma32(level, whole[i] - base[i], base[i])


@compiled()
def respond_in_part(plan, work, layer, number, level, first_block, vectors, clipped):
    """Column sums of one span of a variant that has ``level`` of the deviations, added to ``work.sums``.

    ``work.response`` holds them for the whole deviations, span by span; other arguments as :func:`respond`.
    """
    span = plan.spans[layer.spans_at + number]
    size = layer.lines * VECTOR
    for v in range(vectors):
        at = span.base_at + (first_block + v) * size
        base = plan.base[at : at + size]
        at = (number * VECTORS + v) * size
        whole = work.response[at : at + size]
        sums = work.sums[v * size : (v + 1) * size]
        if layer.adc_at < 0:
            # Without converters there is one span.
            go_part_way(base, whole, level, sums)
            continue
        part = work.part[:size]
        go_part_way(base, whole, level, part)
        inputs = plan.count - (first_block + v) * VECTOR
        read(
            part, sums, layer.lines, 0, layer.lines, 1, _F(1), plan.converters[layer.adc_at], number == 0,
            work.lanes, inputs, 0, clipped,
        )  # fmt: skip
