"""Moves of chips within the law of their latents, for Markov chains of chips.

A chip's latents stand in one row, block by block of devices, as :func:`cells.draw` reads them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .cache import compiled
from .intrinsics import prefer_wide_vectors, take_next
from .latent import BLOCK, NORMAL, fill_normals, fill_uniforms

_F = np.float32
# Of a uniform number.
_SPREAD = _F(0.28867513)


@compiled()
def _move_normals(kept, step, z):
    """``kept`` of each normal, and ``step`` of a new one, which ``out`` holds."""
    prefer_wide_vectors()
    keeps = np.sqrt(_F(1) - step * step)
    for i in range(BLOCK):
        z[i] = keeps * kept[i] + step * z[i]


@compiled()
def _move_uniforms(kept, step, z):
    """Each uniform number in (0, 1], moved around a circle by the normal that ``z`` holds."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        u = kept[i] + step * _SPREAD * z[i]
        u -= np.floor(u)
        z[i] = u if u > _F(0) else _F(1)


@compiled(nogil=True)
def move_worker(rows, out, kinds, taken, first, step, key0, key1):
    """Move chips until all are ``taken``; other arguments as :func:`move_chips`."""
    i = take_next(taken)
    while i < len(out):
        number = np.uint64(first) + np.uint64(i)
        low, high = np.uint32(number & np.uint64(0xFFFFFFFF)), np.uint32(number >> np.uint64(32))
        for block in range(kinds.size):
            z = out[i, block * BLOCK : (block + 1) * BLOCK]
            if kinds[block] == NORMAL or step < _F(1):
                fill_normals(z, 0, block, low, high, np.uint32(0), key0, key1)
            else:
                fill_uniforms(z, 0, block, low, high, np.uint32(0), key0, key1)
            if step < _F(1):
                kept = rows[i, block * BLOCK : (block + 1) * BLOCK]
                if kinds[block] == NORMAL:
                    _move_normals(kept, step, z)
                else:
                    _move_uniforms(kept, step, z)
        i = take_next(taken)


def move_chips(rows, out, kinds, first, step, words, workers):
    """Write a proposal for each chip, reversible under the law of its latents.

    Parameters
    ----------
    rows : ndarray of float32, shape (chips, at least blocks * BLOCK)
        Normals move by the preconditioned Crank-Nicolson proposal, uniforms around a circle.
    out : ndarray of float32
        Written; as ``rows``.
    kinds : ndarray of int64, shape (blocks,)
        ``NORMAL`` or ``UNIFORM``.
    first : int
        Number of the first proposal, by which the counter draws.
    step : float
        Above 0; at 1 the proposals are new chips.
    words : two int
        Key.
    workers : int
    """
    taken = np.zeros(1, np.int64)
    key0, key1 = np.uint32(words[0]), np.uint32(words[1])

    def run(_):
        move_worker(rows, out, kinds, taken, first, np.float32(step), key0, key1)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, range(workers)):
            pass
