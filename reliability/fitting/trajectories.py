"""Each device over time: its readings, those that do not belong to it, and its own drift exponent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reliability.errors import UserError
from reliability.fitting.reading import Measurements
from reliability.fitting.robust import median_of_rows

Spread = float | Callable[[np.ndarray], np.ndarray]

# A line through five readings survives one that is wrong.
_FEWEST_TIMES = 5
_FAR = 6.0
_NORMAL_80 = 1.2815515655446004
_LARGEST_EXPONENT = 1.0
# Exponents less certain than this say nothing beside a spread over devices.
_LEAST_CERTAIN = 0.15
_STEPS = 6


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Readings of devices, one device at one target a row, padded with NaN.

    Attributes
    ----------
    g_target_us : ndarray, shape (devices,)
    log_time : ndarray, shape (devices, times)
        ``ln((time_s + t0_s) / t0_s)``, rising.
    g_us : ndarray, shape (devices, times)
        Mean over readings of one device at one time.
    variance : ndarray, shape (devices, times), optional
        Variance (uS**2) of that mean by the measurement; None where it is not known.
    repeat_squares, repeat_freedom : ndarray, shape (devices, times)
        Sum of squares of readings of one device at one time about their mean, and its degrees of freedom.
    reading_variance : ndarray, shape (devices, times)
        Share of the variance of one reading in that of the mean: one over the count of readings.
    """

    g_target_us: np.ndarray
    log_time: np.ndarray
    g_us: np.ndarray
    variance: np.ndarray | None
    repeat_squares: np.ndarray
    repeat_freedom: np.ndarray
    reading_variance: np.ndarray


def trajectories(rows: Measurements, t0_s: float, measurement_us: Spread | None) -> Trajectories:
    """Rows of a table as trajectories; without device numbers each row is a device of its own."""
    count = rows.g_us.size
    device = np.arange(count) if rows.device is None else rows.device
    sd: np.ndarray | None = rows.sd_us
    if measurement_us is not None:
        given = measurement_us(rows.g_us) if callable(measurement_us) else float(measurement_us)
        sd = np.broadcast_to(np.asarray(given, float), (count,))
        if not (np.isfinite(sd) & (sd >= 0)).all():
            raise UserError(
                "measurement_us must give finite numbers of 0 or more (microsiemens) for all readings"
            )
    order = np.lexsort((rows.time_s, rows.g_target_us, device))
    device, target, time = device[order], rows.g_target_us[order], rows.time_s[order]
    value = rows.g_us[order]
    new_unit = np.r_[True, (device[1:] != device[:-1]) | (target[1:] != target[:-1])]
    new_read = new_unit | np.r_[True, time[1:] != time[:-1]]
    first_read = np.flatnonzero(new_read)
    readings = np.diff(np.r_[first_read, count])
    mean = np.add.reduceat(value, first_read) / readings
    deviation = value - np.repeat(mean, readings)
    squares = np.add.reduceat(deviation**2, first_read)
    unit = np.cumsum(new_unit)[first_read] - 1
    units = int(unit[-1]) + 1
    place = np.arange(first_read.size) - np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])[unit]

    def padded(values: np.ndarray) -> np.ndarray:
        out = np.full((units, int(place.max()) + 1), np.nan)
        out[unit, place] = values
        return out

    variance = None
    if sd is not None:
        variance = padded(np.add.reduceat(sd[order] ** 2, first_read) / readings**2)
    return Trajectories(
        g_target_us=target[first_read][np.flatnonzero(place == 0)],
        log_time=padded(np.log1p(time[first_read] / t0_s)),
        g_us=padded(mean),
        variance=variance,
        repeat_squares=padded(squares),
        repeat_freedom=padded(readings - 1.0),
        reading_variance=padded(1.0 / readings),
    )


@dataclass(frozen=True, eq=False)
class Exponents:
    """What the readings of each device over time say about it.

    Attributes
    ----------
    wrong : ndarray of bool, shape (devices, times)
        Readings that do not belong to their device.
    exponent, variance : ndarray, shape (devices,)
        Drift exponent and the variance of its estimate; NaN where the readings do not show it.
    squares, expected : ndarray, shape (devices,)
        Squares (uS**2) that the readings keep about the device's own course, less those of the measurement,
        and what these would be if the fluctuation were as large as the conductance.
    bend, bend_error : ndarray, shape (devices,)
        Largest relative departure of the course from a power law, as a parabola in the logarithm of time,
        with its sign, and the standard error of that; NaN where unknown.
    """

    wrong: np.ndarray
    exponent: np.ndarray
    variance: np.ndarray
    squares: np.ndarray
    expected: np.ndarray
    bend: np.ndarray
    bend_error: np.ndarray


