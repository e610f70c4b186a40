"""Drift exponents of the states, from each device's own course or from the mean and spread at each time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from reliability.fitting.robust import window
from reliability.fitting.trajectories import Exponents, Trajectories

_FEWEST = 10
_GROUP = 20
_FEWEST_TIMES = 4
_ROUNDS = 8
# An exponent of a state less certain than this is taken from its neighbours.
_LEAST_CERTAIN = 0.05
_LARGEST_EXPONENT = 0.5


class Drift(ABC):
    """Exponent and fluctuation of each state.

    Attributes
    ----------
    exponent, spread : ndarray, shape (states,)
        Mean and standard deviation over devices; NaN where the readings do not show them.
    """

    exponent: np.ndarray
    spread: np.ndarray

    @abstractmethod
    def resampled(
        self, k: int, mine: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exponent, spread and relative variance of the fluctuation of state ``k``, for every row of weights.

        Parameters
        ----------
        k : int
        mine : ndarray of int, shape (devices,)
            The devices of the state.
        weights : ndarray, shape (resamples, devices)
        """

    @abstractmethod
    def bend(self, k: int, mine: np.ndarray) -> tuple[float, float]:
        """Whether the mean of state ``k`` bends against a power of time.

        Returns
        -------
        tuple of float
            Chi-squared of one degree of freedom, and the largest relative departure; NaN where unknown.
        """


@dataclass(frozen=True, eq=False)
class DriftOfDevices(Drift):
    """From the exponents of single devices: a mean of random effects, each weighted by how certain it is.

    Squares about a device's own course tell the fluctuation; this takes three readings of a device.
    """

    exponents: Exponents
    used: np.ndarray
    exponent: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, exponents: Exponents, node: np.ndarray, states: int) -> DriftOfDevices:
        """Weigh the devices of every state."""
        used = np.isfinite(exponents.exponent)
        mean, spread = np.full(states, np.nan), np.full(states, np.nan)
        for k in range(states):
            mine = np.flatnonzero(used & (node == k))
            if mine.size < _FEWEST:
                used[mine] = False
                continue
            own, error = exponents.exponent[mine], exponents.variance[mine]
            low, high = window(own, 1e-9)
            inside = (own >= low) & (own <= high)
            used[mine] = inside
            own, error = own[inside], error[inside]
            variance = own.var()
            for _ in range(_ROUNDS):
                weight = 1 / (variance + error + 1e-12)
                mean[k] = (weight * own).sum() / weight.sum()
                excess = (weight * ((own - mean[k]) ** 2 - error)).sum() / weight.sum()
                variance = max(excess * own.size / (own.size - 1), 0.0)
            spread[k] = np.sqrt(variance)
        return cls(exponents, used, mean, spread)

    @property
    def shown(self) -> bool:
        """Whether any state has enough devices whose readings tell both drift and fluctuation."""
        return bool(np.isfinite(self.exponent).any() and (self.exponents.expected > 0).sum() >= _FEWEST)

    def resampled(self, k, mine, weights):
        """See :class:`Drift`."""
        found = self.exponents
        used = self.used[mine]
        nothing = np.full(len(weights), np.nan)
        mean, spread, fluctuation = nothing, nothing, nothing
        if used.sum() >= _FEWEST:
            own, error = np.where(used, found.exponent[mine], 0.0), np.where(used, found.variance[mine], 0.0)
            weight = np.where(used, 1 / (self.spread[k] ** 2 + error + 1e-12), 0.0)
            weight /= weight.sum()
            shifted = own - self.exponent[k]
            columns = [used * 1.0, weight, weight * shifted, weight * shifted**2, weight * error]
            count, total, first, second, noise = (weights @ np.stack(columns, axis=1)).T
            shift = first / total
            mean = self.exponent[k] + shift
            variance = (second / total - shift**2) * count / np.maximum(count - 1, 1) - noise / total
            spread = np.sqrt(np.maximum(variance, 0.0))
        if (found.expected[mine] > 0).sum() >= _FEWEST:
            squares, expected = (weights @ np.stack([found.squares[mine], found.expected[mine]], axis=1)).T
            usable = expected > 0
            fluctuation = np.where(usable, np.maximum(squares, 0) / np.where(usable, expected, 1.0), np.nan)
        return mean, spread, fluctuation

    def bend(self, k, mine):
        """See :class:`Drift`."""
        used = np.isfinite(self.exponents.bend[mine])
        bend, error = self.exponents.bend[mine][used], self.exponents.bend_error[mine][used]
        if used.sum() < 2 * _FEWEST or not bend.any():
            return math.nan, math.nan
        return _of_scores(bend / error), float(abs((bend / error**2).sum() / (1 / error**2).sum()))


