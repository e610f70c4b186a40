"""Probabilities of rare events by importance sampling in a few directions: a second opinion.

The law is of independent standard normals. Samples are drawn shifted towards the event, or spread wider, in a
few directions that matter, and weighted back. A proposal narrower than the law anywhere can miss part of the
event without its own error bar telling, so proposals here never shrink; and an estimate of which one sample
makes up more than ``LARGEST_SHARE`` is refused.

References
----------
Bucklew, Introduction to Rare Event Simulation (2004), for shifts; Hesterberg, Technometrics 37:185 (1995),
for defensive mixtures; de Boer, Kroese, Mannor and Rubinstein, Annals of Operations Research 134:19
(2005), for the multilevel cross-entropy method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtri

from reliability.errors import RunError, UserError
from reliability.statistics.interval import check_level

LARGEST_SHARE = 0.05
"""Share of an estimate that a single sample may have."""
DEFENSIVE = 0.1
"""Share of an adapted proposal that is the law itself."""

_SHARE = 0.1
_MOST_STAGES = 40
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Proposal:
    """Mixture of normals in a few directions, and the standard normal law in all others.

    Parameters
    ----------
    directions : ndarray of float64, shape (r, d)
        Orthonormal rows.
    weights : ndarray of float64, shape (k,)
        Of the components; they add up to one.
    means : ndarray of float64, shape (k, r)
    covariances : ndarray of float64, shape (k, r, r)
        Without an eigenvalue below one: a proposal never shrinks the law.
    """

    directions: NDArray[np.float64]
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    def __post_init__(self) -> None:
        count, rank = len(self.weights), len(self.directions)
        if self.means.shape != (count, rank) or self.covariances.shape != (count, rank, rank):
            raise UserError(
                f"the proposal has {count} components in {rank} directions, but means of shape "
                f"{self.means.shape} and covariances of shape {self.covariances.shape}"
            )
        if not np.allclose(self.directions @ self.directions.T, np.eye(rank), atol=_ROUNDING):
            raise UserError("the proposal's directions must be orthonormal rows; numpy.linalg.qr makes such")
        smallest = float(np.linalg.eigvalsh(self.covariances).min())
        if smallest < 1 - _ROUNDING:
            raise UserError(f"the proposal's smallest variance is {smallest:.3g}; it must be at least 1")

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Samples, shape (count, d), and the logarithms of their weights."""
        z = rng.standard_normal((count, self.directions.shape[1]))
        component = rng.choice(len(self.weights), size=count, p=self.weights / self.weights.sum())
        roots = np.linalg.cholesky(self.covariances)
        own = z @ self.directions.T
        new = self.means[component] + np.einsum("nij,nj->ni", roots[component], own)
        return z + (new - own) @ self.directions, self._log_weights(new, roots)

    def _log_weights(self, u: NDArray, roots: NDArray) -> NDArray[np.float64]:
        """Logarithm of the law's density over the proposal's."""
        parts = []
        for weight, mean, root in zip(self.weights, self.means, roots, strict=True):
            standard = np.linalg.solve(root, (u - mean).T)
            parts.append(
                math.log(weight) - 0.5 * (standard**2).sum(axis=0) - float(np.log(np.diagonal(root)).sum())
            )
        return -0.5 * (u**2).sum(axis=1) - logsumexp(parts, axis=0)


def mean_shift(point: ArrayLike) -> Proposal:
    """The law moved to one point, the likeliest of the event: the best proposal for a half-space."""
    centre = np.asarray(point, np.float64)
    distance = float(np.linalg.norm(centre))
    if centre.ndim != 1 or not distance > 0:
        raise UserError(f"the point must be a vector other than zero, has shape {centre.shape}")
    return Proposal((centre / distance)[None], np.ones(1), np.array([[distance]]), np.ones((1, 1, 1)))


