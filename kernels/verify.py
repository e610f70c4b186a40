"""Write-verify: one block of devices, each written again until a read finds it close to its target."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .faults import stick
from .intrinsics import fma32, prefer_wide_vectors
from .latent import BLOCK, NORMAL, fill_normals, fill_normals_at, fill_uniforms, fill_uniforms_at
from .law import call_conductance, call_program
from .layout import EFFECTS, LATENT, LAYER, LOOP
from .pointer import caller
from .telegraph import blur
from .variation import vary

_F = np.float32
# With so few devices left, only their own draws are computed, which costs three times as much for each.
_FEW = 128


@compiled()
def _draw(out, start, latent, chip, copy, block, cycle, places, left, scratch):
    """One latent of one cycle for the devices at ``places``; the others' is what a law can take."""
    prefer_wide_vectors()
    c1, c2, c3 = np.uint32(chip), np.uint32(copy), np.uint32(cycle)
    if left <= _FEW:
        # Laws run on whole blocks, and may look their latents up in a table.
        for i in range(BLOCK):
            out[start + i] = _F(0.5)
    if latent.kind == NORMAL:
        if left > _FEW:
            fill_normals(out, start, block, c1, c2, c3, latent.key0, latent.key1)
        else:
            fill_normals_at(out, start, places, left, scratch, block, c1, c2, c3, latent.key0, latent.key1)
    elif left > _FEW:
        fill_uniforms(out, start, block, c1, c2, c3, latent.key0, latent.key1)
    else:
        fill_uniforms_at(out, start, places, left, scratch, block, c1, c2, c3, latent.key0, latent.key1)


@compiled()
def draw_cells(out, start, latent, chip, copy, block):
    """One latent of a block of devices as a chip without write-verify draws it."""
    c1, c2, c3 = np.uint32(chip), np.uint32(copy), np.uint32(0)
    if latent.kind == NORMAL:
        fill_normals(out, start, block, c1, c2, c3, latent.key0, latent.key1)
    else:
        fill_uniforms(out, start, block, c1, c2, c3, latent.key0, latent.key1)


@compiled()
def _compare(g, v, z, noise, target, tolerance, pending):
    """Let go of devices whose noisy read is close enough to the target."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        g[i] = fma32(np.sqrt(v[i] + noise), z[i], g[i])
        pending[i] = pending[i] if abs(g[i] - target[i]) > tolerance else _F(0)


@compiled()
def _compare_exact(g, target, tolerance, pending):
    prefer_wide_vectors()
    for i in range(BLOCK):
        pending[i] = pending[i] if abs(g[i] - target[i]) > tolerance else _F(0)


@compiled()
def _keep_pending(pending, places, before):
    """Keep those of the first ``before`` places that are still pending; returns how many are."""
    left = np.uint64(0)
    for k in range(before):
        place = places[k]
        places[left] = place
        left += np.uint64(pending[np.uint64(place)] > _F(0))
    return np.int64(left)


@compiled()
def _step(share, sigma, lowest, highest, g, z, target, pending, trial):
    prefer_wide_vectors()
    for i in range(BLOCK):
        moved = fma32(sigma, z[i], fma32(share, target[i] - g[i], trial[i]))
        moved = min(max(moved, lowest), highest)
        old = trial[i]
        trial[i] = moved if pending[i] > _F(0) else old


@compiled()
def _put(fresh, which, kept):
    """Take one state of those devices that ``which`` names."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        # Loaded before the choice, which is otherwise a branch.
        new, old = fresh[i], kept[i]
        kept[i] = new if which[i] > _F(0) else old


@compiled()
def _count_both(pending, chosen):
    """How many devices are pending and chosen."""
    prefer_wide_vectors()
    total = np.int64(0)
    for i in range(BLOCK):
        total += np.int64(pending[i] * chosen[i])
    return total


