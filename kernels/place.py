"""Where the cells of a layer stand: the lines and rows of its tiles.

Tiles are counted by group, then along the columns, then along the rows. The lines of a tile are neighbouring
weight columns of one group, and behind them the reference line that they share, if there is one.
"""

from __future__ import annotations

from numba import njit


@njit(inline="always")
def tiles_of(layer):
    """Tiles of a layer along its columns, of all groups, and along its rows."""
    own = layer.columns // layer.groups
    across = layer.groups * ((own + layer.tile_columns - 1) // layer.tile_columns)
    return across, max((layer.rows - layer.bias_row + layer.tile_rows - 1) // layer.tile_rows, 1)


@njit(inline="always")
def lines_of_tile(layer, across):
    """First line of tile ``across`` along the columns, its neighbouring lines, and its reference or -1."""
    own = layer.columns // layer.groups
    along = (own + layer.tile_columns - 1) // layer.tile_columns
    group, tile = across // along, across % along
    first = tile * layer.tile_columns
    begin = group * (own + layer.references)
    reference = begin + own + tile if layer.references > 0 else -1
    return begin + first, min(layer.tile_columns, own - first), reference


@njit(inline="always")
def line_of_tile(first, lines, reference, k):
    """Number of line ``k`` of a tile."""
    return first + k if k < lines else reference


@njit(inline="always")
def rows_of_tile(layer, down):
    """First row of tile ``down`` along the rows, and its rows; a row of biases belongs to the last tile."""
    first = down * layer.tile_rows
    left = layer.rows - first
    return first, layer.tile_rows if left > layer.tile_rows + layer.bias_row else left
