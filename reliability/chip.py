"""The chip: device, mapping, tile and digital periphery, as checked frozen dataclasses.

A chip instance is (chip, seed, number); it is redrawn from the counter and never stored.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from typing import Literal

from reliability.checks import check, is_number, is_whole
from reliability.compensation import COMPENSATIONS, Compensation
from reliability.devices.device import Device
from reliability.devices.ideal import Ideal
from reliability.devices.pcm import PCM
from reliability.errors import UserError
from reliability.faults import Faults
from reliability.repair import Repair
from reliability.telegraph import Telegraph
from reliability.tile import Tile
from reliability.variation import Variation
from reliability.wires import Wires
from reliability.write_verify import WriteVerify

_BITS = 8
"""Bits of a weight on devices of few levels, where nobody says otherwise."""


@dataclass(frozen=True)
class Slices:
    """Several arrays that hold one weight: ``w = sum of significance[s] * slice[s]``, added up digitally.

    Le Gallo et al. 2022, Neuromorph. Comput. Eng. 2:014009, compare the fills.

    Parameters
    ----------
    count : int
    fill : {"equal", "max", "corrected", "digits"}
        How a weight is spread over its slices, the most significant one first. ``"equal"``: all slices hold
        the same value. ``"max"``: each takes what it can of what is left. ``"corrected"``: the same, with
        what is left counted from what the slices before really hold after programming. ``"digits"``: the
        weight is rounded to ``count * bits`` bits, each slice holds ``bits`` of them.
    base : float
        Significance of a slice over that of the next; 1 makes all equal. Fill ``"digits"`` takes ``2**bits``.
    bits : int
        Bits of a slice of fill ``"digits"``.
    columns : float or tuple of int
        Weight columns that the slices beyond the first hold; the others have one copy. A share: so many of
        the largest Euclidean norm, at least one. Or the columns' numbers. Only of equal slices.
    combine : {"mean", "median", "current"}
        ``"median"``: of equal slices, an odd number: a vote. Each slice's sums are added up over tiles and
        pulses by themselves, and their median is what the column gives. ``"current"``: equal slices stand in
        one array, where the currents of a weight's cells add up before the converter reads them, once.
    """

    count: int = 1
    fill: Literal["equal", "max", "corrected", "digits"] = "equal"
    base: float = 1.0
    bits: int = 2
    columns: float | tuple[int, ...] = 1.0
    combine: Literal["mean", "median", "current"] = "mean"

    def __post_init__(self) -> None:
        check(is_whole(self.count, 1, 16), "slices.count", self.count, "a whole number from 1 to 16")
        fills = ("equal", "max", "corrected", "digits")
        check(self.fill in fills, "slices.fill", self.fill, ", ".join(f'"{f}"' for f in fills))
        check(is_number(self.base, 1, 256), "slices.base", self.base, "a number from 1 to 256")
        check(is_whole(self.bits, 1, 16), "slices.bits", self.bits, "a whole number from 1 to 16")
        if self.fill == "digits":
            held = self.count * self.bits
            check(2 <= held <= 20, "slices.count * slices.bits", held, "from 2 to 20 for fill 'digits'")
        self._check_copies()

    @property
    def sets(self) -> int:
        """Slices that one array holds, whose currents add up."""
        return self.count if self.combine == "current" else 1

    def _check_copies(self) -> None:
        columns, equal = self.columns, self.fill == "equal" and self.base == 1
        if isinstance(columns, tuple):
            good = len(columns) > 0 and all(is_whole(c, 0, 1 << 20) for c in columns)
            good = good and len(set(columns)) == len(columns)
        else:
            good = is_number(columns, 1e-9, 1)
        allowed = "a share above 0 and at most 1, or a list of different columns, counted from 0"
        check(good, "slices.columns", columns, allowed)
        ways = ("mean", "median", "current")
        check(self.combine in ways, "slices.combine", self.combine, ", ".join(f'"{w}"' for w in ways))
        if columns != 1:
            check(equal, "slices.columns", columns, "1 but for equal slices (fill 'equal', base 1)")
        if self.combine != "mean":
            allowed = "\"mean\" but for equal slices (fill 'equal', base 1)"
            check(equal, "slices.combine", self.combine, allowed)
        if self.combine == "median":
            check(self.count % 2 == 1, "slices.count", self.count, "odd for slices.combine 'median'")
        if self.combine == "current":
            check(columns == 1, "slices.columns", columns, "1 for slices.combine 'current'")


@dataclass(frozen=True)
class Mapping:
    """How a layer's weights become conductances.

    Parameters
    ----------
    weight_max : float, "layer" or "column"
        The weight that maps to ``g_max_us``; larger ones are clipped to it. ``"layer"`` takes the
        layer's largest magnitude, so that nothing is clipped. ``"column"`` takes that of each column by
        itself; what a column gives is multiplied digitally, behind its converter, by its largest weight over
        that of the layer.
    clip_percentile : float
        Of the magnitudes of the layer's or column's weights, which is taken in place of the largest.
    bias : {"digital", "devices"}
        Added digitally, or held by one more row of devices with unit input.
    batch_norm : {"digital", "folded"}
        Computed digitally behind the crossbar, or folded into its weights. The chip's own mapping decides
        for all layers.
    scheme : {"pair", "offset"}
        ``"pair"``: two devices a weight, ``G+ = max(W, 0) G_max / W_max`` and ``G- = max(-W, 0) G_max /
        W_max``, whose currents are subtracted before the converter. ``"offset"``: one device a weight,
        ``G = (W / W_max + 1) G_max / 2``, and one reference column of middle conductance a tile, which is
        converted by itself and subtracted digitally.
    slices : Slices
    """

    weight_max: float | Literal["layer", "column"] = "layer"
    bias: Literal["digital", "devices"] = "digital"
    batch_norm: Literal["digital", "folded"] = "digital"
    scheme: Literal["pair", "offset"] = "pair"
    slices: Slices = field(default_factory=Slices)
    clip_percentile: float = 100.0

    def __post_init__(self) -> None:
        check(self.scheme in ("pair", "offset"), "mapping.scheme", self.scheme, '"pair" or "offset"')
        check(isinstance(self.slices, Slices), "mapping.slices", self.slices, "a Slices")
        value = self.weight_max
        good = value in ("layer", "column") or is_number(value, 1e-30, 1e30)
        check(good, "mapping.weight_max", value, 'a number from 1e-30 to 1e30, "layer" or "column"')
        clip = self.clip_percentile
        check(is_number(clip, 50, 100), "mapping.clip_percentile", clip, "a number from 50 to 100")
        if clip != 100:
            found = isinstance(value, str)
            check(found, "mapping.clip_percentile", clip, "100 where mapping.weight_max is a number")
        if self.scheme == "offset":
            part = self.slices.columns
            # Columns with fewer copies than their reference would lose more than they hold.
            check(part == 1, "mapping.slices.columns", part, '1 for mapping.scheme "offset"')
        check(self.bias in ("digital", "devices"), "mapping.bias", self.bias, '"digital" or "devices"')
        folded = self.batch_norm in ("digital", "folded")
        check(folded, "mapping.batch_norm", self.batch_norm, '"digital" or "folded"')


@dataclass(frozen=True)
class LayerChip:
    """What one layer does differently; ``None`` leaves what the chip says.

    Parameters
    ----------
    analog : bool
        False computes the layer digitally, with the exact weights.
    device, tile, mapping, telegraph, faults, variation, verify, repair
        Replace the chip's own.
    """

    analog: bool = True
    device: Device | None = None
    tile: Tile | None = None
    mapping: Mapping | None = None
    telegraph: Telegraph | None = None
    faults: Faults | None = None
    variation: Variation | None = None
    verify: WriteVerify | None = None
    repair: Repair | None = None


@dataclass(frozen=True)
class Chip:
    """A whole chip description.

    Parameters
    ----------
    device : Device
    mapping : Mapping
    tile : Tile
    telegraph : Telegraph
    faults : Faults
    variation : Variation
        What happens to every device beyond its law; nothing by default.
    verify : WriteVerify
        Which devices are written again until a read finds them close to their targets; none by default.
    repair : Repair
        What is done about broken cells; nothing by default.
    compensation : str
        ``"global"``: global drift compensation. Each layer's array is read out at the reference
        time and again at each later one, every row alone with a unit input and without the rounding of a
        converter; the layer's outputs are multiplied by the ratio of the two sums of output magnitudes
        (of all slices by their significance; with an offset, of the single columns). ``"column"``: the same
        for every column by itself. ``"exact"``: as ``"global"``, with what exact weights would read out in
        place of the reference read, which takes the mean programming error out too.

        ``"bias"``: a digital offset a column, by which the mean of each layer's outputs over the calibration
        inputs is that of the digital network. ``"matched"``: a factor and an offset a column that put mean
        and standard deviation back. ``"adabs"``: adaptive batch normalisation statistics (Joshi et al. 2020,
        Nat. Commun. 11:2473): a batch norm takes its mean and variance over the calibration inputs from the
        chip; outputs without batch norm are matched. It needs inputs as the network was trained on, random
        crops and mirror images included; the others compare with the digital network on the same inputs.
        Each is found for every chip and time by that chip itself, layer by layer, with reads of its own.

        ``"global+bias"``, ``"column+bias"``, ``"exact+bias"``: the factor first, then the offset. With the
        other two a factor would cancel out.
    refresh_s : float
        The chip is programmed anew at every multiple of this time, seconds; ``inf`` for never. Its devices
        are drawn anew and drift from the start, and the reference is read again; broken cells, correlated
        variation and wires are the same.
    refresh_cycles : float
        Write cycles of every cell that one refresh adds to ``faults.cycles``.
    read_noise : {"frozen", "split"}
        What happens to fluctuation that accumulates with time (1/f noise). ``"frozen"``: drawn
        once per chip and evaluation time. ``"split"``: the part slower than ``observation_s`` is
        frozen, the faster part redrawn at every multiplication.
    observation_s : float
        Duration of one evaluation, seconds; used by ``"split"``.
    layers : mapping of str to LayerChip
        Overrides by layer name, with ``*`` and ``?`` as wildcards; ``"first"`` and ``"last"`` name
        the first and the last layer that has weights. Later entries go before earlier ones.
    calibration_inputs : int
        Training inputs from which converters take calibrated ranges, and to which compensations are fitted.
    effects : str
        Which of the chip's effects are on: ``"all"``, ``"none"``, ``"only A, B"`` or ``"all but A, B"`` with
        names of :func:`reliability.effects.effect_names`.
    name : str
    """

    device: Device = field(default_factory=PCM)
    mapping: Mapping = field(default_factory=Mapping)
    tile: Tile = field(default_factory=Tile)
    telegraph: Telegraph = field(default_factory=Telegraph)
    faults: Faults = field(default_factory=Faults)
    variation: Variation = field(default_factory=Variation)
    verify: WriteVerify = field(default_factory=WriteVerify)
    repair: Repair = field(default_factory=Repair)
    compensation: Compensation = "none"
    refresh_s: float = math.inf
    refresh_cycles: float = 1.0
    read_noise: Literal["frozen", "split"] = "frozen"
    observation_s: float = 1.0
    layers: MappingType[str, LayerChip] = field(default_factory=dict)
    calibration_inputs: int = 256
    effects: str = "all"
    name: str = "chip"

    def __post_init__(self) -> None:
        known = ", ".join(f'"{name}"' for name in COMPENSATIONS)
        check(self.compensation in COMPENSATIONS, "chip.compensation", self.compensation, f"one of {known}")
        good = is_number(self.refresh_s, 1e-3, math.inf)
        check(good, "chip.refresh_s", self.refresh_s, "a number of seconds from 0.001 on; inf for never")
        good = is_number(self.refresh_cycles, 0, 1e6)
        check(good, "chip.refresh_cycles", self.refresh_cycles, "from 0 to 1e6 write cycles")
        allowed = ("frozen", "split")
        check(self.read_noise in allowed, "chip.read_noise", self.read_noise, '"frozen" or "split"')
        good = is_number(self.observation_s, 1e-30, 1e30)
        check(good, "chip.observation_s", self.observation_s, "a number of seconds above 0")
        good = is_whole(self.calibration_inputs, 1, 1 << 20)
        allowed_count = "a whole number from 1 to 1048576"
        check(good, "chip.calibration_inputs", self.calibration_inputs, allowed_count)
        law = "a device law such as devices.pcm()"
        check(isinstance(self.device, Device), "chip.device", self.device, law)
        check(isinstance(self.mapping, Mapping), "chip.mapping", self.mapping, "a Mapping")
        check(isinstance(self.tile, Tile), "chip.tile", self.tile, "a Tile")
        check(isinstance(self.telegraph, Telegraph), "chip.telegraph", self.telegraph, "a Telegraph")
        check(isinstance(self.faults, Faults), "chip.faults", self.faults, "a Faults")
        check(isinstance(self.variation, Variation), "chip.variation", self.variation, "a Variation")
        check(isinstance(self.verify, WriteVerify), "chip.verify", self.verify, "a WriteVerify")
        check(isinstance(self.repair, Repair), "chip.repair", self.repair, "a Repair")
        for name, own in self.layers.items():
            check(isinstance(own, LayerChip), f"chip.layers[{name!r}]", own, "a LayerChip")

    @property
    def frozen_below_s(self) -> float | None:
        """Duration of one evaluation where fluctuation is split at it; None freezes all of it."""
        return self.observation_s if self.read_noise == "split" else None

    @property
    def corrects_digitally(self) -> bool:
        """Whether the repair of any layer adds digital corrections."""
        repairs = (self.repair, *(own.repair for own in self.layers.values()))
        return any(repair is not None and repair.is_digital for repair in repairs)

    def fitted(self) -> Chip:
        """The chip with 8-bit weights in digits, if its device has few levels and its mapping no slices."""
        levels = self.device.levels
        if levels is None or self.mapping.slices != Slices():
            return self
        bits = min(levels.bit_length() - 1, _BITS)
        slices = Slices(count=-(-_BITS // bits), fill="digits", bits=bits)
        return replace(self, mapping=replace(self.mapping, slices=slices))

    def without_effects(self) -> Chip:
        """The same chip with ideal devices and wires; its converters stay."""
        layers = {
            name: replace(
                own,
                device=own.device and _ideal_of(own.device),
                telegraph=None,
                faults=None,
                variation=None,
                verify=None,
                repair=None,
            )
            for name, own in self.layers.items()
        }
        return replace(
            self,
            device=_ideal_of(self.device),
            layers=layers,
            read_noise="frozen",
            telegraph=Telegraph(),
            faults=Faults(),
            variation=Variation(),
            verify=WriteVerify(),
            repair=Repair(),
        ).with_tiles(lambda tile: replace(tile, wires=Wires()))

    def with_verify(self, change: Callable[[WriteVerify], WriteVerify]) -> Chip:
        """The chip with write-verify changed wherever it is on."""

        def changed(verify: WriteVerify) -> WriteVerify:
            return change(verify) if verify.is_on else verify

        layers = {
            name: own if own.verify is None else replace(own, verify=changed(own.verify))
            for name, own in self.layers.items()
        }
        return replace(self, verify=changed(self.verify), layers=layers)

    def verified_whole(self) -> Chip:
        """The chip with all weights verified, in all slices, of every layer of which some are."""
        return self.with_verify(
            lambda own: replace(own, share=1.0, order="magnitude", scope="layer", slices="all")
        )

    def with_tiles(self, change: Callable[[Tile], Tile]) -> Chip:
        """The chip with every tile that it describes changed."""
        layers = {
            name: own if own.tile is None else replace(own, tile=change(own.tile))
            for name, own in self.layers.items()
        }
        return replace(self, tile=change(self.tile), layers=layers)

    def layer(self, name: str, position: int, count: int) -> LayerChip:
        """What the chip says about one layer with weights, every field filled in.

        Parameters
        ----------
        name : str
        position, count : int
            Place of the layer among those with weights, from 0, and their number.
        """
        resolved = LayerChip(
            True,
            self.device,
            self.tile,
            self.mapping,
            self.telegraph,
            self.faults,
            self.variation,
            self.verify,
            self.repair,
        )
        for pattern, own in self.layers.items():
            if self._names(pattern, name, position, count):
                resolved = LayerChip(
                    own.analog,
                    own.device or resolved.device,
                    own.tile or resolved.tile,
                    own.mapping or resolved.mapping,
                    own.telegraph or resolved.telegraph,
                    own.faults or resolved.faults,
                    own.variation or resolved.variation,
                    own.verify or resolved.verify,
                    own.repair or resolved.repair,
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


def _ideal_of(device: Device) -> Device:
    """A device of the same range without any error."""
    return Ideal(g_max_us=device.g_max_us, g_min_us=device.g_min_us)


def ideal() -> Chip:
    """The chip without any effect: its logits are those of the digital network."""
    return Chip(device=Ideal(), name="ideal")
