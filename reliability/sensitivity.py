"""Which layer, and which effect, is to blame: what groups of a chip's noise do alone, together and in turns.

A chip is a number, and the draws of a layer belong to the layer: the same chips can be simulated with any set
of layers noisy and the others digital, with any set of effects, or with the draws of some groups taken from
other chips. All measures are made of such runs on the same chips (common random numbers), so that they are
compared chip by chip.

Two questions are kept apart. What a group costs: the drop of accuracy from the digital network, on average
over chips (:data:`MEASURES` ``one_noisy`` to ``shapley``). What a group makes chips differ by: its share of
the variance between chips (``sobol_first`` to ``shapley_effects``), which decides on yield.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from reliability.analysis import Setting
from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip, LayerChip
from reliability.crossbar import Crossbar, chip_network, crossbars_of, rolled
from reliability.curvature import second_derivatives
from reliability.effects import effect_names, resolved
from reliability.errors import UserError
from reliability.latents import Role, key
from reliability.layers import Conv2d, Linear
from reliability.moments import check_independent
from reliability.settings import whole
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import DIFFERENCE, REAL, check_level
from reliability.statistics.ranking import ranking
from reliability.statistics.shapley import (
    effects_of_order,
    joined,
    order_pairs,
    shapley_effects,
    shapley_values,
    shares_of_order,
)
from reliability.statistics.shares import Shares, shares_of
from reliability.statistics.sobol import first_order, total
from reliability.statistics.summary import CHIPS

Of = Literal["layers", "effects"]

DROP = "drop of accuracy"
SHARE = "share of variance"
LOSS = "cross-entropy"
"""Units of the measures; the variance is that between chips."""

ALL = "all"
"""Name of the group of all groups."""
WHOLE_CHIP = "whole chip"
"""Name of the draws that all layers share: wafer and die."""

MOST = 200_000_000
"""Chips times inputs that are evaluated at most, unless more are allowed."""

# With so many groups all sets of them are run; with more, sets along random orders.
_ENUMERATED = 10
_PAIRS = 50
# Draws of each effect beyond the device laws, whose draws are named like their effects.
_DRAWS = {
    "telegraph": ("telegraph", "telegraph_frozen"),
    "faults": ("stuck", "cluster", "open_row", "open_column"),
    "wear": ("worn", "worn_state"),
    "variation": ("wafer", "die", "tile", "cell", "field"),
}
_READS = ("readings", "readout")
READS = "reads"
"""Name of what single reads redraw, where more than one effect does that: one draw serves all of them."""

_EQUAL = "paired: all chips equal: exact binomial bound"

Draws = tuple[tuple[str, str], ...]


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


class Drops:
    """The drops of accuracy that runs found, chip by chip."""

    def __init__(self, question: Question, drops: Mapping[Run, np.ndarray], is_right: bool) -> None:
        self.question, self.drops = question, drops
        self.bounds = DIFFERENCE if is_right else REAL

    def noisy(self, groups: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Drop of each chip with only these groups noisy, against the chip with none."""
        return self._noisy(groups, first, count) - self._noisy(0, first, count)

    def _noisy(self, groups: int, first: int, count: int | None) -> np.ndarray:
        count = self.question.chips if count is None else count
        if groups == 0:
            runs = self.question.noisy(0)
            return np.full(count, self.drops[runs[0]][0] if runs else 0.0)
        return self._of(Run("noisy", groups, first, count))

    def mixed(self, groups: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Drop of each chip with the draws of these sources from other chips."""
        run = self.question.mixed(groups)
        return self._of(run._replace(first=first, chips=self.question.chips if count is None else count))

    def _of(self, run: Run) -> np.ndarray:
        if run in self.drops:
            return self.drops[run]
        every = self.drops[run._replace(first=0, chips=self.question.chips)]
        return every[run.first : run.first + run.chips]


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a measure found for each group.

    Attributes
    ----------
    groups : tuple of str
    value, low, high : ndarray, shape (groups,)
    method : str, or list of str
        How the intervals were made: all of them, or each.
    varies : str
        What varies in them.
    contributions : ndarray, shape (samples, groups), optional
        As :func:`reliability.statistics.ranking.ranking` takes them; None where the values are exact.
    """

    groups: tuple[str, ...]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    method: str | list[str]
    varies: str
    contributions: np.ndarray | None


def _no_runs(question: Question) -> Iterable[Run]:
    return ()


def _never(question: Question) -> str | None:
    return None


@dataclass(frozen=True)
class Measure:
    """One way to say how much a group is to blame.

    Attributes
    ----------
    about : str
        What the value is.
    unit : str
        What it is counted in.
    find : callable
        Takes the question and what the runs found.
    runs : callable
        The runs that it needs.
    refuses : callable
        Why the measure cannot be taken of a question, or None.
    """

    about: str
    unit: str
    find: Callable[[Question, Drops], Estimate]
    runs: Callable[[Question], Iterable[Run]] = field(default=_no_runs)
    refuses: Callable[[Question], str | None] = field(default=_never)


def measure_sensitivity(
    setting: Setting,
    of: Of = "layers",
    *,
    measures: Sequence[str] | None = None,
    groups: Mapping[str, str] | None = None,
    permutations: int | None = None,
    most: int = MOST,
    role: Role = "certify",
    level: float = 0.95,
) -> pd.DataFrame:
    """Which layers, or effects, cost accuracy and make chips differ, and in which order.

    Parameters
    ----------
    setting : Setting
        Network, inputs, chip, evaluation time, number of chips and seed.
    of : {"layers", "effects"}
        What is compared. A layer that is not noisy is digital.
    measures : sequence of str, optional
        Of :data:`MEASURES`; all of them by default.
    groups : mapping of str to str, optional
        Groups of layers or effects: a name, and patterns with ``*`` and ``?``, separated by commas. What no
        pattern names is a group of its own.
    permutations : int, optional
        Estimate Shapley values from so many random orders with their reverses, each pair on chips of its
        own. By default all sets of up to 10 groups are run, and 50 pairs of orders of more.
    most : int
        Chips times inputs that may be evaluated.
    role : {"search", "certify"}
        As in :func:`reliability.simulate`.
    level : float
        Confidence of each interval by itself, and of all ranks of a measure together.

    Returns
    -------
    DataFrame
        One row a measure and group: ``group``, ``measure``, ``unit`` (a drop of accuracy, as a fraction, or a
        share of the variance between chips), ``value``, ``low``, ``high``, ``level``, ``method``, ``varies``,
        ``rank`` (1 is most to blame), ``rank_low``, ``rank_high``, ``resolved`` (empty for a single group)
        and ``devices`` (memory cells of the group's layers). Group ``"all"`` stands for all groups.

    Raises
    ------
    UserError
        If a setting is not allowed, nothing is noisy, all chips are equal where the variance is asked for, or
        more than ``most`` evaluations are needed.
    RunError
        If the chip without effects is not the digital network.
    """
    asked = question_of(setting, of, groups=groups, permutations=permutations, role=role, level=level)
    chosen = chosen_measures(asked, measures)
    runs = runs_of(asked, chosen)
    evaluations = sum(run.chips for run in runs) * len(setting.dataset)
    if evaluations > whole("most", most, 1, 2**63 - 1):
        raise UserError(
            f"{', '.join(chosen)} of {len(asked.groups)} {of} on {setting.chips} chips and "
            f"{len(setting.dataset)} inputs take {evaluations:,} evaluations, most = {most:,} are allowed: "
            f"take fewer chips, inputs, measures or groups, or allow more"
        )
    drops = _simulate(asked, runs)
    crossbars = _crossbars(setting)
    tables = [_table(asked, name, MEASURES[name].find(asked, drops), crossbars) for name in chosen]
    return pd.concat(tables, ignore_index=True)


def check_measures(measures: Sequence[str] | None) -> tuple[str, ...]:
    """The names of measures, all of them by default; a :class:`UserError` for one that there is not."""
    chosen = tuple(MEASURES if measures is None else dict.fromkeys(measures))
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown or not chosen:
        raise UserError(f"measures = {list(chosen)!r} must be some of {', '.join(MEASURES)}")
    return chosen


def chosen_measures(question: Question, measures: Sequence[str] | None) -> tuple[str, ...]:
    """The measures to take: those named, or all that can be taken of a question.

    Raises
    ------
    UserError
        If one is named that there is not, or that cannot be taken.
    """
    chosen = check_measures(measures)
    refused = {name: MEASURES[name].refuses(question) for name in chosen}
    if measures is None:
        return tuple(name for name in chosen if refused[name] is None)
    for name, reason in refused.items():
        if reason is not None:
            raise UserError(f"measure {name!r}: {reason}")
    return chosen


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
    chips = whole("chips", setting.chips, 3, 2**31)
    crossbars = _crossbars(setting)
    names = list(crossbars) if of == "layers" else list(effect_names(resolved(setting.chip)))
    if not names:
        wanted = "analog layers" if of == "layers" else "effects"
        raise UserError(f"the chip has no {wanted}: nothing is to blame")
    grouped = _grouped(names, groups or {}, of)
    if of == "layers":
        sources = _layer_draws(grouped, crossbars)
    else:
        observation_s, inputs = setting.chip.frozen_below_s, len(setting.dataset)
        sources = _effect_draws(grouped, crossbars, observation_s, inputs)
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


def runs_of(question: Question, measures: Iterable[str]) -> list[Run]:
    """All runs that some measures need, each once."""
    runs = dict.fromkeys(run for name in measures for run in MEASURES[name].runs(question))
    every = {run: run._replace(first=0, chips=question.chips) for run in runs}
    return [run for run in runs if every[run] == run or every[run] not in runs]


def _crossbars(setting: Setting) -> dict[str, Crossbar]:
    """The analog layers of a setting's chip."""
    chip = resolved(setting.chip)
    found = crossbars_of(chip_network(setting.network, chip), chip)
    return {name: crossbar for name, crossbar in found.items() if crossbar.settings.analog}


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


def _layer_draws(
    groups: Mapping[str, tuple[str, ...]], crossbars: Mapping[str, Crossbar]
) -> dict[str, Draws]:
    """Draws of each group of layers, and of the whole chip where it has some."""
    sources: dict[str, Draws] = {
        group: tuple((layer, "*") for layer in layers) for group, layers in groups.items()
    }
    shared = [name for name in ("wafer", "die") if _varies(crossbars, name)]
    return sources | ({WHOLE_CHIP: tuple(("", name) for name in shared)} if shared else {})


def _effect_draws(
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

    for effect, quantities in _DRAWS.items():
        for quantity in quantities if effect in group_of else ():
            if quantity not in ("wafer", "die") or _varies(crossbars, quantity):
                add(effect, quantity)
    causes: set[str] = set()
    for crossbar in crossbars.values():
        device = crossbar.settings.device
        assert device is not None
        for latent in (*device.program_latents, *device.time_latents):
            add(latent.name if latent.name in group_of else "programming", latent.name)
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


def _simulate(question: Question, runs: Sequence[Run]) -> Drops:
    """Simulate all runs."""
    setting = question.setting
    sweep = setting.simulation(chip=resolved(setting.chip), role=question.role)
    sweep.check_ideal()
    digital, is_right = float(sweep.reference.mean()), sweep.reference.dtype == bool
    drops: dict[Run, np.ndarray] = {}
    done = 0
    chips = sum(run.chips for run in runs)
    for run in runs:
        simulation = setting.simulation(
            chip=question.chip_of(run), seeds=question.seeds_of(run), role=question.role
        )
        found = []
        for first in range(run.first, run.first + run.chips, simulation.block_chips):
            count = min(simulation.block_chips, run.first + run.chips - first)
            found.append(simulation.block(0, first, count).scores[:, 0, 0])
            done += count
            if setting.progress:
                setting.progress(done, chips, f"{len(drops)} of {len(runs)} runs")
        drops[run] = digital - np.concatenate(found)
    return Drops(question, drops, is_right)


def _table(
    question: Question, measure: str, estimate: Estimate, crossbars: Mapping[str, Crossbar]
) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "group": estimate.groups,
            "measure": measure,
            "unit": MEASURES[measure].unit,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "level": question.level,
            "method": estimate.method,
            "varies": estimate.varies,
        }
    )
    ranks = pd.DataFrame({name: pd.NA for name in ("rank", "rank_low", "rank_high", "resolved")}, rows.index)
    if len(rows) > 1:
        ranks = ranking(estimate.value, estimate.contributions, question.level)
    for name in ("rank", "rank_low", "rank_high"):
        rows[name] = ranks[name].astype("Int64")
    rows["resolved"] = ranks["resolved"].astype("boolean")
    own = [
        question.groups[group] if question.of == "layers" and group in question.groups else crossbars
        for group in estimate.groups
    ]
    rows["devices"] = [sum(crossbars[name].devices for name in names) for names in own]
    return rows


