"""A layer's linear part for many inputs at once, with weights that the caller gives.

Images are ``[block][row][column][channel][VECTOR]``, each block holding so many inputs side by side; a vector
of features is an image of one pixel.
"""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .denormals import denormals_to_zero, restore_denormals
from .product import multiply
from .simd import VECTOR, End

_F = np.float32


@compiled(nogil=True)
def convolve(
    layers, tiles, offsets, runs, w, x, x_at, block_step, row_step, place_step, y, y_at, blocks, rows, places,
):  # fmt: skip
    """Column sums of every place of every image, without bias.

    Parameters
    ----------
    layers : ndarray of layout.LAYER, shape (1,)
        ``groups``, ``group_channels`` and ``rows`` (weights of a column) are used.
    tiles : ndarray of layout.TILE, shape (1,)
    offsets, runs : ndarray of int64
        The rows of the matrix as segments, from the first pixel of a window on.
    w : ndarray of float32, flat, columns x rows
    x : ndarray of float32, flat
        Padded images, the first window of which starts at ``x_at``.
    block_step, row_step, place_step : int
        To the next image, and to the windows of the next output row and column.
    y, y_at : ndarray of float32, flat, int
        Written: blocks x rows x places x columns x VECTOR.
    blocks, rows, places : int
        Images, output rows and output columns.
    """
    layer = layers[0]
    lines = layer.lines
    nothing = w[:0]
    end = End(nothing, 0, 0, False, nothing, 0, 0, nothing, nothing, 0, _F(1), _F(0), _F(0))
    at = y_at
    # Slopes of activations that are nearly always zero are as small as floats can be.
    before = denormals_to_zero()
    for block in range(blocks):
        for row in range(rows):
            first = x_at + block * block_step + row * row_step
            multiply(
                layer, tiles, 0, 1, offsets, runs, lines, w, 0, x, first, place_step, y, at, places, False,
                end,
            )  # fmt: skip
            at += places * lines * VECTOR
    restore_denormals(before)
