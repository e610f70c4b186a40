"""Derivatives of a network's logits, by reverse accumulation in plain NumPy.

Everything here works on a batch of N inputs and, for each of them, on S upstream derivatives at once: the
derivatives of S scalar functions (a loss; every class's logit) with respect to the output of a node. They are
pulled back node by node. What a kind of layer does to them is one entry of :data:`RULES`.

Arrays keep the type of the activations: float32, or float64 where ``Network.activations`` was given float64.
ReLU has derivative 0 at 0, a window with several largest values passes its derivative to the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reliability.errors import UserError
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
from reliability.network import INPUT, Network

Activations = Mapping[str, np.ndarray]
LayerDerivatives = dict[str, dict[str, np.ndarray]]
"""Of each layer by name, an array for each of its own fields: ``weight``, ``bias``, ``scale``, ``shift``."""

WORKSPACE = 1 << 26
"""Bytes that the arrays of one chunk of inputs may take together."""


class Derivatives(NamedTuple):
    """What :func:`derivatives` gives.

    Attributes
    ----------
    layers : dict of str to dict of str to ndarray
        Summed over the inputs. Linear and Conv2d layers have ``weight`` and, if they have one, ``bias``;
        BatchNorm has ``scale`` and ``shift``.
    outputs : dict of str to ndarray
        Of every node and of the inputs themselves, input by input; empty unless asked for.
    """

    layers: LayerDerivatives
    outputs: dict[str, np.ndarray]


def logits_node(network: Network) -> str:
    """Name of the node that gives the logits: the last one, or what a final softmax is given."""
    last = network.nodes[-1]
    return last.inputs[0] if isinstance(last.layer, Softmax) else last.name


def derivatives(
    network: Network,
    activations: Activations,
    upstream: np.ndarray,
    *,
    at: str | None = None,
    outputs: bool = False,
) -> Derivatives:
    """Derivatives of scalar functions of the logits.

    Parameters
    ----------
    network : Network
    activations : mapping of str to ndarray
        From ``Network.activations`` of N inputs.
    upstream : ndarray, shape (N, classes) or (N, S, classes)
        Derivatives of one function, or of S, with respect to the logits. The identity in every input,
        shape (N, classes, classes), gives the derivatives of each class's logit.
    at : str, optional
        Another node, with respect to whose output ``upstream`` is given; its shape takes the place of
        (classes,).
    outputs : bool
        Whether also to give the derivatives with respect to every node's output.

    Returns
    -------
    Derivatives
        Layers' arrays have the shape of their weights; outputs' have that of the activations. With an axis of
        S functions, layers' arrays have it in front and outputs' behind the axis of inputs.

    Raises
    ------
    UserError
        If ``upstream`` does not fit.

    Notes
    -----
    Reverse accumulation: S. Linnainmaa, BIT 16:146 (1976); A. Griewank and A. Walther, Evaluating
    Derivatives, 2nd ed. (2008). A convolution is a product with the matrix of its windows.
    """
    at = logits_node(network) if at is None else at
    if at not in activations:
        raise UserError(f"at = {at!r} must be a node of network {network.name!r}")
    shape = activations[at].shape
    several = upstream.ndim == len(shape) + 1
    given = (upstream if several else upstream[:, None]).astype(activations[at].dtype, copy=False)
    if given.shape[:1] + given.shape[2:] != shape:
        raise UserError(
            f"upstream derivatives at {at!r} need shape {shape}, or {shape[0]}, any number, and the rest of "
            f"it; they have shape {upstream.shape}"
        )
    sums: LayerDerivatives = {}
    kept: dict[str, np.ndarray] = {}

    def collect(name: str, own: Own) -> None:
        arrays = own.sums()
        sums[name] = arrays if several else {field: array[0] for field, array in arrays.items()}

    for name, pulled in pull_back(network, activations, at, given, collect, to_inputs=outputs):
        if outputs:
            kept[name] = pulled if several else pulled[:, 0]
    return Derivatives({name: sums[name] for name in reversed(sums)}, kept)


def weight_derivatives(
    network: Network, x: np.ndarray, upstream: Callable[[np.ndarray, slice], np.ndarray]
) -> tuple[np.ndarray, LayerDerivatives]:
    """Logits of prepared inputs, and derivatives with respect to all weights, in bounded memory.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (N, *input_shape)
        From ``Network.prepare``.
    upstream : callable
        Given the logits of a chunk of inputs, shape (n, classes), and which inputs they are, the derivatives
        with respect to them: shape (n, classes).

    Returns
    -------
    ndarray, shape (N, classes)
    dict of str to dict of str to ndarray
        As ``Derivatives.layers``.
    """
    logits = []
    total: LayerDerivatives = {}
    node = logits_node(network)
    for part in chunks(network, len(x), itemsize=x.itemsize):
        values = network.activations(x[part])
        logits.append(values[node])
        found = derivatives(network, values, upstream(values[node], part)).layers
        for name, arrays in found.items():
            own = total.setdefault(name, {})
            for field, array in arrays.items():
                own[field] = own[field] + array if field in own else array
    return np.concatenate(logits), total


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of each input, and its derivative with respect to the logits.

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
    labels : ndarray of int, shape (N,)

    Returns
    -------
    ndarray, shape (N,)
        In nats.
    ndarray, shape (N, classes)
        ``softmax(logits) - one_hot(labels)``.
    """
    rows = np.arange(len(labels))
    below = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(below)
    sums = powers.sum(axis=1, keepdims=True)
    loss = np.log(sums[:, 0]) - below[rows, labels]
    slope = powers / sums
    slope[rows, labels] -= 1
    return loss, slope


