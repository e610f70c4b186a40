"""Checks of the fields of descriptions, each with one sentence for what is wrong."""

from __future__ import annotations

from reliability.errors import UserError


def check(holds: bool, path: str, value: object, allowed: str) -> None:
    """Raise :class:`UserError` for the field at ``path`` unless ``holds``; ``allowed`` says what may be."""
    if not holds:
        raise UserError(f"{path} = {value!r} must be {allowed}")


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number from ``low`` to ``high``."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object, low: float, high: float) -> bool:
    """Whether a value is a number from ``low`` to ``high``."""
    return isinstance(value, float | int) and not isinstance(value, bool) and low <= value <= high
