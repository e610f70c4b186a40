"""Reverse-mode derivatives against finite differences in float64, and against PyTorch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from shared_data import WHERE, mnist_folder, shared_folder

import reliability as rl
from reliability.derivatives import RULES, chunks, cross_entropy, derivatives, weight_derivatives, workspace
from reliability.errors import UserError
from reliability.layers import (
    LAYERS,
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
from reliability.preprocessing import PRESETS

FIELDS = {"weight", "bias", "scale", "shift"}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def conv(outputs: int, inputs: int, size: tuple[int, int] = (3, 3), groups: int = 1, **options) -> Conv2d:
    weight = noise(outputs, inputs // groups, *size) / np.sqrt(inputs // groups * size[0] * size[1])
    return Conv2d(weight, noise(outputs, seed=1), groups=groups, **options)


def batch_norm(channels: int) -> BatchNorm:
    a, b, c = (noise(channels, seed=s) for s in (2, 3, 4))
    return BatchNorm(1 + 0.3 * a, b, 0.2 * c, 0.5 + np.abs(a))


def network(shape: tuple[int, ...], *nodes: tuple) -> Network:
    """A network of (name, layer) or (name, layer, inputs); without inputs a node takes the one before."""
    made, last = [], INPUT
    for name, layer, *inputs in nodes:
        made.append(Node(name, layer, tuple(inputs[0]) if inputs else (last,)))
        last = name
    return Network(tuple(made), shape)


def around(layer, shape: tuple[int, int, int] = (3, 5, 6)) -> Network:
    """A network with weights before and behind one layer of images."""
    before = ("before", conv(shape[0], 2, padding=(1, 1, 1, 1)))
    body = network((2, *shape[1:]), before, ("layer", layer), ("flatten", Flatten()))
    features = body.shapes["flatten"][0]
    end = ("end", Linear(noise(4, features) / np.sqrt(features), noise(4)))
    return network((2, *shape[1:]), before, ("layer", layer), ("flatten", Flatten()), end)


def run_from(net: Network, values: dict[str, np.ndarray], name: str, value: np.ndarray) -> np.ndarray:
    """Outputs of the last node, were the output of one node another."""
    known = dict(values) | {name: value}
    past = name == INPUT
    for node in net.nodes:
        if past:
            known[node.name] = node.layer.forward(*(known[source] for source in node.inputs))
        past |= node.name == name
    return known[net.nodes[-1].name]


def with_field(net: Network, name: str, field: str, array: np.ndarray) -> Network:
    nodes = tuple(
        dataclasses.replace(n, layer=dataclasses.replace(n.layer, **{field: array})) if n.name == name else n
        for n in net.nodes
    )
    return dataclasses.replace(net, nodes=nodes)


def numeric_of_field(
    net: Network, x: np.ndarray, up: np.ndarray, name: str, field: str, places, step: float = 2.0**-14
) -> list:
    """Central differences; weights step on the grid of float32, the difference is what they really moved."""
    layer = next(n.layer for n in net.nodes if n.name == name)
    found = []
    for place in places:
        moved = []
        for sign in (1, -1):
            array = getattr(layer, field).copy()
            array[place] += np.float32(sign * step)
            moved.append((array[place], (with_field(net, name, field, array).forward(x) * up).sum()))
        (high, up_sum), (low, down_sum) = moved
        found.append((up_sum - down_sum) / (np.float64(high) - np.float64(low)))
    return found


def check(net: Network, inputs: int = 3, most: int = 12, tolerance: float = 2e-6) -> None:
    """All derivatives of a random combination of logits, at up to ``most`` places of every array."""
    x = noise(inputs, *net.input_shape, seed=7).astype(np.float64)
    up = noise(inputs, net.classes, seed=8).astype(np.float64)
    values = net.activations(x)
    found = derivatives(net, values, up, outputs=True)
    generator = np.random.default_rng(3)
    for name, arrays in found.layers.items():
        layer = next(n.layer for n in net.nodes if n.name == name)
        held = {f.name for f in dataclasses.fields(layer)} & FIELDS
        assert set(arrays) == {field for field in held if getattr(layer, field) is not None}
        for field, array in arrays.items():
            assert array.shape == getattr(layer, field).shape and array.dtype == np.float64
            flat = generator.permutation(array.size)[:most]
            places = [np.unravel_index(i, array.shape) for i in flat]
            expected = numeric_of_field(net, x, up, name, field, places)
            scale = np.abs(array).max() + 1e-3
            given = [array[place] for place in places]
            np.testing.assert_allclose(given, expected, rtol=0, atol=tolerance * scale, err_msg=name + field)
    assert set(found.layers) == {n.name for n in net.nodes if RULES[type(n.layer)].own is not None}
    for name, flow in found.outputs.items():
        assert flow.shape == values[name].shape
        for i in generator.permutation(flow.size)[:most]:
            place = np.unravel_index(i, flow.shape)
            sums = []
            for step in (1e-6, -1e-6):
                value = values[name].copy()
                value[place] += step
                sums.append((run_from(net, values, name, value) * up).sum())
            expected = (sums[0] - sums[1]) / 2e-6
            np.testing.assert_allclose(flow[place], expected, rtol=0, atol=1e-7 * np.abs(flow).max() + 1e-8)


IMAGE_LAYERS = [
    conv(4, 3),
    conv(4, 3, (2, 3), stride=(2, 1), padding=(1, 0, 0, 2), dilation=(1, 2)),
    conv(6, 3, groups=3, padding=(1, 1, 1, 1)),
    conv(3, 3, groups=3, stride=(2, 2)),
    Conv2d(noise(2, 3, 1, 1)),
    batch_norm(3),
    ReLU(),
    ReLU6(),
    Sigmoid(),
    Tanh(),
    MaxPool2d((2, 2), (2, 2)),
    MaxPool2d((3, 2), (2, 1), (1, 0, 1, 1)),
    AveragePool2d((2, 2), (2, 2)),
    AveragePool2d((3, 3), (2, 2), (1, 1, 1, 1)),
    AveragePool2d((3, 3), (2, 2), (1, 1, 0, 0), count_padding=False),
    GlobalAveragePool(),
    PadChannels(2, 1),
    Subsample((2, 3)),
]


@pytest.mark.parametrize("layer", IMAGE_LAYERS, ids=lambda layer: layer.kind)
def test_every_layer_of_images(layer):
    check(around(layer))


def test_layers_of_vectors():
    check(
        network(
            (5,),
            ("a", Linear(noise(7, 5), noise(7))),
            ("norm", batch_norm(7)),
            ("tanh", Tanh()),
            ("share", Softmax()),
            ("b", Linear(noise(7, 7))),
            ("both", Add(), ["a", "b"]),
            ("side", Concat(), ["both", "tanh", INPUT]),
            ("end", Linear(noise(4, 19) / 4, noise(4))),
        )
    )


def test_every_kind_has_a_rule():
    assert set(RULES) == set(LAYERS.values())


def test_residuals_branches_and_a_final_softmax():
    net = network(
        (3, 8, 8),
        ("conv1", conv(4, 3, padding=(1, 1, 1, 1))),
        ("bn1", batch_norm(4)),
        ("relu1", ReLU()),
        ("conv2", conv(4, 4, padding=(1, 1, 1, 1))),
        ("add1", Add(), ["conv2", "relu1"]),
        ("sub", Subsample(), ["add1"]),
        ("short", PadChannels(2, 2)),
        ("conv3", conv(8, 4, padding=(1, 1, 1, 1), stride=(2, 2)), ["add1"]),
        ("add2", Add(), ["conv3", "short"]),
        ("relu2", ReLU()),
        ("pool", GlobalAveragePool()),
        ("end", Linear(noise(5, 8), noise(5))),
    )
    check(net)
    ended = dataclasses.replace(net, nodes=(*net.nodes, Node("p", Softmax(), ("end",))))
    x, up = noise(2, 3, 8, 8), noise(2, 5)
    plain, soft = (derivatives(n, n.activations(x), up).layers for n in (net, ended))
    np.testing.assert_array_equal(plain["conv1"]["weight"], soft["conv1"]["weight"])


def test_ties_pass_to_the_first_and_zero_is_flat():
    net = network((1, 1, 2), ("pool", MaxPool2d((1, 2))), ("relu", ReLU()), ("flat", Flatten()))
    for x, expected in (([3.0, 3.0], [1, 0]), ([0.0, -1.0], [0, 0])):
        values = net.activations(np.array(x, np.float32).reshape(1, 1, 1, 2))
        found = derivatives(net, values, np.ones((1, 1), np.float32), outputs=True)
        assert found.outputs[INPUT].ravel().tolist() == expected


def test_several_functions_at_once_are_each_one_alone():
    net = around(conv(6, 3, groups=3))
    values = net.activations(noise(4, *net.input_shape))
    all_classes = np.broadcast_to(np.eye(4, dtype=np.float32), (4, 4, 4))
    together = derivatives(net, values, all_classes, outputs=True)
    for c in range(4):
        alone = derivatives(net, values, all_classes[:, c], outputs=True)
        for name, arrays in alone.layers.items():
            for field, array in arrays.items():
                np.testing.assert_allclose(together.layers[name][field][c], array, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(together.outputs[INPUT][:, c], alone.outputs[INPUT], atol=1e-6)


def test_derivatives_from_a_node_in_the_middle():
    net = around(Tanh())
    values = net.activations(noise(3, *net.input_shape).astype(np.float64))
    whole = derivatives(net, values, noise(3, 4), outputs=True)
    part = derivatives(net, values, whole.outputs["layer"], at="layer", outputs=True)
    assert set(part.layers) == {"before"}
    np.testing.assert_allclose(part.layers["before"]["weight"], whole.layers["before"]["weight"])
    np.testing.assert_allclose(part.outputs[INPUT], whole.outputs[INPUT])


def test_chunks_change_nothing_and_hold_every_input_once(monkeypatch):
    net = around(conv(4, 3))
    x, y = noise(11, *net.input_shape).astype(np.float64), np.arange(11) % 4
    whole = weight_derivatives(net, x, lambda z, part: cross_entropy(z, y[part])[1])
    monkeypatch.setattr(workspace, "WORKSPACE", 40_000)
    parts = list(chunks(net, 11, itemsize=8))
    assert len(parts) > 2 and np.concatenate([np.arange(11)[p] for p in parts]).tolist() == list(range(11))
    cut = weight_derivatives(net, x, lambda z, part: cross_entropy(z, y[part])[1])
    np.testing.assert_allclose(cut[0], whole[0])
    for name, arrays in whole[1].items():
        for field, array in arrays.items():
            np.testing.assert_allclose(cut[1][name][field], array, rtol=1e-12, atol=1e-14)


def test_cross_entropy_is_that_of_scipy_and_its_slope_is_its_derivative():
    from scipy.special import log_softmax

    logits, labels = noise(6, 5).astype(np.float64) * 30, np.arange(6) % 5
    loss, slope = cross_entropy(logits, labels)
    np.testing.assert_allclose(loss, -log_softmax(logits, axis=1)[np.arange(6), labels])
    for c in range(5):
        step = np.eye(5)[c] * 1e-6
        rise = cross_entropy(logits + step, labels)[0] - cross_entropy(logits - step, labels)[0]
        np.testing.assert_allclose(slope[:, c], rise / 2e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("upstream", "at", "told"),
    [((3, 5), None, r"need shape \(3, 4\)"), ((2, 4), None, "they have shape"), ((3, 4), "x", "a node of")],
)
def test_what_does_not_fit_is_refused(upstream, at, told):
    net = around(ReLU())
    with pytest.raises(UserError, match=told):
        derivatives(net, net.activations(noise(3, *net.input_shape)), np.zeros(upstream), at=at)


def shared_network(name: str, dataset: str, count: int) -> tuple[Network, np.ndarray, np.ndarray]:
    models = shared_folder("models")
    folder = mnist_folder() if dataset == "mnist" else shared_folder(dataset)
    if models is None or folder is None:
        pytest.skip(WHERE)
    net = rl.load_network(models / f"{name}.onnx")
    net = dataclasses.replace(net, preprocessing=PRESETS["unit" if dataset == "mnist" else "imagenet"])
    data = rl.load_dataset(dataset, folder).head(count)
    return net, net.prepare(data.x), data.y


def largest_errors(net: Network, x: np.ndarray, up: np.ndarray, most: int) -> float:
    """Largest error of derivatives against differences, in units of each array's largest derivative."""
    x, up = x.astype(np.float64), up.astype(np.float64)
    found = derivatives(net, net.activations(x), up).layers
    generator, errors = np.random.default_rng(0), []
    for name, arrays in found.items():
        for field, array in arrays.items():
            places = [np.unravel_index(i, array.shape) for i in generator.permutation(array.size)[:most]]
            expected = np.array(numeric_of_field(net, x, up, name, field, places, 2.0**-20))
            given = np.array([array[place] for place in places])
            errors.append(np.median(np.abs(given - expected)) / np.abs(array).max())
    return max(errors)


