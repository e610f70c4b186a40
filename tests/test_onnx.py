"""ONNX files and PyTorch modules as networks: against onnxruntime, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from reliability.errors import UserError
from reliability.layers import (
    AveragePool2d,
    BatchNorm,
    Conv2d,
    GlobalAveragePool,
    Linear,
    PadChannels,
    Softmax,
    Subsample,
    arrays_of,
)
from reliability.network import Network, Preprocessing, load_network
from reliability.onnx_reader import from_torch, read_onnx
from reliability.onnx_reader.reader import network_of

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the test extra onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CLOSE = 1e-4
WHERE = "set RELIABILITY_DATA to a folder with models/, or put it at ../shared/data beside the checkout"


def data_folder(name: str) -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RELIABILITY_DATA", beside)) / name
    if not folder.is_dir():
        pytest.skip(WHERE)
    return folder


def run_by_onnxruntime(content: bytes, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # As the file says it, not as an optimiser thinks it over.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def outputs_of(network: Network, x: np.ndarray) -> np.ndarray:
    """What the file's outputs should be: with the final softmax, which Network.forward leaves out."""
    y = network.forward(x)
    last = network.nodes[-1].layer
    return last.forward(y) if isinstance(last, Softmax) else y


def read(content: bytes, folder: Path | None = None) -> Network:
    return network_of(content, where="ONNX file x.onnx", name="x", about="", folder=folder)


def compare(content: bytes, shape: tuple[int, ...], *, last: bool = False, batch: int = 3) -> Network:
    """Read a file and compare its logits with onnxruntime's; ``last``: the file takes channels last."""
    network = read(content)
    x = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    expected = run_by_onnxruntime(content, x)
    given = x.transpose(0, 3, 1, 2) if last else x
    y = outputs_of(network, np.ascontiguousarray(given.reshape(batch, *network.input_shape)))
    assert y.shape == (batch, network.classes)
    np.testing.assert_allclose(y, expected.reshape(y.shape), rtol=CLOSE, atol=CLOSE)
    return network


def kinds(network: Network) -> list[str]:
    return [node.layer.kind for node in network.nodes]


class Graph:
    """An ONNX graph made by hand, node after node."""

    def __init__(self, shape: tuple, opset: int = 17) -> None:
        self.shape, self.opset = shape, opset
        self.nodes, self.arrays = [], []
        self.random = np.random.default_rng(5)

    def weights(self, *shape: int, scale: float = 0.3) -> str:
        return self.array((self.random.normal(size=shape) * scale).astype(np.float32))

    def array(self, value) -> str:
        value = np.asarray(value)
        name = f"a{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(value, name))
        return name

    def ints(self, *values: int) -> str:
        return self.array(np.array(values, np.int64))

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, list(inputs), names, name=f"n{len(self.nodes)}", **attributes)
        )
        return names[0]

    def model(self, output: str | None = None, classes=None, **options):
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [
                helper.make_tensor_value_info(
                    output or self.nodes[-1].output[0], TensorProto.FLOAT, classes and ["N", classes]
                )
            ],
            self.arrays,
        )
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8, **options)

    def content(self, output: str | None = None, **options) -> bytes:
        return self.model(output, **options).SerializeToString()

    def dense(self, x: str, inputs: int, outputs: int = 4) -> str:
        return self.node("Gemm", x, self.weights(outputs, inputs), transB=1)


def refused(content: bytes, *parts: str, folder: Path | None = None) -> str:
    with pytest.raises(UserError) as error:
        read(content, folder)
    message = str(error.value)
    assert message.startswith("ONNX file x.onnx") and "\n" not in message
    for part in parts:
        assert part in message, message
    return message


# --- the models that the project is measured with ---------------------------------------------------------

MODELS = {
    "mnist_mlp_784_250_10_relu": 198760,
    "mnist_mlp_784_250_10_sigmoid": 198760,
    "mnist_lenet5_relu": 61706,
    "resnet20_cifar10": 269722,
    "resnet20_cifar10_torchexport_bnfolded": None,
    "resnet32_cifar10": 464154,
}


@pytest.mark.parametrize("name", MODELS)
def test_trained_models_give_onnxruntimes_logits(name):
    path = data_folder("models") / f"{name}.onnx"
    network = load_network(path)
    x = np.random.default_rng(0).normal(size=(5, *network.input_shape)).astype(np.float32)
    expected = run_by_onnxruntime(path.read_bytes(), x)
    np.testing.assert_allclose(network.forward(x), expected, rtol=CLOSE, atol=CLOSE)
    assert (network.classes, network.name) == (10, name)
    assert dataclasses.asdict(network.preprocessing) == dataclasses.asdict(Preprocessing())


