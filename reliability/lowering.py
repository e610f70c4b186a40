"""From the network's graph to the kernels' operations on buffers of activations.

Every activation is an image, [row][column][channel] with several inputs side by side in a vector; a vector
of features is an image of one pixel. A fully connected layer is a convolution whose kernel is the whole
image. What follows a layer with weights digitally (batch norm, a sum with a shortcut, an activation) is
computed with its column sums where nothing else needs what lies between. What does not differ
between compensations (the first layer's sums) is computed once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reliability.errors import UserError
from reliability.kernels import layout
from reliability.kernels.simd import VECTOR, VECTORS
from reliability.layers import (
    Add,
    AveragePool2d,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool2d,
    PadChannels,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
    Subsample,
    Tanh,
)
from reliability.network import INPUT, Network, Node

_ACTIVATIONS = {
    ReLU: layout.RELU,
    ReLU6: layout.RELU6,
    Sigmoid: layout.SIGMOID,
    Tanh: layout.TANH,
}
# Rows of several blocks of inputs that stay in the first cache while all columns pass over them.
_CACHED_ROWS = 128
Geometry = tuple[tuple[int, int, int], tuple[int, int, int, int], bool, tuple[int, int]]


@dataclass
class Value:
    """Where a node's output stands: a buffer, its image, and whether compensations differ in it."""

    buffer: int
    shape: tuple[int, int, int]  # channels, height, width
    varies: bool


@dataclass
class Window:
    """How a layer with weights reads its source: the unrolled matrix, row by row."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    channels: int  # of one group


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape as channels, height and width."""
    if len(shape) == 1:
        return shape[0], 1, 1
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    raise UserError(f"activations of shape {shape} are neither vectors nor images")


def window_of(layer: Linear | Conv2d, source: tuple[int, int, int]) -> Window:
    """How a layer with weights reads images of shape ``source``."""
    if isinstance(layer, Conv2d):
        channels = layer.weight.shape[1]
        kernel = (layer.weight.shape[2], layer.weight.shape[3])
        return Window(kernel, layer.stride, layer.padding, layer.dilation, layer.groups, channels)
    return Window(source[1:], (1, 1), (0, 0, 0, 0), (1, 1), 1, source[0])


def unrolled(layer: Linear | Conv2d, source: tuple[int, int, int]) -> np.ndarray:
    """The matrix that a crossbar holds: columns x rows, rows in the order (y, x, channel)."""
    if isinstance(layer, Conv2d):
        return layer.weight.transpose(0, 2, 3, 1).reshape(len(layer.weight), -1)
    return layer.weight.reshape(-1, *source).transpose(0, 2, 3, 1).reshape(len(layer.weight), -1)


def source_shapes(network: Network) -> dict[str, tuple[int, int, int]]:
    """The image that each layer with weights reads, by node name; a flattened image stays an image."""
    images = {INPUT: image_shape(network.input_shape)}
    sources = {}
    for node in network.nodes:
        if isinstance(node.layer, Flatten | Softmax):
            images[node.name] = images[node.inputs[0]]
        else:
            images[node.name] = image_shape(network.shapes[node.name])
        if isinstance(node.layer, Linear | Conv2d):
            sources[node.name] = images[node.inputs[0]]
    return sources


@dataclass
class End:
    """The digital end of a layer with weights, or a batch norm behind something else.

    Attributes
    ----------
    at : int
        Of its first channel in the coefficients.
    layer : str or None
        The layer with weights.
    bias : ndarray
        What is added digitally before any batch norm.
    norm : BatchNorm or None
        The first batch norm.
    after : (ndarray, ndarray)
        Factor and offset of those behind it.
    factors : ndarray
        What the columns' sums are multiplied by before all that.
    operation : int
        By which operation it is computed.
    """

    at: int
    layer: str | None
    bias: np.ndarray
    norm: BatchNorm | None
    after: tuple[np.ndarray, np.ndarray]
    factors: np.ndarray
    operation: int


@dataclass
class Held:
    """What the lowering needs to know of how a layer with weights is held."""

    tile_rows: int
    bias_row: bool
    lines: int
    pulses: int
    converts: bool  # whether its inputs go through a DAC
    factors: np.ndarray  # of its columns, applied digitally


