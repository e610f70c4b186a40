"""Which draws belong to a group of layers, or of effects."""

from __future__ import annotations

from collections.abc import Mapping

from reliability.crossbar import Crossbar
from reliability.verified import is_verified

WHOLE_CHIP = "whole chip"
"""Name of the draws that all layers share: wafer and die."""

# Draws of each effect beyond the device laws, whose draws are named like their effects.
DRAWS = {
    "telegraph": ("telegraph", "telegraph_frozen"),
    "faults": ("stuck", "cluster", "open_row", "open_column"),
    "wear": ("worn", "worn_state"),
    "variation": ("wafer", "die", "tile", "cell", "field"),
}
_READS = ("readings", "readout", "calibration")
READS = "reads"
"""Name of what single reads redraw, where more than one effect does that: one draw serves all of them."""

Draws = tuple[tuple[str, str], ...]


def layer_draws(groups: Mapping[str, tuple[str, ...]], crossbars: Mapping[str, Crossbar]) -> dict[str, Draws]:
    """Draws of each group of layers, and of the whole chip where it has some."""
    sources: dict[str, Draws] = {
        group: tuple((layer, "*") for layer in layers) for group, layers in groups.items()
    }
    shared = [name for name in ("wafer", "die") if _varies(crossbars, name)]
    return sources | ({WHOLE_CHIP: tuple(("", name) for name in shared)} if shared else {})


def effect_draws(
    groups: Mapping[str, tuple[str, ...]],
    crossbars: Mapping[str, Crossbar],
    observation_s: float | None,
    inputs: int,
) -> dict[str, Draws]:
    """Draws of each group of effects; effects that draw nothing have none."""
    group_of = {effect: group for group, effects in groups.items() for effect in effects}
    found: dict[str, list[str]] = {group: [] for group in groups}

    def add(effect: str, quantity: str) -> None:
        own = found.setdefault(group_of.get(effect, effect), [])
        if quantity not in own:
            own.append(quantity)

    for effect, quantities in DRAWS.items():
        for quantity in quantities if effect in group_of else ():
            if quantity not in ("wafer", "die") or _varies(crossbars, quantity):
                add(effect, quantity)
    causes: set[str] = set()
    for crossbar in crossbars.values():
        device = crossbar.settings.device
        assert device is not None
        for latent in (*device.program_latents, *device.time_latents):
            add(latent.name if latent.name in group_of else "programming", latent.name)
        if is_verified(crossbar.settings):
            # What the loops draw decides what programming leaves.
            loops = (f"verify_{latent.name}" for latent in device.time_latents)
            for quantity in ("verify_read", "verify_step", *loops):
                add("programming", quantity)
        causes |= _causes_of_reads(crossbar, observation_s, inputs)
    for quantity in _READS if causes else ():
        add(causes.copy().pop() if len(causes) == 1 else READS, quantity)
    return {group: tuple(("*", q) for q in quantities) for group, quantities in found.items() if quantities}


def _causes_of_reads(crossbar: Crossbar, observation_s: float | None, inputs: int) -> set[str]:
    """Effects because of which single reads of a layer redraw something."""
    device, telegraph = crossbar.settings.device, crossbar.settings.telegraph
    assert device is not None and telegraph is not None
    causes = set()
    if telegraph.is_on and telegraph.frozen_share(inputs * crossbar.places) < 1:
        causes.add("telegraph")
    if device.redraws(observation_s):
        without = device.effects().items()
        causes |= {effect for effect, rest in without if not rest.redraws(observation_s)} or {READS}
    return causes


def _varies(crossbars: Mapping[str, Crossbar], level: str) -> bool:
    """Whether wafers or dies differ between chips."""
    for crossbar in crossbars.values():
        variation = crossbar.settings.variation
        assert variation is not None
        if getattr(variation, level) > 0 and (level == "die" or variation.wafers == "own"):
            return True
    return False