def _of_chips(drops: Drops, groups: Sequence[str], values: np.ndarray, reach: float = 1.0) -> Estimate:
    """Means over chips of one value a chip and group, shape (groups, chips)."""
    bounds = (reach * drops.bounds[0], reach * drops.bounds[1])
    intervals = [chips_interval(row, drops.question.level, bounds) for row in values]
    return Estimate(
        tuple(groups),
        values.mean(axis=1),
        np.array([interval.low for interval in intervals]),
        np.array([interval.high for interval in intervals]),
        [_EQUAL if (row == row[0]).all() else "paired: Student t over chips" for row in values],
        CHIPS,
        values.T,
    )


def _of_shares(groups: Iterable[str], shares: Shares, estimator: str) -> Estimate:
    return Estimate(
        tuple(groups),
        shares.value,
        shares.low,
        shares.high,
        f"{estimator}, Fieller",
        CHIPS,
        shares.contributions,
    )


def _together(question: Question, drops: Drops) -> Estimate:
    return _of_chips(drops, [ALL], drops.noisy(question.everything)[np.newaxis])


def _run_together(question: Question) -> list[Run]:
    return [*question.noisy(0), *question.noisy(question.everything)]


def _one_noisy(question: Question, drops: Drops) -> Estimate:
    return _of_chips(drops, list(question.groups), _each_alone(question, drops))


