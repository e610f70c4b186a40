"""The matrix product of a crossbar: strips of column sums, tile by tile."""

from __future__ import annotations

from numba import from_dtype, njit, types
from numba.extending import intrinsic

from .cache import compiled
from .layout import LAYER, TILE
from .pointer import caller
from .simd import ADD, OUTPUTS, RESUME, START, VECTOR, VECTORS, End, make_product

_full_3, _full_2, _full_1 = (make_product(OUTPUTS, v) for v in (3, 2, 1))
_four_3, _four_2, _four_1 = (make_product(4, v) for v in (3, 2, 1))
_two_3, _two_2, _two_1 = (make_product(2, v) for v in (3, 2, 1))
_one_3, _one_2, _one_1 = (make_product(1, v) for v in (3, 2, 1))


@njit(inline="always")
def _columns(w, w_at, stride, x, x_at, x_step, c, c_at, c_step, segments, columns, vectors, end, channel):
    """All columns of one tile for one, two or three vectors, as many at a time as the registers hold.

    ``end`` holds whether the sums are finished, how, and the number of the first vector; ``channel`` is that
    of the first column.
    """
    j = 0
    while j < columns:
        at, to = w_at + j * stride, c_at + j * VECTOR
        left, number = columns - j, channel + j
        if left >= OUTPUTS:
            j += OUTPUTS
            if vectors == 3:
                _full_3(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            elif vectors == 2:
                _full_2(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            else:
                _full_1(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
        elif left >= 4:
            j += 4
            if vectors == 3:
                _four_3(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            elif vectors == 2:
                _four_2(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            else:
                _four_1(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
        elif left >= 2:
            j += 2
            if vectors == 3:
                _two_3(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            elif vectors == 2:
                _two_2(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            else:
                _two_1(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
        else:
            j += 1
            if vectors == 3:
                _one_3(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            elif vectors == 2:
                _one_2(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)
            else:
                _one_1(w, at, stride, x, x_at, x_step, c, to, c_step, *segments, *end, number)


@compiled()
def multiply(
    layer, tiles, first_tile, last_tile, offsets, runs, lines, w, w_at, x, x_at, x_step, c, c_at, vectors,
    finishes, end,
):  # fmt: skip
    """One strip of column sums, tile by tile: partial sums of a tile's rows, added up digitally.

    Parameters
    ----------
    layer : record of layout.LAYER
    tiles, offsets, runs
        As in layout.Plan.
    first_tile, last_tile : int
        Of the layer's tiles, the last one not included.
    lines : int
        All of the layer's, or so many neighbouring ones of a layer of one group.
    w, w_at : ndarray of float32, int
        Matrix, lines x rows, from the first of these on.
    x, x_at, x_step : ndarray of float32, int, int
        Where the first row of the first vector stands, and the step to the next vector: to the next place of
        a convolution's output row, or to the next block of inputs.
    c, c_at : ndarray of float32, int
        Sums are written, vectors x lines x VECTOR.
    vectors : int
    finishes : bool
        Whether all lines go through a digital end.
    end : simd.End
        With the digital end of all lines the sums are no longer of use afterwards.
    """
    own = lines // layer.groups
    step = lines * VECTOR
    for t in range(first_tile, last_tile):
        tile = tiles[layer.tiles_at + t]
        how = RESUME if tile.resumes else (ADD if t > first_tile else START)
        for first in range(0, vectors, VECTORS):
            for g in range(layer.groups):
                _columns(
                    w,
                    w_at + g * own * layer.rows + tile.row,
                    layer.rows,
                    x,
                    x_at + first * x_step + g * layer.group_channels * VECTOR,
                    x_step,
                    c,
                    c_at + first * step + g * own * VECTOR,
                    step,
                    (offsets, runs, tile.segment, tile.segments, how),
                    own,
                    min(VECTORS, vectors - first),
                    (finishes and t + 1 == last_tile, end, first),
                    g * own,
                )


_FLOAT, _FLOATS, _INTS, _INT = types.float32, types.float32[::1], types.int64[::1], types.int64
_END = types.NamedTuple(
    [_FLOATS, _INT, _INT, types.boolean, _FLOATS, _INT, _INT, _FLOATS, _FLOATS, _INT, _FLOAT, _FLOAT, _FLOAT],
    End,
)
MULTIPLY = types.void(
    from_dtype(LAYER), types.Array(from_dtype(TILE), 1, "C"), _INT, _INT, _INTS, _INTS, _INT,
    _FLOATS, _INT, _FLOATS, _INT, _INT, _FLOATS, _INT, _INT, types.boolean, _END,
)  # fmt: skip
"""Signature of :func:`multiply`."""


@intrinsic
def call_multiply(
    typingctx, address, layer, tiles, first_tile, last_tile, offsets, runs, lines, w, w_at, x, x_at, x_step,
    c, c_at, vectors, finishes, end,
):  # fmt: skip
    """Call :func:`multiply` at ``address``."""
    return caller(MULTIPLY)
