"""Philox4x32-10, the counter-based generator of Random123.

J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers:
as easy as 1, 2, 3", SC'11, doi 10.1145/2063384.2063405. A block of four 32-bit
words is a pure function of a 128-bit counter and a 64-bit key, so a draw has an
address and no history.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .intrinsics import add32

ROUNDS = 10
_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint32(0x9E3779B9)
_W1 = np.uint32(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """One Philox4x32-10 block: the four words of counter (c0, c1, c2, c3) under key (k0, k1).

    Counter words and results travel in the low halves of uint64; the high halves
    carry leftovers that no step reads. So a 32x32 -> 64 bit product stays one
    vector instruction a word, and a round is six.
    """
    for _ in range(ROUNDS):
        p0 = (c0 & _LOW) * _M0
        p1 = (c2 & _LOW) * _M1
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ np.uint64(k0), p1, (p0 >> _32) ^ c3 ^ np.uint64(k1), p0
        k0 = add32(k0, _W0)
        k1 = add32(k1, _W1)
    return c0, c1, c2, c3


@compiled()
def philox_words(counters, key):
    """Philox4x32-10 words of given counters, for tests and inspection.

    Parameters
    ----------
    counters : ndarray of uint32, shape (n, 4)
    key : ndarray of uint32, shape (2,)

    Returns
    -------
    ndarray of uint32, shape (n, 4)
    """
    words = np.empty_like(counters)
    for i in range(len(counters)):
        c = counters[i]
        block = philox(np.uint64(c[0]), np.uint64(c[1]), np.uint64(c[2]), np.uint64(c[3]), key[0], key[1])
        for j in range(4):
            words[i, j] = np.uint32(block[j] & _LOW)
    return words
