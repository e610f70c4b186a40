"""In-pair correction: the healthy cells of a weight make up for its broken ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.chip import Chip
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class InPairCorrection(Cure):
    """The other device of a pair, or the other slices, set anew to come as near to the weight as they reach.

    It costs no cell and no word, only the test that finds the broken cells. A weight whose sign needs the
    very device that is broken is beyond it.
    """

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with ``repair.in_pair`` on these layers."""
        return changed(chip, "repair", lambda repair: replace(repair, in_pair=True), layers)

    def describe(self) -> str:
        """What is done, in a few words."""
        return "in-pair correction"
