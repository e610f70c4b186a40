"""From a user's measurements to a device law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from reliability.devices.measured import Measured
from reliability.errors import UserError
from reliability.fitting.choice import Choice, Residuals, choose, correction
from reliability.fitting.curves import LawValues, curves, law_values, smoothed, smoothed_law
from reliability.fitting.drift import Drift, DriftOfDevices, DriftOfStates
from reliability.fitting.reading import Measurements, read_measurements
from reliability.fitting.report import notes_on, parameters
from reliability.fitting.result import DeviceFit, Evidence
from reliability.fitting.robust import FREE
from reliability.fitting.states import (
    Moments,
    Reference,
    States,
    earliest_time,
    filled,
    group_states,
    measurement_variance,
    moments,
    reference_reads,
)
from reliability.fitting.trajectories import Exponents, Trajectories, exponents, trajectories, wrong_readings
from reliability.statistics.interval import check_level

# Of the largest target: a conductance that counts as nothing.
_NOTHING = 1e-9
_FEWEST_RESAMPLES = 99
# Largest target of the least conductive devices; what lies below is in another unit.
_LEAST_US = 1e-2


def fit_device(
    measurements: str | Path | pd.DataFrame,
    *,
    t0_s: float = 20.0,
    measurement_us: float | Callable[[np.ndarray], np.ndarray] | None = None,
    level: float = 0.95,
    resamples: int = 499,
    seed: int = 0,
) -> DeviceFit:
    """Fit a device law to measured conductances.

    At every programmed state the mean and the standard deviation over devices of the conductance at the
    reference read are estimated by themselves, so that no smoothing shifts the bands; the law's curves are
    smoothing splines through them. The clamp of conductances at zero is undone where it matters. Each
    device's drift exponent comes from its own readings, weighted by how certain it is, and the fluctuation
    from what they keep about the device's own course: this takes three readings of a device. With fewer, or
    without device numbers, exponents come from the mean over time and the growth of its spread, and
    programming includes the fluctuation. Readings that contradict the others of their device, and devices far
    from their state's median, are left out, with a correction for what that takes from the chosen
    distribution.

    Parameters
    ----------
    measurements : str, Path or DataFrame
        A row a reading: ``g_target_us`` (wanted), ``time_s`` (since the reference read), ``g_us`` (read); if
        known ``device`` (any name; without it every row counts as a device of its own) and ``g_sd_us``
        (standard deviation of the measurement itself). Each state needs 20 devices; targets that fewer
        devices share are put together in ranges.
    t0_s : float
        From programming to the reference read, seconds: drift goes with ``ln((time_s + t0_s) / t0_s)``.
    measurement_us : float or callable, optional
        Standard deviation of the measurement of one reading, microsiemens; a callable takes the readings.
        Given, it is subtracted in quadrature. None takes ``g_sd_us``, else readings of one device at one
        time; without either the spread of the measurement stays part of sigma, and the table, figure and
        notes say so.
    level : float
        Of confidence, for bands and intervals.
    resamples : int
        Bootstrap resamples of the devices of each state.
    seed : int

    Returns
    -------
    DeviceFit

    Raises
    ------
    UserError
        If the table cannot be used, holds too few devices, or its conductances are of another unit or sign.

    Warns
    -----
    UserWarning
        For rows that are left out and columns that are not used.
    """
    check_level(level)
    _check(t0_s, measurement_us, resamples)
    rows = read_measurements(measurements)
    _check_unit(rows)
    single = rows.device is None
    data = trajectories(rows, t0_s, measurement_us)
    smallest = _NOTHING * float(data.g_target_us.max())
    states = group_states(data.g_target_us)
    variance, measurement = _measurement(data, states)

    wrong = wrong_readings(data, states.node, variance, smallest)
    courses = None if single else exponents(data, wrong, states.node, variance, smallest)
    drift = _drift(data, states, wrong, courses, variance, smallest)
    reference = reference_reads(data, states, wrong, variance, filled(drift.exponent), single, smallest)
    random = np.random.default_rng(seed)
    repeated = measurement == "repeated readings"
    found = moments(data, states, reference, drift, repeated, resamples, random)

    residuals, free = _residuals(states, reference, found, smallest)
    choice = choose(residuals)
    found = _corrected(found, free, choice)
    law = law_values(found, choice.residual)
    smooth = smoothed_law(states.g_target_us, law)
    table = curves(states.g_target_us, found, law, smooth, choice.residual, level, smallest)
    notes = notes_on(rows, data, states, found, reference, wrong, measurement)
    device = _device(rows, data, states, found, smooth, choice, t0_s, single)
    table_of_parameters = parameters(states, found, law, choice, reference, wrong, data, measurement, level)
    evidence = Evidence(data, variance, states, reference, courses, drift, found, residuals, choice)
    return DeviceFit(device, table, level, measurement, notes, table_of_parameters, evidence)


def _check(t0_s: float, measurement_us: float | Callable | None, resamples: int) -> None:
    if not 0 < t0_s < math.inf:
        raise UserError(f"t0_s = {t0_s!r} must be above 0 seconds")
    if measurement_us is not None and not callable(measurement_us) and not 0 <= measurement_us < math.inf:
        raise UserError(f"measurement_us = {measurement_us!r} must be 0 or more (microsiemens)")
    if resamples < _FEWEST_RESAMPLES:
        raise UserError(f"resamples = {resamples!r} must be at least {_FEWEST_RESAMPLES}")


def _check_unit(rows: Measurements) -> None:
    """Refuse conductances of another unit or sign."""
    largest = float(rows.g_target_us.max())
    if largest <= 0:
        raise UserError(f"{rows.source}: all targets are 0, where g_target_us must reach above 0 uS")
    if largest < _LEAST_US:
        raise UserError(
            f"{rows.source}: the largest g_target_us is {largest:.3g} uS, which must be at least "
            f"{_LEAST_US:g} uS (are these siemens?)"
        )
    middle = float(np.median(rows.g_us[rows.g_target_us > 0]))
    if middle <= 0:
        raise UserError(
            f"{rows.source}: the median of g_us at targets above 0 is {middle:.3g} uS, which must be above 0 "
            f"(is its sign the other way round?)"
        )


def _measurement(data: Trajectories, states: States) -> tuple[np.ndarray, str]:
    """Variance of each reading by the measurement, and where it is from."""
    if data.variance is not None:
        return data.variance, "given"
    by_state = measurement_variance(data, states)
    if by_state is not None:
        return by_state[states.node][:, None] * data.reading_variance, "repeated readings"
    return np.where(np.isfinite(data.g_us), 0.0, np.nan), "included"


def _drift(
    data: Trajectories,
    states: States,
    wrong: np.ndarray,
    courses: Exponents | None,
    variance: np.ndarray,
    smallest: float,
) -> Drift:
    """From the courses of devices where three readings of one show what fluctuates about it."""
    if courses is not None:
        drift = DriftOfDevices.of(courses, states.node, states.count)
        if drift.shown:
            return drift
    return DriftOfStates.of(data, wrong, states.node, earliest_time(data, states), variance, smallest)


def _residuals(
    states: States, reference: Reference, found: Moments, smallest: float
) -> tuple[Residuals, np.ndarray]:
    """Standardised residuals of the states that lie clear of zero, and which states do."""
    mean, sd = found.mean_us[0], np.sqrt(found.variance[0])
    free = (mean > FREE * sd) & (sd > smallest)
    sd = np.where(free, sd, 1.0)
    offset = mean - states.g_target_us
    used = reference.inside & free[states.node]
    node = states.node[used]
    value = (reference.offset_us[used] - offset[node]) / sd[node]
    return Residuals(value, node, (reference.low_us - offset) / sd, (reference.high_us - offset) / sd), free


def _corrected(found: Moments, free: np.ndarray, choice: Choice) -> Moments:
    """The moments with what the cut of outliers took from the chosen distribution."""
    start, scale = correction(choice)
    shift = np.where(free, start, 0.0) * np.sqrt(found.variance)
    factor = np.where(free, scale, 1.0) ** 2
    others = {f.name: getattr(found, f.name) for f in fields(found)}
    return Moments(**(others | {"mean_us": found.mean_us + shift, "variance": found.variance * factor}))


def _device(
    rows: Measurements,
    data: Trajectories,
    states: States,
    found: Moments,
    smooth: LawValues,
    choice: Choice,
    t0_s: float,
    single: bool,
) -> Measured:
    devices = "" if single else f" of {states.node.size} devices"
    note = (
        f"fitted to {Path(rows.source).name} ({rows.g_us.size} readings{devices} at "
        f"{states.count} {'ranges of targets' if states.ranges else 'states'})"
    )
    state = states.g_target_us
    drift = smoothed(state, filled(found.drift))
    spread = smoothed(state, filled(found.drift_spread))
    values = {
        "mean_us": smooth.mean_us[0] - state,
        "sigma_us": smooth.sigma_us[0],
        "drift": drift,
        "drift_spread": np.maximum(spread, 0.0),
        "fluctuation_us": smooth.fluctuation_us[0],
    }
    if states.ranges:
        # The curves are held out to the outermost targets.
        ends = [float(data.g_target_us.min()), float(data.g_target_us.max())]
        lower, upper = int(ends[0] < state[0]), int(ends[1] > state[-1])
        state = np.r_[ends[:lower], state, ends[1 : 1 + upper]]
        values = {name: np.pad(v, (lower, upper), mode="edge") for name, v in values.items()}
    values["mean_us"] = values["mean_us"] + state
    return Measured(
        g_max_us=_rounded(state[-1]),
        g_min_us=_rounded(state[0]),
        note=note,
        state_us=tuple(map(_rounded, state)),
        distribution=choice.residual.distribution,
        shape=choice.residual.shape,
        t0_s=float(t0_s),
        mean_us=tuple(map(_rounded, values["mean_us"])),
        sigma_us=tuple(map(_rounded, values["sigma_us"])),
        drift=tuple(map(_rounded, values["drift"])),
        drift_spread=tuple(map(_rounded, values["drift_spread"])),
        fluctuation_us=tuple(map(_rounded, values["fluctuation_us"])),
    )


def _rounded(value: float) -> float:
    """As many digits as float32, in which chips are simulated, can hold."""
    return float(f"{value:.8g}")
