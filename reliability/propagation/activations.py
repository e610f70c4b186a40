"""What an activation makes of a normal variable: mean, slopes and variance, with their derivatives.

For ``h(z)``, ``z ~ N(m, c)``, derivatives by the variance follow from those by the mean (R. Price, IRE Trans.
Inf. Theory 4:69, 1958): ``d E[h] / dc = E[h''] / 2``. The covariance of two activations is the series
``sum of E[h_i^(n)] E[h_j^(n)] c_ij^n / n!``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import ndtr

from reliability.layers import Layer, ReLU, ReLU6, Sigmoid, Tanh

_TINY = 1e-30
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Passed(NamedTuple):
    """What comes out: arrays of the shape of the mean that went in.

    ``gain`` is the mean slope E[h'], ``bend`` the mean second derivative E[h''].
    """

    mean: np.ndarray
    variance: np.ndarray
    gain: np.ndarray
    bend: np.ndarray


class Activation(Protocol):
    """An elementwise function of a normal variable."""

    def value(self, z: np.ndarray) -> np.ndarray:
        """The function itself."""

    def forward(self, m: np.ndarray, c: np.ndarray) -> Passed:
        """Moments of the output, of mean ``m`` and variance ``c`` of the input."""

    def backward(self, m: np.ndarray, c: np.ndarray, bars: Passed) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives by ``m`` and ``c``, from those by the output's moments."""

    def derivative(self, z: np.ndarray) -> np.ndarray:
        """The derivative h'."""

    def bends(self, m: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the second and third derivative; 0 where nothing varies."""


@dataclass(frozen=True)
class Clamp:
    """``min(max(z, low), high)``: ReLU, ReLU6 and the range of a converter, in closed form."""

    low: float = 0.0
    high: float = math.inf

    def value(self, z: np.ndarray) -> np.ndarray:
        """The function itself."""
        return np.clip(z, self.low, self.high)

    def _parts(self, m: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, list[tuple[int, float, np.ndarray]]]:
        """Standard deviation, and of each edge its side, value and distance in standard deviations."""
        s = np.sqrt(np.maximum(c, _TINY))
        edges = ((1, self.low), (-1, self.high))
        return s, [(side, edge, (edge - m) / s) for side, edge in edges if math.isfinite(edge)]

    def forward(self, m: np.ndarray, c: np.ndarray) -> Passed:
        """Moments of the output."""
        s, edges = self._parts(m, c)
        mean, square, lifted = np.zeros_like(m), np.zeros_like(m), np.zeros_like(m)
        inside = np.ones_like(m)
        for sign, edge, a in edges:
            beyond = ndtr(sign * a)
            density = np.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
            inside -= beyond
            mean += edge * beyond
            square += edge * edge * beyond + sign * s * density * (m + edge)
            lifted += sign * density
        mean += m * inside + s * lifted
        square += (m * m + s * s) * inside
        variance = np.maximum(square - mean * mean, 0)
        return Passed(mean, np.where(c > 0, variance, 0), inside, lifted / s)

    def backward(self, m: np.ndarray, c: np.ndarray, bars: Passed) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives by mean and variance of the input."""
        s, edges = self._parts(m, c)
        mean, _, gain, bend = self.forward(m, c)
        third, fourth, reached = np.zeros_like(m), np.zeros_like(m), np.zeros_like(m)
        lifted = bend * s
        for sign, edge, a in edges:
            density = sign * np.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
            third += a * density / s**2
            fourth += (a * a - 1) * density / s**3
            reached += edge * density / s
        by_m = 2 * (m * gain + s * lifted) - 2 * mean * gain
        by_c = gain + reached - mean * bend
        m_bar = bars.mean * gain + bars.variance * by_m + bars.gain * bend + bars.bend * third
        c_bar = 0.5 * (bars.mean * bend + bars.gain * third + bars.bend * fourth) + bars.variance * by_c
        return m_bar, np.where(c > 0, c_bar, 0)

    def derivative(self, z: np.ndarray) -> np.ndarray:
        """The derivative: whether it is between the edges."""
        return ((z > self.low) & (z < self.high)).astype(z.dtype)

    def bends(self, m: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the second and third derivative; 0 where nothing varies."""
        s, edges = self._parts(m, c)
        second, third = np.zeros_like(m), np.zeros_like(m)
        for sign, _, a in edges:
            density = np.exp(-0.5 * a * a) * sign / (math.sqrt(2 * math.pi) * s)
            second += density
            third += a * density / s
        return np.where(c > _TINY, second, 0), np.where(c > _TINY, third, 0)


@dataclass(frozen=True)
class Smooth:
    """Sigmoid or tanh, by Gauss-Hermite quadrature; derivatives are those of the quadrature itself.

    Parameters
    ----------
    scale, shift, slope : float
        ``h(z) = scale tanh(slope z) + shift``.
    """

    scale: float = 1.0
    shift: float = 0.0
    slope: float = 1.0

    def value(self, z: np.ndarray) -> np.ndarray:
        """The function itself."""
        return self.scale * np.tanh(self.slope * z) + self.shift

    def _derivatives(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        t = np.tanh(self.slope * z)
        d = 1 - t * t
        k, a = self.slope, self.scale
        return a * t + self.shift, a * k * d, -2 * a * k**2 * t * d, a * k**3 * d * (6 * t * t - 2)

    def forward(self, m: np.ndarray, c: np.ndarray) -> Passed:
        """Moments of the output."""
        s = np.sqrt(np.maximum(c, 0))
        mean, square, gain, bend = (np.zeros_like(m) for _ in range(4))
        for x, w in zip(_NODES, _WEIGHTS, strict=True):
            h, first, second, _ = self._derivatives(m + s * x)
            mean += w * h
            square += w * h * h
            gain += w * first
            bend += w * second
        return Passed(mean, np.maximum(square - mean * mean, 0), gain, bend)

    def backward(self, m: np.ndarray, c: np.ndarray, bars: Passed) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives by mean and variance of the input."""
        s = np.sqrt(np.maximum(c, _TINY))
        mean = self.forward(m, c).mean
        m_bar, c_bar = np.zeros_like(m), np.zeros_like(m)
        for x, w in zip(_NODES, _WEIGHTS, strict=True):
            h, first, second, third = self._derivatives(m + s * x)
            by_h = bars.mean - 2 * mean * bars.variance + 2 * h * bars.variance
            by_z = w * (by_h * first + bars.gain * second + bars.bend * third)
            m_bar += by_z
            c_bar += by_z * x / (2 * s)
        return m_bar, np.where(c > 0, c_bar, 0)

    def derivative(self, z: np.ndarray) -> np.ndarray:
        """The derivative h'."""
        return self._derivatives(z)[1]

    def bends(self, m: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the second and third derivative; 0 where nothing varies."""
        s = np.sqrt(np.maximum(c, 0))
        second, third = np.zeros_like(m), np.zeros_like(m)
        for x, w in zip(_NODES, _WEIGHTS, strict=True):
            _, _, twice, thrice = self._derivatives(m + s * x)
            second += w * twice
            third += w * thrice
        return np.where(c > _TINY, second, 0), np.where(c > _TINY, third, 0)


_KINDS: dict[type, Activation] = {
    ReLU: Clamp(),
    ReLU6: Clamp(0.0, 6.0),
    Sigmoid: Smooth(0.5, 0.5, 0.5),
    Tanh: Smooth(),
}


def activation_of(layer: Layer) -> Activation | None:
    """The activation that a layer is, or None."""
    return _KINDS.get(type(layer))
