"""Standardised residuals of a measured law, as monotone functions of a standard normal."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from reliability.errors import UserError

DISTRIBUTIONS: dict[str, tuple[float, float] | None] = {
    "normal": None,
    "logistic": None,
    "student_t": (3.0, 100.0),
    "skew_normal": (-8.0, 8.0),
    "lognormal": (-1.0, 1.0),
}
"""Distributions by name, each with the range of its shape where it has one."""

UNCLAMPED = 8.0
"""Above so many standard deviations a mean counts as out of reach of the clamp at zero."""

_LOWEST = -1.0
_LOGISTIC = math.sqrt(3) / math.pi
_LEAST_SHAPE = 1e-3


@dataclass(frozen=True)
class Residual:
    """A standardised distribution: mean 0, variance 1.

    Parameters
    ----------
    distribution : str
        ``"normal"``, ``"logistic"``, ``"student_t"`` (``shape`` is its degrees of freedom), ``"skew_normal"``
        (``shape`` is SciPy's ``a``) or ``"lognormal"`` (``shape`` is the standard deviation of the logarithm;
        below zero the long tail lies on the lower side).
    shape : float
    """

    distribution: str = "normal"
    shape: float = 0.0

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            allowed = ", ".join(DISTRIBUTIONS)
            raise UserError(f"distribution = {self.distribution!r} of a residual must be one of {allowed}")
        limits = DISTRIBUTIONS[self.distribution]
        if limits is not None and not limits[0] <= self.shape <= limits[1]:
            low, high = limits
            raise UserError(
                f"shape = {self.shape!r} of a {self.distribution} residual must be between {low:g} and "
                f"{high:g}"
            )

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Natural logarithm of the density."""
        name, shape = self.distribution, self.shape
        if name == "logistic":
            z = x / _LOGISTIC
            return -np.logaddexp(0, z) - np.logaddexp(0, -z) - math.log(_LOGISTIC)
        if name == "student_t":
            scale = math.sqrt((shape - 2) / shape)
            constant = math.lgamma((shape + 1) / 2) - math.lgamma(shape / 2)
            constant -= 0.5 * math.log(shape * math.pi) + math.log(scale)
            return constant - (shape + 1) / 2 * np.log1p((x / scale) ** 2 / shape)
        if name == "skew_normal":
            mean, sd = _moments_of_skew_normal(shape)
            z = mean + sd * x
            return math.log(2 * sd) + _log_normal_density(z) + special.log_ndtr(shape * z)
        if name == "lognormal" and abs(shape) >= _LEAST_SHAPE:
            mean, sd = _moments_of_lognormal(abs(shape))
            argument = mean + math.copysign(sd, shape) * x
            inside = argument > 0
            log = np.log(np.where(inside, argument, 1.0))
            density = _log_normal_density(log / shape) - log + math.log(sd / abs(shape))
            return np.where(inside, density, -np.inf)
        return _log_normal_density(x)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Distribution function."""
        name, shape = self.distribution, self.shape
        if name == "logistic":
            return special.expit(x / _LOGISTIC)
        if name == "student_t":
            return special.stdtr(shape, x / math.sqrt((shape - 2) / shape))
        if name == "skew_normal":
            mean, sd = _moments_of_skew_normal(shape)
            z = mean + sd * x
            return np.clip(special.ndtr(z) - 2 * special.owens_t(z, shape), 0.0, 1.0)
        if name == "lognormal" and abs(shape) >= _LEAST_SHAPE:
            mean, sd = _moments_of_lognormal(abs(shape))
            argument = np.maximum(mean + math.copysign(sd, shape) * x, 1e-300)
            return special.ndtr(np.log(argument) / shape)
        return special.ndtr(x)

    def quantile(self, xi: np.ndarray) -> np.ndarray:
        """The value with as much probability below it as the standard normal has below ``xi``."""
        name, shape = self.distribution, self.shape
        if name == "logistic":
            return _LOGISTIC * (special.log_ndtr(xi) - special.log_ndtr(-xi))
        if name == "student_t":
            # From the lower tail, where probabilities keep their digits.
            size = special.stdtrit(shape, special.ndtr(-np.abs(xi)))
            return -np.sign(xi) * size * math.sqrt((shape - 2) / shape)
        if name == "skew_normal":
            values, normal = _table_of_skew_normal(abs(shape))
            return math.copysign(1, shape) * np.interp(math.copysign(1, shape) * xi, normal, values)
        if name == "lognormal" and abs(shape) >= _LEAST_SHAPE:
            mean, sd = _moments_of_lognormal(abs(shape))
            return math.copysign(1, shape) * (np.exp(shape * xi) - mean) / sd
        return np.asarray(xi, float)

    def rectified(self, mean: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of ``max(0, mean + sigma Z)``, ``Z`` being of this distribution."""
        safe = np.where(sigma > 0, sigma, 1.0)
        a = np.where(sigma > 0, mean / safe, np.where(mean > 0, np.inf, -np.inf))
        grid, means, sds = _rectified_table(self.distribution, self.shape)
        free = a >= grid[-1]
        cut_mean = np.where(free, mean, safe * np.interp(a, grid, means))
        cut_sd = np.where(free, sigma, safe * np.interp(a, grid, sds))
        nothing = (sigma <= 0) & (mean <= 0)
        return np.where(nothing, 0.0, cut_mean), np.where(nothing, 0.0, cut_sd)

    def before_clamp(self, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean and sigma whose clamp at zero has this mean and standard deviation.

        Where the mean is so small for its spread that the cells would lie more than one sigma below zero,
        that is where they are put, with the same mean square.
        """
        grid, means, sds = _rectified_table(self.distribution, self.shape)
        inside = (grid >= _LOWEST) & (grid <= UNCLAMPED)
        grid, means, sds = grid[inside], means[inside], sds[inside]
        ratio = np.where(sd > 0, mean / np.where(sd > 0, sd, 1.0), np.inf)
        ratios = means / sds
        a = np.interp(ratio, ratios, grid)
        sigma = sd / np.interp(a, grid, sds)
        square = np.hypot(np.maximum(mean, 0.0), sd) / math.hypot(means[0], sds[0])
        sigma = np.where(ratio < ratios[0], square, sigma)
        free = ratio >= ratios[-1]
        return np.where(free, mean, a * sigma), np.where(free, sd, sigma)


def _log_normal_density(x: np.ndarray) -> np.ndarray:
    return -0.5 * np.square(x) - 0.5 * math.log(2 * math.pi)


def _moments_of_skew_normal(shape: float) -> tuple[float, float]:
    delta = shape / math.hypot(1, shape)
    return delta * math.sqrt(2 / math.pi), math.sqrt(1 - 2 * delta**2 / math.pi)


def _moments_of_lognormal(shape: float) -> tuple[float, float]:
    mean = math.exp(shape**2 / 2)
    return mean, mean * math.sqrt(math.expm1(shape**2))


@functools.lru_cache(maxsize=64)
def _table_of_skew_normal(shape: float) -> tuple[np.ndarray, np.ndarray]:
    """Values and the standard normal quantiles of their probabilities, for a shape of zero or more."""
    z = np.linspace(-9, 9, 3601)
    below = special.ndtr(z) - 2 * special.owens_t(z, shape)
    above = special.ndtr(-z) + 2 * special.owens_t(z, shape)
    # The differences of the lower tail lose their digits below 1e-14, out of reach of any latent.
    normal = np.where(below < 0.5, special.ndtri(np.maximum(below, 0)), -special.ndtri(np.maximum(above, 0)))
    kept = (below > 1e-14) & np.isfinite(normal)
    mean, sd = _moments_of_skew_normal(shape)
    return (z[kept] - mean) / sd, np.maximum.accumulate(normal[kept])


@functools.lru_cache(maxsize=64)
def _rectified_table(distribution: str, shape: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of ``max(0, a + Z)`` on a grid of ``a``."""
    a = np.linspace(-5, UNCLAMPED + 4, 681)
    if distribution == "normal":
        below, density = special.ndtr(a), np.exp(_log_normal_density(a))
        mean = a * below + density
        square = (a * a + 1) * below + a * density
        return a, mean, np.sqrt(np.maximum(square - mean**2, 0))
    xi = np.linspace(-8, 8, 3201)
    weights = np.exp(_log_normal_density(xi))
    weights /= weights.sum()
    cut = np.maximum(a[:, None] + Residual(distribution, shape).quantile(xi), 0.0)
    mean = cut @ weights
    return a, mean, np.sqrt(np.maximum(np.square(cut) @ weights - mean**2, 0))
