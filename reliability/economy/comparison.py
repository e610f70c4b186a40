"""What an estimate cost, beside plain Monte Carlo."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import fdtri

from reliability.analytic import Check
from reliability.simulation import Simulation
from reliability.statistics.controlled import Controlled
from reliability.statistics.interval import CHIPS

_TIMED = 16
# Standard errors by which the estimate and the plain one may differ.
_AGREES = 3.0


@dataclass(frozen=True)
class Economy:
    """What an estimate cost, against plain Monte Carlo on the same inputs with an interval as wide.

    Attributes
    ----------
    table : DataFrame
        Two rows, the estimate and the plain one from the chips of the analytic network's check:
        ``estimand``, ``value``, ``low``, ``high``, ``level``, ``method``, ``varies``, ``chips``,
        ``evaluations`` (chips times inputs), ``seconds`` (without the surrogate and its check); of the first
        also ``gain`` (plain evaluations over its own, at equal width, with ``gain_low``, ``gain_high``),
        ``gain_seconds`` (the same of time) and ``agrees`` (whether the two estimates differ by at most three
        standard errors of their difference).
    check : Check
        The analytic network beside its simulated chips.
    """

    table: pd.DataFrame
    check: Check

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.table["value"].iloc[0])


def row(estimand: str, found: Controlled, method: str, level: float) -> dict[str, Any]:
    """What an estimate says, as the start of its row."""
    return {
        "estimand": estimand,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "level": level,
        "method": method,
        "varies": CHIPS,
        "error": found.error,
    }


def seconds_a_chip(simulation: Simulation) -> float:
    """What plain Monte Carlo takes for a chip on all inputs."""
    simulation.evaluate(0, np.arange(2))
    start = time.perf_counter()
    simulation.evaluate(0, np.arange(_TIMED))
    return (time.perf_counter() - start) / _TIMED


def against(
    own: dict[str, Any],
    found: Controlled,
    plain: dict[str, Any],
    variance: float,
    total: int,
    seen: int,
    seconds_a_chip: float,
) -> pd.DataFrame:
    """Both rows, with what plain Monte Carlo would have evaluated for an interval as wide."""
    plain = plain | {"chips": seen, "evaluations": seen * total, "inputs_per_chip": total}
    chips = variance / found.error**2 if found.error > 0 else math.inf
    gain = chips * total / own["evaluations"]
    # Both variances are estimates.
    ratio = fdtri(seen - 1, max(found.df, 1), [0.5 + own["level"] / 2, 0.5 - own["level"] / 2])
    own = own | {"gain": gain, "gain_low": gain / ratio[0], "gain_high": gain / ratio[1]}
    apart, joint = own["value"] - plain["value"], math.hypot(own["error"], plain["error"])
    own["agrees"] = abs(apart) <= _AGREES * joint
    own["gain_seconds"] = chips * seconds_a_chip / own["seconds"]
    return pd.DataFrame([own, plain])
