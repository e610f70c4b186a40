"""A linear network with Gaussian weight errors: its variance under any set of noisy layers, in closed form.

The output is multilinear in the layers' weight matrices, so averaging a layer's errors out puts its exact
weights in their place: Var E(f | layers S) is the variance of the network with only the layers S noisy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LinearNetwork:
    """f = last(... first(x)), every weight of layer l with an independent error of spread sigma[l].

    Parameters
    ----------
    weights : sequence of ndarray, shape (outputs, inputs)
        The last one has one row.
    sigma : sequence of float
    x : ndarray, shape (inputs,)
    """

    weights: tuple[np.ndarray, ...]
    sigma: tuple[float, ...]
    x: np.ndarray

    @property
    def clean(self) -> float:
        """The output without errors."""
        h = self.x
        for w in self.weights:
            h = w @ h
        return float(h[0])

    def variance(self, layers: int) -> float:
        """Variance of the output with the layers of a set (bit l: layer l) noisy."""
        second = np.outer(self.x, self.x)
        for layer, (w, sigma) in enumerate(zip(self.weights, self.sigma, strict=True)):
            noise = sigma**2 * np.trace(second) if layers >> layer & 1 else 0.0
            second = w @ second @ w.T + noise * np.eye(len(w))
        return float(second[0, 0]) - self.clean**2

    @property
    def everything(self) -> int:
        """The set of all layers."""
        return (1 << len(self.weights)) - 1

    def first_order(self) -> np.ndarray:
        """First-order Sobol indices of the layers."""
        alone = [self.variance(1 << layer) for layer in range(len(self.weights))]
        return np.array(alone) / self.variance(self.everything)

    def total(self) -> np.ndarray:
        """Total Sobol indices of the layers."""
        rest = [self.variance(self.everything & ~(1 << layer)) for layer in range(len(self.weights))]
        return 1 - np.array(rest) / self.variance(self.everything)

    def shapley(self) -> np.ndarray:
        """Shapley values of the variance, from their definition: all orders, one by one."""
        from itertools import permutations

        orders = list(permutations(range(len(self.weights))))
        found = np.zeros(len(self.weights))
        for order in orders:
            layers = 0
            for layer in order:
                found[layer] += self.variance(layers | 1 << layer) - self.variance(layers)
                layers |= 1 << layer
        return found / len(orders)

    def draw(self, rng: np.random.Generator, samples: int) -> list[np.ndarray]:
        """Errors of every layer, shape (samples, outputs, inputs) each."""
        pairs = zip(self.weights, self.sigma, strict=True)
        return [sigma * rng.standard_normal((samples, *w.shape)) for w, sigma in pairs]

    def output(self, errors: list[np.ndarray]) -> np.ndarray:
        """Output of every sample."""
        h = np.broadcast_to(self.x, (len(errors[0]), len(self.x)))
        for w, error in zip(self.weights, errors, strict=True):
            h = np.einsum("soi,si->so", w + error, h)
        return h[:, 0]

    def noisy(self, errors: list[np.ndarray], layers: int) -> np.ndarray:
        """Output with only the layers of a set noisy."""
        return self.output([e if layers >> i & 1 else 0 * e for i, e in enumerate(errors)])

    def mixed(self, own: list[np.ndarray], other: list[np.ndarray], layers: int) -> np.ndarray:
        """Output with the errors of the layers of a set from other samples."""
        pairs = enumerate(zip(own, other, strict=True))
        return self.output([b if layers >> i & 1 else a for i, (a, b) in pairs])


def three_layers() -> LinearNetwork:
    """A small network whose layers interact: first-order indices add up to 0.61."""
    rng = np.random.default_rng(5)
    shapes = ((6, 5), (5, 6), (1, 5))
    weights = tuple(rng.standard_normal(shape) / np.sqrt(shape[1]) for shape in shapes)
    return LinearNetwork(weights, (0.25, 0.15, 0.4), rng.standard_normal(5))
