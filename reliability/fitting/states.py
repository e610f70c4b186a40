"""Programmed states, and the moments of the devices at each, with their bootstrap.

Everything estimated here is a function of sums over the devices of a state. A resample of the devices is
those sums with other weights, so all resamples of a state are one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reliability.errors import UserError
from reliability.fitting.drift import Drift
from reliability.fitting.robust import window
from reliability.fitting.trajectories import Trajectories

FEWEST = 20
"""Devices of a state, at least."""

_MOST_STATES = 32
_PER_RANGE = 50
_MOST_RANGES = 24
# Squares of repeated readings beyond so many medians come from outliers: 2 in 10 000 of normal pairs do.
_FAR_SQUARES = 30.0


@dataclass(frozen=True, eq=False)
class States:
    """Where the curves have their values.

    Attributes
    ----------
    node : ndarray of int, shape (devices,)
        State of each device.
    g_target_us : ndarray, shape (states,)
        Mean target of its devices.
    ranges : bool
        Whether a state is a range of targets rather than one target.
    """

    node: np.ndarray
    g_target_us: np.ndarray
    ranges: bool

    @property
    def count(self) -> int:
        """States."""
        return self.g_target_us.size


def group_states(target_us: np.ndarray) -> States:
    """One state a target where each has enough devices, else ranges of neighbouring targets."""
    largest = float(target_us.max())
    tolerance = 1e-6 * largest
    order = np.argsort(target_us, kind="stable")
    rising = target_us[order]
    node = np.empty(order.size, np.int64)
    node[order] = np.cumsum(np.r_[0, np.diff(rising) > tolerance])
    counts = np.bincount(node)
    ranges = counts.size > _MOST_STATES or counts.min() < FEWEST
    if ranges:
        wanted = min(order.size // _PER_RANGE, _MOST_RANGES)
        if wanted >= 2:
            # Devices of one target stay together.
            middle = np.cumsum(counts) - 0.5 * counts
            node = (middle * wanted / order.size).astype(np.int64)[node]
            node = np.unique(node, return_inverse=True)[1]
            counts = np.bincount(node)
    if counts.size < 2 or counts.min() < FEWEST:
        raise UserError(
            f"too few devices to fit: {order.size} devices at {np.unique(rising).size} targets, where two "
            f"or more states with {FEWEST} devices each are needed (targets that few devices share are put "
            f"together)"
        )
    return States(node, np.bincount(node, target_us) / counts, ranges)


@dataclass(frozen=True, eq=False)
class Moments:
    """Estimates by resample and state, of shape (resamples, states); the first row takes every device once.

    Attributes
    ----------
    mean_us : ndarray
        Mean conductance at the reference read.
    variance : ndarray
        Variance of the values that stand for the reference read (uS**2).
    foreign : ndarray
        Part of that variance which the conductance at the reference read does not have (uS**2): of the
        measurement where it is known, and of the drift until first readings that came later.
    mean_error, log_variance_error : ndarray
        Standard errors of ``mean_us`` and of the logarithm of ``variance``.
    drift, drift_spread : ndarray
        Mean and standard deviation of the exponent; NaN where the readings do not show them.
    fluctuation : ndarray
        Variance of the fluctuation over the square of the conductance; NaN where the readings do not show it.
    """

    mean_us: np.ndarray
    variance: np.ndarray
    foreign: np.ndarray
    mean_error: np.ndarray
    log_variance_error: np.ndarray
    drift: np.ndarray
    drift_spread: np.ndarray
    fluctuation: np.ndarray


@dataclass(frozen=True, eq=False)
class Reference:
    """Conductance of each device at the reference read.

    Attributes
    ----------
    offset_us : ndarray, shape (devices,)
        Above the target; for ranges of targets the slope within the range is taken off. NaN where there is
        none.
    log_time : ndarray, shape (devices,)
        Logarithmic time of the reading it was taken from.
    variance : ndarray, shape (devices,)
        Of the measurement, uS**2.
    inside : ndarray of bool, shape (devices,)
        Whether the device is no outlier of its state.
    low_us, high_us : ndarray, shape (states,)
        Offsets between which a device is none.
    """

    offset_us: np.ndarray
    log_time: np.ndarray
    variance: np.ndarray
    inside: np.ndarray
    low_us: np.ndarray
    high_us: np.ndarray


def measurement_variance(data: Trajectories, states: States) -> np.ndarray | None:
    """Variance of one reading by state (uS**2) from repeated readings; None where there are too few."""
    found = np.full(states.count, np.nan)
    for k in range(states.count):
        mine = np.flatnonzero(states.node == k)
        squares, freedom = _plain_repeats(data, mine)
        if (freedom > 0).sum() >= FEWEST:
            found[k] = squares.sum() / freedom.sum()
    return None if np.isnan(found).all() else filled(found)


def filled(by_state: np.ndarray) -> np.ndarray:
    """States that lack a value get one from their neighbours that have one; zero where none has.

    Parameters
    ----------
    by_state : ndarray, shape (states,) or (resamples, states)
        The first row says which states have a value; a resample that lacks one of these takes it from there.
    """
    rows = np.atleast_2d(by_state)
    known = np.flatnonzero(np.isfinite(rows[0]))
    if not known.size:
        return np.zeros_like(by_state)
    values = np.where(np.isfinite(rows), rows, rows[0])[:, known]
    between = [np.interp(np.arange(rows.shape[1]), known, unit) for unit in np.eye(known.size)]
    return (values @ np.stack(between)).reshape(np.shape(by_state))


def _plain_repeats(data: Trajectories, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of repeated readings and their degrees of freedom, by device, no outlier being among them."""
    squares, freedom = data.repeat_squares[mine], np.nan_to_num(data.repeat_freedom[mine])
    own = np.where(freedom > 0, squares / np.maximum(freedom, 1.0), np.nan)
    if not (freedom > 0).any():
        return np.zeros(mine.size), np.zeros(mine.size)
    near = own <= _FAR_SQUARES * np.nanmedian(own)
    return np.where(near, squares, 0.0).sum(axis=1), np.where(near, freedom, 0.0).sum(axis=1)


