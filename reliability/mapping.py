"""How a layer's matrix of weights becomes conductances: its lines, slices and references.

A crossbar's "lines" are its physical columns. A differential pair has one line a weight column (its two bit
lines are subtracted before any converter), an offset mapping has one more line for each tile of columns: the
reference, of middle conductance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reliability.chip import Mapping, Slices


@dataclass(frozen=True, eq=False)
class Mapped:
    """A layer's matrix as conductances, in shares of the largest one.

    Attributes
    ----------
    shares : ndarray of float64, shape (slices, lines, rows)
        Target conductance over ``g_max_us``. Of a pair, signed: the difference of its devices, of which one
        is zero.
    wanted : ndarray of float64, shape (lines, rows)
        What all slices together shall hold: their shares (of an offset mapping twice the share minus one)
        weighted by significance.
    significance : ndarray of float64, shape (slices,)
        Digital factor of each slice, the most significant first.
    held : ndarray of bool, shape (slices, lines)
        Whether a slice has a line; the first has all.
    factors : ndarray of float64, shape (columns,)
        Digital factor of each column, behind all slices and references.
    weight_scale : float
        Weight of a share of one in a slice of significance one and a column of factor one.
    matrix : ndarray of float32, shape (columns, rows)
        The weights that the targets stand for: clipped, and rounded where the mapping rounds.
    references : int
        Reference lines behind each group's columns.
    tile_columns : int
        Columns that share a reference line.
    """

    shares: np.ndarray
    wanted: np.ndarray
    significance: np.ndarray
    held: np.ndarray
    factors: np.ndarray
    weight_scale: float
    matrix: np.ndarray
    references: int
    tile_columns: int

    @property
    def line_significance(self) -> np.ndarray:
        """Share of each slice in what its lines give together, shape (slices, lines)."""
        weight = self.significance[:, None] * self.held
        return weight if self.held.all() else weight / weight.sum(axis=0)


def map_matrix(
    matrix: np.ndarray, mapping: Mapping, *, groups: int = 1, tile_columns: int | Literal["layer"] = "layer"
) -> Mapped:
    """Map a matrix of weights.

    Parameters
    ----------
    matrix : ndarray, shape (columns, rows)
        Columns of one group follow each other.
    mapping : Mapping
    groups : int
        Groups of columns that read different inputs, and so stand in different tiles.
    tile_columns : int or "layer"
        Weight columns of a tile.
    """
    weights = np.asarray(matrix, np.float64)
    largest = column_max(matrix, mapping)
    w_max = float(largest.max())
    own = len(weights) // groups
    shared_by = own if tile_columns == "layer" else min(tile_columns, own)
    pair = mapping.scheme == "pair"
    references = 0 if pair else math.ceil(own / shared_by)
    part = np.clip(weights / largest[:, None], -1, 1).reshape(groups, own, -1)
    lines = np.concatenate([part, np.zeros((groups, references, part.shape[2]))], axis=1)
    lines = lines.reshape(-1, part.shape[2])
    slices = mapping.slices
    if slices.fill == "digits":
        shares, significance, scale, held = _digits(lines, slices, pair)
    else:
        significance = float(slices.base) ** -np.arange(slices.count)
        significance = significance / significance.sum()
        centred = _spread(lines, slices, significance)
        shares, scale, held = (centred, 1.0, lines) if pair else ((centred + 1) / 2, 2.0, lines)
    held = held.reshape(groups, own + references, -1)[:, :own].reshape(weights.shape)
    present = np.ones(shares.shape[:2], bool)
    factors = largest / w_max
    if slices.columns != 1:
        present[1:] = copied_columns(matrix, slices)
        shares = shares * present[:, :, None]
        if slices.combine == "mean":
            # All slices are added up with one factor each, of which a column of one copy has only the first.
            factors = factors / (significance[:, None] * present).sum(axis=0)
    return Mapped(
        shares,
        lines,
        significance,
        present,
        factors,
        w_max * scale,
        (held * largest[:, None]).astype(np.float32),
        references,
        shared_by,
    )


def column_max(matrix: np.ndarray, mapping: Mapping) -> np.ndarray:
    """The weight of each column that maps to the largest conductance, shape (columns,)."""
    if not isinstance(mapping.weight_max, str):
        return np.full(len(matrix), float(mapping.weight_max))
    magnitudes = np.abs(np.asarray(matrix, np.float64))
    if mapping.weight_max == "layer":
        magnitudes = magnitudes.reshape(1, -1)
    found = most = magnitudes.max(axis=1)
    if mapping.clip_percentile < 100:
        found = np.percentile(magnitudes, mapping.clip_percentile, axis=1)
        found = np.where(found > 0, found, most)
    # A column of zeros holds zero at any scale.
    found = np.where(found > 0, found, found.max() or 1.0)
    return np.broadcast_to(found, len(matrix))


def weight_max(matrix: np.ndarray, mapping: Mapping) -> float:
    """The largest weight that maps to the largest conductance in any column."""
    return float(column_max(matrix, mapping).max())


def copied_columns(matrix: np.ndarray, slices: Slices) -> np.ndarray:
    """Whether each column has a copy in every slice, shape (columns,)."""
    copied = np.zeros(len(matrix), bool)
    chosen: np.ndarray | list[int]
    if isinstance(slices.columns, tuple):
        chosen = list(slices.columns)
    else:
        norm = np.linalg.norm(np.asarray(matrix, np.float64), axis=1)
        count = max(round(slices.columns * len(matrix)), 1)
        chosen = np.argsort(-norm, kind="stable")[:count]
    copied[chosen] = True
    return copied


def _spread(lines: np.ndarray, slices: Slices, significance: np.ndarray) -> np.ndarray:
    """What each slice holds of values in -1 to 1, were all devices exact."""
    if slices.fill == "equal":
        return np.repeat(lines[None], slices.count, axis=0)
    left, held = lines, []
    for factor in significance:
        held.append(np.clip(left / factor, -1, 1))
        left = left - factor * held[-1]
    return np.stack(held)


def _digits(
    lines: np.ndarray, slices: Slices, pair: bool
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Positional digits of rounded values: shares, significance, scale and what they stand for."""
    base = 1 << slices.bits
    codes = base**slices.count
    place = base ** np.arange(slices.count - 1, -1, -1)
    significance = place * (base - 1) / (codes - 1)
    if pair:
        rounded = np.rint(np.abs(lines) * (codes - 1))
        digits = np.floor(rounded / place[:, None, None]) % base
        return np.sign(lines) * digits / (base - 1), significance, 1.0, np.sign(lines) * rounded / (codes - 1)
    # The middle code stands for zero and is what the reference holds; the lowest one is not used.
    middle = codes // 2
    rounded = np.rint(lines * (middle - 1))
    digits = np.floor((rounded + middle) / place[:, None, None]) % base
    return digits / (base - 1), significance, (codes - 1) / (middle - 1), rounded / (middle - 1)
