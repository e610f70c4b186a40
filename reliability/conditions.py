"""The conditions of a sweep: every combination of the fields that vary."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from reliability.checks import is_whole, kind_of
from reliability.chip import Chip
from reliability.effects import EACH, choices, resolved
from reliability.errors import UserError
from reliability.refresh import programming_at
from reliability.settings import check_field, get, put

TIME = "time_s"
EFFECTS = "effects"
READ = "read"
# Columns of the trials table that no swept field may be named after.
_TAKEN = ("chip", "inputs", "correct", "accuracy", "checksum", "correct_bits", "class")


@dataclass(frozen=True)
class Place:
    """Where a condition's trials are computed: a group, one of its times and variants."""

    group: int
    time: int
    variant: int


@dataclass(frozen=True)
class Group:
    """Conditions that share a chip's programming: one description, several times and variants.

    Attributes
    ----------
    chip : Chip
    times : tuple of float
    variants : tuple of str
        Compensations.
    levels : tuple of float
        Share of the devices' deviations that each variant has.
    read : int
        Which evaluation of the same chips: what single reads redraw is another in each.
    refresh : int
        How often the chip was programmed anew before; times count from the latest time.
    """

    chip: Chip
    times: tuple[float, ...]
    variants: tuple[str, ...]
    levels: tuple[float, ...]
    read: int = 0
    refresh: int = 0


@dataclass(frozen=True)
class Sweep:
    """All conditions of a simulation, in the order of the trials table.

    Attributes
    ----------
    fields : tuple of str
        What varies: ``"time_s"``, ``"read"`` or the path of a chip field such as ``"device.sigma"``.
    conditions : tuple of dict
        Value of each field.
    places : tuple of Place
        Where each condition is computed.
    groups : tuple of Group
    """

    fields: tuple[str, ...]
    conditions: tuple[dict[str, Any], ...]
    places: tuple[Place, ...]
    groups: tuple[Group, ...]


def expand(chip: Chip, vary: Mapping[str, Sequence[Any]] | None, time_s: float = 0.0) -> Sweep:
    """Every combination of the varied fields, the last one fastest.

    Parameters
    ----------
    chip : Chip
    vary : mapping of str to sequence
        Values of ``"time_s"`` (seconds since the reference read), of ``"read"`` (numbers of evaluations of
        the same chips: what single reads redraw is another in each) and of fields of the chip by path. Of
        ``"effects"`` the value ``"each"`` stands for all, none, each alone and all but each. Where
        ``"device"`` varies, devices of few levels hold weights in digits (:meth:`Chip.fitted`).
    time_s : float
        Evaluation time where the sweep does not vary it.

    Raises
    ------
    UserError
        If ``vary`` is no mapping, a field is unknown, a value is not allowed, or a field has no or repeated
        values.
    """
    if vary is not None and not isinstance(vary, Mapping):
        raise UserError(
            f"vary holds {kind_of(vary)}; it must be a mapping of fields to lists of values, such as "
            f'{{"time_s": [0, 3600]}}'
        )
    vary = {str(field): _values(field, values) for field, values in (vary or {}).items()}
    for field in vary:
        if field in _TAKEN:
            raise UserError(f"vary.{field} is not a field of the chip")
        if field not in (TIME, READ):
            check_field(chip, field.partition(".")[0], "vary", also=(TIME, READ))
    conditions: list[dict[str, Any]] = []
    places: list[Place] = []
    chips: list[tuple[Chip, int, str, int]] = []
    times: list[list[float]] = []
    variants: list[list[str]] = []
    if EFFECTS in vary:
        spelled = [choices(chip) if value == EACH else [value] for value in vary[EFFECTS]]
        vary[EFFECTS] = list(dict.fromkeys(itertools.chain.from_iterable(spelled)))
    for values in itertools.product(*vary.values()):
        condition = dict(zip(vary, values, strict=True))
        described = chip
        for field, value in condition.items():
            if field not in (TIME, READ):
                described = put(described, field, value, "vary")
                condition[field] = get(described, field) if _plain(get(described, field)) else value
        described = resolved(described.fitted() if "device" in condition else described)
        time = _time(condition.get(TIME, time_s), TIME if TIME in condition else "time_s")
        if TIME in condition:
            condition[TIME] = time
        variant = described.compensation
        # What is added digitally is no part of what a compensation rescales.
        apart = variant if described.corrects_digitally else ""
        latest = programming_at(replace(described, compensation="none"), time)
        time = latest.time_s
        own = (latest.chip, _read(condition.get(READ, 0)), apart, latest.refresh)
        if own not in chips:
            chips.append(own)
            times.append([])
            variants.append([])
        group = chips.index(own)
        if time not in times[group]:
            times[group].append(time)
        if variant not in variants[group]:
            variants[group].append(variant)
        conditions.append(condition)
        places.append(Place(group, times[group].index(time), variants[group].index(variant)))
    groups = [
        Group(chip, tuple(t), tuple(v), (1.0,) * len(v), read, refresh)
        for (chip, read, _, refresh), t, v in zip(chips, times, variants, strict=True)
    ]
    return Sweep(tuple(vary), tuple(conditions), tuple(places), tuple(groups))


