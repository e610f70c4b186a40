"""Second derivatives of the loss with respect to every single weight: which weights must be exact.

With errors of mean zero and variance v in every weight, a trained network's loss rises by ``h v / 2`` summed
over its weights, ``h`` the diagonal of the Hessian. Three ways to find it, of rising cost:

``"swim"``
    One pass that drops all off-diagonal second derivatives at every layer (Y. LeCun, J. Denker, S. Solla,
    Optimal Brain Damage, NIPS 1989; Z. Yan, X. S. Hu, Y. Shi, SWIM, DAC 2022, arXiv 2202.08395). Only a last
    layer that gives the logits is exact; before it the values rank weights and measure nothing.
``"gauss-newton"``
    The diagonal of ``J' H J``, ``J`` the derivatives of the logits and ``H`` the loss's second derivatives
    with respect to them, exact and without sampling: one pass a class.
``"hessian"``
    The Gauss-Newton diagonal and what the network's own bends add to it, exact: one pass more for every
    element of every sigmoid, tanh and inner softmax. ReLUs and largest values have no bend but at their
    kinks, where no second derivative exists: with these alone both diagonals are the same.

The loss is the cross-entropy, its mean over the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from reliability.checks import check_kind
from reliability.derivatives import (
    Activations,
    Own,
    chunks,
    cross_entropy,
    logits_node,
    pull_back,
)
from reliability.errors import UserError
from reliability.layers import Conv2d, Linear, Sigmoid, Softmax, Tanh
from reliability.network import INPUT, Network, Node
from reliability.npz import read_npz, write_npz

Method = Literal["swim", "gauss-newton", "hessian"]

_TOGETHER = 16
"""Passes that are taken at once."""

_Add = Callable[[str, np.ndarray], None]
_Seeds = tuple[str, np.ndarray, np.ndarray]


def second_derivatives(
    network: Network, inputs: Any, labels: Any, method: Method = "swim"
) -> dict[str, np.ndarray]:
    """Second derivative of the mean cross-entropy with respect to every weight.

    Parameters
    ----------
    network : Network
        Of a chip, :func:`reliability.crossbar.mapped_network`.
    inputs : ndarray, shape (N, ...)
        Raw inputs; the network brings its own preprocessing. Weights are trained where the derivatives are
        small: training inputs show the curvature that training left.
    labels : ndarray of int, shape (N,)
        Only ``"hessian"`` depends on them.
    method : {"swim", "gauss-newton", "hessian"}

    Returns
    -------
    dict of str to ndarray of float64
        For every layer with weights, an array of its weights' shape. With ``"hessian"`` values can be
        negative.

    Raises
    ------
    UserError
        If there is no such method, there are no inputs, or they and their labels do not fit the network.

    Notes
    -----
    ``"swim"`` passes second derivatives on by the squares of the Jacobians' entries. For an average over k
    elements that is ``1 / k**2`` (``1 / k**4`` of a window of k times k); the authors' code passes them on
    by ``1 / k``. It adds twice the first derivative to the result, which is left out here.
    In float64, since differences of nearly equal probabilities decide.
    """
    check_kind("network", network, Network)
    if method not in get_args(Method):
        raise UserError(f'method = {method!r} must be "swim", "gauss-newton" or "hessian"')
    x = network.prepare(np.asarray(inputs)).astype(np.float64)
    if not len(x):
        raise UserError("there are no inputs: a mean loss takes one at least")
    y = np.asarray(labels)
    if y.shape != x.shape[:1] or y.dtype.kind not in "ui" or (y >= network.classes).any() or (y < 0).any():
        raise UserError(
            f"labels of shape {y.shape} ({y.dtype}) must be one class from 0 to {network.classes - 1} for "
            f"each of {len(x)} inputs"
        )
    found = {node.name: np.zeros(_weight_of(node).shape) for node in network.weighted}

    def add(name: str, array: np.ndarray) -> None:
        if name in found:
            found[name] += array / len(x)

    functions = 1 if method == "swim" else min(_TOGETHER, network.classes)
    for part in chunks(network, len(x), functions=functions, itemsize=8):
        values = network.activations(x[part])
        if method == "swim":
            _swim(network, values, add)
            continue
        for name, seeds, weights in _of_the_loss(network, values):
            _add_squares(network, values, name, seeds, weights, add)
        if method == "hessian":
            for name, seeds, weights in _of_the_bends(network, values, y[part]):
                _add_squares(network, values, name, seeds, weights, add)
    return found


def save_second_derivatives(path: str | Path, found: Mapping[str, np.ndarray]) -> None:
    """Write second derivatives as an NPZ file, an array a layer under its name.

    Parameters
    ----------
    path : str or Path
    found : mapping of str to ndarray
        From :func:`second_derivatives`.

    Raises
    ------
    UserError
        If the folder does not exist.
    """
    write_npz(Path(path), found, "file of second derivatives")


def load_second_derivatives(path: str | Path, network: Network) -> dict[str, np.ndarray]:
    """Second derivatives from a file that :func:`save_second_derivatives` wrote.

    Parameters
    ----------
    path : str or Path
    network : Network
        Whose layers they must fit.

    Raises
    ------
    UserError
        If the file cannot be read or belongs to another network.
    """
    found = read_npz(Path(path), "file of second derivatives")
    wanted = {node.name: _weight_of(node).shape for node in network.weighted}
    held = {name: array.shape for name, array in found.items()}
    if held != wanted:
        raise UserError(
            f"file of second derivatives {path} holds layers {held}, network {network.name!r} has {wanted}"
        )
    return found


def _weight_of(node: Node) -> np.ndarray:
    assert isinstance(node.layer, Linear | Conv2d)
    return node.layer.weight


def _swim(network: Network, values: Activations, add: _Add) -> None:
    logits = logits_node(network)
    p = _softmax(values[logits])

    def collect(name: str, own: Own) -> None:
        if "weight" in own.flows:
            add(name, own.sums()["weight"][0])

    for _ in pull_back(network, values, logits, (p * (1 - p))[:, None], collect, squared=True):
        pass


def _add_squares(
    network: Network, values: Activations, at: str, seeds: np.ndarray, weights: np.ndarray, add: _Add
) -> None:
    """Add the squares of the derivatives of the functions that ``seeds`` begin, each with its weight."""

    def collect(name: str, own: Own) -> None:
        if "weight" in own.flows:
            add(name, own.squares(weights)["weight"])

    for _ in pull_back(network, values, at, seeds, collect):
        pass


def _of_the_loss(network: Network, values: Activations) -> Iterator[_Seeds]:
    """The loss's second derivatives at the logits, ``diag(p) - p p'``, as weighted squares."""
    logits = logits_node(network)
    p = _softmax(values[logits])
    for classes in _blocks(p.shape[1]):
        yield logits, _from_mean(p, classes), p[:, classes]


def _from_mean(p: np.ndarray, classes: slice) -> np.ndarray:
    """``e_k - p`` for some classes k: the sum of ``p_k (e_k - p)(e_k - p)'`` is ``diag(p) - p p'``."""
    return np.eye(p.shape[1])[classes] - p[:, None]


def _of_the_bends(network: Network, values: Activations, labels: np.ndarray) -> Iterator[_Seeds]:
    """What every layer that bends adds to the Hessian, as weighted squares at its input."""
    logits = logits_node(network)
    slopes = cross_entropy(values[logits], labels)[1]
    nodes = {node.name: node for node in network.nodes}
    for name, flow in pull_back(network, values, logits, slopes[:, None]):
        node = nodes[name]
        # A first layer that bends its inputs depends on no weight.
        if type(node.layer) in BENDS and node.inputs[0] != INPUT:
            for seeds, weights in BENDS[type(node.layer)](values[name], flow[:, 0]):
                yield node.inputs[0], seeds, weights


def _bend_of_sigmoid(y: np.ndarray, flow: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return _by_element(flow * y * (1 - y) * (1 - 2 * y))


def _bend_of_tanh(y: np.ndarray, flow: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return _by_element(-2 * flow * y * (1 - y**2))


def _bend_of_softmax(p: np.ndarray, flow: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The second derivatives of all its outputs, weighted by what flows back to them."""
    bends = p * (flow - (flow * p).sum(axis=1, keepdims=True))
    for classes in _blocks(p.shape[1]):
        yield _from_mean(p, classes), bends[:, classes]


def _by_element(bends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of a layer that acts on every element alone, ``bends`` its second derivatives times the flow."""
    n, shape = len(bends), bends.shape[1:]
    flat = bends.reshape(n, -1)
    for elements in _blocks(flat.shape[1]):
        many = elements.stop - elements.start
        unit = np.eye(many, flat.shape[1], elements.start).reshape(1, many, *shape)
        yield np.broadcast_to(unit, (n, *unit.shape[1:])), flat[:, elements]


BENDS: dict[type, Callable[[np.ndarray, np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]]] = {
    Sigmoid: _bend_of_sigmoid,
    Tanh: _bend_of_tanh,
    Softmax: _bend_of_softmax,
}
"""Of each kind of layer with second derivatives of its own, given its output and what flows back to it:
derivatives at its input and their weights, whose weighted squares are the second derivatives."""


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _TOGETHER):
        yield slice(start, min(start + _TOGETHER, count))


def _softmax(logits: np.ndarray) -> np.ndarray:
    return Softmax().forward(logits)
