"""What is done on every chip whose broken cells are known after test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reliability.checks import check, is_number
from reliability.errors import UserError


@dataclass(frozen=True)
class Repair:
    """Cures against stuck and broken cells; none by default.

    Every chip's fault map is known before its weights are written. What healthy cells draw (programming
    error, drift, noise, correlated variation) stays with the weight, wherever its row comes to stand: one
    chip with and without a repair is compared with the same draws. Errors are counted as if healthy cells
    were written exactly.

    Parameters
    ----------
    in_pair : bool
        The healthy cells of a weight with a broken one are set anew, to come as near to the weight as their
        range allows: the other device of the pair, the other slices, and, beside a broken reference of an
        offset mapping, the devices of its row.
    remap_rows : bool
        The weight rows of every tile are assigned to its word lines so that the sum of squared errors of its
        weights is smallest; all slices and both devices of a weight move together.
    spare_rows, spare_columns : float
        Share of a tile's word lines, and of its columns, that stand by beside them, rounded up; they have
        faults of their own. A row or column moves to a spare one where that lowers the sum of squared errors
        most. Columns are placed with the rows as they then are, in turns.
    digital : float or "faulty"
        Share of a layer's weights whose remaining errors, the largest ones, are stored as numbers and added
        digitally: ``y += (w - held) x``. ``"faulty"`` stores those of all weights that miss anything.
    weigh_inputs : bool
        Whether squared errors count times the mean square of the input that they meet, as the digital network
        shows it on training inputs.
    """

    in_pair: bool = False
    remap_rows: bool = False
    spare_rows: float = 0.0
    spare_columns: float = 0.0
    digital: float | Literal["faulty"] = 0.0
    weigh_inputs: bool = False

    def __post_init__(self) -> None:
        for name in ("in_pair", "remap_rows", "weigh_inputs"):
            value = getattr(self, name)
            check(isinstance(value, bool), f"repair.{name}", value, "true or false")
        for name in ("spare_rows", "spare_columns"):
            value = getattr(self, name)
            check(is_number(value, 0, 1), f"repair.{name}", value, "a share from 0 to 1")
        good = self.digital == "faulty" or is_number(self.digital, 0, 1)
        check(good, "repair.digital", self.digital, 'a share from 0 to 1, or "faulty"')

    @property
    def is_on(self) -> bool:
        """Whether anything is done."""
        return self.in_pair or self.moves or self.is_digital

    @property
    def moves(self) -> bool:
        """Whether rows or columns can come to stand elsewhere."""
        return self.remap_rows or self.spare_rows > 0 or self.spare_columns > 0

    @property
    def is_digital(self) -> bool:
        """Whether anything is corrected digitally."""
        return self.digital == "faulty" or self.digital > 0

    def most_words(self, weights: int) -> int:
        """Most corrections that are stored of a layer with so many weights."""
        return weights if self.digital == "faulty" else round(self.digital * weights)

    @property
    def needs_inputs(self) -> bool:
        """Whether training inputs are needed."""
        return self.weigh_inputs and (self.moves or self.is_digital)

    def check_fits(self, layer: str, *, scheme: str, fill: str, wires: bool, uneven: bool) -> None:
        """Raise :class:`UserError` where a layer's mapping or wires leave this repair no meaning.

        Parameters
        ----------
        layer : str
        scheme, fill : str
            Of the layer's mapping and of its slices.
        wires : bool
            Whether the layer's wires have resistance.
        uneven : bool
            Whether columns have scales or numbers of copies of their own, or copies vote.
        """
        if self.is_on and uneven:
            raise UserError(
                f"layer {layer!r}: no repair is known for columns with a scale or copies of their own, or "
                f"copies that vote: set mapping.weight_max, mapping.slices.columns and "
                f"mapping.slices.combine to what is the same for all columns"
            )
        if self.in_pair and fill == "corrected":
            raise UserError(
                f"layer {layer!r}: slices of fill 'corrected' make up for broken cells while they are "
                f"written, repair.in_pair sets cells before that: use one of the two"
            )
        if self.is_on and fill == "corrected" and scheme == "offset":
            raise UserError(
                f"layer {layer!r}: no repair is known for slices of fill 'corrected' on an offset mapping; "
                f"take another fill, or pairs"
            )
        if self.moves and wires:
            raise UserError(
                f"layer {layer!r}: tile.wires has rows and columns in their own places, which a repair that "
                f"moves them (remap_rows, spare_rows, spare_columns) changes: take the wires away, or repair "
                f"with in_pair or digital"
            )

    def describe(self) -> str:
        """What is done, in words."""
        parts = []
        if self.in_pair:
            parts.append("healthy cells beside broken ones set anew")
        if self.remap_rows:
            parts.append("rows of every tile remapped")
        for name, share in (("rows", self.spare_rows), ("columns", self.spare_columns)):
            if share:
                parts.append(f"{share:.1%} spare {name}")
        if self.is_digital:
            which = "all remaining errors" if self.digital == "faulty" else f"the largest {self.digital:.1%}"
            parts.append(f"{which} corrected digitally")
        weighed = ", errors weighed by their inputs" if self.needs_inputs else ""
        return "repair: " + "; ".join(parts) + weighed
