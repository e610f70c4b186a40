"""How each kind of layer passes derivatives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reliability.derivatives.frame import Frame
from reliability.derivatives.own import Own
from reliability.layers import (
    Add,
    AveragePool2d,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool2d,
    PadChannels,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
    Subsample,
    Tanh,
    windows,
)


@dataclass(frozen=True, eq=False)
class Step:
    """One layer's inputs, output, and what flows back into it.

    Attributes
    ----------
    inputs : tuple of ndarray, shapes (N, *shape)
    output : ndarray, shape (N, *shape)
    flow : ndarray, shape (N, S, *shape of the output)
    squared : bool
        Whether Jacobians' entries are to be squared.
    """

    inputs: tuple[np.ndarray, ...]
    output: np.ndarray
    flow: np.ndarray
    squared: bool

    def entries(self, values: np.ndarray) -> np.ndarray:
        """Entries of a Jacobian, or their squares, in the type of what flows."""
        return np.asarray(values**2 if self.squared else values, self.flow.dtype)

    def elementwise(self, slopes: np.ndarray) -> tuple[np.ndarray]:
        """The flow through a layer that acts on every element alone, with slopes of its output's shape."""
        return (self.flow * self.entries(slopes)[:, None],)


class Rule(NamedTuple):
    """How one kind of layer passes derivatives back.

    Attributes
    ----------
    pull : callable
        Given the layer and a :class:`Step`, what flows into each of its inputs, shapes (N, S, *shape).
    own : callable, optional
        Given the same, what the derivatives with respect to its weights are made of.
    """

    pull: Callable[[Any, Step], tuple[np.ndarray, ...]]
    own: Callable[[Any, Step], Own] | None = None


def _linear(layer: Linear, step: Step) -> tuple[np.ndarray, ...]:
    return (step.flow @ step.entries(layer.weight),)


def _own_linear(layer: Linear, step: Step) -> Own:
    n, s, outputs = step.flow.shape
    flow = step.flow.reshape(n, s, 1, outputs, 1)
    return _own_product(layer, flow, step.entries(step.inputs[0]).reshape(n, 1, -1, 1))


def _own_product(layer: Linear | Conv2d, flow: np.ndarray, factor: np.ndarray) -> Own:
    own = Own({"weight": flow}, {"weight": factor}, {"weight": layer.weight.shape})
    if layer.bias is not None:
        n, s, groups, outputs, _ = flow.shape
        own.flows["bias"] = flow.sum(axis=4).reshape(n, s, 1, groups * outputs, 1)
        own.factors["bias"] = np.ones((n, 1, 1, 1), flow.dtype)
        own.shapes["bias"] = layer.bias.shape
    return own


def _frame(layer: Conv2d | MaxPool2d | AveragePool2d, step: Step) -> Frame:
    if isinstance(layer, Conv2d):
        height, width = layer.weight.shape[2:]
        kernel, dilation = (height, width), layer.dilation
    else:
        kernel, dilation = layer.kernel, (1, 1)
    rows, columns = step.output.shape[2:]
    return Frame(kernel, layer.stride, layer.padding, dilation, (rows, columns))


