"""Means, variances and an ensemble of deviations: a structured covariance for networks of any kind.

Where a covariance is too large to be held, it is represented by the deviations of ``members`` virtual chips:
``C = S S' / members``. Each member has weights of its own, shared by all places of a convolution as on a
chip, but passes activations by their mean slopes, so that means and variances stay closed forms and only
what layers hand on to each other is sampled. What a layer's own devices add to a variance is exact, never
sampled.

Images are ``[block][row][column][channel][VECTOR]``, as in the kernels; a vector of features is an image of
one pixel.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from reliability.errors import UserError
from reliability.kernels import layout
from reliability.kernels.convolve import convolve
from reliability.kernels.simd import VECTOR
from reliability.layers import (
    Add,
    AveragePool2d,
    BatchNorm,
    Concat,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool2d,
    PadChannels,
    Softmax,
    Subsample,
)
from reliability.lowering import Window, image_shape
from reliability.network import INPUT, Network, Node
from reliability.packing import pack_images
from reliability.propagation.activations import Activation, Clamp, activation_of
from reliability.propagation.noisy import NoisyLayer
from reliability.propagation.powers import Powers

MEMBERS = 32
_F = np.float32


@dataclass(eq=False)
class Cloud:
    """Values of one node, of several inputs.

    Attributes
    ----------
    mean, variance : ndarray of float32, shape (blocks, height, width, channels, VECTOR)
    deviations : ndarray of float32, shape (members, blocks, height, width, channels, VECTOR), or None
        None where the values do not vary.
    """

    mean: np.ndarray
    variance: np.ndarray
    deviations: np.ndarray | None = None


class Ensemble:
    """A network on a chip, in any graph of layers.

    Parameters
    ----------
    network : Network
        As the chip holds it.
    layers : dict of str to NoisyLayer
    members : int
    """

    def __init__(self, network: Network, layers: dict[str, NoisyLayer], members: int = MEMBERS) -> None:
        self.network, self.members, self.powers = network, members, Powers()
        self.steps = {name: _Weights(name, own, members) for name, own in layers.items()}
        last: dict[str, int] = {}
        for i, node in enumerate(network.nodes):
            last |= dict.fromkeys(node.inputs, i)
        # What is used up after each node.
        self.done = [[n for n, at in last.items() if at == i] for i in range(len(network.nodes))]

    def logits(self, x: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the logits of prepared inputs, shape (N, *input_shape).

        Returns
        -------
        mean : ndarray of float64, shape (N, classes)
        covariance : ndarray of float64, shape (N, classes, classes)
        """
        images = x.reshape(len(x), *image_shape(x.shape[1:]))
        parts = [images[first : first + VECTOR] for first in range(0, len(x), VECTOR)]
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(self._block, parts))
        for _, _, powers in found:
            self.powers.add(powers)
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    def _block(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, Powers]:
        powers = Powers()
        cloud = self.forward(images, powers=powers)
        mean, variance = (a.reshape(-1, VECTOR).T[: len(images)] for a in (cloud.mean, cloud.variance))
        if cloud.deviations is None:
            return mean.astype(np.float64), np.zeros((*mean.shape, mean.shape[1])), powers
        deviations = cloud.deviations.reshape(self.members, -1, VECTOR)[..., : len(images)].astype(np.float64)
        covariance = np.einsum("min,mjn->nij", deviations, deviations) / self.members
        sampled = np.einsum("nii->ni", covariance)
        # What the last layer adds is known exactly and is independent from output to output.
        np.einsum("nii->ni", covariance)[...] = np.where(variance > 0, variance, sampled)
        return mean.astype(np.float64), covariance, powers

    def forward(
        self, images: np.ndarray, tape: dict[str, Any] | None = None, powers: Powers | None = None
    ) -> Cloud:
        """The logits of one block of at most VECTOR images, shape (N, channels, height, width).

        ``tape`` is given what the slopes of each node are (:mod:`reliability.propagation.slopes`).
        """
        packed = pack_images(images.astype(_F), (0, 0, 0, 0))
        channels, height, width = images.shape[1:]
        mean = packed.reshape(-1, height, width, channels, VECTOR)
        values = {INPUT: Cloud(mean, np.zeros_like(mean))}
        for node, done in zip(self.network.nodes, self.done, strict=True):
            inputs = [values[name] for name in node.inputs]
            values[node.name], slope = self._apply(node, inputs)
            if tape is not None:
                tape[node.name] = slope
            if powers is not None and node.name in self.steps:
                found, count = values[node.name], len(images)
                powers.count(node.name, found.mean[..., :count], found.variance[..., :count])
            for name in done:
                del values[name]
        return values[self.network.nodes[-1].name]

    def _apply(self, node: Node, inputs: list[Cloud]) -> tuple[Cloud, Any]:
        """A node's values, and what its slopes are made of."""
        layer, x = node.layer, inputs[0]
        if node.name in self.steps:
            is_last = all(isinstance(n.layer, Softmax) for n in self._after(node))
            return self.steps[node.name].forward(x, is_last)
        activation = activation_of(layer)
        if activation is not None:
            return _activate(activation, x, node.name)
        if isinstance(layer, MaxPool2d):
            return _largest(layer, x, node.name)
        if isinstance(layer, Add):
            return _sum(x, inputs[1]), None
        if isinstance(layer, Concat):
            return _concatenate(inputs), [x.mean.shape[-2] for x in inputs]
        return _linearly(layer, x), x.mean.shape

    def _after(self, node: Node) -> list[Node]:
        at = self.network.nodes.index(node)
        return list(self.network.nodes[at + 1 :])


