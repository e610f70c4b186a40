"""Convolutional networks on chips: every layer as the digital network computes it, noise where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reliability as rl
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
    PadChannels,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
    Subsample,
    Tanh,
)
from reliability.lowering import unrolled
from reliability.network import Network, Node, fold_batch_norms
from reliability.simulation import Simulation

IDEAL = rl.devices.ideal()
INPUTS = 37  # two whole vectors and part of another


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
    made, last = [], "input"
    for name, layer, *inputs in nodes:
        made.append(Node(name, layer, tuple(inputs[0]) if inputs else (last,)))
        last = name
    return Network(tuple(made), shape)


def ended(net_shape: tuple[int, ...], *nodes: tuple) -> Network:
    """The same with a fully connected layer at its end."""
    body = network(net_shape, *nodes, ("end.flatten", Flatten()))
    features = body.shapes["end.flatten"][0]
    return network(
        net_shape, *nodes, ("end.flatten", Flatten()), ("end", Linear(noise(4, features) / 9, noise(4)))
    )


def inputs_of(net: Network, count: int = INPUTS) -> tuple[np.ndarray, np.ndarray]:
    x = noise(count, *net.input_shape, seed=7)
    return x, np.arange(count) % net.classes


def logits(net: Network, chip: rl.Chip, **options) -> np.ndarray:
    """Logits that the kernels compute, (trials, inputs, classes), one row a trial."""
    seen = []
    x, y = inputs_of(net)
    rl.simulate(net, (x, y), chip, metric=lambda z, _: seen.append(z) or np.zeros(len(z)), **options)
    # The digital network's own logits come first.
    return np.stack(seen[1:])


def check_ideal(net: Network, chip: rl.Chip | None = None) -> None:
    x, _ = inputs_of(net)
    digital = net.forward(net.prepare(x))
    found = logits(net, chip or rl.Chip(device=IDEAL), chips=1)[0]
    assert np.abs(found - digital).max() <= 1e-5 * np.abs(digital).max()


@given(
    channels=st.sampled_from([1, 3, 4]),
    outputs=st.sampled_from([1, 4, 8, 12]),
    size=st.tuples(st.integers(3, 9), st.integers(3, 11)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    rows=st.sampled_from([1, 5, 16, 100, "layer"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_convolutions_of_any_shape_equal_the_digital_ones(
    channels, outputs, size, kernel, stride, padding, dilation, rows
):
    layer = conv(outputs, channels, kernel, stride=stride, padding=padding, dilation=dilation)
    try:
        net = ended((channels, *size), ("conv", layer))
    except UserError:
        return  # the window does not fit the image
    check_ideal(net, rl.Chip(device=IDEAL, tile=rl.Tile(rows=rows)))


@pytest.mark.parametrize(("channels", "outputs", "groups"), [(4, 8, 2), (6, 6, 3), (5, 5, 5), (4, 12, 4)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_grouped_and_depthwise_convolutions(channels, outputs, groups, dilation):
    layer = conv(outputs, channels, groups=groups, padding=(1, 1, 1, 1), dilation=dilation)
    check_ideal(
        ended((channels, 7, 8), ("conv", layer), ("relu", ReLU())), rl.Chip(device=IDEAL, tile=rl.Tile(5))
    )


@pytest.mark.parametrize(
    "layer",
    [
        ReLU(),
        ReLU6(),
        Sigmoid(),
        Tanh(),
        batch_norm(4),
        MaxPool2d((2, 2), (2, 2)),
        MaxPool2d((3, 2), (2, 1), (1, 0, 1, 1)),
        AveragePool2d((2, 2), (2, 2)),
        AveragePool2d((3, 3), (2, 2), (1, 1, 1, 1)),
        AveragePool2d((3, 3), (2, 2), (1, 1, 0, 0), count_padding=False),
        GlobalAveragePool(),
        PadChannels(2, 1),
        Subsample((2, 3)),
    ],
    ids=lambda layer: layer.kind,
)
@pytest.mark.parametrize("first", [True, False])
def test_every_digital_layer_before_and_after_a_convolution(layer, first):
    channels = layer.output_shape((4, 8, 9))[0] if first else 4
    nodes = [("conv", conv(4, channels, padding=(1, 1, 1, 1))), ("layer", layer)]
    if first and layer.kind != "global_average_pool":
        nodes.reverse()
    check_ideal(ended((4, 8, 9), *nodes))


def residual(option: str) -> Network:
    """Two blocks with shortcuts: one of equal shape, one that halves the image."""
    same, half = {"padding": (1, 1, 1, 1)}, {"padding": (1, 1, 1, 1), "stride": (2, 2)}
    shortcut = (
        [("sub", Subsample(), ["relu2"]), ("short", PadChannels(2, 2))]
        if option == "A"
        else [("short", conv(8, 4, (1, 1), stride=(2, 2)), ["relu2"])]
    )
    return network(
        (3, 8, 8),
        ("conv1", conv(4, 3, **same)),
        ("bn1", batch_norm(4)),
        ("relu1", ReLU()),
        ("conv2", conv(4, 4, **same)),
        ("bn2", batch_norm(4)),
        ("add1", Add(), ["bn2", "relu1"]),
        ("relu2", ReLU()),
        ("conv3", conv(8, 4, **half)),
        ("bn3", batch_norm(8)),
        ("relu3", ReLU()),
        ("conv4", conv(8, 8, **same)),
        ("bn4", batch_norm(8)),
        *shortcut,
        ("add2", Add(), ["bn4", "short"]),
        ("relu4", ReLU6()),
        ("pool", GlobalAveragePool()),
        ("end", Linear(noise(5, 8), noise(5))),
        ("p", Softmax()),
    )


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("folded", ["digital", "folded"])
@pytest.mark.parametrize("bias", ["digital", "devices"])
def test_residual_networks(option, folded, bias):
    mapping = rl.Mapping(bias=bias, batch_norm=folded)
    check_ideal(residual(option), rl.Chip(device=IDEAL, mapping=mapping))


def test_folding_batch_norms_changes_no_logit():
    net = residual("A")
    folded = fold_batch_norms(net)
    assert not [node for node in folded.nodes if isinstance(node.layer, BatchNorm)]
    x, _ = inputs_of(net)
    np.testing.assert_allclose(
        folded.forward(x), net.forward(x), rtol=0, atol=2e-6 * np.abs(net.forward(x)).max()
    )


def test_branches_side_by_side():
    net = ended(
        (3, 6, 6),
        ("stem", conv(4, 3, padding=(1, 1, 1, 1))),
        ("a", conv(2, 4, (1, 1)), ["stem"]),
        ("b", conv(3, 4, padding=(1, 1, 1, 1)), ["stem"]),
        ("pool", MaxPool2d((3, 3), (1, 1), (1, 1, 1, 1)), ["stem"]),
        ("all", Concat(), ["a", "b", "pool"]),
        ("tanh", Tanh()),
        ("next", conv(5, 9, padding=(1, 0, 1, 0))),
    )
    check_ideal(net)


def with_devices(net: Network, chip: rl.Chip, seed: int, number: int) -> Network:
    """The digital network with the weights that a Gaussian chip's devices hold, worked out in NumPy."""
    draws = rl.draw_latents(net, chip, chips=1, first_chip=number, seed=seed)
    nodes = []
    for node in net.nodes:
        layer = node.layer
        if isinstance(layer, Conv2d):
            matrix = unrolled(layer, (layer.weight.shape[1] * layer.groups, 1, 1)).astype(np.float64)
            w_max = np.abs(matrix).max()
            z = draws[node.name, "programming"][0].astype(np.float64)
            plus = np.maximum(np.maximum(matrix, 0) / w_max + chip.device.sigma * z[0], 0)
            minus = np.maximum(np.maximum(-matrix, 0) / w_max + chip.device.sigma * z[1], 0)
            out, per_group, height, width = layer.weight.shape
            weight = ((plus - minus) * w_max).reshape(out, height, width, per_group).transpose(0, 3, 1, 2)
            layer = Conv2d(weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        nodes.append(Node(node.name, layer, node.inputs))
    return Network(tuple(nodes), net.input_shape)


@pytest.mark.parametrize("groups", [1, 2])
def test_noisy_devices_stand_where_the_unrolled_matrix_says(groups):
    net = ended(
        (4, 7, 6),
        ("one", conv(6, 4, groups=groups, padding=(1, 1, 1, 1))),
        ("relu", ReLU()),
        ("two", conv(8, 6, (2, 3), groups=groups, stride=(2, 1))),
    )
    chip = rl.Chip(
        device=rl.devices.gaussian(sigma=0.2, clamp=True), layers={"end": rl.LayerChip(analog=False)}
    )
    found = logits(net, chip, chips=3, seed=5)
    x, _ = inputs_of(net)
    for number in range(3):
        expected = with_devices(net, chip, 5, number).forward(x)
        assert np.abs(found[number] - expected).max() <= 3e-6 * np.abs(expected).max()


def test_every_place_of_a_convolution_reads_its_devices_anew():
    """White read noise of an output place has the variance of its own inputs, and no other place's noise."""
    net = network((2, 4, 5), ("conv", conv(3, 2)), ("flatten", Flatten()), ("end", Linear(np.eye(18))))
    sigma = 0.05
    chip = rl.Chip(
        device=rl.devices.gaussian(sigma=0.0, read_sigma=sigma), layers={"end": rl.LayerChip(analog=False)}
    )
    found = logits(net, chip, chips=4000)
    x, _ = inputs_of(net)
    layer = net.nodes[0].layer
    squares = Conv2d(np.ones_like(layer.weight)).forward(x**2)
    variance = 2 * (sigma * np.abs(layer.weight).max()) ** 2 * squares.reshape(len(x), -1)
    errors = (found - net.forward(x)) / np.sqrt(variance)
    n = errors.shape[0] * errors.shape[1]
    assert np.abs(errors.mean(axis=(0, 1))).max() < 5 / np.sqrt(n)
    assert np.abs(errors.var(axis=(0, 1)) - 1).max() < 5 * np.sqrt(2 / n)
    correlation = np.corrcoef(errors.reshape(n, -1).T) - np.eye(18)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(n)


def test_compensation_times_and_threads_on_a_residual_network():
    net = residual("A")
    vary = {"time_s": [0, 1e6], "compensation": ["none", "global"]}
    x, y = inputs_of(net)
    one = rl.simulate(net, (x, y), rl.Chip(), vary=vary, chips=9, threads=1)
    three = rl.simulate(net, (x, y), rl.Chip(), vary=vary, chips=9, threads=3)
    assert one.equals(three)
    first = one[one["time_s"] == 0].pivot(index="chip", columns="compensation", values="checksum")
    assert (first["none"] == first["global"]).all(), "at the reference read the factor is 1"
    later = one[one["time_s"] > 0].pivot(index="chip", columns="compensation", values="checksum")
    assert (later["none"] != later["global"]).all()


def test_the_digital_network_is_the_same_by_the_kernels(monkeypatch):
    net = residual("B")
    x, y = inputs_of(net)
    plain = Simulation(net, (x, y), rl.Chip()).reference
    monkeypatch.setattr("reliability.logits._LONG", 0)
    np.testing.assert_array_equal(Simulation(net, (x, y), rl.Chip()).reference, plain)


def test_a_flattened_image_goes_only_into_a_linear_layer():
    net = network(
        (2, 4, 4),
        ("conv", conv(2, 2)),
        ("flat", Flatten()),
        ("norm", batch_norm(8)),
        ("end", Linear(noise(3, 8))),
    )
    with pytest.raises(UserError, match="node 'norm': a flattened image can only go into a linear layer"):
        rl.simulate(net, inputs_of(net), rl.Chip(), chips=1)