def reference_reads(
    data: Trajectories,
    states: States,
    wrong: np.ndarray,
    variance: np.ndarray,
    drift: np.ndarray,
    single: bool,
    smallest: float,
) -> Reference:
    """Take each device's first reading back to the reference read.

    Parameters
    ----------
    data : Trajectories
    states : States
    wrong : ndarray of bool, shape (devices, times)
    variance : ndarray, shape (devices, times)
        Of the measurement.
    drift : ndarray, shape (states,)
        Exponent of each state.
    single : bool
        Whether rows have no device numbers: then only those at the earliest time of a state are taken.
    smallest : float
        A conductance that counts as nothing, uS.

    Raises
    ------
    UserError
        If too few devices of a state remain.
    """
    node = states.node
    time, value = data.log_time[:, 0], data.g_us[:, 0].copy()
    value[wrong[:, 0]] = np.nan
    if single:
        value[time > earliest_time(data, states)[node] + 1e-9] = np.nan
    growth = np.exp(drift[node] * time)
    offset = value * growth - data.g_target_us
    inside = np.isfinite(offset)
    low, high = np.zeros(states.count), np.zeros(states.count)
    for k in range(states.count):
        mine = np.flatnonzero(inside & (node == k))
        if mine.size < FEWEST:
            raise UserError(
                f"too few devices to fit: {mine.size} of those at a target of {states.g_target_us[k]:g} uS "
                f"have a first reading that can be used, where {FEWEST} are needed"
            )
        if states.ranges:
            distance = data.g_target_us[mine] - states.g_target_us[k]
            first, last = window(offset[mine], smallest)
            near = (offset[mine] >= first) & (offset[mine] <= last)
            spread = distance[near] - distance[near].mean()
            square = float((spread**2).sum())
            slope = float((spread * offset[mine][near]).sum()) / square if square > 0 else 0.0
            offset[mine] -= slope * distance
        low[k], high[k] = window(offset[mine], smallest)
        inside[mine] = (offset[mine] >= low[k]) & (offset[mine] <= high[k])
    return Reference(offset, time, variance[:, 0] * growth**2, inside, low, high)


