"""The layers of a digital network, in plain float32 NumPy.

A layer is a frozen dataclass with two verbs: ``output_shape`` of the shapes of its inputs, and
``forward``. Its array fields are its weights, its other fields are saved as JSON. Images are
channels first, (channels, height, width); a batch of N stands in front.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from reliability.errors import UserError

Shape = tuple[int, ...]


class _Layer:
    """A layer of one input that keeps its shape; most layers change one of these."""

    kind: ClassVar[str]
    takes: ClassVar[tuple[int, int]] = (1, 1)  # fewest and most inputs

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        return shape


@dataclass(frozen=True, eq=False)
class Linear(_Layer):
    """Fully connected layer ``y = x @ weight.T + bias``.

    Parameters
    ----------
    weight : ndarray of float32, shape (outputs, inputs)
    bias : ndarray of float32, shape (outputs,), or None
    """

    kind: ClassVar[str] = "linear"
    weight: np.ndarray
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        _set_array(self, "weight", ndim=2)
        _set_bias(self, len(self.weight))

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if shape != (self.weight.shape[1],):
            raise UserError(
                f"a linear layer with {self.weight.shape[1]} inputs was given inputs of shape {shape}"
            )
        return (self.weight.shape[0],)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, outputs), of inputs, shape (N, inputs)."""
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True, eq=False)
class Conv2d(_Layer):
    """Two-dimensional convolution (cross-correlation, as every framework computes it).

    Parameters
    ----------
    weight : ndarray of float32, shape (outputs, inputs / groups, height, width)
    bias : ndarray of float32, shape (outputs,), or None
    stride, dilation : pair of int
        Along height and width.
    padding : four int
        Zeros above, left, below and right.
    groups : int
        Channels are convolved in so many groups of their own; as many as channels: depthwise.
    """

    kind: ClassVar[str] = "conv2d"
    weight: np.ndarray
    bias: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        _set_array(self, "weight", ndim=4)
        _set_bias(self, len(self.weight))
        _set_whole(self, "stride", 2, 1)
        _set_whole(self, "padding", 4, 0)
        _set_whole(self, "dilation", 2, 1)
        if self.groups < 1 or len(self.weight) % self.groups:
            raise UserError(f"a conv2d layer's {len(self.weight)} outputs do not make {self.groups} groups")

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        channels = self.weight.shape[1] * self.groups
        if len(shape) != 3 or shape[0] != channels:
            raise UserError(
                f"a conv2d layer with {channels} input channels was given inputs of shape {shape}"
            )
        size = _window_counts(self, shape, self.weight.shape[2:], self.stride, self.padding, self.dilation)
        return (len(self.weight), *size)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, outputs, height, width)."""
        views = windows(x, self.weight.shape[2:], self.stride, self.padding, self.dilation, 0.0)
        n, channels, height, width = views.shape[:4]
        outputs, per_group = self.weight.shape[:2]
        each = outputs // self.groups
        y = np.empty((n, height, width, outputs), np.result_type(x, self.weight))
        for g in range(self.groups):
            part = views[:, g * per_group : (g + 1) * per_group] if channels > per_group else views
            rows = part.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
            own = self.weight[g * each : (g + 1) * each].reshape(each, -1)
            y[..., g * each : (g + 1) * each] = (rows @ own.T).reshape(n, height, width, each)
        if self.bias is not None:
            y += self.bias
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2))


@dataclass(frozen=True, eq=False)
class BatchNorm(_Layer):
    """Batch normalisation with fixed statistics, for each channel (the first axis).

    ``y = (x - mean) / sqrt(variance + epsilon) * scale + shift``

    Parameters
    ----------
    scale, shift, mean, variance : ndarray of float32, shape (channels,)
    epsilon : float
    """

    kind: ClassVar[str] = "batch_norm"
    scale: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("scale", "shift", "mean", "variance"):
            _set_array(self, name, ndim=1)
        if len({len(a) for a in (self.scale, self.shift, self.mean, self.variance)}) != 1:
            raise UserError("a batch_norm layer's scale, shift, mean and variance need equal lengths")
        if not (self.variance + self.epsilon > 0).all():
            raise UserError("a batch_norm layer's variance + epsilon must be above 0")

    @property
    def factor(self) -> np.ndarray:
        """What each channel is multiplied by, float64."""
        return self.scale / np.sqrt(self.variance.astype(np.float64) + self.epsilon)

    @property
    def offset(self) -> np.ndarray:
        """What is then added to each channel, float64."""
        return self.shift - self.mean * self.factor

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if shape[0] != len(self.scale):
            raise UserError(
                f"a batch_norm layer for {len(self.scale)} channels was given inputs of shape {shape}"
            )
        return shape

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape of ``x``."""
        shape = (-1,) + (1,) * (x.ndim - 2)
        kind = np.result_type(x, self.scale)
        factor, offset = (a.astype(kind).reshape(shape) for a in (self.factor, self.offset))
        return x * factor + offset


