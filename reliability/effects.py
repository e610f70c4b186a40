"""The effects of a chip, and the chip with some of them taken away."""

from __future__ import annotations

import math
from dataclasses import replace

from reliability.chip import Chip, LayerChip
from reliability.errors import UserError
from reliability.variation import Variation
from reliability.wires import Wires

EACH = "each"
"""Stands for every choice of effects that tells what each of them does."""

_BEYOND_LAWS = ("telegraph", "faults", "wear", "variation", "wires", "dac", "adc")
_OF_LAYER = ("device", "tile", "telegraph", "faults", "variation")


def effect_names(chip: Chip) -> tuple[str, ...]:
    """The effects that a chip has: those of its device laws, then what else happens to its cells and sums."""
    laws = [chip.device, *(own.device for own in chip.layers.values() if own.device)]
    of_laws = dict.fromkeys(name for device in laws for name in device.effects())
    return (*of_laws, *(name for name in _BEYOND_LAWS if _without(chip, name) != chip))


def resolved(chip: Chip) -> Chip:
    """The chip with those effects taken away that ``chip.effects`` leaves out.

    Raises
    ------
    UserError
        If that names an effect which the chip does not have.
    """
    choice, whole = chip.effects.strip(), replace(chip, effects="all")
    if choice == "all":
        return whole
    names = effect_names(whole)
    for form in ("only ", "all but "):
        if choice.startswith(form):
            listed = [name.strip() for name in choice.removeprefix(form).split(",")]
            break
    else:
        form, listed = choice, []
    if form not in ("none", "only ", "all but ") or not set(listed) <= set(names):
        raise UserError(
            f'chip.effects = {chip.effects!r} must be "all", "none", "only ..." or "all but ..." with '
            f"effects of this chip: {', '.join(names) or 'it has none'}"
        )
    for name in names:
        if (name in listed) == (form == "all but "):
            whole = _without(whole, name)
    return whole


def choices(chip: Chip) -> list[str]:
    """All effects, none, each alone, and all but each."""
    names = effect_names(chip)
    return ["all", "none", *(f"only {name}" for name in names), *(f"all but {name}" for name in names)]


def _without(chip: Chip, effect: str) -> Chip:
    """A chip without one of its effects."""
    if effect == "wear" and not math.isinf(chip.refresh_s):
        chip = replace(chip, refresh_cycles=0.0)
    whole = LayerChip(True, **{field: getattr(chip, field) for field in _OF_LAYER})
    changed = _layer_without(whole, effect)
    layers = {name: _layer_without(own, effect) for name, own in chip.layers.items()}
    return replace(chip, layers=layers, **{field: getattr(changed, field) for field in _OF_LAYER})


def _layer_without(own: LayerChip, effect: str) -> LayerChip:
    """What a layer says, without one effect."""
    if own.device is not None:
        own = replace(own, device=own.device.effects().get(effect, own.device))
    if own.telegraph is not None and effect == "telegraph":
        own = replace(own, telegraph=replace(own.telegraph, amplitude=0.0))
    if own.faults is not None and effect in ("faults", "wear"):
        rest = own.faults.only_wear if effect == "faults" else replace(own.faults, cycles=0.0)
        own = replace(own, faults=rest)
    if own.variation is not None and effect == "variation":
        own = replace(own, variation=Variation())
    if own.tile is not None and effect == "wires":
        own = replace(own, tile=replace(own.tile, wires=Wires()))
    if own.tile is not None and effect == "dac":
        own = replace(own, tile=replace(own.tile, dac=None))
    if own.tile is not None and effect == "adc":
        own = replace(own, tile=replace(own.tile, adc=None))
    return own
