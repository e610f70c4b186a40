"""What is found once a chip description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from reliability.chip import Chip

Value = TypeVar("Value")


class ByDesign(Generic[Value]):
    """Values by chip description; these can be compared but not hashed."""

    def __init__(self) -> None:
        self._known: list[tuple[Chip, Value]] = []

    def get(self, design: Chip, find: Callable[[], Value]) -> Value:
        """The design's value, found where it is not known yet."""
        for known, value in self._known:
            if known == design:
                return value
        found = find()
        self._known.append((design, found))
        return found
