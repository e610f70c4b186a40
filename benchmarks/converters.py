"""The converters of the plain loops: a DAC range and an ADC range for each layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INPUT_CODES = 255
OUTPUT_CODES = 127


@dataclass(frozen=True)
class Converters:
    """The converters of one layer, 8 bits each.

    Attributes
    ----------
    input_step, output_step : float32
        What one of the codes 0 to 255 of an input stands for, and -127 to 127 of a tile's output.
    tiles : list of slice
        Rows of each tile.
    """

    input_step: np.float32
    output_step: np.float32
    tiles: list[slice]


def calibrated(weights: list[np.ndarray], x: np.ndarray, rows: int = 256) -> list[Converters]:
    """Converters that hold the largest magnitudes which an MLP without noise meets on inputs ``x``."""
    found, h = [], x
    for w in weights:
        tiles = [slice(first, first + rows) for first in range(0, w.shape[1], rows)]
        parts = [h[:, tile] @ w[:, tile].T for tile in tiles]
        largest = max(np.abs(part).max() for part in parts)
        found.append(Converters(np.float32(h.max() / INPUT_CODES), np.float32(largest / OUTPUT_CODES), tiles))
        h = np.maximum(sum(parts), np.float32(0))
    return found
