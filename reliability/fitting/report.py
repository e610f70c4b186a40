"""The parameters of a fit with their intervals, and what to know about them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from reliability.fitting.choice import Choice
from reliability.fitting.curves import LawValues
from reliability.fitting.reading import Measurements
from reliability.fitting.states import Moments, Reference, States
from reliability.fitting.trajectories import Trajectories
from reliability.statistics.binomial import wilson

_MANY_OUTLIERS = 0.05


def parameters(
    states: States,
    found: Moments,
    law: LawValues,
    choice: Choice,
    reference: Reference,
    wrong: np.ndarray,
    data: Trajectories,
    measurement: str,
    level: float,
) -> pd.DataFrame:
    """Every parameter with its bootstrap interval: see :meth:`reliability.fitting.DeviceFit.table`."""
    included = "with the spread of the measurement" if measurement == "included" else ""
    spread = np.sqrt(np.maximum(found.variance - found.foreign, 0.0))
    by_state = {
        "mean_us": (found.mean_us, "at the reference read"),
        "sigma_us": (spread, f"at the reference read {included}".strip()),
        "programming_us": (law.sigma_us, "before the clamp at zero" + (included and f", {included}")),
        "drift": (found.drift, "exponent, mean over devices"),
        "drift_spread": (found.drift_spread, "exponent, standard deviation over devices"),
        "fluctuation_us": (law.fluctuation_us, f"at the reference read {included}".strip()),
    }
    if np.isfinite(found.fluctuation).any() and included:
        by_state["programming_us"] = (law.sigma_us, "before the clamp at zero")
    tails = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for name, (values, note) in by_state.items():
        for k, target in enumerate(states.g_target_us):
            low, high = math.nan, math.nan
            if np.isfinite(values[0, k]):
                low, high = np.nanquantile(values[1:, k], tails)
            rows.append((name, target, values[0, k], low, high, note))
    if choice.residual.distribution != "normal":
        note = f"of the {choice.residual.distribution.replace('_', ' ')} residual"
        rows.append(("shape", math.nan, choice.residual.shape, math.nan, math.nan, note))
    readings = np.isfinite(data.g_us)
    present = np.isfinite(reference.offset_us)
    for name, part, whole, note in (
        ("wrong_readings", wrong, readings, "share far off their device's course"),
        ("outlying_devices", present & ~reference.inside, present, "share far from their state's median"),
    ):
        part, whole = int(part.sum()), int(whole.sum())
        low, high = wilson(part, whole, level)
        rows.append((name, math.nan, part / whole, low, high, note))
    return pd.DataFrame(rows, columns=["parameter", "g_target_us", "value", "low", "high", "note"])


class Note(NamedTuple):
    """What to know about a fit, and the field of the law that it concerns (none if empty)."""

    field: str
    text: str


def notes_on(
    rows: Measurements,
    data: Trajectories,
    states: States,
    found: Moments,
    reference: Reference,
    wrong: np.ndarray,
    measurement: str,
) -> tuple[Note, ...]:
    """What to know before the law is believed."""
    notes = []
    if measurement == "included":
        fluctuates = np.isfinite(found.fluctuation[0]).any()
        what = "sigma and the fluctuation include" if fluctuates else "sigma includes"
        text = (
            f"{what} the spread of the measurement: no reading was repeated, and neither measurement_us nor "
            f"g_sd_us was given"
        )
        notes.append(Note("fluctuation_us" if fluctuates else "sigma_us", text))
    if not np.isfinite(found.fluctuation[0]).any():
        text = (
            "programming includes the fluctuation: telling them apart takes three or more readings over time "
            "of each device, by device number"
        )
        notes.append(Note("fluctuation_us", text))
    if rows.left_out:
        notes.append(Note("", f"{rows.left_out} rows could not be used and were left out"))
    if states.ranges:
        text = f"targets were put together in {states.count} ranges with a mean target each"
        notes.append(Note("state_us", text))
    if not np.isfinite(found.drift[0]).any():
        notes.append(Note("drift", "the readings show no drift exponent, so the law has none"))
    if np.nanmin(data.log_time) > 0:
        text = "no reading at time_s = 0: the reference read was reached back to by the fitted drift"
        notes.append(Note("mean_us", text))
    present = np.isfinite(reference.offset_us)
    far = 1 - (reference.inside & present).sum() / present.sum()
    if far > _MANY_OUTLIERS:
        text = f"{far:.1%} of the devices lie far from their state's median and were left out"
        notes.append(Note("sigma_us", text))
    share = wrong.sum() / np.isfinite(data.g_us).sum()
    if share > _MANY_OUTLIERS:
        text = f"{share:.1%} of the readings lie far off their device's course and were left out"
        notes.append(Note("drift_spread", text))
    return tuple(notes)
