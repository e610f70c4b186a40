"""The weights of a chip that an attack may move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from reliability.chip import Chip
from reliability.crossbar import (
    Crossbar,
    analog_crossbars,
    mapped_network,
    rolled,
)
from reliability.datasets import Dataset, as_dataset, check_labels
from reliability.derivatives import chunks, weight_derivatives
from reliability.errors import UserError
from reliability.mapping import weight_max
from reliability.network import Network
from reliability.worst_case.objectives import Objective

Unit = Literal["weight", "relative"]
Deviations = Mapping[str, float | np.ndarray]
"""Of each analog layer by name, the standard deviation of its weights' errors: one number, or a matrix as
:func:`reliability.chip_weights` gives it, (columns, rows), the bias last where devices hold it."""

Inputs = Dataset | tuple[Any, Any]


class _Part(NamedTuple):
    """One array of weights in an attack's vector."""

    name: str
    field: str
    place: slice


class Surface:
    """The weights of a chip that an attack may move, as one vector, and the inputs that it is about.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Raw inputs and labels.
    chip : Chip
    unit : {"weight", "relative"} or mapping of str to float or ndarray
        What an error of one is: one in the network's own numbers; the layer's largest weight, which has the
        largest conductance; or the standard deviations given.

    Attributes
    ----------
    network : Network
        The network that the chip maps (:func:`reliability.crossbar.mapped_network`).
    units : ndarray of float32, shape (weights,)
    x, labels : ndarray
        Prepared.

    Raises
    ------
    UserError
        If no layer is analog, standard deviations are missing or do not fit, or the inputs do not fit.
    """

    def __init__(
        self, network: Network, inputs: Inputs, chip: Chip, unit: Unit | Deviations = "weight"
    ) -> None:
        if isinstance(unit, str) and unit not in get_args(Unit):
            raise UserError(f'unit = {unit!r} must be "weight", "relative", or standard deviations by layer')
        dataset = as_dataset("inputs", inputs)
        check_labels(dataset, network.classes)
        self.x, self.labels = network.prepare(dataset.x), np.asarray(dataset.y)
        self.network = mapped_network(network, chip)
        analog = some_crossbars(network, chip)
        if not isinstance(unit, str) and set(unit) != set(analog):
            raise UserError(
                f"standard deviations are given for layers {', '.join(unit) or 'none'}; "
                f"analog layers are {', '.join(analog)}"
            )
        self._parts: list[_Part] = []
        units: list[np.ndarray] = []
        start = 0
        for node in self.network.weighted:
            if node.name in analog:
                for field, values in _units(node.layer, analog[node.name], unit).items():
                    self._parts.append(_Part(node.name, field, slice(start, start + values.size)))
                    units.append(values.ravel())
                    start += values.size
        self.units = np.concatenate(units)

    def attacked(self, errors: np.ndarray) -> Network:
        """The network with errors of shape (weights,), in their units, in its weights."""
        moved = errors * self.units
        layers = {node.name: node.layer for node in self.network.nodes}
        for part in self._parts:
            array = getattr(layers[part.name], part.field)
            values: Any = {part.field: array + moved[part.place].reshape(array.shape)}
            layers[part.name] = replace(layers[part.name], **values)
        nodes = tuple(replace(node, layer=layers[node.name]) for node in self.network.nodes)
        return replace(self.network, nodes=nodes)

    def slope(self, errors: np.ndarray, which: np.ndarray, objective: Objective) -> np.ndarray:
        """Derivative of an objective's mean over some inputs with respect to the errors, shape (weights,)."""
        labels = self.labels[which]
        _, found = weight_derivatives(
            self.attacked(errors),
            self.x[which],
            lambda logits, part: objective(logits, labels[part]) / np.float32(len(which)),
        )
        return np.concatenate([found[part.name][part.field].ravel() for part in self._parts]) * self.units

    @cached_property
    def clean_accuracy(self) -> float:
        """Share of the inputs that the network without errors gets right."""
        return self.accuracy(np.zeros_like(self.units))

    def accuracy(self, errors: np.ndarray) -> float:
        """Share of the inputs that the network with these errors gets right."""
        network = self.attacked(errors)
        right = 0
        for part in chunks(network, len(self.x)):
            right += int((network.forward(self.x[part]).argmax(axis=1) == self.labels[part]).sum())
        return right / len(self.x)


def some_crossbars(network: Network, chip: Chip) -> dict[str, Crossbar]:
    """The analog layers of a chip, at least one."""
    analog = analog_crossbars(network, chip)
    if not analog:
        raise UserError(f"chip {chip.name!r} has no analog layer: there is no weight that can err")
    return analog


def _units(layer: Any, own: Crossbar, unit: Unit | Deviations) -> dict[str, np.ndarray]:
    """Units of a layer's weights, and of its bias where devices hold it."""
    matrix = np.full(own.matrix.shape, largest_weight(own) if unit == "relative" else 1.0, np.float32)
    if not isinstance(unit, str):
        given = np.asarray(unit[own.name], np.float32)
        if given.shape not in ((), matrix.shape) or not np.isfinite(given).all() or (given < 0).any():
            raise UserError(
                f"standard deviations of layer {own.name!r} have shape {given.shape}: they must be one "
                f"number or an array of shape {matrix.shape}, finite and not negative"
            )
        matrix *= given
    if not own.bias_row:
        return {"weight": rolled(matrix, layer, own.source)}
    return {"weight": rolled(matrix[:, :-1], layer, own.source), "bias": matrix[:, -1]}


def largest_weight(own: Crossbar) -> float:
    """The weight that has the largest conductance."""
    assert own.settings.mapping is not None
    return weight_max(own.matrix, own.settings.mapping)
