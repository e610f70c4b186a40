"""Means and full covariances through a chain of fully connected layers, and back.

The forward pass follows Gast and Roth (CVPR 2018) and Wang and Manning (ICML 2013) with the covariances that
these leave out: ``C_z = W C W' + diag(sum of V (m**2 + diag C))``. The covariance of two activations is
exact to second order in their covariance. The backward pass is the exact adjoint of the forward one.

What an offset mapping's references add to a first layer has few numbers: ``s s'`` for each group of columns
that share one. An activation makes of it a few more such products, so that a full covariance is held only
behind the next layer with weights.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reliability.layers import BatchNorm, Flatten, Linear, Softmax
from reliability.lowering import image_shape
from reliability.network import Network
from reliability.propagation.activations import Activation, Clamp, Passed, activation_of
from reliability.propagation.noisy import NoisyLayer
from reliability.propagation.powers import Powers

LARGEST = 1024
"""Widest layer whose covariance is held whole."""

# Numbers of the products of all pairs of a layer's weights that are held.
_PAIRS = 1 << 22


@dataclass(eq=False)
class Spread:
    """Mean and covariance of a layer's values over chips, of several inputs.

    Attributes
    ----------
    mean, diagonal : ndarray of float64, shape (N, n)
        Mean and variance.
    full : ndarray of float64, shape (N, n, n), or None
        Covariance, where values depend on each other; its diagonal is ``diagonal``.
    shared : ndarray of float64, shape (terms, N, n), or None
        Covariance of values of one group, as a sum of products ``s[i] s[j]``, instead of ``full``.
    groups : ndarray of float64, shape (groups, n), or None
        Ones where a value belongs to a group.
    """

    mean: np.ndarray
    diagonal: np.ndarray
    full: np.ndarray | None = None
    shared: np.ndarray | None = None
    groups: np.ndarray | None = None

    def whole(self) -> np.ndarray:
        """The covariance as one array."""
        if self.full is not None:
            return self.full
        found = np.zeros((*self.diagonal.shape, self.diagonal.shape[1]))
        if self.shared is not None and self.groups is not None:
            found += np.einsum("tni,tnj->nij", self.shared, self.shared)
            found *= self.groups.T @ self.groups
        _set_diagonal(found, self.diagonal)
        return found

    @property
    def joint(self) -> np.ndarray | None:
        """The covariance as one array where values depend on each other."""
        return None if self.full is None and self.shared is None else self.whole()


@dataclass(eq=False)
class LayerSlopes:
    """Derivatives by one layer's moments; arrays as in :class:`NoisyLayer`."""

    mean: np.ndarray
    variance: np.ndarray
    bias_variance: np.ndarray
    reference_variance: np.ndarray

    def add(self, other: LayerSlopes) -> None:
        """Add those of other inputs."""
        for part in ("mean", "variance", "bias_variance", "reference_variance"):
            getattr(self, part)[...] += getattr(other, part)


class Chain:
    """A chain of fully connected layers on a chip.

    Parameters
    ----------
    network : Network
        As the chip holds it.
    layers : dict of str to NoisyLayer
    """

    def __init__(self, network: Network, layers: dict[str, NoisyLayer]) -> None:
        self.steps: list[_Step] = []
        self.powers = Powers()
        for node in network.nodes:
            activation = activation_of(node.layer)
            if node.name in layers:
                own = layers[node.name]
                if own.dac is not None:
                    self.steps.append(_Round(own.dac.step, Clamp(own.dac.low, own.dac.high)))
                self.steps.append(_Weights(node.name, own))
            elif activation is not None:
                self.steps.append(_Elementwise(activation))
            elif isinstance(node.layer, BatchNorm):
                self.steps.append(_Scale(node.layer))
            else:
                assert isinstance(node.layer, Flatten | Softmax)

    @staticmethod
    def holds(network: Network) -> bool:
        """Whether a network is such a chain, and its layers are small enough."""
        kinds = (Linear, BatchNorm, Flatten, Softmax)
        chained = all(
            len(node.inputs) == 1 and (isinstance(node.layer, kinds) or activation_of(node.layer) is not None)
            for node in network.nodes
        )
        ordered = all(
            node.inputs[0] == before.name
            for node, before in zip(network.nodes[1:], network.nodes, strict=False)
        )
        widest = max(network.shapes[node.name][0] for node in network.weighted) if chained else 0
        return chained and ordered and widest <= LARGEST

    def forward(self, x: np.ndarray) -> tuple[Spread, list[Any]]:
        """Moments of the logits of prepared inputs, shape (N, *input_shape), and what the way back needs."""
        # Rows of a matrix are in the order (y, x, channel).
        images = x.reshape(len(x), *image_shape(x.shape[1:])).transpose(0, 2, 3, 1)
        flat = images.reshape(len(x), -1).astype(np.float64)
        spread = Spread(flat, np.zeros_like(flat))
        tape: list[Any] = []
        for step in self.steps:
            tape.append(spread)
            spread = step.forward(spread)
            if isinstance(step, _Weights):
                signal, noise = np.square(spread.mean).sum(), spread.diagonal.sum()
                self.powers.count(step.name, float(signal), float(noise), spread.mean.size)
        return spread, tape

    def backward(
        self,
        tape: list[Any],
        mean_bar: np.ndarray,
        covariance_bar: np.ndarray,
        slopes: dict[str, LayerSlopes],
    ) -> None:
        """Add to ``slopes`` the derivatives by every layer's moments.

        Parameters
        ----------
        tape : list
            From :meth:`forward`.
        mean_bar, covariance_bar : ndarray, shapes (N, classes), (N, classes, classes)
            Derivatives by mean and covariance of the logits, the latter symmetric.
        slopes : dict of str to LayerSlopes
        """
        bars = Spread(mean_bar, _diagonal_of(covariance_bar).copy(), covariance_bar)
        for step, before in zip(reversed(self.steps), reversed(tape), strict=True):
            bars = step.backward(before, bars, slopes)


