"""What is asked about a setting, and which runs can answer it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_args

import numpy as np

from reliability.analysis import Setting
from reliability.chip import Chip, LayerChip
from reliability.crossbar import Crossbar, analog_crossbars
from reliability.effects import effect_names, resolved
from reliability.errors import UserError
from reliability.latents import Role, key
from reliability.sensitivity.draws import READS, WHOLE_CHIP, Draws, effect_draws, layer_draws
from reliability.settings import whole
from reliability.statistics.interval import check_level
from reliability.statistics.shapley import order_pairs

Of = Literal["layers", "effects"]

ALL = "all"
"""Name of the group of all groups."""

# With so many groups all sets of them are run; with more, sets along random orders.
_ENUMERATED = 10
_PAIRS = 50


class Run(NamedTuple):
    """Chips to simulate under one set of groups.

    Attributes
    ----------
    kind : {"noisy", "mixed"}
        ``"noisy"``: only the groups of the set are noisy. ``"mixed"``: all are noisy, and those of the set
        have the draws of other chips.
    groups : int
        The set: bit g stands for group g.
    first, chips : int
        Chips ``first`` to ``first + chips - 1``.
    """

    kind: Literal["noisy", "mixed"]
    groups: int
    first: int
    chips: int


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked about a setting, and which runs can answer it; made by :func:`question_of`.

    Attributes
    ----------
    setting : Setting
    of : {"layers", "effects"}
    groups : mapping of str to tuple of str
        Layers or effects of each group that can be noisy or not.
    sources : mapping of str to tuple of (layer, quantity)
        Draws of each group that can come from other chips.
    orders, source_orders : ndarray of int, shape (pairs, 2, groups), or None
        Orders in which the groups join, each with its reverse; None where all sets are run.
    role : {"search", "certify"}
    level : float
    """

    setting: Setting
    of: Of
    groups: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, Draws]
    orders: np.ndarray | None
    source_orders: np.ndarray | None
    role: Role
    level: float

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.setting.chips

    def noisy(self, groups: int) -> list[Run]:
        """The run of all chips with only these groups noisy; none where it is the digital network itself."""
        if groups == 0:
            # Without effects all chips are one.
            return [] if self.of == "layers" else [Run("noisy", 0, 0, 1)]
        return [Run("noisy", groups, 0, self.chips)]

    def mixed(self, groups: int) -> Run:
        """The run of all chips with the draws of these sources from other chips."""
        return Run("mixed", groups, 0, self.chips) if groups else Run("noisy", self.everything, 0, self.chips)

    def blocks(self, orders: np.ndarray) -> list[tuple[np.ndarray, int, int]]:
        """Each pair of orders with its own chips: (pair, first chip, number of chips)."""
        count = self.chips // len(orders)
        return [(pair, p * count, count) for p, pair in enumerate(orders)]

    @property
    def everything(self) -> int:
        """The set of all groups."""
        return (1 << len(self.groups)) - 1

    @property
    def every_source(self) -> int:
        """The set of all sources."""
        return (1 << len(self.sources)) - 1

    def chip_of(self, run: Run) -> Chip:
        """The chip description of a run."""
        chip = resolved(self.setting.chip)
        if run.kind == "mixed" or run.groups == self.everything:
            return chip
        inside = [
            name for g, names in enumerate(self.groups.values()) if run.groups >> g & 1 for name in names
        ]
        if self.of == "effects":
            return replace(chip, effects=f"only {', '.join(inside)}" if inside else "none")
        outside = [name for names in self.groups.values() for name in names if name not in inside]
        # What comes last decides.
        layers = {name: own for name, own in chip.layers.items() if name not in outside}
        return replace(chip, layers=layers | {name: LayerChip(analog=False) for name in outside})

    def seeds_of(self, run: Run) -> dict[tuple[str, str], int]:
        """Seeds of the draws that a run takes from other chips."""
        if run.kind == "noisy":
            return {}
        # Any seed but the study's own: chips of that number share nothing with these.
        low, high = key(self.setting.seed, "other chips", "", self.role)
        other = (high << 31) ^ low
        sources = list(self.sources.values())
        return {at: other for g, draws in enumerate(sources) if run.groups >> g & 1 for at in draws}


def question_of(
    setting: Setting,
    of: Of = "layers",
    *,
    groups: Mapping[str, str] | None = None,
    permutations: int | None = None,
    role: Role = "certify",
    level: float = 0.95,
) -> Question:
    """The groups that a setting has, and how they are to be run; parameters as `measure_sensitivity`."""
    if of not in get_args(Of):
        raise UserError(f'of = {of!r} must be "layers" or "effects"')
    check_level(level)
    if groups and not (isinstance(groups, Mapping) and all(isinstance(own, str) for own in groups.values())):
        raise UserError(
            f"groups holds {groups!r}; it must be a mapping of names to patterns, such as "
            f'{{"small": "conv1, fc*"}}'
        )
    chips = whole("chips", setting.chips, 3, 2**31)
    crossbars = setting_crossbars(setting)
    names = list(crossbars) if of == "layers" else list(effect_names(resolved(setting.chip)))
    if not names:
        wanted = "analog layers" if of == "layers" else "effects"
        raise UserError(f"the chip has no {wanted}: nothing is to blame")
    grouped = _grouped(names, groups or {}, of)
    if of == "layers":
        sources = layer_draws(grouped, crossbars)
    else:
        observation_s, inputs = setting.chip.frozen_below_s, len(setting.dataset)
        sources = effect_draws(grouped, crossbars, observation_s, inputs)
    if permutations is not None:
        whole("permutations", permutations, 3, chips)
    calibration = setting.calibration
    if callable(calibration):
        # Every run asks for the training inputs; they are loaded once.
        setting = replace(setting, calibration=functools.cache(calibration))

    def orders(count: int) -> np.ndarray | None:
        pairs = permutations if permutations is not None or count <= _ENUMERATED else min(_PAIRS, chips)
        rng = np.random.default_rng(key(setting.seed, "orders", of, role))
        return None if pairs is None else order_pairs(count, pairs, rng)

    return Question(setting, of, grouped, sources, orders(len(grouped)), orders(len(sources)), role, level)


def setting_crossbars(setting: Setting) -> dict[str, Crossbar]:
    """The analog layers of a setting's chip."""
    return analog_crossbars(setting.network, resolved(setting.chip))


def _grouped(names: Sequence[str], groups: Mapping[str, str], of: Of) -> dict[str, tuple[str, ...]]:
    """Members of each group, in the order of their first ones."""
    members = {
        group: [n for n in names if any(fnmatchcase(n, pattern.strip()) for pattern in patterns.split(","))]
        for group, patterns in groups.items()
    }
    group_of: dict[str, str] = {}
    for group, own in members.items():
        if not own:
            listed = ", ".join(names)
            raise UserError(f"groups[{group!r}] = {groups[group]!r} names none of the {of} {listed}")
        if group in (ALL, WHOLE_CHIP, READS) or (group in names and group not in own):
            raise UserError(f"groups[{group!r}]: a group cannot have the name of what is not in it")
        for name in own:
            if name in group_of:
                raise UserError(f"groups {group_of[name]!r} and {group!r} both name {name!r}, which one may")
            group_of[name] = group
    order = dict.fromkeys(group_of.get(name, name) for name in names)
    return {group: tuple(members.get(group, [group])) for group in order}