def earliest_time(data: Trajectories, states: States) -> np.ndarray:
    """Logarithmic time of the first reading of any device of a state."""
    earliest = np.full(states.count, np.inf)
    np.minimum.at(earliest, states.node, data.log_time[:, 0])
    return earliest


def resample_counts(count: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """How often each device is drawn: float64, (1 + resamples, count); the first row is all ones."""
    drawn = random.integers(0, count, (resamples, count))
    drawn += count * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
    return np.concatenate([np.ones((1, count)), counts])


def moments(
    data: Trajectories,
    states: States,
    reference: Reference,
    drift: Drift,
    repeated: bool,
    resamples: int,
    random: np.random.Generator,
) -> Moments:
    """Moments of every state, in the data and in resamples of its devices.

    A device measured at several targets counts as one device at each.

    Parameters
    ----------
    data, states, reference, drift
        The devices.
    repeated : bool
        Whether the variance of the measurement was estimated from repeated readings.
    resamples : int
    random : Generator
    """
    found = []
    for k in range(states.count):
        mine = np.flatnonzero(states.node == k)
        weights = resample_counts(mine.size, resamples, random)
        found.append(_of_state(data, states, k, mine, weights, reference, drift, repeated))
    return Moments(*(np.stack(columns, axis=1) for columns in zip(*found, strict=True)))


def _of_state(
    data: Trajectories,
    states: States,
    k: int,
    mine: np.ndarray,
    weights: np.ndarray,
    reference: Reference,
    drift: Drift,
    repeated: bool,
) -> tuple[np.ndarray, ...]:
    inside = reference.inside[mine]
    offset = np.where(inside, reference.offset_us[mine], 0.0)
    centre = offset[inside].mean()
    scale = float(np.abs(offset[inside] - centre).max()) or 1.0
    x = np.where(inside, (offset - centre) / scale, 0.0)
    late = np.where(inside, reference.log_time[mine], 0.0)
    columns = [inside.astype(float), x, x**2, x**3, x**4, late, late**2]
    count, first, second, third, fourth, late, late_square = (weights @ np.stack(columns, axis=1)).T
    count = np.maximum(count, 2.0)
    m = first / count
    # Moments about each resample's own mean, from those about the mean of the data.
    square = np.maximum(second / count - m**2, 0.0)
    quartic = fourth / count - 4 * m * third / count + 6 * m**2 * second / count - 3 * m**4
    variance = square * count / (count - 1)
    kurtosis = np.divide(quartic, square**2, out=np.full_like(square, 3.0), where=square > 1e-24)
    exponent, spread, fluctuation = drift.resampled(k, mine, weights)
    mean = states.g_target_us[k] + centre + scale * m
    if np.isfinite(exponent[0]):
        mean = mean * np.exp((exponent - exponent[0]) * late / count)
    foreign = np.full(count.size, reference.variance[mine][inside].mean())
    if repeated:
        repeats = np.stack(_plain_repeats(data, mine), axis=1)
        if (repeats[:, 1] > 0).sum() >= FEWEST:
            squares, freedom = (weights @ repeats).T
            own = squares / np.maximum(freedom, 1.0)
            foreign = foreign * np.divide(own, own[0], out=np.ones_like(own), where=own[0] > 0)
    foreign = foreign + np.nan_to_num(spread) ** 2 * late_square / count * mean**2
    return (
        mean,
        scale**2 * variance,
        foreign,
        scale * np.sqrt(variance / count),
        np.sqrt(np.maximum(kurtosis - 1, 0.1) / count),
        exponent,
        spread,
        fluctuation,
    )
