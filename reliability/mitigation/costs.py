"""What a chip costs: cells, writes, conversions, energy and time, read off its description."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reliability.calibration import conversions
from reliability.checks import check_kind, check_names, is_number
from reliability.chip import Chip
from reliability.compensation import factor_of, is_adapted
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.fault_maps import is_repaired
from reliability.kernels import layout
from reliability.mitigation.cost_model import CostModel, cost_model
from reliability.mitigation.overrides import changed
from reliability.mitigation.repair_counts import WORD_BITS, counts_of
from reliability.mitigation.repair_outcomes import repair_outcomes
from reliability.network import Network
from reliability.verified import chosen_weights, expected_writes

COLUMNS = (
    "cells",
    "area_mm2",
    "writes",
    "program_s",
    "program_j",
    "conversions",
    "operations",
    "energy_j",
    "latency_s",
    "calibration_reads",
)
"""What is counted, a layer: see :func:`count_costs`."""

# Of which digital corrections are counted where nothing says how many there are.
_CHIPS = 2


def count_costs(
    network: Network,
    chip: Chip,
    model: CostModel | None = None,
    *,
    horizon_s: float = 0.0,
    layers: Collection[str] | None = None,
) -> pd.DataFrame:
    """Costs of a chip, one row a layer with weights.

    Parameters
    ----------
    network : Network
    chip : Chip
    model : CostModel, optional
        By default that of the table.
    horizon_s : float
        Until when the chip is used; with a refresh it is programmed again before then.
    layers : collection of str, optional
        Names of layers; by default all of them.

    Returns
    -------
    DataFrame
        ``layer``; ``cells``; ``area_mm2`` of cells, converters, stored words and the places of moved lines;
        ``writes`` (expected, of all programming within the horizon; what a law takes for one programming, be
        it a train of pulses, is one), their ``program_s`` (arrays at the same time, cells of one array one
        after the other) and ``program_j``; of one input the ``conversions`` (ADC),
        ``operations`` (digital), ``energy_j`` and ``latency_s`` (layers one after the other);
        ``calibration_reads``: activations of arrays each time that the chip is compensated. Of digital
        corrections without a stated number there are as many as a few chips need on average. What
        compensations keep (a factor, or a factor and an offset a column) is in no cost.

    Raises
    ------
    UserError
        If an argument is of another type, or the chip names layers that the network does not have.
    """
    check_kind("network", network, Network)
    check_kind("chip", chip, Chip)
    if model is not None:
        check_kind("model", model, CostModel)
    check_names("layers", layers)
    chip, model = resolved(chip), model or cost_model()
    crossbars = crossbars_of(chip_network(network, chip), chip)
    chosen = chosen_weights(crossbars)
    words = _stored_words(network, chip, crossbars if layers is None else layers, crossbars)
    programmings = max(math.ceil(horizon_s / chip.refresh_s), 1)
    return pd.DataFrame(
        [
            _of_layer(crossbar, chip, model, programmings, chosen.get(name), words.get(name))
            for name, crossbar in crossbars.items()
            if layers is None or name in layers
        ]
    )


def total_costs(table: pd.DataFrame) -> dict[str, float]:
    """Sums over the layers; arrays are programmed at the same time, so that the slowest counts."""
    found = {name: float(table[name].sum()) for name in COLUMNS}
    return found | {"program_s": float(table["program_s"].max())}


def relative_price(
    costs: Mapping[str, float], base: Mapping[str, float], prices: Mapping[str, float]
) -> float:
    """One number for many costs: 1 is what the chip without cures costs.

    Parameters
    ----------
    costs, base : mapping of str to float
        Of a chip, and of the chip without cures.
    prices : mapping of str to float
        Weight of each cost that counts: of its ratio to the base, or, where the base has none (such as reads
        for calibration), of one plus its number.
    """
    for name, weight in prices.items():
        if name not in COLUMNS or not is_number(weight, 0, 1e30):
            raise UserError(
                f"prices[{name!r}] = {weight!r}: prices are weights of at least 0 of {', '.join(COLUMNS)}"
            )
    total = sum(prices.values())
    if total <= 0:
        raise UserError("prices hold no weight above 0")
    parts = (
        weight * (costs[name] / base[name] if base[name] > 0 else 1 + costs[name])
        for name, weight in prices.items()
    )
    return float(sum(parts) / total)


def _of_layer(
    crossbar: Crossbar,
    chip: Chip,
    model: CostModel,
    programmings: int,
    chosen: np.ndarray | None,
    stored: float | None,
) -> dict[str, Any]:
    rows, columns = crossbar.matrix.shape[1], len(crossbar.matrix)
    row: dict[str, Any] = {"layer": crossbar.name} | dict.fromkeys(COLUMNS, 0.0)
    if not crossbar.settings.analog:
        operations = rows * columns * crossbar.places
        words = rows * columns
        return row | {
            "area_mm2": 1e-6 * model.word_area_um2 * words,
            "operations": operations,
            # The weights of a layer are read once an input.
            "energy_j": operations * model.operation_j + words * model.word_j,
        }
    own, mapped, places = crossbar.settings, crossbar.mapped, crossbar.places
    assert own.tile is not None and own.device is not None
    bits = own.tile.adc.bits if own.tile.adc is not None else model.ideal_bits
    per_bit = 2.0 ** (bits - 8)
    pulses = crossbar.pulses(signed=False)
    converted = float(conversions(crossbar, signed=False).sum())
    slices, tiles = len(crossbar.read_significance), math.ceil(rows / crossbar.tile_rows)
    beside = math.ceil(columns / mapped.tile_columns)
    lines = int(mapped.held[:slices].sum()) * tiles
    repair = counts_of(crossbar)
    words = repair.words if stored is None else stored
    cells = crossbar.devices + repair.spare_cells
    once, reads = _writes(crossbar, model, chosen, chip.frozen_below_s)
    writes, reads = once * programmings + repair.test_writes, reads * programmings + repair.test_reads
    # The first slice's arrays are the fullest: they hold all lines, and all sets of cells.
    of_slice = crossbar.sets * mapped.held[0].sum() / mapped.held.sum()
    # Digital: the slices and tiles of every line added up, the layer's affine part and its compensation.
    operations = places * (lines + columns + words)
    held = np.abs(crossbar.targets_us).sum() * 1e-6
    if mapped.references == 0:
        held += 2e-6 * own.device.g_min_us * crossbar.targets_us.size
    array_j = held * model.read_v**2 * model.input_power * model.read_s * places * pulses
    energy = array_j + converted * model.adc_j * per_bit + operations * model.operation_j
    energy += rows * slices * places * pulses * model.dac_j + words * model.word_j
    converters = math.ceil(lines / model.column_share)
    reading = model.read_s + min(model.column_share, lines) * model.adc_s
    stored_bits = repair.moved_bits + words * repair.word_bits
    program_s = (writes * model.write_s + reads * model.verify_s) * of_slice
    return row | {
        "cells": cells,
        "area_mm2": 1e-6
        * (
            model.cell_area_um2 * cells
            + model.word_area_um2 * stored_bits / WORD_BITS
            + model.adc_area_um2 * per_bit * converters
        ),
        "writes": writes,
        "program_s": program_s / (tiles * beside * model.parallel_writes),
        "program_j": writes * model.write_j + reads * model.verify_j,
        "conversions": converted,
        "operations": operations,
        "energy_j": energy,
        "latency_s": places * pulses * reading,
        "calibration_reads": _calibration_reads(crossbar, chip, slices * beside, tiles * pulses),
    }


def _stored_words(
    network: Network, chip: Chip, layers: Collection[str], crossbars: Mapping[str, Crossbar]
) -> dict[str, float]:
    """Expected digital corrections of the layers that store those of all weights that miss anything."""
    faulty = {
        name
        for name in layers
        if is_repaired(own := crossbars[name])
        and own.settings.repair is not None
        and own.settings.repair.digital == "faulty"
    }
    if not faulty:
        return {}
    # How many there are hardly depends on how errors are weighed, which takes training inputs.
    unweighed = changed(chip, "repair", lambda repair: replace(repair, weigh_inputs=False))
    found = repair_outcomes(network, unweighed, chips=_CHIPS, role="search")
    means = found.groupby("layer")["words"].mean().items()
    return {str(name): float(words) for name, words in means if name in faulty}


def _writes(
    crossbar: Crossbar, model: CostModel, chosen: np.ndarray | None, frozen_below_s: float | None
) -> tuple[float, float]:
    """Expected writes of one programming, and the reads that verify them."""
    device = crossbar.settings.device
    assert device is not None
    if device.verified:
        writes = model.verified_writes * crossbar.devices
        return writes, writes
    if chosen is None:
        return float(crossbar.devices), 0.0
    verified, cells = expected_writes(crossbar, chosen, frozen_below_s)
    return verified + crossbar.devices - cells, verified


def _calibration_reads(crossbar: Crossbar, chip: Chip, beside: int, each: int) -> float:
    """Activations of one layer's arrays each time that the chip is compensated.

    ``beside`` arrays have the same rows; a multiplication takes ``each`` of them so many activations.
    """
    found = 0
    if factor_of(chip.compensation) != layout.PLAIN:
        # Every row alone.
        found += beside * crossbar.matrix.shape[1]
    if is_adapted(chip.compensation):
        found += beside * each * chip.calibration_inputs * crossbar.places
    return float(found)
