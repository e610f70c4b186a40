"""Changes of a chip's description on some of its layers."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from reliability.checks import check_names
from reliability.chip import Chip, LayerChip
from reliability.crossbar import chip_network
from reliability.errors import UserError
from reliability.network import Network

_ENDS = ("first", "last")


def changed(
    chip: Chip, field: str, change: Callable[[Any], Any], layers: Sequence[str] | None = None
) -> Chip:
    """The chip with one field of its layers changed.

    Parameters
    ----------
    chip : Chip
    field : str
        Of :class:`~reliability.chip.LayerChip`: ``"mapping"``, ``"tile"``, ...
    change : callable
        Takes what the field holds and gives what it shall hold.
    layers : sequence of str, optional
        Names of layers, or ``"first"`` and ``"last"``; by default all layers that are not digital.

    Raises
    ------
    UserError
        If ``layers`` is one text, a name is a pattern, or the chip says of its first or last layer what might
        concern a named one: :func:`by_name` then tells which layers these are.
    """
    check_names("layers", layers)
    if layers is None:
        own = {
            name: said
            if getattr(said, field) is None
            else replace(said, **{field: change(getattr(said, field))})
            for name, said in chip.layers.items()
        }
        return replace(chip, layers=own, **{field: change(getattr(chip, field))})
    found = dict(chip.layers)
    for name in layers:
        if any(mark in name for mark in "*?["):
            raise UserError(f"layers = {list(layers)!r}: {name!r} is a pattern; name the layers")
        unclear = [p for p in found if p != name and (p in _ENDS or (name in _ENDS and p != "*"))]
        if unclear:
            raise UserError(
                f"chip.layers[{unclear[0]!r}] may say something about layer {name!r}: name the layers that "
                f"it means (mitigation.overrides.by_name)"
            )
        said = _said([own for p, own in found.items() if fnmatch.fnmatchcase(name, p)])
        held = getattr(said, field)
        found.pop(name, None)
        # What comes last decides.
        found[name] = replace(said, **{field: change(getattr(chip, field) if held is None else held)})
    return replace(chip, layers=found)


def _said(overrides: Sequence[LayerChip]) -> LayerChip:
    """What several overrides together say about one layer; None where they say nothing."""
    said = LayerChip()
    for own in overrides:
        given = {f.name: getattr(own, f.name) for f in fields(own)}
        said = replace(said, **{key: value for key, value in given.items() if value is not None})
    return said


def by_name(chip: Chip, network: Network) -> Chip:
    """The same chip for this network, with overrides under the names of its layers and under no other."""
    names = [node.name for node in chip_network(network, chip).weighted]
    chip.check_layers(names)
    layers = {}
    for position, name in enumerate(names):
        also = {"first": position == 0, "last": position + 1 == len(names)}
        said = [
            own
            for pattern, own in chip.layers.items()
            if (also[pattern] if pattern in also else fnmatch.fnmatchcase(name, pattern))
        ]
        if said:
            layers[name] = _said(said)
    return replace(chip, layers=layers)


def analog_layers(chip: Chip, network: Network) -> list[str]:
    """Names of a network's layers that stand on devices."""
    nodes = chip_network(network, chip).weighted
    return [n.name for i, n in enumerate(nodes) if chip.layer(n.name, i, len(nodes)).analog]


def layers_to_cure(chip: Chip, network: Network) -> list[str]:
    """Names of the layers that stand on devices.

    Raises
    ------
    UserError
        If there is none.
    """
    found = analog_layers(chip, network)
    if not found:
        raise UserError("no layer of the chip stands on devices: there is nothing to cure")
    return found
