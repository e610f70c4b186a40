"""An ensemble of virtual chips beside closed-form means: a structured covariance for networks of any kind.

Where a covariance is too large to be held, it is represented by what ``members`` virtual chips deviate by:
``C = S S' / members``. Each member has weights of its own, shared by all places of a convolution as on a
chip, and passes through the network's own activations. Only deviations are sampled. Means are closed forms
of mean and variance, layer by layer, and what the last layer's own devices add to the logits is exact.
Every set of inputs has members of its own, so that what they err by averages out.

Images are ``[block][row][column][channel][VECTOR]``, as in the kernels, deviations of members one more in
front; a vector of features is an image of one pixel.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reliability.errors import UserError
from reliability.kernels import layout
from reliability.kernels.convolve import GEOMETRY, convolve
from reliability.kernels.latent import BLOCK
from reliability.kernels.members import CHUNK, clamp_members, convolve_members, draw_member, largest_members
from reliability.kernels.simd import VECTOR
from reliability.latents import key
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

# Inputs of a set are a multiple of this for any length of vectors, so that all CPUs draw the same members.
_SET = 16
_LARGEST_SET = 8 * _SET
_DUST = 1e-9
# Multiply-adds that take as long as drawing one weight.
_DRAW = 4
_F = np.float32
_NONE = np.empty(0, _F)

Keep = Callable[[Node, "list[Cloud]", Any], None]


@dataclass(eq=False)
class Cloud:
    """Values of one node, of several inputs.

    Attributes
    ----------
    mean : ndarray of float32, shape (blocks, height, width, channels, VECTOR)
    parts : tuple of ndarray of float32, shape (members, *mean.shape)
        The members' deviations as a sum; none where the values do not vary.
    owned : bool
        Whether nobody else needs the first part, so that it may be overwritten.
    last : ndarray of float64, shape (blocks * VECTOR, columns, columns), or None
        Covariance that the last layer adds to that of the members.
    """

    mean: np.ndarray
    parts: tuple[np.ndarray, ...] = ()
    owned: bool = False
    last: np.ndarray | None = None

    @functools.cached_property
    def deviations(self) -> np.ndarray | None:
        """The members' deviations as one array."""
        return sum(self.parts[1:], self.parts[0]) if self.parts else None

    @property
    def variance(self) -> np.ndarray:
        """Mean square of the deviations."""
        if self.deviations is None:
            return np.zeros_like(self.mean)
        return np.einsum("m...,m...->...", self.deviations, self.deviations) / _F(len(self.deviations))


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
        self.network, self.members, self.powers = _pools_first(network), members, Powers()
        nodes = self.network.nodes
        readers = Counter(name for node in nodes for name in node.inputs)
        norms = {
            node.inputs[0]: node
            for node in nodes
            if isinstance(node.layer, BatchNorm) and node.inputs[0] in layers and readers[node.inputs[0]] == 1
        }
        self.fused = {node.name for node in norms.values()}
        ends = [node.name for node in nodes if not isinstance(node.layer, Softmax)][-1:]
        self.steps = {
            name: Weights(
                name,
                own,
                norms[name].layer if name in norms else None,
                name in ends and own.crossbar.places == 1,
            )
            for name, own in layers.items()
        }
        last: dict[str, int] = {}
        for i, node in enumerate(nodes):
            last |= dict.fromkeys(node.inputs, i)
        # What is used up after each node.
        self.done = [[n for n, at in last.items() if at == i] for i in range(len(nodes))]
        drawn = sum(own.weight.size for own in layers.values())
        work = sum(own.weight.size * own.crossbar.places for own in layers.values())
        self.set_size = min(_SET * math.ceil(_DRAW * drawn / max(work, 1)), _LARGEST_SET)

    def logits(self, x: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the logits of prepared inputs, shape (N, *input_shape).

        Returns
        -------
        mean : ndarray of float64, shape (N, classes)
        covariance : ndarray of float64, shape (N, classes, classes)
        """
        images = x.reshape(len(x), *image_shape(x.shape[1:]))
        parts = [images[first : first + self.set_size] for first in range(0, len(x), self.set_size)]
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(self._moments, parts, range(len(parts))))
        for _, _, powers in found:
            self.powers.add(powers)
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    def _moments(self, images: np.ndarray, part: int) -> tuple[np.ndarray, np.ndarray, Powers]:
        powers = Powers()
        cloud = self.forward(images, part, powers=powers)
        count, blocks = len(images), len(cloud.mean)

        def by_input(a: np.ndarray) -> np.ndarray:
            rows = a.reshape(*a.shape[:-5], blocks, -1, VECTOR).swapaxes(-1, -2)
            return rows.reshape(*a.shape[:-5], blocks * VECTOR, -1)[..., :count, :].astype(np.float64)

        mean = by_input(cloud.mean)
        covariance = np.zeros((*mean.shape, mean.shape[1])) if cloud.last is None else cloud.last[:count]
        if cloud.deviations is not None:
            deviations = by_input(cloud.deviations).transpose(1, 2, 0)
            covariance = covariance + np.matmul(deviations, deviations.transpose(0, 2, 1)) / self.members
        return mean, covariance, powers

    def forward(
        self,
        images: np.ndarray,
        part: int,
        keep: Keep | None = None,
        powers: Powers | None = None,
        *,
        whole: bool = False,
    ) -> Cloud:
        """The logits of one set of images, shape (N, channels, height, width).

        Parameters
        ----------
        images : ndarray
        part : int
            Number of the set, which says what the members' weights are.
        keep : callable, optional
            Is given each node, what it read, and what its slopes are made of.
        powers : Powers, optional
            Is given those of each layer's outputs.
        whole : bool
            Whether what nodes read stays as it is when nobody else needs it.
        """
        channels, height, width = images.shape[1:]
        packed = pack_images(images.astype(_F), (0, 0, 0, 0))
        values = {INPUT: Cloud(packed.reshape(-1, height, width, channels, VECTOR))}
        for node, done in zip(self.network.nodes, self.done, strict=True):
            inputs = [values[name] for name in node.inputs]
            for name in node.inputs:
                values[name].owned &= name in done and not whole
            for name in done:
                del values[name]
            if node.name in self.steps:
                found = self.steps[node.name].forward(inputs[0], self.members, part)
                values[node.name], slope, power = found
                if powers is not None:
                    signal, noise = (float(p.reshape(-1)[: len(images)].sum()) for p in power)
                    powers.count(node.name, signal, noise, len(images))
            else:
                values[node.name], slope = self._apply(node, inputs)
            if keep is not None:
                keep(node, inputs, slope)
        return values[self.network.nodes[-1].name]

    def _apply(self, node: Node, inputs: list[Cloud]) -> tuple[Cloud, Any]:
        """The values of a node without weights, and what its slopes are made of."""
        layer, x = node.layer, inputs[0]
        activation = activation_of(layer)
        if node.name in self.fused:
            return x, None
        if activation is not None:
            return _activate(activation, x)
        if isinstance(layer, MaxPool2d):
            return _largest(layer, x)
        if isinstance(layer, Add):
            y = inputs[1]
            return Cloud(x.mean + y.mean, x.parts + y.parts, x.owned and bool(x.parts)), None
        if isinstance(layer, Concat):
            return _concatenate(inputs, self.members), [x.mean.shape[-2] for x in inputs]
        return _linearly(layer, x), x.mean.shape


class Weights:
    """A layer with weights and the batch norm behind it."""

    def __init__(self, name: str, own: NoisyLayer, norm: Layer | None, is_last: bool) -> None:
        self.name, self.own, self.is_last = name, own, is_last
        self.window, columns = own.crossbar.window, len(own.bias)
        self.weight = _flat(own.weight)
        self.redrawn = _flat(own.read_variance) if own.redrawn else None
        self.factor, self.offset = np.ones(columns, _F), np.zeros(columns, _F)
        if isinstance(norm, BatchNorm):
            self.factor, self.offset = norm.factor.astype(_F), norm.offset.astype(_F)
        spread = np.sqrt(np.concatenate([own.variance, own.reference_variance]))
        self.bias_spread = np.sqrt(np.concatenate([own.bias_variance, own.reference_bias_variance]))
        self.varies = bool(spread.any() or self.bias_spread.any())
        self.spread = _flat(spread) if spread.any() and not is_last else _NONE
        self.mean_weight = np.concatenate([self.weight, np.zeros(own.reference_variance.size, _F)])
        self.reference_of = own.reference_of if len(own.reference_variance) else np.zeros(columns, np.int64)

    def forward(self, x: Cloud, members: int, part: int) -> tuple[Cloud, Any, tuple[np.ndarray, np.ndarray]]:
        """Values, what slopes are made of, and signal and noise of the outputs of every input."""
        own, gain = self.own, None
        if own.dac is not None:
            x, gain = _convert(own.dac.step, Clamp(own.dac.low, own.dac.high), x)
        sums = convolved(self.weight, x.mean, self.window, len(own.bias))
        mean = sums + own.bias.astype(_F)[:, None]
        signal = np.square(mean, dtype=np.float64).mean(axis=(1, 2, 3))
        slope = (x, gain)
        mean = mean * self.factor[:, None] + self.offset[:, None]
        if self.is_last:
            return self._last(x, mean, sums, members, part, signal, slope)
        if not x.parts and not self.varies and not own.redrawn:
            return Cloud(mean), slope, (signal, np.zeros_like(signal))
        deviations, noise = self._members(x, sums, members, part)
        if self.redrawn is not None:
            reads = self.reads(x.mean**2 + x.variance)
            noise += reads.mean(axis=(1, 2, 3))
            deviations += np.sqrt(reads) * np.abs(self.factor)[:, None] * self.signs(deviations.shape, part)
        return Cloud(mean, (deviations,), True), slope, (signal, noise)

    def _members(self, x: Cloud, sums: np.ndarray, members: int, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Deviations of the members, and their mean square for each input before the batch norm."""
        geometry, *shape = _shape(x.mean.shape, self.window, len(self.own.bias))
        images = geometry[0]
        columns, whole = len(self.own.bias), not self.is_last
        shifts = self.shifts(members, part) if whole else np.zeros((members, columns), _F)
        y = np.empty((members, *sums.shape), _F)
        powers = np.zeros((len(sums), VECTOR))
        deviations = x.deviations
        room = np.zeros(images["blocks"] * images["room_height"] * images["room_width"] * images["pixel"], _F)
        convolve_members(
            geometry,
            *shape,
            self.mean_weight,
            self.spread,
            self.reference_of,
            part,
            *key(0, "members", self.name, "search"),
            x.mean.reshape(-1),
            _NONE if deviations is None else deviations.reshape(-1),
            whole,
            (sums if whole else np.zeros_like(sums)).reshape(-1),
            shifts.reshape(-1),
            self.factor,
            room,
            np.empty(self.mean_weight.size, _F),
            np.empty(BLOCK, _F),
            np.empty(VECTOR, _F),
            powers,
            y.reshape(-1),
        )
        return y, powers / (members * math.prod(sums.shape[1:4]))

    def shifts(self, members: int, part: int, *, shared: bool = True) -> np.ndarray:
        """What the members' biases deviate by, also by ``shared`` references: shape (members, columns)."""
        columns = len(self.own.bias)
        found = np.zeros((members, columns), _F)
        if self.bias_spread.any():
            drawn = _generator(f"{self.name}/bias", part).standard_normal((members, len(self.bias_spread)))
            drawn = drawn * self.bias_spread
            found[:] = drawn[:, :columns]
            if shared and len(self.own.reference_variance):
                found -= drawn[:, columns:][:, self.reference_of].astype(_F)
        return found

    def drawn(self, member: int, part: int) -> np.ndarray:
        """A member's weights, shape (columns, rows)."""
        if not self.spread.size:
            return self.own.weight.astype(_F)
        out = np.empty(self.mean_weight.size, _F)
        draw_member(
            self.mean_weight, self.spread, self.reference_of, self.own.weight.shape[1], np.empty(BLOCK, _F),
            member, part, *key(0, "members", self.name, "search"), out,
        )  # fmt: skip
        return out[: self.own.weight.size].reshape(self.own.weight.shape)

    def signs(self, shape: tuple[int, ...], part: int) -> np.ndarray:
        """Which way every read of every member deviates, of outputs ``[member][block][row]...``."""
        # The same for all blocks, so that their length does not matter.
        drawn = _generator(f"{self.name}/reads", part).integers(0, 2, (shape[0], 1, *shape[2:5], 1), np.int8)
        return (2 * drawn - 1).astype(_F)

    def reads(self, second: np.ndarray) -> np.ndarray:
        """Variance of every read, from the mean squares of what is read."""
        assert self.redrawn is not None
        redrawn = self.own.bias_read_variance + self.own.output_variance
        return convolved(self.redrawn, second, self.window, len(redrawn)) + redrawn.astype(_F)[:, None]

    def _last(
        self,
        x: Cloud,
        mean: np.ndarray,
        sums: np.ndarray,
        members: int,
        part: int,
        signal: np.ndarray,
        slope: Any,
    ) -> tuple[Cloud, Any, tuple[np.ndarray, np.ndarray]]:
        """The logits: what the layer's own devices add is known exactly."""
        own = self.own
        second = x.mean**2 + x.variance

        def added(variance: np.ndarray, bias: np.ndarray) -> np.ndarray:
            found = convolved(_flat(variance), second, self.window, len(bias)) + bias.astype(_F)[:, None]
            return found[:, 0, 0].transpose(0, 2, 1).reshape(-1, len(bias)).astype(np.float64)

        alone = added(own.variance, own.bias_variance)
        if own.redrawn:
            alone += added(own.read_variance, own.bias_read_variance + own.output_variance)
        covariance = alone[:, :, None] * np.eye(len(own.bias))
        if own.shares is not None:
            shared = added(own.reference_variance, own.reference_bias_variance)
            covariance += np.matmul(own.shares.T * shared[:, None, :], own.shares)
        noise = np.einsum("nii->ni", covariance).mean(axis=1).reshape(-1, VECTOR)
        parts: tuple[np.ndarray, ...] = ()
        if x.parts:
            deviations, handed = self._members(x, sums, members, part)
            parts, noise = (deviations,), noise + handed
        return Cloud(mean, parts, True, covariance), slope, (signal, noise)


def _shape(shape: tuple[int, ...], window: Window, columns: int) -> tuple[np.ndarray, ...]:
    """What :func:`convolve` reads of a layer, for images of that shape, ``[block][row][column][channel]``."""
    blocks, height, width, channels = shape[:4]
    top, left, bottom, right = window.padding
    room = top + height + bottom, left + width + right
    geometry = np.zeros(1, GEOMETRY)
    pixel = channels * VECTOR
    row = room[1] * pixel
    rows, places = (
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(room, window.kernel, window.stride, window.dilation, strict=True)
    )
    geometry[0] = (
        blocks, height, width, pixel, top, left, *room, window.stride[0] * row, window.stride[1] * pixel,
        rows, places,
    )  # fmt: skip
    # The pixels of one row of a window follow each other; those of whole rows of the image do, too.
    down, across = window.kernel
    run = window.channels
    if window.groups == 1 and window.dilation[1] == 1:
        across, run = 1, run * across
        if window.kernel == room:
            down, run = 1, run * down
    offsets = [
        ky * window.dilation[0] * row + kx * window.dilation[1] * pixel
        for ky in range(down)
        for kx in range(across)
    ]
    record = np.zeros(1, layout.LAYER)
    record["groups"], record["group_channels"], record["lines"] = window.groups, window.channels, columns
    record["rows"] = len(offsets) * run
    tile = np.zeros(1, layout.TILE)
    tile["segments"] = len(offsets)
    runs = np.full(len(offsets), run, np.int64)
    return geometry, record, tile, np.array(offsets, np.int64), runs


def convolved(weight: np.ndarray, x: np.ndarray, window: Window, columns: int) -> np.ndarray:
    """A flat matrix times every window of images ``[block][row][column][channel][VECTOR]``."""
    top, left, bottom, right = window.padding
    geometry, *shape = _shape(x.shape, window, columns)
    if any(window.padding):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0), (0, 0)))
    images = geometry[0]
    y = np.empty((len(x), images["rows"], images["places"], columns, VECTOR), _F)
    convolve(geometry, *shape, weight, np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
    return y


def _activate(activation: Activation, x: Cloud, step: float = 0.0) -> tuple[Cloud, np.ndarray]:
    if not x.parts:
        out = activation.forward(x.mean, np.zeros_like(x.mean))
        return Cloud(out.mean.astype(_F)), out.gain.astype(_F)
    if not isinstance(activation, Clamp):
        assert x.deviations is not None
        out = activation.forward(x.mean, x.variance)
        mean = out.mean.astype(_F)
        deviations = activation.value(x.mean + x.deviations) - mean
        return Cloud(mean, (deviations,), True), out.gain.astype(_F)
    parts = x.parts if len(x.parts) <= 2 else (x.parts[0], sum(x.parts[2:], x.parts[1]))
    first, *others = (part.reshape(-1) for part in parts)
    mean, gain = np.empty_like(x.mean), np.empty_like(x.mean)
    y = first if x.owned else np.empty_like(first)
    clamp_members(
        x.mean.reshape(-1), first, others[0] if others else _NONE, _F(activation.low), _F(activation.high),
        _F(step), np.empty(CHUNK, _F), mean.reshape(-1), gain.reshape(-1), y,
    )  # fmt: skip
    # Slopes that mean nothing, whose products are so small that CPUs are slow.
    gain[gain < _DUST] = 0
    return Cloud(mean, (y.reshape(x.parts[0].shape),), True), gain


def _convert(step: float, clamp: Clamp, x: Cloud) -> tuple[Cloud, np.ndarray | None]:
    """Through a DAC: what is exact is rounded, what varies is clipped, and every member is rounded."""
    if not x.parts:
        codes = np.rint(np.clip(x.mean, clamp.low, clamp.high) / _F(step))
        return Cloud(codes * _F(step)), None
    return _activate(clamp, Cloud(x.mean, (sum(x.parts[1:], x.parts[0]),), x.owned), step)


def _concatenate(inputs: list[Cloud], members: int) -> Cloud:
    mean = np.concatenate([x.mean for x in inputs], axis=-2)
    if not any(x.parts for x in inputs):
        return Cloud(mean)
    own = [np.zeros((members, *x.mean.shape), _F) if x.deviations is None else x.deviations for x in inputs]
    return Cloud(mean, (np.concatenate(own, axis=-2),), True)


def _linearly(layer: Layer, x: Cloud) -> Cloud:
    """Layers without weights that are linear: batch norm, averages, and those that only move values."""
    if isinstance(layer, BatchNorm):
        factor, offset = (a.astype(_F)[:, None] for a in (layer.factor, layer.offset))
        return Cloud(x.mean * factor + offset, tuple(part * factor for part in x.parts), True)
    if isinstance(layer, Flatten | Softmax):
        return x
    if isinstance(layer, GlobalAveragePool):
        return _moved(x, lambda a: a.mean(axis=(-4, -3), keepdims=True, dtype=_F))
    if isinstance(layer, AveragePool2d):
        return _moved(x, lambda a: _pooled(layer, a))
    if isinstance(layer, Subsample):
        return _moved(x, lambda a: a[..., :: layer.step[0], :: layer.step[1], :, :])
    if isinstance(layer, PadChannels):
        borders = (layer.before, layer.after), (0, 0)
        return _moved(x, lambda a: np.pad(a, [(0, 0)] * (a.ndim - 2) + list(borders)))
    raise UserError(f"the analytic network does not know layers of kind {layer.kind!r}")


def _moved(x: Cloud, move: Callable[[np.ndarray], np.ndarray]) -> Cloud:
    return Cloud(move(x.mean), tuple(move(part) for part in x.parts))


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


def counted(layer: AveragePool2d, shape: tuple[int, ...]) -> np.ndarray:
    """Values in the mean of each window, of images of that shape, ``[block][row][column][channel]``."""
    if layer.count_padding:
        return np.full(1, layer.kernel[0] * layer.kernel[1], _F)
    ones = np.ones((1, *shape[1:3], 1, 1), _F)
    return functools.reduce(np.add, views(layer, ones, 0.0))


def _pooled(layer: AveragePool2d, x: np.ndarray) -> np.ndarray:
    return functools.reduce(np.add, views(layer, x, 0.0)) / counted(layer, x.shape[-5:])


def _largest(layer: MaxPool2d, x: Cloud) -> tuple[Cloud, Any]:
    """Maximum of each window, pair by pair. Its slopes are the shares of each place of the window."""
    places = views(layer, x.mean, -np.inf)
    if x.deviations is None:
        mean = np.maximum.reduce(places)
        return Cloud(mean), (x.mean.shape, [(p == mean).astype(_F) for p in places])
    mean = np.empty(places[0].shape, _F)
    shares = np.zeros((len(places), *mean.shape), _F)
    y = np.empty((len(x.deviations), *mean.shape), _F)
    blocks, height, width, channels, _ = x.mean.shape
    largest_members(
        np.ascontiguousarray(x.mean).reshape(-1), x.deviations.reshape(-1), blocks, height, width,
        channels * VECTOR, layer.kernel, layer.stride, layer.padding[:2], *mean.shape[1:3],
        np.empty(2 * CHUNK, _F), mean.reshape(-1), shares.reshape(-1), y.reshape(-1),
    )  # fmt: skip
    return Cloud(mean, (y,), True), (x.mean.shape, list(shares))


def _pools_first(network: Network) -> Network:
    """The same network with each maximum before the activation that it follows.

    All activations rise, so that the maximum of what they give is what they give of the maximum; and the
    maximum of normals is nearer to a normal than that of what activations make of them.
    """
    nodes = list(network.nodes)
    readers = Counter(name for node in nodes for name in node.inputs)
    place = {node.name: i for i, node in enumerate(nodes)}
    for i, pool in enumerate(nodes):
        before = place.get(pool.inputs[0])
        if not isinstance(pool.layer, MaxPool2d) or before is None or readers[pool.inputs[0]] > 1:
            continue
        if activation_of(nodes[before].layer) is not None:
            nodes[i] = replace(pool, layer=nodes[before].layer)
            nodes[before] = replace(nodes[before], layer=pool.layer)
    return replace(network, nodes=tuple(nodes))


def _flat(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix, _F).reshape(-1)


def _generator(name: str, part: int) -> np.random.Generator:
    """Draws that belong to a name and a set of inputs, whatever else is drawn."""
    return np.random.Generator(np.random.Philox(key=[zlib.crc32(name.encode()), part]))
