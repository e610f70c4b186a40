"""Errors of simulated chips: against the chips' own weights, and the study of their distribution."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reliability import (
    Chip,
    LayerChip,
    UserError,
    chip_weights,
    devices,
    load_dataset,
    load_network,
    simulate,
)
from reliability.layers import Conv2d, Flatten, GlobalAveragePool, Linear, ReLU
from reliability.network import Network, Node
from reliability.output_errors import output_errors
from reliability.study import main

CHIP = Chip(device=devices.gaussian(sigma=0.05))


@pytest.fixture(scope="module")
def digits():
    return load_network("digits-mlp"), load_dataset("digits").head(20)


def images():
    """A network of two convolutions whose first has a bias, and inputs for it."""
    random = np.random.default_rng(0)
    nodes = (
        Node("conv", Conv2d(random.normal(size=(3, 2, 3, 3)).astype("f"), random.normal(size=3).astype("f"))),
        Node("relu", ReLU(), ("conv",)),
        Node("conv2", Conv2d(random.normal(size=(8, 3, 2, 2)).astype("f")), ("relu",)),
        Node("pool", GlobalAveragePool(), ("conv2",)),
        Node("flat", Flatten(), ("pool",)),
        Node("fc", Linear(random.normal(size=(4, 8)).astype("f")), ("flat",)),
    )
    return Network(nodes, (2, 6, 6)), random.random((5, 2, 6, 6)).astype("f")


def test_a_layers_errors_are_its_weights_errors_times_its_inputs(digits):
    """Chip by chip: the realised weights, multiplied in NumPy."""
    network, inputs = digits
    found = output_errors(network, inputs, CHIP, of="fc1", chips=40, seed=3)
    x = network.activations(network.prepare(inputs.x))["flatten"]
    weight, bias = network.weighted[0].layer.weight, network.weighted[0].layer.bias
    expected = []
    random = np.random.default_rng(3)
    for number in range(40):
        held = chip_weights(network, CHIP, number=number, seed=3)["fc1"]
        rows = np.column_stack([x, np.ones(len(x))])[:, : held.shape[1]]
        own_bias = 0 if held.shape[1] > x.shape[1] else bias
        errors = rows @ held.T + own_bias - (x @ weight.T + bias)
        expected.append(errors[tuple(random.integers(errors.shape))])
    # The int8 arithmetic of a first layer rounds deviations by a thousandth of their variance.
    assert np.corrcoef(found.values, expected)[0, 1] > 0.999
    np.testing.assert_allclose(found.values, expected, atol=0.1 * np.std(expected))
    assert found.values.shape == (40,) and found.step is None


def test_the_last_layers_errors_are_those_of_the_logits(digits):
    network, inputs = digits
    logits = output_errors(network, inputs, CHIP, chips=30, seed=1)
    last = output_errors(network, inputs, CHIP, of="fc2", chips=30, seed=1)
    assert logits.values.tolist() == last.values.tolist()
    assert logits.name == "error of a logit"


def test_alone_a_layer_has_only_its_own_errors(digits):
    network, inputs = digits
    only = replace(CHIP, layers={"*": LayerChip(analog=False), "fc2": LayerChip()})
    alone = output_errors(network, inputs, CHIP, of="fc2", alone=True, chips=30)
    assert alone.values.tolist() == output_errors(network, inputs, only, chips=30).values.tolist()
    assert alone.values.tolist() != output_errors(network, inputs, CHIP, chips=30).values.tolist()
    # What "last" says of a layer holds where the network is cut off, too.
    exact = replace(CHIP, layers={"last": LayerChip(analog=False)})
    first = output_errors(network, inputs, exact, of="fc1", chips=30)
    assert first.values.tolist() == output_errors(network, inputs, CHIP, of="fc1", chips=30).values.tolist()


def test_errors_of_images_are_those_of_their_pixels():
    network, x = images()
    data = (x, np.zeros(len(x), int))
    dataset = load_dataset("digits").head(len(x))
    dataset = replace(dataset, x=data[0], y=data[1])
    found = output_errors(network, dataset, CHIP, of="conv", chips=60, seed=5)
    ideal = network.activations(network.prepare(x))["conv"]
    unlike = []
    for number in range(60):
        held = chip_weights(network, CHIP, number=number, seed=5)["conv"]
        weight = held[:, :18].reshape(3, 3, 3, 2).transpose(0, 3, 1, 2)
        layer = network.nodes[0].layer
        bias = held[:, 18] if held.shape[1] > 18 else layer.bias
        errors = Conv2d(np.ascontiguousarray(weight), bias).forward(x) - ideal
        unlike.append(np.abs(errors - found.values[number]).min())
    # The error is one of this very chip's.
    assert max(unlike) < 1e-4 * np.abs(ideal).max()
    assert output_errors(network, dataset, CHIP, of="pool", chips=5).values.any()


def test_weight_errors_have_the_devices_spread(digits):
    network, inputs = digits
    found = output_errors(network, inputs, CHIP, of="weights", chips=600)
    # A pair of devices, each off by 5 % of the largest conductance.
    assert found.values.std() == pytest.approx(0.05 * np.sqrt(2), rel=0.12)
    with pytest.raises(UserError, match="rounding alone"):
        output_errors(network, inputs, Chip(device=devices.ideal()), of="weights", chips=20)


def test_accuracy_errors_are_the_trials_wrong_decisions(digits):
    network, inputs = digits
    found = output_errors(network, inputs, CHIP, of="accuracy", chips=25, seed=2)
    trials = simulate(network, inputs, CHIP, chips=25, seed=2)
    np.testing.assert_allclose(found.values, 1 - trials["accuracy"], atol=1e-12)
    pair = output_errors(network, (inputs.x, inputs.y), CHIP, of="accuracy", chips=25, seed=2)
    np.testing.assert_array_equal(pair.values, found.values)
    assert found.step == 1 / 20 and found.varies == "chips, these inputs"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"of": "fc9"}, "errors of 'fc9': a network has errors of logits, weights, accuracy, flatten, fc1"),
        ({"of": "relu1", "alone": True}, "only a layer with weights has them; they are fc1, fc2"),
        ({"alone": True}, "errors of 'logits' alone"),
        ({"chips": 0}, "chips"),
    ],
)
def test_errors_that_there_are_not(digits, options, told):
    with pytest.raises(UserError, match=told):
        output_errors(*digits, CHIP, **options)


def run(tmp_path, *arguments):
    out = tmp_path / "out"
    return out, main(["error_distribution", "--out", str(out), "--inputs", "40", *arguments])


def test_the_study_writes_its_tables_and_figure(tmp_path, capsys):
    arguments = ["--chips", "500", "--set", "analysis.resamples=99", "--set", "analysis.of=accuracy"]
    out, code = run(tmp_path, *arguments)
    assert code == 0
    tables = {name: pd.read_csv(out / f"{name}.csv") for name in ("errors", "fits", "tails", "quantiles")}
    assert len(tables["errors"]) == 500
    assert tables["fits"]["family"].nunique() == 9
    assert set(tables["tails"]["side"]) == {"lower", "upper"}
    for name in ("fits", "tails"):
        table = tables[name]
        assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
        assert set(table["level"]) == {0.95} and table[["method", "varies"]].notna().all(axis=None)
    assert (out / "figure.pdf").is_file() and (out / "figure.png").is_file()
    assert json.loads((out / "provenance.json").read_text())["settings"]["analysis"]["of"] == "accuracy"
    printed = capsys.readouterr().out
    # Errors are shares of decisions.
    assert (
        tables["tails"]
        .loc[tables["tails"]["parameter"] == "quantile", ["low", "high"]]
        .stack()
        .between(0, 1)
        .all()
    )
    assert "Best by AICc: " in printed and "one in 1000 beyond" in printed
    assert max(len(line) for line in printed.splitlines() if str(out) not in line) <= 100


def test_few_chips_have_no_tails(tmp_path, capsys):
    out, code = run(tmp_path, "--chips", "60", "--set", "analysis.resamples=99")
    assert code == 0 and not (out / "tails.csv").exists()
    assert "No upper tail: the tail beyond" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--chips", "10"], "hold 10 values; at least 20"),
        (["--set", "analysis.resamples=9"], "from 99 to"),
        (["--set", "analysis.of=fc7"], "errors of 'fc7'"),
        (["--set", "chip.device.law=ideal"], "rounding alone: this chip has no effect on them"),
    ],
)
def test_what_the_study_refuses(tmp_path, capsys, arguments, told):
    _, code = run(tmp_path, "--chips", "30", *arguments)
    assert code == 2
    assert told in capsys.readouterr().err