@pytest.mark.parametrize("name", [name for name, count in MODELS.items() if count])
def test_trained_models_have_the_layers_and_weights_of_their_description(name):
    folder = data_folder("models")
    network = load_network(folder / f"{name}.onnx")
    described = json.loads((folder / f"{name}.json").read_text())
    trained = {
        (node.name, field): array
        for node in network.nodes
        for field, array in arrays_of(node.layer).items()
        if field not in ("mean", "variance")
    }
    assert sum(array.size for array in trained.values()) == described["parameters"] == MODELS[name]
    weighted = [n["name"] for n in described["nodes"] if n["op"] in ("Conv2d", "Linear")]
    mine = [n for n in network.nodes if isinstance(n.layer, Conv2d | Linear)]
    assert len(mine) == len(weighted)
    assert sum(isinstance(n.layer, Subsample) for n in network.nodes) == sum(
        n["op"] == "Subsample2d" for n in described["nodes"]
    )
    with np.load(folder / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    for node in mine:
        assert any(np.array_equal(node.layer.weight, a) for a in arrays.values() if a.ndim > 1), node.name


def cifar_images(count: int) -> tuple[np.ndarray, np.ndarray]:
    raw = (data_folder("cifar10") / "test_batch").read_bytes()
    x = np.frombuffer(raw, np.uint8, count * 3072, 20217).reshape(count, 3, 32, 32)
    # Ten blocks of "(" + 1000 x ("K", label) + "e".
    blocks = np.frombuffer(raw, np.uint8, 20020, 20217 - 20159).reshape(10, 2002)
    return x, blocks[:, 1:-1].reshape(-1)[1::2][:count]


IMAGENET = Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_resnet20_on_images_folded_or_not_as_onnxruntime():
    folder = data_folder("models")
    x, labels = cifar_images(200)
    kept = dataclasses.replace(load_network(folder / "resnet20_cifar10.onnx"), preprocessing=IMAGENET)
    folded = dataclasses.replace(
        load_network(folder / "resnet20_cifar10_torchexport_bnfolded.onnx"), preprocessing=IMAGENET
    )
    prepared = kept.prepare(x)
    expected = run_by_onnxruntime((folder / "resnet20_cifar10.onnx").read_bytes(), prepared)
    y, z = kept.forward(prepared), folded.forward(prepared)
    np.testing.assert_allclose(y, expected, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(z, expected, rtol=CLOSE, atol=CLOSE)
    assert (y.argmax(1) == expected.argmax(1)).all() and (z.argmax(1) == expected.argmax(1)).all()
    assert (y.argmax(1) == labels).sum() == 182


# --- PyTorch's exporters ----------------------------------------------------------------------------------


def torch_modules() -> dict:
    """Small modules that cover the forms in which operators come, with the shape of an input."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    torch.set_num_threads(1)
    from torch import nn
    from torch.nn import functional as f

    class OptionA(nn.Module):
        def __init__(self, shortcut: str) -> None:
            super().__init__()
            self.shortcut = shortcut
            self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
            self.conv2, self.bn2 = nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
            self.linear = nn.Linear(8, 5)

        def forward(self, x):
            x = f.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(x))
            less = x[:, :, ::2, ::2]
            if self.shortcut == "pad":
                less = f.pad(less, (0, 0, 0, 0, 2, 2), "constant", 0)
            else:
                zeros = torch.zeros(less.size(0), 2, less.size(2), less.size(3))
                less = torch.cat([zeros, less, zeros], dim=1)
            y = f.relu(y + less)
            y = f.avg_pool2d(y, y.size()[3])
            return self.linear(y.view(y.size(0), -1))

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 4, 3, padding=1)
            self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
            self.most = nn.MaxPool2d(3, 2, ceil_mode=True)
            self.fc = nn.Linear(7 * 4 * 4 + 2 * 64, 5)

        def forward(self, x):
            y = torch.cat([self.pool(self.a(x)), self.pool(self.b(x))], 1)
            return self.fc(torch.cat([y.flatten(1), x.reshape(x.shape[0], -1)], 1))

    class Functions(nn.Module):
        """Normalisation inside the network, sums by hand, means one axis at a time."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("centre", torch.tensor([0.1, 0.2, 0.3])[:, None, None])
            self.register_buffer("spread", torch.tensor([0.5, 0.6, 0.7])[:, None, None])
            self.conv = nn.Conv2d(3, 6, 3, padding="same")
            self.w, self.c = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))

        def forward(self, x):
            x = self.conv((x - self.centre) / self.spread)
            x = torch.clamp(x, 0, 6) * 2.0 - 1.5
            x = x.mean(3).mean(2)
            return x @ self.w + self.c

    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc, self.bn = nn.Conv2d(1, 4, 3), nn.Linear(4, 6), nn.BatchNorm1d(6)
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            x = self.conv(x.unsqueeze(1))
            x = f.adaptive_max_pool2d(x, 1).squeeze(3).squeeze(2)
            return f.log_softmax(self.bn(self.fc(self.drop(x))), dim=1)

    class Means(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return torch.softmax(self.fc(self.conv(x).flatten(2).mean(-1)), -1)

    mobile = nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(3, 8, 3, 2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 12, 1, groups=4),
        nn.ReLU(),
        nn.ZeroPad2d(1),
        nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(12, 6, 1),
        nn.Flatten(),
    )
    lenet = nn.Sequential(
        nn.Conv2d(1, 3, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(1, 0)),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 2 * 1, 5),
        nn.Sigmoid(),
        nn.Linear(5, 4, bias=False),
        nn.Softmax(1),
    )
    torch.manual_seed(1)
    modules = {
        "option A, pad": (OptionA("pad"), (3, 8, 8)),
        "option A, zeros": (OptionA("cat"), (3, 8, 8)),
        "concat, pooling": (Joined(), (2, 8, 8)),
        "functions": (Functions(), (3, 8, 8)),
        "squeeze, dropout": (Squeezed(), (7, 7)),
        "means": (Means(), (2, 6, 6)),
        "mobile": (mobile, (3, 9, 9)),
        "lenet": (lenet, (1, 8, 8)),
    }
    for module, _ in modules.values():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
                nn.init.normal_(part.running_mean, 0, 0.3)
                nn.init.uniform_(part.running_var, 0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)
        module.eval()
    return modules


NAMES = (
    "option A, pad",
    "option A, zeros",
    "concat, pooling",
    "functions",
    "squeeze, dropout",
    "means",
    "mobile",
    "lenet",
)


@pytest.fixture(scope="module")
def modules() -> dict:
    return torch_modules()


def export(module, shape, *, batch: int = 2, open_batch: bool = False, **options) -> bytes:
    import torch

    file = io.BytesIO()
    if open_batch and options.get("dynamo"):
        options["dynamic_shapes"] = ({0: torch.export.Dim("n", min=2, max=64)},)
    elif open_batch:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    if options.get("dynamo"):
        options |= {"verbose": False}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(batch, *shape),), file, **options)
    return file.getvalue()


def expected_kinds(name: str, network: Network) -> None:
    """What should have become of some modules, whichever exporter."""
    found = kinds(network)
    if name.startswith("option A"):
        assert found.count("subsample") == found.count("pad_channels") == 1
        assert next(n.layer for n in network.nodes if isinstance(n.layer, Subsample)).step == (2, 2)
        pad = next(n.layer for n in network.nodes if isinstance(n.layer, PadChannels))
        assert (pad.before, pad.after) == (2, 2)
    if name == "mobile":
        assert found.count("relu6") == 2
        assert next(n.layer for n in network.nodes if n.layer.kind == "conv2d").padding == (0, 0, 1, 1)
        assert found[-1] == "linear"
    if name == "squeeze, dropout":
        assert found[-1] in ("batch_norm", "linear")  # the log softmax changes no decision
    if name == "lenet":
        assert found[-1] == "softmax" and network.nodes[-2].layer.bias is None


