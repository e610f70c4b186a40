"""Sparse digital correction: the worst errors of stuck cells kept as numbers and added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reliability.chip import Chip
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class DigitalCorrection(Cure):
    """``y += (w - held) x`` over the stored weights, whose ``held`` is what the fault map says.

    A stored word costs a number with its place, and a multiply-add in every multiplication.

    Parameters
    ----------
    share : float or "faulty"
        Of a layer's weights, the largest errors first; ``"faulty"`` stores all that miss anything.
    weigh_inputs : bool
        Rank squared errors times the mean square of their input on training inputs.
    """

    share: float | Literal["faulty"] = "faulty"
    weigh_inputs: bool = True

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with ``repair.digital`` on these layers."""
        return changed(
            chip,
            "repair",
            lambda repair: replace(repair, digital=self.share, weigh_inputs=self.weigh_inputs),
            layers,
        )

    def describe(self) -> str:
        """What is done, in a few words."""
        which = (
            "all errors" if self.share == "faulty" else f"the largest errors, {self.share:.1%} of weights,"
        )
        return f"{which} corrected digitally"