def join_levels(sweep: Sweep) -> Sweep:
    """The same sweep with conditions that only scale the same deviations in one group.

    The levels of a group are all computed from one chip's devices (:attr:`Device.linear_in`).
    """
    families: list[tuple[Any, list[int]]] = []
    for number, group in enumerate(sweep.groups):
        family = _family(group)
        members = next((m for f, m in families if f is not None and f == family), None)
        if members is None:
            families.append((family, [number]))
        else:
            members.append(number)
    groups: list[Group] = []
    moved: dict[int, tuple[int, int]] = {}
    for _, members in families:
        scales = [_scale_of(sweep.groups[m].chip) for m in members]
        whole = sweep.groups[members[scales.index(max(scales))]]
        if len(members) > 1:
            levels = tuple(scale / max(scales) for scale in scales)
            whole = replace(whole, variants=("none",) * len(members), levels=levels)
        moved |= {member: (len(groups), level) for level, member in enumerate(members)}
        groups.append(whole)
    places = [Place(moved[p.group][0], p.time, p.variant + moved[p.group][1]) for p in sweep.places]
    return replace(sweep, places=tuple(places), groups=tuple(groups))


def _scale_of(chip: Chip) -> float:
    field = chip.device.linear_in
    return float(getattr(chip.device, field)) if field else 1.0


def _family(group: Group) -> Any:
    """What groups have in common that differ in the scale of their devices' deviations only."""
    chip, field = group.chip, group.chip.device.linear_in
    corrected = chip.mapping.slices.fill == "corrected"
    # Other effects do not scale with the deviations.
    others = (chip.telegraph, chip.faults, chip.variation, chip.verify, chip.tile.wires)
    scaled = not any(effect.is_on for effect in others)
    alone = len(group.times) == 1 and group.variants == ("none",)
    own = any(
        o.device
        or o.mapping
        or o.telegraph
        or o.faults
        or o.variation
        or o.verify
        or (o.tile and o.tile.wires.is_on)
        for o in chip.layers.values()
    )
    if field is None or corrected or not alone or not scaled or own:
        return None
    design = replace(chip, device=replace(chip.device, **cast(Any, {field: 0.0})), layers={})
    return design, tuple(chip.layers.items()), group.times, group.read, group.refresh


def _values(field: str, values: Sequence[Any]) -> list[Any]:
    if isinstance(values, str) or (not isinstance(values, Sequence) and not hasattr(values, "tolist")):
        raise UserError(f"vary.{field} = {values!r} must be a list of values")
    listed = list(values.tolist() if hasattr(values, "tolist") else values)
    if not listed:
        raise UserError(f"vary.{field} has no values")
    if any(listed.index(value) != i for i, value in enumerate(listed)):
        raise UserError(f"vary.{field} = {listed!r} names a value twice")
    return listed


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _read(value: Any) -> int:
    if not is_whole(value, 0, 1 << 20):
        raise UserError(f"vary.read = {value!r} must be a whole number from 0 to 1048576")
    return int(value)


def _time(value: Any, path: str) -> float:
    try:
        time = float(value)
    except (TypeError, ValueError):
        time = math.nan
    if isinstance(value, bool) or not 0 <= time <= 1e12:
        raise UserError(f"{path} = {value!r} must be a number of seconds from 0 to 1e12")
    return time