class Graph:
    """Operations on buffers of activations that compute a network.

    Attributes
    ----------
    operations, buffers, tiles : list of tuple
        Records of ``layout.OPERATION``, ``layout.BUFFER`` and ``layout.TILE``.
    offsets, runs : list of int
        Segments of rows.
    scales, shifts : list of ndarray
        Coefficients of the digital ends.
    ends : list of End
        Of all layers with weights, and of batch norms whose inputs chips change.
    windows : dict of str to (int, int)
        First tile and number of tiles of each layer with weights.
    on_inputs : set of str
        Layers with weights that read the network's own inputs.
    group : int
        Blocks of inputs that go through the network together.
    size, sums, converted, squares, noise : int
        Floats of the workspace's arrays.
    skipped : int
        Coefficients before those of the first digital end.

    Parameters
    ----------
    network : Network
    held : dict of str to Held
    variants : int
    apart : bool
        Whether variants have weights of their own.
    blocks : int, optional
        Take so many blocks of inputs through the network together, with the column sums of a layer in a
        buffer of their own, for who looks at them before their digital end.
    """

    def __init__(
        self,
        network: Network,
        held: dict[str, Held],
        variants: int,
        apart: bool,
        blocks: int | None = None,
    ) -> None:
        self.network, self.held, self.variants, self.apart = network, held, variants, apart
        self.stops = blocks is not None
        self.layer_names = list(held)
        self.operations: list[tuple] = []
        self.buffers: list[tuple] = []
        self.tiles: list[tuple[int, int, int, int]] = []
        self.offsets: list[int] = []
        self.runs: list[int] = []
        self.scales: list[np.ndarray] = []
        self.shifts: list[np.ndarray] = []
        self.ends: list[End] = []
        self.windows: dict[str, tuple[int, int]] = {}
        self.on_inputs: set[str] = set()
        self.size = self.sums = self.converted = self.squares = self.noise = 0
        self._coefficients = 0
        self._free: dict[Geometry, list[int]] = {}
        self._geometry: dict[int, Geometry] = {}
        self._uses: dict[int, int] = {}
        self._find_users()
        wide = any(
            isinstance(node.layer, Conv2d) and network.shapes[node.name][2] > 1 for node in network.nodes
        )
        # Vectors are filled by neighbouring places of a convolution, or else by neighbouring inputs.
        self.group = blocks or (1 if wide else VECTORS)
        self._cuts = not wide
        self.values: dict[str, Value] = {}
        shape = image_shape(network.input_shape)
        self.input_padding = self._padding_of(INPUT)
        self.values[INPUT] = Value(self._add_buffer(shape, False, self.input_padding), shape, False)
        # The inputs' buffer lives in an array of its own.
        self.size = 0
        self._uses[0] = len(network.nodes) + 1
        if self.stops:
            # Sums that wait for their digital end have one that does nothing.
            widest = max(len(node.layer.weight) for node in network.weighted)  # type: ignore[union-attr]
            self._add_coefficients(np.ones(widest), np.zeros(widest))
        self.skipped = self._coefficients
        fused: set[str] = set()
        for node in network.nodes:
            if node.name not in fused:
                self._lower(node, fused)
        logits = self.values[network.nodes[-1].name]
        if not self.operations or logits.buffer != self.operations[-1][4] or logits.shape[1:] != (1, 1):
            raise UserError(f"network {network.name!r} must compute a vector of logits from its inputs")

    def coefficients_of(self, layer: str) -> int:
        """Where the coefficients of a layer with weights start."""
        return next(end.at for end in self.ends if end.layer == layer)

    def _find_users(self) -> None:
        self.users: dict[str, list[Node]] = {}
        for node in self.network.nodes:
            for name in node.inputs:
                self.users.setdefault(name, []).append(node)

    def _lower(self, node: Node, fused: set[str]) -> None:
        layer = node.layer
        sources = [self.values[name] for name in node.inputs]
        if isinstance(layer, Flatten):
            # The pixels stay where they are; a fully connected layer's rows follow them.
            self.values[node.name] = Value(sources[0].buffer, sources[0].shape, sources[0].varies)
            self._uses[sources[0].buffer] += len(self.users.get(node.name, [])) - 1
            return
        if isinstance(layer, Softmax):
            if node is not self.network.nodes[-1]:
                raise UserError(f"node {node.name!r}: softmax can only end a network")
            self.values[node.name] = sources[0]
            return
        if isinstance(layer, Linear | Conv2d):
            self._lower_weights(node, layer, sources[0], fused)
        elif isinstance(layer, BatchNorm | Add) or type(layer) in _ACTIVATIONS:
            self._lower_elementwise(node, sources, fused)
        elif isinstance(layer, Concat | PadChannels | Subsample):
            self._lower_copy(node, layer, sources)
        elif isinstance(layer, MaxPool2d | AveragePool2d | GlobalAveragePool):
            self._lower_pool(node, layer, sources[0])
        else:
            raise UserError(f"node {node.name!r}: a chip cannot run a {layer.kind} layer")

    def _lower_weights(self, node: Node, layer: Linear | Conv2d, source: Value, fused: set[str]) -> None:
        network, held = self.network, self.held[node.name]
        window = window_of(layer, source.shape)
        scale = held.factors
        bias = layer.bias if layer.bias is not None and not held.bias_row else None
        shift = np.zeros(len(scale)) if bias is None else bias.astype(np.float64)
        own_bias, norm, after = shift, None, (np.ones(len(scale)), np.zeros(len(scale)))
        last, chain = node, [node]
        while (follower := self._only_user(last)) is not None and isinstance(follower.layer, BatchNorm):
            factor, offset = follower.layer.factor, follower.layer.offset
            scale, shift = scale * factor, shift * factor + offset
            if norm is None:
                norm = follower.layer
            else:
                after = (after[0] * factor, after[1] * factor + offset)
            last = follower
            chain.append(last)
        other, last = self._fuse_add(last, chain)
        activation, last = self._fuse_activation(last, chain)
        fused |= {n.name for n in chain[1:]}
        shape = image_shape(network.shapes[node.name])
        target = self._in_place_of(other, last.name, shape) or self._new_value(last.name, shape, True)
        self.windows[node.name] = self._add_tiles(node.name, window, source)
        number, at = self.layer_names.index(node.name), self._add_coefficients(scale, shift)
        end = {
            "other": -1 if other is None else other.buffer,
            "target": target.buffer,
            "coefficients_at": at,
            "activation": activation,
        }
        sums = self._new_value(f"{node.name} sums", shape, True) if self.stops else target
        self._append(
            kind=layout.LAYERED,
            layer=number,
            source=source.buffer,
            variants=self.variants,
            # Variants with weights of their own have sums of their own.
            shared=int(not source.varies and not self.apart),
            **(end if not self.stops else {"target": sums.buffer}),
            kernel_height=window.kernel[0],
            kernel_width=window.kernel[1],
            stride_height=window.stride[0],
            stride_width=window.stride[1],
            top=window.padding[0],
            left=window.padding[1],
        )
        if self.stops:
            behind = {"layer": number, "source": sums.buffer, "variants": self.variants}
            self._append(kind=layout.AFFINE, **behind, **end)
            self._release([sums])
        self.ends.append(End(at, node.name, own_bias, norm, after, held.factors, len(self.operations) - 1))
        places = self.group if shape[1:] == (1, 1) else shape[2]
        self.sums = max(self.sums, places * held.lines * VECTOR)
        self.noise = max(self.noise, (places * held.lines + 4) * VECTOR)
        pulses = held.pulses * self.group * self.buffers[source.buffer][2]
        self.squares = max(self.squares, pulses)
        if source.buffer == layout.INPUTS:
            self.on_inputs.add(node.name)
        elif held.converts:
            self.converted = max(self.converted, pulses)
        self._release([source, *([other] if other else [])])

    def _lower_elementwise(self, node: Node, sources: list[Value], fused: set[str]) -> None:
        layer, chain, last = node.layer, [node], node
        channels = sources[0].shape[0]
        scale, shift, activation = np.ones(channels), np.zeros(channels), layout.NONE
        other = sources[1] if isinstance(layer, Add) else None
        if isinstance(layer, BatchNorm):
            scale, shift = layer.factor, layer.offset
            other, last = self._fuse_add(last, chain)
        if type(layer) in _ACTIVATIONS:
            activation = _ACTIVATIONS[type(layer)]
        else:
            activation, last = self._fuse_activation(last, chain)
        fused |= {n.name for n in chain[1:]}
        if len(scale) != channels:
            raise UserError(f"node {node.name!r}: a flattened image can only go into a linear layer")
        varies = sources[0].varies or (other is not None and other.varies)
        target = self._new_value(last.name, sources[0].shape, varies)
        at = self._add_coefficients(scale, shift)
        self._append(
            kind=layout.AFFINE,
            source=sources[0].buffer,
            other=-1 if other is None else other.buffer,
            target=target.buffer,
            variants=self.variants if varies else 1,
            coefficients_at=at,
            activation=activation,
        )
        if isinstance(layer, BatchNorm) and sources[0].varies:
            none = np.zeros(channels)
            self.ends.append(End(at, None, none, layer, (none + 1, none), none + 1, len(self.operations) - 1))
        self._release([sources[0], *([other] if other else [])])

    def _lower_copy(self, node: Node, layer: Concat | PadChannels | Subsample, sources: list[Value]) -> None:
        if isinstance(layer, Concat) and len({s.shape[1:] for s in sources}) != 1:
            raise UserError(f"node {node.name!r}: flattened images cannot be put side by side")
        channels = sum(s.shape[0] for s in sources)
        step, first, zeros = (1, 1), 0, (0, 0)
        shape = (channels, *sources[0].shape[1:])
        if isinstance(layer, PadChannels):
            first, zeros = layer.before, (layer.before, layer.after)
            shape = (layer.before + channels + layer.after, *shape[1:])
        elif isinstance(layer, Subsample):
            step = layer.step
            shape = image_shape(self.network.shapes[node.name])
        varies = any(s.varies for s in sources)
        target = self._new_value(node.name, shape, varies, zeros)
        for source in sources:
            self._append(
                kind=layout.COPY,
                source=source.buffer,
                target=target.buffer,
                variants=self.variants if varies else 1,
                stride_height=step[0],
                stride_width=step[1],
                channel=first,
            )
            first += source.shape[0]
        self._release(sources)

    def _lower_pool(
        self, node: Node, layer: MaxPool2d | AveragePool2d | GlobalAveragePool, source: Value
    ) -> None:
        if isinstance(layer, GlobalAveragePool):
            kernel, stride, padding, counted = source.shape[1:], (1, 1), (0, 0, 0, 0), True
        else:
            kernel, stride, padding = layer.kernel, layer.stride, layer.padding
            counted = isinstance(layer, AveragePool2d) and layer.count_padding
        target = self._new_value(node.name, image_shape(self.network.shapes[node.name]), source.varies)
        self._append(
            kind=layout.MAX_POOL if isinstance(layer, MaxPool2d) else layout.AVERAGE_POOL,
            source=source.buffer,
            target=target.buffer,
            variants=self.variants if source.varies else 1,
            kernel_height=kernel[0],
            kernel_width=kernel[1],
            stride_height=stride[0],
            stride_width=stride[1],
            top=padding[0],
            left=padding[1],
            count_padding=int(counted),
        )
        self._release([source])

    def _only_user(self, node: Node) -> Node | None:
        users = self.users.get(node.name, [])
        return users[0] if len(users) == 1 else None

    def _fuse_add(self, last: Node, chain: list[Node]) -> tuple[Value | None, Node]:
        """The sum that alone follows, if its other input is there already."""
        follower = self._only_user(last)
        if follower is None or not isinstance(follower.layer, Add):
            return None, last
        others = [name for name in follower.inputs if name != last.name]
        if len(others) != 1 or others[0] not in self.values:
            return None, last
        chain.append(follower)
        return self.values[others[0]], follower

    def _fuse_activation(self, last: Node, chain: list[Node]) -> tuple[int, Node]:
        follower = self._only_user(last)
        if follower is None or type(follower.layer) not in _ACTIVATIONS:
            return layout.NONE, last
        chain.append(follower)
        return _ACTIVATIONS[type(follower.layer)], follower

    def _padding_of(self, name: str) -> tuple[int, int, int, int]:
        """The widest border of zeros that the convolutions behind a node need."""
        widest = [0, 0, 0, 0]
        for user in self.users.get(name, []):
            if isinstance(user.layer, Conv2d):
                widest = [max(a, b) for a, b in zip(widest, user.layer.padding, strict=True)]
        return widest[0], widest[1], widest[2], widest[3]

    def _new_value(
        self, name: str, shape: tuple[int, int, int], varies: bool, zeros: tuple[int, int] = (0, 0)
    ) -> Value:
        padding = self._padding_of(name)
        geometry = (shape, padding, varies, zeros)
        free = self._free.get(geometry, [])
        # A buffer is met again only by one of its own shape, so that its borders, and the first and last
        # channels that ``zeros`` says are never written, stay zero.
        buffer = free.pop() if free else self._add_buffer(shape, varies, padding)
        self._geometry[buffer] = geometry
        self._uses[buffer] = max(len(self.users.get(name, [])), 1)
        if name == self.network.nodes[-1].name:
            self._uses[buffer] += 1
        value = Value(buffer, shape, varies)
        self.values[name] = value
        return value

    def _in_place_of(self, other: Value | None, name: str, shape: tuple[int, int, int]) -> Value | None:
        """A sum in place of what is added, where that has no other use: one buffer less in the cache."""
        if other is None or other.buffer == layout.INPUTS or self._uses[other.buffer] != 1:
            return None
        if self._geometry[other.buffer] != (shape, self._padding_of(name), True, (0, 0)):
            return None
        self._uses[other.buffer] += max(len(self.users.get(name, [])), 1)
        if name == self.network.nodes[-1].name:
            self._uses[other.buffer] += 1
        value = Value(other.buffer, shape, True)
        self.values[name] = value
        return value

    def _add_buffer(
        self, shape: tuple[int, int, int], varies: bool, padding: tuple[int, int, int, int]
    ) -> int:
        channels, height, width = shape
        top, left, bottom, right = padding
        row_step = (left + width + right) * channels * VECTOR
        block_step = (top + height + bottom) * row_step
        border = top * row_step + left * channels * VECTOR
        variant_step = self.group * block_step if varies else 0
        self.buffers.append(
            (self.size + border, variant_step, block_step, row_step, border, height, width, channels)
        )
        self.size += self.group * block_step * (self.variants if varies else 1)
        return len(self.buffers) - 1

    def _release(self, values: list[Value]) -> None:
        for value in values:
            self._uses[value.buffer] -= 1
            if self._uses[value.buffer] == 0:
                self._free.setdefault(self._geometry[value.buffer], []).append(value.buffer)

    def _add_coefficients(self, scale: np.ndarray, shift: np.ndarray) -> int:
        at = self._coefficients
        self.scales.append(scale)
        self.shifts.append(shift)
        self._coefficients += len(scale)
        return at

    def _add_tiles(self, name: str, window: Window, source: Value) -> tuple[int, int]:
        """Cut the rows of a layer's matrix into tiles, and each tile's rows into segments."""
        row_step = self.buffers[source.buffer][3]
        pixel = source.shape[0] * VECTOR
        height, width = window.kernel
        whole_pixels = window.groups == 1 and window.dilation[1] == 1
        if whole_pixels:
            length = width * window.channels
            pieces = [(ky * window.dilation[0] * row_step, length) for ky in range(height)]
        else:
            pieces = [
                (ky * window.dilation[0] * row_step + kx * window.dilation[1] * pixel, window.channels)
                for ky in range(height)
                for kx in range(width)
            ]
        pieces = _joined(pieces)
        total = sum(run for _, run in pieces)
        first_tile = len(self.tiles)
        for row in range(0, total, self.held[name].tile_rows):
            end = min(row + self.held[name].tile_rows, total)
            step = _CACHED_ROWS if self._cuts else end - row
            for first in range(row, end, step):
                segment = len(self.offsets)
                for offset, run in _part(pieces, first, min(first + step, end)):
                    self.offsets.append(offset)
                    self.runs.append(run)
                self.tiles.append((first, int(first > row), segment, len(self.offsets) - segment))
        return first_tile, len(self.tiles) - first_tile

    def _append(self, **fields: int) -> None:
        record = dict.fromkeys(layout.OPERATION.names or (), 0) | {"other": -1} | fields
        self.operations.append(tuple(record[name] for name in layout.OPERATION.names or ()))


def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring pieces that follow each other in memory as one."""
    joined = [pieces[0]]
    for offset, run in pieces[1:]:
        last_offset, last_run = joined[-1]
        if last_offset + last_run * VECTOR == offset:
            joined[-1] = (last_offset, last_run + run)
        else:
            joined.append((offset, run))
    return joined


def _part(pieces: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Rows ``first`` to ``last - 1`` of the pieces."""
    part, row = [], 0
    for offset, run in pieces:
        low, high = max(first, row), min(last, row + run)
        if low < high:
            part.append((offset + (low - row) * VECTOR, high - low))
        row += run
    return part
