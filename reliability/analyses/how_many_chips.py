"""How many chips and inputs a wanted interval takes at the least cost."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import bdtrc

from reliability.analyses.right_or_wrong import outcomes_of
from reliability.analysis import Analysis, Answer, Setting
from reliability.checks import check, is_number
from reliability.errors import UserError
from reliability.report import counted
from reliability.self_checks import check_ideal
from reliability.simulation import Simulation
from reliability.statistics.components import METHOD, Component, variance_components
from reliability.statistics.interval import CHIPS, CHIPS_AND_INPUTS
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.planning import (
    MOST_CHIPS,
    Cost,
    Plan,
    Split,
    cheapest,
    chips_half_width,
    enough_chips,
    fewest_chips,
    half_width,
    inputs_needed,
)

# Rounds of timing: at least so many, and more until they have taken so long.
_FEWEST_ROUNDS, _MOST_ROUNDS, _ROUNDS_S = 7, 60, 1.5
_FEWEST_QUIET = 5
# A block of chips that is timed takes at least so long, so that what a call costs is next to nothing.
_BLOCK_S = 0.01
_LEVEL = 0.95
# Stands for the time of an input that is not told from 0: plans need one.
_NO_TIME_S = 1e-12
_FEWEST_CHIPS = 3
_FEWEST_INPUTS = 8
_GRID = 40


@dataclass(frozen=True)
class HowManyChips(Analysis):
    """Split the variance on a pilot of the chips asked for, time the simulator, and plan.

    Parameters
    ----------
    half_widths : tuple of float
        Wanted half widths of 95 % intervals, fractions (0.01 is one point).
    """

    half_widths: tuple[float, ...] = (0.01, 0.005, 0.002, 0.001)

    def __post_init__(self) -> None:
        widths = self.half_widths
        allowed = "a list of numbers between 0 and 1"
        good = isinstance(widths, tuple | list) and len(widths) > 0
        check(good and all(is_number(w, 1e-9, 1) for w in widths), "analysis.half_widths", widths, allowed)

    def plan(self, setting: Setting) -> str:
        """A pilot, and the time of the simulator at two numbers of inputs."""
        return (
            f"a pilot of {setting.chips} chips on {len(setting.dataset)} inputs splits the variance; the "
            f"simulator is timed on all and on a quarter of the inputs"
        )

    def answer(self, setting: Setting) -> Answer:
        """Tables ``split``, ``cost``, ``plans`` and ``half_widths``; contours of the last."""
        from reliability.plots.how_many_chips import width_contours

        if setting.chips < _FEWEST_CHIPS or len(setting.dataset) < _FEWEST_INPUTS:
            raise UserError(
                f"The pilot has {setting.chips} chips on {len(setting.dataset)} inputs; at least "
                f"{_FEWEST_CHIPS} chips on {_FEWEST_INPUTS} inputs are needed to split the variance."
            )
        simulation = setting.simulation()
        check_ideal(simulation)
        outcomes, reference = _pilot(simulation, setting)
        parts = {
            "mean": variance_components([outcomes]),
            "drop": variance_components([outcomes], reference),
        }
        cost, costs = _measure_cost(simulation, setting)
        split = pd.DataFrame([row for name in parts for row in _split_rows(name, parts[name], outcomes)])
        plans = pd.DataFrame(
            [
                row
                for name, found in parts.items()
                for wanted in sorted(self.half_widths, reverse=True)
                for row in _plan_rows(name, found, cost, wanted, outcomes.inputs)
            ]
        )
        most = 4 * int(max(setting.chips, plans["chips"].fillna(0).max()))
        widths = pd.concat(
            [_grid(name, Split.of(found), most, outcomes.inputs) for name, found in parts.items()]
        )
        tables = {"split": split, "cost": costs, "plans": plans, "half_widths": widths}
        return Answer(tables, _text(split, costs, plans), lambda: width_contours(widths, plans))


def _pilot(simulation: Simulation, setting: Setting) -> tuple[Outcomes, Outcomes]:
    """Outcomes of the pilot's chips, and of the digital network."""

    def watch(done: int) -> None:
        if setting.progress:
            setting.progress(done, setting.chips, "pilot")

    outcomes = outcomes_of(simulation, setting, "the variance of a mean over inputs is split for", watch)
    return outcomes, Outcomes(np.packbits(simulation.reference)[np.newaxis], outcomes.inputs)