class _Step(ABC):
    @abstractmethod
    def forward(self, x: Spread) -> Spread:
        """Moments behind the step."""

    @abstractmethod
    def backward(self, x: Spread, bars: Spread, slopes: dict[str, LayerSlopes]) -> Spread:
        """Derivatives by the input's moments; of ``bars.full``, the diagonal is that of ``bars.diagonal``."""


class _Weights(_Step):
    def __init__(self, name: str, own: NoisyLayer) -> None:
        self.name, self.own = name, own
        self.every = own.variance + own.read_variance
        self.shares = own.shares

    def forward(self, x: Spread) -> Spread:
        own, weight = self.own, self.own.weight
        mean = x.mean @ weight.T + own.bias
        second = x.mean**2 + x.diagonal
        noise = second @ self.every.T + own.bias_variance + own.bias_read_variance + own.output_variance
        full = self._through(x)
        if self.shares is not None:
            shared = second @ own.reference_variance.T + own.reference_bias_variance
            if full is None:
                return Spread(
                    mean,
                    noise + shared @ self.shares,
                    None,
                    (np.sqrt(shared) @ self.shares)[None],
                    self.shares,
                )
            full += np.matmul(self.shares.T * shared[:, None, :], self.shares)
        if full is None:
            return Spread(mean, noise)
        diagonal = _diagonal_of(full) + noise
        _set_diagonal(full, diagonal)
        return Spread(mean, diagonal, full)

    def _through(self, x: Spread) -> np.ndarray | None:
        """Covariance of the sums of the mean weights; None of exact inputs."""
        weight = self.own.weight
        columns, rows = weight.shape
        if x.full is not None:
            return np.matmul(np.matmul(weight, x.full), weight.T)
        if not x.diagonal.any():
            return None
        alone = x.diagonal if x.shared is None else x.diagonal - (x.shared**2).sum(axis=0)
        if columns**2 * rows <= _PAIRS:
            pairs = (weight[:, None] * weight).reshape(-1, rows)
            full = (alone @ pairs.T).reshape(-1, columns, columns)
        else:
            full = np.matmul(weight * alone[:, None, :], weight.T)
        if x.shared is not None and x.groups is not None:
            handed = (x.shared[:, None] * x.groups[:, None]) @ weight.T
            handed = handed.reshape(-1, *handed.shape[2:])
            full += np.matmul(handed.transpose(1, 2, 0), handed.transpose(1, 0, 2))
        return full

    def backward(self, x: Spread, bars: Spread, slopes: dict[str, LayerSlopes]) -> Spread:
        own, weight = self.own, self.own.weight
        second = x.mean**2 + x.diagonal
        noise_bar = bars.diagonal
        second_bar = noise_bar @ self.every
        mean_bar = bars.mean @ weight
        variance_bar = noise_bar.T @ second
        weight_bar = bars.mean.T @ x.mean
        reference_bar = np.zeros_like(own.reference_variance)
        if self.shares is not None and bars.full is not None:
            shared_bar = np.einsum("go,nop,gp->ng", self.shares, bars.full, self.shares)
            second_bar += shared_bar @ own.reference_variance
            reference_bar = shared_bar.T @ second
        full_bar = None
        diagonal_bar = second_bar
        if bars.full is not None and x.diagonal.any():
            back = np.matmul(bars.full, weight)
            full = x.joint
            if full is not None:
                weight_bar = weight_bar + 2 * np.matmul(back, full).sum(axis=0)
                full_bar = np.matmul(weight.T, back)
                diagonal_bar = diagonal_bar + _diagonal_of(full_bar)
                _set_diagonal(full_bar, diagonal_bar)
            else:
                weight_bar = weight_bar + 2 * (back * x.diagonal[:, None, :]).sum(axis=0)
                diagonal_bar = diagonal_bar + np.einsum("oi,noi->ni", weight, back)
        mean_bar += 2 * x.mean * second_bar
        found = LayerSlopes(weight_bar, variance_bar, noise_bar.sum(axis=0), reference_bar)
        _add(slopes, self.name, found)
        return Spread(mean_bar, diagonal_bar, full_bar)


