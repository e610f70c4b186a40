"""The trained digital network: a graph of layers, and its exact forward pass.

A network is an ordered graph of named nodes. Each node applies one layer to the
outputs of earlier nodes; the last node gives the logits (a final softmax is
allowed and changes no decision). Every chip is compared with this network, so
its forward pass is plain float32 NumPy with nothing analog in it.

The layers themselves are in :mod:`reliability.layers`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from reliability.checks import check_kind
from reliability.errors import UserError
from reliability.layers import LAYERS, BatchNorm, Conv2d, Flatten, Layer, Linear, ReLU, Softmax, arrays_of
from reliability.npz import read_npz, write_npz
from reliability.preprocessing import Preprocessing

FORMAT = "reliability-network/1"
INPUT = "input"


@dataclass(frozen=True, eq=False)
class Node:
    """One named application of a layer to the outputs of earlier nodes."""

    name: str
    layer: Layer
    inputs: tuple[str, ...] = (INPUT,)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network: an ordered graph of layers.

    Parameters
    ----------
    nodes : sequence of Node
        In an order in which each node's inputs come before it; the last gives the logits.
    input_shape : tuple of int
        Shape of one input.
    preprocessing : Preprocessing
    name : str
    about : str
        Where the weights come from.

    Raises
    ------
    UserError
        If a name is used twice or unknown, shapes do not fit, or a weight is not finite.
    """

    nodes: tuple[Node, ...]
    input_shape: tuple[int, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    name: str = "network"
    about: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "input_shape", _lengths(self.input_shape))
        check_kind("preprocessing", self.preprocessing, Preprocessing)
        channels = len(self.preprocessing.mean)
        if channels != 1 and (len(self.input_shape) != 3 or channels != self.input_shape[0]):
            raise UserError(
                f"network {self.name!r}: preprocessing for {channels} channels does not fit inputs of shape "
                f"{self.input_shape}"
            )
        shapes: dict[str, tuple[int, ...]] = {INPUT: self.input_shape}
        for node in self.nodes:
            if node.name in shapes:
                raise UserError(f"network {self.name!r}: two nodes are named {node.name!r}")
            unknown = [name for name in node.inputs if name not in shapes]
            if unknown:
                raise UserError(
                    f"network {self.name!r}: node {node.name!r} takes {unknown[0]!r}, "
                    f"which no earlier node gives"
                )
            fewest, most = node.layer.takes
            if not fewest <= len(node.inputs) <= most:
                wanted = "one input" if most == 1 else "two inputs" if most == 2 else "two inputs or more"
                raise UserError(
                    f"network {self.name!r}: node {node.name!r} ({node.layer.kind}) takes {wanted}, "
                    f"is given {len(node.inputs)}"
                )
            for array_name, array in arrays_of(node.layer).items():
                if not np.isfinite(array).all():
                    bad = int(np.size(array) - np.isfinite(array).sum())
                    raise UserError(
                        f"network {self.name!r}: layer {node.name!r} has {bad} of {array.size} "
                        f"{array_name} entries that are not finite numbers"
                    )
            try:
                shapes[node.name] = node.layer.output_shape(*(shapes[name] for name in node.inputs))
            except UserError as error:
                raise UserError(f"network {self.name!r}, node {node.name!r}: {error}") from None
        if not self.nodes or len(shapes[self.nodes[-1].name]) != 1:
            raise UserError(f"network {self.name!r} must end in a vector of logits")
        object.__setattr__(self, "shapes", shapes)

    shapes: dict[str, tuple[int, ...]] = field(init=False, repr=False)

    @property
    def weighted(self) -> tuple[Node, ...]:
        """The nodes whose layers a crossbar can hold, in order."""
        return tuple(node for node in self.nodes if isinstance(node.layer, Linear | Conv2d))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.shapes[self.nodes[-1].name][0]

    @property
    def weights(self) -> int:
        """Number of trained parameters; the statistics of a batch norm are not trained."""
        return sum(
            array.size
            for node in self.nodes
            for name, array in arrays_of(node.layer).items()
            if not (isinstance(node.layer, BatchNorm) and name in ("mean", "variance"))
        )

    @property
    def products_per_input(self) -> int:
        """Multiply-adds of one input in the layers that a crossbar can hold."""
        return sum(
            arrays_of(node.layer)["weight"].size * int(np.prod(self.shapes[node.name][1:]))
            for node in self.weighted
        )

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """Raw inputs as the first layer takes them: float32, shape (N, *input_shape).

        Raises
        ------
        UserError
            If the inputs' size does not fit the network, or an input is not finite.
        """
        x = np.asarray(x)
        # Only a flat input is reshaped: pixels in another order of axes would be taken for others.
        given = tuple(n for n in x.shape[1:] if n != 1)
        wanted = tuple(n for n in self.input_shape if n != 1)
        if x.dtype.kind not in "buif" or x.ndim < 2 or given not in (wanted, (int(np.prod(wanted)),)):
            raise UserError(
                f"network {self.name!r} takes inputs of shape {self.input_shape}, "
                f"the dataset has inputs of shape {x.shape[1:]} ({x.dtype})"
            )
        x = self.preprocessing.apply(x.reshape(len(x), *self.input_shape))
        if not np.isfinite(x).all():
            raise UserError("the dataset has inputs that are not finite numbers")
        return np.ascontiguousarray(x)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Logits of prepared inputs.

        Parameters
        ----------
        x : ndarray of float32, shape (N, *input_shape)
            From :meth:`prepare`.

        Returns
        -------
        ndarray of float32, shape (N, classes)
        """
        last = self.nodes[-1]
        # Softmax keeps the order of the classes; what it is given are the logits.
        return self.activations(x)[last.inputs[0] if isinstance(last.layer, Softmax) else last.name]

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of every node, by name, and the inputs themselves; arguments as :meth:`forward`."""
        values = {INPUT: x}
        for node in self.nodes:
            values[node.name] = node.layer.forward(*(values[name] for name in node.inputs))
        return values

    def save(self, path: str | Path) -> None:
        """Write the network as one NPZ file: its arrays and its graph as JSON (no pickle)."""
        arrays: dict[str, np.ndarray] = {}
        graph: list[dict[str, Any]] = []
        for node in self.nodes:
            own = arrays_of(node.layer)
            arrays |= {f"{node.name}/{name}": array for name, array in own.items()}
            plain = {
                f.name: getattr(node.layer, f.name)
                for f in dataclasses.fields(node.layer)
                if f.name not in own and getattr(node.layer, f.name) is not None
            }
            graph.append(
                {"name": node.name, "kind": node.layer.kind, "inputs": list(node.inputs), "options": plain}
            )
        description = {
            "format": FORMAT,
            "name": self.name,
            "about": self.about,
            "input_shape": self.input_shape,
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "nodes": graph,
        }
        text = json.dumps(description, indent=1).encode()
        write_npz(Path(path), {**arrays, "network": np.frombuffer(text, np.uint8)}, "network file")


