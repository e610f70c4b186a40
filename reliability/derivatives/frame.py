"""Windows over an image, as convolutions and pooling move them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Frame(NamedTuple):
    """Windows over an image: where each of their elements lies in the padded image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    counts: tuple[int, int]

    def places(self) -> Iterator[tuple[int, int, tuple[Any, slice, slice]]]:
        """Row and column of an element in its window, and where it lies for all windows at once."""
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows, columns = (
                    slice(at * d, at * d + (n - 1) * s + 1, s)
                    for at, d, n, s in zip((i, j), self.dilation, self.counts, self.stride, strict=True)
                )
                yield i, j, (Ellipsis, rows, columns)

    def padded(self, x: np.ndarray, fill: float) -> np.ndarray:
        """Images with what surrounds them."""
        top, left, bottom, right = self.padding
        if not any(self.padding):
            return x
        widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
        return np.pad(x, widths, constant_values=fill)

    def patches(self, x: np.ndarray) -> np.ndarray:
        """What every window holds of images (N, channels, height, width): (N, channels, kernel, windows)."""
        found = np.empty((*x.shape[:2], *self.kernel, *self.counts), x.dtype)
        padded = self.padded(x, 0.0)
        for i, j, where in self.places():
            found[:, :, i, j] = padded[where]
        return found

    def spread(
        self, shape: tuple[int, ...], part: Callable[[int, int], np.ndarray], dtype: Any
    ) -> np.ndarray:
        """Add up ``part(i, j)``, what flows to element (i, j) of all windows, into images of ``shape``."""
        top, left, bottom, right = self.padding
        height, width = shape[-2:]
        total = np.zeros((*shape[:-2], top + height + bottom, left + width + right), dtype)
        for i, j, where in self.places():
            total[where] += part(i, j)
        return total[..., top : top + height, left : left + width]
