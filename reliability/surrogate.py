"""A surrogate of every chip's accuracy: linear in its weights up to the margins, with a known mean.

The margin of each uncertain input over its closest rival is, to first order at the operating noise, its mean
plus a sum over the deviations of all weights. A few directions in the space of weights carry most of it;
what a chip has along these is known without any input, and the probability of each input's class given these
is a normal distribution function. Its mean over chips is the analytic network's own: a control variate.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from reliability.analytic import AnalyticNetwork
from reliability.devices.gaussian import Gaussian
from reliability.latents import Role
from reliability.propagation.noisy import NoisyLayer
from reliability.propagation.slopes import weight_slopes
from reliability.realisation import RealisedWeights

DIRECTIONS = 32

# Inputs that are right or wrong with a smaller probability are taken as certain.
_CERTAIN = 1e-4
# Inputs from which directions are found.
_SEEN = 320


class Surrogate:
    """The surrogate of a chip's accuracy.

    Parameters
    ----------
    analytic : AnalyticNetwork
    directions : int
        At most so many directions in the space of weights.

    Attributes
    ----------
    inputs : ndarray of int, shape (uncertain,)
        The inputs that are not certain.
    expected : ndarray of float64, shape (uncertain,)
        Probability over chips that a rival wins.
    """

    def __init__(self, analytic: AnalyticNetwork, directions: int = DIRECTIONS) -> None:
        self.analytic = analytic
        right = analytic.right
        self.inputs = uncertain_inputs(right)
        self.spread, self._upstream = self._closest()
        # As if one rival alone won as often as all of them do.
        self.expected = 1 - right[self.inputs]
        self.margin = -ndtri(self.expected) * self.spread
        self._varying = {name: own for name, own in analytic.layers.items() if own.variance.any()}
        self.directions = self._directions(directions)
        self.loadings = self._loadings()
        explained = (self.loadings**2).sum(axis=1)
        self._rest = np.sqrt(np.maximum(self.spread**2 - explained, 1e-3 * self.spread**2))
        # Given the directions, a margin still has what they leave; loadings never explain more than all.
        over = np.sqrt(explained + self._rest**2) / self.spread
        self.loadings /= over[:, None]
        self._rest /= over

    @property
    def count(self) -> int:
        """Number of directions."""
        return self.loadings.shape[1]

    @cached_property
    def base(self) -> float:
        """Accuracy that certain inputs give, and uncertain ones if no rival won."""
        right = self.analytic.right.copy()
        right[self.inputs] = 1.0
        return float(right.mean())

    @property
    def mean(self) -> float:
        """Mean of the surrogate over chips, the analytic network's; exact where :attr:`is_normal`."""
        return self.base - float(self.expected.sum()) / len(self.analytic.right)

    @property
    def is_normal(self) -> bool:
        """Whether the deviations along the directions are exactly normal."""
        plain = self.analytic.chip.compensation == "none"
        return plain and all(_is_normal(own) for own in self._varying.values())

    def coordinates(self, first: int, count: int, *, seed: int, role: Role, batch: int = 4096) -> np.ndarray:
        """What chips ``first`` to ``first + count - 1`` have along the directions, of unit variance."""
        analytic = self.analytic
        weights = RealisedWeights(
            analytic.simulation.network,
            analytic.chip,
            time_s=analytic.time_s,
            inputs=1,
            seed=seed,
            role=role,
            threads=analytic.threads,
        )
        found = [
            weights.along(self.directions, at, min(batch, first + count - at))
            for at in range(first, first + count, batch)
        ]
        return np.concatenate(found) - self._centre

    def losses(self, coordinates: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        """Probability that a rival wins, of chips and uncertain inputs: (chips, inputs).

        ``chosen`` are places in :attr:`inputs`; all of them by default.
        """
        own = slice(None) if chosen is None else chosen
        ahead = self.margin[own] + coordinates @ self.loadings[own].T
        return ndtr(-ahead / self._rest[own])

    def accuracies(self, coordinates: np.ndarray, batch: int = 1024) -> np.ndarray:
        """The surrogate of each chip's accuracy, shape (chips,)."""
        total = len(self.analytic.right)
        lost = [
            self.losses(coordinates[at : at + batch]).sum(axis=1) for at in range(0, len(coordinates), batch)
        ]
        return self.base - np.concatenate(lost) / total

    def chip_accuracies(self, chips: int = 4096, seed: int = 0) -> np.ndarray:
        """Accuracies of chips drawn from the surrogate, with no device realised: its law of chips.

        What the directions leave of the margins is drawn for each input by itself, and slopes miss what only
        curvature shows, so that the spread is too small: by 4 % where digits lose 0.4 points, by 18 % where
        they lose 2.4. A plan for how many chips are needed, not a certificate.

        Parameters
        ----------
        chips : int
        seed : int

        Returns
        -------
        ndarray of float64, shape (chips,)
        """
        rng = np.random.default_rng(seed)
        total, found = len(self.analytic.right), []
        for first in range(0, chips, 1024):
            lost = self.losses(rng.standard_normal((min(1024, chips - first), self.count)))
            found.append((rng.random(lost.shape) < lost).sum(axis=1))
        return self.base - np.concatenate(found) / total

    def _closest(self) -> tuple[np.ndarray, np.ndarray]:
        """Spread of uncertain inputs' margins over the closest rival, and which logits make them."""
        mean, covariance = (part[self.inputs] for part in self.analytic.logits)
        labels, rows = self.analytic.labels[self.inputs], np.arange(len(self.inputs))
        ahead = mean[rows, labels][:, None] - mean
        own = np.einsum("nii->ni", covariance)
        variance = own[rows, labels][:, None] + own - 2 * covariance[rows, labels]
        spread = np.sqrt(np.maximum(variance, 1e-24))
        score = ahead / spread
        score[rows, labels] = np.inf
        rival = score.argmin(axis=1)
        upstream = np.zeros((len(rows), 1, mean.shape[1]))
        upstream[rows, 0, labels] = 1
        upstream[rows, 0, rival] = -1
        return spread[rows, rival], upstream

    def _directions(self, count: int) -> dict[str, np.ndarray]:
        """Directions of unit variance that carry most of the margins, weighed by how much is at stake."""
        stake = np.exp(-0.5 * (self.margin / self.spread) ** 2) / self.spread
        seen = np.sort(np.argsort(-stake, kind="stable")[:_SEEN])
        slopes = self._slopes(seen)
        gram = sum(_inner(own, slopes[name], slopes[name]) for name, own in self._varying.items())
        values, vectors = np.linalg.eigh(gram * np.outer(stake[seen], stake[seen]))
        kept = np.flatnonzero(values > 1e-6 * values[-1])[::-1][:count]
        mix = (vectors[:, kept] * stake[seen][:, None] / np.sqrt(values[kept])).T
        self._centre = np.zeros(len(kept))
        found = {}
        for name, own in self._varying.items():
            shape = (len(kept), *_variance(own).shape)
            found[name] = (mix.astype(np.float32) @ slopes[name]).reshape(shape)
            self._centre += found[name].reshape(len(kept), -1).astype(np.float64) @ _weight(own).ravel()
        return found

    def _slopes(self, seen: np.ndarray) -> dict[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self._varying}
        x, upstream = self.analytic.x[self.inputs[seen]], self._upstream[seen]
        for _, name, weights, biases in weight_slopes(self.analytic.ensemble, x, upstream):
            if name in self._varying:
                parts[name].append(_flat(self._varying[name], weights, biases))
        return {name: np.concatenate(own) for name, own in parts.items()}

    def _loadings(self) -> np.ndarray:
        """Covariance of every uncertain margin with the directions: (uncertain, directions)."""
        count = len(next(iter(self.directions.values())))
        found = np.zeros((len(self.inputs), count))
        flat = {name: own.reshape(count, -1) for name, own in self.directions.items()}
        x = self.analytic.x[self.inputs]
        for part, name, weights, biases in weight_slopes(self.analytic.ensemble, x, self._upstream):
            if name in self._varying:
                own = self._varying[name]
                found[part] += _inner(own, _flat(own, weights, biases), flat[name])
        return found


def uncertain_inputs(right: np.ndarray) -> np.ndarray:
    """Places of inputs that some chips get right and some wrong, by the probability of the former."""
    return np.flatnonzero((right > _CERTAIN) & (right < 1 - _CERTAIN))


def _variance(own: NoisyLayer) -> np.ndarray:
    """Variances of all devices' weights of a layer, the bias last where devices hold it."""
    return np.column_stack([own.variance, own.bias_variance]) if own.crossbar.bias_row else own.variance


def _weight(own: NoisyLayer) -> np.ndarray:
    return np.column_stack([own.weight, own.bias]) if own.crossbar.bias_row else own.weight


def _inner(own: NoisyLayer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance of sums along directions: (directions of a, directions of b), each (directions, weights)."""
    found = (a * _variance(own).ravel().astype(np.float32)) @ b.T
    if own.shares is None:
        return found
    variance = own.reference_variance
    if own.crossbar.bias_row:
        variance = np.column_stack([variance, own.reference_bias_variance])
    columns = len(own.bias)
    of_a, of_b = (
        np.einsum("go,nok->ngk", own.shares, part.reshape(len(part), columns, -1)).reshape(len(part), -1)
        for part in (a, b)
    )
    return found + (of_a * variance.ravel()) @ of_b.T


def _flat(own: NoisyLayer, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    if own.crossbar.bias_row:
        weights = np.concatenate([weights, biases[..., None]], axis=-1)
    return weights[:, 0].reshape(len(weights), -1)


def _is_normal(own: NoisyLayer) -> bool:
    settings = own.crossbar.settings
    device, faults, telegraph = settings.device, settings.faults, settings.telegraph
    assert faults is not None and telegraph is not None
    normal = isinstance(device, Gaussian) and not device.clamp
    return normal and not faults.is_on and not telegraph.is_on