def _measure_cost(simulation: Simulation, setting: Setting) -> tuple[Cost, pd.DataFrame]:
    """Seconds a chip and a chip and input: a line through the shortest times at two numbers of inputs.

    The two are timed in turn, so that what else the machine does slows both. An input takes no time where
    more inputs took longer in no more of the quiet rounds than chance allows (sign test).
    """
    many = len(setting.dataset)
    few = max(many // 4, 1)
    sweeps = (simulation, setting.simulation(dataset=setting.dataset.head(few)))
    chips = _timed_chips(simulation, sweeps)
    rounds: list[tuple[float, float]] = []
    begun = time.perf_counter()
    while len(rounds) < _FEWEST_ROUNDS or (
        len(rounds) < _MOST_ROUNDS and time.perf_counter() - begun < _ROUNDS_S
    ):
        at_many, at_few = (_seconds_of(sweep, chips) / chips for sweep in sweeps)
        rounds.append((at_many, at_few))
    seconds = np.array(rounds)
    best = _line(seconds.min(axis=0), many, few)
    quiet = seconds[np.argsort(seconds.sum(axis=1))[: max(_FEWEST_QUIET, len(seconds) // 2)]]
    longer = int((quiet[:, 0] > quiet[:, 1]).sum())
    if not best[1] > 0 or bdtrc(longer - 1, len(quiet), 0.5) > 1 - _LEVEL:
        best = float(seconds[:, 0].min()), 0.0
    others = np.array([_line(each, many, few) for each in seconds])
    rows = []
    for k, quantity in enumerate(("seconds a chip", "seconds a chip and input")):
        rows.append(
            {
                "quantity": quantity,
                "value": best[k],
                "low": min(best[k], others[:, k].min()),
                "high": max(best[k], others[:, k].max()),
                "level": math.nan,
                "method": f"shortest of {len(seconds)} times of {chips} chips; range of all",
                "varies": "repeated timing",
                "threads": simulation.threads,
            }
        )
    return Cost(best[0], max(best[1], _NO_TIME_S)), pd.DataFrame(rows)


def _line(seconds: np.ndarray, many: int, few: int) -> tuple[float, float]:
    """Seconds a chip and a chip and input, from seconds a chip at two numbers of inputs."""
    at_many, at_few = seconds.tolist()
    slope = max((at_many - at_few) / (many - few), 0.0)
    return max(at_many - slope * many, 0.0), slope


def _timed_chips(simulation: Simulation, sweeps: Sequence[Simulation]) -> int:
    """How many chips are timed at once; their kernels are compiled by then."""
    chips = 4 * simulation.threads
    for sweep in sweeps:
        sweep.block(0, 0, chips)
    # The least of three, as one that something else delayed would seem long enough.
    while (
        2 * chips <= simulation.block_chips
        and min(_seconds_of(simulation, chips) for _ in range(3)) < _BLOCK_S
    ):
        chips *= 2
    return chips


def _seconds_of(simulation: Simulation, chips: int) -> float:
    start = time.perf_counter()
    simulation.block(0, 0, chips)
    return time.perf_counter() - start


def _split_rows(name: str, parts: Sequence[Component], outcomes: Outcomes) -> list[dict[str, Any]]:
    return [
        {
            "estimand": f"variance_{part.name}",
            "of": name,
            "value": part.value,
            "low": part.interval.low,
            "high": part.interval.high,
            "level": 0.95,
            "varies": CHIPS_AND_INPUTS,
            "method": METHOD,
            "chips": outcomes.chips,
            "inputs": outcomes.inputs,
        }
        for part in parts
    ]


def _plan_rows(
    name: str, parts: Sequence[Component], cost: Cost, wanted: float, inputs: int
) -> list[dict[str, Any]]:
    """The cheapest plan for a wanted half width, over chips and inputs and on these inputs."""
    splits = [Split.of(parts, end) for end in ("value", "low", "high")]
    over_both = [cheapest(split, cost, wanted, inputs) for split in splits]
    on_these = [_all_inputs(split, cost, wanted, inputs) for split in splits]
    rows = []
    for varies, plans in ((CHIPS, on_these), (CHIPS_AND_INPUTS, over_both)):
        plan, low, high = plans
        rows.append(
            {
                "estimand": "seconds",
                "of": name,
                "half_width": wanted,
                "varies": varies,
                "chips": math.nan if plan is None else plan.chips,
                "inputs": math.nan if plan is None else plan.inputs,
                "value": math.inf if plan is None else plan.seconds,
                "low": math.inf if low is None else low.seconds,
                "high": math.inf if high is None else high.seconds,
                "level": 0.95,
                "method": "cheapest plan; interval from the ends of the variances' intervals",
                "inputs_needed": inputs_needed(splits[0], wanted) if varies == CHIPS_AND_INPUTS else inputs,
                "enough_chips": enough_chips(splits[0], inputs) if varies == CHIPS_AND_INPUTS else math.inf,
                "all_inputs": inputs,
            }
        )
    return rows


def _all_inputs(split: Split, cost: Cost, wanted: float, inputs: int) -> Plan | None:
    """The fewest chips where all these inputs, and only these, are asked about."""
    chips = int(fewest_chips(split, inputs, wanted, fixed=True)[0])
    if chips >= MOST_CHIPS:
        return None
    found = float(chips_half_width(split, chips, inputs))
    return Plan(chips, inputs, found, float(cost.seconds(chips, inputs)))


def _grid(name: str, split: Split, most_chips: int, most_inputs: int) -> pd.DataFrame:
    """Half width over a grid of chips and inputs, up to four times as many inputs as there are."""
    chips = np.unique(np.geomspace(5, most_chips, _GRID).round().astype(int))
    inputs = np.unique(np.geomspace(20, 4 * most_inputs, _GRID).round().astype(int))
    columns, rows = np.meshgrid(chips, inputs)
    return pd.DataFrame(
        {
            "of": name,
            "chips": columns.ravel(),
            "inputs": rows.ravel(),
            "half_width": half_width(split, columns, rows).ravel(),
        }
    )


def _text(split: pd.DataFrame, costs: pd.DataFrame, plans: pd.DataFrame) -> str:
    """What was found, on at most 100 columns."""
    first = split.iloc[0]
    lines = [
        f"Pilot: {first['chips']} chips on {first['inputs']} inputs. Standard deviations in points, that "
        f"single outcomes",
        "owe to chips, inputs and both together; brackets hold 95 % intervals.",
        "",
        f"{'of':6} {'chips':>22} {'inputs':>24} {'both':>24}",
    ]
    for name in ("mean", "drop"):
        own = split[split["of"] == name]
        cells = [
            f"{100 * math.sqrt(r['value']):.3g} [{100 * math.sqrt(r['low']):.3g}, "
            f"{100 * math.sqrt(r['high']):.3g}]"
            for _, r in own.iterrows()
        ]
        lines.append(f"{name:6} {cells[0]:>22} {cells[1]:>24} {cells[2]:>24}")
    lines += ["", _cost_line(costs, int(first["inputs"])), ""]
    # Where chips are all alike one tells as much as any number; the inputs of a plan may count still.
    values = {name: own["value"].to_numpy() for name, own in split.groupby("of", sort=False)}
    alike = [name for name, (chip, _, both) in values.items() if chip == both == 0]
    equal = [name for name, parts in values.items() if not parts.any()]
    shown = plans[~(plans["of"].isin(alike) & (plans["varies"] == CHIPS)) & ~plans["of"].isin(equal)]
    if len(shown):
        lines.append(f"{'of':6} {'+- points':>9} {'varies':20} {'chips':>8} {'inputs':>8}  {'time':20}")
    for _, row in shown.iterrows():
        wanted = f"{100 * row['half_width']:g}"
        head = f"{row['of']:6} {wanted:>9} {row['varies']:20}"
        if math.isfinite(row["value"]):
            span = f"{_seconds(row['value'])} [{_seconds(row['low'])}, {_seconds(row['high'])}]"
            lines.append(f"{head} {int(row['chips']):>8} {int(row['inputs']):>8}  {span}")
        else:
            lines.append(
                f"{head} out of reach: needs {int(row['inputs_needed'])} inputs, there are "
                f"{int(row['all_inputs'])}"
            )
    for name in ("mean", "drop"):
        row = plans[(plans["of"] == name) & (plans["varies"] == CHIPS_AND_INPUTS)].iloc[0]
        if name not in alike and math.isfinite(row["enough_chips"]):
            lines += [
                "",
                f"Over chips and inputs, more than {counted(math.ceil(row['enough_chips']), 'chip')} on all "
                f"{int(row['all_inputs'])} inputs gain next to nothing for the {name}.",
            ]
    if alike:
        lines += [
            "",
            "The pilot's chips do not differ on any input: a second chip tells nothing new about the",
            f"{' and the '.join(map(str, alike))}.",
        ]
    return "\n".join(lines)


def _cost_line(costs: pd.DataFrame, inputs: int) -> str:
    chip_s, input_s = costs["value"]
    threads = counted(int(costs["threads"].iloc[0]), "thread")
    if input_s == 0:
        return (
            f"A chip takes {1e3 * chip_s:.3g} ms on all {inputs} inputs, on {threads}; the time of an input "
            f"is not told from 0."
        )
    return f"A chip takes {1e3 * chip_s:.3g} ms and {1e6 * input_s:.3g} us an input, on {threads}."


def _seconds(seconds: float) -> str:
    if math.isinf(seconds):
        return "never"
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.3g} min"
