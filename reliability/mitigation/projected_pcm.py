"""Projected phase-change memory: a device whose current passes by most of what drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reliability.chip import Chip
from reliability.devices import load_device
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class ProjectedPCM(Cure):
    """The preset ``projected_pcm`` in place of a layer's device.

    Nine tenths of a conductance neither drift nor fluctuate, and the smallest conductance is a tenth of the
    largest, so that the window shrinks; programming is as for unprojected devices. A model on the principle
    of Koelmans et al. 2015 and Giannopoulos et al. 2018; share and window are not verified (data/README.md).
    The counts of cells, writes and reads stay.
    """

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with these devices in the named layers, all by default."""
        device = load_device("projected_pcm")
        return changed(chip, "device", lambda _: device, layers)

    def describe(self) -> str:
        """What is done, in a few words."""
        return "projected phase-change memory"
