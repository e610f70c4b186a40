"""The obvious float32 NumPy loops: noisy differential pairs, the network, argmax.

A loop returns the mean accuracy of its trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import resnet
from converters import INPUT_CODES, OUTPUT_CODES, Converters
from workloads import Workload

_ZERO = np.float32(0)


class Pair(NamedTuple):
    """Conductances of a layer's weights, as fractions of the largest, and the weight that this stands for."""

    plus: np.ndarray
    minus: np.ndarray
    scale: np.float32


def pair_of(w: np.ndarray) -> Pair:
    """Differential pairs of a weight matrix of any shape."""
    scale = np.float32(np.abs(w).max())
    return Pair(np.maximum(w, 0) / scale, np.maximum(-w, 0) / scale, scale)


def mlp_loop(
    w: Workload, sigma: float, trials: int, converters: list[Converters] | None = None
) -> Callable[[], float]:
    """W1, or with converters W2."""
    rng, noise = np.random.Generator(np.random.SFC64(0)), np.float32(sigma)
    pairs = [pair_of(weight) for weight in w.weights]
    ends = converters or [None] * len(pairs)

    def work() -> float:
        accuracy = 0.0
        for _ in range(trials):
            h = w.x
            for i, (pair, end) in enumerate(zip(pairs, ends, strict=True)):
                weight = _noisy(pair, noise, rng)
                h = h @ weight.T if end is None else _converted(h, weight, end)
                if i + 1 < len(pairs):
                    h = np.maximum(h, _ZERO)
            accuracy += (h.argmax(axis=1) == w.labels).mean()
        return accuracy / trials

    return work


class _Convolution(NamedTuple):
    pair: Pair
    stride: int
    factor: np.ndarray
    offset: np.ndarray
    padding: int


def resnet_loop(w: Workload, sigma: float, trials: int) -> Callable[[], float]:
    """W3, channels last: a copy of all windows and a product for each convolution."""
    rng, noise = np.random.Generator(np.random.SFC64(0)), np.float32(sigma)
    layers = [
        _Convolution(
            pair_of(c.weight.transpose(0, 2, 3, 1).reshape(len(c.weight), -1)),
            c.stride,
            c.norm.factor.astype(np.float32),
            c.norm.offset.astype(np.float32),
            c.padding,
        )
        for c in resnet.convolutions(w.network)
    ]
    last = pair_of(w.network.weighted[-1].layer.weight)
    images = np.ascontiguousarray(w.x.transpose(0, 2, 3, 1))

    def convolve(h: np.ndarray, layer: _Convolution) -> np.ndarray:
        padded = np.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        windows = windows[:, :: layer.stride, :: layer.stride].transpose(0, 1, 2, 4, 5, 3)
        weight = _noisy(layer.pair, noise, rng)
        y = windows.reshape(-1, weight.shape[1]) @ weight.T
        return (y * layer.factor + layer.offset).reshape(*windows.shape[:3], -1)

    def relu(h: np.ndarray) -> np.ndarray:
        return np.maximum(h, _ZERO)

    def shortcut(h: np.ndarray, layer: _Convolution) -> np.ndarray:
        return np.pad(h[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (layer.padding, layer.padding)))

    def work() -> float:
        accuracy = 0.0
        for _ in range(trials):
            h = resnet.features(images, layers, convolve, relu, shortcut)
            logits = h.mean(axis=(1, 2)) @ _noisy(last, noise, rng).T
            accuracy += (logits.argmax(axis=1) == w.labels).mean()
        return accuracy / trials

    return work


def _noisy(pair: Pair, sigma: np.float32, rng: np.random.Generator) -> np.ndarray:
    g = pair.plus + sigma * rng.standard_normal(pair.plus.shape, np.float32)
    g -= pair.minus + sigma * rng.standard_normal(pair.plus.shape, np.float32)
    return g * pair.scale


def _converted(h: np.ndarray, weight: np.ndarray, end: Converters) -> np.ndarray:
    h = np.clip(np.rint(h / end.input_step), 0, INPUT_CODES) * end.input_step
    y = np.zeros((len(h), len(weight)), np.float32)
    for tile in end.tiles:
        part = h[:, tile] @ weight[:, tile].T
        y += np.clip(np.rint(part / end.output_step), -OUTPUT_CODES, OUTPUT_CODES) * end.output_step
    return y