class _Weights:
    """A layer with weights: its kernel call, and the members' weights."""

    def __init__(self, name: str, own: NoisyLayer, members: int) -> None:
        self.own, self.window, self.members = own, own.crossbar.window, members
        self.weight, self.every = _flat(own.weight), _flat(own.variance)
        self.redrawn = _flat(own.read_variance) if own.redrawn else None
        rng = _generator(name)
        noise = np.sqrt(own.variance) * rng.standard_normal((members, *own.variance.shape), _F)
        bias = np.sqrt(own.bias_variance) * rng.standard_normal((members, len(own.bias)))
        if len(own.reference_variance):
            shape = (members, *own.reference_variance.shape)
            shared = np.sqrt(own.reference_variance) * rng.standard_normal(shape, _F)
            noise -= shared[:, own.reference_of]
            bias -= (
                np.sqrt(own.reference_bias_variance)
                * rng.standard_normal((members, len(own.reference_bias_variance)))
            )[:, own.reference_of]
            self.every = _flat(own.variance + own.reference_variance[own.reference_of])
        self.noise = [_flat(member) for member in noise]
        self.bias_noise = bias.astype(_F)
        self.varies = bool(noise.any() or bias.any())
        self.name = name

    def forward(self, x: Cloud, is_last: bool) -> tuple[Cloud, Any]:
        own, gain = self.own, None
        if own.dac is not None:
            x, gain = _convert(own.dac.step, Clamp(own.dac.low, own.dac.high), x, self.name)
        mean = self._convolve(self.weight, x.mean) + own.bias.astype(_F)[:, None]
        second = x.mean**2 + x.variance
        bias_variance = own.bias_variance
        if len(own.reference_bias_variance):
            bias_variance = bias_variance + own.reference_bias_variance[own.reference_of]
        variance = self._convolve(self.every, second) + bias_variance.astype(_F)[:, None]
        reads = None
        if self.redrawn is not None:
            reads = (
                self._convolve(self.redrawn, second)
                + ((own.bias_read_variance + own.output_variance).astype(_F)[:, None])
            )
            variance += reads
        if not self.varies and x.deviations is None and reads is None:
            return Cloud(mean, np.zeros_like(mean)), (x.mean, gain)
        deviations = np.empty((self.members, *mean.shape), _F)
        handed = np.zeros_like(mean)
        signs = _signs(self.name + "/reads", self.members, mean.shape) if reads is not None else None
        for i in range(self.members):
            if x.deviations is None:
                deviations[i] = self._convolve(self.noise[i], x.mean)
            else:
                on = self._convolve(self.weight, x.deviations[i])
                handed += on * on
                if self.varies and not is_last:
                    on += self._convolve(self.noise[i], x.mean + x.deviations[i])
                deviations[i] = on
            if not is_last or x.deviations is None:
                deviations[i] += self.bias_noise[i][:, None]
                if reads is not None and signs is not None:
                    deviations[i] += np.sqrt(reads) * signs[i]
        if x.deviations is not None:
            variance += handed / _F(self.members)
        return Cloud(mean, variance, deviations), (x.mean, gain)

    def _convolve(self, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
        return convolved(weight, x, self.window, len(self.own.bias))


def convolved(weight: np.ndarray, x: np.ndarray, window: Window, columns: int) -> np.ndarray:
    """A flat matrix times every window of images ``[block][row][column][channel][VECTOR]``."""
    top, left, bottom, right = window.padding
    if any(window.padding):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0), (0, 0)))
    blocks, height, width, channels, _ = x.shape
    kernel, stride, dilation = window.kernel, window.stride, window.dilation
    rows, places = (
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
    )
    pixel = channels * VECTOR
    row_step = width * pixel
    if window.groups == 1 and dilation[1] == 1:
        # The pixels of one row of a window follow each other; those of whole rows of the image do, too.
        offsets, run = [ky * dilation[0] * row_step for ky in range(kernel[0])], kernel[1] * channels
        if kernel == (height, width):
            offsets, run = [0], height * width * channels
    else:
        run = window.channels
        offsets = [
            ky * dilation[0] * row_step + kx * dilation[1] * pixel
            for ky in range(kernel[0])
            for kx in range(kernel[1])
        ]
    record = np.zeros(1, layout.LAYER)
    record["groups"], record["group_channels"], record["lines"] = window.groups, window.channels, columns
    record["rows"] = len(offsets) * run
    tile = np.zeros(1, layout.TILE)
    tile["segments"] = len(offsets)
    y = np.empty((blocks, rows, places, columns, VECTOR), _F)
    convolve(
        record,
        tile,
        np.array(offsets, np.int64),
        np.full(len(offsets), run, np.int64),
        weight,
        np.ascontiguousarray(x).reshape(-1),
        0,
        height * row_step,
        stride[0] * row_step,
        stride[1] * pixel,
        y.reshape(-1),
        0,
        blocks,
        rows,
        places,
    )
    return y


