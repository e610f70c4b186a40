"""The matrix that a crossbar tile multiplies by when its wires have resistance.

Cell (i, j) is a conductance between a node of word line ``i`` and one of bit line ``j``. The circuit's
resistances stand

- between the nodes of neighbouring columns of a word line (``word_ohm``) and of neighbouring rows of a bit
  line (``bit_ohm``): a line of n cells has n - 1 such segments, none of them outside the cells;
- between each word line's ideal source and its node in the first column, and with ``both`` between the
  same source and its node in the last column (``driver_ohm``);
- between each bit line's node in the last row and an ideal ground, where its current is sensed
  (``sense_ohm``).

A segment between source and first cell, or between last cell and ground, belongs to ``driver_ohm`` or
``sense_ohm``: the circuit of badcrossbar (Joksas and Mehonic, SoftwareX 12, 2020), which has both, is this
one with ``driver_ohm = word_ohm`` and ``sense_ohm = bit_ohm``.

The circuit is linear, so its currents are ``I[j] = sum over i of M[i, j] * V[i]``. The effective conductance
``M[i, j]`` is the link between source ``i`` and ground ``j`` that is left when all other nodes are
eliminated. This is done by nested dissection (George, SIAM Journal on Numerical Analysis 10, 1973): patches
of the tile are reduced to their ports and joined two by two, in time that grows with the third power of the
tile's side. Nothing is iterated and nothing is subtracted, so there is no tolerance to choose, and small
effective conductances are as accurate as large ones: in float32 to a few 1e-7, and to 3e-6 at worst, for
tiles of up to 256 x 256 (``tests/test_wires.py``).

Cells whose conductance depends on their voltage, capacitances, inductances and the resistance of selectors
in series with a cell are not modelled.
"""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .denormals import denormals_to_zero, restore_denormals
from .lanes import LANES
from .leaves import SIZE, reduce_leaves, take_leaf
from .mesh import add_part, clear, eliminate, keep_ports, links_size, padded, row_at
from .patches import BOTTOM, LEFT, RIGHT, TOP, Patch, Tile, halvings, joined, joins_beside, leaf_at, ports

WIRES = np.dtype(
    [
        ("word_ohm", np.float64),  # of one segment
        ("bit_ohm", np.float64),
        ("driver_ohm", np.float64),
        ("sense_ohm", np.float64),
        ("both", np.int64),  # whether word lines are driven from both ends
    ]
)


@compiled()
def _shares_size(rows, columns):
    # No patch and what it is joined from have more nodes.
    return LANES * padded(3 * (rows + columns))


@compiled()
def _most_ports(tile, down, across):
    """Bound of the ports of a patch."""
    height, width = ((tile.rows - 1) >> down) + 1, ((tile.columns - 1) >> across) + 1
    return 2 * height + (2 * width if down > 0 else width)


@compiled()
def work_size(rows, columns):
    """Elements of the scratch array of :func:`attenuate`."""
    tile = Tile(rows, columns, 1, halvings(rows), halvings(columns))
    down, across = tile.down, tile.across
    part = links_size(_most_ports(tile, down, across))
    highest = part
    while down + across > 0:
        if joins_beside(tile, down, across):
            eliminated = ((rows - 1) >> down) + 1
            across -= 1
        else:
            eliminated = ((columns - 1) >> across) + 1
            down -= 1
        # While the second of two patches is made, the first is kept.
        count = _most_ports(tile, down, across)
        highest = part + max(highest, part + links_size(eliminated + count))
        part = links_size(count)
    # Vectors at the end of a network reach beyond it.
    return SIZE + _shares_size(rows, columns) + highest + LANES


@compiled()
def _join(tile, second, end, work, shares):
    """Join a patch and the one before it, whose links end at ``end``, in their place; returns the new end."""
    beside = joins_beside(tile, second.down, second.across)
    patch = joined(tile, second)
    if beside:
        first = Patch(second.down, second.across, second.row, second.column - 1)
    else:
        first = Patch(second.down, second.across, second.row - 1, second.column)
    first_offsets, first_sizes, first_count = ports(tile, first)
    second_offsets, second_sizes, second_count = ports(tile, second)
    offsets, _, count = ports(tile, patch)
    between = first_sizes[RIGHT] if beside else first_sizes[BOTTOM]
    left, right = between + offsets[LEFT], between + offsets[RIGHT]
    top, bottom = between + offsets[TOP], between + offsets[BOTTOM]
    if beside:
        first_places = (left, 0, top, bottom)
        second_places = (0, right, top + first_sizes[TOP], bottom + first_sizes[BOTTOM])
    else:
        first_places = (left, right, top, 0)
        second_places = (left + first_sizes[LEFT], right + first_sizes[RIGHT], 0, bottom)
    middle = end - links_size(second_count)
    start = middle - links_size(first_count)
    n = between + count
    links = work[end : end + links_size(n)]
    clear(links)
    add_part(links, n, first_places, work[start:middle], first_count, first_offsets, first_sizes)
    add_part(links, n, second_places, work[middle:end], second_count, second_offsets, second_sizes)
    # Of the whole tile only the links of its sources with its grounds are wanted.
    is_whole = patch.down + patch.across == 0
    eliminate(links, n, between, bottom if is_whole else n, bottom if is_whole else 0, shares)
    keep_ports(links, n, between, work[start:end])
    return start + links_size(count)


@compiled()
def attenuate(g, at, line_step, rows, columns, wires, work):
    """Replace the conductances of a tile by the effective ones.

    Parameters
    ----------
    g : ndarray of float32 or float64, uS
        That of row ``i`` and column ``j`` stands at ``at + j * line_step + i``; none is negative. Replaced.
    at, line_step, rows, columns : int
    wires : record of WIRES
        A resistance below 1e-20 ohm counts as 1e-20 ohm, which is lost in rounding; where all four are
        zero, ``g`` is left as it is.
    work : ndarray of the type of ``g``
        Scratch of at least ``work_size(rows, columns)`` elements.
    """
    if max(wires.word_ohm, wires.bit_ohm, wires.driver_ohm, wires.sense_ohm) == 0:
        return
    tile = Tile(rows, columns, wires.both, halvings(rows), halvings(columns))
    start = SIZE + _shares_size(rows, columns)
    shares = work[SIZE:start]
    end = start
    # Links between far cells of a sparse tile fade away through denormals, with which x86 CPUs
    # compute a hundred times slower; beside the links that matter they are nothing.
    before = denormals_to_zero()
    for number in range(1 << (tile.down + tile.across)):
        if number % LANES == 0:
            reduce_leaves(g, at, line_step, tile, wires, number, work)
        patch = leaf_at(tile, number)
        end += links_size(take_leaf(tile, patch, number % LANES, work, work[end:]))
        while patch.down + patch.across > 0:
            beside = joins_beside(tile, patch.down, patch.across)
            if (patch.column if beside else patch.row) & 1 == 0:
                break
            end = _join(tile, patch, end, work, shares)
            patch = joined(tile, patch)
    restore_denormals(before)
    offsets, _, count = ports(tile, Patch(0, 0, 0, 0))
    for i in range(rows):
        left = start + row_at(count, offsets[LEFT] + i) + offsets[BOTTOM]
        right = start + row_at(count, offsets[RIGHT] + i) + offsets[BOTTOM]
        for j in range(columns):
            link = work[left + j]
            if tile.both:
                link += work[right + j]
            g[at + j * line_step + i] = link