TORCHSCRIPT = {
    f"opset {opset}, {'folded' if fold else 'unfolded'}, {'open' if free else 'fixed'} batch": {
        "opset_version": opset,
        "do_constant_folding": fold,
        "open_batch": free,
        "dynamo": False,
    }
    for opset in (13, 17, 18, 20)
    for fold in (True, False)
    for free in (True, False)
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", TORCHSCRIPT)
def test_what_the_exporter_based_on_torchscript_writes(modules, name, way):
    import torch

    module, shape = modules[name]
    options = dict(TORCHSCRIPT[way])
    if not options["do_constant_folding"]:
        options["training"] = torch.onnx.TrainingMode.PRESERVE
    content = export(module, shape, **options)
    network = compare_or_log(name, content, shape, batch=2)
    expected_kinds(name, network)
    if name == "option A, pad":
        assert ("batch_norm" in kinds(network)) != options["do_constant_folding"]


def compare_or_log(name: str, content: bytes, shape, batch: int) -> Network:
    """Compare; where a log softmax ends the file, compare after it."""
    if name != "squeeze, dropout":
        return compare(content, shape, batch=batch)
    network = read(content)
    x = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    y = network.forward(x.reshape(batch, *network.input_shape))
    y = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(y, run_by_onnxruntime(content, x), rtol=CLOSE, atol=CLOSE)
    return network


DYNAMO = {
    "optimised": {"optimize": True},
    "not optimised": {"optimize": False},
    "open batch, not optimised": {"optimize": False, "open_batch": True},
    "open batch, opset 20": {"optimize": True, "open_batch": True, "opset_version": 20},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", DYNAMO)
def test_what_the_exporter_based_on_dynamo_writes(modules, name, way):
    pytest.importorskip("onnxscript", reason="the dynamo exporter needs it")
    module, shape = modules[name]
    content = export(module, shape, dynamo=True, **({"opset_version": 18} | DYNAMO[way]))
    expected_kinds(name, compare_or_log(name, content, shape, batch=2))


@pytest.mark.parametrize("name", NAMES)
def test_from_torch_gives_the_modules_logits_and_leaves_it_as_it_was(modules, name):
    import torch

    module, shape = modules[name]
    module.train()
    part = next(iter(module.children()))
    part.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    try:
        network = from_torch(module, np.zeros((1, *shape), np.float32))
        assert module.training and not part.training
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    finally:
        module.eval()
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    y = outputs_of(network, x.reshape(4, *network.input_shape))
    if name == "squeeze, dropout":
        y = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(y, expected, rtol=CLOSE, atol=CLOSE)
    assert network.name == type(module).__name__
    if name == "option A, pad":
        assert [n.name for n in network.nodes if isinstance(n.layer, Conv2d | BatchNorm | Linear)] == [
            "conv1",
            "bn1",
            "conv2",
            "bn2",
            "linear",
        ]


def test_from_torch_refuses_in_one_sentence(modules):
    import torch

    with pytest.raises(UserError, match=r"^from_torch needs a torch.nn.Module, was given int$"):
        from_torch(3, np.zeros((1, 2)))
    with pytest.raises(
        UserError, match=r"^PyTorch module Hardswish: node .* \(HardSwish\): .* not supported"
    ):
        from_torch(torch.nn.Hardswish(), np.zeros((1, 2), np.float32))
    with pytest.raises(UserError, match="one tensor as its example"):
        from_torch(torch.nn.Linear(3, 4), "inputs")
    with pytest.raises(UserError, match=r"^PyTorch module Linear cannot be exported to ONNX: "):
        from_torch(torch.nn.Linear(3, 4), np.zeros((1, 2), np.float32))


# --- graphs by hand: Keras's order of axes ----------------------------------------------------------------


def to_first(graph: Graph, x: str) -> str:
    return graph.node("Transpose", x, perm=[0, 3, 1, 2])


def to_last(graph: Graph, x: str) -> str:
    return graph.node("Transpose", x, perm=[0, 2, 3, 1])


@pytest.mark.parametrize("batch", ["N", 3])
def test_keras_network_channels_last(batch):
    g = Graph((batch, 8, 6, 3))
    x = g.node("Sub", "x", g.array(np.array([0.1, 0.2, 0.3], np.float32)))
    x = g.node("Mul", x, g.array(np.array([2, 3, 4], np.float32)))
    x = to_first(g, x)
    x = g.node("Conv", x, g.weights(5, 3, 3, 3), g.weights(5), auto_pad="SAME_UPPER", strides=[2, 2])
    x = to_last(g, x)
    x = g.node("Mul", x, g.weights(5))
    x = g.node("Add", x, g.weights(1, 1, 1, 5))
    x = skip = g.node("Relu", x)
    x = g.node("Pad", x, g.ints(0, 1, 1, 0, 0, 1, 1, 0))
    x = to_first(g, x)
    x = g.node("Conv", x, g.weights(5, 1, 3, 3), group=5, kernel_shape=[3, 3])
    x = to_last(g, x)
    x = g.node("Add", x, skip)
    x = to_first(g, x)
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER")
    x = to_last(g, x)
    x = g.node("MatMul", x, g.weights(5, 7))  # a dense layer on each pixel
    x = g.node("Add", x, g.weights(7))
    x = g.node("Reshape", x, g.ints(-1, 2 * 2 * 7))
    x = g.node("MatMul", x, g.weights(28, 4))
    x = g.node("Add", x, g.weights(4))
    g.node("Softmax", x, axis=-1)
    network = compare(g.content(), (8, 6, 3), last=True)
    assert network.input_shape == (3, 8, 6) and "channels last" in network.about
    assert kinds(network) == [
        *("batch_norm", "conv2d", "batch_norm", "relu", "conv2d", "add", "max_pool2d", "conv2d"),
        *("flatten", "linear", "softmax"),
    ]
    assert all(n.layer.bias is not None for n in network.nodes if isinstance(n.layer, Linear))


@pytest.mark.parametrize("keep", [0, 1])
def test_keras_means_and_concat_channels_last(keep):
    g = Graph(("N", 6, 6, 2))
    x = to_last(g, g.node("Conv", to_first(g, "x"), g.weights(4, 2, 1, 1)))
    y = to_last(g, g.node("Conv", to_first(g, x), g.weights(3, 4, 3, 3), pads=[1, 1, 1, 1]))
    x = g.node("Concat", x, y, axis=-1)
    x = g.node("ReduceMean", x, axes=[1, 2], keepdims=keep)
    if keep:
        x = g.node("Reshape", x, g.ints(0, -1))
    g.dense(x, 7)
    network = compare(g.content(), (6, 6, 2), last=True)
    assert kinds(network) == ["conv2d", "conv2d", "concat", "global_average_pool", "linear"]


def test_keras_flatten_of_colour_images_without_convolutions():
    g = Graph(("N", 8, 8, 3))
    x = g.node("Reshape", "x", g.ints(-1, 192))
    g.dense(x, 192)
    network = compare(g.content(), (8, 8, 3), last=True)
    assert network.input_shape == (3, 8, 8)
    # One plane: the same numbers in the same order, as images without an axis of channels are.
    for shape in (("N", 8, 8, 1), ("N", 8, 8)):
        g = Graph(shape)
        x = g.node("Reshape", "x", g.ints(-1, 1, 8, 8))
        x = g.node("Flatten", g.node("Conv", x, g.weights(2, 1, 3, 3)))
        g.dense(x, 72)
        network = compare(g.content(), shape[1:])
        assert network.input_shape == (1, 8, 8)


# --- graphs by hand: each form of an operator -------------------------------------------------------------


def test_reshape_from_a_computed_shape_and_symbolic_batch():
    g = Graph(("N", 2, 4, 4))
    shape = g.node("Shape", "x")
    n = g.node("Gather", shape, g.array(np.array(0, np.int64)), axis=0)
    rest = g.node("ReduceProd", g.node("Slice", shape, g.ints(1), g.ints(4), g.ints(0)), keepdims=1)
    both = g.node("Concat", g.node("Unsqueeze", n, g.ints(0)), rest, axis=0)
    g.dense(g.node("Reshape", "x", both), 32)
    assert kinds(compare(g.content(), (2, 4, 4))) == ["flatten", "linear"]


def test_gemm_with_factors_and_a_scalar_bias_and_shared_weights():
    g = Graph(("N", 5))
    w, c = g.weights(5, 5), g.array(np.array([0.7], np.float32))
    x = g.node("Gemm", "x", w, c, alpha=0.5, beta=2.0)
    x = g.node("Relu", x)
    g.node("Gemm", x, g.node("Transpose", w, perm=[1, 0]), c, transB=1)
    assert kinds(compare(g.content(), (5,))) == ["linear", "relu", "linear"]


def test_a_bias_that_follows_is_folded_only_where_nothing_else_takes_the_product():
    g = Graph(("N", 5))
    x = g.node("MatMul", "x", g.weights(5, 4))
    y = g.node("Add", x, g.weights(4))
    g.node("Add", x, y)
    network = compare(g.content(), (5,))
    assert kinds(network) == ["linear", "batch_norm", "add"]


def test_arithmetic_with_constants_becomes_one_batch_norm():
    g = Graph(("N", 3, 4, 4))
    c = g.array(np.array([1, 2, 4], np.float32).reshape(3, 1, 1))
    x = g.node("Mul", "x", c)
    x = g.node("Sub", c, x)
    x = g.node("Div", x, c)
    x = g.node("Neg", x)
    x = g.node("Add", x, g.array(np.float32(0.5)))
    g.dense(g.node("Flatten", x), 48)
    assert kinds(compare(g.content(), (3, 4, 4))) == ["batch_norm", "flatten", "linear"]


def test_batch_norm_after_flatten_is_by_feature():
    g = Graph(("N", 2, 3, 3))
    x = g.node("Flatten", "x")
    variance = g.array(np.linspace(0.5, 2, 18).astype(np.float32))
    x = g.node("BatchNormalization", x, g.weights(18), g.weights(18), g.weights(18), variance)
    g.dense(x, 18)
    assert kinds(compare(g.content(), (2, 3, 3))) == ["flatten", "batch_norm", "linear"]


def test_limits_as_relu_and_relu6():
    def number(g: Graph, value: float) -> str:
        return g.array(np.float32(value))

    g = Graph(("N", 6))
    x = g.node("Clip", "x", number(g, 0))
    x = g.node("Clip", g.dense(x, 6, 6), number(g, 0), number(g, 6))
    x = g.node("Min", g.node("Max", number(g, 0), g.dense(x, 6, 6)), number(g, 6))
    g.node("Sum", g.node("Identity", x), x, x)
    assert kinds(compare(g.content(), (6,))) == [
        *("relu", "linear", "relu6", "linear", "relu", "relu6", "add", "add")
    ]


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 0]])
def test_pooling_forms(ceil, counted, pads):
    g = Graph(("N", 2, 8, 7), 19)
    options = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": pads, "ceil_mode": ceil}
    x = g.node("AveragePool", "x", count_include_pad=counted, **options)
    if ceil and counted and any(pads):
        g.dense(g.node("Flatten", x), 40)
        refused(g.content(), "(AveragePool)", "ceil_mode")
        return
    x = g.node("Flatten", g.node("MaxPool", x, **options))
    # The length is onnxruntime's.
    features = run_by_onnxruntime(g.content(), np.zeros((1, 2, 8, 7), np.float32)).shape[1]
    g.dense(x, features)
    network = compare(g.content(), (2, 8, 7))
    assert kinds(network) == ["average_pool2d", "max_pool2d", "flatten", "linear"]


