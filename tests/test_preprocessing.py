"""How inputs are scaled: stored with the network, or said on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import WHERE, shared_folder

import reliability as rl
from reliability.preprocessing import PRESETS, Preprocessing, parse_preprocessing
from reliability.study import main


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("unit", Preprocessing(1 / 255)),
        ("none", Preprocessing()),
        ("scale=1/255", Preprocessing(1 / 255)),
        ("scale=0.5 mean=1 std=2", Preprocessing(0.5, (1.0,), (2.0,))),
        ("mean=0.1,0.2,0.3", Preprocessing(1.0, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))),
        ("scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225", PRESETS["imagenet"]),
    ],
)
def test_words_and_numbers_make_a_preprocessing(text, made):
    found = parse_preprocessing(text)
    assert (found.scale, found.mean, found.std) == (made.scale, made.mean, made.std)


@pytest.mark.parametrize(
    "text", ["", "imagenet2", "scale=", "scale=1/0", "scale=1,2", "mean=a", "gain=2", "std=1 std=1"]
)
def test_anything_else_is_told(text):
    if text == "":
        assert parse_preprocessing(text).is_none
        return
    with pytest.raises(rl.UserError, match="must be none, unit, imagenet, or numbers in the form"):
        parse_preprocessing(text)


def test_each_channel_has_its_own_mean():
    x = np.ones((2, 3, 4, 4), np.uint8)
    found = parse_preprocessing("scale=2 mean=1,2,3 std=1,2,4").apply(x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, :, 0, 0], np.float32([1, 0, -0.25]))


@pytest.mark.skipif(shared_folder("models") is None or shared_folder("cifar10") is None, reason=WHERE)
def test_an_imported_network_asks_how_inputs_are_scaled(tmp_path, capsys):
    pytest.importorskip("onnx", reason="ONNX files need the extra [onnx]")
    command = ["drift_vs_time", "--network", str(shared_folder("models") / "resnet20_cifar10.onnx")]
    command += ["--dataset", f"cifar10:{shared_folder('cifar10')}", "--inputs", "64", "--chips", "4"]
    command += ["--set", "vary.time_s=[1, 31536000]", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "does not say how inputs are scaled" in capsys.readouterr().err
    assert main([*command, "--preprocessing", "imagenet"]) == 0
    assert "Digital network on the same inputs: 92.19 %" in capsys.readouterr().out, "59 of the first 64"


@pytest.mark.slow
@pytest.mark.skipif(shared_folder("models") is None or shared_folder("cifar10") is None, reason=WHERE)
@pytest.mark.parametrize(
    ("name", "dataset", "preprocessing", "right"),
    [
        ("resnet20_cifar10", "cifar10", "imagenet", 9173),
        ("resnet20_cifar10_torchexport_bnfolded", "cifar10", "imagenet", 9173),
        ("resnet32_cifar10", "cifar10", "imagenet", 9263),
        ("mnist_lenet5_relu", "mnist", "unit", 9939),
    ],
)
@pytest.mark.parametrize("rows", [128, 256])
def test_the_ideal_chip_gets_the_published_number_right(name, dataset, preprocessing, right, rows):
    pytest.importorskip("onnx", reason="ONNX files need the extra [onnx]")
    study = rl.load_study("drift_vs_time")[1]
    for field, value in (
        ("network", str(shared_folder("models") / f"{name}.onnx")),
        ("dataset", f"{dataset}:{shared_folder(dataset)}"),
        ("preprocessing", preprocessing),
    ):
        study = study.set(f"{field}='{value}'")
    network, data = study.load()
    chip = rl.Chip(device=rl.devices.ideal(), tile=rl.Tile(rows, rows))
    trials = rl.simulate(network, data, chip, chips=1)
    assert trials["correct"].tolist() == [right]
