"""Each device over time: its readings, those that do not belong to it, and its own drift exponent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from reliability.errors import UserError
from reliability.fitting.reading import Measurements
from reliability.fitting.robust import scale_of_middle, scale_of_squares

Spread = float | Callable[[np.ndarray], np.ndarray]

_FEWEST_DEVICES = 10
# Standard deviations from its prediction at which a reading counts as wrong.
_FAR = 5.0
# Factor on the spread of levels, which may be far from normal.
_WIDE = 3.0
_LEAST_SHARE = 1e-4
# Probability at which a device that fluctuates too much counts as wrong.
_UNLIKELY = 1e-5
_NORMAL_80 = 1.2815515655446004
_LARGEST_EXPONENT = 1.0
# Exponents less certain than this say nothing beside a spread over devices.
_LEAST_CERTAIN = 0.15
_STEPS = 6
# Squares in units of their variance that count as nothing.
_LEAST_SQUARES = 1e-9


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
        and what these would be if the fluctuation were as large as the conductance; both zero for devices
        with fewer than three readings or with squares that no other device of the state comes near.
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


def wrong_readings(data: Trajectories, node: np.ndarray, variance: np.ndarray, smallest: float) -> np.ndarray:
    """Readings far from what the others of their device, and the devices of their state, make expected.

    With the drift of its state divided out, a device's readings lie about a line in the logarithm of time.
    Over devices level and slope of the line count as normal, with scales that gross outliers leave alone, and
    the level's taken wide: so a device with many readings stands for itself, and of two readings that
    contradict each other the one that is stranger to the state goes. A reading is compared with what all
    others predict for it; the worst of a device goes first.

    Parameters
    ----------
    data : Trajectories
    node : ndarray of int, shape (devices,)
        State of each device.
    variance : ndarray, shape (devices, times)
        Of the measurement, uS**2.
    smallest : float
        A conductance that counts as nothing, uS.

    Returns
    -------
    ndarray of bool, shape (devices, times)
    """
    wrong = np.zeros(data.g_us.shape, bool)
    several = np.isfinite(data.g_us).sum(axis=1) >= 2
    for k in np.unique(node[several]):
        mine = np.flatnonzero(several & (node == k))
        if mine.size >= _FEWEST_DEVICES:
            kept = np.isfinite(data.g_us[mine])
            # Once more with scales that lack what was found first.
            for _ in range(2):
                kept = _belonging(data.log_time[mine], data.g_us[mine], variance[mine], kept, smallest)
            wrong[mine] = np.isfinite(data.g_us[mine]) & ~kept
    return wrong


def _belonging(
    x: np.ndarray, y: np.ndarray, variance: np.ndarray, kept: np.ndarray, smallest: float
) -> np.ndarray:
    """Which readings of one state belong to their devices; scales come from those in ``kept``."""
    present = np.isfinite(y)
    x = np.where(present, x - x[present].min(), 0.0)
    y = np.where(present, y, 0.0)
    start, exponent = _start(x, np.where(kept, y, 0.0), kept)
    some = start > smallest
    common = float(np.clip(np.median(exponent[some]), -0.5, 0.5)) if some.any() else 0.0
    growth = np.exp(common * x)
    z = y * growth
    level, slope, squares = _straight(x, z, kept)
    # Fluctuation and drift grow with the conductance that a device has; of its readings the lower middle one
    # tells that, which a single outlier never lifts.
    middle = np.sort(np.where(kept, np.abs(z), np.inf), axis=1)
    middle = middle[np.arange(len(z)), np.maximum(kept.sum(axis=1) - 1, 0) // 2]
    middle = np.where(np.isfinite(middle), middle, 0.0)
    size = max(float(np.median(middle)), float(np.quantile(middle, 0.8)) / _NORMAL_80, smallest)
    larger = np.maximum(middle / size, 1.0)
    lines = kept.sum(axis=1) >= 2
    centre = np.median(level[lines]), np.median(slope[lines])
    wide = _WIDE * max(scale_of_middle(level[lines]), smallest)
    tilt = larger * max(scale_of_middle((slope / larger)[lines]), smallest)
    own = np.sqrt(scale_of_squares(squares / larger**2, np.maximum(kept.sum(axis=1) - 2, 0)))
    least = max(_LEAST_SHARE * wide, smallest)
    error = np.maximum(np.where(present, variance, 0.0) * growth**2, ((own * larger)[:, None]) ** 2)
    precision = 1.0 / np.maximum(error, least**2)
    residual = z - centre[0] - centre[1] * x
    belongs = present.copy()
    most = present.sum(axis=1) // 2
    for _ in range(int(most.max())):
        weight = np.where(belongs, precision, 0.0)
        # The inverse of the covariance of a device's readings, by Woodbury's formula.
        a = wide**-2.0 + weight.sum(axis=1)
        b = (weight * x).sum(axis=1)
        c = tilt**-2.0 + (weight * x**2).sum(axis=1)
        det = a * c - b**2
        u, v = (weight * residual).sum(axis=1), (weight * x * residual).sum(axis=1)
        expected = ((c * u - b * v) / det)[:, None] + ((a * v - b * u) / det)[:, None] * x
        leverage = weight * (c[:, None] - 2 * b[:, None] * x + a[:, None] * x**2) / det[:, None]
        # What a reading keeps against the prediction of all others, in standard deviations.
        far = np.abs(residual - expected) * np.sqrt(weight / np.maximum(1 - leverage, 1e-12))
        worst = far.argmax(axis=1)
        rows = np.flatnonzero((far.max(axis=1) > _FAR) & ((present & ~belongs).sum(axis=1) < most))
        if not rows.size:
            break
        belongs[rows, worst[rows]] = False
    return belongs


def _straight(x: np.ndarray, y: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intercept, slope and sum of squared residuals of each row's line."""
    count = np.maximum(kept.sum(axis=1), 1)
    mean_x, mean_y = (x * kept).sum(axis=1) / count, (y * kept).sum(axis=1) / count
    dx = np.where(kept, x - mean_x[:, None], 0.0)
    square = (dx**2).sum(axis=1)
    slope = np.where(square > 0, (dx * y).sum(axis=1) / np.where(square > 0, square, 1.0), 0.0)
    residual = np.where(kept, y - mean_y[:, None] - slope[:, None] * dx, 0.0)
    return mean_y - slope * mean_x, slope, (residual**2).sum(axis=1)


