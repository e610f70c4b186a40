"""Blocks of latent draws: the standard normals and uniforms that fix a chip.

Draws come in blocks of ``BLOCK`` consecutive devices of a layer's unrolled
weight matrix. Device ``d`` takes word ``(d % BLOCK) // LANES`` of the Philox
counter ``(d // BLOCK) * LANES + d % LANES``: a fixed address that knows nothing
of tiles, threads or memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .float32 import log32, sincos_turns32
from .intrinsics import float_of_uint, fma32, prefer_wide_vectors, sqrt32
from .philox import philox

BLOCK = 512
LANES = BLOCK // 4
_HALF = LANES // 2
_F = np.float32
_U = np.uint32
_32 = np.uint64(32)

NORMAL = 0
UNIFORM = 1


@njit(inline="always")
def uniform_of_word(word):
    """A 32-bit word as a float32 in (0, 1], with 2**-33 as its smallest value."""
    return fma32(float_of_uint(word), _F(2.3283064365386963e-10), _F(1.1641532182693481e-10))


@njit(inline="always")
def normals_of_words(a, b):
    """Two independent standard normals from two 32-bit words (Box-Muller; reaches 6.7 sigma)."""
    r = sqrt32(_F(-2) * log32(uniform_of_word(a)))
    s, c = sincos_turns32(b)
    return r * s, r * c


@njit(inline="always")
def _fill_words(words, lanes, first, c1, c2, c3, k0, k1):
    """Philox words of ``lanes`` consecutive counters, one word after the other's lanes."""
    w1, w2, w3 = np.uint64(c1), np.uint64(c2), np.uint64(c3)
    for i in range(lanes):
        a, b, c, d = philox(first + np.uint64(i), w1, w2, w3, k0, k1)
        words[i] = _U(a)
        words[lanes + i] = _U(b)
        words[2 * lanes + i] = _U(c)
        words[3 * lanes + i] = _U(d)


@njit(inline="always")
def _normals_in_place(z, words, lanes):
    """Words to normals. A loop of its own, because LLVM picks the lanes of a loop by its widest type."""
    for i in range(lanes):
        z0, z1 = normals_of_words(words[i], words[lanes + i])
        z2, z3 = normals_of_words(words[2 * lanes + i], words[3 * lanes + i])
        z[i] = z0
        z[lanes + i] = z1
        z[2 * lanes + i] = z2
        z[3 * lanes + i] = z3


@compiled()
def fill_normals(out, start, block, c1, c2, c3, k0, k1):
    """Write the normals of one block of devices into ``out[start:start + BLOCK]``.

    Parameters
    ----------
    out : ndarray of float32
    start : int64
    block : int64
        Number of the block: the first device is ``block * BLOCK``.
    c1, c2, c3 : uint32
        Chip number, copy and reading: the other words of the counter.
    k0, k1 : uint32
        Key.
    """
    prefer_wide_vectors()
    z = out[start : start + BLOCK]
    words = z.view(np.uint32)
    _fill_words(words, LANES, np.uint64(block) * np.uint64(LANES), c1, c2, c3, k0, k1)
    _normals_in_place(z, words, LANES)


@compiled()
def fill_uniforms(out, start, block, c1, c2, c3, k0, k1):
    """Write the uniforms in (0, 1] of one block of devices; arguments as :func:`fill_normals`."""
    prefer_wide_vectors()
    u = out[start : start + BLOCK]
    words = u.view(np.uint32)
    _fill_words(words, LANES, np.uint64(block) * np.uint64(LANES), c1, c2, c3, k0, k1)
    for i in range(BLOCK):
        u[i] = uniform_of_word(words[i])


@compiled()
def fill_readings(out, count, first, group, place, chip, k0, k1):
    """Normals that single reads redraw: for ``count`` inputs and four neighbouring columns.

    Writes ``out[q * count + i]``, the normal of column ``4 * group + q`` at input ``first + i``, in the
    multiplication at ``place`` of a convolution's outputs (0 where there is one).
    """
    prefer_wide_vectors()
    words = out.view(np.uint32)
    _fill_words(words, count, np.uint64(first), chip, group, place, k0, k1)
    _normals_in_place(out, words, count)