@dataclass(frozen=True, eq=False)
class ReLU(_Layer):
    """Elementwise ``max(x, 0)``."""

    kind: ClassVar[str] = "relu"

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape of ``x``."""
        return np.maximum(x, np.float32(0))


@dataclass(frozen=True, eq=False)
class ReLU6(_Layer):
    """Elementwise ``min(max(x, 0), 6)``."""

    kind: ClassVar[str] = "relu6"

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape of ``x``."""
        return np.clip(x, np.float32(0), np.float32(6))


@dataclass(frozen=True, eq=False)
class Sigmoid(_Layer):
    """Elementwise ``1 / (1 + exp(-x))``."""

    kind: ClassVar[str] = "sigmoid"

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape of ``x``."""
        # Through tanh, which does not overflow.
        half = np.float32(0.5)
        return half * np.tanh(half * x) + half


@dataclass(frozen=True, eq=False)
class Tanh(_Layer):
    """Elementwise hyperbolic tangent."""

    kind: ClassVar[str] = "tanh"

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape of ``x``."""
        return np.tanh(x)


@dataclass(frozen=True, eq=False)
class _Pool(_Layer):
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        _set_whole(self, "kernel", 2, 1)
        _set_whole(self, "stride", 2, 1)
        _set_whole(self, "padding", 4, 0)
        top, left, bottom, right = self.padding
        if max(top, bottom) >= self.kernel[0] or max(left, right) >= self.kernel[1]:
            raise UserError(
                f"a {self.kind} layer's padding {self.padding} must be below its kernel {self.kernel}"
            )

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if len(shape) != 3:
            raise UserError(f"a {self.kind} layer takes images, was given inputs of shape {shape}")
        return (shape[0], *_window_counts(self, shape, self.kernel, self.stride, self.padding, (1, 1)))


@dataclass(frozen=True, eq=False)
class MaxPool2d(_Pool):
    """Largest value of each window; what is padded never wins.

    Parameters
    ----------
    kernel, stride : pair of int
    padding : four int
        Above, left, below and right.
    """

    kind: ClassVar[str] = "max_pool2d"

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, channels, height, width)."""
        views = windows(x, self.kernel, self.stride, self.padding, (1, 1), -np.inf)
        return views.max(axis=(4, 5))


@dataclass(frozen=True, eq=False)
class AveragePool2d(_Pool):
    """Mean of each window.

    Parameters
    ----------
    kernel, stride : pair of int
    padding : four int
        Above, left, below and right.
    count_padding : bool
        Whether padded zeros count in the mean.
    """

    kind: ClassVar[str] = "average_pool2d"
    count_padding: bool = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, channels, height, width)."""
        sums = windows(x, self.kernel, self.stride, self.padding, (1, 1), 0.0).sum(axis=(4, 5))
        if self.count_padding:
            return sums / np.float32(self.kernel[0] * self.kernel[1])
        ones = np.ones((1, 1, *x.shape[2:]), np.float32)
        return sums / windows(ones, self.kernel, self.stride, self.padding, (1, 1), 0.0).sum(axis=(4, 5))


@dataclass(frozen=True, eq=False)
class GlobalAveragePool(_Layer):
    """Mean of each channel: an image becomes a vector."""

    kind: ClassVar[str] = "global_average_pool"

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if len(shape) != 3:
            raise UserError(f"a global_average_pool layer takes images, was given inputs of shape {shape}")
        return (shape[0],)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, channels)."""
        return x.mean(axis=(2, 3))


@dataclass(frozen=True, eq=False)
class Add(_Layer):
    """Sum of two inputs, as of a block and its shortcut."""

    kind: ClassVar[str] = "add"
    takes: ClassVar[tuple[int, int]] = (2, 2)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if shapes[0] != shapes[1]:
            raise UserError(f"an add layer was given inputs of different shapes {shapes[0]} and {shapes[1]}")
        return shapes[0]

    def forward(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Sum, shape of ``x``."""
        return x + y


