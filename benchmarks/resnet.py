"""ResNet-20 as the plain loops compute it, whatever their array library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from reliability.layers import BatchNorm, Conv2d
from reliability.network import Network


class Convolution(NamedTuple):
    """A 3 x 3 convolution padded by one, without a bias, and the batch norm behind it."""

    weight: np.ndarray
    stride: int
    norm: BatchNorm

    @property
    def padding(self) -> int:
        """Channels of zeros that an option-A shortcut past it adds on either side."""
        return (self.weight.shape[0] - self.weight.shape[1]) // 2


def convolutions(network: Network) -> list[Convolution]:
    """The convolutions of ``workloads.w3``, in order."""
    layers = [node.layer for node in network.nodes]
    convs = [layer for layer in layers if isinstance(layer, Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, BatchNorm)]
    return [Convolution(c.weight, c.stride[0], n) for c, n in zip(convs, norms, strict=True)]


def features(x: Any, layers: list, convolve: Callable, relu: Callable, shortcut: Callable) -> Any:
    """What the last block gives, from images ``x``.

    ``convolve(x, layer)`` is to include the batch norm; ``shortcut(x, layer)`` takes every second place
    and pads the channels, where ``layer.stride`` is 2.
    """
    h = relu(convolve(x, layers[0]))
    for first, second in zip(layers[1::2], layers[2::2], strict=True):
        inner = convolve(relu(convolve(h, first)), second)
        h = relu(inner + (shortcut(h, first) if first.stride == 2 else h))
    return h
