"""Small networks and the logits that simulated chips give them."""

from __future__ import annotations

import numpy as np

import reliability as rl
from reliability.layers import Layer, Linear, ReLU
from reliability.network import Network, Node


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normals that belong to a shape and a seed."""
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def linear(outputs: int, inputs: int, seed: int = 0) -> Linear:
    """A fully connected layer that keeps the size of its inputs."""
    return Linear(noise(outputs, inputs, seed=seed) / np.sqrt(inputs), 0.2 * noise(outputs, seed=seed + 1))


def chain(shape: tuple[int, ...], *layers: Layer) -> Network:
    """Layers one behind the other, named by their place."""
    names = [f"layer{i}" for i in range(len(layers))]
    before = ["input", *names]
    nodes = (Node(n, own, (b,)) for n, own, b in zip(names, layers, before, strict=False))
    return Network(tuple(nodes), shape)


def mlp(*widths: int) -> Network:
    """Fully connected layers with ReLU between them."""
    layers: list[Layer] = []
    for i in range(len(widths) - 1):
        layers += [linear(widths[i + 1], widths[i], seed=i), ReLU()]
    return chain(widths[:1], *layers[:-1])


def inputs_of(net: Network, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs, and labels that the digital network gives most of them."""
    x = noise(count, *net.input_shape, seed=7)
    return x, net.forward(x).argmax(axis=1)


def chip_logits(net: Network, x: np.ndarray, chip: rl.Chip, chips: int, **options) -> np.ndarray:
    """Logits of simulated chips, shape (chips, N, classes)."""
    seen: list[np.ndarray] = []
    labels = np.zeros(len(x), np.int64)

    def keep(z: np.ndarray, _: np.ndarray) -> np.ndarray:
        seen.append(np.array(z, np.float64))
        return np.zeros(len(z))

    rl.simulate(net, (x, labels), chip, chips=chips, metric=keep, threads=1, **options)
    return np.stack(seen[-chips:])
