"""The digital network: its forward pass, its checks, and its file."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from reliability.errors import UserError
from reliability.network import (
    Flatten,
    Linear,
    Network,
    Node,
    Preprocessing,
    ReLU,
    Softmax,
    arrays_of,
    load_network,
    mlp,
)

# Small whole numbers: the forward pass below is exact, and done by hand.
W1 = np.array([[1, -2, 0, 1], [0, 1, 1, -1], [2, 0, -1, 0]], np.float32)
B1 = np.array([0, 1, -3], np.float32)
W2 = np.array([[1, -1, 2], [0, 3, 1]], np.float32)


@pytest.fixture
def network() -> Network:
    """Two layers, inputs of shape (2, 2) halved and shifted first; the second layer has no bias."""
    preprocessing = Preprocessing(scale=0.5, mean=(1,), std=(2,))
    return mlp(
        [W1, W2],
        [B1, None],
        input_shape=(2, 2),
        preprocessing=preprocessing,
        name="small",
        about="made by hand",
    )


def test_forward_equals_the_hand_computation(network):
    # (x / 2 - 1) / 2 of (6, 2, 10, 2) is (1, 0, 2, 0); W1 gives (1, 2, 0), B1 makes it (1, 3, -3),
    # ReLU (1, 3, 0).
    prepared = network.prepare(np.array([[[6, 2], [10, 2]]], np.uint8))
    assert prepared.tolist() == [[[1, 0], [2, 0]]]
    assert prepared.dtype == np.float32
    logits = network.forward(prepared)
    assert logits.tolist() == [[-2, 9]]
    assert logits.dtype == np.float32


def test_what_a_network_says_about_itself(network):
    assert [node.name for node in network.nodes] == ["flatten", "fc1", "relu1", "fc2"]
    assert network.classes == 2
    assert network.weights == 12 + 3 + 6
    assert network.shapes["relu1"] == (3,)


def test_softmax_is_a_distribution_and_changes_no_decision():
    logits = np.array([[1000, 1001, 999], [-1, -2, -3]], np.float32)
    p = Softmax().forward(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(p[0, 0] / p[0, 1], np.exp(-1), rtol=1e-6)
    assert (p.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_preprocessing_is_by_channel():
    x = np.full((2, 3, 4, 5), 255, np.uint8)
    y = Preprocessing(1 / 255, mean=(0, 0.5, 1), std=(1, 0.5, 2)).apply(x)
    np.testing.assert_allclose(y[:, :, 0, 0], [[1, 1, 0]] * 2, atol=1e-6)
    assert y.shape == x.shape


def test_graph_may_branch_and_the_last_node_gives_the_logits():
    nodes = (
        Node("left", Linear(W1)),
        Node("right", Linear(2 * W1)),
        Node("out", ReLU(), ("left",)),
    )
    x = np.array([[1, 0, 2, 0]], np.float32)
    assert Network(nodes, (4,)).forward(x).tolist() == [[1, 2, 0]]
    other = (*nodes[:2], Node("out", ReLU(), ("right",)))
    assert Network(other, (4,)).forward(x).tolist() == [[2, 4, 0]]


def test_weights_are_the_networks_own():
    w = W1.copy()
    layer = Linear(w)
    w[0, 0] = 7
    assert layer.weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 7


# --- what is refused


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_counted(value):
    w = W1.copy()
    w[1, :2] = value
    with pytest.raises(UserError, match=r"network 'bad': layer 'fc1' has 2 of 12 weight entries"):
        mlp([w, W2], [B1, None], name="bad")
    with pytest.raises(UserError, match=r"layer 'fc1' has 1 of 3 bias entries"):
        mlp([W1, W2], [np.array([0, value, 0]), None])


def test_shapes_that_do_not_fit_name_the_node():
    with pytest.raises(UserError, match=r"node 'fc2': a linear layer with 4 inputs .* shape \(3,\)"):
        mlp([W1, W1], [None, None])
    with pytest.raises(UserError, match=r"node 'fc1': a linear layer with 4 inputs .* shape \(9,\)"):
        mlp([W1], [None], input_shape=(3, 3))
    with pytest.raises(UserError, match="bias has 2 entries for 3 outputs"):
        Linear(W1, np.zeros(2))
    with pytest.raises(UserError, match=r"weight needs 2 axes, has shape \(4,\)"):
        Linear(np.zeros(4))
    with pytest.raises(UserError, match="weight needs 2 axes"):
        Linear(np.zeros((0, 4)))
    with pytest.raises(UserError, match="not an array of numbers"):
        Linear([["a"]])
    with pytest.raises(UserError, match="softmax takes a vector"):
        Network((Node("p", Softmax()),), (2, 2))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: mlp([W1, W2], [B1]), "as many biases .* was given 2 and 1"),
        (lambda: mlp([], [], input_shape=(8, 8)), "one matrix of weights or more .* was given 0 and 0"),
        (lambda: mlp("ab", [None, None]), "weights holds a str; it must be a list, a tuple or an ndarray"),
        (lambda: mlp([W1], None), "biases holds None"),
        (lambda: mlp([B1], [None]), r"weight needs 2 axes, has shape \(3,\)"),
        (lambda: mlp([W1], [B1], input_shape=4), "input_shape = 4 must be whole lengths above 0"),
        (lambda: mlp([W1], [B1], input_shape=(2.5,)), r"input_shape = \(2.5,\) must be whole lengths"),
        (lambda: mlp([W1], [B1], input_shape=()), r"input_shape = \(\) must be whole lengths"),
        (lambda: mlp([W1], [B1], input_shape="4"), "input_shape = '4' must be whole lengths"),
        (lambda: mlp([W1], [B1], preprocessing="unit"), "preprocessing holds a str; .* .parse_preprocessing"),
        (lambda: Network((Node("fc", Linear(W1)),), 4), "input_shape = 4 must be whole lengths above 0"),
        (lambda: load_network(None), "name holds None; it must be a str or a Path"),
    ],
)
def test_arguments_of_another_kind_are_told(make, told):
    with pytest.raises(UserError, match=told) as error:
        make()
    assert "\n" not in str(error.value)


def test_graph_mistakes_name_the_node():
    fc = Node("fc", Linear(W1))
    with pytest.raises(UserError, match="two nodes are named 'fc'"):
        Network((fc, Node("fc", ReLU(), ("fc",))), (4,))
    with pytest.raises(UserError, match="two nodes are named 'input'"):
        Network((Node("input", Linear(W1)),), (4,))
    with pytest.raises(UserError, match=r"node 'relu' takes 'fd'"):
        Network((fc, Node("relu", ReLU(), ("fd",))), (4,))
    with pytest.raises(UserError, match=r"node 'relu' takes 'fc', which no earlier node gives"):
        Network((Node("relu", ReLU(), ("fc",)), fc), (4,))
    with pytest.raises(UserError, match="takes one input, is given 0"):
        Network((Node("fc", Linear(W1), ()),), (4,))
    with pytest.raises(UserError, match="takes one input, is given 2"):
        Network((fc, Node("relu", ReLU(), ("fc", "fc"))), (4,))
    with pytest.raises(UserError, match="lengths above 0"):
        Network((fc,), (-1, -4))
    with pytest.raises(UserError, match="3 channels does not fit"):
        Network((fc,), (4,), Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)))
    with pytest.raises(UserError, match="must end in a vector of logits"):
        Network((Node("relu", ReLU()),), (2, 2))
    with pytest.raises(UserError, match="must end in a vector of logits"):
        Network((), (4,))


def test_inputs_that_do_not_fit_are_refused(network):
    with pytest.raises(UserError, match=r"takes inputs of shape \(2, 2\), the dataset has .* \(3,\)"):
        network.prepare(np.zeros((5, 3)))
    with pytest.raises(UserError, match="takes inputs"):
        network.prepare(np.zeros(4))
    with pytest.raises(UserError, match="takes inputs"):
        network.prepare(np.array([["a", "b", "c", "d"]]))
    with pytest.raises(UserError, match="not finite"):
        network.prepare(np.full((1, 4), np.nan))
    assert network.prepare(np.zeros((5, 4))).shape == (5, 2, 2)


def test_preprocessing_mistakes_are_refused():
    for mistake in ({"std": (0,)}, {"std": (-1,)}, {"scale": np.nan}, {"mean": (np.inf,)}):
        with pytest.raises(UserError, match="finite numbers and standard deviations above zero"):
            Preprocessing(**mistake)
    with pytest.raises(UserError, match="as many means"):
        Preprocessing(mean=(0, 0, 0))


# --- the file


def rewrite(path, **changes) -> None:
    """Write a network's file again with other entries; None removes one."""
    with np.load(path) as file:
        entries = dict(file) | changes
    np.savez(path, **{key: value for key, value in entries.items() if value is not None})


