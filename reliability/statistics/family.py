"""What a family of distributions offers: densities, probabilities, draws, and fits of greatest likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from reliability.statistics.likelihood import Array, climb

FAR = 1e6
"""A location that no standardised value has."""


class Family(ABC):
    """A family of distributions: densities, their derivatives, probabilities, draws and fits.

    ``theta`` holds internal parameters, a sample a row (samples, k), for samples (samples, values).
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]
    bounds: ClassVar[tuple[tuple[float, float], ...]]
    positive: ClassVar[bool] = False

    @property
    def low(self) -> Array:
        """Lower bounds of the internal parameters."""
        return np.array([low for low, _ in self.bounds])

    @property
    def high(self) -> Array:
        """Upper bounds of the internal parameters."""
        return np.array([high for _, high in self.bounds])

    @abstractmethod
    def terms(self, z: Array, theta: Array) -> tuple[Array, Sequence[Array]]:
        """Log density of every value, and its derivative by each internal parameter."""

    @abstractmethod
    def cdf(self, z: Array, theta: Array) -> Array:
        """Probability of a value up to each value."""

    @abstractmethod
    def survival(self, z: Array, theta: Array) -> Array:
        """Probability of a value beyond each value, exact where it is small."""

    def quantile(self, p: Array, theta: Array) -> Array:
        """Value of each probability (values,), for one set of parameters (k,)."""
        # The families without an inverse lie within these ends for every probability a double can hold.
        low, high = np.full(p.shape, -FAR), np.full(p.shape, FAR)
        for _ in range(80):
            middle = 0.5 * (low + high)
            below = self.cdf(middle[None], theta[None])[0] < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    @abstractmethod
    def draw(self, random: np.random.Generator, theta: Array, shape: tuple[int, int]) -> Array:
        """Independent values under one set of parameters (k,)."""

    @abstractmethod
    def told(self, theta: Array, shift: float, scale: float) -> Array:
        """Parameters (samples, k) as they are told, in the unit of the errors."""

    @abstractmethod
    def fit(self, z: Array) -> tuple[Array, float]:
        """Internal parameters (k,) of greatest likelihood for one sample (values,), and its logarithm."""

    @abstractmethod
    def refit(self, z: Array, theta: Array) -> Array:
        """Internal parameters (samples, k) of samples that were drawn under ``theta`` (k,), from there."""


class ClosedForm(Family):
    """A family whose fit needs no search from a start."""

    def fit(self, z: Array) -> tuple[Array, float]:
        """What :meth:`refit` gives for the one sample."""
        found = self.refit(z[None], np.empty(0))
        return found[0], float(self.terms(z[None], found)[0].sum())


class Searched(Family):
    """A family whose greatest likelihood is searched for."""

    @abstractmethod
    def starts(self, z: Array) -> list[Sequence[float]]:
        """Internal parameters from which the fit of one sample (values,) begins."""

    def fit(self, z: Array) -> tuple[Array, float]:
        """The highest that is climbed from the starts, and from where a search from each of them ended."""
        from scipy.optimize import minimize

        def cost(theta: Array) -> tuple[float, Array]:
            with np.errstate(all="ignore"):
                density, scores = self.terms(z[None], theta[None])
                height, slope = density.mean(), np.array([score.mean() for score in scores])
            if not (np.isfinite(height) and np.isfinite(slope).all()):
                return 1e6, np.zeros(theta.size)
            return -height, -slope

        starts = [np.clip(start, self.low, self.high) for start in self.starts(z)]
        options = {"maxiter": 300, "ftol": 1e-13, "gtol": 1e-8}
        ends = [
            minimize(cost, start, jac=True, method="L-BFGS-B", bounds=self.bounds, options=options).x
            for start in starts
        ]
        candidates = np.clip(np.array(starts + ends), self.low, self.high)
        best = candidates[np.argmin([cost(theta)[0] for theta in candidates])]
        found, height = climb(self.terms, z[None], best[None], self.low, self.high)
        return found[0], float(height[0])

    def refit(self, z: Array, theta: Array) -> Array:
        """Climbed from ``theta`` for every sample."""
        start = np.tile(theta, (len(z), 1))
        return climb(self.terms, z, start, self.low, self.high)[0]