def test_pool_over_the_whole_image_is_global():
    g = Graph(("N", 3, 4, 5))
    x = g.node("AveragePool", "x", kernel_shape=[4, 5])
    g.dense(g.node("Squeeze", x, g.ints(2, 3)), 3)
    network = compare(g.content(), (3, 4, 5))
    assert isinstance(network.nodes[0].layer, GlobalAveragePool)
    g = Graph(("N", 3, 4, 5))
    x = g.node("GlobalMaxPool", "x")
    g.dense(g.node("Flatten", x), 3)
    compare(g.content(), (3, 4, 5))


def test_pad_then_pool():
    g = Graph(("N", 2, 6, 6))
    x = g.node("Pad", g.node("Relu", "x"), g.ints(0, 0, 1, 1, 0, 0, 1, 1))
    x = g.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2])
    g.dense(g.node("Flatten", x), 18)
    network = compare(g.content(), (2, 6, 6))
    pool = network.nodes[1].layer
    assert isinstance(pool, AveragePool2d) and pool.count_padding and pool.padding == (1, 1, 1, 1)
    g = Graph(("N", 2, 6, 6))
    x = g.node("Pad", "x", g.ints(0, 0, 1, 1, 0, 0, 1, 1))
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    g.dense(g.node("Flatten", x), 18)
    refused(g.content(), "(MaxPool)", "only after a ReLU")


def test_pad_survives_a_relu_and_adds_to_a_convolutions_own():
    g = Graph(("N", 2, 6, 6), 18)
    x = g.node("Relu", g.node("Pad", "x", g.ints(1, 2), "", g.ints(2)))
    x = g.node("Conv", x, g.weights(3, 2, 4, 3), pads=[0, 1, 0, 1])
    g.dense(g.node("Flatten", x), 108)
    assert compare(g.content(), (2, 6, 6)).nodes[1].layer.padding == (1, 1, 2, 1)


def test_slices_one_after_the_other_are_one_layer_taken_twice():
    g = Graph(("N", 2, 7, 8))
    big = 2**63 - 1
    x = g.node("Slice", "x", g.ints(0), g.ints(big), g.ints(2), g.ints(3))
    x = g.node("Slice", x, g.ints(0), g.ints(big), g.ints(-1), g.ints(2))
    y = g.node("Conv", x, g.weights(2, 2, 1, 1))
    x = g.node("Add", x, y)
    g.dense(g.node("Flatten", x), 24)
    network = compare(g.content(), (2, 7, 8))
    assert kinds(network) == ["subsample", "conv2d", "add", "flatten", "linear"]
    assert network.nodes[0].layer.step == (3, 2)


