"""One chip's network applied to one block of inputs."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .intrinsics import bits_of, fma32, prefer_wide_vectors
from .latent import fill_readings
from .layout import FINISH, INPUTS, PRODUCT
from .simd import OUTPUTS, WIDTH, make_product

_F = np.float32
_product_full = make_product(OUTPUTS)
_product_4 = make_product(4)
_product_2 = make_product(2)
_product_1 = make_product(1)


@compiled()
def multiply(w, w_at, columns, rows, tile_rows, x, x_at, c, c_at):
    """``C = W X`` tile by tile: partial sums of ``tile_rows`` rows each, added up digitally."""
    for first in range(0, rows, tile_rows):
        n = min(tile_rows, rows - first)
        add = first > 0
        at = w_at + first
        x_first = x_at + first * WIDTH
        j = 0
        while j + OUTPUTS <= columns:
            _product_full(w, at + j * rows, rows, x, x_first, c, c_at + j * WIDTH, n, add)
            j += OUTPUTS
        while j + 4 <= columns:
            _product_4(w, at + j * rows, rows, x, x_first, c, c_at + j * WIDTH, n, add)
            j += 4
        if j + 2 <= columns:
            _product_2(w, at + j * rows, rows, x, x_first, c, c_at + j * WIDTH, n, add)
            j += 2
        if j < columns:
            _product_1(w, at + j * rows, rows, x, x_first, c, c_at + j * WIDTH, n, add)


@compiled()
def _square(x, x_at, out, count):
    prefer_wide_vectors()
    source = x[x_at : x_at + count]
    for i in range(count):
        out[i] = source[i] * source[i]


@compiled()
def _add_noise(c, c_at, columns, variance, z):
    """Add to one group of four columns what this read redraws."""
    prefer_wide_vectors()
    n = columns * WIDTH
    y = c[c_at : c_at + n]
    for i in range(n):
        y[i] += np.sqrt(variance[i]) * z[i]


@compiled()
def product(plan, work, op, time, chip, first_input, x, x_at, c_at):
    """One layer's column outputs, in units of weight, with what this read redraws."""
    layer = plan.layers[op.layer]
    arena = work.arena
    multiply(work.weights, layer.weights_at, layer.columns, layer.rows, layer.tile_rows, x, x_at, arena, c_at)
    if layer.variance_at < 0:
        return
    # The variance of a sum of independent reads is exact, whatever each cell's law.
    _square(x, x_at, work.squares, layer.rows * WIDTH)
    size = layer.columns * WIDTH
    variance = work.noise[:size]
    z = work.noise[size : size + 4 * WIDTH]
    multiply(
        work.variance,
        layer.variance_at,
        layer.columns,
        layer.rows,
        layer.tile_rows,
        work.squares,
        0,
        variance,
        0,
    )
    latent = plan.latents[layer.readings_at + time]
    for group in range((layer.columns + 3) // 4):
        fill_readings(z, WIDTH, first_input, group, chip, latent.key0, latent.key1)
        at = 4 * group * WIDTH
        columns = min(4, layer.columns - 4 * group)
        _add_noise(arena, c_at + at, columns, variance[at : at + columns * WIDTH], z)


@compiled()
def _finish(c, y, columns, factor, biases, bias_at, relu):
    """The digital end of a layer: the compensation's factor, the bias, and ReLU if it follows."""
    prefer_wide_vectors()
    for j in range(columns):
        bias = biases[bias_at + j] if bias_at >= 0 else _F(0)
        row = c[j * WIDTH : (j + 1) * WIDTH]
        out = y[j * WIDTH : (j + 1) * WIDTH]
        if relu:
            for i in range(WIDTH):
                out[i] = max(fma32(factor, row[i], bias), _F(0))
        else:
            for i in range(WIDTH):
                out[i] = fma32(factor, row[i], bias)


@compiled()
def _relu(x, y):
    prefer_wide_vectors()
    for i in range(x.size):
        y[i] = max(x[i], _F(0))


@compiled()
def forward(plan, work, time, chip, block):
    """All operations on one block of ``WIDTH`` inputs; logits end in the last operation's buffer."""
    arena = work.arena
    for k in range(len(plan.operations)):
        op = plan.operations[k]
        target = plan.buffers[op.target]
        for variant in range(op.variants):
            y_at = target.at + variant * target.step
            if op.source == INPUTS:
                x = plan.inputs
                x_at = block * plan.input_features * WIDTH
            else:
                x = arena
                source = plan.buffers[op.source]
                x_at = source.at + variant * source.step
            if op.kind == PRODUCT:
                product(plan, work, op, time, chip, block * WIDTH, x, x_at, y_at)
                continue
            n = op.features * WIDTH
            if op.kind == FINISH:
                layer = plan.layers[op.layer]
                _finish(
                    x[x_at : x_at + n],
                    arena[y_at : y_at + n],
                    op.features,
                    work.factors[op.layer, variant],
                    plan.biases,
                    layer.bias_at,
                    op.relu != 0,
                )
            else:
                _relu(x[x_at : x_at + n], arena[y_at : y_at + n])


@compiled()
def rank(logits, classes, labels, ranks, count):
    """How many classes score above each input's own one (ties go to the smaller class).

    Rank 0 is a right answer, rank below 5 a right one among the first five. A logit that is
    not a number counts as above, so that no broken chip passes as a good one.
    """
    prefer_wide_vectors()
    own = np.empty(WIDTH, np.float32)
    above = np.empty(WIDTH, np.int32)
    own_class = np.empty(WIDTH, np.int32)
    for i in range(WIDTH):
        own[i] = logits[labels[i] * WIDTH + i]
        own_class[i] = labels[i]
        above[i] = -1
    for c in range(classes):
        row = logits[c * WIDTH : (c + 1) * WIDTH]
        for i in range(WIDTH):
            below = row[i] < own[i] or (row[i] == own[i] and np.int32(c) > own_class[i])
            above[i] += np.int32(0) if below else np.int32(1)
    for i in range(count):
        ranks[i] = min(above[i], 255)


@compiled()
def checksum(logits, classes, count):
    """Sum of the logits' bits: equal for equal logits, whatever the lanes."""
    total = np.uint64(0)
    for c in range(classes):
        for i in range(count):
            total += np.uint64(bits_of(logits[c * WIDTH + i]))
    return total