def wrong_readings(data: Trajectories, node: np.ndarray, smallest: float) -> np.ndarray:
    """Readings that lie far off a robust line through the others of their device."""
    y, x = data.g_us, data.log_time
    wrong = np.zeros(y.shape, bool)
    long = np.isfinite(y).sum(axis=1) >= _FEWEST_TIMES
    if not long.any():
        return wrong
    y, x, node = y[long], x[long], node[long]
    # First with the exponent of the state, so that what is left is nearly a line.
    level = median_of_rows(y)
    slope = _median_slope(x, y)
    common = np.zeros(node.max() + 1)
    for k in np.unique(node):
        mine = (node == k) & (level > smallest)
        if mine.any():
            common[k] = np.clip(-np.median(slope[mine] / level[mine]), -0.5, 0.5)
    decay = np.exp(-common[node][:, None] * x)
    flat = y / decay
    slope = _median_slope(x, flat)
    level = median_of_rows(flat - slope[:, None] * x)
    residual = np.abs(flat - level[:, None] - slope[:, None] * x) * decay
    scale = np.ones(node.size)
    for k in np.unique(node):
        mine = node == k
        values = residual[mine]
        here = np.nanquantile(values, 0.8) / _NORMAL_80
        # Fluctuation grows with the conductance that a device has, not with that wanted.
        size = max(np.median(level[mine]), np.quantile(np.abs(level[mine]), 0.8) / _NORMAL_80, smallest)
        scale[mine] = max(here, smallest) * np.maximum(level[mine] / size, 1.0)
    wrong[long] = residual > _FAR * scale[:, None]
    return wrong


def _median_slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Theil and Sen's slope of each row."""
    first, second = np.triu_indices(x.shape[1], 1)
    return median_of_rows((y[:, second] - y[:, first]) / (x[:, second] - x[:, first]))