def test_channel_shuffle_before_a_linear_layer_moves_its_columns():
    g = Graph(("N", 4, 3, 3))
    x = g.node("Reshape", "x", g.ints(0, 2, 2, 3, 3))
    x = g.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = g.node("Reshape", x, g.ints(0, -1))
    g.dense(x, 36)
    assert kinds(compare(g.content(), (4, 3, 3))) == ["flatten", "linear"]
    # Before a convolution no layer does it.
    g = Graph(("N", 4, 3, 3))
    x = g.node("Reshape", "x", g.ints(0, 2, 2, 3, 3))
    x = g.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = g.node("Conv", g.node("Reshape", x, g.ints(0, 4, 3, 3)), g.weights(2, 4, 3, 3))
    g.node("Flatten", x)
    refused(g.content(), "(Conv)", "in that order")


def test_two_halves_joined_again():
    g = Graph(("N", 6))
    g.node("Split", "x", g.ints(2, 4), outputs=2, axis=1)
    x = g.node("Concat", "t0_0", "t0_1", axis=1)
    g.dense(x, 6)
    refused(g.content(), "(Concat)", "part")


def test_dead_nodes_are_left_out_and_names_are_unique():
    g = Graph(("N", 5))
    x = g.dense("x", 5, 5)
    g.node("HardSwish", x)
    g.node("Gemm", x, g.weights(5, 5))
    g.nodes[0].name, g.nodes[2].name = "input", "input_2"
    network = compare(g.content(), (5,))
    assert [n.name for n in network.nodes] == ["input_2", "input_2_2"]


def test_a_read_network_can_be_saved_and_loaded(tmp_path):
    g = Graph(("N", 2, 4, 4))
    x = g.node("Conv", "x", g.weights(3, 2, 3, 3))
    g.dense(g.node("Flatten", x), 12)
    g.nodes[0].name = "/block/block.0/conv/Conv"
    network = read(g.content())
    assert network.nodes[0].name == "block.0.conv"
    network.save(tmp_path / "x.npz")
    again = load_network(tmp_path / "x.npz")
    x = np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32)
    assert np.array_equal(network.forward(x), again.forward(x))


def test_preprocessing_from_the_files_metadata(tmp_path):
    g = Graph(("N", 3, 4, 4))
    g.dense(g.node("Flatten", "x"), 48)
    model = g.model()
    helper.set_model_props(
        model, {"reliability.scale": "0.5", "reliability.mean": "[1, 2, 3]", "reliability.std": "[1, 1, 2]"}
    )
    onnx.save(model, tmp_path / "x.onnx")
    found = load_network(tmp_path / "x.onnx").preprocessing
    assert (found.scale, found.mean, found.std) == (0.5, (1, 2, 3), (1, 1, 2))
    helper.set_model_props(model, {"reliability.mean": "1", "reliability.std": "[2]"})
    assert read(model.SerializeToString()).preprocessing.std == (2,)
    helper.set_model_props(model, {"reliability.mean": "{"})
    refused(model.SerializeToString(), "'reliability.mean'", "JSON")
    helper.set_model_props(model, {"reliability.std": "[0, 1, 1]", "reliability.mean": "[0, 0, 0]"})
    refused(model.SerializeToString(), "above zero")


def computed_constants() -> dict:
    """Ways to compute five floats from constants alone, as exporters leave them undone."""
    f = np.array([-1.5, 2.0, 0.5, 4.0, 3.0], np.float32)
    i = np.array([7, -7, 6, -6, 5], np.int64)

    def floats(name):
        return lambda g: g.node("Cast", name(g), to=1)

    cases = {
        kind: (lambda g, k=kind: g.node(k, g.array(f))) for kind in ("Abs", "Ceil", "Exp", "Floor", "Neg")
    }
    for kind in ("Sqrt", "Reciprocal"):
        cases[kind] = lambda g, k=kind: g.node(k, g.array(np.abs(f)))
    for kind in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow"):
        cases[kind] = lambda g, k=kind: g.node(k, g.array(np.abs(f)), g.array(f[::-1].copy()))
    for kind in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        cases[kind] = floats(lambda g, k=kind: g.node(k, g.array(f), g.array(np.float32(2))))
    truth = f > 1
    for kind in ("And", "Or"):
        cases[kind] = floats(lambda g, k=kind: g.node(k, g.array(truth), g.array(truth[::-1].copy())))
    cases["Not"] = floats(lambda g: g.node("Not", g.array(truth)))
    cases["Div of whole numbers"] = floats(lambda g: g.node("Div", g.array(i), g.ints(2)))
    cases["Where"] = lambda g: g.node("Where", g.array(truth), g.array(f), g.array(np.float32(9)))
    cases["Range"] = floats(lambda g: g.node("Range", *(g.array(np.int64(v)) for v in (9, -1, -2))))
    cases["Transpose"] = lambda g: g.node("Transpose", g.array(f.reshape(5, 1)))
    cases["Squeeze"] = lambda g: g.node("Squeeze", g.array(f.reshape(1, 5, 1)))
    cases["Slice backwards"] = lambda g: g.node(
        "Slice", g.array(f), g.ints(-1), g.ints(-(2**63)), g.ints(0), g.ints(-1)
    )
    cases["Pad"] = lambda g: g.node("Pad", g.array(f[:3]), g.ints(1, 1), g.array(np.float32(7)))
    cases["Gather"] = lambda g: g.node("Gather", g.array(f), g.ints(4, 0, -1, 2, 1))
    cases["Expand"] = lambda g: g.node("Expand", g.array(f[:1]), g.ints(5))
    cases["ConstantOfShape"] = lambda g: g.node(
        "ConstantOfShape", g.ints(1, 5), value=numpy_helper.from_array(np.array([3], np.float32))
    )
    cases["Split"] = lambda g: g.node("Split", g.array(np.concatenate([f, f[:2]])), g.ints(5, 2), outputs=2)
    cases["Flatten"] = lambda g: g.node("Flatten", g.array(f.reshape(5, 1)), axis=0)
    cases["Constant"] = lambda g: g.node("Constant", value_floats=f.tolist())
    cases["Constant number"] = lambda g: g.node("Constant", value_float=2.5)
    cases["Concat"] = lambda g: g.node("Concat", g.array(f[:2]), g.array(f[2:]), axis=0)
    cases["CastLike"] = lambda g: g.node("CastLike", g.array(i), "x")
    return cases


COMPUTED = computed_constants()


@pytest.mark.parametrize("name", COMPUTED)
def test_constants_are_computed_as_onnxruntime_does(name):
    g = Graph(("N", 5))
    value = COMPUTED[name](g)
    g.node("Relu", g.node("Add", "x", value))
    assert kinds(compare(g.content(), (5,))) == ["batch_norm", "relu"]


