"""Slow, obvious twin of the wires of a tile: the nodal equations of the whole circuit, solved by SuperLU."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu


def effective_conductance(
    g_us: np.ndarray,
    word_ohm: float = 0.0,
    bit_ohm: float = 0.0,
    driver_ohm: float = 0.0,
    sense_ohm: float = 0.0,
    both: bool = False,
    columns: list[int] | None = None,
) -> np.ndarray:
    """Currents into the grounds of the given columns (default: all) per volt at each source, in uS.

    Parameters
    ----------
    g_us : ndarray of shape (rows, columns)
    word_ohm, bit_ohm : float
        Between neighbouring cells of a line; of zero: both are one node.
    driver_ohm, sense_ohm : float
        Between source and first cell, with ``both`` also between source and last cell; between the last
        row's cell and ground.
    both : bool
    columns : list of int, optional

    Returns
    -------
    ndarray of shape (rows, len(columns))
    """
    rows, width = g_us.shape
    cells = rows * width
    word = np.arange(cells).reshape(rows, width)
    bit = word + cells
    source = 2 * cells + np.arange(rows)
    ground = 2 * cells + rows + np.arange(width)
    nodes = 2 * cells + rows + width
    wires = [
        (word[:, :-1], word[:, 1:], word_ohm),
        (bit[:-1], bit[1:], bit_ohm),
        (source, word[:, 0], driver_ohm),
        (bit[-1], ground, sense_ohm),
    ]
    if both:
        wires.append((source, word[:, -1], driver_ohm))
    shorts = [(a.ravel(), b.ravel()) for a, b, ohm in wires if ohm == 0]
    links = [(a.ravel(), b.ravel(), np.full(a.size, 1e6 / ohm)) for a, b, ohm in wires if ohm > 0]
    links.append((word.ravel(), bit.ravel(), g_us.ravel()))

    count, node = nodes, np.arange(nodes)
    if shorts:
        a, b = (np.concatenate(ends) for ends in zip(*shorts, strict=True))
        graph = sparse.coo_matrix((np.ones(a.size), (a, b)), shape=(nodes, nodes))
        count, node = connected_components(graph, directed=False)
    a, b, us = (np.concatenate(parts) for parts in zip(*links, strict=True))
    a, b = node[a], node[b]
    laplacian = sparse.coo_matrix(
        (np.concatenate([us, us, -us, -us]), (np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a]))),
        shape=(count, count),
    ).tocsr()
    source, ground = node[source], node[ground]
    ground = ground if columns is None else ground[columns]
    fixed = np.zeros(count, bool)
    fixed[node[2 * cells :]] = True
    free = np.flatnonzero(~fixed)
    between = -laplacian[source][:, ground].toarray()
    if free.size == 0:
        return between
    into = laplacian[free][:, ground].toarray()
    return between + laplacian[source][:, free] @ splu(laplacian[free][:, free].tocsc()).solve(into)
