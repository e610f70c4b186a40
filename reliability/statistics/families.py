"""The families of distributions that errors are compared with, in standardised units.

Values are standardised before they are fitted: shifted and scaled for families on the whole line, only scaled
for families of positive values, whose location is zero. A free location would leave the likelihoods of
lognormal, gamma and Weibull unbounded, so these three have two parameters and are offered only where every
value is positive. Scales are held as logarithms, so that no step leaves them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy import special

from reliability.statistics.family import FAR, ClosedForm, Family, Searched
from reliability.statistics.likelihood import Array
from reliability.statistics.mixture import expectation_maximisation

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_LOG_SCALE = (-12.0, 12.0)


class _Located(Family):
    """A family whose first two parameters are location and scale."""

    bounds: ClassVar[tuple[tuple[float, float], ...]] = ((-FAR, FAR), _LOG_SCALE)

    def told(self, theta: Array, shift: float, scale: float) -> Array:
        told = theta.copy()
        told[:, 0] = shift + scale * theta[:, 0]
        told[:, 1] = scale * np.exp(theta[:, 1])
        return told


def _standard(z: Array, theta: Array) -> tuple[Array, Array]:
    """Standardised values, and the scale as a column."""
    scale = np.exp(theta[:, 1, None])
    return (z - theta[:, 0, None]) / scale, scale


class _Normal(ClosedForm, _Located):
    name = "normal"
    parameters = ("mean", "sd")

    def terms(self, z, theta):
        y, scale = _standard(z, theta)
        return -_HALF_LOG_TWO_PI - theta[:, 1, None] - 0.5 * y * y, (y / scale, y * y - 1.0)

    def refit(self, z, theta):
        return np.stack([z.mean(axis=1), np.log(z.std(axis=1))], axis=1)

    def cdf(self, z, theta):
        return special.ndtr(_standard(z, theta)[0])

    def survival(self, z, theta):
        return special.ndtr(-_standard(z, theta)[0])

    def quantile(self, p, theta):
        return theta[0] + np.exp(theta[1]) * special.ndtri(p)

    def draw(self, random, theta, shape):
        return theta[0] + np.exp(theta[1]) * random.standard_normal(shape)


class _StudentT(Searched, _Located):
    """Its third internal parameter is one over the degrees of freedom, in which the normal is no far end."""

    name = "student_t"
    parameters = ("location", "scale", "degrees_of_freedom")
    bounds = (*_Located.bounds, (1e-3, 10.0))

    def terms(self, z, theta):
        y, scale = _standard(z, theta)
        nu = 1.0 / theta[:, 2, None]
        square = y * y
        logs, weight = np.log1p(square / nu), (nu + 1.0) / (nu + square)
        constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
        density = constant - theta[:, 1, None] - 0.5 * (nu + 1.0) * logs
        by_nu = special.psi((nu + 1) / 2) - special.psi(nu / 2) - 1.0 / nu - logs + weight * square / nu
        return density, (weight * y / scale, weight * square - 1.0, -0.5 * nu * nu * by_nu)

    def starts(self, z):
        width = math.log(np.subtract(*np.quantile(z, [0.75, 0.25])) / 1.4 or z.std())
        return [(np.median(z), width, 0.3), (z.mean(), math.log(z.std()), 0.03)]

    def cdf(self, z, theta):
        return special.stdtr(1.0 / theta[:, 2, None], _standard(z, theta)[0])

    def survival(self, z, theta):
        return special.stdtr(1.0 / theta[:, 2, None], -_standard(z, theta)[0])

    def quantile(self, p, theta):
        return theta[0] + np.exp(theta[1]) * special.stdtrit(1.0 / theta[2], p)

    def draw(self, random, theta, shape):
        return theta[0] + np.exp(theta[1]) * random.standard_t(1.0 / theta[2], shape)

    def told(self, theta, shift, scale):
        told = super().told(theta, shift, scale)
        told[:, 2] = 1.0 / theta[:, 2]
        return told


class _SkewNormal(Searched, _Located):
    name = "skew_normal"
    parameters = ("location", "scale", "shape")
    # Beyond, the density is a half normal one; few values often have their greatest likelihood at infinity.
    bounds = (*_Located.bounds, (-50.0, 50.0))

    def terms(self, z, theta):
        y, scale = _standard(z, theta)
        shape = theta[:, 2, None]
        logs = special.log_ndtr(shape * y)
        density = math.log(2.0) - _HALF_LOG_TWO_PI - theta[:, 1, None] - 0.5 * y * y + logs
        hazard = np.exp(-0.5 * np.square(shape * y) - _HALF_LOG_TWO_PI - logs)
        slope = y - shape * hazard
        return density, (slope / scale, y * slope - 1.0, y * hazard)

    def starts(self, z):
        centred = z - z.mean()
        sd = z.std()
        skewness = np.clip((centred**3).mean() / sd**3, -0.9, 0.9)
        power = abs(skewness) ** (2 / 3)
        delta = math.copysign(math.sqrt(np.pi / 2 * power / (power + (2 - np.pi / 2) ** (2 / 3))), skewness)
        starts: list[Sequence[float]] = []
        for tried in (delta, 0.7, -0.7):
            scale = sd / math.sqrt(1 - 2 * tried**2 / np.pi)
            shift = z.mean() - scale * tried * math.sqrt(2 / np.pi)
            starts.append((shift, math.log(scale), tried / math.sqrt(1 - tried**2)))
        return starts

    def cdf(self, z, theta):
        return self._below(_standard(z, theta)[0], theta[:, 2, None])

    def survival(self, z, theta):
        return self._below(-_standard(z, theta)[0], -theta[:, 2, None])

    @staticmethod
    def _below(y: Array, shape: Array) -> Array:
        # The light tail is a difference of nearly equal numbers and can come out below zero.
        return np.maximum(special.ndtr(y) - 2.0 * special.owens_t(y, shape), 0.0)

    def draw(self, random, theta, shape):
        delta = theta[2] / math.hypot(1.0, theta[2])
        half = delta * np.abs(random.standard_normal(shape))
        return theta[0] + np.exp(theta[1]) * (
            half + math.sqrt(1 - delta * delta) * random.standard_normal(shape)
        )


class _Logistic(Searched, _Located):
    name = "logistic"
    parameters = ("location", "scale")

    def terms(self, z, theta):
        y, scale = _standard(z, theta)
        size = np.abs(y)
        slope = np.tanh(0.5 * y)
        density = -theta[:, 1, None] - size - 2.0 * np.log1p(np.exp(-size))
        return density, (slope / scale, y * slope - 1.0)

    def starts(self, z):
        return [(np.median(z), math.log(z.std() * math.sqrt(3) / np.pi))]

    def cdf(self, z, theta):
        return special.expit(_standard(z, theta)[0])

    def survival(self, z, theta):
        return special.expit(-_standard(z, theta)[0])

    def quantile(self, p, theta):
        return theta[0] + np.exp(theta[1]) * special.logit(p)

    def draw(self, random, theta, shape):
        return random.logistic(theta[0], np.exp(theta[1]), shape)


class _ExtremeValue(Searched, _Located):
    """Maximum likelihood is regular only for shapes above -1/2, so this is where the shape is held."""

    name = "generalised_extreme_value"
    parameters = ("location", "scale", "shape")
    bounds = (*_Located.bounds, (-0.5, 1.0))

    @staticmethod
    def _exponent(y: Array, xi: Array) -> tuple[Array, Array]:
        """log(1 + xi y) / xi, and its derivative by xi."""
        flat = np.abs(xi) < 1e-5
        safe = np.where(flat, 1.0, xi)
        exponent = np.log1p(safe * y) / safe
        bent = (y / (1.0 + safe * y) - exponent) / safe
        if flat.any():
            exponent = np.where(flat, y - 0.5 * xi * y * y, exponent)
            bent = np.where(flat, -0.5 * y * y + 2 / 3 * xi * y**3, bent)
        return exponent, bent

    def terms(self, z, theta):
        y, scale = _standard(z, theta)
        xi = theta[:, 2, None]
        exponent, bent = self._exponent(y, xi)
        small = np.exp(-exponent)
        density = -theta[:, 1, None] - (1.0 + xi) * exponent - small
        density = np.where(xi * y > -1.0, density, -np.inf)
        slope = small - (1.0 + xi)
        inner = slope / (1.0 + xi * y)
        return density, (-inner / scale, -1.0 - inner * y, -exponent + slope * bent)

    def starts(self, z):
        first, second, third = l_moments(z)
        c = 2.0 / (3.0 + third / second) - math.log(2.0) / math.log(3.0)
        k = min(max(7.859 * c + 2.9554 * c * c, -0.9), 0.45) or 1e-9
        starts: list[Sequence[float]] = []
        # From light to heavy tails: a start under which a value is impossible is of no use.
        for tried in (k, 1e-9):
            gamma = math.gamma(1.0 + tried)
            scale = second * tried / ((1.0 - 2.0**-tried) * gamma)
            starts.append((first - scale * (1.0 - gamma) / tried, math.log(scale), -tried))
        return starts

    def cdf(self, z, theta):
        y, xi = _standard(z, theta)[0], theta[:, 2, None]
        with np.errstate(all="ignore"):
            below = np.exp(-np.exp(-self._exponent(y, xi)[0]))
        return np.where(xi * y > -1.0, below, np.where(xi > 0, 0.0, 1.0))

    def survival(self, z, theta):
        y, xi = _standard(z, theta)[0], theta[:, 2, None]
        with np.errstate(all="ignore"):
            beyond = -np.expm1(-np.exp(-self._exponent(y, xi)[0]))
        return np.where(xi * y > -1.0, beyond, np.where(xi > 0, 1.0, 0.0))

    def quantile(self, p, theta):
        return self._value(np.log(-np.log(p)), theta)

    def draw(self, random, theta, shape):
        return self._value(np.log(random.standard_exponential(shape)), theta)

    @staticmethod
    def _value(logs: Array, theta: Array) -> Array:
        xi = theta[2]
        return theta[0] - np.exp(theta[1]) * logs * special.exprel(-xi * logs)


class _Lognormal(ClosedForm):
    name = "lognormal"
    parameters = ("log_mean", "log_sd")
    bounds = ((-FAR, FAR), _LOG_SCALE)
    positive = True

    def terms(self, z, theta):
        logs = np.log(z)
        density, scores = NORMAL.terms(logs, theta)
        return density - logs, scores

    def refit(self, z, theta):
        return NORMAL.refit(np.log(z), theta)

    def cdf(self, z, theta):
        return NORMAL.cdf(np.log(z), theta)

    def survival(self, z, theta):
        return NORMAL.survival(np.log(z), theta)

    def quantile(self, p, theta):
        return np.exp(NORMAL.quantile(p, theta))

    def draw(self, random, theta, shape):
        return np.exp(NORMAL.draw(random, theta, shape))

    def told(self, theta, shift, scale):
        return np.stack([theta[:, 0] + math.log(scale), np.exp(theta[:, 1])], axis=1)


class _Scaled(Family):
    """A family of positive values with a shape and a scale, both held as logarithms."""

    parameters = ("shape", "scale")
    bounds = (_LOG_SCALE, _LOG_SCALE)
    positive = True

    def told(self, theta, shift, scale):
        return np.stack([np.exp(theta[:, 0]), scale * np.exp(theta[:, 1])], axis=1)


class _Gamma(ClosedForm, _Scaled):
    name = "gamma"

    def terms(self, z, theta):
        shape, log_scale = np.exp(theta[:, 0, None]), theta[:, 1, None]
        logs, ratio = np.log(z) - log_scale, z * np.exp(-log_scale)
        density = (shape - 1.0) * logs - ratio - special.gammaln(shape) - log_scale
        return density, (shape * (logs - special.psi(shape)), ratio - shape)

    def refit(self, z, theta):
        mean = z.mean(axis=1)
        gap = np.maximum(np.log(mean) - np.log(z).mean(axis=1), 1e-12)
        # The shape solves log(shape) - psi(shape) = gap; Minka's start is within 1.5 %, Newton does the rest.
        shape = (3.0 - gap + np.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
        for _ in range(6):
            off = np.log(shape) - special.psi(shape) - gap
            shape = 1.0 / (1.0 / shape + off / (shape * shape * (1.0 / shape - special.polygamma(1, shape))))
        return np.stack([np.log(shape), np.log(mean / shape)], axis=1)

    def cdf(self, z, theta):
        return special.gammainc(np.exp(theta[:, 0, None]), z * np.exp(-theta[:, 1, None]))

    def survival(self, z, theta):
        return special.gammaincc(np.exp(theta[:, 0, None]), z * np.exp(-theta[:, 1, None]))

    def quantile(self, p, theta):
        return np.exp(theta[1]) * special.gammaincinv(np.exp(theta[0]), p)

    def draw(self, random, theta, shape):
        return random.gamma(np.exp(theta[0]), np.exp(theta[1]), shape)


class _Weibull(Searched, _Scaled):
    name = "weibull"

    def terms(self, z, theta):
        shape, logs = np.exp(theta[:, 0, None]), np.log(z)
        power = shape * (logs - theta[:, 1, None])
        raised = np.exp(power)
        return theta[:, 0, None] + power - logs - raised, (
            1.0 + power - power * raised,
            shape * (raised - 1.0),
        )

    def starts(self, z):
        logs = np.log(z)
        shape = np.pi / math.sqrt(6.0) / logs.std()
        return [(math.log(shape), logs.mean() + np.euler_gamma / shape)]

    def cdf(self, z, theta):
        return -np.expm1(-np.exp(np.exp(theta[:, 0, None]) * (np.log(z) - theta[:, 1, None])))

    def survival(self, z, theta):
        return np.exp(-np.exp(np.exp(theta[:, 0, None]) * (np.log(z) - theta[:, 1, None])))

    def quantile(self, p, theta):
        return np.exp(theta[1]) * (-np.log1p(-p)) ** np.exp(-theta[0])

    def draw(self, random, theta, shape):
        return np.exp(theta[1]) * random.weibull(np.exp(theta[0]), shape)


class _NormalMixture(Searched):
    """Component 1 is the heavier one."""

    name = "normal_mixture"
    parameters = ("weight_1", "mean_1", "sd_1", "mean_2", "sd_2")
    # Without a floor the likelihood of a component on one value is unbounded.
    bounds = ((-5.0, 5.0), (-FAR, FAR), (math.log(0.02), 12.0), (-FAR, FAR), (math.log(0.02), 12.0))

    def terms(self, z, theta):
        weight = special.expit(theta[:, 0, None])
        first, one = NORMAL.terms(z, theta[:, 1:3])
        second, two = NORMAL.terms(z, theta[:, 3:5])
        first, second = first + np.log(weight), second + np.log1p(-weight)
        density = np.logaddexp(first, second)
        share = np.exp(first - density)
        rest = 1.0 - share
        return density, (share - weight, share * one[0], share * one[1], rest * two[0], rest * two[1])

    def fit(self, z):
        found, height = super().fit(z)
        if found[0] < 0.0:
            found = np.concatenate([[-found[0]], found[3:5], found[1:3]])
        return found, height

    def starts(self, z):
        return [
            (math.log(m.weight / (1 - m.weight)), m.mean_1, math.log(m.sd_1), m.mean_2, math.log(m.sd_2))
            for m in expectation_maximisation(z, math.exp(self.bounds[2][0]))
        ]

    def cdf(self, z, theta):
        weight = special.expit(theta[:, 0, None])
        return weight * NORMAL.cdf(z, theta[:, 1:3]) + (1.0 - weight) * NORMAL.cdf(z, theta[:, 3:5])

    def survival(self, z, theta):
        weight = special.expit(theta[:, 0, None])
        return weight * NORMAL.survival(z, theta[:, 1:3]) + (1.0 - weight) * NORMAL.survival(z, theta[:, 3:5])

    def draw(self, random, theta, shape):
        first = random.random(shape) < special.expit(theta[0])
        mean, width = np.where(first, theta[1], theta[3]), np.exp(np.where(first, theta[2], theta[4]))
        return mean + width * random.standard_normal(shape)

    def told(self, theta, shift, scale):
        means, widths = shift + scale * theta[:, [1, 3]], scale * np.exp(theta[:, [2, 4]])
        weight = special.expit(theta[:, 0])
        return np.stack([weight, means[:, 0], widths[:, 0], means[:, 1], widths[:, 1]], axis=1)


def l_moments(values: Array) -> tuple[float, float, float]:
    """First three sample L-moments (Hosking, Journal of the Royal Statistical Society B 52:105, 1990)."""
    ordered = np.sort(values)
    n = ordered.size
    i = np.arange(n)
    b0 = ordered.mean()
    b1 = (i / (n - 1) * ordered).mean()
    b2 = (i * (i - 1) / ((n - 1) * (n - 2)) * ordered).mean()
    return float(b0), float(2 * b1 - b0), float(6 * b2 - 6 * b1 + b0)


NORMAL = _Normal()
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        NORMAL,
        _StudentT(),
        _SkewNormal(),
        _Lognormal(),
        _Gamma(),
        _Weibull(),
        _Logistic(),
        _ExtremeValue(),
        _NormalMixture(),
    )
}
"""Every family by name."""
