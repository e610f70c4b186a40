"""Adaptive batch normalisation statistics: means and spreads of a chip's own outputs.

Joshi et al. 2020, Nat. Commun. 11:2473, replace the statistics of batch norms by those of a programmed chip
on training inputs. These are statistics of the inputs shown: if the network was trained on random crops and
mirror images, they must be in the calibration inputs. :func:`reliability.augmentation.augmented` makes
such inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reliability.checks import check
from reliability.chip import Chip
from reliability.mitigation.compensation import check_whole
from reliability.mitigation.cure import Cure


@dataclass(frozen=True)
class AdaptiveStatistics(Cure):
    """Mean and spread of every channel, found by each chip itself, layer by layer.

    A factor of drift cancels out in them: none is needed before.

    Parameters
    ----------
    reference : {"network", "inputs"}
        ``"network"``: outputs get the mean and the spread that the digital network's have on the same inputs,
        so that a chip without errors is the digital network. ``"inputs"``: batch norms take the statistics of
        the calibration inputs (AdaBS); only outputs without batch norm are compared with the digital network.
    inputs : int
        Training inputs, ``chip.calibration_inputs``.
    """

    reference: Literal["network", "inputs"] = "network"
    inputs: int = 256

    def __post_init__(self) -> None:
        known = ("network", "inputs")
        check(self.reference in known, "reference", self.reference, '"network" or "inputs"')

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with these statistics in place of any other compensation.

        Raises
        ------
        UserError
            If only some layers are named.
        """
        check_whole(layers)
        compensation: Literal["matched", "adabs"] = "matched" if self.reference == "network" else "adabs"
        return replace(chip, compensation=compensation, calibration_inputs=self.inputs)

    def describe(self) -> str:
        """What is done, in a few words."""
        what = "mean and spread of every column" if self.reference == "network" else "batch norm statistics"
        return f"{what} from {self.inputs} training inputs"
