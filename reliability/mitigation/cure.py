"""A cure: a change of a chip's description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from reliability.chip import Chip


@dataclass(frozen=True)
class Cure(ABC):
    """One change of a chip's description, which any study then simulates and :mod:`.costs` counts."""

    @abstractmethod
    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with the cure.

        Parameters
        ----------
        chip : Chip
        layers : sequence of str, optional
            The layers that are cured; all of them by default.
        """

    @abstractmethod
    def describe(self) -> str:
        """What is done, in a few words."""
