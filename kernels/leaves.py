"""The smallest patches of a tile, as many at a time as a vector has lanes.

Every lane holds one leaf, and all take the same steps: row by row from the bottom, each word line is reduced
to links between its two ends and its cells, these are added to what is linked by the bit lines so far, and
the bit lines go on by one resistor. A leaf of one line less than others repeats its last one, without cells
and without resistance.

The resistors on its left and below it belong to a leaf.
"""

from __future__ import annotations

from collections import namedtuple

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .lanes import LANES, add, inverse, load, multiply, multiply_add, store, zeros
from .mesh import clear, row_at
from .patches import LEAF, LEFT, extent, leaf_at, ports

_SHORT_OHM = 1e-20
# What a word line passes from left to right, and a bit line from the bottom to the top.
_INTO_LEFT, _WITHIN, _INTO_LAST, _BEYOND_RIGHT, _INTO_BOTTOM, _UP, _INTO_TOP, _BEYOND_TOP = range(8)


def _triangle(nodes: int) -> int:
    return nodes * (nodes + 1) // 2 * LANES


_SIZES = (_triangle(4 * LEAF), _triangle(LEAF + 2), 4 * LEAF * LANES, 8 * LANES, LEAF * LEAF * LANES)
_LINE, _OWN, _RESISTORS, _CELLS, SIZE = (sum(_SIZES[: i + 1]) for i in range(5))
"""Elements of the scratch array of :func:`reduce_leaves`."""

# Vectors of links, of one word line's links, of one node's, of resistors and of cells, all in uS.
_Leaves = namedtuple("_Leaves", ["links", "line", "own", "resistors", "cells"])


@compiled()
def _leaves_in(work):
    return _Leaves(
        work[:_LINE], work[_LINE:_OWN], work[_OWN:_RESISTORS], work[_RESISTORS:_CELLS], work[_CELLS:SIZE]
    )


