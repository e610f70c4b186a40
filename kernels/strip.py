"""One strip of a layer's column sums: what the devices add up, and what a read redraws."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .latent import fill_readings
from .product import multiply
from .simd import VECTOR


@compiled()
def _add_bias_row(layer, w, w_at, c, vectors):
    """What a row of devices with unit input adds to every sum."""
    prefer_wide_vectors()
    for j in range(layer.columns):
        bias = w[w_at + j * layer.rows + layer.rows - 1]
        for v in range(vectors):
            at = (v * layer.columns + j) * VECTOR
            for i in range(VECTOR):
                c[at + i] += bias


@compiled()
def square(x, first, count, out):
    """Squares of ``count`` inputs from ``first`` on, which the variance of a sum needs."""
    prefer_wide_vectors()
    source = x[first : first + count]
    for i in range(count):
        out[i] = source[i] * source[i]


@compiled()
def _add_noise(c, variance, z):
    """Add to neighbouring columns what one read redraws."""
    prefer_wide_vectors()
    for i in range(c.size):
        c[i] += np.sqrt(variance[i]) * z[i]


@compiled()
def strip(
    plan, work, layer, time, chip, x, x_at, x_step, squares_at, vectors, input_step, first_input, place
):
    """One strip of a layer's column sums, in units of weight, with what these reads redraw.

    The strip's vectors are neighbouring places of one block of inputs (``input_step`` 0, ``place`` the
    first) or neighbouring blocks (``input_step`` VECTOR).
    """
    offsets, runs = plan.offsets, plan.runs
    multiply(
        layer,
        plan.tiles,
        offsets,
        runs,
        work.weights,
        layer.weights_at,
        x,
        x_at,
        x_step,
        work.sums,
        0,
        vectors,
    )
    if layer.bias_row:
        _add_bias_row(layer, work.weights, layer.weights_at, work.sums, vectors)
    if layer.variance_at < 0:
        return
    # The variance of a sum of independent reads is exact, whatever each cell's law.
    size = layer.columns * VECTOR
    variance = work.noise[: vectors * size]
    z = work.noise[vectors * size : vectors * size + 4 * VECTOR]
    at = layer.variance_at
    multiply(
        layer,
        plan.tiles,
        offsets,
        runs,
        work.variance,
        at,
        work.squares,
        squares_at,
        x_step,
        variance,
        0,
        vectors,
    )
    if layer.bias_row:
        _add_bias_row(layer, work.variance, layer.variance_at, variance, vectors)
    latent = plan.latents[layer.readings_at + time]
    for v in range(vectors):
        here = place + (v if input_step == 0 else 0)
        for group in range((layer.columns + 3) // 4):
            fill_readings(
                z,
                VECTOR,
                first_input + v * input_step,
                group,
                np.uint32(here),
                chip,
                latent.key0,
                latent.key1,
            )
            first = v * size + 4 * group * VECTOR
            count = min(4, layer.columns - 4 * group) * VECTOR
            _add_noise(work.sums[first : first + count], variance[first : first + count], z)
