"""Networks of resistors, and the elimination of their nodes (star-mesh transformation).

A node that is linked to its neighbours by conductances ``c[a]`` can be left out if ``c[a] * c[b] / sum(c)``
is added to the link between each two of them. The sum is taken over the links that are left, instead of
being carried along as a diagonal element, so that nothing is ever subtracted: every link comes out accurate
to a few roundings, however small it is beside the others (Grassmann, Taksar and Heyman, Operations Research
33, 1985; O'Cinneide, Numerische Mathematik 65, 1993).

The links of ``n`` nodes are a triangle: the one of nodes ``a`` and ``b``, a < b, stands ``b`` behind
``row_at(n, a)``. Rows come in bands of ``LANES`` that start at the same column, and end in whole vectors,
filled up with zeros. What stands at or left of the diagonal has no meaning.
"""

from __future__ import annotations

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .lanes import (
    LANES,
    ROWS,
    add,
    add_products,
    head,
    load,
    multiply,
    multiply_add,
    splat,
    store,
    total,
    zeros,
)


@compiled()
def padded(n):
    """Columns of the triangle of ``n`` nodes."""
    return (n + LANES - 1) // LANES * LANES


@compiled()
def links_size(n):
    """Elements of the triangle of ``n`` nodes."""
    width = padded(n)
    return width * (width + LANES) // 2


@compiled()
def row_at(n, a):
    """Where a link of nodes ``a`` and 0 would stand in the triangle of ``n`` nodes."""
    width = padded(n)
    start = a // LANES * LANES
    before = start * (width - (start - LANES) // 2)
    return before + (a - start) * (width - start) - start


@compiled()
def clear(links):
    """Cut all links."""
    prefer_wide_vectors()
    for i in range(links.size):
        links[i] = 0


@compiled()
def add_part(links, n, places, part, ports, offsets, sizes):
    """Add a part's links to a network's.

    Parameters
    ----------
    links : ndarray
        Of ``n`` nodes.
    n : int
    places : tuple of int
        The network's node that is the first port of each of the part's groups; no group stands before
        another that it stands behind in the part.
    part : ndarray
        Links of the part's ports.
    ports : int
    offsets, sizes : tuple of int
        First port of each group, and their number.
    """
    prefer_wide_vectors()
    for x in range(len(sizes)):
        for i in range(sizes[x]):
            row, source = row_at(n, places[x] + i), row_at(ports, offsets[x] + i)
            for y in range(len(sizes)):
                if offsets[y] >= offsets[x]:
                    to, at = row + places[y], source + offsets[y]
                    for j in range(i + 1 if x == y else 0, sizes[y], LANES):
                        own = head(load(part, at + j), sizes[y] - j)
                        store(links, to + j, add(load(links, to + j), own))


@compiled()
def _finish(links, n, first, count, shares):
    """Add to ``count`` rows from ``first`` on, all of one band, what the elimination of each owes the next.

    ``shares[p, b]`` becomes the share that the link to node ``b`` has in the links of node ``first + p`` to
    all nodes behind it.
    """
    prefer_wide_vectors()
    width = padded(n)
    start = first // LANES * LANES
    above, step = row_at(n, first), width - start
    for p in range(count):
        row = above + p * step
        rest = zeros(links)
        for b in range(start, width, LANES):
            x = zeros(links)
            for q in range(p):
                share = splat(shares[q * width + first + p])
                x = multiply_add(share, load(links, above + q * step + b), x)
            x = add(load(links, row + b), x)
            store(links, row + b, x)
            if b > start:
                rest = add(rest, x)
        whole = total(rest)
        for b in range(first + p + 1, start + LANES):
            whole += links[row + b]
        share = splat(links.dtype.type(1) / whole)
        for b in range(start, width, LANES):
            store(shares, p * width + b, multiply(load(links, row + b), share))
    # These rows stand among others that are still to change.
    for p in range(count):
        for b in range(first, first + count):
            shares[p * width + b] = 0


@compiled()
def eliminate(links, n, m, rows, column, shares):
    """Eliminate the first ``m`` of ``n`` nodes.

    Links of two other nodes are found for the first ``rows`` nodes with those from ``column`` on.

    Parameters
    ----------
    links : ndarray
    n, m, rows, column : int
    shares : ndarray
        Scratch of ``LANES * padded(n)`` elements.
    """
    prefer_wide_vectors()
    width = padded(n)
    for first in range(0, m, LANES):
        count = min(LANES, m - first)
        _finish(links, n, first, count, shares)
        for a in range(first + count // ROWS * ROWS, max(rows, m), ROWS):
            start = a // LANES * LANES
            b = start if a < m else max(start, column // LANES * LANES)
            add_products(
                links, row_at(n, a) + b, width - start, shares, a, width,
                links, row_at(n, first) + b, width - first, count, (width - b) // LANES,
            )  # fmt: skip


@compiled()
def keep_ports(links, n, m, ports):
    """Copy the links of the nodes from ``m`` on; ``ports`` may overlap ``links`` if it starts before it."""
    prefer_wide_vectors()
    count = n - m
    for a in range(count):
        source, to = row_at(n, m + a) + m, row_at(count, a)
        for b in range(a // LANES * LANES, count, LANES):
            store(ports, to + b, load(links, source + b))
