"""What repairs add to a chip, in counts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import pandas as pd

from reliability.chip import Chip
from reliability.crossbar import Crossbar, analog_crossbars
from reliability.effects import resolved
from reliability.fault_maps import is_repaired, spare_cells_of, spares_of, tiles_of
from reliability.network import Network

_TEST_STATES = 2
"""Every cell is written to, and read at, its lowest and its highest resistance."""

WORD_BITS = 16
"""Bits of a stored correction, beside those of its place among the layer's weights."""


@dataclass(frozen=True)
class RepairCounts:
    """What the repair of one layer adds, as the description says it; nothing where it is not repaired.

    Attributes
    ----------
    spare_cells : int
        Of the rows and columns that stand by.
    moved : int
        Rows and columns whose place has to be kept: of all tiles if rows are remapped, else as many as stand
        by.
    moved_bits : int
        Of these places: as many for each as number the lines that it can be.
    words : int
        Most corrections that can be stored; all weights where the description says ``"faulty"``.
    word_bits : int
        Of one of them, with its place in the layer.
    operations : int
        Multiply-adds of one input with so many words, one a word and place.
    test_writes, test_reads : int
        Of cells, once, to find the fault map: each is written to, and read at, both ends of its range.
    """

    spare_cells: int = 0
    moved: int = 0
    moved_bits: int = 0
    words: int = 0
    word_bits: int = 0
    operations: int = 0
    test_writes: int = 0
    test_reads: int = 0


def counts_of(crossbar: Crossbar) -> RepairCounts:
    """What the repair of a layer adds."""
    repair = crossbar.settings.repair
    if repair is None or not is_repaired(crossbar):
        return RepairCounts()
    weights, spare = crossbar.matrix.size, spare_cells_of(crossbar)
    words = repair.most_words(weights)
    spare_rows, spare_columns = spares_of(crossbar)
    heights, widths = zip(*tiles_of(crossbar), strict=True)
    kept = sum(heights) if repair.remap_rows else spare_rows
    line_bits = _bits(max(heights) + math.ceil(repair.spare_rows * max(heights)))
    tested = _TEST_STATES * (crossbar.devices + spare)
    return RepairCounts(
        spare_cells=spare,
        moved=kept + spare_columns,
        moved_bits=kept * line_bits + spare_columns * _bits(max(widths)),
        words=words,
        word_bits=WORD_BITS + _bits(weights),
        operations=words * crossbar.places,
        test_writes=tested,
        test_reads=tested,
    )


def repaired_crossbars(network: Network, chip: Chip) -> list[Crossbar]:
    """The layers of a chip that have faults about which something is done."""
    return [c for c in analog_crossbars(network, resolved(chip)).values() if is_repaired(c)]


def repair_counts(network: Network, chip: Chip) -> pd.DataFrame:
    """What the repair of each layer adds, as the description says it.

    Parameters
    ----------
    network : Network
    chip : Chip

    Returns
    -------
    DataFrame
        One row a repaired layer: ``layer``, ``weights``, ``cells`` of the layer itself, and what
        :class:`RepairCounts` holds.
    """
    return pd.DataFrame(
        [
            {
                "layer": crossbar.name,
                "weights": crossbar.matrix.size,
                "cells": crossbar.devices,
                **asdict(counts_of(crossbar)),
            }
            for crossbar in repaired_crossbars(network, chip)
        ]
    )


def _bits(count: int) -> int:
    """Bits that number so many things."""
    return max(count - 1, 1).bit_length()
