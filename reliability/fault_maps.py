"""Repaired fault maps: where a chip's rows and columns stand, and what its cells are then set to.

A chip's map is found before its weights: the kernel that breaks cells fills one map of every layer, and maps
of the same shape for its spares, of which the first rows and columns of every tile are used. So the spares
that stand by at one share are among those of every higher one, and the layer's own cells break as they do
without any repair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from reliability.crossbar import Crossbar
from reliability.kernels import layout, place
from reliability.kernels.latent import BLOCK
from reliability.kernels.repair import (
    CORRECT,
    DIGITS,
    KEEP,
    REPAIR,
    RESET,
    column_costs,
    fault_map,
    row_costs,
    settle,
)
from reliability.repair import Repair

SPARES = ("spare_rows", "spare_columns", "spare_corner")
"""What stands by: rows, columns, and where both cross."""

# Errors below this share of the range are rounding.
_NOTHING = 1e-6


@dataclass(frozen=True)
class RepairOutcome:
    """What the repair of one layer on one chip came to.

    Attributes
    ----------
    faulty : int
        Weights with a broken cell before any repair, those that a broken reference serves among them.
    before, after : float
        Sum of squared errors of the weights, as cells broken or not are set without and with the repair, in
        units of weight**2; times the mean squares of the inputs where these count.
    words : int
        Stored digitally.
    moved_rows, moved_columns : int
        In spare ones.
    """

    faulty: int
    before: float
    after: float
    words: int
    moved_rows: int
    moved_columns: int


class LayerRepair:
    """The repair of one layer of any chip.

    Parameters
    ----------
    crossbar : Crossbar
        With faults and a repair.
    record : dict
        Of layout.LAYER.
    effects : sequence of four dicts
        Of layout.EFFECTS: of the layer's own cells, then of its :data:`SPARES`.
    latents : ndarray of layout.LATENT
    power : ndarray of float, shape (groups, rows), optional
        Mean square of each row's input, by which squared errors count.
    """

    def __init__(
        self,
        crossbar: Crossbar,
        record: Mapping[str, Any],
        effects: list[dict[str, Any]],
        latents: np.ndarray,
        power: np.ndarray | None,
    ) -> None:
        own, mapped = crossbar.settings, crossbar.mapped
        assert own.repair and own.mapping and own.device and own.tile
        self.crossbar, self.record, self.latents = crossbar, record, latents
        self.repair: Repair = own.repair
        self.pair = own.mapping.scheme == "pair"
        self._layer = _one(record, layout.LAYER)
        self._effects = [_one(e, layout.EFFECTS) for e in effects]
        self.lines, self.rows = mapped.shares.shape[1:]
        self.slices = len(mapped.significance)
        self.significance = mapped.significance.astype(np.float32)
        targets = crossbar.targets_us
        self.reference_of = _references(crossbar)
        beside = np.zeros((self.slices, self.lines, 1))
        if not self.pair:
            beside[:, :, 0] = targets[:, np.where(self.reference_of < 0, 0, self.reference_of), 0]
        nominal = (targets - beside).transpose(1, 0, 2)
        self.references = np.zeros(self.slices, np.float32)
        if not self.pair:
            self.references = targets[:, self.reference_of.max(), 0].astype(np.float32)
        fill = own.mapping.slices.fill
        wanted = np.tensordot(mapped.significance, nominal, (0, 1))
        if fill == "corrected":
            wanted = mapped.wanted * crossbar.range_us
        self.nominal, self.wanted = nominal.astype(np.float32), wanted.astype(np.float32)
        groups = crossbar.window.groups
        power = np.ones((groups, self.rows)) if power is None else power
        self.power = np.repeat(power.astype(np.float64), self.lines // groups, axis=0)
        rule = {"corrected": CORRECT, "digits": DIGITS}.get(fill, RESET)
        if self.slices == 1 and fill == "corrected":
            rule = RESET
        steps = (1 << own.mapping.slices.bits) - 1
        number = {
            "slices": self.slices,
            "pair": int(self.pair),
            "g_min": own.device.g_min_us,
            "g_range": crossbar.range_us,
            "step": crossbar.range_us / steps,
        }
        before = CORRECT if rule == CORRECT else KEEP
        self._before = _one({**number, "rule": before}, REPAIR)
        self._how = _one({**number, "rule": rule if self.repair.in_pair else before}, REPAIR)
        self.weight_per_us = mapped.weight_scale / crossbar.range_us

    @property
    def copies(self) -> int:
        """Cells of a weight."""
        return self.crossbar.copies

    @cached_property
    def _plain_aims(self) -> np.ndarray:
        """Targets of all cells where nothing is broken, shape (copies, cells of whole blocks)."""
        device = self.crossbar.settings.device
        assert device is not None
        targets = self.crossbar.targets_us
        if self.pair:
            parts = np.stack([np.maximum(targets, 0), np.maximum(-targets, 0)], axis=1) + device.g_min_us
            targets = parts.reshape(-1, *targets.shape[1:])
        flat = np.zeros((self.copies, self.record["blocks"] * BLOCK), np.float32)
        flat[:, : self.lines * self.rows] = targets.reshape(self.copies, -1)
        return flat

    def apply(self, chip: int, stuck: np.ndarray, aims: np.ndarray, words: np.ndarray) -> RepairOutcome:
        """Repair the layer on one chip.

        Parameters
        ----------
        chip : int
        stuck : ndarray of float32
            Written, of all copies: what the cell conducts that each weight's has become, or that it works.
        aims : ndarray of float32
            Written, of all copies: targets of the cells; empty where targets stay.
        words : ndarray of float32, shape (columns x rows) or empty
            Written: what is added digitally.
        """
        stuck = stuck.reshape(self.copies, -1)
        self._draw(0, chip, stuck)
        size = self.lines * self.rows
        broken = stuck[:, :size] >= 0
        faulty = broken.any(axis=0).reshape(self.lines, self.rows)
        before = self._errors(self._before, stuck, aims[:0])
        moved = [0, 0]
        if self.repair.moves:
            moved = self._move(chip, stuck)
        if aims.size:
            aims.reshape(self.copies, -1)[:] = self._plain_aims
        errors = self._errors(self._how, stuck, aims)
        stored = self._store(errors, words) if self.repair.is_digital else 0
        shown = faulty | (False if self.pair else faulty[np.maximum(self.reference_of, 0)])
        return RepairOutcome(
            int(shown[self.reference_of != -2].sum()),
            self._total(before),
            self._total(errors),
            stored,
            *moved,
        )

    def _total(self, errors: np.ndarray) -> float:
        squares = (errors.astype(np.float64) * self.weight_per_us) ** 2
        return float((squares * self.power).sum())

    def _draw(self, which: int, chip: int, stuck: np.ndarray) -> None:
        size = int(self.record["blocks"]) * BLOCK
        field, scratch = np.empty(size, np.float32), np.empty(3 * BLOCK, np.float32)
        fault_map(self._layer, self._effects[which], self.latents, chip, stuck.reshape(-1), field, scratch)

    def _errors(self, how: np.ndarray, stuck: np.ndarray, aims: np.ndarray) -> np.ndarray:
        """What all weights miss, uS, shape (lines, rows); ``aims`` are put right."""
        errors = np.zeros((self.lines, self.rows), np.float32)
        settle(
            how, self.significance, stuck, self.reference_of, self.references, self.nominal, self.wanted,
            *self._scratch(1), aims.reshape(self.copies, -1) if aims.size else np.zeros((0, 0), np.float32),
            errors,
        )  # fmt: skip
        return errors

    def _scratch(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            np.empty((2, self.slices), np.float32),
            np.empty((2 * self.slices, count), np.float32),
            np.empty((2, count), np.float32),
        )

    def _store(self, errors: np.ndarray, words: np.ndarray) -> int:
        """Take the largest errors off by words; returns how many."""
        own = self.reference_of != -2
        missing = np.where(np.abs(errors) > _NOTHING * self.crossbar.range_us, errors, 0)
        worth = (missing.astype(np.float64) ** 2 * self.power)[own].ravel()
        most = self.repair.most_words(worth.size)
        # Of equal ones the first; those without an error last.
        chosen = np.argsort(-worth, kind="stable")[: min(most, np.count_nonzero(worth))]
        mine = errors[own].ravel()
        words[:] = 0
        words[chosen] = mine[chosen] * np.float32(self.weight_per_us)
        mine[chosen] = 0
        errors[own] = mine.reshape(-1, self.rows)
        return len(chosen)

    def _move(self, chip: int, stuck: np.ndarray) -> list[int]:
        """Place rows and columns of every tile; ``stuck`` becomes what the weights' cells conduct."""
        size = self.lines * self.rows
        maps = [stuck]
        for which, name in enumerate(SPARES, 1):
            needed = all(getattr(self.repair, f"spare_{part}") > 0 for part in _PARTS[name])
            maps.append(np.empty_like(stuck) if needed else stuck[:0])
            if needed:
                self._draw(which, chip, maps[-1])
        own, *spares = (m[:, :size].reshape(len(m), self.lines, self.rows) for m in maps)
        repaired, moved = own.copy(), [0, 0]
        record = SimpleNamespace(**self.record)
        across, down = place.tiles_of.py_func(record)
        for a in range(across):
            first, count, reference = place.lines_of_tile.py_func(record, a)
            for d in range(down):
                row, rows = place.rows_of_tile.py_func(record, d)
                tile = _TileRepair(self, slice(first, first + count), reference, slice(row, row + rows))
                moved_here = tile.place(own, spares)
                repaired[:, tile.all_lines, row : row + rows] = tile.repaired
                moved = [m + n for m, n in zip(moved, moved_here, strict=True)]
        stuck[:, :size] = repaired.reshape(self.copies, -1)
        return moved