def chunks(network: Network, count: int, *, functions: int = 1, itemsize: int = 4) -> Iterator[slice]:
    """Consecutive inputs whose arrays fit the workspace, at least one at a time.

    Parameters
    ----------
    network : Network
    count : int
        Number of inputs.
    functions : int
        Upstream derivatives of each input.
    itemsize : int
        Bytes of a number.
    """
    sizes = {name: int(np.prod(shape)) for name, shape in network.shapes.items()}
    widest = 0
    for node in network.weighted:
        if isinstance(node.layer, Conv2d):
            window = int(np.prod(node.layer.weight.shape[1:])) * node.layer.groups
            places = int(np.prod(network.shapes[node.name][1:]))
            widest = max(widest, (1 + functions) * window * places + functions * node.layer.weight.size)
    each = itemsize * (sum(sizes.values()) + 3 * functions * max(sizes.values()) + widest)
    step = max(1, WORKSPACE // each)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


class Own(NamedTuple):
    """What the derivatives with respect to one layer's own weights are made of, before inputs are summed.

    A weight's derivative is the sum over places of what flows back there times what the weight multiplies.

    Attributes
    ----------
    flows : dict of str to ndarray
        For each field, upstream derivatives of shape (N, S, groups, outputs, places).
    factors : dict of str to ndarray
        What they are multiplied by, shape (N, groups, window, places).
    shapes : dict of str to tuple of int
        Of the fields.
    """

    flows: dict[str, np.ndarray]
    factors: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]

    def sums(self) -> dict[str, np.ndarray]:
        """Derivatives summed over the inputs, shape (S, *field)."""
        return {
            field: _products(flow, self.factors[field]).reshape(flow.shape[1], *self.shapes[field])
            for field, flow in self.flows.items()
        }

    def squares(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Squares of each input's and each function's derivatives, times ``weights`` (N, S), summed up."""
        return {
            field: _squares(flow, self.factors[field], weights).reshape(self.shapes[field])
            for field, flow in self.flows.items()
        }


def _products(flow: np.ndarray, factor: np.ndarray) -> np.ndarray:
    n, s, groups, outputs, places = flow.shape
    if places == 1 and groups == 1:
        return (flow.reshape(n, s * outputs).T @ factor.reshape(n, -1)).reshape(s, 1, outputs, -1)
    each = _each(flow, factor).sum(axis=0)
    return each.reshape(groups, s, outputs, -1).swapaxes(0, 1)


def _squares(flow: np.ndarray, factor: np.ndarray, weights: np.ndarray) -> np.ndarray:
    n, s, groups, outputs, places = flow.shape
    if places == 1 and groups == 1:
        squared = np.einsum("ns,nso->no", weights, flow.reshape(n, s, outputs) ** 2)
        return squared.T @ factor.reshape(n, -1) ** 2
    each = _each(flow, factor).reshape(n, groups, s, -1)
    return np.einsum("ns,ngsk->gk", weights, np.square(each, out=each), optimize=True)


def _each(flow: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Each input's own, shape (N, groups, S * outputs, window)."""
    n, s, groups, outputs, places = flow.shape
    rows = flow.swapaxes(1, 2).reshape(n, groups, s * outputs, places)
    return rows @ factor.swapaxes(2, 3)


def pull_back(
    network: Network,
    activations: Activations,
    at: str,
    upstream: np.ndarray,
    collect: Callable[[str, Own], None] | None = None,
    *,
    squared: bool = False,
    to_inputs: bool = False,
) -> Iterator[tuple[str, np.ndarray]]:
    """Upstream derivatives of node ``at``, then of the nodes before it in reverse order.

    Parameters
    ----------
    network : Network
    activations : mapping of str to ndarray
        Of N inputs.
    at : str
        Node where it begins.
    upstream : ndarray, shape (N, S, *shape of its output)
    collect : callable, optional
        Given the name and the :class:`Own` of every layer that has weights and that ``at`` depends on.
    squared : bool
        Multiply by the squares of the Jacobians' entries in place of the entries themselves: second
        derivatives, if all off-diagonal ones are dropped. Factors of :class:`Own` are squared too.
    to_inputs : bool
        Go back to the network's inputs, not only to the first layer with weights.

    Yields
    ------
    str, ndarray of shape (N, S, *shape)
    """
    # Whatever depends on no weight needs no derivative.
    wanted = {INPUT} if to_inputs else set()
    for node in network.nodes:
        if RULES[type(node.layer)].own is not None or not wanted.isdisjoint(node.inputs):
            wanted.add(node.name)
    flows = {at: upstream}
    for node in reversed(network.nodes):
        flow = flows.pop(node.name, None)
        if flow is None:
            continue
        yield node.name, flow
        rule = RULES[type(node.layer)]
        step = Step(tuple(activations[name] for name in node.inputs), activations[node.name], flow, squared)
        if rule.own is not None and collect is not None:
            collect(node.name, rule.own(node.layer, step))
        if not wanted.isdisjoint(node.inputs):
            for name, pulled in zip(node.inputs, rule.pull(node.layer, step), strict=True):
                if name in wanted:
                    flows[name] = flows[name] + pulled if name in flows else pulled
    if INPUT in flows:
        yield INPUT, flows[INPUT]


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


class _Frame(NamedTuple):
    """Windows over an image: where each of their elements lies in the padded image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    counts: tuple[int, int]

    def places(self) -> Iterator[tuple[int, int, tuple[Any, slice, slice]]]:
        """Row and column of an element in its window, and where it lies for all windows at once."""
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows, columns = (
                    slice(at * d, at * d + (n - 1) * s + 1, s)
                    for at, d, n, s in zip((i, j), self.dilation, self.counts, self.stride, strict=True)
                )
                yield i, j, (Ellipsis, rows, columns)

    def padded(self, x: np.ndarray, fill: float) -> np.ndarray:
        """Images with what surrounds them."""
        top, left, bottom, right = self.padding
        if not any(self.padding):
            return x
        widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
        return np.pad(x, widths, constant_values=fill)

    def patches(self, x: np.ndarray) -> np.ndarray:
        """What every window holds of images (N, channels, height, width): (N, channels, kernel, windows)."""
        found = np.empty((*x.shape[:2], *self.kernel, *self.counts), x.dtype)
        padded = self.padded(x, 0.0)
        for i, j, where in self.places():
            found[:, :, i, j] = padded[where]
        return found

    def spread(
        self, shape: tuple[int, ...], part: Callable[[int, int], np.ndarray], dtype: Any
    ) -> np.ndarray:
        """Add up ``part(i, j)``, what flows to element (i, j) of all windows, into images of ``shape``."""
        top, left, bottom, right = self.padding
        height, width = shape[-2:]
        total = np.zeros((*shape[:-2], top + height + bottom, left + width + right), dtype)
        for i, j, where in self.places():
            total[where] += part(i, j)
        return total[..., top : top + height, left : left + width]


def _frame(layer: Conv2d | MaxPool2d | AveragePool2d, step: Step) -> _Frame:
    if isinstance(layer, Conv2d):
        height, width = layer.weight.shape[2:]
        kernel, dilation = (height, width), layer.dilation
    else:
        kernel, dilation = layer.kernel, (1, 1)
    rows, columns = step.output.shape[2:]
    return _Frame(kernel, layer.stride, layer.padding, dilation, (rows, columns))


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