def _grouped(layer: Conv2d, flow: np.ndarray) -> np.ndarray:
    """Flow as (N, S, groups, outputs of a group, places)."""
    n, s, outputs, height, width = flow.shape
    return flow.reshape(n, s, layer.groups, outputs // layer.groups, height * width)


def _conv2d(layer: Conv2d, step: Step) -> tuple[np.ndarray, ...]:
    frame, flow = _frame(layer, step), _grouped(layer, step.flow)
    matrix = step.entries(layer.weight).reshape(layer.groups, flow.shape[3], -1)
    shape = (*flow.shape[:2], *step.inputs[0].shape[1:])
    windows_flow = (matrix.swapaxes(1, 2) @ flow).reshape(*shape[:3], *frame.kernel, *frame.counts)
    return (frame.spread(shape, lambda i, j: windows_flow[:, :, :, i, j], flow.dtype),)


def _own_conv2d(layer: Conv2d, step: Step) -> Own:
    flow = _grouped(layer, step.flow)
    patches = _frame(layer, step).patches(step.entries(step.inputs[0]))
    return _own_product(layer, flow, patches.reshape(len(patches), layer.groups, -1, flow.shape[4]))


def _batch_norm(layer: BatchNorm, step: Step) -> tuple[np.ndarray, ...]:
    return (step.flow * _by_channel(step.entries(layer.factor), step),)


def _own_batch_norm(layer: BatchNorm, step: Step) -> Own:
    deviation = np.sqrt(layer.variance.astype(np.float64) + layer.epsilon)
    mean, inverse = (_by_channel(v, step).astype(step.flow.dtype) for v in (layer.mean, 1 / deviation))
    normed = step.entries((step.inputs[0] - mean) * inverse)
    shape = (*step.flow.shape[:3], -1)
    flows = {
        field: flow.reshape(shape).sum(axis=3)[:, :, None, :, None]
        for field, flow in (("scale", step.flow * normed[:, None]), ("shift", step.flow))
    }
    ones = np.ones((len(normed), 1, 1, 1), step.flow.dtype)
    return Own(flows, dict.fromkeys(flows, ones), dict.fromkeys(flows, layer.scale.shape))


def _by_channel(values: np.ndarray, step: Step) -> np.ndarray:
    """One value a channel, ready to multiply a step's arrays."""
    return values.reshape(-1, *(1,) * (step.output.ndim - 2))


def _relu(layer: ReLU, step: Step) -> tuple[np.ndarray, ...]:
    return step.elementwise(step.output > 0)


def _relu6(layer: ReLU6, step: Step) -> tuple[np.ndarray, ...]:
    return step.elementwise((step.output > 0) & (step.output < 6))


def _sigmoid(layer: Sigmoid, step: Step) -> tuple[np.ndarray, ...]:
    return step.elementwise(step.output * (1 - step.output))


def _tanh(layer: Tanh, step: Step) -> tuple[np.ndarray, ...]:
    return step.elementwise(1 - step.output**2)


def _softmax(layer: Softmax, step: Step) -> tuple[np.ndarray, ...]:
    p = step.output
    if step.squared:
        jacobian = p[:, :, None] * (np.eye(p.shape[1], dtype=p.dtype) - p[:, None, :])
        return (step.flow @ jacobian**2,)
    weighted = step.flow * p[:, None]
    return (weighted - p[:, None] * weighted.sum(axis=2, keepdims=True),)


def _max_pool2d(layer: MaxPool2d, step: Step) -> tuple[np.ndarray, ...]:
    frame, x = _frame(layer, step), step.inputs[0]
    padded = frame.padded(x, -np.inf)
    taken = np.zeros(step.output.shape, bool)
    first = {}
    for i, j, where in frame.places():
        first[i, j] = (padded[where] == step.output) & ~taken
        taken |= first[i, j]
    shape = (*step.flow.shape[:2], *x.shape[1:])
    return (frame.spread(shape, lambda i, j: step.flow * first[i, j][:, None], step.flow.dtype),)


def _average_pool2d(layer: AveragePool2d, step: Step) -> tuple[np.ndarray, ...]:
    frame, x = _frame(layer, step), step.inputs[0]
    counts: np.ndarray = np.array(layer.kernel[0] * layer.kernel[1])
    if not layer.count_padding:
        ones = np.ones((1, 1, *x.shape[2:]))
        counts = windows(ones, layer.kernel, layer.stride, layer.padding, (1, 1), 0.0).sum(axis=(4, 5))
    share = step.flow * step.entries(1 / counts)
    shape = (*step.flow.shape[:2], *x.shape[1:])
    return (frame.spread(shape, lambda i, j: share, share.dtype),)


def _global_average_pool(layer: GlobalAveragePool, step: Step) -> tuple[np.ndarray, ...]:
    height, width = step.inputs[0].shape[2:]
    share = step.flow * step.entries(np.array(1 / (height * width)))
    return (np.broadcast_to(share[..., None, None], (*share.shape, height, width)),)


def _add(layer: Add, step: Step) -> tuple[np.ndarray, ...]:
    return step.flow, step.flow


def _concat(layer: Concat, step: Step) -> tuple[np.ndarray, ...]:
    ends = np.cumsum([x.shape[1] for x in step.inputs])[:-1]
    return tuple(np.split(step.flow, ends, axis=2))


def _pad_channels(layer: PadChannels, step: Step) -> tuple[np.ndarray, ...]:
    return (step.flow[:, :, layer.before : layer.before + step.inputs[0].shape[1]],)


def _subsample(layer: Subsample, step: Step) -> tuple[np.ndarray, ...]:
    flow = np.zeros((*step.flow.shape[:2], *step.inputs[0].shape[1:]), step.flow.dtype)
    flow[..., :: layer.step[0], :: layer.step[1]] = step.flow
    return (flow,)


def _flatten(layer: Flatten, step: Step) -> tuple[np.ndarray, ...]:
    return (step.flow.reshape(*step.flow.shape[:2], *step.inputs[0].shape[1:]),)


RULES: dict[type[Layer], Rule] = {
    Linear: Rule(_linear, _own_linear),
    Conv2d: Rule(_conv2d, _own_conv2d),
    BatchNorm: Rule(_batch_norm, _own_batch_norm),
    ReLU: Rule(_relu),
    ReLU6: Rule(_relu6),
    Sigmoid: Rule(_sigmoid),
    Tanh: Rule(_tanh),
    MaxPool2d: Rule(_max_pool2d),
    AveragePool2d: Rule(_average_pool2d),
    GlobalAveragePool: Rule(_global_average_pool),
    Add: Rule(_add),
    Concat: Rule(_concat),
    PadChannels: Rule(_pad_channels),
    Subsample: Rule(_subsample),
    Flatten: Rule(_flatten),
    Softmax: Rule(_softmax),
}
"""Of each kind of layer, how derivatives pass through it."""