def _each_alone(question: Question, drops: Drops) -> np.ndarray:
    return np.stack([drops.noisy(1 << g) for g in range(len(question.groups))])


def _run_one_noisy(question: Question) -> list[Run]:
    return [
        *question.noisy(0),
        *(run for g in range(len(question.groups)) for run in question.noisy(1 << g)),
    ]


def _interaction(question: Question, drops: Drops) -> Estimate:
    more = drops.noisy(question.everything) - _each_alone(question, drops).sum(axis=0)
    return _of_chips(drops, [ALL], more[np.newaxis], reach=1.0 + len(question.groups))


def _run_interaction(question: Question) -> list[Run]:
    return [*_run_one_noisy(question), *_run_together(question)]


def _all_but_one(question: Question, drops: Drops) -> Estimate:
    every = drops.noisy(question.everything)
    values = [every - drops.noisy(question.everything & ~(1 << g)) for g in range(len(question.groups))]
    return _of_chips(drops, list(question.groups), np.stack(values))


def _run_all_but_one(question: Question) -> list[Run]:
    sets = [question.everything & ~(1 << g) for g in range(len(question.groups))]
    return [*_run_together(question), *(run for groups in sets for run in question.noisy(groups))]


def _shapley(question: Question, drops: Drops) -> Estimate:
    if question.orders is None:
        values = np.stack([drops.noisy(groups) for groups in range(question.everything + 1)])
        return _of_chips(drops, list(question.groups), shapley_values(values))
    found = []
    for pair, first, count in question.blocks(question.orders):
        gains = [
            shares_of_order(order, np.stack([drops.noisy(groups, first, count) for groups in joined(order)]))
            for order in pair
        ]
        # Orders and chips are drawn anew in each block, so that both vary between the blocks.
        found.append(np.mean(gains, axis=(0, 2)))
    estimate = _of_chips(drops, list(question.groups), np.array(found).T)
    return _of_blocks(estimate, question.orders, count, "Student t")