def exponents(
    data: Trajectories, wrong: np.ndarray, node: np.ndarray, variance: np.ndarray, smallest: float
) -> Exponents:
    """Fit a power law of time to every device by weighted least squares.

    Parameters
    ----------
    data : Trajectories
    wrong : ndarray of bool, shape (devices, times)
    node : ndarray of int, shape (devices,)
        State of each device.
    variance : ndarray, shape (devices, times)
        Of the measurement, uS**2.
    smallest : float
        A conductance that counts as nothing, uS.
    """
    kept = np.isfinite(data.g_us) & ~wrong
    x = np.where(kept, data.log_time, 0.0)
    y = np.where(kept, data.g_us, 0.0)
    variance = np.where(kept, variance, 0.0)
    times = kept.sum(axis=1)
    span = np.where(kept, x, -np.inf).max(axis=1) - np.where(kept, x, np.inf).min(axis=1)
    long = (times >= 3) & (span > 0)
    nothing = np.full(times.size, np.nan)
    if not long.any():
        return Exponents(wrong, nothing, nothing, nothing * 0, nothing * 0, nothing, nothing)
    start = _start(x, y, kept)
    exponent = np.zeros(times.size)
    common, relative = np.zeros(node.max() + 1), np.zeros(node.max() + 1)
    for k in np.unique(node[long]):
        mine = long & (node == k) & (start[0] > smallest)
        if mine.any():
            common[k] = np.clip(np.median(start[1][mine]), -0.5, 0.5)
    level = np.maximum(start[0], 0.0)
    exponent = np.clip(
        np.where(level > smallest, start[1], common[node]), -_LARGEST_EXPONENT, _LARGEST_EXPONENT
    )
    floor = smallest**2
    for _ in range(_STEPS):
        decay = np.exp(-exponent[:, None] * x)
        course = level[:, None] * decay
        residual = np.where(kept, y - course, 0.0)
        for k in np.unique(node[long]):
            mine = long & (node == k)
            own = residual[mine] ** 2
            excess = own.sum() - (variance[mine]).sum()
            relative[k] = max(excess, 0.0) / max(float((course[mine] ** 2)[kept[mine]].sum()), floor)
        weight = np.where(kept, 1.0 / (variance + relative[node][:, None] * course**2 + floor), 0.0)
        by_level, by_exponent = decay, -x * course
        a = (weight * by_level**2).sum(axis=1)
        b = (weight * by_level * by_exponent).sum(axis=1)
        c = (weight * by_exponent**2).sum(axis=1)
        u = (weight * by_level * residual).sum(axis=1)
        v = (weight * by_exponent * residual).sum(axis=1)
        information = np.where(a > 0, c - b**2 / np.where(a > 0, a, 1.0), 0.0)
        strong = long & (information > _LEAST_CERTAIN**-2)
        step = np.where(
            strong, (v - b * u / np.where(a > 0, a, 1.0)) / np.where(strong, information, 1.0), 0.0
        )
        step = np.clip(step, -0.3, 0.3)
        exponent = np.where(strong, exponent + step, common[node])
        exponent = np.clip(exponent, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
        level = np.where(strong | (a > 0), level + (u - b * step) / np.where(a > 0, a, 1.0), level)
        level = np.where(strong, np.maximum(level, 0.0), level)
    decay = np.exp(-exponent[:, None] * x)
    course = level[:, None] * decay
    residual = np.where(kept, y - course, 0.0)
    freedom = np.maximum(times - np.where(strong, 2, 1), 0)
    # Leverage of each reading: what of its own error the course follows.
    safe = np.where(a > 0, a, 1.0)
    course_variance = by_level**2 / safe[:, None]
    along = by_exponent - by_level * (b / safe)[:, None]
    course_variance += np.where(strong[:, None], along**2 / np.where(strong, information, 1.0)[:, None], 0.0)
    free = np.where(kept, 1 - np.minimum(weight * course_variance, 1.0), 0.0)
    squares = (residual**2 - free * variance).sum(axis=1)
    # A course that was fitted to noise has a mean square of its own.
    expected = (free * (course**2 - course_variance)).sum(axis=1)
    # Squares beside their expected ones tell by how much the weights were wrong.
    weighted = (weight * residual**2).sum(axis=1)
    certain = np.where(strong, 1.0 / np.where(strong, information, 1.0), np.nan)
    for k in np.unique(node[long]):
        mine = strong & (node == k)
        if freedom[mine].sum() > 0:
            certain[mine] *= weighted[mine].sum() / freedom[mine].sum()
    bend, bend_error = _bend(x, weight, decay, course, residual, strong & (times >= 4))
    return Exponents(
        wrong,
        np.where(strong, exponent, np.nan),
        certain,
        np.where(long, squares, 0.0),
        np.where(long, expected, 0.0),
        bend,
        bend_error,
    )


def _start(x: np.ndarray, y: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level at the reference read and exponent of each row, from a straight line."""
    count = np.maximum(kept.sum(axis=1), 1)
    mean_x, mean_y = (x * kept).sum(axis=1) / count, (y * kept).sum(axis=1) / count
    dx = np.where(kept, x - mean_x[:, None], 0.0)
    square = (dx**2).sum(axis=1)
    slope = np.where(square > 0, (dx * y).sum(axis=1) / np.where(square > 0, square, 1.0), 0.0)
    usable = mean_y > 0
    exponent = np.where(usable, -slope / np.where(usable, mean_y, 1.0), 0.0)
    exponent = np.clip(exponent, -0.5, 0.5)
    return mean_y * np.exp(exponent * mean_x), exponent


def _bend(
    x: np.ndarray,
    weight: np.ndarray,
    decay: np.ndarray,
    course: np.ndarray,
    residual: np.ndarray,
    usable: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals along the square of the logarithm of time, freed of level and exponent."""
    nothing = np.full(len(x), np.nan)
    if not usable.any():
        return nothing, nothing
    x, decay, course, residual = x[usable], decay[usable], course[usable], residual[usable]
    root = np.sqrt(weight[usable])
    along = root * np.square(x) * course
    first = root * decay
    first /= np.sqrt((first**2).sum(axis=1))[:, None]
    second = root * -x * course
    second -= (second * first).sum(axis=1)[:, None] * first
    length = np.sqrt((second**2).sum(axis=1))[:, None]
    second = np.divide(second, length, out=np.zeros_like(second), where=length > 0)
    for direction in (first, second):
        along = along - (along * direction).sum(axis=1)[:, None] * direction
    square = (along**2).sum(axis=1)
    relative = np.divide(along, root * course, out=np.zeros_like(along), where=root * course > 0)
    largest = np.abs(relative).max(axis=1)
    bend, error = nothing.copy(), nothing.copy()
    shown = square > 0
    usable[usable] = shown
    bend[usable] = ((along * root * residual).sum(axis=1) * largest)[shown] / square[shown]
    error[usable] = largest[shown] / np.sqrt(square[shown])
    return bend, error
