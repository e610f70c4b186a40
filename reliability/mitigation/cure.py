"""A cure: a change of a chip's description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reliability.chip import Chip, LayerChip


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


def change_layers(
    chip: Chip, layers: Sequence[str] | None, change: Callable[[LayerChip], LayerChip], names: Sequence[str]
) -> Chip:
    """The chip with some of its layers changed.

    Parameters
    ----------
    chip : Chip
    layers : sequence of str or None
        Those that are changed; None for all.
    change : callable
        Takes what the chip says about a layer, every field filled in, and gives what it shall say.
    names : sequence of str
        All layers with weights, in their order.
    """
    chosen = names if layers is None else layers
    own = {
        name: change(chip.layer(name, place, len(names)))
        for place, name in enumerate(names)
        if name in chosen
    }
    return replace(chip, layers={**chip.layers, **own})
