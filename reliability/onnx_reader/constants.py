"""What a file computes from constants alone, computed once when it is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reliability.onnx_reader.operation import Operation
from reliability.onnx_reader.tensor import array_of, type_of

MOST_NUMBERS = 1 << 26
"""Most numbers in a computed constant; checked before it is made."""

_BINARY: dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Min": np.minimum,
    "Max": np.maximum,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}
_UNARY: dict[str, Callable[..., np.ndarray]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Exp": np.exp,
    "Floor": np.floor,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Reciprocal": np.reciprocal,
    "Sqrt": np.sqrt,
}


def evaluate(op: Operation, arguments: list[np.ndarray | None]) -> np.ndarray | None:
    """Result of an operation on constants; None if this kind of operation is not known here.

    Parameters
    ----------
    op : Operation
    arguments : list of ndarray or None
        None where an optional argument is left out.

    Raises
    ------
    UserError
        If the operation is not as the standard says or its result would be too large.
    """
    given = [a for a in arguments if a is not None]
    if len(given) != len(arguments) or any(a.size > MOST_NUMBERS for a in given):
        return None
    kind, count = op.kind, len(given)
    with np.errstate(all="ignore"):
        if kind in _UNARY and count == 1:
            return _UNARY[kind](given[0]).astype(bool if kind == "Not" else given[0].dtype)
        if kind in _BINARY and count == 2:
            _check_alike(op, *given)
            return _BINARY[kind](*given)
        if kind == "Div" and count == 2:
            _check_alike(op, *given)
            return _divide(op, *given)
        if kind == "Where" and count == 3:
            _check_alike(op, *given[1:])
            _check_size(op, math.prod(np.broadcast_shapes(*(a.shape for a in given))))
            return np.where(given[0].astype(bool), given[1], given[2])
        if kind == "Pow" and count == 2:
            _check_size(op, math.prod(np.broadcast_shapes(given[0].shape, given[1].shape)))
            return np.power(given[0].astype(np.float64), given[1]).astype(given[0].dtype)
        if kind == "Range" and count == 3:
            return _range(op, *given)
        if kind == "ReduceProd" and 1 <= count <= 2:
            axes = tuple(map(int, given[1])) if count == 2 else op.integers("axes")
            op.ignore("noop_with_empty_axes")
            keep = bool(op.integer("keepdims", 1))
            return np.asarray(np.prod(given[0], axis=axes or None, keepdims=keep, dtype=given[0].dtype))
    return None


def constant(op: Operation, folder: Path | None) -> np.ndarray:
    """Value of a Constant node."""
    found = []
    for name, dtype, many in (
        ("value_float", np.float32, False),
        ("value_floats", np.float32, True),
        ("value_int", np.int64, False),
        ("value_ints", np.int64, True),
    ):
        attribute = op.raw(name)
        if attribute is not None:
            field = ("floats" if many else "f") if dtype is np.float32 else ("ints" if many else "i")
            found.append(np.array(getattr(attribute, field), dtype))
    attribute = op.raw("value")
    if attribute is not None:
        found.append(array_of(attribute.t, folder))
    if len(found) != 1:
        op.fail("a constant needs one value: an array, a number or a list of numbers")
    return found[0]


def filled(op: Operation, shape: tuple[int, ...], folder: Path | None) -> np.ndarray:
    """Value of a ConstantOfShape node: a view of one number, so of any size."""
    attribute = op.raw("value")
    value = np.zeros((), np.float32) if attribute is None else array_of(attribute.t, folder)
    if value.size != 1:
        op.fail("the value must be one number")
    return spread(op, value.reshape(()), shape)


def spread(op: Operation, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A constant broadcast to a shape, as a view: it takes no memory."""
    if min(shape, default=0) < 0 or len(shape) > 8 or math.prod(shape) > 1 << 56:
        op.fail(f"shape {shape[:9]} is not possible")
    return np.broadcast_to(value, np.broadcast_shapes(value.shape, shape))


def cast(op: Operation, value: np.ndarray, number: int) -> np.ndarray:
    """A constant in another type, given by its number in the standard."""
    dtype = type_of(number)
    if dtype is None or value.size > MOST_NUMBERS:
        op.fail(f"a cast to element type {number} of the standard is not supported")
    with np.errstate(all="ignore"):
        return value.astype(dtype)


def _check_size(op: Operation, count: int) -> None:
    if count > MOST_NUMBERS:
        op.fail(f"a constant of {count} numbers is more than this program computes")


def _check_alike(op: Operation, a: np.ndarray, b: np.ndarray) -> None:
    if a.dtype != b.dtype:
        op.fail(f"arguments of types {a.dtype} and {b.dtype}, the standard asks for one type")
    _check_size(op, math.prod(np.broadcast_shapes(a.shape, b.shape)))


def _divide(op: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    if (b == 0).any():
        op.fail("a whole number is divided by 0")
    # The standard rounds towards 0.
    return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _range(op: Operation, start: np.ndarray, limit: np.ndarray, step: np.ndarray) -> np.ndarray:
    if start.size != 1 or limit.size != 1 or step.size != 1 or step.item() == 0:
        op.fail("a range needs a start, a limit and a step that is not 0")
    count = max(math.ceil((limit.item() - start.item()) / step.item()), 0)
    _check_size(op, count)
    return (start.item() + step.item() * np.arange(count)).astype(start.dtype)
