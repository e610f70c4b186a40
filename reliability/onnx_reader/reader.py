"""An ONNX file as a network: one walk over its nodes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from reliability.errors import UserError
from reliability.network import INPUT, Network, Node, Preprocessing
from reliability.onnx_reader import constants
from reliability.onnx_reader.activation import MOST_NUMBERS, Activation
from reliability.onnx_reader.arguments import Value, dims
from reliability.onnx_reader.builder import Builder
from reliability.onnx_reader.moves import CUTS, MOVES
from reliability.onnx_reader.operation import ANY_BATCH, Operation, printable
from reliability.onnx_reader.operators import OPERATORS
from reliability.onnx_reader.tensor import MOST_BYTES, array_of

OLDEST_OPSET = 13
"""Before it, axes and other options stood elsewhere."""

# What a damaged file can raise in NumPy and in protobuf.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def read_onnx(path: str | Path) -> Network:
    """The network in an ONNX file.

    Read are classifiers of one input and one output as PyTorch's exporters (TorchScript-based and
    dynamo-based) and Keras's write them, standard operators of version 13 and later. The network takes images
    channels first, also where the file takes them channels last.

    ONNX has no place for the preprocessing of raw inputs: it is read from the file's metadata entries
    ``reliability.scale``, ``reliability.mean`` and ``reliability.std`` (JSON: a number, and numbers or lists
    of numbers) where they are present; set it with ``dataclasses.replace(network, preprocessing=...)``
    where not.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Network

    Raises
    ------
    UserError
        If the file cannot be read, or holds what no layer of this program does: the sentence names the node
        and its operator.
    """
    path = Path(path)
    where = f"ONNX file {path}"
    if not path.is_file():
        raise UserError(f"{where} does not exist" if not path.exists() else f"{where} is not a file")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{where} has {path.stat().st_size} bytes, more than the {MOST_BYTES} read here")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error}") from None
    return network_of(content, where=where, name=path.stem, about=f"from {path.name}", folder=path.parent)


def network_of(content: bytes, *, where: str, name: str, about: str, folder: Path | None) -> Network:
    """The network in the content of an ONNX file.

    Parameters
    ----------
    content : bytes
    where : str
        What error messages call the file.
    name, about : str
        The network's.
    folder : Path or None
        Where arrays that are stored beside the file are read from.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise UserError(
            f"{where} needs the package onnx: install it with 'pip install crossbar-reliability[onnx]'"
        ) from None
    try:
        return _Reader(onnx.load_model_from_string(content), onnx, folder).network(name, about)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except DecodeError:
        raise UserError(f"{where} is damaged or not an ONNX file") from None
    except _DAMAGE as error:
        raise UserError(f"{where} cannot be read: {_first_line(error)}") from None


