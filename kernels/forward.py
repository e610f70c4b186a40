"""One chip's network applied to one group of blocks of inputs."""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .convert import drive
from .digital import affine, copy, end_of, finish, locate, pool
from .layout import AFFINE, COPY, LAYERED, SIGMOID, TANH
from .repair import call_add_words
from .simd import VECTOR, VECTORS
from .strip import multiply, square, strip

_CACHED_SUMS = 384  # vectors


@njit(inline="always")
def _end(plan, work, op, variant, block, first_block, row, place, dense):
    """The digital end of places of one row from ``place`` on, or of blocks where these are ``dense``."""
    target = plan.buffers[op.target]
    pixel = target.channels * VECTOR
    y, y_at = locate(plan, work, op.target, variant, block, first_block)
    y_at += row * target.row_step + place * pixel
    y_step = target.block_step if dense else pixel
    other, other_at, other_step = y, y_at, y_step
    if op.other >= 0:
        beside = plan.buffers[op.other]
        other, other_at = locate(plan, work, op.other, variant, block, first_block)
        other_at += row * beside.row_step + place * pixel
        other_step = beside.block_step if dense else pixel
    factor = work.factors[op.layer, variant]
    return end_of(plan, work, op, variant, factor, y, y_at, y_step, other, other_at, other_step)


@compiled()
def _drive(plan, work, op, layer, variant, first_block, blocks):
    """The array of a layer's inputs, where the first block's first pixel stands, and the step to a pulse."""
    source = plan.buffers[op.source]
    x, x_at = locate(plan, work, op.source, variant, 0, first_block)
    if layer.dac_at < 0:
        return x, x_at, np.int64(0)
    if layer.inputs_at >= 0:
        step = source.block_step
        pulse_step = (plan.count + VECTOR - 1) // VECTOR * step
        return plan.inputs, layer.inputs_at + source.border + first_block * step, pulse_step
    # Converted inputs stand as their sources do, borders and all.
    pulse_step = blocks * source.block_step
    for block in range(blocks):
        first = block * source.block_step
        work.clipped[op.layer, variant, 0] += drive(
            x, x_at - source.border + first, work.converted, first, pulse_step, source.block_step // VECTOR,
            layer.pulses, layer.pulse_base, plan.converters[layer.dac_at], work.lanes,
            plan.count - (first_block + block) * VECTOR,
        )  # fmt: skip
    return work.converted, source.border, pulse_step


@njit(inline="always")
def _ends_at_once(plan, op, layer, shared):
    """Whether a layer's sums are complete, and go through one digital end, as soon as they are products."""
    starts_shared = shared or (plan.weights_step > 0 and layer.spans > 0)
    redrawn = layer.variance_at >= 0 or layer.bias_row or layer.references > 0 or layer.words_at >= 0
    one_end = op.variants == 1 or not op.shared
    smooth = op.activation in (SIGMOID, TANH)
    return not starts_shared and layer.tiled == 0 and not redrawn and one_end and not smooth


@njit(inline="always")
def _layered(plan, work, op, time, chip, first_block, blocks):
    """A layer with weights: strips of column sums, each with its digital end."""
    layer = plan.layers[op.layer]
    shared = work.shared[op.layer] > 0
    source, target = plan.buffers[op.source], plan.buffers[op.target]
    pixel = source.channels * VECTOR
    x_step = op.stride_width * pixel
    squares_step = blocks * source.block_step
    at_once = _ends_at_once(plan, op, layer, shared)
    for sources in range(1 if op.shared else op.variants):
        x, x_at, pulse_step = _drive(plan, work, op, layer, sources, first_block, blocks)
        clipped = work.clipped[op.layer, sources]
        squares_at = np.int64(0)
        if layer.variance_at >= 0:
            squares_at = source.border
            for p in range(layer.pulses):
                first = x_at - source.border + p * pulse_step
                square(x, first, squares_step, work.squares, p * squares_step)
        # Neighbouring blocks of inputs fill the vectors of a layer with one place; of others neighbouring
        # places do, so many at a time that their sums stay in the first cache.
        dense = target.height * target.width == 1
        step = max(_CACHED_SUMS // (layer.lines * VECTORS), 1) * VECTORS
        vector_step = source.block_step if dense else x_step
        for block in range(1 if dense else blocks):
            first = block * source.block_step
            for row in range(target.height):
                for place in range(0, target.width, step):
                    shift = first + (row * op.stride_height - op.top) * source.row_step - op.left * pixel
                    shift += place * x_step
                    vectors = blocks if dense else min(step, target.width - place)
                    if not at_once:
                        strip(
                            plan, work, layer, shared, sources, time, chip, x, x_at + shift, vector_step,
                            pulse_step, squares_at + shift, squares_step, vectors, VECTOR if dense else 0,
                            (first_block + block) * VECTOR, row * target.width + place, clipped,
                        )  # fmt: skip
                    if layer.words_at >= 0:
                        # The inputs before any converter: borders and steps are the same.
                        exact, exact_at = locate(plan, work, op.source, sources, 0, first_block)
                        call_add_words(
                            plan.add_words, plan.multiply, layer, plan.tiles, plan.offsets, plan.runs,
                            work.words, layer.words_at, exact, exact_at + shift, vector_step, work.part,
                            work.sums, vectors, work.factors[op.layer, sources], plan.scales,
                        )  # fmt: skip
                    for variant in range(op.variants if op.shared else 1):
                        v = variant if op.shared else sources
                        end = _end(plan, work, op, v, block, first_block, row, place, dense)
                        if at_once:
                            multiply(
                                plan, layer, 0, layer.tiles, layer.lines, work.weights,
                                layer.weights_at + sources * plan.weights_step, x, x_at + shift, vector_step,
                                work.sums, 0, vectors, True, end,
                            )  # fmt: skip
                        else:
                            size = layer.columns * VECTOR
                            finish(end, op.activation, work.sums, 0, size, vectors, layer.columns)


@njit(inline="always")
def operate(plan, work, op, time, chip, first_block, blocks):
    """One operation on ``blocks`` blocks of inputs."""
    if op.kind == LAYERED:
        _layered(plan, work, op, time, chip, first_block, blocks)
        return
    for variant in range(op.variants):
        for block in range(blocks):
            if op.kind == AFFINE:
                affine(plan, work, op, variant, block, first_block)
            elif op.kind == COPY:
                copy(plan, work, op, variant, block, first_block)
            else:
                pool(plan, work, op, variant, block, first_block)


@njit(inline="always")
def forward(plan, work, time, chip, first_block, blocks):
    """All operations on ``blocks`` blocks of inputs; logits end in the last operation's buffer."""
    for k in range(len(plan.operations)):
        operate(plan, work, plan.operations[k], time, chip, first_block, blocks)
