"""What a cure adds to a chip, in counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reliability.crossbar import Crossbar


@dataclass(frozen=True)
class Added:
    """Counts for one chip.

    Attributes
    ----------
    reads : int
        Activations of one array with all its columns, each time that the chip is compensated.
    inputs : int
        Training inputs that go through the chip each time that it is compensated.
    first_reads : int
        Activations at the reference time, once a programming.
    factors : int
        Digital numbers that the chip keeps.
    writes : float
        Write cycles of cells, over a stated time.
    """

    reads: int = 0
    inputs: int = 0
    first_reads: int = 0
    factors: int = 0
    writes: float = 0.0


def arrays_beside(crossbar: Crossbar) -> int:
    """Arrays that the same rows drive: slices, and tiles side by side."""
    return len(crossbar.mapped.significance) * math.ceil(len(crossbar.matrix) / _tile_columns(crossbar))


def _tile_columns(crossbar: Crossbar) -> int:
    tile = crossbar.settings.tile
    assert tile is not None
    return len(crossbar.matrix) if tile.columns == "layer" else int(tile.columns)


def arrays_below(crossbar: Crossbar) -> int:
    """Arrays that the same columns span: tiles one below the other."""
    return math.ceil((crossbar.matrix.shape[1] - crossbar.bias_row) / crossbar.tile_rows)
