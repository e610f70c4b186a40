"""Derivatives of each input's logits by every weight, through the mean slopes of activations.

What an :class:`~reliability.propagation.ensemble.Ensemble` keeps of its forward pass is a network that is
linear in its weights' deviations, at the operating noise. Its derivatives are those of the expected logits
but for what variances do to means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reliability.kernels.simd import VECTOR
from reliability.layers import (
    Add,
    AveragePool2d,
    BatchNorm,
    Concat,
    Flatten,
    GlobalAveragePool,
    MaxPool2d,
    PadChannels,
    Softmax,
    Subsample,
)
from reliability.lowering import Window, image_shape
from reliability.network import Node
from reliability.propagation.activations import activation_of
from reliability.propagation.ensemble import Cloud, Ensemble, convolved, counted, views

_F = np.float32
Taken = Callable[[str, np.ndarray, np.ndarray], None]


def weight_slopes(
    ensemble: Ensemble, x: np.ndarray, upstream: np.ndarray
) -> Iterator[tuple[slice, str, np.ndarray, np.ndarray]]:
    """Derivatives of combinations of the logits by every layer's weights and biases.

    Parameters
    ----------
    ensemble : Ensemble
    x : ndarray, shape (N, *input_shape)
        Prepared inputs.
    upstream : ndarray, shape (N, combinations, classes)
        What each input's logits are combined with.

    Yields
    ------
    slice, str, ndarray, ndarray
        Which inputs, the layer, and for each of these inputs and combinations the derivatives by its weights,
        shape (inputs, combinations, columns, rows), and biases, (inputs, combinations, columns).
    """
    images = x.reshape(len(x), *image_shape(x.shape[1:]))
    for first in range(0, len(x), VECTOR):
        own = slice(first, min(first + VECTOR, len(x)))
        tape: dict[str, Any] = {}

        def keep(node: Node, _: list[Cloud], slope: Any, tape: dict[str, Any] = tape) -> None:
            tape[node.name] = (slope[0].mean, slope[1]) if node.name in ensemble.steps else slope

        # The same members for all, so that an input's slopes do not depend on the others.
        ensemble.forward(images[own], 0, keep)
        for name, weights, biases in _block(ensemble, tape, upstream[own]):
            yield own, name, weights, biases


def _block(
    ensemble: Ensemble, tape: dict[str, Any], upstream: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    count, combinations, classes = upstream.shape
    start = np.zeros((combinations, 1, 1, classes, VECTOR), _F)
    start[..., :count] = upstream.transpose(1, 2, 0)[:, None, None]
    nodes = ensemble.network.nodes
    varying = behind_weights(ensemble)
    bars: dict[str, np.ndarray] = {nodes[-1].name: start}
    for node in reversed(nodes):
        bar = bars.pop(node.name, None)
        if bar is None:
            continue
        if node.name in ensemble.steps:
            mean, gain = tape[node.name]
            window = ensemble.steps[node.name].window
            yield node.name, *by_weights(mean, bar, window, count)
            if node.inputs[0] not in varying:
                continue
            found = [through_weights(ensemble.steps[node.name].own.weight, bar, window, mean.shape)]
            if gain is not None:
                found[0] *= gain
        else:
            found = through(node, tape[node.name], bar)
        for name, part in zip(node.inputs, found, strict=True):
            if name in varying:
                bars[name] = bars[name] + part if name in bars else part


def behind_weights(ensemble: Ensemble) -> set[str]:
    """Nodes whose values depend on any layer's weights."""
    found: set[str] = set()
    for node in ensemble.network.nodes:
        if node.name in ensemble.steps or found & set(node.inputs):
            found.add(node.name)
    return found


