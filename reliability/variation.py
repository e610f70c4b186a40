"""Variation that neighbouring cells, tiles and chips have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reliability.checks import check, is_number

_COMPONENTS = ("wafer", "die", "tile", "cell", "field")


@dataclass(frozen=True)
class Variation:
    """Relative deviations of conductance at several levels, frozen when a chip is made.

    ``G -> G max(1 + d_wafer + d_die + d_tile + d_cell + d_field, 0)``, where each deviation is normal with
    the standard deviation given here: one value a wafer, a chip ("die"), a tile's array of one device, a
    cell; and a field over each array, normal with the covariance ``field**2 exp(-(|i - i'| + |j - j'|) /
    field_length)`` between cells (i, j) and (i', j'). Every level is sampled exactly.

    Chips are independent of each other: each comes from a wafer of its own, or all come from one wafer, and
    what is estimated then holds for that wafer.

    Parameters
    ----------
    wafer, die, tile, cell, field : float
        Standard deviations, relative to the conductance.
    field_length : float
        Correlation length of the field, in cells.
    wafers : {"own", "one"}
        Whether every chip has a wafer of its own, or all chips have the same.
    """

    wafer: float = 0.0
    die: float = 0.0
    tile: float = 0.0
    cell: float = 0.0
    field: float = 0.0
    field_length: float = 16.0
    wafers: Literal["own", "one"] = "own"

    def __post_init__(self) -> None:
        for name in _COMPONENTS:
            value = getattr(self, name)
            check(is_number(value, 0, 10), f"variation.{name}", value, "from 0 to 10 (of the conductance)")
        good = is_number(self.field_length, 1e-3, 1e6)
        check(good, "variation.field_length", self.field_length, "from 0.001 to 1e6 cells")
        check(self.wafers in ("own", "one"), "variation.wafers", self.wafers, '"own" or "one"')

    @property
    def is_on(self) -> bool:
        """Whether anything varies."""
        return any(getattr(self, name) > 0 for name in _COMPONENTS)

    @property
    def memory(self) -> float:
        """Correlation of the field in neighbouring cells."""
        return math.exp(-1 / self.field_length)

    def describe(self) -> str:
        """What varies, in words."""
        parts = [f"{getattr(self, n):g} a {n}" for n in _COMPONENTS[:4] if getattr(self, n)]
        if self.wafer and self.wafers == "one":
            parts[0] += " (all chips from one)"
        if self.field:
            parts.append(f"{self.field:g} in a field of correlation length {self.field_length:g} cells")
        return f"correlated variation of the conductance: {', '.join(parts)}"
