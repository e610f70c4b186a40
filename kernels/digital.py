"""What is digital: the end of a layer, sums, activations, copies and pooling, pixel by pixel."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .float32 import exp32
from .intrinsics import prefer_wide_vectors
from .layout import AVERAGE_POOL, INPUTS, NONE, RELU, RELU6, SIGMOID
from .simd import VECTOR, make_finish

_F = np.float32
_plain = make_finish(False, None, None)
_plain_relu = make_finish(False, 0.0, None)
_plain_relu6 = make_finish(False, 0.0, 6.0)
_add = make_finish(True, None, None)
_add_relu = make_finish(True, 0.0, None)
_add_relu6 = make_finish(True, 0.0, 6.0)


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


@compiled()
def finish(op, a, b, sums, sums_at, y, y_at, places, channels, factor, other, other_at):
    """The digital end of neighbouring places: factor, offset, sum with another input, activation.

    ``a`` and ``b`` are the plan's scales and shifts.
    """
    at = op.coefficients_at
    if op.other < 0:
        if op.activation == RELU:
            _plain_relu(sums, sums_at, y, y_at, places, channels, a, b, at, factor, sums, 0)
        elif op.activation == RELU6:
            _plain_relu6(sums, sums_at, y, y_at, places, channels, a, b, at, factor, sums, 0)
        else:
            _plain(sums, sums_at, y, y_at, places, channels, a, b, at, factor, sums, 0)
    elif op.activation == RELU:
        _add_relu(sums, sums_at, y, y_at, places, channels, a, b, at, factor, other, other_at)
    elif op.activation == RELU6:
        _add_relu6(sums, sums_at, y, y_at, places, channels, a, b, at, factor, other, other_at)
    else:
        _add(sums, sums_at, y, y_at, places, channels, a, b, at, factor, other, other_at)
    if op.activation != NONE and op.activation != RELU and op.activation != RELU6:
        _smooth(y, y_at, places * channels * VECTOR, op.activation)


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
    for row in range(target.height):
        here, there, beside = (
            x_at + row * source.row_step,
            y_at + row * target.row_step,
            other_at + row * other_row,
        )
        finish(
            op,
            plan.scales,
            plan.shifts,
            x,
            here,
            y,
            there,
            target.width,
            source.channels,
            _F(1),
            other,
            beside,
        )


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
            for i in range(n):
                y[end + i] = x[start + i]


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