def exponents(
    data: Trajectories, wrong: np.ndarray, node: np.ndarray, variance: np.ndarray, smallest: float
) -> Exponents:
    """Fit a power law of time to every device by weighted least squares.

    Devices with two readings take their weights from those with more.

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
    long = (times >= 2) & (span > 0)
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
    # Of the squares about a course that is fitted, as many are left as it has parameters less.
    left = np.where(kept, (np.maximum(times - 2, 0) / np.maximum(times, 1))[:, None], 0.0)
    for _ in range(_STEPS):
        decay = np.exp(-exponent[:, None] * x)
        course = level[:, None] * decay
        residual = np.where(kept, y - course, 0.0)
        for k in np.unique(node[long]):
            mine = long & (node == k)
            own = residual[mine] ** 2
            excess = own.sum() - (left[mine] * variance[mine]).sum()
            relative[k] = max(excess, 0.0) / max(float((left[mine] * course[mine] ** 2).sum()), floor)
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
        mine = long & (node == k)
        usual = relative[k] * np.maximum(course[mine] ** 2, (course[mine] ** 2)[kept[mine]].mean())
        own = (residual[mine] ** 2 / (variance[mine] + usual + floor)).sum(axis=1)
        limit = scale_of_squares(own, freedom[mine]) * special.chdtri(np.maximum(freedom[mine], 1), _UNLIKELY)
        long[mine] = (freedom[mine] == 0) | (own <= limit + _LEAST_SQUARES)
        strong &= long
        mine = strong & (node == k)
        if freedom[mine].sum() > 0:
            certain[mine] *= weighted[mine].sum() / freedom[mine].sum()
    shown = long & (freedom > 0)
    bend, bend_error = _bend(x, weight, decay, course, residual, strong & (times >= 4))
    return Exponents(
        wrong,
        np.where(strong, exponent, np.nan),
        certain,
        np.where(shown, squares, 0.0),
        np.where(shown, expected, 0.0),
        bend,
        bend_error,
    )


def _start(x: np.ndarray, y: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level at the reference read and exponent of each row, from a straight line."""
    count = np.maximum(kept.sum(axis=1), 1)
    mean_x, mean_y = (x * kept).sum(axis=1) / count, (y * kept).sum(axis=1) / count
    _, slope, _ = _straight(x, y, kept)
    exponent = np.where(mean_y > 0, -slope / np.where(mean_y > 0, mean_y, 1.0), 0.0)
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
