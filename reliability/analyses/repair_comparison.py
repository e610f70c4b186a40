"""Which repair regains what broken cells cost, and what it takes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from reliability.analyses.right_or_wrong import outcomes_of
from reliability.analysis import Analysis, Answer, Setting
from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.effects import effect_names, resolved
from reliability.errors import UserError
from reliability.mitigation.repair_counts import repair_counts
from reliability.mitigation.repair_outcomes import repair_outcomes
from reliability.repair import Repair
from reliability.self_checks import check_ideal
from reliability.simulation import Simulation
from reliability.statistics.crossed import (
    crossed_mean,
    population_interval,
    population_method,
    sums_of_difference,
)
from reliability.statistics.interval import CHIPS, CHIPS_AND_INPUTS
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.regained import FIELLER, regained_share
from reliability.statistics.simultaneous import bonferroni_level

_BROKEN = ("faults", "wear")
_LEVEL = 0.95
_COUNTED = 4
"""Chips whose stored words are counted."""


def usual_repairs() -> dict[str, Repair]:
    """Each repair alone, in several sizes, and what goes together."""
    rows = {f"spare rows {s:.0%}": Repair(spare_rows=s) for s in (0.05, 0.1, 0.2)}
    columns = {f"spare columns {s:.0%}": Repair(spare_columns=s) for s in (0.05, 0.1, 0.2)}
    digital = {f"digital {s:.0%}": Repair(digital=s) for s in (0.01, 0.02, 0.05)}
    both = Repair(in_pair=True, remap_rows=True)
    return {
        "in pair": Repair(in_pair=True),
        "remapped": Repair(remap_rows=True),
        **rows,
        **columns,
        **digital,
        "digital, all": Repair(digital="faulty"),
        "remapped + spare rows 10%": Repair(remap_rows=True, spare_rows=0.1),
        "in pair + spare rows 10%": Repair(in_pair=True, spare_rows=0.1),
        "in pair + digital 1%": Repair(in_pair=True, digital=0.01),
        "in pair + digital 2%": Repair(in_pair=True, digital=0.02),
        "in pair + remapped": both,
        "in pair + remapped + spare rows 5%": replace(both, spare_rows=0.05),
        "in pair + remapped + spare rows 10%": replace(both, spare_rows=0.1),
        "in pair + remapped + digital 1%": replace(both, digital=0.01),
    }


@dataclass(frozen=True)
class RepairComparison(Analysis):
    """The share of the lost accuracy that each repair regains on the same chips, and its cost.

    Parameters
    ----------
    repairs : mapping of str to Repair
        By name.
    regains : float
        Share of the loss that the cheapest repair to be named must regain.
    weigh_inputs : bool
        Whether all of them count errors times the mean square of their input on training inputs.
    cells_per_bit : float
        What a stored bit, of words and of the places of rows and columns, counts in cells in the price. The
        default is that of SRAM of 5 um**2 for 16 bits against cells of 0.05 um**2, both assumed.
    """

    repairs: Mapping[str, Repair] = field(default_factory=usual_repairs)
    regains: float = 0.9
    weigh_inputs: bool = True
    cells_per_bit: float = 6.25

    def __post_init__(self) -> None:
        check(len(self.repairs) > 0, "analysis.repairs", dict(self.repairs), "at least one repair")
        check(is_number(self.regains, 0, 1), "analysis.regains", self.regains, "a share from 0 to 1")
        good = is_number(self.cells_per_bit, 0, 1e9)
        check(good, "analysis.cells_per_bit", self.cells_per_bit, "a number from 0 to 1e9")

    def plan(self, setting: Setting) -> str:
        """Chips and conditions."""
        return (
            f"{setting.chips} common chips x {len(setting.dataset)} inputs: healthy, broken, and with "
            f"{len(self.repairs)} repairs"
        )

    def answer(self, setting: Setting) -> Answer:
        """Table ``repairs``: what each regains, on other chips and on other inputs too, and what it takes."""
        broken = [name for name in effect_names(resolved(setting.chip)) if name in _BROKEN]
        if not broken:
            raise UserError("chip.faults breaks no cell, so that there is nothing to repair")
        chip = replace(resolved(setting.chip), repair=Repair())
        chips = {
            "healthy": replace(chip, effects=f"all but {', '.join(broken)}"),
            "broken": chip,
            **{name: replace(chip, repair=self._own(repair)) for name, repair in self.repairs.items()},
        }
        check_ideal(setting.simulation())
        outcomes, counts = {}, {}
        for done, (name, own) in enumerate(chips.items()):
            simulation = setting.simulation(chip=own)
            outcomes[name] = _outcomes(simulation, setting, done, len(chips), name)
            if name in self.repairs:
                counts[name] = self._counts(simulation, setting, own)
        table = self._table(outcomes, counts)
        from reliability.plots.repairs import regained_dots

        return Answer({"repairs": table}, self._text(table), lambda: regained_dots(table, self.regains))

    def _own(self, repair: Repair) -> Repair:
        return replace(repair, weigh_inputs=repair.weigh_inputs or self.weigh_inputs)

    def _counts(self, simulation: Simulation, setting: Setting, chip: Chip) -> dict[str, float]:
        """What a repair takes, summed over the layers; words as counted on some of the chips."""
        listed = repair_counts(setting.network, chip)
        found = repair_outcomes(
            setting.network, chip, chips=min(setting.chips, _COUNTED), seed=setting.seed,
            powers=simulation.calibrator.row_powers(chip),
        )  # fmt: skip
        mean = found.groupby("chip")[["words", "operations", "before", "after"]].sum().mean()
        words = found.groupby("layer")["words"].mean()
        bits = float(listed["moved_bits"].sum())
        bits += float((listed.set_index("layer")["word_bits"] * words).sum())
        spare = float(listed["spare_cells"].sum())
        return {
            "error_left": float(mean["after"] / mean["before"]),
            "cells": float(listed["cells"].sum()),
            "spare_cells": spare,
            "moved": float(listed["moved"].sum()),
            "words": float(mean["words"]),
            "operations": float(mean["operations"]),
            "bits": bits,
            "price": spare + self.cells_per_bit * bits,
        }

    def _table(self, outcomes: dict[str, Outcomes], counts: dict[str, dict[str, float]]) -> pd.DataFrame:
        healthy, broken = outcomes["healthy"], outcomes["broken"]
        rows: list[dict[str, Any]] = []
        joint = bonferroni_level(len(counts), _LEVEL)
        for name in ("broken", *counts):
            crossed = crossed_mean(sums_of_difference(healthy, outcomes[name]))
            low, high = population_interval(crossed, _LEVEL)
            sizes = {"chips": healthy.chips, "inputs": healthy.inputs}
            method = population_method(crossed)
            about = {"level": _LEVEL, "varies": CHIPS_AND_INPUTS, "method": method, **sizes}
            own = counts.get(name, {})
            rows.append(
                {
                    "repair": name,
                    "estimand": "lost",
                    "value": crossed.mean,
                    "low": low,
                    "high": high,
                    **about,
                    **own,
                }
            )
            if name == "broken":
                continue
            found = regained_share(healthy, broken, outcomes[name], _LEVEL)
            every = regained_share(healthy, broken, outcomes[name], joint)
            for varies, (low, high), (low_all, high_all) in (
                (CHIPS, found.of_chips, every.of_chips),
                (CHIPS_AND_INPUTS, found.of_both, every.of_both),
            ):
                about = {"level": _LEVEL, "varies": varies, "method": FIELLER, **sizes}
                ends = {"low": low, "high": high, "low_all": low_all, "high_all": high_all}
                rows.append(
                    {"repair": name, "estimand": "regained", "value": found.value, **ends, **about, **own}
                )
        return pd.DataFrame(rows)

    def _text(self, table: pd.DataFrame) -> str:
        width = max(len(name) for name in table["repair"])
        lost = table[table["estimand"] == "lost"].set_index("repair")
        found = table[(table["estimand"] == "regained") & (table["varies"] == CHIPS)].set_index("repair")
        of_broken = lost.loc["broken"]
        cost, low, high = (100 * of_broken[name] for name in ("value", "low", "high"))
        lines = [
            f"broken cells cost {cost:.2f} points [{low:.2f}, {high:.2f}] ({CHIPS_AND_INPUTS})",
            f"{'':{width}}    regained, %         error  spares   words    adds    kbit",
        ]
        for name, row in found.iterrows():
            value, low, high = (100 * row[end] for end in ("value", "low", "high"))
            lines.append(
                f"{name:{width}} {f'{value:7.1f} [{low:.1f}, {high:.1f}]':22} {row['error_left']:6.4f} "
                f"{row['spare_cells'] / row['cells']:7.1%} {row['words']:7.0f} {row['operations']:7.1e} "
                f"{row['bits'] / 1000:7.2f}"
            )
        lines.append(
            "(error: sum of squared weight errors left of the broken cells'; adds: multiply-adds an input;"
        )
        lines.append("kbit: words with their places, and the places of rows and columns)")
        return "\n".join([*lines, "", *textwrap.wrap(self.verdict(table), 100)])

    def verdict(self, table: pd.DataFrame) -> str:
        """The cheapest repair that surely regains enough, or the best that there is, in a sentence.

        The price counts spare cells and stored bits, not the operations.
        """
        found = table[(table["estimand"] == "regained") & (table["varies"] == CHIPS)]
        sure = found[found["low_all"] >= self.regains].sort_values(
            ["price", "value"], ascending=[True, False]
        )
        level = f"{_LEVEL:.0%} joint confidence over {len(found)} repairs, chips vary, these inputs"
        if len(sure):
            best = sure.iloc[0]
            return (
                f"The cheapest repair that regains at least {self.regains:.0%} of what broken cells cost is "
                f"{best['repair']!r}: {100 * best['value']:.1f} % (at least {100 * best['low_all']:.1f} % at "
                f"{level}), for {best['spare_cells']:.0f} spare cells, {best['moved']:.0f} kept places "
                f"and {best['words']:.0f} words with {best['operations']:.0f} multiply-adds an input, "
                f"{best['bits'] / 1000:.1f} kbit in all. "
                f"Fault-aware training is not among the repairs."
            )
        best = found.sort_values("value").iloc[-1]
        return (
            f"No repair surely regains {self.regains:.0%} of what broken cells cost; the best is "
            f"{best['repair']!r} with {100 * best['value']:.1f} % [{100 * best['low_all']:.1f}, "
            f"{100 * best['high_all']:.1f}] ({level}). Fault-aware training is not among the repairs."
        )


def _outcomes(simulation: Simulation, setting: Setting, done: int, conditions: int, name: str) -> Outcomes:
    """Which inputs the chips get right."""

    def watch(chips: int) -> None:
        if setting.progress:
            setting.progress(done * setting.chips + chips, conditions * setting.chips, name)

    return outcomes_of(simulation, setting, "repairs are compared by", watch)
