"""Periodic refresh: the chip is programmed anew before it has drifted too far, and wears each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.mitigation.compensation import check_whole
from reliability.mitigation.cure import Cure
from reliability.units import time_in_words


@dataclass(frozen=True)
class Refresh(Cure):
    """All devices are written again at every multiple of ``every_s``.

    Parameters
    ----------
    every_s : float
        Seconds.
    cycles : float
        Write cycles of a cell that one refresh takes: more than 1 where devices are verified.
    """

    every_s: float
    cycles: float = 1.0

    def __post_init__(self) -> None:
        check(is_number(self.every_s, 1e-3, 1e12), "every_s", self.every_s, "from 0.001 to 1e12 seconds")
        check(is_number(self.cycles, 0, 1e6), "cycles", self.cycles, "from 0 to 1e6 write cycles")

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with this refresh.

        Raises
        ------
        UserError
            If only some layers are named.
        """
        check_whole(layers)
        return replace(chip, refresh_s=self.every_s, refresh_cycles=self.cycles)

    def describe(self) -> str:
        """What is done, in a few words."""
        return f"programmed anew every {time_in_words(self.every_s)}"