@dataclass(frozen=True, eq=False)
class Concat(_Layer):
    """Inputs side by side along the channels (the first axis)."""

    kind: ClassVar[str] = "concat"
    takes: ClassVar[tuple[int, int]] = (2, 1 << 16)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if len({shape[1:] for shape in shapes}) != 1:
            raise UserError(f"a concat layer was given inputs of shapes {', '.join(map(str, shapes))}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def forward(self, *x: np.ndarray) -> np.ndarray:
        """All inputs, channels one after the other."""
        return np.concatenate(x, axis=1)


@dataclass(frozen=True, eq=False)
class PadChannels(_Layer):
    """Channels of zeros before and after (the shortcut of ResNet's option A)."""

    kind: ClassVar[str] = "pad_channels"
    before: int = 0
    after: int = 0

    def __post_init__(self) -> None:
        if min(self.before, self.after) < 0:
            raise UserError("a pad_channels layer cannot take channels away")

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        return (self.before + shape[0] + self.after, *shape[1:])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, before + channels + after, ...)."""
        return np.pad(x, [(0, 0), (self.before, self.after), *[(0, 0)] * (x.ndim - 2)])


@dataclass(frozen=True, eq=False)
class Subsample(_Layer):
    """Every ``step``-th row and column of an image."""

    kind: ClassVar[str] = "subsample"
    step: tuple[int, int] = (2, 2)

    def __post_init__(self) -> None:
        _set_whole(self, "step", 2, 1)

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if len(shape) != 3:
            raise UserError(f"a subsample layer takes images, was given inputs of shape {shape}")
        return (shape[0], -(-shape[1] // self.step[0]), -(-shape[2] // self.step[1]))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, channels, height, width)."""
        return x[:, :, :: self.step[0], :: self.step[1]]


@dataclass(frozen=True, eq=False)
class Flatten(_Layer):
    """Each input as one vector, last axis fastest."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        return (int(np.prod(shape)),)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, features)."""
        return x.reshape(len(x), -1)


@dataclass(frozen=True, eq=False)
class Softmax(_Layer):
    """Probabilities over the classes of a vector of logits."""

    kind: ClassVar[str] = "softmax"

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output, from the shapes of its inputs."""
        if len(shape) != 1:
            raise UserError(f"softmax takes a vector of logits, was given inputs of shape {shape}")
        return shape

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, classes)."""
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


Layer = (
    Linear
    | Conv2d
    | BatchNorm
    | ReLU
    | ReLU6
    | Sigmoid
    | Tanh
    | MaxPool2d
    | AveragePool2d
    | GlobalAveragePool
    | Add
    | Concat
    | PadChannels
    | Subsample
    | Flatten
    | Softmax
)
LAYERS: dict[str, type] = {kind.kind: kind for kind in Layer.__args__}


def arrays_of(layer: Layer) -> dict[str, np.ndarray]:
    """The weights of a layer by field name."""
    values = {f.name: getattr(layer, f.name) for f in fields(layer)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def settings_of(layer: Layer) -> dict[str, Any]:
    """What else a layer says, by field name: strides, paddings, whether there is a bias."""
    values = {f.name: getattr(layer, f.name) for f in fields(layer)}
    return {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}


def _set_array(layer: _Layer, name: str, ndim: int) -> None:
    try:
        # A copy: the caller's array stays writable, and a later change to it changes no network.
        array = np.array(getattr(layer, name), np.float32, order="C")
    except (TypeError, ValueError):
        raise UserError(f"a {layer.kind} layer's {name} is not an array of numbers") from None
    if array.ndim != ndim or array.size == 0:
        raise UserError(f"a {layer.kind} layer's {name} needs {ndim} axes, has shape {array.shape}")
    array.setflags(write=False)
    object.__setattr__(layer, name, array)


def _set_bias(layer: Linear | Conv2d, outputs: int) -> None:
    if layer.bias is None:
        return
    _set_array(layer, "bias", ndim=1)
    if len(layer.bias) != outputs:
        raise UserError(f"a {layer.kind} layer's bias has {len(layer.bias)} entries for {outputs} outputs")


def _set_whole(layer: _Layer, name: str, count: int, lowest: int) -> None:
    """Check a field of a few whole numbers; lists, as JSON has them, become tuples."""
    value = getattr(layer, name)
    good = isinstance(value, tuple | list) and len(value) == count
    if not good or not all(isinstance(v, int) and lowest <= v <= 1 << 20 for v in value):
        raise UserError(
            f"a {layer.kind} layer's {name} = {value!r} must be {count} whole numbers from {lowest} up"
        )
    object.__setattr__(layer, name, tuple(value))


def _window_counts(
    layer: _Layer, shape: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Shape:
    """Rows and columns of windows in a padded image."""
    counts = []
    for axis in range(2):
        size = shape[1 + axis] + padding[axis] + padding[2 + axis]
        span = dilation[axis] * (kernel[axis] - 1) + 1
        if size < span:
            raise UserError(f"a {layer.kind} layer's window of {span} exceeds inputs of shape {shape}")
        counts.append((size - span) // stride[axis] + 1)
    return tuple(counts)


def windows(
    x: np.ndarray, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, fill: float
) -> np.ndarray:
    """Views of all windows, shape (N, channels, rows, columns, kernel height, kernel width)."""
    top, left, bottom, right = padding
    if any(padding):
        x = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=np.float32(fill))
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    return views[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
