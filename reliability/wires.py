"""The resistance of a tile's wires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reliability.checks import check, is_number

_RESISTANCES = ("word_ohm", "bit_ohm", "driver_ohm", "sense_ohm")


@dataclass(frozen=True)
class Wires:
    """Linear resistances of a tile's wires, solved exactly for each chip and time.

    Every array of a tile (one for each device of a pair and each slice) is a resistive network: its cells,
    the segments of its word lines and bit lines, drivers and sense amplifiers. The network is linear, so
    what it does to any inputs is a matrix of effective conductances, which is found once for a chip and
    time. Cells whose conductance depends on the voltage, and transistors, are not modelled.

    Parameters
    ----------
    word_ohm : float
        Of the segment between two neighbouring cells of a word line, ohm.
    bit_ohm : float or "word"
        The same of a bit line; ``"word"`` takes that of a word line.
    driver_ohm, sense_ohm : float
        Between a source and its word line, and between a bit line and the ground of its amplifier, ohm.
    driven : {"one", "both"}
        Ends of the word lines that have a driver.
    """

    word_ohm: float = 0.0
    bit_ohm: float | Literal["word"] = "word"
    driver_ohm: float = 0.0
    sense_ohm: float = 0.0
    driven: Literal["one", "both"] = "one"

    def __post_init__(self) -> None:
        for name in _RESISTANCES:
            value = getattr(self, name)
            good = value == 0 or is_number(value, 1e-6, 1e6) or (name == "bit_ohm" and value == "word")
            check(good, f"wires.{name}", value, "0, or from 1e-6 to 1e6 ohm")
        check(self.driven in ("one", "both"), "wires.driven", self.driven, '"one" or "both"')

    @property
    def is_on(self) -> bool:
        """Whether any wire has a resistance."""
        return any(getattr(self, name) not in (0, "word") for name in _RESISTANCES)

    @property
    def bit_segment_ohm(self) -> float:
        """Of the segment between two neighbouring cells of a bit line, ohm."""
        return self.word_ohm if self.bit_ohm == "word" else self.bit_ohm

    def describe(self) -> str:
        """The resistances, in words."""
        ends = "one end" if self.driven == "one" else "both ends"
        return (
            f"wires of {self.word_ohm:g} ohm a word-line and {self.bit_segment_ohm:g} ohm a bit-line "
            f"segment, drivers of {self.driver_ohm:g} ohm at {ends}, sense amplifiers of "
            f"{self.sense_ohm:g} ohm; solved exactly, cells linear"
        )