_PARTS = {
    "spare_rows": ("rows",),
    "spare_columns": ("columns",),
    "spare_corner": ("rows", "columns"),
}


class _TileRepair:
    """Rows and columns of one tile, and where they come to stand."""

    def __init__(self, layer: LayerRepair, lines: slice, reference: int, rows: slice) -> None:
        self.layer, self.lines, self.reference, self.rows = layer, lines, reference, rows
        self.count, self.height = lines.stop - lines.start, rows.stop - rows.start
        self.all_lines = list(range(lines.start, lines.stop)) + ([reference] if reference >= 0 else [])
        repair = layer.repair
        self.spare_rows = _spares(repair.spare_rows, self.height)
        self.spare_columns = _spares(repair.spare_columns, self.count)
        self.moves_rows = repair.remap_rows or self.spare_rows > 0
        self.nominal = np.ascontiguousarray(layer.nominal[lines, :, rows])
        self.wanted = np.ascontiguousarray(layer.wanted[lines, rows])
        self.weights = layer.power[lines.start, rows].astype(np.float32)
        self.repaired = np.zeros(0, np.float32)

    def place(self, own: np.ndarray, spares: list[np.ndarray]) -> tuple[int, int]:
        """Assign word lines and columns; returns how many of each are spare ones.

        ``own`` and ``spares`` are what the layer's cells and its spare ones conduct, (copies, lines, rows).
        """
        spare_lines = list(range(self.lines.start, self.lines.start + self.spare_columns))
        spare_rows = slice(self.rows.start, self.rows.start + self.spare_rows)
        cells = own[:, self.all_lines, self.rows]
        if self.spare_rows:
            cells = np.concatenate([cells, spares[0][:, self.all_lines, spare_rows]], axis=2)
        if self.spare_columns:
            beside = spares[1][:, spare_lines, self.rows]
            if self.spare_rows:
                beside = np.concatenate([beside, spares[2][:, spare_lines, spare_rows]], axis=2)
            cells = np.concatenate([cells, beside], axis=1)
        # Sides of the slices: (slices, physical lines, word lines).
        devices = 2 if self.layer.pair else 1
        self.a = np.ascontiguousarray(cells[0::devices])
        self.b = np.ascontiguousarray(cells[1::devices]) if self.layer.pair else self.a
        steps = [self._assign_rows] * self.moves_rows + [self._assign_columns] * (self.spare_columns > 0)
        starts = (
            [self._descend(steps), self._descend(steps[::-1])] if len(steps) > 1 else [self._descend(steps)]
        )
        _, self.places, self.columns, self.beside = min(starts, key=lambda found: found[0])
        physical = [*self.columns, *([self.beside] if self.reference >= 0 else [])]
        self.repaired = cells[:, physical][:, :, self.places]
        moved_columns = sum(c >= len(self.all_lines) for c in physical)
        return int((self.places >= self.height).sum()), int(moved_columns)

    def _descend(self, steps: list[Callable[[], float]]) -> tuple[float, np.ndarray, np.ndarray, int]:
        """Place rows and columns in turns, from their own places, until no turn lowers the error."""
        self.places, self.columns = np.arange(self.height), np.arange(self.count)
        # Physical line of the reference, which stands behind the columns.
        self.beside = self.count if self.reference >= 0 else -1
        best = (math.inf, self.places, self.columns, self.beside)
        while True:
            for step in steps:
                total = step()
            if not total < best[0]:
                return best
            best = (total, self.places, self.columns, self.beside)
            if len(steps) == 1:
                return best

    def _assign_rows(self) -> float:
        layer = self.layer
        cost = np.empty((self.height, self.a.shape[2]))
        a = np.ascontiguousarray(self.a[:, self.columns])
        b = np.ascontiguousarray(self.b[:, self.columns if layer.pair else [self.beside]])
        row_costs(
            layer._how, layer.significance, a, b, layer.references, self.nominal, self.wanted, self.weights,
            *layer._scratch(self.height), cost,
        )  # fmt: skip
        if not layer.repair.remap_rows:
            cost = _own_or_spare(cost, self.height)
        rows, places = linear_sum_assignment(cost)
        self.places = places.astype(np.int64)
        return float(cost[rows, places].sum())

    def _assign_columns(self) -> float:
        first_spare = len(self.all_lines)
        spare = first_spare + np.arange(self.spare_columns)
        if self.reference >= 0:
            # The reference serves all columns and goes first.
            totals = {line: self._column_costs(line)[:, 0].sum() for line in (self.count, *spare)}
            self.beside = min(totals, key=lambda line: (totals[line], line))
        found = self._column_costs(self.beside)
        cost = np.full((self.count, self.count + len(spare)), np.inf)
        np.fill_diagonal(cost, found[:, 0])
        cost[:, self.count :] = np.where(spare == self.beside, np.inf, found[:, 1:])
        chosen, lines = linear_sum_assignment(cost)
        self.columns = np.where(lines < self.count, lines, lines - self.count + first_spare)
        return float(cost[chosen, lines].sum())

    def _column_costs(self, reference: int) -> np.ndarray:
        """Errors of every weight column in its own line and in each spare one, beside a reference."""
        layer = self.layer
        cost = np.empty((self.count, 1 + self.spare_columns))
        column_costs(
            layer._how, layer.significance, self.a, self.b, layer.references, self.nominal, self.wanted,
            self.weights, self.places, len(self.all_lines), reference, *layer._scratch(1), cost,
        )  # fmt: skip
        return cost


