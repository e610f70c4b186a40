"""A scale for each column: each maps its own largest weight to the largest conductance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.chip import Chip
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class ColumnScale(Cure):
    """Columns of small weights use the whole range of conductances, so that their errors shrink with them.

    Simulated as ``mapping.weight_max = "column"``: one digital multiplication an output more, which a batch
    norm behind the layer takes in, and one stored number a column. It takes no cell and no conversion.

    M. J. Rasch et al., Hardware-aware training for large-scale and diverse deep learning inference workloads
    using in-memory computing-based accelerators, Nat. Commun. 14, 5282, 2023.
    """

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with a scale a column on the named layers, all by default."""
        return changed(chip, "mapping", lambda own: replace(own, weight_max="column"), layers)

    def describe(self) -> str:
        """What has a scale of its own."""
        return "a scale for each column"
