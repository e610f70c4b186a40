"""What repairs add to a chip, in counts, and what they come to on given chips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reliability.chip import Chip
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.effects import resolved
from reliability.fault_maps import is_repaired, spare_cells_of, spares_of, tiles_of
from reliability.kernels.layout import Workspace
from reliability.latents import Role
from reliability.network import Network
from reliability.plan import compile_plan
from reliability.settings import whole

_TEST_STATES = 2
"""Every cell is written to, and read at, its lowest and its highest resistance."""

_VALUE_BITS = 16
"""Bits of a stored correction, beside those of its place among the layer's weights."""


def repair_counts(network: Network, chip: Chip) -> pd.DataFrame:
    """What the repair of each layer adds, as the description says it.

    Parameters
    ----------
    network : Network
    chip : Chip

    Returns
    -------
    DataFrame
        One row a repaired layer.

        layer, weights
        cells, spare_cells
            Of the layer itself, and what stands by beside them.
        moved
            Rows and columns whose place has to be kept: of all tiles if rows are remapped, else as many as
            stand by.
        moved_bits
            Of these places: as many for each as number the lines that it can be.
        words, word_bits
            Most corrections that can be stored; all weights where the description says ``"faulty"``; and the
            bits of one, with its place in the layer.
        operations
            Multiply-adds of one input with so many words, one a word and place.
        test_writes, test_reads
            Of cells, once, to find the fault map: each is written to, and read at, both ends of its range.
    """
    rows = []
    for crossbar in _repaired(network, chip):
        repair = crossbar.settings.repair
        assert repair is not None
        weights, spare = crossbar.matrix.size, spare_cells_of(crossbar)
        words = weights if repair.digital == "faulty" else round(repair.digital * weights)
        spare_rows, spare_columns = spares_of(crossbar)
        heights = [height for height, _ in tiles_of(crossbar)]
        kept = sum(heights) if repair.remap_rows else spare_rows
        line_bits = _bits(max(heights) + math.ceil(repair.spare_rows * max(heights)))
        column_bits = _bits(max(width for _, width in tiles_of(crossbar)))
        tested = _TEST_STATES * (crossbar.devices + spare)
        rows.append(
            {
                "layer": crossbar.name,
                "weights": weights,
                "cells": crossbar.devices,
                "spare_cells": spare,
                "moved": kept + spare_columns,
                "moved_bits": kept * line_bits + spare_columns * column_bits,
                "words": words,
                "word_bits": _VALUE_BITS + _bits(weights),
                "operations": words * crossbar.places,
                "test_writes": tested,
                "test_reads": tested,
            }
        )
    return pd.DataFrame(rows)


def repair_outcomes(
    network: Network,
    chip: Chip,
    *,
    chips: int,
    first_chip: int = 0,
    seed: int = 0,
    role: Role = "certify",
    powers: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """What the repair comes to on given chips, without any input.

    Parameters
    ----------
    network, chip
    chips, first_chip : int
        Chips ``first_chip`` to ``first_chip + chips - 1``.
    seed, role
        As in :func:`reliability.simulate`.
    powers : mapping of str to ndarray, optional
        From :func:`reliability.calibration.input_powers`, where errors are weighed by the inputs.

    Returns
    -------
    DataFrame
        One row a chip and repaired layer: ``chip``, ``layer``, ``weights``, ``faulty`` (weights with a broken
        cell), ``before`` and ``after`` (sum of squared errors of the weights, in units of weight**2, times
        the mean squares of their inputs where these count), ``words`` stored, ``operations`` (multiply-adds
        with them of one input), ``moved_rows`` and ``moved_columns`` (in spare places).
    """
    whole("chips", chips, 1, 2**31)
    whole("first_chip", first_chip, 0, 2**31)
    chip = resolved(chip)
    x, labels = np.zeros((1, *network.input_shape), np.float32), np.zeros(1, np.int64)
    plan = compile_plan(network, x, labels, chip, seed=seed, role=role, powers=powers)
    crossbars = {crossbar.name: crossbar for crossbar in _repaired(network, chip)}
    if plan.maps is None:
        return pd.DataFrame()
    work = Workspace(*(array[0] for array in plan.workspaces(1)))
    rows = []
    for number in range(first_chip, first_chip + chips):
        for name, found in plan.maps.outcomes(number, work).items():
            rows.append(
                {
                    "chip": number,
                    "layer": name,
                    "weights": crossbars[name].matrix.size,
                    "faulty": found.faulty,
                    "before": found.before,
                    "after": found.after,
                    "words": found.words,
                    "operations": found.words * crossbars[name].places,
                    "moved_rows": found.moved_rows,
                    "moved_columns": found.moved_columns,
                }
            )
    return pd.DataFrame(rows)


def _bits(count: int) -> int:
    """Bits that number so many things."""
    return max(count - 1, 1).bit_length()


def _repaired(network: Network, chip: Chip) -> Sequence[Crossbar]:
    chip = resolved(chip)
    return [c for c in crossbars_of(chip_network(network, chip), chip).values() if is_repaired(c)]
