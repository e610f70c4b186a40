"""Windows over images: pooling of every form, and the padding that convolutions share with it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from reliability.layers import AveragePool2d, GlobalAveragePool, MaxPool2d, ReLU, ReLU6, Sigmoid
from reliability.onnx_reader.activation import Activation, Shape, order_of_axes
from reliability.onnx_reader.arguments import Arguments, activation, axes_of, checked, dims, numbers
from reliability.onnx_reader.builder import Builder
from reliability.onnx_reader.operation import Operation, printable

Border = tuple[int, int, int, int]


def borders(border: Border, padding: Border) -> Border:
    """Zeros around an image, and zeros around that."""
    top, left, bottom, right = (a + c for a, c in zip(border, padding, strict=True))
    return top, left, bottom, right


def pair(op: Operation, name: str) -> tuple[int, int]:
    """An attribute that is two whole numbers, for height and width; ones where it is left out."""
    values = op.integers(name, (1, 1))
    if values is None or len(values) != 2 or min(values) < 1:
        op.fail(f"{name} {values} must be two whole numbers from 1 up")
    return values[0], values[1]


def padding_of(
    op: Operation, size: Shape, kernel: Shape, stride: Shape, dilation: Shape, ceil: bool
) -> tuple[Border, tuple[int, int]]:
    """Zeros above, left, below and right; and what windows stand over below and right (ceil_mode)."""
    mode = op.text("auto_pad", "NOTSET")
    pads = op.integers("pads")
    if pads is not None and (len(pads) != 4 or min(pads) < 0):
        op.fail(f"pads {pads} must be four whole numbers from 0 up")
    begin, end, over = [0, 0], [0, 0], [0, 0]
    round_up = bool(ceil and op.integer("ceil_mode", 0))
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        op.fail(f"auto_pad {printable(mode)!r} is not supported")
    if mode != "NOTSET" and (round_up or (pads is not None and any(pads))):
        op.fail(f"auto_pad {mode} together with pads or ceil_mode is not supported")
    for axis in range(2):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        if mode == "NOTSET" and pads is not None:
            begin[axis], end[axis] = pads[axis], pads[2 + axis]
        elif mode.startswith("SAME"):
            total = max((-(-size[axis] // stride[axis]) - 1) * stride[axis] + span - size[axis], 0)
            less, more = total // 2, total - total // 2
            begin[axis], end[axis] = (less, more) if mode == "SAME_UPPER" else (more, less)
        if round_up:
            room = size[axis] + begin[axis] + end[axis] - span
            windows = -(-room // stride[axis])
            # A window that would begin in the padding behind the image is left out.
            if windows * stride[axis] >= size[axis] + begin[axis]:
                windows -= 1
            over[axis] = max(windows * stride[axis] - room, 0)
    return (begin[0], begin[1], end[0], end[1]), (over[0], over[1])


def global_pool(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    """GlobalAveragePool and GlobalMaxPool."""
    x = activation(op, arguments)
    return _over(b, op, x, tuple(range(2, len(dims(x)))), keep=True)


def reduce_axes(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    """ReduceMean and ReduceMax."""
    x = activation(op, arguments)
    # The axes became an input with version 18.
    axes = op.integers("axes") if op.opset < 18 else numbers(op, arguments, 1, "axes")
    if op.opset >= 18 and not axes and op.integer("noop_with_empty_axes", 0):
        return x
    op.ignore("noop_with_empty_axes")
    axes = axes_of(op, axes or tuple(range(len(dims(x)))), len(dims(x)))
    return _over(b, op, x, axes, keep=bool(op.integer("keepdims", 1)))


def _over(b: Builder, op: Operation, x: Activation, axes: tuple[int, ...], keep: bool) -> Activation:
    """Mean or largest value over some axes."""
    if 0 in axes:
        op.fail("would mix different samples of the batch")
    x = b.whole(op, x)
    average = op.kind in ("GlobalAveragePool", "ReduceMean")
    pool = AveragePool2d if average else MaxPool2d
    seen = x.index.shape
    kept = tuple(axis for axis in range(len(seen)) if axis not in axes)
    shape = [1 if axis in axes else n for axis, n in enumerate(seen) if keep or axis not in axes]
    if all(seen[axis] == 1 for axis in axes):
        return x.moved(lambda a: a.reshape(shape))
    if len(x.shape) == 3:
        # Each row: the positions that one result is taken of. All of one channel: global pooling.
        count = math.prod(x.shape[1:])
        rows = x.index.transpose(kept + axes).reshape(-1, math.prod(seen[axis] for axis in axes))
        channels = rows // count
        if rows.shape[1] == count and (channels == channels[:, :1]).all():
            whole = GlobalAveragePool() if average else MaxPool2d(x.shape[1:], x.shape[1:])
            y = b.add(op, whole, x.node)
            return dataclasses.replace(y, index=channels[:, 0].reshape(shape).astype(np.int32))
        found = order_of_axes(x.index[0], x.shape)
        if found is not None and len(axes) == 1 and found[0].index(axes[0] - 1) > 0:
            order = found[0]
            down = order.index(axes[0] - 1) == 1
            kernel = (x.shape[1], 1) if down else (1, x.shape[2])
            y = b.add(op, pool(kernel, kernel), x.node)
            return y.moved(lambda a: a[0].transpose(np.argsort(order)).reshape(shape))
    op.fail(f"is supported over height and width only, not over axes {axes} of an input of shape {dims(x)}")


def pool_windows(b: Builder, op: Operation, arguments: Arguments) -> Activation:
    """AveragePool and MaxPool."""
    x = activation(op, arguments)
    kernel = op.integers("kernel_shape")
    if kernel is None or len(kernel) != 2 or min(kernel) < 1 or len(dims(x)) != 4:
        op.fail(f"only pooling over height and width is supported, kernel {kernel}, input {dims(x)}")
    stride, dilation = pair(op, "strides"), pair(op, "dilations")
    if dilation != (1, 1):
        op.fail(f"dilations {dilation} are not supported in pooling")
    x = b.settle(op, x)
    average = op.kind == "AveragePool"
    padding, over = padding_of(op, dims(x)[2:], kernel, stride, dilation, ceil=True)
    if len(x.shape) == 1:
        # One pixel, held as a vector.
        if not any(padding) and not any(over) and dims(x)[2:] == kernel == (1, 1):
            return x
        op.fail(f"pooling of an image of one pixel with kernel {kernel} is not supported")
    x, border = b.image(op, x)
    top, left, bottom, right = borders(border, padding)
    bottom, right = bottom + over[0], right + over[1]
    if not average:
        op.integer("storage_order", 0)
        node = b.nodes.get(x.node)
        if any(border) and not (node and isinstance(node.layer, ReLU | ReLU6 | Sigmoid)):
            op.fail("largest values of an image that Pad put zeros around are supported only after a ReLU")
        return b.add(op, checked(op, MaxPool2d, kernel, stride, (top, left, bottom, right)), x.node)
    counted = bool(op.integer("count_include_pad", 0))
    if any(border):
        if (any(padding) and not counted) or any(over):
            op.fail("a mean that counts the zeros of Pad but not its own padding is not supported")
        counted = True
    elif any(over):
        if any(padding) and counted:
            op.fail("ceil_mode together with count_include_pad and padding is not supported")
        counted = False
    if kernel == x.shape[1:] and not any((top, left, bottom, right)):
        y = b.add(op, GlobalAveragePool(), x.node)
        return y.moved(lambda a: a.reshape(*a.shape, 1, 1))
    return b.add(op, checked(op, AveragePool2d, kernel, stride, (top, left, bottom, right), counted), x.node)