def _activate(activation: Activation, x: Cloud, name: str) -> tuple[Cloud, np.ndarray]:
    out = activation.forward(x.mean, x.variance)
    mean, variance = (_without_dust(a, 1e-18) for a in (out.mean, out.variance))
    gain = _without_dust(out.gain, 1e-9)
    if x.deviations is None:
        return Cloud(mean, np.zeros_like(mean)), gain
    rest = np.sqrt(np.maximum(variance - gain * gain * x.variance, 0))
    deviations = x.deviations * gain
    deviations += rest * _signs(name, len(deviations), mean.shape)
    return Cloud(mean, variance, deviations), gain


def _convert(step: float, clamp: Clamp, x: Cloud, name: str) -> tuple[Cloud, np.ndarray | None]:
    """Through a DAC: what is exact is rounded, what varies is clipped and gets the variance of rounding."""
    if x.deviations is None:
        codes = np.rint(np.clip(x.mean, clamp.low, clamp.high) / _F(step))
        return Cloud(codes * _F(step), x.variance), None
    out, gain = _activate(clamp, x, name + "/clip")
    assert out.deviations is not None
    # Zero is a level: what is always zero is not rounded.
    rounding = np.where(out.variance > 0, _F(step * step / 12), _F(0))
    out.deviations += np.sqrt(rounding) * _signs(name + "/dac", len(out.deviations), out.mean.shape)
    return Cloud(out.mean, out.variance + rounding, out.deviations), gain


def _sum(x: Cloud, y: Cloud) -> Cloud:
    if x.deviations is None or y.deviations is None:
        varying = x.deviations if y.deviations is None else y.deviations
        return Cloud(x.mean + y.mean, x.variance + y.variance, varying)
    common = (x.deviations * y.deviations).mean(axis=0)
    variance = np.maximum(x.variance + y.variance + 2 * common, 0)
    return Cloud(x.mean + y.mean, variance, x.deviations + y.deviations)


def _concatenate(inputs: list[Cloud]) -> Cloud:
    def joined(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays, axis=-2)

    mean, variance = joined([x.mean for x in inputs]), joined([x.variance for x in inputs])
    members = max((len(x.deviations) for x in inputs if x.deviations is not None), default=0)
    if not members:
        return Cloud(mean, variance)
    none = [np.zeros((members, *x.mean.shape), _F) if x.deviations is None else x.deviations for x in inputs]
    return Cloud(mean, variance, joined(none))


def _linearly(layer: Layer, x: Cloud) -> Cloud:
    """Layers without weights that are linear: batch norm, averages, and those that only move values."""
    if isinstance(layer, BatchNorm):
        factor, offset = (a.astype(_F)[:, None] for a in (layer.factor, layer.offset))
        deviations = None if x.deviations is None else x.deviations * factor
        return Cloud(x.mean * factor + offset, x.variance * factor**2, deviations)
    if isinstance(layer, Flatten | Softmax):
        return x
    if isinstance(layer, Subsample):
        moved = _moved(x, lambda a: a[..., :: layer.step[0], :: layer.step[1], :, :])
    elif isinstance(layer, PadChannels):
        moved = _moved(
            x, lambda a: np.pad(a, [(0, 0)] * (a.ndim - 2) + [(layer.before, layer.after), (0, 0)])
        )
    elif isinstance(layer, GlobalAveragePool):
        moved = _averaged(x, lambda a: a.mean(axis=(-4, -3), keepdims=True, dtype=_F))
    elif isinstance(layer, AveragePool2d):
        moved = _averaged(x, lambda a: _pooled(layer, a))
    else:
        raise UserError(f"the analytic network does not know layers of kind {layer.kind!r}")
    return moved


def _moved(x: Cloud, move: Callable[[np.ndarray], np.ndarray]) -> Cloud:
    return Cloud(move(x.mean), move(x.variance), None if x.deviations is None else move(x.deviations))


