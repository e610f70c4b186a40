"""Fault-aware remapping: weight rows assigned to the word lines that hurt them least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.chip import Chip
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class RowRemapping(Cure):
    """The rows of every tile permuted so that broken cells meet weights that they hold, or weak inputs.

    Inputs are permuted likewise, by a table of one place a row and tile.

    Parameters
    ----------
    weigh_inputs : bool
        Count squared errors times the mean square of their input on training inputs.
    """

    weigh_inputs: bool = True

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with ``repair.remap_rows`` on these layers."""
        return changed(
            chip,
            "repair",
            lambda repair: replace(repair, remap_rows=True, weigh_inputs=self.weigh_inputs),
            layers,
        )

    def describe(self) -> str:
        """What is done, in a few words."""
        return "rows remapped"