class FaultMaps:
    """The repaired layers of any chip of a plan."""

    def __init__(self, layers: Mapping[str, LayerRepair]) -> None:
        self.layers = dict(layers)

    def prepare(self, chip: int, work: layout.Workspace) -> None:
        """Write a chip's maps, targets and words where the kernels find them."""
        self.outcomes(chip, work)

    def outcomes(self, chip: int, work: layout.Workspace) -> dict[str, RepairOutcome]:
        """The same, with what each layer's repair came to."""
        found = {}
        for name, layer in self.layers.items():
            effects, record = layer._effects[0][0], layer.record
            size = layer.copies * int(record["blocks"]) * BLOCK
            stuck = work.stuck[effects["stuck_at"] : effects["stuck_at"] + size]
            aims, words = work.aims[:0], work.words[:0]
            if effects["aims_at"] >= 0:
                aims = work.aims[effects["aims_at"] : effects["aims_at"] + size]
            if record["words_at"] >= 0:
                count = record["columns"] * record["rows"]
                words = work.words[record["words_at"] : record["words_at"] + count]
            found[name] = layer.apply(int(chip), stuck, aims, words)
        return found


def is_repaired(crossbar: Crossbar) -> bool:
    """Whether a layer has faults, and something is done about them."""
    own = crossbar.settings
    return bool(own.analog and own.faults and own.repair and own.faults.is_on and own.repair.is_on)


