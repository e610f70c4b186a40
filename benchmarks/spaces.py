"""Spaces of designs, of at least 500 each, on which recommendations are judged."""

from __future__ import annotations

from reliability import Chip, devices, load_dataset, load_network
from reliability.mitigation.candidates import Candidates
from reliability.mitigation.clipping import Clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.cure import Cure
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.space import Knob, Option, Space


def knob(name: str, cures: dict[str, Cure], *layers: str) -> Knob:
    """No cure, or one of several."""
    own = layers or None
    return Knob(name, (Option("none"), *(Option(label, (cure,), own) for label, cure in cures.items())))


def copies(*layers: str) -> Knob:
    """Two to eight copies of some layers."""
    return knob(
        f"copies of {', '.join(layers)}", {str(k): Redundancy(k) for k in (2, 3, 4, 5, 6, 8)}, *layers
    )


CLIPPING = knob("clipping", {f"{p:g} %": Clipping(p) for p in (99.8, 99.4, 99.0, 97.0, 94.0)})
SCALE = knob("scale", {"a column": ColumnScale()})


def copies_of_digits() -> Candidates:
    """Gaussian devices: copies of both layers, clipping, a scale a column."""
    chip = Chip(device=devices.gaussian(sigma=0.1))
    space = Space(chip, (copies("fc1"), copies("fc2"), CLIPPING, SCALE))
    return Candidates(load_network("digits-mlp"), load_dataset("digits"), space, (0.0,))


SPACES = {"copies": copies_of_digits}
"""By name: what makes the candidates."""
