"""Multi-device synapses: several devices hold one weight together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reliability.checks import check, is_whole
from reliability.chip import Chip, Mapping
from reliability.errors import UserError
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed
from reliability.mitigation.redundancy import Redundancy


@dataclass(frozen=True)
class MultiDevice(Cure):
    """Each weight is the mean of ``count`` devices or pairs (Boybat et al. 2018, Nat. Commun. 9:2514).

    :class:`.redundancy.Redundancy` of all columns as a property of the synapse: weights that stand on several
    devices already are not given others.

    Parameters
    ----------
    count : int
    """

    count: int = 2

    def __post_init__(self) -> None:
        check(is_whole(self.count, 1, 16), "count", self.count, "a whole number from 1 to 16")

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with these synapses in the named layers, all by default.

        Raises
        ------
        UserError
            If a layer's weights are cut into slices already.
        """
        return Redundancy(self.count).apply(changed(chip, "mapping", self._uncut, layers), layers)

    def describe(self) -> str:
        """What is done, in a few words."""
        return f"{self.count} devices a weight"

    def _uncut(self, mapping: Mapping) -> Mapping:
        if mapping.slices.count > 1:
            raise UserError(
                f"mapping.slices.count = {mapping.slices.count}: weights that are cut into slices cannot be "
                f"held by {self.count} devices each"
            )
        return mapping