def _lengths(input_shape: Any) -> tuple[int, ...]:
    """The shape of one input, checked."""
    lengths = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
    if not lengths or not all(isinstance(n, Integral) and int(n) > 0 for n in lengths):
        raise UserError(
            f"input_shape = {input_shape!r} must be whole lengths above 0, such as (64,) or (1, 28, 28)"
        )
    return tuple(int(n) for n in lengths)


def mlp(
    weights: list[np.ndarray],
    biases: list[np.ndarray | None],
    *,
    input_shape: tuple[int, ...] | None = None,
    preprocessing: Preprocessing | None = None,
    name: str = "mlp",
    about: str = "",
) -> Network:
    """A multilayer perceptron: linear layers ``fc1``, ``fc2``, ... with ReLU between them.

    Parameters
    ----------
    weights : list of ndarray, shapes (outputs, inputs)
    biases : list of ndarray, shapes (outputs,), or None
    input_shape : tuple of int, optional
        Shape of one input where it is not a vector.
    preprocessing : Preprocessing, optional
    name, about : str

    Raises
    ------
    UserError
        If there are no weights, they have not as many biases, or they do not fit each other.
    """
    for what, arrays in (("weights", weights), ("biases", biases)):
        check_kind(what, arrays, list, tuple, np.ndarray)
    if not 0 < len(weights) == len(biases):
        raise UserError(
            f"an mlp takes one matrix of weights or more and as many biases (each an array or None), was "
            f"given {len(weights)} and {len(biases)}"
        )
    layers = [Linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    shape = _lengths(layers[0].weight.shape[1:] if input_shape is None else input_shape)
    nodes = [Node("flatten", Flatten())] if len(shape) != 1 else []
    for i, layer in enumerate(layers, start=1):
        nodes.append(Node(f"fc{i}", layer, (nodes[-1].name if nodes else INPUT,)))
        if i < len(layers):
            nodes.append(Node(f"relu{i}", ReLU(), (f"fc{i}",)))
    own = Preprocessing() if preprocessing is None else preprocessing
    return Network(tuple(nodes), shape, own, name, about)


def fold_batch_norms(network: Network) -> Network:
    """The same network with every batch norm that alone follows a layer with weights folded into it.

    Other batch norms stay as they are.
    """
    users: dict[str, list[Node]] = {}
    for node in network.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    layers = {node.name: node.layer for node in network.nodes}
    renamed: dict[str, str] = {}
    kept = []
    for node in network.nodes:
        source = renamed.get(node.inputs[0], node.inputs[0])
        before = layers.get(source)
        if (
            isinstance(node.layer, BatchNorm)
            and isinstance(before, Linear | Conv2d)
            and len(users[node.inputs[0]]) == 1
        ):
            factor = node.layer.factor.reshape((-1,) + (1,) * (before.weight.ndim - 1))
            bias = 0 if before.bias is None else before.bias
            layers[source] = dataclasses.replace(
                before, weight=before.weight * factor, bias=bias * node.layer.factor + node.layer.offset
            )
            renamed[node.name] = source
        else:
            kept.append(node)
    nodes = tuple(
        Node(node.name, layers[node.name], tuple(renamed.get(name, name) for name in node.inputs))
        for node in kept
    )
    return dataclasses.replace(network, nodes=nodes)


def load_network(name: str | Path) -> Network:
    """A network by its built-in name, from a file that :meth:`Network.save` wrote, or from an ONNX file.

    Parameters
    ----------
    name : str or Path
        ``"digits-mlp"``, ``"mnist-mlp"``, or the path of an NPZ or ONNX file.

    Raises
    ------
    UserError
        If there is no such network or the file cannot be read as one.
    """
    import reliability.data as data

    check_kind("name", name, str, Path)
    path = Path(data.folder() / f"{str(name).replace('-', '_')}.npz")
    if str(name) not in data.NETWORKS:
        path = Path(name)
        if path.suffix == ".onnx":
            from reliability.onnx_reader import read_onnx

            return read_onnx(path)
        if path.suffix != ".npz":
            known = ", ".join(data.NETWORKS)
            raise UserError(
                f"there is no network {str(name)!r}: known are {known}, or a file FILE.npz or FILE.onnx"
            )
    return _read(path)


def _read(path: Path) -> Network:
    arrays = read_npz(path, "network file")
    try:
        if "network" not in arrays:
            raise UserError("has no entry 'network': it was not written by Network.save")
        description = json.loads(arrays.pop("network").tobytes())
        if description["format"] != FORMAT:
            raise UserError(f"format {description['format']!r}, known is {FORMAT!r}")
        nodes = []
        used: set[str] = set()
        # Split at the last slash: a node's name may hold slashes, a field's does not.
        split = {key: key.rpartition("/") for key in arrays}
        for entry in description["nodes"]:
            kind = LAYERS.get(entry["kind"])
            if kind is None:
                raise UserError(f"layer kind {entry['kind']!r} is unknown")
            own = {split[key][2]: a for key, a in arrays.items() if split[key][0] == entry["name"]}
            used |= {key for key in arrays if split[key][0] == entry["name"]}
            nodes.append(Node(entry["name"], kind(**own, **entry["options"]), tuple(entry["inputs"])))
        for key in arrays.keys() - used:
            raise UserError(f"its entry {key!r} belongs to no node")
        return Network(
            tuple(nodes),
            tuple(description["input_shape"]),
            Preprocessing(**description["preprocessing"]),
            description["name"],
            description["about"],
        )
    except UserError as error:
        raise UserError(f"network file {path}: {error}") from None
    # A damaged description raises any of these; RecursionError, a RuntimeError, if it is nested too deep.
    except (ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise UserError(f"network file {path} cannot be read: {error}") from None
