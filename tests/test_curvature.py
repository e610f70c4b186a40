"""Second derivatives by single weights: a worked example, differences of gradients, real networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from shared_data import WHERE, mnist_folder, shared_folder

import reliability as rl
from reliability.curvature import load_second_derivatives, save_second_derivatives, second_derivatives
from reliability.derivatives import cross_entropy, derivatives, logits_node, weight_derivatives
from reliability.errors import UserError
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
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from reliability.network import INPUT, Network, Node, mlp
from reliability.preprocessing import PRESETS


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def network(shape: tuple[int, ...], *nodes: tuple) -> Network:
    """A network of (name, layer) or (name, layer, inputs); without inputs a node takes the one before."""
    made, last = [], INPUT
    for name, layer, *inputs in nodes:
        made.append(Node(name, layer, tuple(inputs[0]) if inputs else (last,)))
        last = name
    return Network(tuple(made), shape)


def numeric(net: Network, x: np.ndarray, y: np.ndarray, step: float) -> dict[str, np.ndarray]:
    """Central differences of gradients in float64, one weight at a time on the grid of float32."""
    found = {}
    x = net.prepare(x).astype(np.float64)
    for at, node in enumerate(net.nodes):
        if not isinstance(node.layer, Linear | Conv2d):
            continue
        values = np.empty(node.layer.weight.shape)
        for place in np.ndindex(values.shape):
            ends = []
            for sign in (1, -1):
                weight = node.layer.weight.copy()
                weight[place] += np.float32(sign * step)
                layer = dataclasses.replace(node.layer, weight=weight)
                nodes = (*net.nodes[:at], dataclasses.replace(node, layer=layer), *net.nodes[at + 1 :])
                moved = dataclasses.replace(net, nodes=nodes)
                slope = weight_derivatives(moved, x, lambda z, part: cross_entropy(z, y[part])[1] / len(y))
                ends.append((np.float64(weight[place]), slope[1][node.name]["weight"][place]))
            values[place] = (ends[0][1] - ends[1][1]) / (ends[0][0] - ends[1][0])
        found[node.name] = values
    return found


def example() -> tuple[Network, np.ndarray, np.ndarray]:
    """The worked example of the references: two inputs, two hidden neurons, two classes."""
    net = mlp([np.array([[0.5, -0.3], [0.2, 0.8]]), np.array([[1, -0.5], [-0.4, 0.7]])], [None, None])
    return net, np.array([[1.0, 2.0]]), np.array([0])


def test_swim_of_the_worked_example():
    found = second_derivatives(*example(), "swim")
    np.testing.assert_allclose(found["fc2"], [[0, 0.300377], [0, 0.300377]], atol=6e-7)
    np.testing.assert_allclose(found["fc1"], [[0, 0], [0.068605, 0.274418]], atol=6e-7)


@pytest.mark.parametrize("method", ["gauss-newton", "hessian"])
def test_exact_diagonal_of_the_worked_example(method):
    found = second_derivatives(*example(), method)
    np.testing.assert_allclose(found["fc2"], [[0, 0.300377], [0, 0.300377]], atol=6e-7)
    np.testing.assert_allclose(found["fc1"], [[0, 0], [0.133501, 0.534003]], atol=6e-7)


def digits(count: int) -> tuple[Network, np.ndarray, np.ndarray]:
    data = rl.load_dataset("digits", split="train").head(count)
    return rl.load_network("digits-mlp"), data.x, data.y


def test_last_layer_of_swim_is_the_exact_diagonal():
    net, x, y = digits(100)
    swim, exact = (second_derivatives(net, x, y, method) for method in ("swim", "hessian"))
    np.testing.assert_allclose(swim["fc2"], exact["fc2"], rtol=1e-10, atol=1e-15)
    assert np.abs(swim["fc1"] - exact["fc1"]).max() > 0.1 * exact["fc1"].max()


RELU_NETWORK = (
    ("conv1", Conv2d(noise(4, 2, 3, 3) / 3, noise(4), padding=(1, 1, 1, 1))),
    ("norm1", BatchNorm(1 + 0.3 * noise(4), noise(4), noise(4) / 5, 0.5 + np.abs(noise(4)))),
    ("relu1", ReLU()),
    ("conv2", Conv2d(noise(4, 2, 3, 3, seed=1) / 3, None, padding=(1, 1, 1, 1), groups=2)),
    ("add", Add(), ["conv2", "relu1"]),
    ("pool", MaxPool2d((2, 2), (2, 2))),
    ("mean", AveragePool2d((2, 2), (1, 1))),
    ("flat", Flatten()),
    ("hidden", Linear(noise(5, 16) / 4, noise(5))),
    ("relu2", ReLU()),
    ("end", Linear(noise(3, 5), noise(3))),
)


def bent_network(outer) -> tuple[tuple, ...]:
    return (
        ("conv1", Conv2d(noise(3, 2, 3, 3) / 3, noise(3))),
        ("tanh", Tanh()),
        ("conv2", Conv2d(noise(4, 3, 2, 2, seed=1) / 2, noise(4))),
        ("sigmoid", Sigmoid()),
        ("flat", Flatten()),
        ("hidden", Linear(noise(4, 16) / 4, noise(4))),
        ("share", Softmax()),
        ("side", Linear(noise(4, 16, seed=2) / 4, noise(4)), ["flat"]),
        ("both", Concat(), ["share", "side"]),
        ("end", Linear(noise(5, 8), noise(5))),
        ("outer", outer),
    )


@pytest.mark.parametrize(
    ("nodes", "size"),
    [(RELU_NETWORK, 6), (bent_network(Tanh()), 5), (bent_network(Softmax()), 5)],
    ids=["relu", "bent", "softmax at the end"],
)
def test_hessian_diagonal_equals_differences_of_gradients(nodes, size):
    net = network((2, size, size), *nodes)
    x, y = noise(4, 2, size, size, seed=5), np.arange(4) % net.classes
    found = second_derivatives(net, x, y, "hessian")
    for name, expected in numeric(net, x, y, 2.0**-13).items():
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    bends = [np.abs(found[n] - g).max() for n, g in second_derivatives(net, x, y, "gauss-newton").items()]
    assert max(bends) == 0 if nodes is RELU_NETWORK else min(bends[:2]) > 1e-4


def test_gauss_newton_is_what_its_definition_gives():
    """J' H J, built input by input from each class's derivatives."""
    net = network((2, 5, 5), *bent_network(Tanh()))
    x, y = noise(6, 2, 5, 5, seed=6), np.zeros(6, np.int64)
    found = second_derivatives(net, x, y, "gauss-newton")
    expected = {name: np.zeros(array.shape) for name, array in found.items()}
    for one in x.astype(np.float64):
        values = net.activations(one[None])
        jacobians = derivatives(net, values, np.eye(net.classes)[None]).layers
        p = Softmax().forward(values[logits_node(net)])[0]
        middle = np.diag(p) - np.outer(p, p)
        for name, total in expected.items():
            j = jacobians[name]["weight"]
            total += np.einsum("c...,cd,d...->...", j, middle, j) / len(x)
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("pool", "factor"),
    [(GlobalAveragePool(), 9 / 81), (AveragePool2d((3, 3)), 9 / 81), (MaxPool2d((3, 3)), 1)],
)
def test_swim_passes_pools_by_the_squares_of_their_entries(pool, factor):
    """One weight, nine equal places: each passes on the square of its share."""
    end = np.array([[1.0], [0.0]])
    nodes = (
        ("conv", Conv2d(np.array([[[[2.0]]]]))),
        ("pool", pool),
        ("flat", Flatten()),
        ("end", Linear(end)),
    )
    net = network((1, 3, 3), *nodes)
    x = np.ones((1, 1, 3, 3), np.float32)
    p = 1 / (1 + np.exp(-2.0))
    found = second_derivatives(net, x, np.array([0]))
    np.testing.assert_allclose(found["conv"].ravel(), [p * (1 - p) * factor], rtol=1e-12)


def test_swim_adds_up_the_branches_of_a_residual():
    weight = np.array([[1.0], [3.0]])
    net = network(
        (1,),
        ("a", Linear(np.array([[2.0]]))),
        ("b", Linear(np.array([[5.0]]))),
        ("sum", Add(), ["a", "b"]),
        ("end", Linear(weight)),
    )
    x = 0.125
    found = second_derivatives(net, np.full((1, 1), x), np.array([1]))
    p = 1 / (1 + np.exp(24 * x))
    at_sum = p * (1 - p) * (1 + 9)
    np.testing.assert_allclose(found["b"], [[at_sum * (2 * x) ** 2]], rtol=1e-9)
    np.testing.assert_allclose(found["a"], [[at_sum * (1 + 25) * x**2]], rtol=1e-9)


def test_a_file_holds_what_was_saved_and_fits_one_network(tmp_path):
    net, x, y = digits(10)
    found = second_derivatives(net, x, y)
    save_second_derivatives(tmp_path / "swim.npz", found)
    read = load_second_derivatives(tmp_path / "swim.npz", net)
    assert read.keys() == found.keys() and all((read[name] == found[name]).all() for name in read)
    with pytest.raises(UserError, match="holds layers"):
        load_second_derivatives(tmp_path / "swim.npz", example()[0])
    with pytest.raises(UserError, match="does not exist"):
        save_second_derivatives(tmp_path / "none" / "swim.npz", found)


def test_what_is_refused():
    net, x, y = digits(3)
    with pytest.raises(UserError, match='must be "swim"'):
        second_derivatives(net, x, y, "newton")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="one class from 0 to 9"):
        second_derivatives(net, x, y + 9)
    with pytest.raises(UserError, match="network holds a str"):
        second_derivatives("digits-mlp", x, y)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="there are no inputs"):
        second_derivatives(net, x[:0], y[:0])


@pytest.mark.parametrize(
    ("name", "dataset", "count"), [("mnist_lenet5_relu", "mnist", 20), ("resnet20_cifar10", "cifar10", 4)]
)
def test_real_networks(name, dataset, count):
    models = shared_folder("models")
    folder = mnist_folder() if dataset == "mnist" else shared_folder(dataset)
    if models is None or folder is None:
        pytest.skip(WHERE)
    net = rl.load_network(models / f"{name}.onnx")
    net = dataclasses.replace(net, preprocessing=PRESETS["unit" if dataset == "mnist" else "imagenet"])
    data = rl.load_dataset(dataset, folder).head(count)
    swim, exact = (second_derivatives(net, data.x, data.y, method) for method in ("swim", "gauss-newton"))
    last = net.weighted[-1].name
    np.testing.assert_allclose(swim[last], exact[last], rtol=1e-9, atol=1e-18)
    for node in net.weighted:
        assert swim[node.name].shape == node.layer.weight.shape
        assert (swim[node.name] >= 0).all() and (exact[node.name] >= 0).all() and exact[node.name].max() > 0
