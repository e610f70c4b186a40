"""Derivatives of the accuracy by every weight's mean and variance, through an ensemble.

The accuracy is a function of the logits' closed-form mean and of the members' mean squares about it: those of
the logits, which make the covariance, and those of what goes into each activation, which bend later means.
Its exact adjoint goes back through every member by itself. For weights' means it is all that is needed; for
variances it says what the accuracy changes by if all those of a layer grow by a share. For single weights the
members are too few: what they see of one weight is lost among all others.

So each layer's change is shared out among its weights. By R. Price (IRE Trans. Inf. Theory 4:69, 1958) the
derivative of an expectation by a variance is half of that of the second derivative. Most of it is the sum
of squares ``l_q (u_q . d logits / dw)**2`` over directions ``u_q`` of the accuracy's derivative by the
logits' covariance, each input's through the activations of one member. Leading directions are taken one by
one; the others, and what later weights' own variances make of a deviation, with random signs, whose mixed
terms average out (M. F. Hutchinson, Commun. Stat. Simul. 18:1059, 1989). What a variance costs in the next
activation is added weight by weight, and what is left of the layer's change in proportion to the squares.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reliability.kernels.members import CHUNK, bend_members
from reliability.kernels.simd import VECTOR
from reliability.layers import AveragePool2d, BatchNorm, GlobalAveragePool, MaxPool2d
from reliability.lowering import image_shape
from reliability.network import Node
from reliability.propagation.activations import Activation, Clamp, activation_of
from reliability.propagation.dense import LayerSlopes
from reliability.propagation.ensemble import Cloud, Ensemble, Weights, views
from reliability.propagation.slopes import (
    behind_weights,
    by_weights,
    spread_out,
    summed_by_weights,
    through,
    through_weights,
)

# Directions of an input's logits whose squares are taken one by one.
_LEADING = 2
_TINY = 1e-30
_F = np.float32


class Bars(NamedTuple):
    """Derivatives by the values of one node, of inputs side by side.

    Attributes
    ----------
    mean : ndarray of float32, shape (1, height, width, channels, VECTOR)
        By the closed-form mean.
    members : ndarray of float32, shape (members, ...)
        By each member's values.
    squared : ndarray of float32, shape (_LEADING + 2, ...)
        Whose squares count: of directions of the logits, and of random signs above and below zero.
    cost : ndarray of float32, shape (1, ...)
        What independent deviations cost in the activations before the next weights.
    apart : ndarray of float32, shape (2, ...)
        Whose squares count above and below zero: of random signs, what differences in the windows of a
        maximum cost before the next weights.
    """

    mean: np.ndarray
    members: np.ndarray
    squared: np.ndarray
    cost: np.ndarray
    apart: np.ndarray

    def plus(self, other: Bars) -> Bars:
        """Those of values that are read twice."""
        return Bars(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(eq=False)
class Found:
    """Sums over inputs of one layer's derivatives.

    Attributes
    ----------
    slopes : LayerSlopes
        By means, and weight by weight by variances.
    weight, bias, reference : ndarray of float64
        Sums of squares, whatever the sign they count with, in whose proportion the rest is shared out.
    total : float
        Change of the accuracy if all variances grow by a share.
    """

    slopes: LayerSlopes
    weight: np.ndarray
    bias: np.ndarray
    reference: np.ndarray
    total: float = 0.0

    @staticmethod
    def of(step: Weights) -> Found:
        """Zeros."""
        own = step.own
        weight, bias, reference = own.variance, own.bias_variance, own.reference_variance
        slopes = LayerSlopes(*(np.zeros_like(a) for a in (weight, weight, bias, reference)))
        return Found(slopes, np.zeros_like(weight), np.zeros_like(bias), np.zeros_like(reference))

    def add(self, other: Found) -> None:
        """Add those of other inputs."""
        self.slopes.add(other.slopes)
        self.weight += other.weight
        self.bias += other.bias
        self.reference += other.reference
        self.total += other.total

    def shared_out(self, step: Weights) -> LayerSlopes:
        """Derivatives whose sum over the layer is its total."""
        own, slopes = step.own, self.slopes
        if step.is_last or not step.varies:
            return slopes

        def over(weight: np.ndarray, bias: np.ndarray, reference: np.ndarray) -> float:
            sums = own.variance * weight, own.bias_variance * bias, own.reference_variance * reference
            return float(sum(a.sum() for a in sums))

        whole = over(self.weight, self.bias, self.reference)
        if whole > 0:
            known = over(slopes.variance, slopes.bias_variance, slopes.reference_variance)
            share = (self.total - known) / whole
            slopes.variance += share * self.weight
            slopes.bias_variance += share * self.bias
            slopes.reference_variance += share * self.reference
        return slopes


@dataclass(eq=False)
class _Kept:
    """What the way back needs of a node: mean of what it reads, and what else is held of it."""

    mean: np.ndarray
    slope: Any = None
    deviations: np.ndarray | None = None
    lanes: np.ndarray | None = None
    before: _Kept | None = None


def variance_slopes(
    ensemble: Ensemble,
    x: np.ndarray,
    mean_bar: np.ndarray,
    covariance_bar: np.ndarray,
    used: np.ndarray,
    threads: int = 1,
) -> dict[str, LayerSlopes]:
    """Derivatives of a function of the logits' means and covariances by the moments of every weight.

    Those by means are those of :meth:`Ensemble.logits` as it computes them. So are the sums, over a layer, of
    those by variances, each times its variance.

    Parameters
    ----------
    ensemble : Ensemble
    x : ndarray, shape (N, *input_shape)
        Prepared inputs.
    mean_bar, covariance_bar : ndarray, shapes (N, classes), (N, classes, classes)
        Derivatives by mean and covariance of each input's logits, the latter symmetric.
    used : ndarray of bool, shape (N,)
        Which inputs count.
    threads : int

    Returns
    -------
    dict of str to LayerSlopes
    """
    images = x.reshape(len(x), *image_shape(x.shape[1:]))
    blocks: list[tuple[int, np.ndarray]] = []
    for part, first in enumerate(range(0, len(x), ensemble.set_size)):
        own = first + np.flatnonzero(used[first : first + ensemble.set_size])
        blocks += [(part, own[at : at + VECTOR]) for at in range(0, len(own), VECTOR)]

    def one(given: tuple[int, np.ndarray]) -> dict[str, Found]:
        part, own = given
        return _Block(ensemble, part, own, images[own]).backward(mean_bar[own], covariance_bar[own])

    found = {name: Found.of(step) for name, step in ensemble.steps.items()}
    with ThreadPoolExecutor(threads) as pool:
        # Not all at once, because those of one block take as much room as all weights.
        for at in range(0, len(blocks), threads):
            for sums in pool.map(one, blocks[at : at + threads]):
                for name, layer in sums.items():
                    found[name].add(layer)
    return {name: sums.shared_out(ensemble.steps[name]) for name, sums in found.items()}


class _Block:
    """Inputs side by side, with the members of their set."""

    def __init__(self, ensemble: Ensemble, part: int, numbers: np.ndarray, images: np.ndarray) -> None:
        self.ensemble, self.part, self.numbers, self.count = ensemble, part, numbers, len(images)
        # Which member each input's squares come from.
        self.chosen = np.zeros(VECTOR, np.int64)
        self.chosen[: self.count] = numbers % ensemble.members
        self.nodes = {node.name: node for node in ensemble.network.nodes}
        self.varying = behind_weights(ensemble)
        self.kept: dict[str, _Kept] = {}
        self.found: dict[str, Found] = {}
        self.logits = ensemble.forward(images, part, self._keep, whole=True)

    def _keep(self, node: Node, inputs: list[Cloud], slope: Any) -> None:
        step, x = self.ensemble.steps.get(node.name), inputs[0]
        if step is None:
            bends = activation_of(node.layer) is not None or isinstance(node.layer, MaxPool2d)
            self.kept[node.name] = _Kept(x.mean, slope, x.deviations if bends else None)
            return
        read, gain = slope
        before = _Kept(x.mean, gain, x.deviations) if read is not x and x.parts else None
        kept = _Kept(read.mean, None, read.deviations, None, before)
        if read.deviations is not None:
            kept.lanes = read.mean + self._of_chosen(read.deviations)
        if not step.is_last and step.redrawn is None and read is x and self._source(node) is not None:
            # Those are what the activation makes of what it has kept.
            kept.deviations = None
        self.kept[node.name] = kept

    def _source(self, node: Node) -> Activation | None:
        """The activation that a node reads, if it does."""
        source = self.nodes.get(node.inputs[0])
        return None if source is None else activation_of(source.layer)

    def _of_chosen(self, members: np.ndarray) -> np.ndarray:
        """Of each input, what belongs to its member."""
        return np.stack([members[m, ..., i] for i, m in enumerate(self.chosen)], axis=-1)

    def _signs(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Random signs of that shape before the VECTOR, which belong to a name and each input."""
        size = int(np.prod(shape))
        found = np.zeros((size, VECTOR), _F)
        for i, number in enumerate(self.numbers):
            bits = np.random.Philox(key=[zlib.crc32(name.encode()), int(number)])
            drawn = np.frombuffer(np.random.Generator(bits).bytes(-(-size // 8)), np.uint8)
            found[:, i] = 2 * np.unpackbits(drawn, count=size).astype(_F) - 1
        return found.reshape(*shape, VECTOR)

    def backward(self, mean_bar: np.ndarray, covariance_bar: np.ndarray) -> dict[str, Found]:
        """Sums over these inputs."""
        nodes = self.ensemble.network.nodes
        bars = {nodes[-1].name: self._start(mean_bar, covariance_bar)}
        for node in reversed(nodes):
            bar = bars.pop(node.name, None)
            if bar is None:
                continue
            found = self._through(node, bar, covariance_bar)
            del self.kept[node.name]
            for name, part in zip(node.inputs, found, strict=True):
                if name in self.varying and part is not None:
                    bars[name] = bars[name].plus(part) if name in bars else part
        return self.found

    def _start(self, mean_bar: np.ndarray, covariance_bar: np.ndarray) -> Bars:
        values, vectors = np.linalg.eigh(covariance_bar)
        order = np.argsort(-np.abs(values), axis=1)
        values = np.take_along_axis(values, order, axis=1).T
        vectors = np.take_along_axis(vectors, order[:, None, :], axis=2).transpose(2, 0, 1)
        classes, count = len(values), self.count
        self.times = np.zeros((_LEADING + 2, VECTOR), _F)
        self.times[:_LEADING, :count] = values[:_LEADING]
        self.times[_LEADING:, :count] = np.array([[1], [-1]])
        shape = (1, 1, classes, VECTOR)
        squared, mean = np.zeros((_LEADING + 2, *shape), _F), np.zeros((1, *shape), _F)
        squared[:_LEADING, 0, 0, :, :count] = vectors[:_LEADING].transpose(0, 2, 1)
        roots = self._signs("logits", (classes,))[_LEADING:, :count] * np.sqrt(np.abs(values[_LEADING:]))
        for i, own in enumerate((values[_LEADING:] > 0, values[_LEADING:] < 0)):
            squared[_LEADING + i, 0, 0, :, :count] = np.einsum("qn,qnk->kn", own * roots, vectors[_LEADING:])
        mean[0, 0, 0, :, :count] = mean_bar.T
        members = np.zeros((self.ensemble.members, *shape), _F)
        if self.logits.deviations is not None:
            own = self.logits.deviations[:, 0, 0, 0, :, :count]
            bars = np.einsum("nkl,mln->mkn", covariance_bar, own) * (2 / len(own))
            members[:, 0, 0, :, :count] = bars
            mean[0, 0, 0, :, :count] -= bars.sum(axis=0)
        return Bars(mean, members, squared, np.zeros_like(mean), np.zeros((2, *shape), _F))

    def _through(self, node: Node, bars: Bars, covariance_bar: np.ndarray) -> list[Bars | None]:
        """Derivatives by what a node reads."""
        kept, layer = self.kept[node.name], node.layer
        activation = activation_of(layer)
        if node.name in self.ensemble.steps:
            return [self._weights(node, kept, bars, covariance_bar)]
        if activation is not None:
            return [self._bent(activation, kept, bars)]
        if isinstance(layer, MaxPool2d) and kept.deviations is not None:
            return [self._largest(node.name, layer, kept, bars)]
        mean, members, squared, apart = (
            through(node, kept.slope, part) for part in (bars.mean, bars.members, bars.squared, bars.apart)
        )
        costs = self._costs(node, kept.slope, bars.cost)
        return [Bars(*parts) for parts in zip(mean, members, squared, costs, apart, strict=True)]

    def _costs(self, node: Node, slope: Any, cost: np.ndarray) -> list[np.ndarray]:
        """Those of what goes into a linear node: by the squares of its factors."""
        layer = node.layer
        if isinstance(layer, BatchNorm):
            return [cost * np.square(layer.factor, dtype=_F)[:, None]]
        found = through(node, slope, cost)
        # Places of a convolution deviate together, and averages make one of them.
        return [np.zeros_like(found[0])] if isinstance(layer, AveragePool2d | GlobalAveragePool) else found

    def _charge(self, name: str, signed: np.ndarray, cost: np.ndarray) -> None:
        """Add random signs whose squares, above and below zero, are what deviations of each value cost."""
        roots = np.sqrt(np.abs(cost)) * self._signs(name, cost.shape[:-1])
        signed[0] += np.where(cost > 0, roots, 0)
        signed[1] += np.where(cost < 0, roots, 0)

    # ---- what bends

    def _bent(self, activation: Activation, kept: _Kept, bars: Bars) -> Bars:
        """Through an activation: its slopes, and what the variance of what goes in makes of its mean."""
        if kept.deviations is None:
            return Bars(*(part * kept.slope for part in bars))
        mean, deviations = kept.mean, kept.deviations[:, 0]
        c = np.einsum("m...,m...->...", deviations, deviations)[None] / _F(len(deviations))
        # What is absent from a window is too far away for float32.
        with np.errstate(all="ignore"):
            bend, third = (part.astype(_F) for part in activation.bends(mean, c))
        slope = activation.derivative(mean + self._of_chosen(deviations))
        cost, by_mean, members = np.empty_like(mean), np.empty_like(mean), np.empty_like(deviations)
        if isinstance(activation, Clamp):
            flat = (
                np.ascontiguousarray(a).reshape(-1)
                for a in (bend, third, kept.slope, bars.mean, bars.members)
            )
            bend_members(
                np.ascontiguousarray(mean).reshape(-1), np.ascontiguousarray(deviations).reshape(-1),
                _F(activation.low), _F(activation.high), *flat, np.empty(3 * CHUNK, _F), cost.reshape(-1),
                by_mean.reshape(-1), members.reshape(-1),
            )  # fmt: skip
        else:
            by_variance = _F(0.5) * bend * bars.mean
            handed = bend * bars.members.sum(axis=0) + third * (bars.members * deviations).sum(axis=0)
            cost = by_variance + _F(0.5) * handed
            seeds = (2 / _F(len(deviations))) * by_variance * deviations
            members = bars.members * activation.derivative(mean + deviations) + seeds
            by_mean = bars.mean * kept.slope - seeds.sum(axis=0)
        return Bars(by_mean, members, bars.squared * slope, bars.cost * slope + cost, bars.apart * slope)

    def _largest(self, name: str, layer: MaxPool2d, kept: _Kept, bars: Bars) -> Bars:
        """Through a maximum, pair by pair: ``max(y, x) = x + relu(y - x)``."""
        assert kept.deviations is not None
        relu, absent = Clamp(), -1e30
        means = views(layer, kept.mean, absent)
        deviations = views(layer, kept.deviations[:, 0], 0.0)
        mean, own, pairs = means[0], deviations[0], []
        for other, theirs in zip(means[1:], deviations[1:], strict=True):
            ahead, apart = mean - other, own - theirs
            c = np.einsum("m...,m...->...", apart, apart)[None] / _F(len(apart))
            with np.errstate(all="ignore"):
                out = relu.forward(ahead, c)
            pairs.append(_Kept(ahead, out.gain.astype(_F), apart[:, None]))
            largest = np.maximum(mean + own, other + theirs)
            mean = np.where(other > absent, other + out.mean.astype(_F), mean)
            own = largest - mean
        parts = []
        for place, pair in reversed(list(enumerate(pairs))):
            assert pair.deviations is not None
            first = pair.mean + self._of_chosen(pair.deviations[:, 0]) > 0
            before = self._bent(relu, pair, bars._replace(cost=np.zeros_like(bars.cost)))
            # What it costs that two places differ, by signs, because both read the same weights.
            self._charge(f"{name}/{place}", before.apart, before.cost[0])
            before = before._replace(cost=bars.cost * first)
            parts.append(Bars(*(a - b for a, b in zip(bars, before, strict=True))))
            bars = before
        parts = [bars, *reversed(parts)]
        return Bars(*(spread_out(layer, list(part), kept.mean.shape) for part in zip(*parts, strict=True)))

    # ---- layers with weights

    def _weights(self, node: Node, kept: _Kept, bars: Bars, covariance_bar: np.ndarray) -> Bars | None:
        step = self.ensemble.steps[node.name]
        own, window, shape = step.own, step.window, kept.mean.shape
        found = self.found[node.name] = self._squares(step, kept, bars)
        second = kept.mean**2
        if kept.deviations is not None:
            second += np.square(kept.deviations[:, 0]).mean(axis=0, dtype=_F)
        # Derivatives by mean squares of inputs, of the whole computation and as its squares see it.
        exact, seen = None, None
        if step.is_last:
            exact = seen = self._last(step, second, covariance_bar, found.slopes)
        elif step.redrawn is not None:
            signs = step.signs((len(bars.members), 1, *bars.members.shape[1:]), self.part)[:, 0]
            signs = signs * np.sign(step.factor)[:, None]
            root = np.sqrt(np.maximum(step.reads(second), _TINY))
            by_read = np.einsum("m...,m...->...", bars.members, signs)[None] / (2 * root)
            exact = through_weights(own.read_variance, by_read, window, shape)
            seen = np.einsum("qv,qhwcv->hwcv", self.times, bars.squared**2)[None]
            seen = through_weights(own.read_variance, seen + bars.cost, window, shape)
        members = self._members(node, step, kept, bars, found)
        if members is None:
            return None
        mean = through_weights(own.weight, bars.mean, window, shape)
        squared = self._squared(node.name, step, bars.squared, shape)
        if exact is not None and seen is not None and kept.deviations is not None:
            self._charge(f"{node.name}/inputs", squared[_LEADING:], seen[0])
            seeds = (2 / _F(len(members))) * exact * kept.deviations[:, 0]
            members += seeds
            mean += 2 * kept.mean * exact - seeds.sum(axis=0)
        back = Bars(mean, members, squared, np.zeros_like(mean), np.zeros((2, *shape[1:]), _F))
        if kept.before is None or own.dac is None:
            return back
        return self._bent(Clamp(own.dac.low, own.dac.high), kept.before, back)

    def _squares(self, step: Weights, kept: _Kept, bars: Bars) -> Found:
        """Derivatives by means, and sums of squares of those of the logits."""
        own, count, window = step.own, self.count, step.window
        x = kept.mean if kept.lanes is None else kept.lanes
        found = Found.of(step)
        if step.is_last:
            return found
        found.slopes.variance[...] = summed_by_weights(x * x, bars.cost, window, count)[0]
        found.slopes.bias_variance[...] = bars.cost[..., :count].sum(axis=(0, 1, 2, 4), dtype=np.float64)
        if own.shares is not None:
            found.slopes.reference_variance[...] = own.shares @ found.slopes.variance
        into = found.slopes.variance, found.slopes.bias_variance, found.slopes.reference_variance
        self._add_squares(
            step, x, bars.squared, self.times, into, (found.weight, found.bias, found.reference)
        )
        if bars.apart.any():
            self._add_squares(step, x, bars.apart, self.times[_LEADING:], into)
        return found

    def _add_squares(
        self,
        step: Weights,
        x: np.ndarray,
        bars: np.ndarray,
        times: np.ndarray,
        into: tuple[np.ndarray, ...],
        whole: tuple[np.ndarray, ...] = (),
    ) -> None:
        """Add so many times the squares of derivatives by weights, biases and references.

        To ``whole`` they are added whatever the sign they count with.
        """
        weights, biases = by_weights(x, bars, step.window, self.count)
        weights, biases = weights.reshape(-1, *weights.shape[2:]), biases.reshape(-1, biases.shape[2])
        squares = [weights**2, biases**2]
        if step.own.shares is not None:
            squares.append(np.einsum("go,qok->qgk", step.own.shares.astype(_F), weights) ** 2)
        each = times.T[: self.count].reshape(-1)
        for signed, sums in ((each, into), (np.abs(each), whole)):
            for square, total in zip(squares, sums, strict=False):
                total += np.tensordot(signed, square, axes=1)

    def _last(
        self, step: Weights, second: np.ndarray, covariance_bar: np.ndarray, slopes: LayerSlopes
    ) -> np.ndarray:
        """Derivatives by the last layer's variances, which are exact, and by mean squares of its inputs."""
        own, window, classes = step.own, step.window, covariance_bar.shape[1]
        bar = np.zeros((classes, classes, VECTOR), _F)
        bar[..., : self.count] = covariance_bar.transpose(1, 2, 0)
        single = np.einsum("kkn->kn", bar)[None, None, None]
        slopes.variance[...] = summed_by_weights(second, single, window, self.count)[0]
        slopes.bias_variance[...] = single.sum(axis=(0, 1, 2, 4), dtype=np.float64)
        cost = through_weights(own.variance + own.read_variance, single, window, second.shape)
        if own.shares is not None:
            shares = own.shares.astype(_F)
            shared = np.einsum("gk,kln,gl->gn", shares, bar, shares)[None, None, None]
            slopes.reference_variance[...] = summed_by_weights(second, shared, window, self.count)[0]
            cost += through_weights(own.reference_variance, shared, window, second.shape)
        return cost

    def _members(self, node: Node, step: Weights, kept: _Kept, bars: Bars, found: Found) -> np.ndarray | None:
        """Through every member's weights; what goes together with their deviations is the layer's total."""
        own, window, shape = step.own, step.window, kept.mean.shape
        shifts = step.shifts(len(bars.members), self.part, shared=False)
        back = None
        if node.inputs[0] in self.varying:
            back = np.empty((len(shifts), *shape[1:]), _F)
        found.slopes.mean += summed_by_weights(kept.mean, bars.mean, window, self.count)[0]
        read = self._read(node, kept)
        if read is None:
            each = summed_by_weights(kept.mean, bars.members, window, self.count)
        for member, shift in enumerate(shifts):
            bar = bars.members[member : member + 1]
            weight = own.weight if step.is_last else step.drawn(member, self.part)
            if read is None:
                by_weight = each[member]
            else:
                by_weight = summed_by_weights(read(member), bar, window, self.count)[0]
            found.slopes.mean += by_weight
            if not step.is_last:
                by_bias = bar[..., : self.count].sum(axis=(0, 1, 2, 4))
                found.total += 0.5 * float(np.vdot(by_weight, weight - own.weight) + by_bias @ shift)
            if back is not None:
                back[member] = through_weights(weight, bar, window, shape)[0]
        return back

    def _read(self, node: Node, kept: _Kept) -> Callable[[int], np.ndarray] | None:
        """What a member's layer reads; None where it does not vary."""
        value, of = None, kept
        if kept.deviations is None:
            activation, source = self._source(node), self.kept.get(node.inputs[0])
            if activation is None or source is None:
                return None
            value, of = activation.value, source
        mean, deviations = of.mean, of.deviations
        if deviations is None:
            return None
        if value is None:
            return lambda member: mean + deviations[member]
        return lambda member: value(mean + deviations[member])

    def _squared(self, name: str, step: Weights, bars: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Through the mean weights; what a further draw of their deviations adds gets signs of its own."""
        own = step.own
        back = through_weights(own.weight, bars, step.window, shape)
        if step.is_last or not step.spread.size:
            return back
        times = self.times[:_LEADING]
        roots = np.sqrt(np.abs(times)) * self._signs(name, (_LEADING,))
        extra = bars[_LEADING:].copy()
        for i, part in enumerate((times > 0, times < 0)):
            extra[i] += np.einsum("qv,qhwcv->hwcv", part * roots, bars[:_LEADING])
        off = step.drawn(self.ensemble.members, self.part) - own.weight
        back[_LEADING:] += through_weights(off, extra, step.window, shape)
        return back