class _Reader:
    """One walk over a graph: every tensor of it is a constant, or an activation of the growing network."""

    def __init__(self, model: Any, onnx: Any, folder: Path | None) -> None:
        self.model, self.graph, self.folder = model, model.graph, folder
        self.opset = _opset(model, onnx.defs.onnx_opset_version())
        self.values: dict[str, Value] = {}
        for tensor in self.graph.initializer:
            if tensor.name in self.values:
                raise UserError(f"two arrays are named {printable(tensor.name)!r}")
            self.values[tensor.name] = array_of(tensor, folder)
        if len(self.graph.sparse_initializer):
            raise UserError("sparse arrays are not supported")
        if len(self.graph.output) != 1:
            raise UserError(f"has {len(self.graph.output)} outputs, networks with one are supported")
        self.output = self.graph.output[0].name
        self.nodes = self._live()
        # How often each tensor is still to be taken: so that what nobody needs any more is let go.
        self.left = Counter(name for node in self.nodes for name in node.input)
        self.left[self.output] += 1

    def network(self, name: str, about: str) -> Network:
        """Walk the graph."""
        if len(self.model.training_info):
            raise UserError("holds training information, only networks for inference are supported")
        source, shape, batch = self._input()
        last_axis = len(shape) == 3 and self._channels_last(source, shape)
        # Rows and columns without channels are an image of one channel.
        own = (1, *shape) if len(shape) == 2 else shape
        if last_axis:
            own = (shape[2], shape[0], shape[1])
            about += "; the file takes its inputs channels last, the network channels first"
        self.builder = Builder(own, batch, self._alone)
        x = self.builder.input()
        self.values[source] = x.moved(
            (lambda a: a.transpose(0, 2, 3, 1)) if last_axis else (lambda a: a.reshape(1, *shape))
        )
        end = None
        for node in self.nodes:
            op = Operation(node, self.opset, last=self.output in node.output and self.left[self.output] == 1)
            try:
                self._step(op)
            except UserError:
                raise
            except _DAMAGE as error:
                op.fail(f"is damaged or not as the standard says: {_first_line(error)}")
            if self.output in op.outputs:
                end = op
        logits = self.values.get(self.output)
        if end is None or not isinstance(logits, Activation):
            raise UserError(f"its output {printable(self.output)!r} does not depend on its input")
        logits = self.builder.vector(end, logits)
        if not logits.ordered:
            end.fail("the network's outputs are not in the order of its last layer's")
        self._check_declared(logits.shape[0])
        nodes = _needed(list(self.builder.nodes.values()), logits.node)
        return Network(nodes, own, self._preprocessing(), name, about)

    def _live(self) -> list[Any]:
        """The nodes that the output depends on, in the file's order."""
        needed, nodes = {self.output}, []
        for node in reversed(self.graph.node):
            if any(name in needed for name in node.output if name):
                needed.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    def _input(self) -> tuple[str, tuple[int, ...], int]:
        """Name, shape of one input, and length of the batch."""
        inputs = [value for value in self.graph.input if value.name not in self.values]
        if len(inputs) != 1:
            names = ", ".join(repr(printable(value.name)) for value in inputs[:4]) or "none"
            raise UserError(f"has {len(inputs)} inputs ({names}), networks with one are supported")
        name, kind = printable(inputs[0].name), inputs[0].type.tensor_type
        if inputs[0].type.WhichOneof("value") != "tensor_type" or kind.elem_type != 1:
            raise UserError(f"input {name!r} is not an array of float32, which is the only type supported")
        if not kind.HasField("shape"):
            raise UserError(
                f"input {name!r} has no shape: export the network with a fixed size of its inputs"
            )
        axes = kind.shape.dim
        for place, axis in enumerate(axes):
            if place and axis.dim_value < 1:
                raise UserError(
                    f"input {name!r} has the dynamic length {printable(axis.dim_param) or '?'!r} on axis "
                    f"{place}: export the network with a fixed size of its inputs, only the batch may vary"
                )
        shape = tuple(int(axis.dim_value) for axis in axes[1:])
        count = 1
        for length in shape:
            count *= length
        if not 1 <= len(shape) <= 3 or count > MOST_NUMBERS:
            raise UserError(
                f"input {name!r} has shape {shape}, vectors and images of usual size are supported"
            )
        batch = int(axes[0].dim_value)
        return inputs[0].name, shape, batch if batch > 0 else ANY_BATCH

    def _channels_last(self, source: str, shape: tuple[int, ...]) -> bool:
        """Whether the input's images are channels last: it is transposed, or has few planes only then."""
        through = {source}
        vectors = True
        for node in self.nodes:
            if not any(name in through for name in node.input) or node.op_type == "Shape":
                continue
            if node.op_type == "Transpose":
                orders = [tuple(a.ints) for a in node.attribute if a.name == "perm"]
                return orders == [(0, 3, 1, 2)]
            if node.op_type in ("Add", "BatchNormalization", "Cast", "Div", "Identity", "Mul", "Pad", "Sub"):
                through.update(node.output)
            elif node.op_type not in ("Flatten", "MatMul", "Reshape"):
                vectors = False
        return vectors and shape[2] in (1, 3, 4) and shape[0] > 4

    def _step(self, op: Operation) -> None:
        """Compute a node's results."""
        arguments: list[Value | None] = []
        for name in op.inputs:
            if name and name not in self.values:
                op.fail(f"takes {printable(name)!r}, which no node before it gives")
            arguments.append(self.values[name] if name else None)
        while arguments and arguments[-1] is None:
            arguments.pop()
        results = self._results(op, arguments)
        op.check_all_read()
        for name in op.inputs:
            self.left[name] -= 1
            if name and self.left[name] == 0:
                self.values.pop(name, None)
        for place, name in enumerate(op.outputs):
            if not name:
                continue
            if name in self.values:
                op.fail(f"gives {printable(name)!r}, which is there already")
            if place < len(results):
                self.values[name] = results[place]
            elif self.left[name]:
                op.fail(f"its output {place + 1} is taken, which is not supported")

    def _results(self, op: Operation, arguments: list[Value | None]) -> list[Value]:
        fixed = [a for a in arguments if not isinstance(a, Activation)]
        known = len(fixed) == len(arguments)
        if op.kind == "Constant":
            return [constants.constant(op, self.folder)]
        if op.kind == "Shape" and len(arguments) == 1 and arguments[0] is not None:
            shape = dims(arguments[0])
            start, end = op.integer("start", 0), op.integer("end", len(shape))
            return [np.array(shape[start:end], np.int64)]
        if op.kind == "ConstantOfShape" and known and len(fixed) == 1 and fixed[0] is not None:
            if fixed[0].dtype.kind != "i" or fixed[0].size > 8:
                op.fail("its shape must be a list of whole numbers")
            return [constants.filled(op, tuple(int(n) for n in fixed[0].reshape(-1)), self.folder)]
        if not known and op.kind not in CUTS:
            arguments = self._settled(op, arguments)
        if op.kind in MOVES:
            return list(MOVES[op.kind](op, arguments))
        if known:
            if op.kind == "Concat" and all(a is not None and a.size <= MOST_NUMBERS for a in fixed):
                return [np.concatenate([a for a in fixed if a is not None], op.integer("axis", 0))]
            value = constants.evaluate(op, fixed)
            if value is None:
                op.fail("this operator is not supported for constants")
            return [value]
        if op.kind not in OPERATORS:
            op.fail("this operator is not supported")
        make, fewest, most = OPERATORS[op.kind]
        if not fewest <= len(arguments) <= most:
            op.fail(f"has {len(arguments)} inputs, which the standard does not allow")
        return [make(self.builder, op, arguments)]

    def _settled(self, op: Operation, arguments: list[Value | None]) -> list[Value | None]:
        """The arguments after layers that skip rows and add channels; for whoever takes them next too."""
        result = list(arguments)
        for place, name in enumerate(op.inputs[: len(arguments)]):
            value = self.values.get(name)
            if isinstance(value, Activation):
                # Again, if an input is given twice: a settled one stays as it is.
                result[place] = self.values[name] = self.builder.settle(op, value)
        return result

    def _alone(self, x: Activation) -> bool:
        """Whether only the operation at hand takes an activation's node: then its layer may still change."""
        names = [n for n, v in self.values.items() if isinstance(v, Activation) and v.node == x.node]
        return len(names) == 1 and self.left[names[0]] == 1 and self.builder.takers(x.node) == 0

    def _check_declared(self, classes: int) -> None:
        """Compare the outputs with what the file says about them."""
        kind = self.graph.output[0].type.tensor_type
        declared = 1
        for axis in kind.shape.dim[1:]:
            declared *= int(axis.dim_value)
        if kind.HasField("shape") and declared > 0 and declared != classes:
            raise UserError(
                f"its output {printable(self.output)!r} is declared with {declared} numbers for each input, "
                f"its nodes make {classes}"
            )

    def _preprocessing(self) -> Preprocessing:
        """What the file's metadata say about raw inputs."""
        found: dict[str, Any] = {}
        for entry in self.model.metadata_props:
            field = entry.key.removeprefix("reliability.")
            if entry.key.startswith("reliability.") and field in ("scale", "mean", "std"):
                try:
                    value = json.loads(entry.value)
                except (ValueError, RecursionError):
                    raise UserError(f"its metadata entry {entry.key!r} is not JSON") from None
                many = isinstance(value, list)
                found[field] = value if many or field == "scale" else [value]
        return Preprocessing(**found)


def _opset(model: Any, newest: int) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise UserError("does not say once which version of the standard operators (opset) it uses")
    if versions[0] < OLDEST_OPSET:
        raise UserError(f"has opset {versions[0]}, supported are {OLDEST_OPSET} and later: export it anew")
    if versions[0] > newest:
        raise UserError(
            f"has opset {versions[0]}, the installed package onnx knows up to {newest}: update it"
        )
    return int(versions[0])


def _needed(nodes: list[Node], last: str) -> tuple[Node, ...]:
    """The nodes that the last one depends on; it ends the network."""
    needed, kept = {last}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    if last == INPUT or not kept:
        raise UserError("its output is its input: there is no layer in between")
    return tuple(reversed(kept))


def _first_line(error: Exception) -> str:
    return printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