@dataclass(frozen=True, eq=False)
class DriftOfStates(Drift):
    """From all devices of a state together: the mean's slope over time, and how fast the spread grows.

    For devices of which one or two readings are known. What of their spread is fluctuation cannot be told.
    """

    exponent: np.ndarray
    spread: np.ndarray
    # By device and reading: weight, time after the state's first, value over the course, squared deviation.
    weight: np.ndarray
    time: np.ndarray
    ratio: np.ndarray
    square: np.ndarray

    @classmethod
    def of(
        cls,
        data: Trajectories,
        wrong: np.ndarray,
        node: np.ndarray,
        earliest: np.ndarray,
        variance: np.ndarray,
        smallest: float,
    ) -> DriftOfStates:
        """Fit the readings of every state.

        Parameters
        ----------
        data : Trajectories
        wrong : ndarray of bool, shape (devices, times)
        node : ndarray of int, shape (devices,)
        earliest : ndarray, shape (states,)
            Logarithmic time of each state's first reading.
        variance : ndarray, shape (devices, times)
            Of the measurement, uS**2.
        smallest : float
            A conductance that counts as nothing, uS.
        """
        states = earliest.size
        known = np.isfinite(data.g_us) & ~wrong
        time = np.where(known, data.log_time - earliest[node][:, None], 0.0)
        weight = np.zeros(known.shape)
        ratio, square = np.ones(known.shape), np.zeros(known.shape)
        mean, spread = np.full(states, np.nan), np.full(states, np.nan)
        for k in range(states):
            mine = np.flatnonzero(node == k)
            x, y = time[mine], np.where(known[mine], data.g_us[mine], 0.0)
            noise = np.where(known[mine], variance[mine], 0.0)
            plain = known[mine].copy()
            plain[plain] = _plain(x[plain], y[plain])
            level = float(y[plain & (x < 1e-9)].mean())
            if level <= smallest or x.max() <= 0:
                continue
            exponent = growth = 0.0
            ones = np.ones((1, mine.size))
            for step in range(2 * _ROUNDS):
                decay = np.exp(-exponent * x)
                # A spread of exponents slows the mean down; it is known only once the mean's slope is.
                course = level * decay * (1 + min(growth, exponent**2) * x**2 / 2)
                z, w = y / course, plain * decay**2
                slope, start = (float(found[0]) for found in _line(ones, w, x, z))
                exponent = float(np.clip(exponent - slope / start, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
                level = max(level * start, smallest)
                error = (z - start - slope * x) ** 2 - noise / course**2
                if step == _ROUNDS:
                    growth = float(_spread(ones, w, x, error)[0] ** 2)
            middle = (w * x).sum() / max(w.sum(), 1e-300)
            certain = (w**2 * (x - middle) ** 2 * (z - 1) ** 2).sum() / max(
                (w * (x - middle) ** 2).sum(), 1e-300
            ) ** 2
            if level > smallest and certain < _LEAST_CERTAIN**2:
                weight[mine], ratio[mine], square[mine] = w, z, error
                mean[k], spread[k] = exponent, np.sqrt(growth)
        return cls(mean, spread, weight, time, ratio, square)

    def resampled(self, k, mine, weights):
        """See :class:`Drift`."""
        nothing = np.full(len(weights), np.nan)
        if not np.isfinite(self.exponent[k]):
            return nothing, nothing, nothing
        used, x = self.weight[mine], self.time[mine]
        slope, start = _line(weights, used, x, self.ratio[mine])
        slope = slope / start
        spread = _spread(weights, used, x, self.square[mine])
        return self.exponent[k] - (slope - slope[0]), spread, nothing

    def bend(self, k, mine):
        """See :class:`Drift`."""
        w, x, z = self.weight[mine], self.time[mine], self.ratio[mine]
        if not np.isfinite(self.exponent[k]) or np.unique(x[w > 0]).size < _FEWEST_TIMES:
            return math.nan, math.nan
        ones = np.ones((1, mine.size))
        slope, start = _line(ones, w, x, x**2)
        along = x**2 - start - slope * x
        slope, start = _line(ones, w, x, z)
        scores = (w * along * (z - start - slope * x)).sum(axis=1)
        if not scores.any():
            return math.nan, math.nan
        return _of_scores(scores), float(
            abs(scores.sum() / (w * along**2).sum()) * np.abs(along[w > 0]).max()
        )


def _of_scores(scores: np.ndarray) -> float:
    """Chi-squared of independent scores whose sum is zero where the law holds."""
    return float(scores.sum() ** 2 / (scores.size * scores.var(ddof=1)))


def _plain(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which rows are no outliers among those of about their own time."""
    order = np.argsort(x, kind="stable")
    plain = np.zeros(x.size, bool)
    first = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0]).tolist()
    # Times that few rows share go with the next ones.
    last = 0
    for begin, end in zip(first, [*first[1:], x.size], strict=True):
        last = min(last, begin)
        if end - last >= _GROUP or end == x.size:
            group = order[max(0, min(last, x.size - _GROUP)) : end]
            low, high = window(y[group], 1e-12)
            plain[group] = (y[group] >= low) & (y[group] <= high)
            last = end
    return plain


def _line(
    weights: np.ndarray, used: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept by least squares, for every row of weights.

    Parameters
    ----------
    weights : ndarray, shape (resamples, devices)
    used, x, y : ndarray, shape (devices, times)
    """
    columns = np.stack([used, used * x, used * x * x, used * y, used * x * y], axis=-1).sum(axis=1)
    n, sx, sxx, sy, sxy = (weights @ columns).T
    slope = (n * sxy - sx * sy) / (n * sxx - sx**2)
    return slope, (sy - slope * sx) / n


def _spread(weights: np.ndarray, used: np.ndarray, x: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Spread of normal exponents whose powers of time make the spread of conductances grow as it does.

    Squares are those of the deviation from the mean, over the square of the mean at that time: with ``c**2``
    at the start, ``(1 + c**2) exp((spread x)**2) - 1``.
    """
    growth, start = _line(weights, used**2, x**2, square)
    longest = float(x.max()) ** 2
    if longest <= 0:
        return np.zeros(len(weights))
    ratio = np.maximum(growth, 0.0) * longest / (1 + np.maximum(start, 0.0))
    return np.sqrt(np.log1p(ratio) / longest)