def by_weights(
    mean: np.ndarray, bar: np.ndarray, window: Window, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives by weights, (inputs, combinations, columns, rows), and biases."""
    rows, places, columns = bar.shape[1:4]
    patches = _patches(mean, window, (rows, places), count)
    heads = bar[..., :count].transpose(4, 0, 3, 1, 2).reshape(count, len(bar), columns, rows * places)
    each, channels = columns // window.groups, window.channels
    found = np.empty((count, len(bar), columns, math.prod(window.kernel) * channels), _F)
    for g in range(window.groups):
        own = np.ascontiguousarray(patches[..., g * channels : (g + 1) * channels])
        own = own.reshape(count, 1, rows * places, -1)
        part = slice(g * each, (g + 1) * each)
        found[:, :, part] = np.matmul(heads[:, :, part], own)
    return found, heads.sum(axis=-1)


def summed_by_weights(x: np.ndarray, bar: np.ndarray, window: Window, count: int) -> np.ndarray:
    """Derivatives by weights, (combinations, columns, rows), added up over inputs."""
    rows, places, columns = bar.shape[1:4]
    patches = _patches(x, window, (rows, places), count)
    heads = bar[..., :count].transpose(0, 3, 4, 1, 2).reshape(len(bar), columns, -1)
    each, channels = columns // window.groups, window.channels
    found = np.empty((len(bar), columns, math.prod(window.kernel) * channels), _F)
    for g in range(window.groups):
        own = patches[..., g * channels : (g + 1) * channels].reshape(heads.shape[2], -1)
        part = slice(g * each, (g + 1) * each)
        # One product, of all combinations at once.
        found[:, part] = (heads[:, part].reshape(-1, heads.shape[2]) @ own).reshape(len(bar), each, -1)
    return found


def _patches(x: np.ndarray, window: Window, size: tuple[int, int], count: int) -> np.ndarray:
    """What every place of a layer's output reads: (inputs, places, kernel places, channels)."""
    (ky, kx), (down, across) = window.kernel, window.stride
    top, left, bottom, right = window.padding
    room = np.pad(x[0], ((top, bottom), (left, right), (0, 0), (0, 0)))[..., :count]
    spans = [d * (k - 1) + 1 for d, k in zip(window.dilation, (ky, kx), strict=True)]
    patches = np.lib.stride_tricks.sliding_window_view(room, spans, axis=(0, 1))
    patches = patches[::down, ::across, :, :, :: window.dilation[0], :: window.dilation[1]]
    patches = patches[: size[0], : size[1]].transpose(3, 0, 1, 4, 5, 2)  # input, row, place, ky, kx, channel
    return patches.reshape(count, math.prod(size), ky * kx, -1)


def through_weights(weight: np.ndarray, bar: np.ndarray, window: Window, shape: tuple) -> np.ndarray:
    """Derivatives by the images that a layer reads: its transposed convolution."""
    (ky, kx), (down, across) = window.kernel, window.stride
    top, left, _, _ = window.padding
    height, width, channels = shape[1:4]
    columns, groups = len(weight), window.groups
    spread = [d * (k - 1) for d, k in zip(window.dilation, (ky, kx), strict=True)]
    # Every place of the output stands at its stride, with room for the windows that reach it.
    sizes = [(n - 1) * s + 1 for n, s in zip(bar.shape[1:3], (down, across), strict=True)]
    need = [top + height + spread[0], left + width + spread[1]]
    room = np.zeros(
        (len(bar), *(max(n, m + s) for n, m, s in zip(need, sizes, spread, strict=True)), columns, VECTOR), _F
    )
    room[:, spread[0] : spread[0] + sizes[0] : down, spread[1] : spread[1] + sizes[1] : across] = bar
    room = room[:, : need[0], : need[1]]
    each, own = columns // groups, window.channels
    kernels = weight.reshape(groups, each, ky, kx, own)[:, :, ::-1, ::-1]
    back = np.ascontiguousarray(kernels.transpose(0, 4, 2, 3, 1), _F).reshape(-1)
    turned = Window(window.kernel, (1, 1), (0, 0, 0, 0), window.dilation, groups, each)
    return convolved(back, room, turned, channels)[:, top:, left:]


def through(node: Node, slope: Any, bar: np.ndarray) -> list[np.ndarray]:
    """Derivatives by the inputs of a node without weights."""
    layer = node.layer
    if activation_of(layer) is not None:
        return [bar * slope]
    if isinstance(layer, Add):
        return [bar, bar]
    if isinstance(layer, BatchNorm):
        return [bar * layer.factor.astype(_F)[:, None]]
    if isinstance(layer, Flatten | Softmax):
        return [bar.reshape(len(bar), *slope[1:])]
    if isinstance(layer, Concat):
        return np.split(bar, np.cumsum(slope)[:-1], axis=-2)
    shape = slope[0] if isinstance(layer, MaxPool2d) else slope
    if isinstance(layer, MaxPool2d):
        return [spread_out(layer, [bar * share for share in slope[1]], shape)]
    if isinstance(layer, AveragePool2d):
        parts = [bar / counted(layer, shape)] * (layer.kernel[0] * layer.kernel[1])
        return [spread_out(layer, parts, shape)]
    found = np.zeros((len(bar), *shape[1:]), _F)
    if isinstance(layer, GlobalAveragePool):
        return [found + bar / _F(shape[1] * shape[2])]
    if isinstance(layer, Subsample):
        found[:, :: layer.step[0], :: layer.step[1]] = bar
        return [found]
    assert isinstance(layer, PadChannels)
    return [bar[:, :, :, layer.before : layer.before + shape[3]]]


def spread_out(
    layer: MaxPool2d | AveragePool2d, parts: list[np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """What stands at each place of the windows, added up where it came from."""
    top, left, bottom, right = layer.padding
    height, width = shape[1:3]
    room = np.zeros((len(parts[0]), top + height + bottom, left + width + right, *shape[3:]), _F)
    for place, part in zip(views(MaxPool2d(layer.kernel, layer.stride), room, 0.0), parts, strict=True):
        place += part
    return room[:, top : top + height, left : left + width]
