"""The cures that come into question for a chip, by what it suffers from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reliability.chip import Chip, Slices
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.mitigation.clipping import Clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.converter_ranges import ConverterRanges
from reliability.mitigation.cure import Cure
from reliability.mitigation.goal import is_steady
from reliability.mitigation.overrides import by_name
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.space import Knob, Option, Space
from reliability.network import Network

# Layers up to this share of all cells are small.
_SMALL = 0.25
_COPIES = (2, 3, 4, 6)


def default_space(network: Network, chip: Chip, *, horizon_s: float = 0.0) -> Space:
    """Knobs for what a chip suffers from, each from no cure to the strongest.

    Copies of small and of large layers apart (each layer by itself where there are two); a scale a column and
    clipped weights; ranges of converters, where there are any.

    Parameters
    ----------
    network : Network
    chip : Chip
    horizon_s : float
        For how long it is used, seconds.

    Raises
    ------
    UserError
        If no layer stands on devices.
    """
    chip = by_name(resolved(chip), network)
    crossbars = [c for c in crossbars_of(chip_network(network, chip), chip).values() if c.settings.analog]
    if not crossbars:
        raise UserError("no layer of the chip stands on devices: there is nothing to cure")
    knobs = [*_redundancy(crossbars), *_scaling(crossbars), *_converters(crossbars)]
    return Space(chip, tuple(knob for knob in knobs if len(knob.options) > 1))


def layer_groups(crossbars: Sequence[Crossbar]) -> dict[str, tuple[str, ...]]:
    """Layers by their number of cells: the small ones, whose copies cost little, and the others."""
    names = [crossbar.name for crossbar in crossbars]
    if len(names) <= 2:
        return {name: (name,) for name in names}
    cells = np.array([crossbar.devices for crossbar in crossbars])
    order = np.argsort(cells, kind="stable")
    small = order[np.cumsum(cells[order]) <= _SMALL * cells.sum()]
    if not 0 < len(small) < len(names):
        return {"all layers": tuple(names)}
    return {
        "small layers": tuple(names[i] for i in sorted(small)),
        "large layers": tuple(names[i] for i in range(len(names)) if i not in small),
    }


def _knob(name: str, cures: Sequence[tuple[str, Cure]], layers: Sequence[str] | None = None) -> Knob:
    """No cure, or one of several."""
    own = None if layers is None else tuple(layers)
    return Knob(name, (Option("none"), *(Option(label, (cure,), own) for label, cure in cures)))


def _redundancy(crossbars: Sequence[Crossbar]) -> list[Knob]:
    """Copies, where weights do not stand in several slices already."""
    plain = [c for c in crossbars if c.settings.mapping and c.settings.mapping.slices == Slices()]
    return (
        [
            _knob(f"copies of {group}", [(str(k), Redundancy(k)) for k in _COPIES], layers)
            for group, layers in layer_groups(plain).items()
        ]
        if plain
        else []
    )


def _scaling(crossbars: Sequence[Crossbar]) -> list[Knob]:
    """What the range of conductances stands for, where the layer's largest weight decides."""
    plain = [
        c.name
        for c in crossbars
        if c.settings.mapping
        and c.settings.mapping.weight_max == "layer"
        and c.settings.mapping.clip_percentile == 100
    ]
    if not plain:
        return []
    clipped = [(f"{p:g} %", Clipping(p)) for p in (99.8, 99.0, 97.0)]
    return [_knob("scale", [("a column", ColumnScale())], plain), _knob("clipping", clipped, plain)]


def _converters(crossbars: Sequence[Crossbar]) -> list[Knob]:
    """Where the ranges of ADCs end, as far as they are calibrated."""
    own = [
        c.name
        for c in crossbars
        if c.settings.tile and c.settings.tile.adc and c.settings.tile.adc.range == "calibrated"
    ]
    return (
        [_knob("ADC range", [(f"{p:g} %", ConverterRanges(adc=p)) for p in (99.99, 99.9)], own)]
        if own
        else []
    )


def drifts(crossbars: Sequence[Crossbar], chip: Chip) -> bool:
    """Whether anything about the chip's layers changes with time."""
    return not is_steady(chip, [crossbar.name for crossbar in crossbars])
