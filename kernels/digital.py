"""What is digital: the end of a layer, sums, activations, copies and pooling, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .float32 import exp32
from .intrinsics import prefer_wide_vectors
from .layout import AVERAGE_POOL, INPUTS, RELU, RELU6, SIGMOID, TANH
from .simd import VECTOR, End, make_finish

_F = np.float32
_plain = make_finish(False)
_add = make_finish(True)


@compiled()
def locate(plan, work, index, variant, block, first_block):
    """The array that a buffer lives in, and where one block's first pixel stands in it."""
    buffer = plan.buffers[index]
    if index == INPUTS:
        return plan.inputs, buffer.at + (first_block + block) * buffer.block_step
    return work.arena, buffer.at + variant * buffer.variant_step + block * buffer.block_step


@compiled()
def _smooth(y, at, count, kind):
    """Sigmoid or tanh of ``count`` values in place."""
    prefer_wide_vectors()
    values = y[at : at + count]
    if kind == SIGMOID:
        for i in range(count):
            values[i] = _F(1) / (_F(1) + exp32(-values[i]))
    else:
        for i in range(count):
            values[i] = _F(1) - _F(2) / (exp32(_F(2) * values[i]) + _F(1))


@njit(inline="always")
def end_of(plan, work, op, variant, factor, y, y_at, y_step, other, other_at, other_step):
    """The end that an operation describes; sigmoid and tanh come after it."""
    at = op.coefficients_at + variant * plan.coefficients_step
    lowest = _F(0) if op.activation in (RELU, RELU6) else -_F(np.inf)
    highest = _F(6) if op.activation == RELU6 else _F(np.inf)
    return End(
        y, y_at, y_step, op.other >= 0, other, other_at, other_step,
        work.end_scales, work.end_shifts, at, factor, lowest, highest,
    )  # fmt: skip


@compiled()
def finish(end, activation, sums, at, step, places, channels):
    """The digital end of sums in memory, whatever the activation."""
    if end.adds:
        _add(end, sums, at, step, places, channels)
    else:
        _plain(end, sums, at, step, places, channels)
    if activation in (SIGMOID, TANH):
        for place in range(places):
            _smooth(end.y, end.y_at + place * end.y_step, channels * VECTOR, activation)


@compiled()
def affine(plan, work, op, variant, block, first_block):
    """Factor and offset of each channel, a sum with another input, an activation."""
    source, target = plan.buffers[op.source], plan.buffers[op.target]
    x, x_at = locate(plan, work, op.source, variant, block, first_block)
    y, y_at = locate(plan, work, op.target, variant, block, first_block)
    other, other_at = x, x_at
    other_row = source.row_step
    if op.other >= 0:
        other, other_at = locate(plan, work, op.other, variant, block, first_block)
        other_row = plan.buffers[op.other].row_step
    pixel = source.channels * VECTOR
    for row in range(target.height):
        beside = other_at + row * other_row
        y_row = y_at + row * target.row_step
        end = end_of(plan, work, op, variant, _F(1), y, y_row, pixel, other, beside, pixel)
        here = x_at + row * source.row_step
        finish(end, op.activation, x, here, pixel, target.width, source.channels)


@compiled()
def copy(plan, work, op, variant, block, first_block):
    """Pixels at a stride, into some channels of the target."""
    source, target = plan.buffers[op.source], plan.buffers[op.target]
    x, x_at = locate(plan, work, op.source, variant, block, first_block)
    y, y_at = locate(plan, work, op.target, variant, block, first_block)
    n = source.channels * VECTOR
    for row in range(target.height):
        for p in range(target.width):
            start = x_at + row * op.stride_height * source.row_step + p * op.stride_width * n
            end = y_at + row * target.row_step + (p * target.channels + op.channel) * VECTOR
            # The first pixel of a window is copied.
            _pool_pixel(x, start, y, end, n, False, True)


@compiled()
def _pool_pixel(x, x_at, y, y_at, n, largest, first):
    prefer_wide_vectors()
    source = x[x_at : x_at + n]
    out = y[y_at : y_at + n]
    if first:
        for i in range(n):
            out[i] = source[i]
    elif largest:
        for i in range(n):
            # A value that is not a number wins, as in NumPy.
            out[i] = out[i] if out[i] >= source[i] or out[i] != out[i] else source[i]
    else:
        for i in range(n):
            out[i] += source[i]


@compiled()
def _scale(y, at, count, factor):
    prefer_wide_vectors()
    values = y[at : at + count]
    for i in range(count):
        values[i] *= factor


@compiled()
def pool(plan, work, op, variant, block, first_block):
    """Largest value or mean of each window; windows end at the image's edge."""
    source, target = plan.buffers[op.source], plan.buffers[op.target]
    x, x_at = locate(plan, work, op.source, variant, block, first_block)
    y, y_at = locate(plan, work, op.target, variant, block, first_block)
    n = source.channels * VECTOR
    mean = op.kind == AVERAGE_POOL
    for row in range(target.height):
        for p in range(target.width):
            end = y_at + row * target.row_step + p * n
            count = 0
            for ky in range(op.kernel_height):
                sy = row * op.stride_height - op.top + ky
                if sy < 0 or sy >= source.height:
                    continue
                for kx in range(op.kernel_width):
                    sx = p * op.stride_width - op.left + kx
                    if sx < 0 or sx >= source.width:
                        continue
                    _pool_pixel(x, x_at + sy * source.row_step + sx * n, y, end, n, not mean, count == 0)
                    count += 1
            if mean:
                _scale(
                    y, end, n, _F(1) / _F(op.kernel_height * op.kernel_width if op.count_padding else count)
                )
