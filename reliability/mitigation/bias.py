"""Bias correction: a digital offset a column that takes out the mean error of a layer's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from reliability.chip import Chip
from reliability.compensation import COMPENSATIONS, Compensation
from reliability.errors import UserError
from reliability.mitigation.compensation import check_whole
from reliability.mitigation.cure import Cure


@dataclass(frozen=True)
class BiasCorrection(Cure):
    """Each column's mean output over calibration inputs is put back to the digital network's.

    It takes out what clamping, stuck cells and programming add to a column on the mean input, not what they
    add to its slope: on a chip that drifts it belongs behind a factor ("global+bias").

    Parameters
    ----------
    inputs : int
        Training inputs, ``chip.calibration_inputs``.
    """

    inputs: int = 256

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with the offset behind the factor that it has.

        Raises
        ------
        UserError
            If only some layers are named, or the chip's compensation has an offset already.
        """
        check_whole(layers)
        wanted = "bias" if chip.compensation == "none" else f"{chip.compensation}+bias"
        if wanted not in COMPENSATIONS:
            raise UserError(f'compensation "{chip.compensation}" has offsets of its own')
        return replace(chip, compensation=cast(Compensation, wanted), calibration_inputs=self.inputs)

    def describe(self) -> str:
        """What is done, in a few words."""
        return f"an offset a column, from {self.inputs} training inputs"
