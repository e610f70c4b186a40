"""The network that grows while an ONNX graph is read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from reliability.errors import UserError
from reliability.layers import (
    BatchNorm,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    PadChannels,
    Subsample,
)
from reliability.network import INPUT, Node
from reliability.onnx_reader.activation import (
    MOST_NUMBERS,
    ZERO,
    Activation,
    Shape,
    cut_of,
    grid,
    order_of_axes,
)
from reliability.onnx_reader.operation import Operation


class Builder:
    """Nodes of a network, one after the other, and what the operators' layers share.

    Parameters
    ----------
    shape : tuple of int
        Shape of one input, channels first.
    batch : int
        Length of the batch in the ONNX graph's shapes.
    alone : callable
        Whether nothing but the operation at hand, and nothing later, takes an activation's node.
    """

    def __init__(self, shape: Shape, batch: int, alone: Callable[[Activation], bool]) -> None:
        self.nodes: dict[str, Node] = {}
        self.batch = batch
        self._shapes: dict[str, Shape] = {INPUT: shape}
        self._flat: dict[str, str] = {}
        self._alone = alone

    def input(self) -> Activation:
        """The network's input in its own order of axes."""
        shape = self._shapes[INPUT]
        return Activation(INPUT, shape, grid((1, *shape)), self.batch)

    def add(self, op: Operation, layer: Layer, *inputs: str, name: str | None = None) -> Activation:
        """Append a layer; its outputs in their own order of axes."""
        try:
            shape = layer.output_shape(*(self._shapes[n] for n in inputs))
        except UserError as error:
            op.fail(str(error))
        if math.prod(shape) > MOST_NUMBERS:
            op.fail(f"its outputs of shape {shape} are more than this program takes")
        wanted = name or op.label or op.kind
        unique, count = wanted, 1
        while unique in self._shapes:
            count += 1
            unique = f"{wanted}_{count}"
        self.nodes[unique] = Node(unique, layer, inputs)
        self._shapes[unique] = shape
        return Activation(unique, shape, grid((1, *shape)), self.batch)

    def takers(self, name: str) -> int:
        """How many nodes so far take a node's outputs."""
        return sum(name in node.inputs for node in self.nodes.values())

    def settle(self, op: Operation, x: Activation) -> Activation:
        """The same numbers after layers that skip rows and add channels, where they are seen so.

        Zeros around an image stay: the layer that takes it pads by itself.
        """
        if x.whole:
            return x
        if len(x.shape) == 1:
            return self._settle_vector(op, x)
        found = order_of_axes(x.index[0], x.shape)
        if found is None:
            return x
        order, cut = found
        if cut.step != (1, 1):
            x = self._subsample(op, x, cut.step)
        if any(cut.channels):
            x = self._pad_channels(op, x, cut.channels)
        top, left, bottom, right = cut.border
        image = np.pad(grid(x.shape), [(0, 0), (top, bottom), (left, right)], constant_values=ZERO)
        return dataclasses.replace(x, index=image.transpose(np.argsort(order))[None])

    def whole(self, op: Operation, x: Activation) -> Activation:
        """A settled activation in which each number of its node is seen once."""
        x = self.settle(op, x)
        if not x.whole:
            op.fail(
                f"takes a part of the outputs of {x.node!r}, or pads them with zeros, "
                f"in a way that no layer of this program does (shape {x.dims})"
            )
        return x

    def image(self, op: Operation, x: Activation) -> tuple[Activation, tuple[int, int, int, int]]:
        """An activation as an image, axes (batch, channels, height, width), and the zeros around it."""
        x = self.settle(op, x)
        cut = cut_of(x.index[0], x.shape)
        if cut is None or cut.step != (1, 1) or any(cut.channels):
            op.fail(
                f"takes images with axes (batch, channels, height, width); its input of shape {x.dims} is "
                f"not the outputs of {x.node!r}, shape {x.shape}, in that order"
            )
        return x, cut.border

    def vector(self, op: Operation, x: Activation) -> Activation:
        """An activation with the node's outputs as a vector; the order in which it is seen is kept."""
        x = self.whole(op, x)
        if len(x.shape) == 1:
            return x
        if x.node not in self._flat:
            self._flat[x.node] = self.add(op, Flatten(), x.node, name=f"{op.label}.flatten").node
        return dataclasses.replace(x, node=self._flat[x.node], shape=(math.prod(x.shape),))

    def per_channel(
        self, op: Operation, x: Activation, *arrays: np.ndarray
    ) -> tuple[Activation, list[np.ndarray]]:
        """Constants that meet an activation elementwise, as one number for each channel of its node."""
        x = self.whole(op, x)
        spread = []
        for array in arrays:
            if array.dtype.kind != "f" or np.broadcast_shapes(array.shape, x.index.shape) != x.index.shape:
                op.fail(
                    f"constants of shape {array.shape} and type {array.dtype} do not meet activations of "
                    f"shape {x.dims} number by number"
                )
            numbers = np.empty(x.index.size)
            numbers[x.index.reshape(-1)] = np.broadcast_to(array, x.index.shape).reshape(-1)
            spread.append(numbers)
        rows = [numbers.reshape(x.shape[0], -1) for numbers in spread]
        # Equal bits, or not numbers at all: the network says that better.
        if all(np.array_equal(row, np.broadcast_to(row[:, :1], row.shape), equal_nan=True) for row in rows):
            return x, [row[:, 0] for row in rows]
        if sum(n > 1 for n in x.index.shape) == 1:
            return self.vector(op, x), spread
        op.fail("constants that differ within a channel are not supported")

    def affine(self, op: Operation, x: Activation, factor: np.ndarray, offset: np.ndarray) -> Activation:
        """``factor * x + offset`` by constants: in the layer before if it has room, else a batch norm."""
        x, (f, o) = self.per_channel(op, x, factor, offset)
        if (f == 1).all() and (o == 0).all():
            return x
        layer = self.nodes[x.node].layer if x.node in self.nodes and self._alone(x) else None
        if isinstance(layer, Linear | Conv2d) and layer.bias is None and (f == 1).all():
            self._replace(x, dataclasses.replace(layer, bias=o))
            return x
        zeros, ones = np.zeros(len(f)), np.ones(len(f))
        if (
            isinstance(layer, BatchNorm)
            and not layer.mean.any()
            and (layer.variance == 1).all()
            and layer.epsilon == 0
        ):
            self._replace(x, BatchNorm(layer.scale * f, layer.shift * f + o, zeros, ones, 0.0))
            return x
        new = self.add(op, BatchNorm(f, o, zeros, ones, 0.0), x.node)
        return dataclasses.replace(x, node=new.node)

    def _replace(self, x: Activation, layer: Layer) -> None:
        self.nodes[x.node] = dataclasses.replace(self.nodes[x.node], layer=layer)

    def _subsample(self, op: Operation, x: Activation, step: tuple[int, int]) -> Activation:
        return self.add(op, Subsample(step), x.node, name=f"{op.label}.subsample")

    def _pad_channels(self, op: Operation, x: Activation, channels: tuple[int, int]) -> Activation:
        return self.add(op, PadChannels(*channels), x.node, name=f"{op.label}.pad")

    def _settle_vector(self, op: Operation, x: Activation) -> Activation:
        flat = x.index.reshape(-1)
        seen = np.flatnonzero(flat != ZERO)
        if len(seen) != x.shape[0] or not np.array_equal(flat[seen[0] : seen[-1] + 1], grid(x.shape)):
            return x
        new = self._pad_channels(op, x, (int(seen[0]), len(flat) - 1 - int(seen[-1])))
        return dataclasses.replace(new, index=grid(x.index.shape))
