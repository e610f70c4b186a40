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

GEOMETRY = np.dtype(
    [
        ("blocks", np.int64),
        ("height", np.int64),  # of an image without its border
        ("width", np.int64),
        ("pixel", np.int64),  # floats of one pixel
        ("top", np.int64),  # border above, and left
        ("left", np.int64),
        ("room_height", np.int64),  # of an image with its border
        ("room_width", np.int64),
        ("row_step", np.int64),  # from the windows of one output row or column to the next, in floats
        ("place_step", np.int64),
        ("rows", np.int64),  # output rows and columns
        ("places", np.int64),
    ]
)
_F = np.float32


@compiled(nogil=True)
def convolve(geometry, layers, tiles, offsets, runs, w, x, y):
    """Column sums of every place of every image, without bias.

    Parameters
    ----------
    geometry : ndarray of GEOMETRY, shape (1,)
    layers : ndarray of layout.LAYER, shape (1,)
        ``groups``, ``group_channels``, ``lines`` and ``rows`` (weights of a column) are used.
    tiles : ndarray of layout.TILE, shape (1,)
    offsets, runs : ndarray of int64
        The rows of the matrix as segments, from the first pixel of a window on.
    w : ndarray of float32, flat, columns x rows
    x : ndarray of float32, flat
        Images with their borders.
    y : ndarray of float32, flat
        Written: blocks x rows x places x columns x VECTOR.
    """
    images, layer = geometry[0], layers[0]
    lines = layer.lines
    # Means behind activations that are hardly ever reached are such numbers.
    before = denormals_to_zero()
    nothing = w[:0]
    end = End(nothing, 0, 0, False, nothing, 0, 0, nothing, nothing, 0, _F(1), _F(0), _F(0))
    block_step = images.room_height * images.room_width * images.pixel
    at = 0
    for block in range(images.blocks):
        for row in range(images.rows):
            multiply(
                layer, tiles, 0, 1, offsets, runs, lines, w, 0, x, block * block_step + row * images.row_step,
                images.place_step, y, at, images.places, False, end,
            )  # fmt: skip
            at += images.places * lines * VECTOR
    restore_denormals(before)
