"""One chip's devices: programmed once, read at each time, combined to weights."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK, NORMAL, fill_normals, fill_uniforms
from .law import call_conductance, call_program
from .layout import COPIES

_F = np.float32
_LANES = 64


@compiled()
def draw(out, start, latent, supplied, chip, copy, block, blocks):
    """One latent of one block of devices, from the counter or from what the caller supplied."""
    if latent.supplied_at >= 0:
        first = latent.supplied_at + chip * latent.supplied_step + (copy * blocks + block) * BLOCK
        out[start : start + BLOCK] = supplied[first : first + BLOCK]
    elif latent.kind == NORMAL:
        fill_normals(
            out, start, block, np.uint32(chip), np.uint32(copy), np.uint32(0), latent.key0, latent.key1
        )
    else:
        fill_uniforms(
            out, start, block, np.uint32(chip), np.uint32(copy), np.uint32(0), latent.key0, latent.key1
        )


@compiled()
def _targets_of_copy(targets, at, copy, out):
    prefer_wide_vectors()
    signed = targets[at : at + BLOCK]
    sign = _F(1) if copy == 0 else _F(-1)
    for i in range(BLOCK):
        out[i] = max(sign * signed[i], _F(0))


@compiled()
def _weights_of_pair(g, scale, weights, at):
    prefer_wide_vectors()
    w = weights[at : at + BLOCK]
    for i in range(BLOCK):
        w[i] = (g[i] - g[BLOCK + i]) * scale


@compiled()
def _variance_of_pair(v, scale, variance, at):
    prefer_wide_vectors()
    out = variance[at : at + BLOCK]
    square = scale * scale
    for i in range(BLOCK):
        out[i] = (v[i] + v[BLOCK + i]) * square


@compiled()
def _sum_of_magnitudes(w, count):
    """Sum of ``|w[:count]|`` over one block, in an order that no CPU changes."""
    prefer_wide_vectors()
    for i in range(count, BLOCK):
        w[i] = _F(0)
    sums = np.zeros(_LANES, np.float32)
    for first in range(0, BLOCK, _LANES):
        for lane in range(_LANES):
            sums[lane] += abs(w[first + lane])
    total = 0.0
    for lane in range(_LANES):
        total += np.float64(sums[lane])
    return total


@compiled()
def _add_reading(w, variance, z):
    prefer_wide_vectors()
    for i in range(BLOCK):
        w[i] += np.sqrt(variance[i]) * z[i]


@compiled()
def realise(plan, work, index, time, program, readout, chip):
    """One layer's weights on one chip at one time; the devices are programmed first if asked.

    Parameters
    ----------
    plan : layout.Plan
    work : layout.Workspace
        ``weights`` and, where a read redraws, ``variance`` are written.
    index, time : int
        Layer and time.
    program : bool
        Whether to write the devices first; later times go on from what that left.
    readout : bool
        Whether to return the read-out of the drift compensation.
    chip : int
        Number of the chip.

    Returns
    -------
    float
        The read-out: each row driven alone with a unit input, the magnitudes of all column
        outputs added up over all rows, in units of weight. Zero if not asked for.
    """
    layer = plan.layers[index]
    size = layer.rows * layer.columns
    latents_of_time = layer.time_latents_at + time * layer.time_latents
    first = layer.program_parameters_at
    program_parameters = plan.parameters[first : first + layer.program_parameters]
    first = layer.time_parameters_at + time * layer.time_parameters
    time_parameters = plan.parameters[first : first + layer.time_parameters]
    pair = COPIES * BLOCK
    g = work.cells[:pair]
    v = work.cells[pair : 2 * pair]
    target = work.cells[2 * pair : 2 * pair + BLOCK]
    z = work.cells[2 * pair + BLOCK :]
    total = 0.0
    for block in range(layer.blocks):
        for copy in range(COPIES):
            first = layer.state_at + block * layer.state_step + copy * layer.states * BLOCK
            state = work.state[first : first + layer.states * BLOCK]
            if program:
                _targets_of_copy(plan.targets, layer.targets_at + block * BLOCK, copy, target)
                for j in range(layer.program_latents):
                    latent = plan.latents[layer.program_latents_at + j]
                    draw(z, j * BLOCK, latent, plan.supplied, chip, copy, block, layer.blocks)
                call_program(layer.program, target, z, state, program_parameters)
            for j in range(layer.time_latents):
                latent = plan.latents[latents_of_time + j]
                draw(z, j * BLOCK, latent, plan.supplied, chip, copy, block, layer.blocks)
            here = slice(copy * BLOCK, (copy + 1) * BLOCK)
            call_conductance(layer.conductance, state, z, g[here], v[here], time_parameters)
        at = layer.weights_at + block * BLOCK
        _weights_of_pair(g, layer.scale, work.weights, at)
        if layer.variance_at >= 0:
            _variance_of_pair(v, layer.scale, work.variance, layer.variance_at + block * BLOCK)
        if readout:
            w = g[:BLOCK]
            w[:] = work.weights[at : at + BLOCK]
            if layer.variance_at >= 0:
                latent = plan.latents[layer.readout_at + time]
                draw(z, 0, latent, plan.supplied, chip, 0, block, layer.blocks)
                first = layer.variance_at + block * BLOCK
                _add_reading(w, work.variance[first : first + BLOCK], z)
            total += _sum_of_magnitudes(w, min(BLOCK, size - block * BLOCK))
    return total
