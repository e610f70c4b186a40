"""What a chip does to its cells beyond their law, as the kernels' records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from reliability.crossbar import Crossbar
from reliability.kernels import layout
from reliability.kernels.copies import BY_LINE, VOTE, by_line, vote
from reliability.kernels.faults import FAULTS, find_faults
from reliability.kernels.latent import NORMAL, UNIFORM
from reliability.kernels.repair import WORDS, add_words
from reliability.kernels.telegraph import FLUCTUATE, fluctuate
from reliability.kernels.variation import GAINS, find_gains
from reliability.kernels.verify import VERIFY, verify
from reliability.kernels.wired import ATTENUATE, attenuate_layer

# Draws by the field of the record that points to them. Those of a whole chip are the same in all layers.
_VARIATION = {
    "wafer_latent": ("wafer", NORMAL),
    "die_latent": ("die", NORMAL),
    "tile_latent": ("tile", NORMAL),
    "cell_latent": ("cell", NORMAL),
    "field_latent": ("field", NORMAL),
}
FAULT_DRAWS = {
    "stuck_latent": ("stuck", UNIFORM),
    "worn_latent": ("worn", UNIFORM),
    "state_latent": ("worn_state", UNIFORM),
    "cluster_latent": ("cluster", UNIFORM),
    "row_latent": ("open_row", UNIFORM),
    "column_latent": ("open_column", UNIFORM),
}
OF_CHIP = ("wafer", "die")


EFFECT_KERNELS = {
    "find_gains": (find_gains, GAINS),
    "find_faults": (find_faults, FAULTS),
    "fluctuate": (fluctuate, FLUCTUATE),
    "attenuate": (attenuate_layer, ATTENUATE),
    "by_line": (by_line, BY_LINE),
    "vote": (vote, VOTE),
    "verify": (verify, VERIFY),
    "add_words": (add_words, WORDS),
}
"""Kernels that only chips with an effect, or copies of columns, need, and so compile, with signatures."""


def effect_kernels(layers: Iterable[Crossbar]) -> set[str]:
    """Names of the kernels that the effects of some layers need."""
    found = set()
    for layer in layers:
        own = layer.settings
        assert own.variation and own.faults and own.telegraph and own.tile and own.verify and own.repair
        if not own.analog:
            continue
        effects = (own.variation.is_on, own.faults.is_on, own.telegraph.is_on, own.tile.wires.is_on)
        copied = (not layer.mapped.held.all(), layer.votes)
        needs = (*effects, *copied, own.verify.is_on, own.faults.is_on and own.repair.is_digital)
        found |= {name for name, need in zip(EFFECT_KERNELS, needs, strict=True) if need}
    return found


def draws_of(layer: Crossbar) -> dict[str, tuple[str, int]]:
    """Draws of a layer's effects: (quantity, kind) by the field of the record that points to them."""
    settings = layer.settings
    assert settings.variation is not None and settings.faults is not None and settings.telegraph is not None
    found: dict[str, tuple[str, int]] = {}
    if settings.variation.is_on:
        found |= _VARIATION
    if settings.faults.is_on:
        found |= FAULT_DRAWS
    if settings.telegraph.is_on:
        found["trap"] = ("telegraph", UNIFORM)
    return found


def record_of(layer: Crossbar, inputs: int) -> dict[str, Any]:
    """The record of a layer's effects in an evaluation of ``inputs``, but for the places in flat arrays."""
    settings, device = layer.settings, layer.settings.device
    variation, faults, telegraph = settings.variation, settings.faults, settings.telegraph
    assert device is not None and variation is not None and faults is not None and telegraph is not None
    record: dict[str, Any] = dict.fromkeys(layout.EFFECTS.names or (), 0)
    record |= {"gains_at": -1, "stuck_at": -1, "aims_at": -1}
    for name in ("wafer", "die", "tile", "cell", "field", "memory"):
        record[name] = getattr(variation, name)
    record["own_wafer"] = int(variation.wafers == "own")
    low = device.g_max_us if faults.low_us == "device" else faults.low_us
    high = device.g_min_us if faults.high_us == "device" else faults.high_us
    for name in ("stuck_low", "stuck_high", "worn_low", "cluster_rate", "cluster_radius"):
        record[name] = getattr(faults, name)
    for name in ("open_rows", "open_columns"):
        record[name] = getattr(faults, name)
    record |= {"low_us": low, "high_us": high, "worn": faults.worn_share}
    record["cluster_us"] = low if faults.cluster_state == "low" else high
    record |= {"amplitude": telegraph.amplitude, "exponent": telegraph.exponent}
    record |= {"log_g_ref": math.log(telegraph.g_ref_us), "occupancy": telegraph.occupancy}
    record |= {"rate": 1 / telegraph.correlation_s, "frozen": telegraph.frozen_share(inputs * layer.places)}
    return record
