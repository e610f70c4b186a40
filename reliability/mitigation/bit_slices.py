"""Error-correcting slices: each is written to what the ones before it really miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.chip import Chip, Slices
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class CorrectingSlices(Cure):
    """Several arrays a weight, of falling significance, of which each takes what is left of it.

    Le Gallo et al. 2022, Neuromorph. Comput. Eng. 2:014009. What is left is read back after each slice, so
    that stuck cells are made up for too, all but those of the last slice.

    Parameters
    ----------
    count : int
        Slices: as many times the cells, and the conversions.
    base : float
        Significance of a slice over that of the next.
    """

    count: int = 2
    base: float = 4.0

    def __post_init__(self) -> None:
        Slices(self.count, "corrected", self.base)

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with slices of fill ``"corrected"`` on these layers."""
        slices = Slices(self.count, "corrected", self.base)
        return changed(chip, "mapping", lambda mapping: replace(mapping, slices=slices), layers)

    def describe(self) -> str:
        """What is done, in a few words."""
        return f"{self.count} slices that correct each other"