def test_digits_network_against_differences():
    data = rl.load_dataset("digits").head(20)
    net = rl.load_network("digits-mlp")
    assert largest_errors(net, net.prepare(data.x), noise(20, 10), 60) < 1e-9


# Medians and short steps: a step now and then carries one of so many ReLUs across its kink.
def test_lenet_against_differences():
    net, x, _ = shared_network("mnist_lenet5_relu", "mnist", 3)
    assert largest_errors(net, x, noise(3, 10), 15) < 1e-8


def test_resnet20_against_differences():
    net, x, _ = shared_network("resnet20_cifar10", "cifar10", 1)
    assert largest_errors(net, x, noise(1, 10), 3) < 1e-7


def torch_derivatives(net: Network, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The derivatives of the summed cross-entropy that PyTorch gives, by weights, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    functional = torch.nn.functional
    weights, values = {}, {INPUT: torch.from_numpy(x)}

    def tensor(array):
        return None if array is None else torch.from_numpy(array.astype(np.float64))

    def apply(name, layer, a, *rest):
        if isinstance(layer, Linear | Conv2d):
            weights[name] = tensor(layer.weight).requires_grad_()
        if isinstance(layer, Linear):
            return functional.linear(a, weights[name], tensor(layer.bias))
        if isinstance(layer, Conv2d):
            padding = layer.padding[:2]
            return functional.conv2d(a, weights[name], tensor(layer.bias), layer.stride, padding)
        if isinstance(layer, BatchNorm):
            mean, variance, scale, shift = map(tensor, (layer.mean, layer.variance, layer.scale, layer.shift))
            return functional.batch_norm(a, mean, variance, scale, shift, eps=layer.epsilon)
        if isinstance(layer, PadChannels):
            return functional.pad(a, (0, 0, 0, 0, layer.before, layer.after))
        if isinstance(layer, Subsample):
            return a[:, :, :: layer.step[0], :: layer.step[1]]
        plain = {
            ReLU: torch.relu,
            Add: lambda a: a + rest[0],
            Flatten: lambda a: a.flatten(1),
            GlobalAveragePool: lambda a: a.mean((2, 3)),
            MaxPool2d: lambda a: functional.max_pool2d(a, layer.kernel, layer.stride),
        }
        return plain[type(layer)](a)

    for node in net.nodes:
        values[node.name] = apply(node.name, node.layer, *(values[source] for source in node.inputs))
    loss = functional.cross_entropy(
        values[net.nodes[-1].name], torch.from_numpy(labels.copy()), reduction="sum"
    )
    loss.backward()
    return {name: weight.grad.numpy() for name, weight in weights.items()}


@pytest.mark.parametrize(
    ("name", "dataset"), [("mnist_lenet5_relu", "mnist"), ("resnet20_cifar10", "cifar10")]
)
def test_pytorch_gives_the_same(name, dataset):
    net, x, labels = shared_network(name, dataset, 16)
    x = x.astype(np.float64)
    expected = torch_derivatives(net, x, labels)
    _, found = weight_derivatives(net, x, lambda z, part: cross_entropy(z, labels[part])[1])
    for layer, array in expected.items():
        tolerance = 1e-10 * np.abs(array).max()
        np.testing.assert_allclose(found[layer]["weight"], array, rtol=0, atol=tolerance, err_msg=layer)
