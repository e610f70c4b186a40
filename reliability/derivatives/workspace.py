"""Chunks of inputs whose arrays fit a workspace."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reliability.layers import Conv2d
from reliability.network import Network

WORKSPACE = 1 << 26
"""Bytes that the arrays of one chunk of inputs may take together."""


def chunks(network: Network, count: int, *, functions: int = 1, itemsize: int = 4) -> Iterator[slice]:
    """Consecutive inputs whose arrays fit the workspace, at least one at a time.

    Parameters
    ----------
    network : Network
    count : int
        Number of inputs.
    functions : int
        Upstream derivatives of each input.
    itemsize : int
        Bytes of a number.
    """
    sizes = {name: int(np.prod(shape)) for name, shape in network.shapes.items()}
    widest = 0
    for node in network.weighted:
        if isinstance(node.layer, Conv2d):
            window = int(np.prod(node.layer.weight.shape[1:])) * node.layer.groups
            places = int(np.prod(network.shapes[node.name][1:]))
            widest = max(widest, (1 + functions) * window * places + functions * node.layer.weight.size)
    each = itemsize * (sum(sizes.values()) + 3 * functions * max(sizes.values()) + widest)
    step = max(1, WORKSPACE // each)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