def test_dropout_in_inference_and_zeros_joined_to_a_vector():
    g = Graph(("N", 5))
    x = g.node("Dropout", "x", g.array(np.float32(0.5)), g.array(np.array(False)))
    x = g.node("Pad", x, g.ints(0, 1, 0, 2))
    x = g.node("Relu", g.node("Expand", x, g.ints(1, 8)))
    network = compare(g.content(), (5,))
    assert kinds(network) == ["pad_channels", "relu"]
    g.nodes[0].input[2] = g.array(np.array(True))
    refused(g.content(), "(Dropout)", "training")


# --- what is refused --------------------------------------------------------------------------------------


def bad_graphs() -> dict[str, tuple[Graph, tuple[str, ...]]]:
    cases: dict[str, tuple[Graph, tuple[str, ...]]] = {}

    def case(name: str, shape: tuple, build, *parts: str, opset: int = 17) -> None:
        g = Graph(shape, opset)
        build(g)
        cases[name] = (g, parts)

    image, vector = ("N", 2, 4, 4), ("N", 5)
    for kind, more in (("HardSigmoid", {}), ("HardSwish", {}), ("LeakyRelu", {}), ("Elu", {}), ("Erf", {})):
        case(
            kind, vector, lambda g, k=kind, m=more: g.node(k, "x", **m), "'n0'", f"({kind})", "not supported"
        )
    case("product", vector, lambda g: g.node("Mul", "x", "x"), "'n0' (Mul)", "sums of two activations")
    case("difference", vector, lambda g: g.node("Sub", "x", g.node("Relu", "x")), "'n1' (Sub)")
    case("data as weights", vector, lambda g: g.node("MatMul", "x", "x"), "(MatMul)", "constant weights")
    case("transA", vector, lambda g: g.node("Gemm", "x", g.weights(5, 5), transA=1), "(Gemm)", "transA")
    case("batch moved", vector, lambda g: g.node("Transpose", "x", perm=[1, 0]), "(Transpose)", "samples")
    case("batch reshaped", vector, lambda g: g.node("Reshape", "x", g.ints(-1)), "(Reshape)", "samples")
    case(
        "fixed batch in an open one",
        vector,
        lambda g: g.node("Reshape", "x", g.ints(3, 5)),
        "(Reshape)",
        "shape (N, 5) does not make shape (3, 5)",
    )
    case("batch cut", vector, lambda g: g.node("Slice", "x", g.ints(0), g.ints(1)), "(Slice)", "samples")
    case("batch mean", vector, lambda g: g.node("ReduceMean", "x", axes=[0]), "(ReduceMean)", "batch")
    case("batch joined", vector, lambda g: g.node("Concat", "x", "x", axis=0), "(Concat)", "axis 0")
    case("batch padded", vector, lambda g: g.node("Pad", "x", g.ints(1, 0, 0, 0)), "(Pad)", "samples")
    case("batch gathered", vector, lambda g: g.node("Gather", "x", g.ints(0)), "(Gather)", "samples")
    case(
        "crop",
        image,
        lambda g: g.node("Relu", g.node("Slice", "x", g.ints(1), g.ints(4), g.ints(2))),
        "(Relu)",
        "part",
    )
    case(
        "reflected padding",
        image,
        lambda g: g.node("Pad", "x", g.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"),
        "(Pad)",
        "'reflect'",
    )
    case("negative padding", image, lambda g: g.node("Pad", "x", g.ints(0, 0, -1, 0, 0, 0, 0, 0)), "(Pad)")
    case(
        "padding with ones",
        image,
        lambda g: g.node("Pad", "x", g.ints(0, 0, 1, 0, 0, 0, 0, 0), g.array(np.float32(1))),
        "(Pad)",
        "1.0",
    )
    case(
        "padded sigmoid",
        image,
        lambda g: g.node("Sigmoid", g.node("Pad", "x", g.ints(0, 0, 1, 0, 0, 0, 0, 0))),
        "(Sigmoid)",
        "pads",
    )
    case("clip", vector, lambda g: g.node("Clip", "x", g.array(np.float32(-1))), "(Clip)", "-1")
    case("positions", image, lambda g: g.node("Add", "x", g.weights(4, 4)), "(Add)", "within a channel")
    case("broadcast up", vector, lambda g: g.node("Add", "x", g.weights(3, 1, 5)), "(Add)", "(3, 1, 5)")
    case(
        "broadcast sum",
        image,
        lambda g: g.node("Add", "x", g.node("GlobalAveragePool", "x")),
        "(Add)",
        "different shapes",
    )
    case(
        "sum of orders",
        ("N", 4, 4, 4),
        lambda g: g.node("Add", "x", g.node("Transpose", "x", perm=[0, 2, 3, 1])),
        "(Add)",
        "orders",
    )
    case(
        "logits in another order",
        image,
        lambda g: g.node("Flatten", g.node("Transpose", g.node("Relu", "x"), perm=[0, 2, 3, 1])),
        "(Flatten)",
        "order",
    )
    case(
        "1-d convolution", ("N", 2, 9), lambda g: g.node("Conv", "x", g.weights(2, 2, 3)), "(Conv)", "height"
    )
    case(
        "channels", image, lambda g: g.node("Conv", "x", g.weights(2, 3, 3, 3)), "(Conv)", "3 input channels"
    )
    case("groups", image, lambda g: g.node("Conv", "x", g.weights(3, 1, 3, 3), group=2), "(Conv)", "2 groups")
    case("window", image, lambda g: g.node("Conv", "x", g.weights(2, 2, 9, 9)), "(Conv)", "exceeds")
    case(
        "training",
        image,
        lambda g: g.node("BatchNormalization", "x", *(g.weights(2) for _ in range(4)), training_mode=1),
        "(BatchNormalization)",
        "training",
    )
    case(
        "variance",
        image,
        lambda g: g.node("BatchNormalization", "x", *(g.array(-np.ones(2, np.float32)) for _ in range(4))),
        "(BatchNormalization)",
        "variance",
    )
    case(
        "dilated pooling",
        image,
        lambda g: g.node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2]),
        "(MaxPool)",
        "dilations",
    )
    case(
        "places of maxima",
        image,
        lambda g: g.node("Relu", (g.node("MaxPool", "x", kernel_shape=[2, 2], outputs=2), "t0_1")[1]),
        "(MaxPool)",
        "output 2",
    )
    case("softmax within", image, lambda g: g.node("Softmax", "x", axis=1), "(Softmax)", "axis 1")
    case(
        "log in the middle",
        vector,
        lambda g: g.node("Relu", g.node("LogSoftmax", "x")),
        "(LogSoftmax)",
        "end",
    )
    case("unknown attribute", vector, lambda g: g.node("Relu", "x", leak=1), "(Relu)", "'leak'")
    case("attribute type", vector, lambda g: g.node("Flatten", "x", axis=1.0), "(Flatten)", "'axis'")
    case("domain", vector, lambda g: g.node("Gelu", "x", domain="com.microsoft"), "(Gelu)", "com.microsoft")
    case("order of nodes", vector, lambda g: g.node("Relu", "later"), "(Relu)", "'later'")
    case("missing input", vector, lambda g: g.node("Gemm", "x"), "(Gemm)", "1 inputs")
    case("odd sizes", vector, lambda g: g.node("Gemm", "x", g.weights(4, 3)), "(Gemm)")
    case("inputs", vector, lambda g: g.node("Gemm", "x", g.weights(4, 3), transB=1), "(Gemm)", "3 inputs")
    case("integer weights", vector, lambda g: g.node("MatMul", "x", g.ints(1, 2, 3, 4, 5)), "int64")
    case("no layer", vector, lambda g: g.node("Identity", "x"), "no layer")
    case("nothing of the input", vector, lambda g: g.node("Relu", g.weights(1, 5)), "(Relu)")
    case(
        "huge constant",
        vector,
        lambda g: g.node(
            "Add", "x", g.node("Reshape", g.node("ConstantOfShape", g.ints(10**6, 10**6)), g.ints(-1))
        ),
        "(Reshape)",
        "more than",
    )
    case(
        "huge range",
        vector,
        lambda g: g.node("Range", g.array(np.int64(0)), g.array(np.int64(10**15)), g.array(np.int64(1))),
        "(Range)",
    )
    case("huge image", ("N", 3, 100000, 100000), lambda g: g.node("Relu", "x"), "usual size")
    case(
        "huge padding",
        image,
        lambda g: g.node("Conv", "x", g.weights(2, 2, 1, 1), pads=[10000] * 4),
        "(Conv)",
        "more than",
    )
    case("dynamic height", ("N", 3, "height", 4), lambda g: g.node("Relu", "x"), "'height'", "axis 2")
    case("five axes", ("N", 1, 2, 3, 4), lambda g: g.node("Relu", "x"), "(1, 2, 3, 4)")
    case("no axes", ("N",), lambda g: g.node("Relu", "x"), "shape ()")
    case("old", vector, lambda g: g.node("Relu", "x"), "opset 12", "13 and later", opset=12)
    case("too new", vector, lambda g: g.node("Relu", "x"), "opset 999", opset=999)
    return cases