@compiled()
def _link(n, a, b):
    """Where the links of nodes ``a`` and ``b`` of ``n`` stand, one a lane."""
    low, high = min(a, b), max(a, b)
    return (low * (2 * n - low - 1) // 2 + high) * LANES


@compiled()
def _advance(links, n, active, node, resistors, resistor, own):
    """Move ``node`` across a resistor: the node behind it takes its place, and it is eliminated.

    Only the first ``active`` of the ``n`` nodes are linked.
    """
    prefer_wide_vectors()
    onward = load(resistors, resistor * LANES)
    whole = onward
    for a in range(active):
        link = zeros(own)
        if a != node:
            link = load(links, _link(n, a, node))
        store(own, a * LANES, link)
        whole = add(whole, link)
    share = inverse(whole)
    for a in range(active):
        x = multiply(load(own, a * LANES), share)
        row = _link(n, a, a) - a * LANES
        for b in range(a + 1, active):
            to = row + b * LANES
            store(links, to, multiply_add(x, load(own, b * LANES), load(links, to)))
    share = multiply(share, onward)
    for a in range(active):
        if a != node:
            store(links, _link(n, a, node), multiply(load(own, a * LANES), share))


@compiled()
def _microsiemens(ohm):
    return 1e6 / max(ohm, _SHORT_OHM)


@compiled()
def _load_leaf(g, at, line_step, tile, wires, patch, lane, height, width, resistors, cells):
    """Write one leaf's resistors and cells to its lane."""
    row, column, own_height, own_width = extent(tile, patch)
    is_left, is_right = patch.column == 0, patch.column + 1 == 1 << tile.across
    is_top, is_bottom = patch.row == 0, patch.row + 1 == 1 << tile.down
    word, bit = _microsiemens(wires.word_ohm), _microsiemens(wires.bit_ohm)
    driver, sense = _microsiemens(wires.driver_ohm), _microsiemens(wires.sense_ohm)
    short, source = _microsiemens(0.0), driver if tile.both else 0.0
    resistors[_INTO_LEFT * LANES + lane] = driver if is_left else word
    resistors[_WITHIN * LANES + lane] = word
    resistors[_INTO_LAST * LANES + lane] = word if own_width == width else short
    resistors[_BEYOND_RIGHT * LANES + lane] = source if is_right else short
    resistors[_INTO_BOTTOM * LANES + lane] = sense if is_bottom else bit
    resistors[_UP * LANES + lane] = bit
    resistors[_INTO_TOP * LANES + lane] = bit if own_height == height else short
    resistors[_BEYOND_TOP * LANES + lane] = 0.0 if is_top else short
    bottom = at + row + own_height - 1
    for j in range(width):
        for i in range(height):
            is_cell = i < own_height and j < own_width
            cell = g[bottom - i + (column + j) * line_step] if is_cell else g.dtype.type(0)
            cells[(i * width + j) * LANES + lane] = cell


@compiled()
def _resists(resistors, resistor):
    """Whether there is anything to pass in any lane."""
    short = resistors.dtype.type(_microsiemens(0.0))
    count = 0
    for lane in range(LANES):
        count += resistors[resistor * LANES + lane] != short
    return count > 0


@compiled()
def _reduce_word_line(leaves, row, width):
    """Links of a word line's left end, its right end and its cells, which all stand for bit line nodes."""
    n = width + 2
    left, right = n - width - 2, n - width - 1
    clear(leaves.line[: _link(n, n - 1, n - 1) + LANES])
    store(leaves.line, _link(n, left, right), load(leaves.resistors, _INTO_LEFT * LANES))
    steps = width if _resists(leaves.resistors, _BEYOND_RIGHT) else width - 1
    for j in range(width):
        store(leaves.line, _link(n, right, right + 1 + j), load(leaves.cells, (row * width + j) * LANES))
        if j < steps:
            onward = _WITHIN if j + 2 < width else _INTO_LAST if j + 1 < width else _BEYOND_RIGHT
            _advance(leaves.line, n, right + 2 + j, right, leaves.resistors, onward, leaves.own)


@compiled()
def _add_word_line(leaves, row, width, n):
    """Add the links of a row's word line to its leaf's."""
    prefer_wide_vectors()
    lines = width + 2
    left = 2 * (width + row)
    store(leaves.links, _link(n, left, left + 1), load(leaves.line, _link(lines, 0, 1)))
    for a in range(width):
        for end in range(2):
            link = load(leaves.line, _link(lines, end, 2 + a))
            store(leaves.links, _link(n, width + a, left + end), link)
        for b in range(a + 1, width):
            to = _link(n, width + a, width + b)
            link = load(leaves.line, _link(lines, 2 + a, 2 + b))
            store(leaves.links, to, add(load(leaves.links, to), link))


@compiled()
def _largest_leaf(tile):
    """Rows and columns of the largest leaf."""
    return ((tile.rows - 1) >> tile.down) + 1, ((tile.columns - 1) >> tile.across) + 1


@compiled()
def reduce_leaves(g, at, line_step, tile, wires, number, work):
    """Find the links between the ports of as many leaves as there are lanes, from leaf ``number`` on.

    Parameters
    ----------
    g, at, line_step, wires
        As in :func:`wires.attenuate`.
    tile : patches.Tile
    number : int
    work : ndarray
        Scratch of ``SIZE`` elements, from which :func:`take_leaf` takes the links.
    """
    prefer_wide_vectors()
    leaves = _leaves_in(work)
    height, width = _largest_leaf(tile)
    last = (1 << (tile.down + tile.across)) - 1
    for lane in range(LANES):
        patch = leaf_at(tile, min(number + lane, last))
        _load_leaf(
            g, at, line_step, tile, wires, patch, lane, height, width, leaves.resistors, leaves.cells
        )  # fmt: skip
    # The lower ends of a leaf's bit lines, their upper ends, and the two ends of each word line.
    n = 2 * (width + height)
    clear(leaves.links[: _link(n, n - 1, n - 1) + LANES])
    for j in range(width):
        store(leaves.links, _link(n, j, width + j), load(leaves.resistors, _INTO_BOTTOM * LANES))
    steps = height if _resists(leaves.resistors, _BEYOND_TOP) else height - 1
    for i in range(height):
        _reduce_word_line(leaves, i, width)
        _add_word_line(leaves, i, width, n)
        if i < steps:
            onward = _UP if i + 2 < height else _INTO_TOP if i + 1 < height else _BEYOND_TOP
            for j in range(width):
                _advance(
                    leaves.links, n, 2 * (width + i + 1), width + j, leaves.resistors, onward, leaves.own
                )  # fmt: skip


@compiled()
def take_leaf(tile, patch, lane, work, links):
    """Write the links of one lane's ports in the order of its ports, and tell how many these are."""
    leaves = _leaves_in(work)
    height, width = _largest_leaf(tile)
    n = 2 * (width + height)
    offsets, sizes, count = ports(tile, patch)
    top_left = 2 * (width + sizes[LEFT] - 1)
    nodes, steps = (top_left, top_left + 1, width, 0), (-2, -2, 1, 1)
    for x in range(len(sizes)):
        for i in range(sizes[x]):
            row, a = row_at(count, offsets[x] + i), nodes[x] + steps[x] * i
            for y in range(len(sizes)):
                if offsets[y] >= offsets[x]:
                    for j in range(i + 1 if x == y else 0, sizes[y]):
                        b = nodes[y] + steps[y] * j
                        links[row + offsets[y] + j] = leaves.links[_link(n, a, b) + lane]
    return count
