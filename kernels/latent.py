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
from .intrinsics import (
    add32,
    and32,
    bits_of,
    float_of_bits,
    float_of_uint,
    fma32,
    prefer_wide_vectors,
    sqrt32,
)
from .philox import make_philox, philox
from .simd import VECTOR

BLOCK = 512
LANES = BLOCK // 4
# What is computed for a few devices is computed for whole vectors of them: LLVM unrolls loops to this many.
_TOGETHER = 64
_F = np.float32
_U = np.uint32

NORMAL = 0
UNIFORM = 1


@njit(inline="always")
def uniform_of_word(word):
    """A 32-bit word as a float32 in (0, 1], with 2**-33 as its smallest value."""
    return fma32(float_of_uint(word), _F(2.3283064365386963e-10), _F(1.1641532182693481e-10))


@njit(inline="always")
def _radius(word):
    return sqrt32(_F(-2) * log32(uniform_of_word(word)))


@njit(inline="always")
def _turned(radius, word):
    s, c = sincos_turns32(word)
    return radius * s, radius * c


@njit(inline="always")
def normals_of_words(a, b):
    """Two independent standard normals from two 32-bit words (Box-Muller; reaches 6.7 sigma)."""
    return _turned(_radius(a), b)


# AVX-512 has the registers for two vectors of counters at a time.
_fill_words = make_philox(2 if VECTOR == 16 else 1)
_fill_listed_words = make_philox(2 if VECTOR == 16 else 1, listed=True)


@njit(inline="always")
def _normals_in_place(z, lanes):
    """Words to normals. Two short loops: a long one runs out of registers and of work that can overlap."""
    # The words are read as the bits of z, because Numba would count references of a second view.
    for i in range(lanes):
        z[i] = _radius(bits_of(z[i]))
        z[2 * lanes + i] = _radius(bits_of(z[2 * lanes + i]))
    for i in range(lanes):
        z[i], z[lanes + i] = _turned(z[i], bits_of(z[lanes + i]))
        z[2 * lanes + i], z[3 * lanes + i] = _turned(z[2 * lanes + i], bits_of(z[3 * lanes + i]))


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
    _fill_words(z, LANES, np.uint64(block) * np.uint64(LANES), c1, c2, c3, k0, k1)
    _normals_in_place(z, LANES)


@compiled()
def fill_uniforms(out, start, block, c1, c2, c3, k0, k1):
    """Write the uniforms in (0, 1] of one block of devices; arguments as :func:`fill_normals`."""
    prefer_wide_vectors()
    u = out[start : start + BLOCK]
    _fill_words(u, LANES, np.uint64(block) * np.uint64(LANES), c1, c2, c3, k0, k1)
    for i in range(BLOCK):
        u[i] = uniform_of_word(bits_of(u[i]))


@compiled()
def _counters_at(places, count, block, words):
    """Counters of some devices of a block, as the bits of ``words``."""
    prefer_wide_vectors()
    first = np.uint32(block * LANES)
    for k in range(count):
        words[k] = float_of_bits(add32(first, and32(np.uint32(places[k]), _U(LANES - 1))))


@compiled()
def _choose(places, count, first, second):
    """Put the second words in place of the first of those devices that draw from them."""
    prefer_wide_vectors()
    for k in range(count):
        a, b = first[k], second[k]
        first[k] = b if np.uint32(places[k]) >= _U(2 * LANES) else a


@compiled()
def _turn(places, count, a, b):
    """Normals of some devices from the words of each one's pair, in place of the first."""
    prefer_wide_vectors()
    for k in range(count):
        a[k] = _radius(bits_of(a[k]))
    for k in range(count):
        s, c = _turned(a[k], bits_of(b[k]))
        a[k] = s if and32(np.uint32(places[k]), _U(LANES)) == _U(0) else c


@compiled()
def fill_normals_at(out, start, places, count, words, block, c1, c2, c3, k0, k1):
    """Write the normals of some devices of a block only; other arguments as :func:`fill_normals`.

    Parameters
    ----------
    places : ndarray of int32, shape (BLOCK,)
        Of the devices in the block; the first ``count`` are taken, all must be places.
    count : int
    words : ndarray of float32, shape (4 * BLOCK,)
        Scratch.
    """
    prefer_wide_vectors()
    lanes = (count + _TOGETHER - 1) // _TOGETHER * _TOGETHER
    _counters_at(places, lanes, block, words)
    _fill_listed_words(words, lanes, words, c1, c2, c3, k0, k1)
    a, b = words[:lanes], words[lanes : 2 * lanes]
    _choose(places, lanes, a, words[2 * lanes : 3 * lanes])
    _choose(places, lanes, b, words[3 * lanes : 4 * lanes])
    _turn(places, lanes, a, b)
    for k in range(count):
        out[np.uint64(start + places[k])] = words[k]


@compiled()
def fill_uniforms_at(out, start, places, count, words, block, c1, c2, c3, k0, k1):
    """Write the uniforms of some devices of a block only; arguments as :func:`fill_normals_at`."""
    prefer_wide_vectors()
    lanes = (count + _TOGETHER - 1) // _TOGETHER * _TOGETHER
    _counters_at(places, lanes, block, words)
    _fill_listed_words(words, lanes, words, c1, c2, c3, k0, k1)
    for k in range(count):
        own = np.uint64(k + places[k] // LANES * lanes)
        out[np.uint64(start + places[k])] = uniform_of_word(bits_of(words[own]))


@compiled()
def fill_readings(out, count, first, group, place, chip, k0, k1):
    """Normals that single reads redraw: for ``count`` inputs and four neighbouring columns.

    Writes ``out[q * count + i]``, the normal of column ``4 * group + q`` at input ``first + i``, in the
    multiplication at ``place`` of a convolution's outputs (0 where there is one).
    """
    prefer_wide_vectors()
    philox(out, count, np.uint64(first), chip, group, place, k0, k1)
    _normals_in_place(out, count)
