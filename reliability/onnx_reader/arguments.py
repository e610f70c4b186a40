"""What an operation is given, with the checks that many operators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reliability.errors import UserError
from reliability.layers import Layer
from reliability.onnx_reader.activation import MOST_NUMBERS, Activation, Shape
from reliability.onnx_reader.operation import Operation

Value = np.ndarray | Activation
Arguments = list[Value | None]


def dims(value: Value) -> Shape:
    """Shape in the ONNX graph."""
    return value.dims if isinstance(value, Activation) else value.shape


def argument(op: Operation, arguments: Arguments, place: int) -> Value | None:
    """An argument; None if it is left out."""
    return arguments[place] if place < len(arguments) else None


def needed(op: Operation, arguments: Arguments, place: int = 0) -> Value:
    """An argument that may not be left out."""
    value = argument(op, arguments, place)
    if value is None:
        op.fail(f"input {place + 1} is missing")
    return value


def numbers(op: Operation, arguments: Arguments, place: int, what: str) -> tuple[int, ...] | None:
    """An argument that is a list of whole numbers; None if it is left out."""
    value = argument(op, arguments, place)
    if value is None:
        return None
    if isinstance(value, Activation):
        op.fail(f"its {what} depend on the network's input, they must be constants")
    if value.dtype.kind not in "iu" or value.ndim > 1 or value.size > 64:
        op.fail(
            f"its {what} must be a list of whole numbers, have shape {value.shape} and type {value.dtype}"
        )
    return tuple(int(v) for v in value.reshape(-1))


def axis_of(op: Operation, axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        op.fail(f"axis {axis} does not exist in an input with {rank} axes")
    return axis % rank


def axes_of(op: Operation, axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, each once."""
    found = tuple(axis_of(op, axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        op.fail(f"axes {axes} name one axis twice")
    return found


def activation(op: Operation, arguments: Arguments, place: int = 0) -> Activation:
    """An argument that must depend on the network's input."""
    value = needed(op, arguments, place)
    if isinstance(value, np.ndarray):
        op.fail(f"input {place + 1} is a constant, it must depend on the network's input")
    return value


def floats(op: Operation, arguments: Arguments, place: int, what: str) -> np.ndarray | None:
    """An argument that is a constant array of floats; None if it is left out."""
    value = argument(op, arguments, place)
    if isinstance(value, Activation):
        op.fail(f"its {what} depend on the network's input, they must be constants")
    if value is not None and (value.dtype.kind != "f" or value.size > MOST_NUMBERS * 64):
        op.fail(f"its {what} have type {value.dtype} and shape {value.shape}, floats are needed")
    return value


def checked(op: Operation, make: Callable[..., Layer], *options: Any) -> Layer:
    """A layer; what it refuses is told with the node."""
    try:
        return make(*options)
    except UserError as error:
        op.fail(str(error))
