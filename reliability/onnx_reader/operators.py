"""Operators that compute on activations: each becomes a layer of the network, or is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from reliability.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv2d,
    Layer,
    Linear,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
    Tanh,
)
from reliability.onnx_reader.activation import MOST_NUMBERS, ZERO, Activation, order_of_axes
from reliability.onnx_reader.arguments import (
    Arguments,
    activation,
    axis_of,
    checked,
    dims,
    floats,
    needed,
)
from reliability.onnx_reader.builder import Builder
from reliability.onnx_reader.operation import Operation, printable
from reliability.onnx_reader.pooling import borders, global_pool, padding_of, pair, pool_windows, reduce_axes


def _name_of(op: Operation, place: int) -> str:
    """A layer's name: that of its weights as PyTorch calls them, else that of the node."""
    weight = op.inputs[place]
    return printable(weight.removesuffix(".weight")) if weight.endswith(".weight") else op.label


# --- layers with weights ---------------------------------------------------------------------------------


def _conv(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    x, weight = activation(op, arguments), floats(op, arguments, 1, "weights")
    bias = floats(op, arguments, 2, "bias")
    if weight is None or weight.ndim != 4 or len(dims(x)) != 4 or not weight.size:
        shown = "none" if weight is None else f"of shape {weight.shape}"
        op.fail(f"only convolutions over height and width are supported; weights {shown}, input {dims(x)}")
    kernel, groups = weight.shape[2:], op.integer("group", 1)
    if op.integers("kernel_shape", kernel) != kernel:
        op.fail(f"kernel_shape does not fit weights of shape {weight.shape}")
    stride, dilation = pair(op, "strides"), pair(op, "dilations")
    padding, _ = padding_of(op, dims(x)[2:], kernel, stride, dilation, ceil=False)
    name = _name_of(op, 1)
    one_pixel = len(x.shape) == 1 and dims(x)[2:] == (1, 1)
    if one_pixel and kernel == (1, 1) and not any(padding) and groups == 1:
        # An image of one pixel is held as a vector here: its convolution is a fully connected layer.
        return _linear(b, op, x, weight[:, :, 0, 0], bias, name).moved(lambda a: a.reshape(1, -1, 1, 1))
    x, border = b.image(op, x)
    padding = borders(border, padding)
    layer = checked(op, Conv2d, weight, bias, stride, padding, dilation, groups)
    return b.add(op, layer, x.node, name=name)


def _linear(
    b: Builder, op: Operation, x: Activation, weight: np.ndarray, bias: np.ndarray | None, name: str
) -> Activation:
    """A fully connected layer over all numbers of x; its outputs as (batch, features)."""
    x = b.vector(op, x)
    inputs = x.shape[0]
    if weight.shape[1] != inputs:
        op.fail(f"weights for {weight.shape[1]} inputs are given {inputs}, shape {dims(x)}")
    if not x.ordered:
        # Input j of the file is number index[j] of the vector: so its column goes there.
        columns = np.empty_like(weight)
        columns[:, x.index.reshape(-1)] = weight
        weight = columns
    return b.add(op, checked(op, Linear, weight, bias), x.node, name=name)


def _gemm(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    x, weight = activation(op, arguments), floats(op, arguments, 1, "weights")
    bias = floats(op, arguments, 2, "bias")
    alpha, beta = op.number("alpha", 1.0), op.number("beta", 1.0)
    if op.integer("transA", 0):
        op.fail("transA = 1 would mix different samples of the batch")
    if weight is None or weight.ndim != 2 or len(dims(x)) != 2:
        op.fail(f"takes an input with axes (batch, features) and a matrix, was given an input of {dims(x)}")
    if not op.integer("transB", 0):
        weight = weight.T
    if alpha != 1:
        weight = weight * np.float32(alpha)
    if bias is not None:
        if bias.ndim > 2 or np.broadcast_shapes(bias.shape, (1, len(weight))) != (1, len(weight)):
            op.fail(f"a bias of shape {bias.shape} does not fit {len(weight)} outputs")
        bias = np.broadcast_to(bias, (1, len(weight)))[0] * np.float32(beta)
    return _linear(b, op, x, weight, bias, _name_of(op, 1))


def _matmul(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    first, second = needed(op, arguments), needed(op, arguments, 1)
    if not isinstance(first, Activation) or not isinstance(second, np.ndarray):
        op.fail("only activations times constant weights are supported")
    weight = floats(op, arguments, 1, "weights")
    seen = dims(first)
    if weight is None or weight.ndim != 2 or weight.shape[0] != seen[-1] or len(seen) < 2:
        op.fail(f"an input of shape {seen} does not meet weights of shape {second.shape}")
    name = _name_of(op, 1)
    if math.prod(seen[1:-1]) == 1:
        y = _linear(b, op, first, weight.T, None, name)
        return y.moved(lambda a: a.reshape(*first.index.shape[:-1], -1))
    # Each pixel by itself, channels last: a convolution with windows of one pixel.
    x = b.whole(op, first)
    found = order_of_axes(x.index[0], x.shape)
    if found is None or found[0][0] != 2:
        op.fail(f"a product over an axis that is not the channels of an image, shape {seen}")
    y = b.add(op, checked(op, Conv2d, weight.T[:, :, None, None]), x.node, name=name)
    return y.moved(lambda a: a[0].transpose(np.argsort(found[0]))[None])


def _batch_norm(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    x = activation(op, arguments)
    if op.integer("training_mode", 0):
        op.fail("training mode is not supported: export the network in inference mode")
    op.ignore("momentum")
    arrays = []
    for place, what in enumerate(("scale", "shift", "mean", "variance"), start=1):
        array = floats(op, arguments, place, what)
        if array is None or len(dims(x)) < 2 or array.shape != (dims(x)[1],):
            op.fail(f"its {what} must have a number for each channel of an input of shape {dims(x)}")
        arrays.append(array.reshape(-1, *(1,) * (len(dims(x)) - 2)))
    x, vectors = b.per_channel(op, x, *arrays)
    layer = checked(op, BatchNorm, *vectors, op.number("epsilon", 1e-5))
    return dataclasses.replace(x, node=b.add(op, layer, x.node, name=_name_of(op, 1)).node)


# --- number by number ------------------------------------------------------------------------------------


def _each(b: Builder, op: Operation, x: Activation, layer: Layer) -> Activation:
    """A layer that treats each number by itself, so in whatever order."""
    x = b.settle(op, x)
    if not isinstance(layer, ReLU | ReLU6 | Tanh) or not (x.index == ZERO).any():
        # Those three leave padded zeros zero; no other layer does.
        x = b.whole(op, x)
    return dataclasses.replace(x, node=b.add(op, layer, x.node).node)


def _elementwise(make: type) -> Callable[[Builder, Operation, Arguments], Activation]:
    return lambda b, op, arguments: _each(b, op, activation(op, arguments), make())


def _clip(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    if op.kind != "Clip":
        first, second = needed(op, arguments), needed(op, arguments, 1)
        x, other = (first, second) if isinstance(first, Activation) else (second, first)
        arguments = [x, other, None] if op.kind == "Max" else [x, None, other]
    x = activation(op, arguments)
    ends = [floats(op, arguments, place, "limits") for place in (1, 2)]
    if any(end is not None and end.size != 1 for end in ends):
        op.fail("its limits must be one number each")
    most = float(np.finfo(np.float32).max)
    low = -most if ends[0] is None else float(ends[0].item())
    high = most if ends[1] is None else float(ends[1].item())
    if low == 0 and high >= most:
        return _each(b, op, x, ReLU())
    node = b.nodes.get(x.node)
    if high == 6 and (low == 0 or (low < 0 and node is not None and isinstance(node.layer, ReLU))):
        return _each(b, op, x, ReLU6())
    op.fail(f"clipping to ({low:g}, {high:g}) is not supported, only from 0 up (ReLU) and to (0, 6) (ReLU6)")


def _arithmetic(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    first, second = needed(op, arguments), needed(op, arguments, 1)
    if isinstance(first, Activation) and isinstance(second, Activation):
        if op.kind != "Add":
            op.fail("only sums of two activations are supported")
        return _sum_of(b, op, [first, second])
    if isinstance(first, Activation):
        x, constant = first, floats(op, arguments, 1, "constants")
    else:
        x, constant = activation(op, arguments, 1), floats(op, arguments, 0, "constants")
    assert constant is not None
    c, one, zero = constant.astype(np.float64), np.ones(()), np.zeros(())
    if op.kind == "Add":
        return b.affine(op, x, one, c)
    if op.kind == "Sub":
        return b.affine(op, x, one, -c) if x is first else b.affine(op, x, -one, c)
    if op.kind == "Mul":
        return b.affine(op, x, c, zero)
    if x is not first or (c == 0).any():
        op.fail("only activations divided by constants other than 0 are supported")
    return b.affine(op, x, 1 / c, zero)


def _negative(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    return b.affine(op, activation(op, arguments), -np.ones(()), np.zeros(()))


def _sum_of(b: Builder, op: Operation, terms: list[Activation]) -> Activation:
    terms = [b.whole(op, x) for x in terms]
    if len({len(x.shape) for x in terms}) > 1:
        terms = [b.vector(op, x) for x in terms]
    total = terms[0]
    for x in terms[1:]:
        if x.dims != total.dims:
            op.fail(f"a sum of different shapes {total.dims} and {x.dims} is not supported")
        if x.shape != total.shape or not np.array_equal(x.index, total.index):
            op.fail("a sum of activations whose channels are in different orders is not supported")
        total = dataclasses.replace(total, node=b.add(op, Add(), total.node, x.node).node)
    return total


def _add_all(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    terms = [activation(op, arguments, place) for place in range(len(arguments))]
    return _sum_of(b, op, terms)


# --- joining, and the end --------------------------------------------------------------------------------


def _concat(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    values = [needed(op, arguments, place) for place in range(len(arguments))]
    parts = [b.whole(op, x) for x in values if isinstance(x, Activation)]
    rank = len(parts[0].dims)
    axis = axis_of(op, op.integer("axis", 0), rank)
    shapes = {(*dims(v)[1:axis], None, *dims(v)[axis + 1 :]) for v in values}
    if axis == 0 or len(shapes) != 1 or any(len(dims(v)) != rank for v in values):
        op.fail(f"inputs of shapes {', '.join(str(dims(v)) for v in values)} cannot be joined on axis {axis}")
    if len({x.shape[1:] for x in parts}) > 1:
        parts = [b.vector(op, x) for x in parts]
    joined = parts[0] if len(parts) == 1 else b.add(op, Concat(), *(x.node for x in parts))
    # Channels one after the other: so each part's positions begin where the last one's ended.
    pieces, left, start = [], list(parts), 0
    for value in values:
        if isinstance(value, Activation):
            part = left.pop(0)
            pieces.append(part.index + start)
            start += math.prod(part.shape)
            continue
        shape = (1, *value.shape[1:])
        if value.shape[0] not in (1, b.batch) or math.prod(shape) > MOST_NUMBERS or _any(value):
            op.fail("of constants only zeros can be joined to activations")
        pieces.append(np.full(shape, ZERO, np.int32))
    if sum(piece.size for piece in pieces) > MOST_NUMBERS:
        op.fail("joins more numbers than this program takes")
    return dataclasses.replace(joined, index=np.concatenate(pieces, axis).astype(np.int32))


def _any(value: np.ndarray) -> bool:
    """Whether a number of a constant is not 0, without a look at each copy of a repeated one."""
    single = value[tuple(slice(0, 1) if step == 0 else slice(None) for step in value.strides)]
    return bool(single.any())


def _softmax(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    x = b.vector(op, activation(op, arguments))
    axis = axis_of(op, op.integer("axis", -1), len(dims(x)))
    if axis == 0 or x.index.shape[axis] != x.shape[0]:
        op.fail(f"is supported over all the numbers of a sample only, axis {axis} of {dims(x)} is not that")
    if op.kind == "LogSoftmax":
        if not op.last:
            op.fail("is supported at the end of a network only")
        # It takes one number from all logits of a sample, which changes no decision: the network ends before.
        return x
    return dataclasses.replace(x, node=b.add(op, Softmax(), x.node).node)


# Kind: what makes the layer, fewest and most arguments.
OPERATORS: dict[str, tuple[Callable[[Builder, Operation, Arguments], Activation], int, int]] = {
    "Add": (_arithmetic, 2, 2),
    "AveragePool": (pool_windows, 1, 1),
    "BatchNormalization": (_batch_norm, 5, 5),
    "Clip": (_clip, 1, 3),
    "Concat": (_concat, 1, 1 << 16),
    "Conv": (_conv, 2, 3),
    "Div": (_arithmetic, 2, 2),
    "Gemm": (_gemm, 2, 3),
    "GlobalAveragePool": (global_pool, 1, 1),
    "GlobalMaxPool": (global_pool, 1, 1),
    "LogSoftmax": (_softmax, 1, 1),
    "MatMul": (_matmul, 2, 2),
    "Max": (_clip, 2, 2),
    "MaxPool": (pool_windows, 1, 1),
    "Min": (_clip, 2, 2),
    "Mul": (_arithmetic, 2, 2),
    "Neg": (_negative, 1, 1),
    "ReduceMax": (reduce_axes, 1, 2),
    "ReduceMean": (reduce_axes, 1, 2),
    "Relu": (_elementwise(ReLU), 1, 1),
    "Sigmoid": (_elementwise(Sigmoid), 1, 1),
    "Softmax": (_softmax, 1, 1),
    "Sub": (_arithmetic, 2, 2),
    "Sum": (_add_all, 1, 1 << 16),
    "Tanh": (_elementwise(Tanh), 1, 1),
}
