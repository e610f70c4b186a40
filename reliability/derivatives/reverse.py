"""Reverse accumulation: upstream derivatives, pulled back node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from reliability.derivatives.own import Own
from reliability.derivatives.rules import RULES, Step
from reliability.derivatives.workspace import chunks
from reliability.errors import UserError
from reliability.layers import Softmax
from reliability.network import INPUT, Network

Activations = Mapping[str, np.ndarray]
LayerDerivatives = dict[str, dict[str, np.ndarray]]
"""Of each layer by name, an array for each of its own fields: ``weight``, ``bias``, ``scale``, ``shift``."""


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