def spares_of(crossbar: Crossbar) -> tuple[int, int]:
    """Spare rows and spare columns of all tiles of a layer."""
    repair, references = crossbar.settings.repair, crossbar.mapped.references
    assert repair is not None
    rows, columns = 0, 0
    for height, width in tiles_of(crossbar):
        rows += _spares(repair.spare_rows, height)
        columns += _spares(repair.spare_columns, width - (references > 0))
    return rows, columns


def spare_cells_of(crossbar: Crossbar) -> int:
    """Cells of the spare rows and columns of a layer, all copies."""
    repair, references = crossbar.settings.repair, crossbar.mapped.references
    assert repair is not None
    count = 0
    for height, width in tiles_of(crossbar):
        rows = height + _spares(repair.spare_rows, height)
        columns = width + _spares(repair.spare_columns, width - (references > 0))
        count += rows * columns - height * width
    return crossbar.copies * count


def tiles_of(crossbar: Crossbar) -> list[tuple[int, int]]:
    """Rows and lines, the reference among them, of every tile of a layer."""
    mapped, (columns, rows) = crossbar.mapped, crossbar.matrix.shape
    record = SimpleNamespace(
        rows=rows, columns=columns, groups=crossbar.window.groups, references=mapped.references,
        tile_columns=mapped.tile_columns, tile_rows=crossbar.tile_rows, bias_row=int(crossbar.bias_row),
    )  # fmt: skip
    across, down = place.tiles_of.py_func(record)
    found = []
    for a in range(across):
        _, count, reference = place.lines_of_tile.py_func(record, a)
        lines = count + (reference >= 0)
        found += [(place.rows_of_tile.py_func(record, d)[1], lines) for d in range(down)]
    return found


def _spares(share: float, count: int) -> int:
    """Spare ones beside so many, rounded up but for rounding."""
    return min(count, math.ceil(share * count - 1e-9))


def _own_or_spare(cost: np.ndarray, own: int) -> np.ndarray:
    """Costs with all places closed but a row's own and the spare ones."""
    closed = np.full(cost.shape, np.inf)
    closed[np.arange(own), np.arange(own)] = cost[np.arange(own), np.arange(own)]
    closed[:, own:] = cost[:, own:]
    return closed


def _references(crossbar: Crossbar) -> np.ndarray:
    """The reference line of each line; -1 of a pair's lines, -2 of reference lines."""
    mapped, groups = crossbar.mapped, crossbar.window.groups
    lines = mapped.shares.shape[1]
    if not mapped.references:
        return np.full(lines, -1, np.int64)
    each = lines // groups
    own = each - mapped.references
    within = np.arange(lines) % each
    found = np.arange(lines) // each * each + own + within // mapped.tile_columns
    return np.where(within < own, found, -2).astype(np.int64)


def _one(record: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    """An array of one record."""
    return np.array([tuple(record[name] for name in dtype.names or ())], dtype)
