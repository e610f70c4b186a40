"""Slow, obvious twin of what is fitted to calibration inputs: plain NumPy, node by node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reliability.layers import BatchNorm, Conv2d, Linear
from reliability.network import INPUT, Network, Node


def spread_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population variance of every channel (the second axis), float64."""
    axes = (0, *range(2, values.ndim))
    values = np.float64(values)
    return values.mean(axis=axes), values.var(axis=axes)


def by_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values of each channel, to be applied to activations."""
    return values.reshape(-1, *(1,) * (like.ndim - 2)).astype(like.dtype)


def norm_behind(network: Network, node: Node) -> Node | None:
    """The batch norm that alone follows a node."""
    users = [other for other in network.nodes if node.name in other.inputs]
    return users[0] if len(users) == 1 and isinstance(users[0].layer, BatchNorm) else None


def fitted(network: Network, held: Network, x: np.ndarray, how: str) -> tuple[Network, dict[str, tuple]]:
    """A chip's network with its digital ends fitted, in one pass over all calibration inputs.

    Parameters
    ----------
    network : Network
        The digital one.
    held : Network
        The same with what the chip's devices hold, its factors against drift included.
    x : ndarray
        Calibration inputs.
    how : {"bias", "matched", "adabs"}

    Returns
    -------
    Network, dict of str to (factor, offset)
        The network with its new batch norms, and what outputs of layers are to go through before those.
    """
    wanted = network.activations(x)
    values = {INPUT: x}
    nodes, ends = [], {}
    for node in held.nodes:
        layer = node.layer
        if isinstance(layer, BatchNorm) and how == "adabs":
            mean, variance = spread_of(values[node.inputs[0]])
            layer = replace(layer, mean=np.float32(mean), variance=np.float32(variance))
        out = layer.forward(*(values[name] for name in node.inputs))
        if isinstance(layer, Linear | Conv2d):
            mean, variance = spread_of(out)
            goal, spread = spread_of(wanted[node.name])
            factor = np.ones_like(mean)
            if how != "bias":
                factor = np.sqrt(spread / variance)
            if how != "adabs" or norm_behind(network, node) is None:
                ends[node.name] = factor, goal - factor * mean
                out = out * by_channel(ends[node.name][0], out) + by_channel(ends[node.name][1], out)
        values[node.name] = out
        nodes.append(replace(node, layer=layer))
    return replace(network, nodes=tuple(nodes)), ends


def logits(network: Network, ends: dict[str, tuple], x: np.ndarray) -> np.ndarray:
    """Logits of inputs through a fitted network."""
    values = {INPUT: x}
    for node in network.nodes:
        out = node.layer.forward(*(values[name] for name in node.inputs))
        if node.name in ends:
            factor, offset = ends[node.name]
            out = out * by_channel(factor, out) + by_channel(offset, out)
        values[node.name] = out
    return values[network.nodes[-1].name]
