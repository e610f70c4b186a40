"""Operators that only move numbers: done on constants themselves, and on the positions of activations.

Each takes an operation and its arguments and returns its results. The batch is the first axis of every
activation and stays there: a move that would mix the inputs of different samples is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reliability.onnx_reader import constants
from reliability.onnx_reader.activation import MOST_NUMBERS, ZERO, Activation, Shape
from reliability.onnx_reader.arguments import (
    Arguments,
    Value,
    argument,
    axes_of,
    axis_of,
    dims,
    needed,
    numbers,
)
from reliability.onnx_reader.operation import Operation


def moved(value: Value, move: Callable[[np.ndarray], np.ndarray]) -> Value:
    """The same numbers at other places."""
    return value.moved(move) if isinstance(value, Activation) else move(value)


def keep_batch(op: Operation, value: Value, kept: bool) -> None:
    """Refuse a move of an activation that touches the batch."""
    if isinstance(value, Activation) and not kept:
        op.fail(f"would mix different samples of the batch (the first axis of {value.dims})")


def reshaped(op: Operation, value: Value, shape: Shape) -> Value:
    """A value in another shape of as many numbers."""
    if math.prod(shape) != math.prod(dims(value)):
        op.fail(f"an input of shape {dims(value)} does not make shape {shape}")
    if isinstance(value, Activation):
        # Rows of numbers in their order: if the first axis is the batch again, each sample keeps its own.
        keep_batch(op, value, bool(shape) and shape[0] == value.batch)
        return value.moved(lambda a: a.reshape(1, *shape[1:]))
    if value.size > constants.MOST_NUMBERS:
        # A filled constant takes no memory as a view; in another shape it would.
        op.fail(f"a constant of shape {value.shape} is more than this program computes")
    return value.reshape(shape)


def _identity(op: Operation, arguments: Arguments) -> list[Value]:
    return [needed(op, arguments)]


def _dropout(op: Operation, arguments: Arguments) -> list[Value]:
    training = argument(op, arguments, 2)
    if isinstance(training, Activation) or (training is not None and training.any()):
        op.fail("dropout in training mode is not supported: export the network in inference mode")
    op.ignore("seed")
    return [needed(op, arguments)]


def _cast(op: Operation, arguments: Arguments) -> list[Value]:
    value = needed(op, arguments)
    like = needed(op, arguments, 1) if op.kind == "CastLike" else None
    op.ignore("saturate", "round_mode")
    number = op.integer("to", 0) if like is None else 1
    if isinstance(value, Activation):
        if number != 1 or (isinstance(like, np.ndarray) and like.dtype != np.float32):
            op.fail("activations cannot be cast to another type than float32")
        return [value]
    if isinstance(like, np.ndarray):
        if value.size > constants.MOST_NUMBERS:
            op.fail("the constant is too large")
        return [value.astype(like.dtype)]
    return [constants.cast(op, value, number)]


def _reshape(op: Operation, arguments: Arguments) -> list[Value]:
    value, wanted = needed(op, arguments), numbers(op, arguments, 1, "lengths")
    if wanted is None:
        op.fail("the shape is missing")
    old, shape = dims(value), list(wanted)
    if not op.integer("allowzero", 0):
        if any(n == 0 and i >= len(old) for i, n in enumerate(shape)):
            op.fail(f"shape {wanted} keeps an axis that an input of shape {old} does not have")
        shape = [old[i] if n == 0 else n for i, n in enumerate(shape)]
    if shape.count(-1) > 1 or min(shape, default=0) < -1 or len(shape) > 8:
        op.fail(f"shape {wanted} is not possible")
    if -1 in shape:
        rest = -math.prod(shape)
        if rest == 0 or math.prod(old) % rest:
            op.fail(f"an input of shape {old} does not make shape {wanted}")
        shape[shape.index(-1)] = math.prod(old) // rest
    return [reshaped(op, value, tuple(shape))]


def _flatten(op: Operation, arguments: Arguments) -> list[Value]:
    value = needed(op, arguments)
    old, axis = dims(value), op.integer("axis", 1)
    if not -len(old) <= axis <= len(old):
        op.fail(f"axis {axis} does not exist in an input with {len(old)} axes")
    axis = axis + len(old) if axis < 0 else axis
    return [reshaped(op, value, (math.prod(old[:axis]), math.prod(old[axis:])))]


def _squeeze(op: Operation, arguments: Arguments) -> list[Value]:
    value, axes = needed(op, arguments), numbers(op, arguments, 1, "axes")
    old = dims(value)
    if axes is None:
        axes = tuple(i for i, n in enumerate(old) if n == 1)
    axes = axes_of(op, axes, len(old))
    keep_batch(op, value, 0 not in axes)
    if any(old[axis] != 1 for axis in axes):
        op.fail(f"axes {axes} of an input of shape {old} do not all have length 1")
    return [moved(value, lambda a: a.squeeze(axes))]


def _unsqueeze(op: Operation, arguments: Arguments) -> list[Value]:
    value, axes = needed(op, arguments), numbers(op, arguments, 1, "axes")
    if axes is None or len(axes) > 8:
        op.fail("a few axes are needed")
    axes = axes_of(op, axes, len(dims(value)) + len(axes))
    keep_batch(op, value, 0 not in axes)
    return [moved(value, lambda a: np.expand_dims(a, axes))]


def _transpose(op: Operation, arguments: Arguments) -> list[Value]:
    value = needed(op, arguments)
    rank = len(dims(value))
    order = op.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        op.fail(f"perm {order} does not order the axes of an input with {rank} axes")
    keep_batch(op, value, order[:1] == (0,))
    return [moved(value, lambda a: a.transpose(order))]


def _slice(op: Operation, arguments: Arguments) -> list[Value]:
    value = needed(op, arguments)
    old = dims(value)
    starts, ends = numbers(op, arguments, 1, "starts"), numbers(op, arguments, 2, "ends")
    if starts is None or ends is None or len(starts) != len(ends):
        op.fail("as many starts as ends are needed")
    axes = numbers(op, arguments, 3, "axes")
    axes = axes_of(op, tuple(range(len(starts))) if axes is None else axes, len(old))
    steps = numbers(op, arguments, 4, "steps") or (1,) * len(starts)
    if len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps:
        op.fail("each axis needs a start, an end and a step that is not 0")
    cuts = [slice(None)] * len(old)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = slice(start, end, step)
    if isinstance(value, Activation):
        keep_batch(op, value, cuts[0].indices(value.batch) == (0, value.batch, 1))
        cuts[0] = slice(None)
    return [moved(value, lambda a: a[tuple(cuts)])]


def _pad(op: Operation, arguments: Arguments) -> list[Value]:
    value, pads = needed(op, arguments), numbers(op, arguments, 1, "pads")
    old = dims(value)
    axes = numbers(op, arguments, 3, "axes")
    axes = axes_of(op, tuple(range(len(old))) if axes is None else axes, len(old))
    if pads is None or len(pads) != 2 * len(axes):
        op.fail(f"two pads for each of {len(axes)} axes are needed")
    mode = op.text("mode", "constant")
    if mode != "constant":
        op.fail(f"padding mode {mode!r} is not supported, only 'constant'")
    if min(pads, default=0) < 0:
        op.fail(f"negative padding {pads} is not supported")
    fill = argument(op, arguments, 2)
    if isinstance(fill, Activation) or (fill is not None and fill.size != 1):
        op.fail("the padded value must be one constant")
    widths = [(0, 0)] * len(old)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[axis] = (before, after)
    most = constants.MOST_NUMBERS
    if isinstance(value, Activation):
        keep_batch(op, value, widths[0] == (0, 0))
        if fill is not None and fill.item() != 0:
            op.fail(f"padding with {fill.item()} is not supported, only with 0")
        old, most = (1, *old[1:]), MOST_NUMBERS
    if math.prod(n + sum(width) for n, width in zip(old, widths, strict=True)) > most:
        op.fail(f"padding {pads} makes more numbers than this program takes")
    number = ZERO if isinstance(value, Activation) else 0 if fill is None else fill.item()
    return [moved(value, lambda a: np.pad(a, widths, constant_values=number))]


def _gather(op: Operation, arguments: Arguments) -> list[Value]:
    value, places = needed(op, arguments), needed(op, arguments, 1)
    old = dims(value)
    axis = axis_of(op, op.integer("axis", 0), len(old))
    keep_batch(op, value, axis != 0)
    if isinstance(places, Activation) or places.dtype.kind != "i" or places.size > constants.MOST_NUMBERS:
        op.fail("its places must be constant whole numbers")
    if places.size and not -old[axis] <= places.min() <= places.max() < old[axis]:
        op.fail(f"a place lies outside axis {axis} of an input of shape {old}")
    rest = math.prod(old[:axis] + old[axis + 1 :]) if isinstance(value, np.ndarray) else value.index.size
    if rest * places.size > constants.MOST_NUMBERS:
        op.fail("gathers more numbers than this program takes")
    return [moved(value, lambda a: np.asarray(np.take(a, places, axis=axis)))]


def _split(op: Operation, arguments: Arguments) -> list[Value]:
    value, parts = needed(op, arguments), numbers(op, arguments, 1, "parts")
    old, count = dims(value), len(op.outputs)
    axis = axis_of(op, op.integer("axis", 0), len(old))
    keep_batch(op, value, axis != 0)
    if parts is None:
        if op.integer("num_outputs", count) != count:
            op.fail(f"num_outputs does not fit its {count} outputs")
        each = -(-old[axis] // count)
        parts = (*(each,) * (count - 1), old[axis] - each * (count - 1))
    if len(parts) != count or min(parts) < 0 or sum(parts) != old[axis]:
        op.fail(f"parts {parts} do not make axis {axis} of an input of shape {old}")
    edges = [int(edge) for edge in np.cumsum(parts)[:-1]]
    if isinstance(value, Activation):
        return [replace(value, index=index) for index in np.split(value.index, edges, axis)]
    return list(np.split(value, edges, axis))


def _expand(op: Operation, arguments: Arguments) -> list[Value]:
    value, shape = needed(op, arguments), numbers(op, arguments, 1, "lengths")
    if shape is None:
        op.fail("the shape is missing")
    if isinstance(value, Activation):
        if np.broadcast_shapes(value.dims, shape) != value.dims:
            op.fail(f"repeating activations of shape {value.dims} to {shape} is not supported")
        return [value]
    return [constants.spread(op, value, shape)]


MOVES: dict[str, Callable[[Operation, Arguments], list[Value]]] = {
    "Cast": _cast,
    "CastLike": _cast,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

# What an image may go through on its way to a layer that can do it by itself.
CUTS = ("Cast", "Dropout", "Identity", "Pad", "Slice", "Transpose")
