"""What the derivatives with respect to one layer's own weights are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