def description(path) -> dict:
    with np.load(path) as file:
        return json.loads(file["network"].tobytes())


def text(value) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


@pytest.fixture
def path(network, tmp_path):
    network.save(tmp_path / "small.npz")
    return tmp_path / "small.npz"


def test_round_trip_is_identical(network, path):
    again = load_network(path)
    assert (again.name, again.about, again.input_shape) == ("small", "made by hand", (2, 2))
    assert vars(again.preprocessing) == vars(network.preprocessing)
    assert len(again.nodes) == len(network.nodes)
    for a, b in zip(again.nodes, network.nodes, strict=True):
        assert (a.name, a.inputs, type(a.layer)) == (b.name, b.inputs, type(b.layer))
        assert arrays_of(a.layer).keys() == arrays_of(b.layer).keys()
        for key, array in arrays_of(a.layer).items():
            assert array.dtype == np.float32
            assert array.tobytes() == arrays_of(b.layer)[key].tobytes()
    x = np.random.default_rng(1).integers(0, 255, (20, 2, 2))
    assert again.forward(again.prepare(x)).tobytes() == network.forward(network.prepare(x)).tobytes()
    again.save(path.with_name("again.npz"))
    assert path.with_name("again.npz").read_bytes() == path.read_bytes()


def test_names_with_slashes_and_other_letters_survive(tmp_path):
    # ONNX names are like this, and one may be the start of another.
    nodes = (
        Node("/fc", Linear(W1, B1)),
        Node("/fc/ReLU é", ReLU(), ("/fc",)),
        Node("/fc/2", Linear(W2), ("/fc/ReLU é",)),
        Node("softmax", Softmax(), ("/fc/2",)),
    )
    network = Network(nodes, (4,), about="µS, “quoted”\nsecond line")
    network.save(tmp_path / "n.npz")
    again = load_network(str(tmp_path / "n.npz"))
    assert [node.name for node in again.nodes] == [node.name for node in nodes]
    assert again.about == network.about
    np.testing.assert_array_equal(again.nodes[2].layer.weight, W2)


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(UserError, match="no network 'digits': known are digits-mlp, mnist-mlp, or a file"):
        load_network("digits")
    with pytest.raises(UserError, match=r"none\.npz does not exist"):
        load_network(tmp_path / "none.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match=r"folder\.npz cannot be read"):
        load_network(tmp_path / "folder.npz")


def test_file_without_a_network_says_so(path):
    np.savez(path, x=np.zeros(3))
    with pytest.raises(UserError, match="has no entry 'network'"):
        load_network(path)


def test_pickles_are_refused_and_not_run(path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    good = path.read_bytes()
    for changes in (
        {"network": np.array([Trap()], object)},
        {"fc1/weight": np.array([[Trap()]], object)},
    ):
        path.write_bytes(good)
        rewrite(path, **changes)
        with pytest.raises(UserError, match="holds Python objects, which are never unpickled"):
            load_network(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="cannot be read"):
        load_network(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (["format"], "reliability-network/9", "format 'reliability-network/9', known is"),
        (["nodes", 1, "kind"], "lstm", "layer kind 'lstm' is unknown"),
        (["nodes", 1, "inputs"], ["nowhere"], "takes 'nowhere'"),
        (["nodes", 1, "options"], {"stride": 2}, "cannot be read"),
        (["nodes", 1, "name"], "other", "cannot be read"),
        (["nodes"], None, "cannot be read"),
        (["input_shape"], [3, 3], "4 inputs"),
        (["input_shape"], [float("inf")], "whole lengths above 0"),
        (["preprocessing", "std"], [0], "above zero"),
        (["preprocessing", "scale"], "x", "a number for scale"),
    ],
)
def test_description_that_is_wrong_gets_one_sentence(path, keys, value, told):
    changed = description(path)
    inner = changed
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    rewrite(path, network=text(changed))
    with pytest.raises(UserError, match=told) as error:
        load_network(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [np.frombuffer(b"[" * 100_000, np.uint8), np.frombuffer(b"{", np.uint8), text([]), text(None)]
)
def test_description_that_is_none_gets_one_sentence(path, content):
    rewrite(path, network=content)
    with pytest.raises(UserError, match=r"small\.npz cannot be read"):
        load_network(path)


def test_arrays_that_are_wrong_are_refused(path):
    for changes, told in (
        ({"fc1/weight": None}, "cannot be read"),
        ({"fc1/weight": np.full(W1.shape, np.nan)}, "12 of 12 weight entries that are not finite"),
        ({"fc1/weight": W1.T}, "bias has 3 entries for 4 outputs"),
        ({"fc1/weight": W1.astype(str)[:, :1], "fc1/bias": B1}, "inputs|numbers"),
    ):
        rewrite(path, **{"fc1/weight": W1, "fc1/bias": B1} | changes)
        with pytest.raises(UserError, match=told):
            load_network(path)


def test_damaged_files_are_refused_or_read_right(network, path):
    good = path.read_bytes()
    random = np.random.default_rng(2)
    contents = [b"", b"hello", good[:1], *(good[: random.integers(len(good))] for _ in range(100))]
    for _ in range(300):
        content = bytearray(good)
        for at in random.integers(0, len(good), random.integers(1, 4)):
            content[at] ^= 1 << random.integers(8)
        contents.append(bytes(content))
    refused = 0
    for content in contents:
        path.write_bytes(content)
        try:
            again = load_network(path)
        except UserError as error:
            refused += 1
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:  # the damage hit a byte that nothing reads, such as a date
            for a, b in zip(again.nodes, network.nodes, strict=True):
                for key, array in arrays_of(a.layer).items():
                    np.testing.assert_array_equal(array, arrays_of(b.layer)[key])
    assert refused > 300


def test_flatten_runs_the_last_axis_fastest():
    x = np.arange(12).reshape(1, 2, 3, 2)
    assert Flatten().forward(x).tolist() == [list(range(12))]
    assert Flatten().output_shape((2, 3, 2)) == (12,)


def test_replace_keeps_the_checks(network):
    assert replace(network, about="new").about == "new"
    with pytest.raises(UserError, match="4 inputs"):
        replace(network, input_shape=(3,))


def test_a_last_softmax_changes_no_logit(network):
    last = network.nodes[-1]
    ended = Network((*network.nodes, Node("p", Softmax(), (last.name,))), network.input_shape)
    x = np.random.default_rng(0).normal(size=(5, *network.input_shape)).astype(np.float32)
    np.testing.assert_array_equal(ended.forward(x), network.forward(x))