BAD = bad_graphs()


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_supported_is_refused_in_one_sentence(name):
    graph, parts = BAD[name]
    refused(graph.content(), *parts)


def test_control_flow_is_refused():
    g = Graph(("N", 5))
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])],
        "body",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    g.node("If", g.array(np.array(True)), then_branch=body, else_branch=body)
    refused(g.content(), "'n0' (If)", "control flow")


def test_models_around_the_graph_are_checked():
    g = Graph(("N", 5))
    g.node("Relu", "x")

    def changed(change) -> bytes:
        model = g.model(classes=5)
        change(model)
        return model.SerializeToString()

    read(changed(lambda m: None))
    refused(
        changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, ["N", 2]))), "2 inputs"
    )
    refused(changed(lambda m: m.graph.output.append(m.graph.output[0])), "2 outputs")
    refused(changed(lambda m: m.graph.ClearField("output")), "0 outputs")
    refused(changed(lambda m: m.graph.ClearField("input")), "0 inputs")
    refused(changed(lambda m: m.ClearField("opset_import")), "opset")
    refused(changed(lambda m: m.ClearField("graph")), "0 outputs")
    refused(changed(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 10)), "float32")
    refused(changed(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), "no shape")
    wrong = helper.make_tensor_value_info(g.nodes[0].output[0], 1, ["N", 6])
    refused(changed(lambda m: m.graph.output[0].CopyFrom(wrong)), "declared with 6", "make 5")
    refused(changed(lambda m: m.graph.node.append(m.graph.node[0])), "there already")
    refused(b"not a file", "damaged")
    refused(b"", "opset")


def test_arrays_that_are_not_of_their_declared_size_are_refused():
    g = Graph(("N", 5))
    g.node("Gemm", "x", g.weights(5, 4))

    def changed(change) -> bytes:
        model = g.model()
        change(model.graph.initializer[0])
        return model.SerializeToString()

    refused(changed(lambda t: t.dims.__setitem__(0, 10**12)), "'a0'", "1000000000000")
    refused(changed(lambda t: t.dims.extend([2**62, 2**62, 4])), "'a0'", "declares")
    refused(changed(lambda t: t.dims.__setitem__(0, -5)), "'a0'", "-5")
    refused(changed(lambda t: t.dims.__setitem__(0, 6)), "'a0'", "80 bytes")
    refused(changed(lambda t: setattr(t, "data_type", 8)), "'a0'", "type 8")
    refused(changed(lambda t: t.float_data.append(1)), "'a0'", "twice")
    refused(changed(lambda t: t.ClearField("raw_data")), "'a0'", "not hold so many")
    values = np.full((5, 4), np.nan, np.float32).tobytes()
    refused(changed(lambda t: setattr(t, "raw_data", values)), "not finite")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("raw", [True, False])
def test_arrays_in_each_way_of_storage(dtype, raw):
    w = np.random.default_rng(3).normal(size=(5, 4)).astype(dtype)
    g = Graph(("N", 5))
    g.arrays.append(
        helper.make_tensor(
            "w", helper.np_dtype_to_tensor_dtype(w.dtype), w.shape, w.tobytes() if raw else w, raw
        )
    )
    g.node("MatMul", "x", g.node("Cast", "w", to=1))
    network = compare(g.content(), (5,))
    assert np.array_equal(network.nodes[0].layer.weight, w.astype(np.float32).T)


# --- arrays beside the file -------------------------------------------------------------------------------


