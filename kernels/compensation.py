"""Drift compensation: read-outs of a layer, as a whole or line by line, tell by how much it has drifted."""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .layout import COLUMN, EXACT, GLOBAL

# A read-out below this share of the reference is taken for a dead layer (aihwkit's floor).
_FLOOR = 1e-4


@njit(inline="always")
def drift_factor(reference, total):
    """What outputs are multiplied by, given their read-out at the reference time and now."""
    # What conducts nothing has no factor.
    return np.float32(reference / max(total, _FLOOR * reference) if reference > 0 else 1.0)


@compiled()
def clear_lines(readout, layer):
    """Begin the read-out of a layer's lines."""
    for line in range(layer.lines):
        readout[layer.lines_at + line] = 0.0


@compiled()
def add_by_line(readout, layer, block, outputs, count, significance):
    """Add the magnitudes of a block's outputs to their lines' read-outs."""
    size = len(outputs)
    i = 0
    while i < count:
        line = (block * size + i) // layer.rows
        end = min((line + 1) * layer.rows - block * size, count)
        total = 0.0
        while i < end:
            total += np.float64(abs(outputs[i]))
            i += 1
        readout[layer.lines_at + line] += significance * total


@compiled()
def line_of(layer, column):
    """The line of a column: behind each group's columns stand its references."""
    own = layer.columns // layer.groups
    return column // own * (own + layer.references) + column % own


@compiled()
def refer(plan, work, index, total):
    """Keep what a layer reads out now as its reference."""
    layer = plan.layers[index]
    work.readout[index] = total
    if plan.reads_lines:
        for line in range(layer.lines_at, layer.lines_at + layer.lines):
            work.line_reference[line] = work.line_readout[line]


@compiled()
def compensate(plan, work, index, total):
    """Set one layer's factors of every variant, from its read-out in ``total`` and line by line."""
    layer = plan.layers[index]
    for variant in range(len(plan.compensated)):
        kind = plan.compensated[variant]
        if kind == GLOBAL:
            work.factors[index, variant] = drift_factor(work.readout[index], total)
        elif kind == EXACT:
            work.factors[index, variant] = drift_factor(plan.exact[index], total)
        elif kind == COLUMN:
            for column in range(layer.columns):
                line = layer.lines_at + line_of(layer, column)
                at = layer.coefficients_at + column
                factor = drift_factor(work.line_reference[line], work.line_readout[line])
                work.end_scales[variant * plan.coefficients_step + at] = factor * plan.scales[at]
