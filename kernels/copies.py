"""Copies of columns in several slices: lines that a slice lacks, and the median of those that it has."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK
from .layout import LAYER
from .pointer import caller
from .simd import VECTOR


@compiled()
def by_line(layer, numbers, first, block, values):
    """Multiply one block of a slice's cells by the number of the line on which each stands.

    Parameters
    ----------
    layer : record of layout.LAYER
    numbers : ndarray of float32
    first : int
        Where the number of the slice's first line stands.
    block : int
    values : ndarray of float32, shape (BLOCK,)
        Changed.
    """
    begin = block * BLOCK
    end = min(begin + BLOCK, layer.lines * layer.rows)
    while begin < end:
        line = begin // layer.rows
        behind = min((line + 1) * layer.rows, end)
        number = numbers[first + line]
        for i in range(begin - block * BLOCK, behind - block * BLOCK):
            values[i] *= number
        begin = behind


@compiled()
def vote(layer, numbers, votes, sums, vectors):
    """Medians over the slices of one strip of sums.

    Parameters
    ----------
    layer : record of layout.LAYER
        With an odd number of slices.
    numbers : ndarray of float32
        Where ``layer.held_at`` says which slices have which lines.
    votes : ndarray of float32, slices x vectors x lines x VECTOR
        Changed.
    sums : ndarray of float32, vectors x lines x VECTOR
        Written.
    vectors : int
    """
    prefer_wide_vectors()
    size = vectors * layer.lines * VECTOR
    slices = layer.slices
    if layer.held_at >= 0:
        # A line of one copy is its own median.
        for j in range(layer.lines):
            if numbers[layer.held_at + layer.lines + j] > np.float32(0):
                continue
            for v in range(vectors):
                at = (v * layer.lines + j) * VECTOR
                for s in range(1, slices):
                    for i in range(at, at + VECTOR):
                        votes[s * size + i] = votes[i]
    # Odd-even transposition: so many passes sort each place's values.
    for turn in range(slices):
        for s in range(turn % 2, slices - 1, 2):
            lower, upper = votes[s * size : (s + 1) * size], votes[(s + 1) * size : (s + 2) * size]
            for i in range(size):
                a, b = lower[i], upper[i]
                lower[i] = min(a, b)
                upper[i] = max(a, b)
    middle = votes[slices // 2 * size : (slices // 2 + 1) * size]
    for i in range(size):
        sums[i] = middle[i]


_FLOATS = types.float32[::1]
BY_LINE = types.void(from_dtype(LAYER), _FLOATS, types.int64, types.int64, _FLOATS)
VOTE = types.void(from_dtype(LAYER), _FLOATS, _FLOATS, _FLOATS, types.int64)


@intrinsic
def call_by_line(typingctx, address, layer, numbers, first, block, values):
    """Call :func:`by_line` at ``address``."""
    return caller(BY_LINE)


@intrinsic
def call_vote(typingctx, address, layer, numbers, votes, sums, vectors):
    """Call :func:`vote` at ``address``."""
    return caller(VOTE)