class _Elementwise(_Step):
    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def forward(self, x: Spread) -> Spread:
        out = self.activation.forward(x.mean, x.diagonal)
        if x.shared is not None:
            bent = out.bend / math.sqrt(2)
            terms = [out.gain * own for own in x.shared]
            terms += [bent * own * other for own in x.shared for other in x.shared]
            return Spread(out.mean, out.variance, None, np.stack(terms), x.groups)
        if x.full is None:
            return Spread(out.mean, out.variance)
        full = x.full * (out.gain[:, :, None] * out.gain[:, None, :])
        full += 0.5 * (out.bend[:, :, None] * out.bend[:, None, :]) * x.full**2
        _set_diagonal(full, out.variance)
        return Spread(out.mean, out.variance, full)

    def backward(self, x: Spread, bars: Spread, slopes: dict[str, LayerSlopes]) -> Spread:
        out = self.activation.forward(x.mean, x.diagonal)
        gain_bar, bend_bar = np.zeros_like(out.gain), np.zeros_like(out.bend)
        full_bar = None
        full = x.joint
        if full is not None and bars.full is not None:
            across = bars.full.copy()
            _set_diagonal(across, np.zeros_like(out.gain))
            gains = out.gain[:, :, None] * out.gain[:, None, :]
            bends = out.bend[:, :, None] * out.bend[:, None, :]
            full_bar = across * (gains + bends * full)
            gain_bar = 2 * np.einsum("nij,nj->ni", across * full, out.gain)
            bend_bar = np.einsum("nij,nj->ni", across * full**2, out.bend)
        own = Passed(bars.mean, bars.diagonal, gain_bar, bend_bar)
        mean_bar, diagonal_bar = self.activation.backward(x.mean, x.diagonal, own)
        if full_bar is not None:
            _set_diagonal(full_bar, diagonal_bar)
        return Spread(mean_bar, diagonal_bar, full_bar)


class _Scale(_Step):
    def __init__(self, layer: BatchNorm) -> None:
        self.factor, self.offset = layer.factor, layer.offset

    def forward(self, x: Spread) -> Spread:
        full = None if x.full is None else x.full * np.outer(self.factor, self.factor)
        shared = None if x.shared is None else x.shared * self.factor
        mean = x.mean * self.factor + self.offset
        return Spread(mean, x.diagonal * self.factor**2, full, shared, x.groups)

    def backward(self, x: Spread, bars: Spread, slopes: dict[str, LayerSlopes]) -> Spread:
        full = None if bars.full is None else bars.full * np.outer(self.factor, self.factor)
        return Spread(bars.mean * self.factor, bars.diagonal * self.factor**2, full)


class _Round(_Elementwise):
    """A DAC: what is exact is rounded, what varies is clipped and gets the variance of rounding."""

    def __init__(self, step: float, clamp: Clamp) -> None:
        super().__init__(clamp)
        self.step, self.clamp = step, clamp

    def forward(self, x: Spread) -> Spread:
        if not x.diagonal.any():
            codes = np.rint(np.clip(x.mean, self.clamp.low, self.clamp.high) / self.step)
            return Spread(codes * self.step, x.diagonal)
        out = super().forward(x)
        diagonal = out.diagonal + self._rounding(x)
        if out.full is not None:
            _set_diagonal(out.full, diagonal)
        return replace(out, diagonal=diagonal)

    def backward(self, x: Spread, bars: Spread, slopes: dict[str, LayerSlopes]) -> Spread:
        return super().backward(x, bars, slopes) if x.diagonal.any() else bars

    def _rounding(self, x: Spread) -> np.ndarray:
        # Zero is a level: what is always zero is not rounded.
        return np.where(x.diagonal > 0, self.step**2 / 12, 0)


def _diagonal_of(full: np.ndarray) -> np.ndarray:
    return np.einsum("nii->ni", full)


def _set_diagonal(full: np.ndarray, diagonal: np.ndarray) -> None:
    np.einsum("nii->ni", full)[...] = diagonal


def _add(slopes: dict[str, LayerSlopes], name: str, found: LayerSlopes) -> None:
    known = slopes.get(name)
    if known is None:
        slopes[name] = found
        return
    known.add(found)
