"""What the ONNX graph sees of a layer's outputs, as positions in them.

An activation is the output of one node of the network, channels first, seen through an array of
positions: transposes, reshapes, slices and paddings of the ONNX graph are done on the positions. A layer
that takes the activation then needs to know only where each of its inputs comes from. Nothing is guessed:
an order of axes is recognised because the positions are those of that order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

ZERO = -1
"""The position of a padded zero."""

MOST_NUMBERS = 1 << 23
"""Most numbers in one activation of one input; checked before its positions are made."""

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Activation:
    """Outputs of a node of the network as the ONNX graph sees them.

    Parameters
    ----------
    node : str
        The node of the network.
    shape : tuple of int
        Shape of its output for one input: (features,) or (channels, height, width).
    index : ndarray of int32, shape (1, ...)
        For each number that the ONNX graph sees, its position in that output, or ``ZERO``; the first
        axis stands for the batch.
    batch : int
        Length of the batch in the ONNX graph's shapes.
    """

    node: str
    shape: Shape
    index: np.ndarray
    batch: int

    @property
    def dims(self) -> Shape:
        """Shape in the ONNX graph."""
        return (self.batch, *self.index.shape[1:])

    @property
    def whole(self) -> bool:
        """Whether each number of the output is seen once, in whatever order, and nothing else."""
        flat = self.index.reshape(-1)
        if flat.size != math.prod(self.shape):
            return False
        return self.ordered or (int(flat.min()) >= 0 and np.bincount(flat, minlength=flat.size).max() == 1)

    @property
    def ordered(self) -> bool:
        """Whether each number of the output is seen once and in its order."""
        return self.index.size == math.prod(self.shape) and np.array_equal(
            self.index.reshape(-1), positions(self.index.size)
        )

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Activation:
        """The same numbers at other places."""
        return replace(self, index=move(self.index))


@dataclass(frozen=True)
class Cut:
    """How an image is seen: rows and columns skipped, then zeros around.

    Parameters
    ----------
    step : pair of int
        Every so many-th row and column.
    channels : pair of int
        Channels of zeros before and after.
    border : four int
        Zeros above, left, below and right.
    """

    step: tuple[int, int] = (1, 1)
    channels: tuple[int, int] = (0, 0)
    border: tuple[int, int, int, int] = (0, 0, 0, 0)


@lru_cache(maxsize=16)
def positions(count: int) -> np.ndarray:
    """0, 1, 2, ... as positions."""
    result = np.arange(count, dtype=np.int32)
    result.setflags(write=False)
    return result


def grid(shape: Shape) -> np.ndarray:
    """The positions of an output of this shape."""
    return positions(math.prod(shape)).reshape(shape)


def cut_of(index: np.ndarray, shape: Shape) -> Cut | None:
    """How positions, axes (channels, height, width), come from an image; None if in no such way."""
    if index.ndim != 3 or len(shape) != 3:
        return None
    if index.shape == shape and np.array_equal(index, grid(shape)):
        return Cut()
    seen = index != ZERO
    if not seen.any():
        return None
    box = []
    for axis in range(3):
        along = np.flatnonzero(seen.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append((int(along[0]), int(along[-1]) + 1))
    inner = index[tuple(slice(*ends) for ends in box)]
    _, height, width = shape
    # One row that is left of several was taken with a step over all of them.
    down = (int(inner[0, 1, 0]) - int(inner[0, 0, 0])) // width if inner.shape[1] > 1 else height
    right = int(inner[0, 0, 1]) - int(inner[0, 0, 0]) if inner.shape[2] > 1 else width
    if down < 1 or right < 1 or not np.array_equal(inner, grid(shape)[:, ::down, ::right]):
        return None
    (front, c1), (top, h1), (left, w1) = box
    c2, h2, w2 = index.shape
    return Cut((down, right), (front, c2 - c1), (top, left, h2 - h1, w2 - w1))


def order_of_axes(index: np.ndarray, shape: Shape) -> tuple[tuple[int, int, int], Cut] | None:
    """In which order positions have the axes of an image, and its cut; None if in none."""
    if index.ndim != 3:
        return None
    for order in itertools.permutations(range(3)):
        cut = cut_of(index.transpose(order), shape)
        if cut is not None:
            return (order[0], order[1], order[2]), cut
    return None
