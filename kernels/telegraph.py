"""Random telegraph noise of blocks of cells.

A two-state Markov chain is a Poisson process of events, of which each sets the state anew: up with the
probability of the upper state. So a cell's state is what the last event before a moment set, and is found by
going back to that event. Events are drawn window by window of one mean interval, from a counter that names
cell and window: a cell has one history, whichever moments are looked at.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .float32 import exp32, log32
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK, fill_uniforms
from .layout import EFFECTS, LATENT
from .pointer import caller

_F = np.float32
_PENDING = _F(-1)
_COPIES = 64
# Digits of a uniform below this share of one decide what an event sets, those above it when it comes.
_FINE = _F(4096)


@compiled()
def _next_events(u, elapsed, until, occupancy, last):
    """Let every cell's next event come, if it does before ``until``; returns how many did."""
    prefer_wide_vectors()
    came = 0
    for i in range(BLOCK):
        elapsed[i] -= log32(u[i])
        fine = u[i] * _FINE
        state = _F(1) if fine - np.floor(fine) < occupancy else _F(0)
        comes = elapsed[i] <= until
        last[i] = state if comes else last[i]
        came += comes
    return came


@compiled()
def trap_states(moment, occupancy, chip, copy, block, key0, key1, state, scratch):
    """States of one block of cells at a moment.

    Parameters
    ----------
    moment : float64
        In units of the mean interval between events.
    occupancy : float32
        Share of time in the upper state.
    chip, copy, block : int
    key0, key1 : uint32
    state : ndarray of float32, shape (BLOCK,)
        Written: 1 in the upper state, 0 in the lower one.
    scratch : ndarray of float32, shape (3 * BLOCK,)
    """
    prefer_wide_vectors()
    u, elapsed, last = scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK], scratch[2 * BLOCK :]
    window = np.int64(np.floor(moment))
    until = np.float32(moment - np.floor(moment))
    for i in range(BLOCK):
        state[i] = _PENDING
    pending = BLOCK
    while pending > 0:
        for i in range(BLOCK):
            elapsed[i] = _F(0)
            last[i] = _PENDING
        event = came = 1
        while came > 0:
            address = np.uint32(copy + _COPIES * event)
            fill_uniforms(u, 0, block, np.uint32(chip), address, np.uint32(window & 0xFFFFFFFF), key0, key1)
            came = _next_events(u, elapsed, until, occupancy, last)
            event += 1
        pending = 0
        for i in range(BLOCK):
            state[i] = last[i] if state[i] == _PENDING else state[i]
            pending += state[i] == _PENDING
        window -= 1
        until = _F(1)


@compiled()
def _add_jumps(g, variance, state, frozen, effects):
    """Put the frozen cells into their states, and give the others the variance of theirs."""
    prefer_wide_vectors()
    p = effects.occupancy
    for i in range(BLOCK):
        ratio = exp32(effects.exponent * (effects.log_g_ref - log32(max(g[i], _F(1e-12)))))
        jump = min(effects.amplitude * ratio, _F(1)) * g[i]
        held = frozen[i] <= effects.frozen
        g[i] += jump * (state[i] - p) if held else _F(0)
        variance[i] += _F(0) if held else jump * jump * p * (_F(1) - p)


@compiled()
def blur(effects, g, variance, scratch):
    """Give every cell of one block the variance of its telegraph noise; ``scratch`` holds two blocks."""
    prefer_wide_vectors()
    for i in range(2 * BLOCK):
        # Above every share: no cell keeps its state.
        scratch[i] = _F(2)
    _add_jumps(g, variance, scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK], effects)


@compiled()
def fluctuate(effects, latents, time, seconds, chip, copy, block, g, variance, scratch):
    """Add telegraph noise to the conductances of one block of cells.

    Parameters
    ----------
    effects : record of layout.EFFECTS
    latents : ndarray of layout.LATENT
    time : int
        Number of the evaluation time, which stands at ``seconds``.
    seconds : float
    chip, copy, block : int
    g, variance : ndarray of float32, shape (BLOCK,)
        Changed.
    scratch : ndarray of float32, shape (5 * BLOCK,)
    """
    state, frozen = scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK]
    # With no cell frozen, or all, nothing is drawn for which they are.
    for i in range(BLOCK):
        state[i] = effects.occupancy
        frozen[i] = _F(1) if effects.frozen <= _F(0) else _F(0)
    if effects.frozen > _F(0):
        trap = latents[effects.trap]
        moment = seconds * effects.rate
        trap_states(
            moment, effects.occupancy, chip, copy, block, trap.key0, trap.key1, state, scratch[2 * BLOCK :]
        )
        if effects.frozen < _F(1):
            held = latents[effects.held_at + time]
            fill_uniforms(
                frozen, 0, block, np.uint32(chip), np.uint32(copy), np.uint32(0), held.key0, held.key1
            )
    _add_jumps(g, variance, state, frozen, effects)


_FLOATS, _INT = types.float32[::1], types.int64
FLUCTUATE = types.void(
    from_dtype(EFFECTS), types.Array(from_dtype(LATENT), 1, "C"), _INT, types.float64, _INT, _INT, _INT,
    _FLOATS, _FLOATS, _FLOATS,
)  # fmt: skip


@intrinsic
def call_fluctuate(
    typingctx, address, effects, latents, time, seconds, chip, copy, block, g, variance, scratch
):
    """Call :func:`fluctuate` at ``address``."""
    return caller(FLUCTUATE)
