"""The designs among which a cure is sought: every combination of options, each a description of a chip."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reliability.chip import Chip
from reliability.errors import UserError
from reliability.mitigation.cure import Cure
from reliability.settings import as_table

MOST = 100_000
"""Combinations that a space may have."""


@dataclass(frozen=True)
class Option:
    """One setting of a knob.

    Parameters
    ----------
    label : str
    cures : tuple of Cure
        Applied one after the other; none leaves the chip as it is.
    layers : tuple of str, optional
        Layers that are cured; all by default.
    """

    label: str
    cures: tuple[Cure, ...] = ()
    layers: tuple[str, ...] | None = None

    def apply(self, chip: Chip) -> Chip:
        """The chip with the option's cures."""
        for cure in self.cures:
            chip = cure.apply(chip, self.layers)
        return chip

    def steps(self) -> list[str]:
        """What each cure does, and to which layers."""
        where = "" if self.layers is None else f" ({', '.join(self.layers)})"
        return [cure.describe() + where for cure in self.cures]


@dataclass(frozen=True)
class Knob:
    """What can be set, with its options from the weakest to the strongest."""

    name: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        labels = [option.label for option in self.options]
        if not labels or len(set(labels)) < len(labels):
            raise UserError(f"knob {self.name!r} has options {labels}: at least one, each with its own label")


@dataclass(frozen=True, eq=False)
class Design:
    """One combination.

    Attributes
    ----------
    number : int
        Its place in the space.
    choice : tuple of int
        The option of each knob.
    labels : dict of str to str
        The option of each knob by name.
    chip : Chip
    steps : tuple of str
        What each cure does, and to which layers.
    """

    number: int
    choice: tuple[int, ...]
    labels: dict[str, str]
    chip: Chip
    steps: tuple[str, ...] = ()

    def describe(self) -> str:
        """The options that change something, in words."""
        parts = [f"{knob} {label}" for knob, label in self.labels.items() if label != "none"]
        return ", ".join(parts) or "the chip as it is"


@dataclass(frozen=True)
class Space:
    """Every combination of options.

    Parameters
    ----------
    chip : Chip
        What is to be cured.
    knobs : tuple of Knob
        Applied in this order.
    """

    chip: Chip
    knobs: tuple[Knob, ...]

    def __post_init__(self) -> None:
        names = [knob.name for knob in self.knobs]
        if len(set(names)) < len(names):
            raise UserError(f"knobs {names} hold a name twice")
        count = math.prod(len(knob.options) for knob in self.knobs)
        if count > MOST:
            raise UserError(f"the knobs have {count:,} combinations; {MOST:,} at most are searched")

    def designs(self) -> list[Design]:
        """All distinct chips, in the order of the options, the last knob fastest."""
        found: list[Design] = []
        known: set[str] = set()
        partial: dict[tuple[int, ...], Chip] = {(): self.chip}
        for choice in itertools.product(*(range(len(knob.options)) for knob in self.knobs)):
            for depth in range(1, len(choice) + 1):
                head = choice[:depth]
                if head not in partial:
                    option = self.knobs[depth - 1].options[head[-1]]
                    partial[head] = option.apply(partial[head[:-1]])
            chip = partial.pop(choice) if choice else self.chip
            text = json.dumps(as_table(chip), sort_keys=True, default=str)
            if text in known:
                continue
            known.add(text)
            options = {knob.name: knob.options[i] for knob, i in zip(self.knobs, choice, strict=True)}
            labels = {name: option.label for name, option in options.items()}
            steps = tuple(step for option in options.values() for step in option.steps())
            found.append(Design(len(found), choice, labels, chip, steps))
        return found


def layer_keys(chip: Chip, names: Sequence[str]) -> list[str]:
    """Texts that are the same where a description says the same of a layer, for what is found once a layer.

    Parameters
    ----------
    chip : Chip
    names : sequence of str
        All layers with weights, in their order.
    """
    whole: list[Any] = [
        chip.compensation,
        chip.refresh_s,
        chip.refresh_cycles,
        chip.read_noise,
        chip.observation_s,
    ]
    whole += [chip.calibration_inputs, chip.mapping.batch_norm]
    return [
        json.dumps([name, as_table(chip.layer(name, place, len(names))), whole], sort_keys=True, default=str)
        for place, name in enumerate(names)
    ]
