"""Families of rounded values: of each is known only in which cell of a grid it lay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reliability.statistics.family import Family
from reliability.statistics.likelihood import Array, climb

_DIFFERENCE = 1e-6


class Rounded:
    """A family that is fitted to rounded values, by the probabilities of their cells.

    The density at a rounded value is not its likelihood: where a grid is coarse, a fit by it is a fit to the
    grid. For a first guess and for the statistics of tests, values are spread evenly over their cells, those
    of resamples too.

    Parameters
    ----------
    family : Family
    step : float
        Distance of neighbouring possible values, in standardised units.
    origin : float
        One possible value, in standardised units.
    """

    def __init__(self, family: Family, step: float, origin: float) -> None:
        self.family, self.step, self.origin = family, step, origin

    def draw(self, random: np.random.Generator, theta: Array, shape: tuple[int, int]) -> Array:
        """Independent rounded values under one set of parameters (k,)."""
        drawn = self.family.draw(random, theta, shape)
        return self.origin + self.step * np.rint((drawn - self.origin) / self.step)

    def cdf(self, z: Array, theta: Array) -> Array:
        """Probability up to each rising rounded value (samples, values), spread evenly over its cell."""
        return self.family.cdf(self.spread(z), theta)

    def fit(self, z: Array) -> tuple[Array, float]:
        """Internal parameters (k,) of greatest likelihood for one rising sample, and its logarithm."""
        start = self.family.fit(self.spread(z[None])[0])[0]
        found, height = self._climb(z[None], start)
        return found[0], float(height[0])

    def refit(self, z: Array, theta: Array) -> Array:
        """Internal parameters (samples, k) of samples that were drawn under ``theta`` (k,), from there."""
        return self._climb(z, theta)[0]

    def _climb(self, z: Array, theta: Array) -> tuple[Array, Array]:
        cells = np.rint((z - self.origin) / self.step)
        occurring, place = np.unique(cells, return_inverse=True)
        place = place.reshape(z.shape) + occurring.size * np.arange(len(z))[:, None]
        counts = np.bincount(place.ravel(), minlength=len(z) * occurring.size).reshape(len(z), -1)
        samples = np.broadcast_to(occurring, counts.shape)
        start = np.tile(theta, (len(z), 1))
        return climb(self._terms, samples, start, self.family.low, self.family.high, counts.astype(float))

    def _terms(self, cells: Array, theta: Array) -> tuple[Array, Sequence[Array]]:
        """Log probability of every cell, the same cells for all samples, and its derivatives."""
        # Neighbouring cells share an edge.
        edges, low = np.unique(np.concatenate([cells[0], cells[0] + 1.0]), return_inverse=True)
        low, high = np.split(low.ravel(), 2)
        at = self.origin + (edges - 0.5) * self.step
        z = np.broadcast_to(np.maximum(at, 0.0) if self.family.positive else at, (len(theta), at.size))

        def log_probability(theta: Array) -> Array:
            below, beyond = self.family.cdf(z, theta), self.family.survival(z, theta)
            upper = below[:, low] > 0.5
            inside = np.where(upper, beyond[:, low] - beyond[:, high], below[:, high] - below[:, low])
            return np.log(np.maximum(inside, 0.0))

        found = log_probability(theta)
        return found, [
            (log_probability(theta + _DIFFERENCE * row) - found) / _DIFFERENCE
            for row in np.eye(theta.shape[1])
        ]

    def spread(self, z: Array) -> Array:
        """Rising rounded values (samples, values), those of a cell evenly over it."""
        count = z.shape[1]
        rank = np.broadcast_to(np.arange(count), z.shape)
        new = np.diff(z, axis=1) > 0.5 * self.step
        edge = np.ones((len(z), 1), bool)
        first = np.maximum.accumulate(np.where(np.hstack([edge, new]), rank, 0), axis=1)
        ends = np.where(np.hstack([new, edge]), rank, count)[:, ::-1]
        last = np.minimum.accumulate(ends, axis=1)[:, ::-1]
        share = (rank - first + 0.5) / (last - first + 1.0)
        low, high = z - 0.5 * self.step, z + 0.5 * self.step
        if self.family.positive:
            low = np.maximum(low, 0.0)
        return low + share * (high - low)