class WeightedEvent(NamedTuple):
    """An estimated probability.

    Attributes
    ----------
    value, low, high : float
        Estimate and interval; the interval is not a number where the estimate is refused.
    relative_variance : float
        Variance of one sample's weight in the event over the squared estimate.
    largest_share : float
        Of one sample in the estimate.
    effective_samples : float
        Kish's: squared sum of the weights in the event over the sum of their squares.
    """

    value: float
    low: float
    high: float
    relative_variance: float
    largest_share: float
    effective_samples: float

    @property
    def refused(self) -> bool:
        """Whether a single sample makes up too much of the estimate."""
        return not self.largest_share <= LARGEST_SHARE


def importance_sampling(
    level: Callable[[NDArray], NDArray],
    threshold: float,
    proposal: Proposal,
    *,
    samples: int,
    seed: int | tuple[int, ...] = 0,
    confidence: float = 0.95,
) -> WeightedEvent:
    """Probability of ``level(sample) >= threshold`` under independent standard normals.

    Parameters
    ----------
    level : callable
        Levels of samples of shape (samples, d).
    threshold : float
    proposal : Proposal
        Made without these samples, or the estimate is biased.
    samples : int
    seed : int or sequence of int
    confidence : float
        Of the interval.
    """
    check_level(confidence)
    z, log_weights = proposal.draw(samples, np.random.default_rng(seed))
    weights = np.where(np.asarray(level(z)) >= threshold, np.exp(log_weights), 0.0)
    value, total, squares = float(weights.mean()), float(weights.sum()), float(weights @ weights)
    if total == 0:
        return WeightedEvent(0.0, math.nan, math.nan, math.inf, math.nan, 0.0)
    share, variance = float(weights.max()) / total, float(weights.var(ddof=1)) / value**2
    factor = math.exp(float(ndtri(0.5 + confidence / 2)) * math.sqrt(variance / samples))
    low, high = (value / factor, min(value * factor, 1.0)) if share <= LARGEST_SHARE else (math.nan, math.nan)
    return WeightedEvent(value, low, high, variance, share, total**2 / squares)


def adapted_proposal(
    level: Callable[[NDArray], NDArray],
    threshold: float,
    directions: ArrayLike,
    *,
    samples: int = 1000,
    seed: int | tuple[int, ...] = 0,
) -> Proposal:
    """A normal fitted to the event in an active subspace, with a defensive share of the law itself.

    Multilevel cross-entropy: the highest tenth of the samples of each stage, weighted, gives mean and
    covariance of the next, no variance of which falls below one. Where the event's parts point different
    ways, one normal covers them only by being wide.

    Parameters
    ----------
    level, threshold
        As in :func:`importance_sampling`.
    directions : array_like, shape (r, d)
        That span the subspace in which the event differs from the law; made orthonormal here.
    samples : int
        Of a stage.
    seed : int or sequence of int

    Raises
    ------
    RunError
        If the event is not reached.
    """
    basis = np.linalg.qr(np.atleast_2d(np.asarray(directions, np.float64)).T)[0].T
    rank = len(basis)
    rng = np.random.default_rng(seed)
    identity = np.eye(rank)
    proposal = Proposal(basis, np.ones(1), np.zeros((1, rank)), identity[None])
    for _ in range(_MOST_STAGES):
        z, log_weights = proposal.draw(samples, rng)
        levels = np.asarray(level(z), np.float64)
        reached = min(threshold, float(np.quantile(levels, 1 - _SHARE)))
        inside = levels >= reached
        u, weights = z[inside] @ basis.T, np.exp(log_weights[inside] - log_weights[inside].max())
        mean = weights @ u / weights.sum()
        centred = u - mean
        covariance = (weights * centred.T) @ centred / weights.sum()
        values, vectors = np.linalg.eigh(covariance)
        wide = (vectors * np.maximum(values, 1.0)) @ vectors.T
        proposal = Proposal(
            basis,
            np.array([DEFENSIVE, 1 - DEFENSIVE]),
            np.stack([np.zeros(rank), mean]),
            np.stack([identity, wide]),
        )
        if reached >= threshold:
            return proposal
    raise RunError(
        f"no stage of {_MOST_STAGES} reached level {threshold:g}: the directions do not lead to it"
    )
