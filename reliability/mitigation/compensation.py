"""Drift compensation: one digital factor a layer, or a column, from read-outs of the arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from reliability.checks import check
from reliability.chip import Chip
from reliability.errors import UserError
from reliability.mitigation.cure import Cure

Factor = Literal["global", "column", "exact"]


@dataclass(frozen=True)
class DriftCompensation(Cure):
    """Outputs are multiplied by what read-outs of the arrays have lost since a reference.

    Parameters
    ----------
    factor : {"global", "column", "exact"}
        One factor a layer, one a column, or one a layer with what exact weights would read out as reference.
    """

    factor: Factor = "global"

    def __post_init__(self) -> None:
        known = get_args(Factor)
        check(self.factor in known, "factor", self.factor, ", ".join(f'"{name}"' for name in known))

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with this factor under whatever is fitted to calibration inputs.

        Raises
        ------
        UserError
            If only some layers are named, or the factor would cancel out.
        """
        check_whole(layers)
        fitted = _fitted_part(chip.compensation)
        if fitted not in ("", "bias"):
            raise UserError(f'compensation "{fitted}" takes a factor of drift out: it needs none before it')
        return replace(chip, compensation=_joined(self.factor, fitted))

    def describe(self) -> str:
        """What is done, in a few words."""
        told = {
            "global": "a factor a layer",
            "column": "a factor a column",
            "exact": "a factor a layer, from exact weights",
        }
        return f"drift compensation by {told[self.factor]}"


def check_whole(layers: Sequence[str] | None) -> None:
    """Raise :class:`UserError` where layers are named: a chip has one compensation."""
    if layers is not None:
        raise UserError(f"layers = {list(layers)!r}: compensation is one for the whole chip; name no layers")


def _fitted_part(compensation: str) -> str:
    """What a compensation fits to calibration inputs; nothing for a factor alone."""
    last = compensation.split("+")[-1]
    return "" if last in ("none", *get_args(Factor)) else last


def _joined(factor: str, fitted: str):
    return f"{factor}+{fitted}" if fitted else factor
