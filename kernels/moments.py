"""Moments of a device law: what cells of one target conduct on average, and how much that varies."""

from __future__ import annotations

import math

import numpy as np

from .cache import compiled
from .float32 import exp32, log32
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK
from .law import call_conductance, call_program
from .verify import draw_cells, verify

_F = np.float32


@compiled()
def _add_block(g, v, amplitude, exponent, log_g_ref, origin, sums):
    """Add up one block of cells: deviation from ``origin``, its square, read variance, squared jump."""
    prefer_wide_vectors()
    first = second = read = jumps = 0.0
    for i in range(BLOCK):
        deviation = np.float64(g[i]) - origin
        first += deviation
        second += deviation * deviation
        read += np.float64(v[i])
    if amplitude > _F(0):
        for i in range(BLOCK):
            ratio = exp32(exponent * (log_g_ref - log32(max(g[i], _F(1e-12)))))
            jump = np.float64(min(amplitude * ratio, _F(1)) * g[i])
            jumps += jump * jump
    sums[0] += first
    sums[1] += second
    sums[2] += read
    sums[3] += jumps


@compiled()
def law_moments(
    program, conductance, targets, latents, time_latents, program_parameters, time_parameters, telegraph,
    scratch, moments,
):  # fmt: skip
    """Moments of a law over given points of its latents, target by target.

    Parameters
    ----------
    program, conductance : int
        Addresses of the law's kernels.
    targets : ndarray of float32, shape (targets,)
        Microsiemens.
    latents, time_latents : ndarray of float32, shape (blocks, latents * BLOCK)
        Latent ``j`` of point ``i`` of a block at ``j * BLOCK + i``.
    program_parameters, time_parameters : ndarray of float32
    telegraph : ndarray of float32, shape (3,)
        Amplitude, exponent and logarithm of the reference conductance of telegraph noise.
    scratch : ndarray of float32
        Three blocks, and one for each state of a device.
    moments : ndarray of float64, shape (targets, 4)
        Written: mean (uS), variance, mean variance of a read, mean squared jump of telegraph noise (uS**2).
    """
    wanted, g, v = scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK], scratch[2 * BLOCK : 3 * BLOCK]
    state = scratch[3 * BLOCK :]
    points = np.float64(len(latents) * BLOCK)
    for t in range(len(targets)):
        sums = moments[t]
        for i in range(4):
            sums[i] = 0.0
        for i in range(BLOCK):
            wanted[i] = targets[t]
        for block in range(len(latents)):
            call_program(program, wanted, latents[block], state, program_parameters)
            call_conductance(conductance, state, time_latents[block], g, v, time_parameters)
            _add_block(g, v, telegraph[0], telegraph[1], telegraph[2], np.float64(targets[t]), sums)
        for i in range(4):
            sums[i] /= points
        sums[1] -= sums[0] * sums[0]
        sums[0] += np.float64(targets[t])


@compiled(allocates=True)
def verified_moments(
    layer, effects, loop, latents, parameters, targets, blocks, at_time, telegraph, scratch, places, moments
):
    """Moments of verified devices, target by target, over pseudo-devices drawn from the counter.

    Parameters
    ----------
    layer, effects, loop : records of layout.LAYER, layout.EFFECTS and layout.LOOP
        Of devices that all have one target; ``loop`` verifies all of them.
    latents : ndarray of layout.LATENT
    parameters : ndarray of float32
    targets : ndarray of float32, shape (targets,)
        Microsiemens.
    blocks : int
        Blocks of pseudo-devices for each target, the same for all.
    at_time : ndarray of float32
        The law's numbers at the time that the moments are of.
    telegraph : ndarray of float32, shape (3,)
        As in :func:`law_moments`.
    scratch : ndarray of float32
        Four blocks, one for each state of a device and each latent, and what verifying needs.
    places : ndarray of int32
    moments : ndarray of float64, shape (targets, 5)
        Written: as :func:`law_moments`, and writes of a device.
    """
    prefer_wide_vectors()
    wanted, g, v = scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK], scratch[2 * BLOCK : 3 * BLOCK]
    all_of = scratch[3 * BLOCK : 4 * BLOCK]
    size = layer.states * BLOCK
    state, z = scratch[4 * BLOCK : 4 * BLOCK + size], scratch[4 * BLOCK + size :]
    drawn = max(layer.program_latents, layer.time_latents) * BLOCK
    rest = z[drawn:]
    program = parameters[layer.program_parameters_at : layer.program_parameters_at + layer.program_parameters]
    cycles = np.zeros(2, np.int64)
    for i in range(BLOCK):
        all_of[i] = _F(1)
    for t in range(len(targets)):
        sums = moments[t]
        for i in range(5):
            sums[i] = 0.0
        for i in range(BLOCK):
            wanted[i] = targets[t]
        cycles[0] = 0
        for block in range(blocks):
            for j in range(layer.program_latents):
                draw_cells(z, j * BLOCK, latents[layer.program_latents_at + j], 0, 0, block)
            call_program(layer.program, wanted, z, state, program)
            verify(
                layer, effects, loop, latents, parameters, all_of, 0, 0, block, False, wanted, rest[:0],
                rest[:0], state, rest, places, cycles,
            )  # fmt: skip
            for j in range(layer.time_latents):
                draw_cells(z, j * BLOCK, latents[layer.time_latents_at + j], 0, 0, block)
            call_conductance(layer.conductance, state, z, g, v, at_time)
            _add_block(g, v, telegraph[0], telegraph[1], telegraph[2], np.float64(targets[t]), sums)
        points = np.float64(blocks * BLOCK)
        sums[4] = np.float64(cycles[0])
        for i in range(5):
            sums[i] /= points
        sums[1] -= sums[0] * sums[0]
        sums[0] += np.float64(targets[t])


@compiled()
def look_up(targets, low, high, table, moments):
    """Moments at any targets, linear between those of a table.

    Parameters
    ----------
    targets : ndarray of float64, shape (cells,)
    low, high : float
        Ends of the table, whose targets stand at ``low + (high - low) * (k / last)**2``.
    table : ndarray of float64, shape (targets, columns)
    moments : ndarray of float64, shape (columns of the table, cells)
        Written.
    """
    last = len(table) - 1
    for i in range(targets.size):
        share = min(max((targets[i] - low) / (high - low), 0.0), 1.0)
        k = min(int(last * math.sqrt(share)), last - 1)
        before = (k / last) ** 2
        beyond = (share - before) / (((k + 1) / last) ** 2 - before)
        for j in range(table.shape[1]):
            moments[j, i] = table[k, j] + beyond * (table[k + 1, j] - table[k, j])
