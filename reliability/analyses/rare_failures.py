"""How rarely a chip fails, down to one in a million."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.errors import UserError
from reliability.plots.rare_failures import failure_probability
from reliability.rare import CHIPS_OF_STAGE, find_rare_failures
from reliability.settings import whole
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.interval import CHIPS
from reliability.statistics.order import quantile_interval

_LEVEL = 0.95


@dataclass(frozen=True)
class Tail(Analysis):
    """Probability that a chip falls short of each accuracy, and the chips that few are worse than.

    ``chips`` of the setting are simulated plainly: they give the percentile chips, and check subset
    simulation as far as they reach.

    Parameters
    ----------
    chips_of_stage : int
        Chips of each stage of the subset simulation.
    percentiles : tuple of float
        Percentages of chips.
    """

    chips_of_stage: int = CHIPS_OF_STAGE
    percentiles: tuple[float, ...] = (1.0, 5.0)

    def __post_init__(self) -> None:
        whole("chips_of_stage", self.chips_of_stage, 1000, 2**31)
        for percentile in self.percentiles:
            if not 0 < percentile < 100:
                raise UserError(f"percentiles hold {percentile:g}; each must lie between 0 and 100")

    def plan(self, setting: Setting) -> str:
        """Chips of both simulations."""
        return (
            f"{setting.chips} chips by plain Monte Carlo, and stages of {self.chips_of_stage} chips down to "
            f"the target; a probability of 1e-6 takes about {round(6.4 * self.chips_of_stage)}"
        )

    def answer(self, setting: Setting) -> Answer:
        """Simulate chips plainly, then walk to the rare ones."""
        simulation = setting.simulation()
        inputs = len(simulation.labels)
        target = setting.target
        if target is None:
            target = max(float(simulation.reference.mean()) - 0.01, 1 / inputs)
        found = find_rare_failures(simulation, target, chips=self.chips_of_stage, progress=setting.progress)
        failures = found.table(_LEVEL)
        scores = simulation.observe(0, setting.chips).scores.ravel()
        correct = np.rint(scores * inputs).astype(np.int64)
        plain = _plain(correct, failures, inputs)
        percentiles = _percentiles(correct, inputs, self.percentiles)
        tables = {"failures": failures, "plain": plain, "percentiles": percentiles, "stages": found.stages()}
        draw = partial(failure_probability, failures, plain)
        return Answer(tables, _text(failures, plain, percentiles), draw)


def _plain(correct: np.ndarray, failures: pd.DataFrame, inputs: int) -> pd.DataFrame:
    """Of the chips of plain Monte Carlo, the share that falls short of each accuracy."""
    rows = []
    for target, required in zip(failures["target"], failures["required"], strict=True):
        failed = int(np.count_nonzero(correct < required))
        low, high = clopper_pearson(failed, correct.size, _LEVEL)
        row = {
            "target": target,
            "required": required,
            "value": failed / correct.size,
            "low": low,
            "high": high,
        }
        row |= {
            "level": _LEVEL,
            "varies": CHIPS,
            "method": "plain Monte Carlo, Clopper-Pearson",
            "failed": failed,
        }
        rows.append(row | {"chips": correct.size, "inputs": inputs})
    return pd.DataFrame(rows)


def _percentiles(correct: np.ndarray, inputs: int, percentiles: tuple[float, ...]) -> pd.DataFrame:
    """Accuracies that given percentages of chips fall below, with distribution-free intervals."""
    rows = []
    for percentile in sorted(percentiles):
        value, low, high = quantile_interval(correct / inputs, percentile / 100, _LEVEL)
        row: dict[str, Any] = {
            "percentile": percentile,
            "value": value,
            "low": low,
            "high": high,
            "level": _LEVEL,
        }
        row |= {"varies": CHIPS, "method": "order statistics"}
        rows.append(row | {"chips": correct.size, "inputs": inputs})
    return pd.DataFrame(rows)


def _text(failures: pd.DataFrame, plain: pd.DataFrame, percentiles: pd.DataFrame) -> str:
    rare, seen = failures.iloc[-1], plain.iloc[-1]
    error = np.log(rare["high"] / rare["low"]) / (2 * 1.96) if rare["value"] > 0 else np.nan
    needed = (1 - rare["value"]) / (rare["value"] * error**2) if error > 0 else np.nan
    lines = [
        f"Chips that get fewer than {rare['required']} of {rare['inputs']} inputs right "
        f"(accuracy below {rare['target']:.4f}):",
        f"  {'method':36} {'chips':>9}  {'P':>9}  95 % interval (over chips)",
    ]
    lines += [
        f"  {row['method']:36} {row['chips']:9d}  {row['value']:9.2e}  {row['low']:.2e} to {row['high']:.2e}"
        for row in (rare, seen)
    ]
    if np.isfinite(needed):
        lines.append(f"Plain Monte Carlo would need {needed:.1e} chips for so narrow an interval.")
    both = plain["failed"] > 0
    agree = ((failures["low"] <= plain["high"]) & (plain["low"] <= failures["high"]))[both]
    lines.append(
        f"The two intervals overlap at {int(agree.sum())} of the {int(both.sum())} accuracies that plain "
        f"Monte Carlo saw a chip fall below."
    )
    lines += [
        f"{row['percentile']:g} % of chips are at or below {row['value']:.4f} ({row['low']:.4f} to "
        f"{row['high']:.4f}, {row['chips']} chips by plain Monte Carlo)"
        for _, row in percentiles.iterrows()
    ]
    return "\n".join(lines)
