"""One chip's network applied to one group of blocks of inputs."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .digital import affine, copy, finish, locate, pool
from .layout import AFFINE, COPY, LAYERED
from .simd import VECTOR
from .strip import square, strip


@compiled()
def _end(plan, work, op, variant, block, first_block, row, first, places):
    """The digital end of neighbouring places of one row; ``first`` is the first of their sums."""
    target = plan.buffers[op.target]
    channels = plan.layers[op.layer].columns
    step = channels * VECTOR
    y, y_at = locate(plan, work, op.target, variant, block, first_block)
    y_at += row * target.row_step
    other, other_at, other_step = y, y_at, np.int64(0)
    if op.other >= 0:
        other, other_at = locate(plan, work, op.other, variant, block, first_block)
        other_at += row * plan.buffers[op.other].row_step
        other_step = step
    factor = work.factors[op.layer, variant]
    for p in range(places):
        sums_at, beside = (first + p) * step, other_at + p * other_step
        finish(plan, op, work.sums, sums_at, y, y_at + p * step, channels, factor, other, beside)


@compiled()
def _layered(plan, work, op, time, chip, first_block, blocks):
    """A layer with weights: strips of column sums, each with its digital end."""
    layer = plan.layers[op.layer]
    source, target = plan.buffers[op.source], plan.buffers[op.target]
    pixel = source.channels * VECTOR
    x_step = op.stride_width * pixel
    for sources in range(1 if op.shared else op.variants):
        squares_at = np.int64(0)
        if layer.variance_at >= 0:
            # Squares stand as their sources do, borders and all.
            x, x_at = locate(plan, work, op.source, sources, 0, first_block)
            square(x, x_at - source.border, blocks * source.block_step, work.squares)
            squares_at = source.border
        if target.height * target.width == 1:
            # Neighbouring blocks of inputs fill the vectors.
            x, x_at = locate(plan, work, op.source, sources, 0, first_block)
            shift = -op.top * source.row_step - op.left * pixel
            strip(
                plan, work, layer, time, chip, x, x_at + shift, source.block_step, squares_at + shift, blocks,
                VECTOR, first_block * VECTOR, 0,
            )  # fmt: skip
            for block in range(blocks):
                for variant in range(op.variants if op.shared else 1):
                    v = variant if op.shared else sources
                    _end(plan, work, op, v, block, first_block, 0, block, 1)
            continue
        for block in range(blocks):
            x, x_at = locate(plan, work, op.source, sources, block, first_block)
            for row in range(target.height):
                shift = (row * op.stride_height - op.top) * source.row_step - op.left * pixel
                strip(
                    plan, work, layer, time, chip, x, x_at + shift, x_step,
                    squares_at + block * source.block_step + shift, target.width,
                    0, (first_block + block) * VECTOR, row * target.width,
                )  # fmt: skip
                for variant in range(op.variants if op.shared else 1):
                    v = variant if op.shared else sources
                    _end(plan, work, op, v, block, first_block, row, 0, target.width)


@compiled()
def forward(plan, work, time, chip, first_block, blocks):
    """All operations on ``blocks`` blocks of inputs; logits end in the last operation's buffer."""
    for k in range(len(plan.operations)):
        op = plan.operations[k]
        if op.kind == LAYERED:
            _layered(plan, work, op, time, chip, first_block, blocks)
            continue
        for variant in range(op.variants):
            for block in range(blocks):
                if op.kind == AFFINE:
                    affine(plan, work, op, variant, block, first_block)
                elif op.kind == COPY:
                    copy(plan, work, op, variant, block, first_block)
                else:
                    pool(plan, work, op, variant, block, first_block)