@compiled()
def verify(
    layer, effects, own, latents, parameters, chosen, chip, copy, block, whole, target, gains, stuck, state,
    scratch, places, cycles,
):  # fmt: skip
    """Verify one block of devices that were written once.

    Parameters
    ----------
    layer, effects, own : records of layout.LAYER, layout.EFFECTS and layout.LOOP
    latents : ndarray of layout.LATENT
    parameters : ndarray of float32
        All layers'.
    chosen : ndarray of float32, shape (BLOCK,)
        1 for the devices to verify, 0 for the others, whose state stays, -1 for places without a device.
    chip, copy, block : int
    whole : bool
        Whether to find out what verifying the others would take, too.
    target : ndarray of float32, shape (BLOCK,)
        Microsiemens.
    gains, stuck : ndarray of float32
        What each of the block's cells is multiplied by, and what the broken ones conduct; empty where there
        is no such effect.
    state : ndarray of float32, shape (states * BLOCK,)
        What the first write left; changed.
    scratch : ndarray of float32
        Seven blocks, two for each state and one for each latent drawn at once.
    places : ndarray of int32, shape (BLOCK,)
        Scratch.
    cycles : ndarray of int64, shape (2,)
        Added to: writes of the chosen devices, the first included, and, with ``whole``, of all.
    """
    prefer_wide_vectors()
    pending, g, v = scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK], scratch[2 * BLOCK : 3 * BLOCK]
    words = scratch[3 * BLOCK : 7 * BLOCK]
    size = layer.states * BLOCK
    trial = scratch[7 * BLOCK : 7 * BLOCK + size]
    fresh = scratch[7 * BLOCK + size : 7 * BLOCK + 2 * size]
    z = scratch[7 * BLOCK + 2 * size :]
    program = parameters[layer.program_parameters_at : layer.program_parameters_at + layer.program_parameters]
    read = parameters[layer.verify_at : layer.verify_at + layer.time_parameters]
    held = min(BLOCK, layer.rows * layer.lines - block * BLOCK)
    for i in range(BLOCK):
        pending[i] = _F(1) if whole and chosen[i] >= _F(0) else max(chosen[i], _F(0))
    for i in range(held, BLOCK):
        pending[i] = _F(0)
    for i in range(BLOCK):
        places[i] = i
    left = _keep_pending(pending, places, BLOCK)
    if left == 0:
        return
    for i in range(size):
        trial[i] = state[i]
    for cycle in range(own.most):
        cycles[1] += left
        cycles[0] += _count_both(pending, chosen) if whole else left
        if cycle + 1 == own.most:
            break
        for j in range(layer.time_latents):
            latent = latents[own.held_at + j]
            _draw(z, j * BLOCK, latent, chip, copy, block, cycle, places, left, words)
        call_conductance(layer.conductance, trial, z, g, v, read)
        if gains.size > 0:
            vary(gains, g, v)
        if effects.amplitude > _F(0):
            blur(effects, g, v, words)
        if stuck.size > 0:
            stick(stuck, g, v)
        if own.noisy:
            _draw(z, 0, latents[own.read_at], chip, copy, block, cycle, places, left, words)
            _compare(g, v, z, own.noise, target, own.tolerance, pending)
        else:
            _compare_exact(g, target, own.tolerance, pending)
        left = _keep_pending(pending, places, left)
        if left == 0:
            break
        if own.step > _F(0):
            _draw(z, 0, latents[own.step_at], chip, copy, block, cycle + 1, places, left, words)
            _step(own.step, own.step_sigma, own.lowest, own.highest, g, z, target, pending, trial)
        else:
            for j in range(layer.program_latents):
                latent = latents[layer.program_latents_at + j]
                _draw(z, j * BLOCK, latent, chip, copy, block, cycle + 1, places, left, words)
            call_program(layer.program, target, z, fresh, program)
            for first in range(0, size, BLOCK):
                _put(fresh[first : first + BLOCK], pending, trial[first : first + BLOCK])
    for first in range(0, size, BLOCK):
        _put(trial[first : first + BLOCK], chosen, state[first : first + BLOCK])


_FLOATS, _INT = types.float32[::1], types.int64
VERIFY = types.void(
    from_dtype(LAYER), from_dtype(EFFECTS), from_dtype(LOOP), types.Array(from_dtype(LATENT), 1, "C"),
    _FLOATS, _FLOATS, _INT, _INT, _INT, types.boolean, _FLOATS, _FLOATS, _FLOATS, _FLOATS, _FLOATS,
    types.int32[::1], types.int64[::1],
)  # fmt: skip


@intrinsic
def call_verify(
    typingctx, address, layer, effects, own, latents, parameters, chosen, chip, copy, block, whole, target,
    gains, stuck, state, scratch, places, cycles,
):  # fmt: skip
    """Call :func:`verify` at ``address``."""
    return caller(VERIFY)
