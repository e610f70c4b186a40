"""The names of compensations: a factor from a read-out, and what is fitted to calibration inputs."""

from __future__ import annotations

from typing import Literal, get_args

from reliability.kernels import layout

Compensation = Literal[
    "none",
    "global",
    "column",
    "exact",
    "bias",
    "global+bias",
    "column+bias",
    "exact+bias",
    "matched",
    "adabs",
]
COMPENSATIONS: tuple[str, ...] = get_args(Compensation)

_FACTORS = {"global": layout.GLOBAL, "column": layout.COLUMN, "exact": layout.EXACT}
_FITTED = {"bias": layout.OFFSETS, "matched": layout.SPREADS, "adabs": layout.NORMS}


def factor_of(compensation: str) -> int:
    """Where it takes its factor from: ``layout.PLAIN``, ``GLOBAL``, ``COLUMN`` or ``EXACT``."""
    return _FACTORS.get(compensation.split("+")[0], layout.PLAIN)


def adaptation_of(compensation: str) -> int:
    """What it fits to calibration inputs: ``layout.KEPT``, ``OFFSETS``, ``SPREADS`` or ``NORMS``."""
    return _FITTED.get(compensation.split("+")[-1], layout.KEPT)


def is_adapted(compensation: str) -> bool:
    """Whether a compensation takes calibration inputs."""
    return adaptation_of(compensation) != layout.KEPT


def needs_reference(compensation: str) -> bool:
    """Whether it compares with what the chip itself read out at the reference time."""
    return factor_of(compensation) in (layout.GLOBAL, layout.COLUMN)
