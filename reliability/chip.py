"""The chip: device, mapping, tile and digital periphery, as checked frozen dataclasses.

A chip instance is (chip, seed, number); it is redrawn from the counter and never stored.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from typing import Literal

from reliability.devices.device import Device
from reliability.devices.ideal import Ideal
from reliability.devices.pcm import PCM
from reliability.errors import UserError


def _check(holds: bool, path: str, value: object, allowed: str) -> None:
    if not holds:
        raise UserError(f"{path} = {value!r} must be {allowed}")


@dataclass(frozen=True)
class Tile:
    """One crossbar array. Larger matrices span several tiles, whose outputs are added digitally.

    Parameters
    ----------
    rows : int or "layer"
        Word lines; ``"layer"`` makes one tile as tall as the layer.
    columns : int or "layer"
        Bit-line pairs, one a weight column. No effect on arithmetic without converters and
        wires; it sets the number of tiles.
    """

    rows: int | Literal["layer"] = 256
    columns: int | Literal["layer"] = 256

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            value = getattr(self, name)
            good = value == "layer" or (isinstance(value, int) and 1 <= value <= 1 << 20)
            _check(good, f"tile.{name}", value, 'a whole number from 1 to 1048576, or "layer"')


@dataclass(frozen=True)
class Mapping:
    """How a layer's weights become conductances: a differential pair with one scale a layer.

    ``G+ = max(W, 0) G_max / W_max`` and ``G- = max(-W, 0) G_max / W_max``.

    Parameters
    ----------
    weight_max : float or "layer"
        The weight that maps to ``g_max_us``; larger ones are clipped to it. ``"layer"`` takes the
        layer's largest magnitude, so that nothing is clipped.
    bias : {"digital", "devices"}
        Added digitally, or held by one more row of devices with unit input.
    batch_norm : {"digital", "folded"}
        Computed digitally behind the crossbar, or folded into its weights. The chip's own mapping decides
        for all layers.
    """

    weight_max: float | Literal["layer"] = "layer"
    bias: Literal["digital", "devices"] = "digital"
    batch_norm: Literal["digital", "folded"] = "digital"

    def __post_init__(self) -> None:
        value = self.weight_max
        good = value == "layer" or (isinstance(value, float | int) and 1e-30 <= value <= 1e30)
        _check(good, "mapping.weight_max", value, 'a number from 1e-30 to 1e30, or "layer"')
        _check(self.bias in ("digital", "devices"), "mapping.bias", self.bias, '"digital" or "devices"')
        folded = self.batch_norm in ("digital", "folded")
        _check(folded, "mapping.batch_norm", self.batch_norm, '"digital" or "folded"')


@dataclass(frozen=True)
class LayerChip:
    """What one layer does differently; ``None`` leaves what the chip says.

    Parameters
    ----------
    analog : bool
        False computes the layer digitally, with the exact weights.
    device, tile, mapping
        Replace the chip's own.
    """

    analog: bool = True
    device: Device | None = None
    tile: Tile | None = None
    mapping: Mapping | None = None


@dataclass(frozen=True)
class Chip:
    """A whole chip description.

    Parameters
    ----------
    device : Device
    mapping : Mapping
    tile : Tile
    compensation : {"none", "global"}
        ``"global"``: global drift compensation. Each layer's array is read out at the reference
        time and again at each later one, every row alone with a unit input; the layer's outputs are
        multiplied by the ratio of the two sums of output magnitudes.
    read_noise : {"frozen", "split"}
        What happens to fluctuation that accumulates with time (1/f noise). ``"frozen"``: drawn
        once per chip and evaluation time. ``"split"``: the part slower than ``observation_s`` is
        frozen, the faster part redrawn at every multiplication.
    observation_s : float
        Duration of one evaluation, seconds; used by ``"split"``.
    layers : mapping of str to LayerChip
        Overrides by layer name, with ``*`` and ``?`` as wildcards; ``"first"`` and ``"last"`` name
        the first and the last layer that has weights. Later entries go before earlier ones.
    name : str
    """

    device: Device = field(default_factory=PCM)
    mapping: Mapping = field(default_factory=Mapping)
    tile: Tile = field(default_factory=Tile)
    compensation: Literal["none", "global"] = "none"
    read_noise: Literal["frozen", "split"] = "frozen"
    observation_s: float = 1.0
    layers: MappingType[str, LayerChip] = field(default_factory=dict)
    name: str = "chip"

    def __post_init__(self) -> None:
        allowed = ("none", "global")
        _check(self.compensation in allowed, "chip.compensation", self.compensation, '"none" or "global"')
        allowed = ("frozen", "split")
        _check(self.read_noise in allowed, "chip.read_noise", self.read_noise, '"frozen" or "split"')
        good = isinstance(self.observation_s, float | int) and 0 < self.observation_s < math.inf
        _check(good, "chip.observation_s", self.observation_s, "a number of seconds above 0")
        law = "a device law such as devices.pcm()"
        _check(isinstance(self.device, Device), "chip.device", self.device, law)
        _check(isinstance(self.mapping, Mapping), "chip.mapping", self.mapping, "a Mapping")
        _check(isinstance(self.tile, Tile), "chip.tile", self.tile, "a Tile")
        for name, own in self.layers.items():
            _check(isinstance(own, LayerChip), f"chip.layers[{name!r}]", own, "a LayerChip")

    @property
    def frozen_below_s(self) -> float | None:
        """Duration of one evaluation where fluctuation is split at it; None freezes all of it."""
        return self.observation_s if self.read_noise == "split" else None

    def layer(self, name: str, position: int, count: int) -> LayerChip:
        """What the chip says about one layer with weights, every field filled in.

        Parameters
        ----------
        name : str
        position, count : int
            Place of the layer among those with weights, from 0, and their number.
        """
        resolved = LayerChip(True, self.device, self.tile, self.mapping)
        for pattern, own in self.layers.items():
            if self._names(pattern, name, position, count):
                resolved = LayerChip(
                    own.analog,
                    own.device or resolved.device,
                    own.tile or resolved.tile,
                    own.mapping or resolved.mapping,
                )
        return resolved

    def check_layers(self, names: list[str]) -> None:
        """Raise :class:`UserError` if an override names no layer of a network."""
        for pattern in self.layers:
            if not any(self._names(pattern, name, i, len(names)) for i, name in enumerate(names)):
                raise UserError(
                    f"chip.layers[{pattern!r}] names no layer; layers with weights are {', '.join(names)}"
                )

    @staticmethod
    def _names(pattern: str, name: str, position: int, count: int) -> bool:
        if pattern == "first":
            return position == 0
        if pattern == "last":
            return position == count - 1
        return fnmatch.fnmatchcase(name, pattern)


def ideal() -> Chip:
    """The chip without any effect: its logits are those of the digital network."""
    return Chip(device=Ideal(), name="ideal")
