"""A vote: several copies of a layer, of which each output takes the median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reliability.chip import Chip, Slices
from reliability.mitigation.cure import Cure
from reliability.mitigation.redundancy import in_copies


@dataclass(frozen=True)
class Vote(Cure):
    """Columns of small layers, such as the last, are held several times and give their median.

    It pays where a few cells are far off (stuck): a copy that they spoil is outvoted, while it would shift a
    mean. Of Gaussian errors the median of three has a variance of 0.449 of one copy's, their mean 0.333.
    Simulated as ``mapping.slices`` with ``combine = "median"``: ``count`` times the cells, write cycles,
    conversions and digital sums of the layer, and a median an output.

    Parameters
    ----------
    count : int
        Odd.
    """

    count: int = 3

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with voting copies of the named layers, all by default.

        Raises
        ------
        UserError
            If a layer's weights are cut into slices of another kind.
        """
        return in_copies(chip, Slices(count=self.count, combine="median"), layers)

    def describe(self) -> str:
        """How many vote."""
        return f"the median of {self.count} copies"