def _averaged(x: Cloud, average: Callable[[np.ndarray], np.ndarray]) -> Cloud:
    mean = average(x.mean)
    if x.deviations is None:
        return Cloud(mean, np.zeros_like(mean))
    deviations = average(x.deviations)
    return Cloud(mean, (deviations**2).mean(axis=0), deviations)


def views(layer: MaxPool2d | AveragePool2d, x: np.ndarray, fill: float) -> list[np.ndarray]:
    """For each place of the window, what stands there under every position of it."""
    top, left, bottom, right = layer.padding
    rest = [(0, 0)] * (x.ndim - 4)
    if any(layer.padding):
        x = np.pad(x, [*rest, (top, bottom), (left, right), (0, 0), (0, 0)], constant_values=_F(fill))
    rows, places = (
        (size - k) // s + 1 for size, k, s in zip(x.shape[-4:-2], layer.kernel, layer.stride, strict=True)
    )
    down, across = layer.stride
    return [
        x[..., ky : ky + rows * down : down, kx : kx + places * across : across, :, :]
        for ky in range(layer.kernel[0])
        for kx in range(layer.kernel[1])
    ]


def _pooled(layer: AveragePool2d, x: np.ndarray) -> np.ndarray:
    total = np.add.reduce(views(layer, x, 0.0))
    if layer.count_padding:
        return total / _F(layer.kernel[0] * layer.kernel[1])
    ones = np.ones((1, *x.shape[-4:-2], 1, 1), _F)
    return total / np.add.reduce(views(layer, ones, 0.0))


def _largest(layer: MaxPool2d, x: Cloud, name: str) -> tuple[Cloud, Any]:
    """Maximum of each window, pair by pair (C. E. Clark, Oper. Res. 9:145, 1961).

    Its slopes are the shares of each place of the window.
    """
    if x.deviations is None:
        places = views(layer, x.mean, -np.inf)
        mean = np.maximum.reduce(places)
        return Cloud(mean, np.zeros_like(mean)), (x.mean.shape, [(p == mean).astype(_F) for p in places])
    # What is padded stands so low that it never wins.
    means, variances = views(layer, x.mean, -1e30), views(layer, x.variance, 0.0)
    clouds = views(layer, x.deviations, 0.0)
    found, shares = Cloud(means[0], variances[0], clouds[0]), [np.ones_like(means[0])]
    for i in range(1, len(means)):
        found, first = _larger(found, Cloud(means[i], variances[i], clouds[i]), f"{name}/{i}")
        shares = [*(share * first for share in shares), 1 - first]
    return found, (x.mean.shape, shares)


def _larger(x: Cloud, y: Cloud, name: str) -> tuple[Cloud, np.ndarray]:
    """The larger of two values, and the probability that it is the first one."""
    assert x.deviations is not None and y.deviations is not None
    common = np.einsum("m...,m...->...", x.deviations, y.deviations)
    sampled = np.einsum("m...,m...->...", x.deviations, x.deviations)
    sampled = sampled * np.einsum("m...,m...->...", y.deviations, y.deviations)
    common *= np.sqrt(x.variance * y.variance / np.maximum(sampled, _F(1e-30)))
    spread = np.sqrt(np.maximum(x.variance + y.variance - 2 * common, _F(1e-20)))
    a = (x.mean - y.mean) / spread
    first = ndtr(a)
    density = np.exp(_F(-0.5) * np.minimum(a * a, _F(100))) * _F(0.3989423)
    # Relative to the second one, so that large values do not cost digits.
    ahead = x.mean - y.mean
    above = ahead * first + spread * density
    mean = y.mean + above
    square = (ahead**2 + x.variance) * first + y.variance * (1 - first) + ahead * spread * density
    variance = np.maximum(square - above**2, 0)
    deviations = x.deviations * first + y.deviations * (1 - first)
    passed = first**2 * x.variance + (1 - first) ** 2 * y.variance + 2 * first * (1 - first) * common
    rest = np.sqrt(np.maximum(variance - passed, 0))
    deviations += rest * _signs(name, len(deviations), mean.shape)
    return Cloud(mean, variance, deviations), first


def _without_dust(x: np.ndarray, smallest: float) -> np.ndarray:
    """As float32, without numbers that mean nothing and whose products are so small that CPUs are slow."""
    return np.where(np.abs(x) < smallest, _F(0), x).astype(_F, copy=False)


def _flat(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix, _F).reshape(-1)


def _generator(name: str) -> np.random.Generator:
    """Draws that belong to a name, whatever else is drawn."""
    return np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))


def _signs(name: str, members: int, shape: tuple[int, ...]) -> np.ndarray:
    """A random sign for every member and value, the same for all inputs."""
    signs = _generator(name).integers(0, 2, (members, 1, *shape[1:-1], 1), np.int8)
    return (2 * signs - 1).astype(_F)