def external(tmp_path: Path, location: str, **entries) -> Path:
    """A model whose one array says that it lies in a file of this name; 80 bytes lie in weights.bin."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    g = Graph(("N", 5))
    g.node("Gemm", "x", g.weights(5, 4))
    model = g.model()
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(bytes(8) + tensor.raw_data)
    (tmp_path / "outside.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "x.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_arrays_beside_the_file_are_read(tmp_path):
    path = external(tmp_path, "weights.bin", offset=8, length=80)
    network = read_onnx(path)
    assert np.array_equal(
        network.nodes[0].layer.weight.T.tobytes(), (path.parent / "weights.bin").read_bytes()[8:]
    )
    (path.parent / "deeper").mkdir()
    (path.parent / "deeper" / "link.bin").symlink_to(path.parent / "weights.bin")
    read_onnx(external(tmp_path, "deeper/link.bin", offset=8))


@pytest.mark.parametrize(
    "location",
    ["../outside.bin", "deeper/../../outside.bin", "C:\\outside.bin", "..\\outside.bin", "", "a\0b"],
)
def test_arrays_outside_the_folder_are_refused(tmp_path, location):
    with pytest.raises(UserError, match=r"outside the folder|damaged"):
        read_onnx(external(tmp_path, location))


def test_other_ways_out_of_the_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="outside the folder"):
        read_onnx(external(tmp_path, str(tmp_path / "outside.bin")))
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(UserError, match="a link out of the folder"):
        read_onnx(external(tmp_path, "link.bin"))
    (tmp_path / "model" / "up").symlink_to(tmp_path)
    with pytest.raises(UserError, match="a link out of the folder"):
        read_onnx(external(tmp_path, "up/outside.bin"))
    os.mkfifo(tmp_path / "model" / "pipe")
    for location in ("pipe", "absent.bin", "."):
        with pytest.raises(UserError, match="not a file"):
            read_onnx(external(tmp_path, location))
    for entries in ({"offset": 9}, {"length": 4}, {"offset": -1}, {"offset": "x"}, {"length": 10**15}):
        with pytest.raises(UserError, match=r"'a0'.*'weights.bin'"):
            read_onnx(external(tmp_path, "weights.bin", **entries))
    with pytest.raises(UserError, match="no folder"):
        read(external(tmp_path, "weights.bin").read_bytes())


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(UserError, match=r"absent.onnx does not exist$"):
        load_network(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="is not a file"):
        read_onnx("/dev/zero")


def test_without_the_package_onnx_the_sentence_says_how_to_install_it(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"")
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import reliability as rl\n"
        "try: rl.load_network(sys.argv[1])\n"
        "except rl.UserError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.onnx")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert "pip install crossbar-reliability[onnx]" in done.stdout


def test_importing_reliability_imports_neither_onnx_nor_torch():
    code = "import sys, reliability; print({'onnx', 'torch', 'google.protobuf'} & set(sys.modules))"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "set()"


# --- damaged files ----------------------------------------------------------------------------------------


def small_file() -> bytes:
    """A network of a few kilobytes with every kind of thing that a file holds."""
    g = Graph(("N", 3, 8, 8), 17)
    x = g.node("Conv", "x", g.weights(4, 3, 7, 7), pads=[3, 3, 3, 3], strides=[1, 1], kernel_shape=[7, 7])
    variance = g.array(np.linspace(0.5, 2, 4).astype(np.float32))
    x = g.node("BatchNormalization", x, g.weights(4), g.weights(4), g.weights(4), variance, epsilon=1e-5)
    x = g.node("Relu", x)
    y = g.node("Conv", x, g.weights(6, 2, 3, 3), g.weights(6), group=2, strides=[2, 2], pads=[1, 1, 1, 1])
    z = g.node("Slice", x, g.ints(0, 0), g.ints(99, 99), g.ints(2, 3), g.ints(2, 2))
    z = g.node("Pad", z, g.ints(0, 1, 0, 0, 0, 1, 0, 0))
    x = g.node("Add", y, z)
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    shape = g.node("Shape", x)
    n = g.node("Gather", shape, g.array(np.array([0], np.int64)))
    x = g.node("Reshape", x, g.node("Concat", n, g.ints(-1), axis=0))
    x = g.node("MatMul", x, g.weights(24, 5))
    x = g.node("Add", x, g.weights(5))
    return g.content(classes=5)


LENGTHS = (0, -1, 1, 2, 3, 5, 17, 1000, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """A truncation, a few flipped bits, wrong bytes, or false numbers where lengths stand."""
    way = random.integers(4)
    data = bytearray(content)
    if way == 0:
        return bytes(data[: random.integers(len(data))])
    if way == 1:
        for _ in range(random.integers(1, 8)):
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        return bytes(data)
    if way == 2:
        at = random.integers(len(data))
        data[at : at + random.integers(0, 9)] = random.bytes(random.integers(0, 9))
        return bytes(data)
    model = onnx.load_model_from_string(content)
    number = int(random.choice(np.array(LENGTHS)))
    lists = [tensor.dims for tensor in model.graph.initializer]
    lists += [a.ints for node in model.graph.node for a in node.attribute if len(a.ints)]
    target = random.integers(4)
    if target < 2:
        chosen = lists[random.integers(len(lists))]
        if len(chosen) and target:
            chosen[int(random.integers(len(chosen)))] = number
        else:
            chosen.append(number)
    elif target == 2:
        axis = model.graph.input[0].type.tensor_type.shape.dim[int(random.integers(4))]
        axis.dim_value = number
    else:
        whole = [t for t in model.graph.initializer if t.data_type == TensorProto.INT64]
        tensor = whole[random.integers(len(whole))]
        values = numpy_helper.to_array(tensor).copy()
        values.reshape(-1)[random.integers(values.size)] = number
        tensor.raw_data = values.tobytes()
    return model.SerializeToString()


def check_damaged(seed: int, count: int) -> tuple[int, int]:
    """How many damaged files were refused, and how many read, each with onnxruntime's logits."""
    content = small_file()
    compare(content, (3, 8, 8))
    random = np.random.default_rng(seed)
    refusals = right = 0
    for trial in range(count):
        data = damaged(content, random)
        start = time.perf_counter()
        try:
            network = read(data)
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 600, (trial, str(error))
            refusals += 1
        else:
            x = np.random.default_rng(0).normal(size=(2, *network.input_shape)).astype(np.float32)
            with np.errstate(all="ignore"):
                y = outputs_of(network, x)
            try:
                expected = run_by_onnxruntime(data, x)
            except Exception as error:
                # It refuses what does not matter to the result, such as a name that is no UTF-8.
                assert type(error).__module__.startswith("onnxruntime"), (trial, error)
            else:
                scale = np.abs(expected).max(initial=1)
                if np.isfinite(expected).all() and scale < 1e6:
                    np.testing.assert_allclose(y / scale, expected / scale, atol=CLOSE, err_msg=str(trial))
                    right += 1
        assert time.perf_counter() - start < 10, trial
    return refusals, right


def test_damaged_files_are_refused_or_right():
    refusals, right = check_damaged(1, 300)
    assert refusals > 100 and right > 20


@pytest.mark.slow
def test_many_damaged_files_are_refused_or_right_in_bounded_memory():
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusals, right = check_damaged(2, 2000)
    assert refusals > 700 and right > 150
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000  # kilobytes
