"""Patches of a tile, which are joined two by two until one covers all of it.

A side of the tile is halved until its parts hold at most ``LEAF`` lines. A leaf is the smallest patch; which
two are joined next, side by side or one above the other, keeps patches as square as can be.

A patch touches the rest of the circuit at its ports, in four groups: where word lines enter it from the left
and leave it to the right, where bit lines enter it at the top and leave it at the bottom. Ports at the rim
of the tile are its terminals: the sources, and the sense inputs held at ground. A group's ports are
eliminated when the patches on both sides are joined; groups stand in the order in which this happens,
terminals last, which is the same order in every patch.
"""

from __future__ import annotations

from collections import namedtuple

from .cache import compiled

LEAF = 8
LEFT, RIGHT, TOP, BOTTOM = range(4)

Tile = namedtuple(
    "Tile",
    [
        "rows",
        "columns",
        "both",  # whether word lines have terminals on the right too
        "down",  # how often its rows are halved
        "across",  # how often its columns are
    ],
)

Patch = namedtuple(
    "Patch",
    [
        "down",  # how often the tile's rows were halved
        "across",
        "row",  # of these parts, from the top
        "column",  # from the left
    ],
)


@compiled()
def halvings(length):
    """How often so many lines must be halved until parts hold at most ``LEAF``."""
    count = 0
    while (length - 1) >> count >= LEAF:
        count += 1
    return count


@compiled()
def first_line(length, times, part):
    """First of the lines of a part, of those that ``times`` halvings leave."""
    return part * length >> times


@compiled()
def joins_beside(tile, down, across):
    """Whether patches of this size are joined side by side, or one above the other."""
    return across > 0 and (down == 0 or tile.columns << down <= tile.rows << across)


@compiled()
def joined(tile, patch):
    """The patch that a patch becomes part of."""
    if joins_beside(tile, patch.down, patch.across):
        return Patch(patch.down, patch.across - 1, patch.row, patch.column >> 1)
    return Patch(patch.down - 1, patch.across, patch.row >> 1, patch.column)


@compiled()
def leaf_at(tile, number):
    """The leaf with this number, in the order in which the first of two patches comes before the second."""
    down, across, row, column = tile.down, tile.across, 0, 0
    while down + across > 0:
        second = number & 1
        number >>= 1
        if joins_beside(tile, down, across):
            column |= second << (tile.across - across)
            across -= 1
        else:
            row |= second << (tile.down - down)
            down -= 1
    return Patch(tile.down, tile.across, row, column)


@compiled()
def _due(length, times, part):
    """Size of the parts that meet where ``part`` starts when they are joined."""
    while part & 1 == 0:
        part >>= 1
        times -= 1
    return length / (1 << times)


@compiled()
def extent(tile, patch):
    """First row and first column of a patch, and how many it has."""
    row = first_line(tile.rows, patch.down, patch.row)
    column = first_line(tile.columns, patch.across, patch.column)
    height = first_line(tile.rows, patch.down, patch.row + 1) - row
    width = first_line(tile.columns, patch.across, patch.column + 1) - column
    return row, column, height, width


@compiled()
def ports(tile, patch):
    """Ports of a patch: the first of each group, their number, and how many there are in all."""
    _, _, height, width = extent(tile, patch)
    end = 2.0 * (tile.rows + tile.columns)
    left, right, top, bottom = end, 2 * end, 3 * end, 4 * end
    lefts, rights, tops, bottoms = height, 0, 0, width
    if patch.column > 0:
        left = _due(tile.columns, patch.across, patch.column)
    if patch.column + 1 < 1 << patch.across:
        right = _due(tile.columns, patch.across, patch.column + 1)
        rights = height
    elif tile.both:
        rights = height
    # Of patches of one size those side by side are joined first.
    if patch.row > 0:
        top = _due(tile.rows, patch.down, patch.row) + 1e-9
        tops = width
    if patch.row + 1 < 1 << patch.down:
        bottom = _due(tile.rows, patch.down, patch.row + 1) + 1e-9
    due = (left, right, top, bottom)
    sizes = (lefts, rights, tops, bottoms)
    offsets = (
        _before(due, sizes, left),
        _before(due, sizes, right),
        _before(due, sizes, top),
        _before(due, sizes, bottom),
    )
    return offsets, sizes, lefts + rights + tops + bottoms


@compiled()
def _before(due, sizes, time):
    """Ports of the groups that are due before this one."""
    count = 0
    for group in range(4):
        if due[group] < time:
            count += sizes[group]
    return count