def _of_blocks(estimate: Estimate, orders: np.ndarray, count: int, interval: str) -> Estimate:
    method = f"{interval} over {len(orders)} random orders with their reverses, {count} chips each"
    return replace(estimate, method=method, varies=f"orders and {CHIPS}")


def _run_shapley(question: Question) -> list[Run]:
    if question.orders is None:
        return [run for groups in range(question.everything + 1) for run in question.noisy(groups)]
    inner = [
        Run("noisy", groups, first, count)
        for pair, first, count in question.blocks(question.orders)
        for order in pair
        for groups in joined(order)[1:-1]
    ]
    return [*_run_together(question), *inner]


def _sobol_arrays(question: Question, drops: Drops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mixed = [drops.mixed(1 << g) for g in range(len(question.sources))]
    return drops.mixed(0), drops.mixed(question.every_source), np.stack(mixed)


def _sobol_first(question: Question, drops: Drops) -> Estimate:
    shares = first_order(*_sobol_arrays(question, drops), question.level)
    return _of_shares(question.sources, shares, "Saltelli, centred")


def _sobol_total(question: Question, drops: Drops) -> Estimate:
    shares = total(*_sobol_arrays(question, drops), question.level)
    return _of_shares(question.sources, shares, "Jansen")


def _run_sobol(question: Question) -> list[Run]:
    _check_sources(question)
    sets = dict.fromkeys([0, question.every_source, *(1 << g for g in range(len(question.sources)))])
    return [question.mixed(groups) for groups in sets]


def _shapley_effects(question: Question, drops: Drops) -> Estimate:
    if question.source_orders is None:
        mixed = np.stack([drops.mixed(groups) for groups in range(question.every_source + 1)])
        return _of_shares(question.sources, shapley_effects(mixed, question.level), "all sets")
    parts, wholes = [], []
    for pair, first, count in question.blocks(question.source_orders):
        mixed = np.stack([drops.mixed(groups, first, count) for groups in joined(pair[0])])
        part, variance = effects_of_order(pair[0], mixed)
        parts.append(part.mean(axis=1))
        wholes.append(variance.mean())
    estimate = _of_shares(question.sources, shares_of(np.array(parts), wholes, question.level), "")
    return _of_blocks(estimate, question.source_orders, count, "Fieller")


def _run_shapley_effects(question: Question) -> list[Run]:
    _check_sources(question)
    if question.source_orders is None:
        return [question.mixed(groups) for groups in range(question.every_source + 1)]
    inner = [
        Run("mixed", groups, first, count)
        for pair, first, count in question.blocks(question.source_orders)
        for groups in joined(pair[0])[1:-1]
    ]
    return [question.mixed(0), question.mixed(question.every_source), *inner]


def _check_sources(question: Question) -> None:
    if not question.sources:
        raise UserError("nothing is drawn for these chips, so that they do not differ: no variance to share")


def _refuses_analytic(question: Question) -> str | None:
    """Why there is no analytic network to derive."""
    if question.of != "layers":
        return "derivatives by variances are those of layers"
    if question.setting.metric != "top-1":
        return "the analytic network knows the metric top-1 only"
    try:
        for crossbar in _crossbars(question.setting).values():
            check_independent(crossbar)
    except UserError as error:
        return str(error)
    return None


def _refuses_curvature(question: Question) -> str | None:
    if question.setting.chip.mapping.batch_norm == "folded":
        return "second derivatives are those of the network's own weights: keep the batch norm digital"
    return _refuses_analytic(question)


def _exact(question: Question, values: Sequence[float], method: str) -> Estimate:
    """Values in which nothing varies."""
    found = np.array(values)
    return Estimate(tuple(question.groups), found, found, found, method, "nothing: computed", None)


def _analytic(question: Question, drops: Drops) -> Estimate:
    network = _analytic_network(question.setting)
    table = network.layer_table().set_index("layer")["slope"]
    values = [-sum(table[layer] for layer in layers) for layers in question.groups.values()]
    return _exact(question, values, network.check().describe())


def _curvature(question: Question, drops: Drops) -> Estimate:
    setting = question.setting
    network = chip_network(setting.network, resolved(setting.chip))
    # The loss of a test input, as the accuracy of the other measures is that of test inputs.
    x, labels = network.prepare(setting.dataset.x), np.asarray(setting.dataset.y)
    second = second_derivatives(network, x, labels)
    layers = {node.name: node.layer for node in network.weighted}
    noisy = _analytic_network(setting).layers
    values = []
    for members in question.groups.values():
        total = 0.0
        for name in members:
            layer, own = layers[name], noisy[name]
            assert isinstance(layer, Linear | Conv2d)
            variance = rolled(own.variance, layer, own.crossbar.source)
            total += 0.5 * float((variance * second[name]).sum())
        values.append(total)
    return _exact(question, values, "SWIM recursion")


@functools.lru_cache(maxsize=1)
def _analytic_network(setting: Setting) -> AnalyticNetwork:
    found = AnalyticNetwork(
        setting.network,
        setting.dataset,
        setting.chip,
        time_s=setting.time_s,
        calibration=setting.calibration,
        threads=setting.threads,
    )
    found.check()
    return found


MEASURES: dict[str, Measure] = {
    "together": Measure("all groups noisy", DROP, _together, _run_together),
    "one_noisy": Measure("one group noisy", DROP, _one_noisy, _run_one_noisy),
    "interaction": Measure(
        "all groups noisy, less the sum of one group noisy", DROP, _interaction, _run_interaction
    ),
    "all_but_one": Measure("what one group adds to all others", DROP, _all_but_one, _run_all_but_one),
    "shapley": Measure("Shapley value: what a group adds, over all orders", DROP, _shapley, _run_shapley),
    "sobol_first": Measure("first-order Sobol index", SHARE, _sobol_first, _run_sobol),
    "sobol_total": Measure("total Sobol index, with interactions", SHARE, _sobol_total, _run_sobol),
    "shapley_effects": Measure("Shapley effect: adds up to 1", SHARE, _shapley_effects, _run_shapley_effects),
    "analytic": Measure(
        "what a group's variances cost at the margin: -d accuracy / d ln variance",
        DROP,
        _analytic,
        refuses=_refuses_analytic,
    ),
    "curvature": Measure(
        "half the second derivatives of the loss times the variances, SWIM's recursion",
        LOSS,
        _curvature,
        refuses=_refuses_curvature,
    ),
}
"""The measures by name; one more is one more entry, with a function that gives an :class:`Estimate`."""
