"""The obvious PyTorch loops: noisy differential pairs, the network, argmax.

A loop returns the mean accuracy of its trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import resnet
import torch
from converters import INPUT_CODES, OUTPUT_CODES, Converters
from peers_numpy import pair_of
from torch import Tensor
from torch.nn import functional
from workloads import Workload


class _Pair(NamedTuple):
    plus: Tensor
    minus: Tensor
    scale: float


class _Convolution(NamedTuple):
    pair: _Pair
    stride: int
    norm: tuple[Tensor, Tensor, Tensor, Tensor]
    epsilon: float
    padding: int


def mlp_loop(
    w: Workload, sigma: float, trials: int, converters: list[Converters] | None = None
) -> Callable[[], float]:
    """W1, or with converters W2."""
    pairs = [_pair(weight) for weight in w.weights]
    ends = converters or [None] * len(pairs)
    inputs, labels = torch.from_numpy(w.x), torch.from_numpy(w.labels)

    @torch.inference_mode()
    def work() -> float:
        accuracy = 0.0
        for _ in range(trials):
            h = inputs
            for i, (pair, end) in enumerate(zip(pairs, ends, strict=True)):
                weight = _noisy(pair, sigma)
                h = h @ weight.T if end is None else _converted(h, weight, end)
                if i + 1 < len(pairs):
                    h = torch.relu(h)
            accuracy += (h.argmax(dim=1) == labels).float().mean().item()
        return accuracy / trials

    return work


def resnet_loop(w: Workload, sigma: float, trials: int, layout: torch.memory_format) -> Callable[[], float]:
    """W3, images and weights in the given memory layout."""
    layers = [
        _Convolution(
            _pair(c.weight, layout),
            c.stride,
            tuple(_tensor(a) for a in (c.norm.mean, c.norm.variance, c.norm.scale, c.norm.shift)),
            c.norm.epsilon,
            c.padding,
        )
        for c in resnet.convolutions(w.network)
    ]
    last = _pair(w.network.weighted[-1].layer.weight)
    images, labels = _tensor(w.x).contiguous(memory_format=layout), torch.from_numpy(w.labels)

    def convolve(h: Tensor, layer: _Convolution) -> Tensor:
        y = functional.conv2d(h, _noisy(layer.pair, sigma), stride=layer.stride, padding=1)
        return functional.batch_norm(y, *layer.norm, training=False, eps=layer.epsilon)

    def shortcut(h: Tensor, layer: _Convolution) -> Tensor:
        return functional.pad(h[:, :, ::2, ::2], (0, 0, 0, 0, layer.padding, layer.padding))

    @torch.inference_mode()
    def work() -> float:
        accuracy = 0.0
        for _ in range(trials):
            h = resnet.features(images, layers, convolve, torch.relu, shortcut)
            logits = h.mean(dim=(2, 3)) @ _noisy(last, sigma).T
            accuracy += (logits.argmax(dim=1) == labels).float().mean().item()
        return accuracy / trials

    return work


def _tensor(a: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(a))  # a copy: PyTorch warns of arrays that are not writable


def _pair(w: np.ndarray, layout: torch.memory_format = torch.contiguous_format) -> _Pair:
    pair = pair_of(w)
    plus, minus = (_tensor(a).contiguous(memory_format=layout) for a in (pair.plus, pair.minus))
    return _Pair(plus, minus, float(pair.scale))


def _noisy(pair: _Pair, sigma: float) -> Tensor:
    g = pair.plus + sigma * torch.randn_like(pair.plus)
    g -= pair.minus + sigma * torch.randn_like(pair.minus)
    return g * pair.scale


def _converted(h: Tensor, weight: Tensor, end: Converters) -> Tensor:
    input_step, output_step = float(end.input_step), float(end.output_step)
    h = torch.clamp(torch.round(h / input_step), 0, INPUT_CODES) * input_step
    y = torch.zeros(len(h), len(weight))
    for tile in end.tiles:
        part = h[:, tile] @ weight[:, tile].T
        y += torch.clamp(torch.round(part / output_step), -OUTPUT_CODES, OUTPUT_CODES) * output_step
    return y
