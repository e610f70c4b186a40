"""A tile: one crossbar array with its converters and its wires."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from reliability.checks import check, is_number, is_whole
from reliability.wires import Wires


@dataclass(frozen=True)
class Converter(ABC):
    """A uniform quantiser of ``bits`` bits that represents zero exactly.

    Signed values take the codes -(2**(bits - 1) - 1) to 2**(bits - 1) - 1, others 0 to 2**bits - 1; what lies
    beyond the range is clipped, and counted.

    Parameters
    ----------
    bits : int
    range : float or "calibrated"
        The value of the largest code. ``"calibrated"`` takes it for each layer from what the digital network
        shows on training inputs.
    percentile : float
        Of the magnitudes seen in calibration; 100 takes the largest.
    """

    bits: int = 8
    range: float | Literal["calibrated"] = "calibrated"
    percentile: float = 100.0

    _place: ClassVar[str]

    def __post_init__(self) -> None:
        check(is_whole(self.bits, 2, 20), f"{self._place}.bits", self.bits, "a whole number from 2 to 20")
        good = self.range == "calibrated" or is_number(self.range, 1e-30, 1e30)
        check(good, f"{self._place}.range", self.range, 'a number from 1e-30 to 1e30, or "calibrated"')
        good = is_number(self.percentile, 50, 100)
        check(good, f"{self._place}.percentile", self.percentile, "a number from 50 to 100")

    def largest_code(self, signed: bool) -> int:
        """The code of the range's end."""
        return (1 << (self.bits - 1)) - 1 if signed else (1 << self.bits) - 1


@dataclass(frozen=True)
class DAC(Converter):
    """What drives the rows: one converter range a layer, in units of the layer's inputs.

    Parameters
    ----------
    bits, range, percentile
        See :class:`Converter`. Inputs that can be negative are signed.
    pulse_bits : int or "all"
        Bits that one pulse carries. With fewer than all, the code's digits are applied one after the other
        ("bit-serial" at 1), and each pulse's column sums are converted, shifted and added.
    """

    pulse_bits: int | Literal["all"] = "all"

    _place: ClassVar[str] = "dac"

    def __post_init__(self) -> None:
        super().__post_init__()
        good = self.pulse_bits == "all" or is_whole(self.pulse_bits, 1, 20)
        check(good, "dac.pulse_bits", self.pulse_bits, 'a whole number from 1 to 20, or "all"')

    def pulses(self, signed: bool) -> int:
        """Pulses of one multiplication; the sign of a code is the polarity of its pulses."""
        magnitude_bits = self.bits - signed
        return 1 if self.pulse_bits == "all" else math.ceil(magnitude_bits / self.pulse_bits)

    @property
    def base(self) -> int:
        """Significance of a pulse over that of the one before."""
        return 1 << (self.bits if self.pulse_bits == "all" else self.pulse_bits)


@dataclass(frozen=True)
class ADC(Converter):
    """What reads the columns: a converter a tile and column, one range a layer and slice.

    The range is in units of the layer's column sums (weight times input), of one slice and pulse. See
    :class:`Converter` for the parameters.
    """

    _place: ClassVar[str] = "adc"


@dataclass(frozen=True)
class Tile:
    """One crossbar array with its converters. Larger matrices span several tiles, added up digitally.

    Parameters
    ----------
    rows : int or "layer"
        Word lines; ``"layer"`` makes one tile as tall as the layer.
    columns : int or "layer"
        Weight columns: bit-line pairs, or single bit lines that share one reference column.
    dac, adc : DAC, ADC, optional
        Without one, values pass exactly.
    wires : Wires
        Their resistances; none by default.
    """

    rows: int | Literal["layer"] = 256
    columns: int | Literal["layer"] = 256
    dac: DAC | None = None
    adc: ADC | None = None
    wires: Wires = field(default_factory=Wires)

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            value = getattr(self, name)
            good = value == "layer" or is_whole(value, 1, 1 << 20)
            check(good, f"tile.{name}", value, 'a whole number from 1 to 1048576, or "layer"')
        check(isinstance(self.wires, Wires), "tile.wires", self.wires, "a Wires")
        check(self.dac is None or isinstance(self.dac, DAC), "tile.dac", self.dac, "a DAC")
        check(self.adc is None or isinstance(self.adc, ADC), "tile.adc", self.adc, "an ADC")

    @property
    def is_calibrated(self) -> bool:
        """Whether a converter takes its range from training inputs."""
        return any(c is not None and c.range == "calibrated" for c in (self.dac, self.adc))
