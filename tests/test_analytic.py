"""The analytic network: beside simulated chips, refused where it errs, and its derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shared_data import WHERE, mnist_folder, shared_folder
from small_networks import chain, inputs_of, linear, mlp, noise

import reliability as rl
from reliability.analytic import AnalyticNetwork, predict
from reliability.errors import RunError, UserError
from reliability.layers import Conv2d, Flatten, MaxPool2d, ReLU
from reliability.preprocessing import PRESETS
from reliability.simulation import Simulation

DAY = 86400.0
PCM = rl.Chip(compensation="global")


def gaussian(sigma: float, **fields) -> rl.Chip:
    return rl.Chip(device=rl.devices.gaussian(sigma=sigma), **fields)


@pytest.fixture(scope="module")
def digits():
    return rl.load_network("digits-mlp"), rl.load_dataset("digits")


@pytest.fixture
def checks(monkeypatch, tmp_path):
    """No check is known from elsewhere; the folder where they are kept."""
    monkeypatch.setenv("RELIABILITY_CACHE", str(tmp_path))
    return tmp_path / "checks"


def simulated(network, inputs, chip, time_s, chips):
    """Mean accuracy of simulated chips, and its standard error."""
    trials = rl.simulate(network, inputs, chip, time_s=time_s, chips=chips, seed=3)
    return trials["accuracy"].mean(), trials["accuracy"].std() / np.sqrt(chips)


def shared(model: str, dataset: str, count: int):
    models, folder = shared_folder("models"), mnist_folder() if dataset == "mnist" else shared_folder(dataset)
    if folder is None or (models is None and model.endswith("onnx")):
        pytest.skip(WHERE)
    net = rl.load_network(models / model if model.endswith("onnx") else model)
    if model.endswith("onnx"):
        net = replace(net, preprocessing=PRESETS["unit" if dataset == "mnist" else "imagenet"])
    return net, rl.load_dataset(dataset, folder).head(count)


# ---- accuracy


@pytest.mark.parametrize(
    ("chip", "time_s"),
    [(gaussian(0.05), 0), (gaussian(0.08), 0), (gaussian(0.1), 0), (rl.Chip(), DAY), (PCM, 365 * DAY)],
    ids=["0.05", "0.08", "0.1", "PCM", "compensated PCM"],
)
def test_digits_within_a_tenth_of_a_point(digits, chip, time_s):
    mean, error = simulated(*digits, chip, time_s, 2500)
    found = AnalyticNetwork(*digits, chip, time_s=time_s).accuracy
    assert abs(found - mean) < 0.001 + 4 * error


@pytest.mark.parametrize(
    ("chip", "most"),
    [
        (gaussian(0.05, tile=rl.Tile(rows=32, dac=rl.DAC(bits=6), adc=rl.ADC(bits=6))), 0.001),
        (rl.Chip(device=rl.devices.gaussian(sigma=0.05, read_sigma=0.05)), 0.001),
        (gaussian(0.05, mapping=rl.Mapping(scheme="offset", bias="devices")), 0.0025),
        (gaussian(0.08, mapping=rl.Mapping(slices=rl.Slices(count=2, fill="digits", bits=3))), 0.001),
        (gaussian(0.03, faults=rl.Faults(stuck_low=0.001, stuck_high=0.02)), 0.003),
        (gaussian(0.08, layers={"last": rl.LayerChip(analog=False)}), 0.001),
    ],
    ids=["converters", "reads", "offset", "slices", "faults", "digital layer"],
)
def test_digits_on_other_chips(digits, chip, most):
    train = rl.load_dataset("digits", split="train")
    trials = rl.simulate(*digits, chip, chips=1500, seed=3, calibration=train)
    mean, error = trials["accuracy"].mean(), trials["accuracy"].std() / np.sqrt(1500)
    found = AnalyticNetwork(*digits, chip, calibration=train).accuracy
    assert abs(found - mean) < most + 4 * error


@pytest.mark.parametrize(("chip", "time_s"), [(gaussian(0.08), 0), (PCM, DAY)], ids=["Gaussian", "PCM"])
def test_mnist_within_a_tenth_of_a_point(chip, time_s):
    subject = shared("mnist-mlp", "mnist", 600)
    mean, error = simulated(*subject, chip, time_s, 600)
    assert abs(AnalyticNetwork(*subject, chip, time_s=time_s).accuracy - mean) < 0.001 + 4 * error


@pytest.mark.parametrize(("chip", "time_s"), [(gaussian(0.04), 0), (PCM, DAY)], ids=["Gaussian", "PCM"])
def test_lenet_within_half_a_point(chip, time_s):
    subject = shared("mnist_lenet5_relu.onnx", "mnist", 480)
    mean, error = simulated(*subject, chip, time_s, 400)
    assert abs(AnalyticNetwork(*subject, chip, time_s=time_s).accuracy - mean) < 0.005 + 4 * error


@pytest.mark.slow
def test_resnet_within_a_point():
    subject = shared("resnet20_cifar10.onnx", "cifar10", 96)
    mean, error = simulated(*subject, gaussian(0.015), 0, 100)
    assert abs(AnalyticNetwork(*subject, gaussian(0.015)).accuracy - mean) < 0.01 + 4 * error


def test_designs_are_ranked_as_by_simulation(digits):
    rng = np.random.default_rng(0)
    found, mean = [], []
    for _ in range(10):
        layers = {
            name: rl.LayerChip(
                device=rl.devices.gaussian(sigma=rng.uniform(0.02, 0.12)),
                mapping=rl.Mapping(weight_max=rng.uniform(0.3, 1.2)),
            )
            for name in ("fc1", "fc2")
        }
        chip = rl.Chip(layers=layers)
        found.append(AnalyticNetwork(*digits, chip).accuracy)
        mean.append(simulated(*digits, chip, 0, 400)[0])
    ranks = np.argsort(np.argsort([found, mean], axis=1), axis=1)
    assert np.corrcoef(ranks)[0, 1] > 0.97


# ---- the check


def test_check_is_printed_and_made_once(digits, checks, monkeypatch, capsys):
    calls = []
    block = Simulation.block

    def counted(self, *given):
        calls.append(given)
        return block(self, *given)

    monkeypatch.setattr(Simulation, "block", counted)
    found = predict(*digits, gaussian(0.05))
    text = capsys.readouterr().out
    assert "200 simulated chips" in text
    assert "agrees" in text
    made = len(calls)
    assert made > 0
    # The same operating point, also in another object.
    assert found.check().scores is AnalyticNetwork(*digits, gaussian(0.05)).check().scores
    assert len(calls) == made
    AnalyticNetwork(*digits, gaussian(0.06)).check()
    assert len(calls) > made


def test_check_is_kept_for_the_next_run(digits, checks, monkeypatch):
    first = AnalyticNetwork(*digits, gaussian(0.05)).check()
    assert len(list(checks.iterdir())) == 1
    # As in another process, which simulates nothing.
    monkeypatch.setattr("reliability.kept._held", {})
    monkeypatch.setattr(Simulation, "observe", None)
    again = AnalyticNetwork(*digits, gaussian(0.05)).check()
    np.testing.assert_array_equal(again.scores, first.scores)


def test_check_holds_what_it_says(digits, checks):
    found = AnalyticNetwork(*digits, gaussian(0.08)).check()
    assert found.chips == 200
    assert found.agrees
    assert abs(found.analytic - found.simulated) <= 3 * found.error + 0.005


def test_other_converter_ranges_are_another_operating_point(digits, checks):
    tile = rl.Tile(adc=rl.ADC(bits=4))
    train = rl.load_dataset("digits", split="train")
    for data in (train, rl.datasets.from_arrays(train.x / 4, train.y)):
        chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05), tile=tile)
        found = AnalyticNetwork(*digits, chip, calibration=data)
        simulated = found.simulation.observe(0, 200).scores.mean()
        try:
            check = found.check()
        except RunError:
            continue
        assert (check.analytic, check.simulated) == (found.accuracy, simulated)


def test_refused_where_single_devices_decide(checks):
    # One weight an output, so that a stuck device is no sum of many small errors.
    net = mlp(3, 3, 3)
    x, y = inputs_of(net, 60)
    chip = rl.Chip(device=rl.devices.ideal(), faults=rl.Faults(stuck_low=0.15))
    with pytest.raises(RunError, match="does not describe this chip") as caught:
        predict(net, (x, y), chip)
    assert "DISAGREES" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_effects_it_does_not_know(digits):
    with pytest.raises(UserError, match="wire resistance"):
        _ = AnalyticNetwork(*digits, rl.Chip(tile=rl.Tile(wires=rl.Wires(word_ohm=1.0)))).accuracy


# ---- what it gives


def test_the_same_for_any_number_of_threads(digits):
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.08, read_sigma=0.02))
    found = [AnalyticNetwork(*digits, chip, threads=n).right for n in (1, 2, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], found[2])
    net = small_convolution()
    subject = net, inputs_of(net, 100)
    found = [AnalyticNetwork(*subject, chip, threads=n).right for n in (1, 3)]
    np.testing.assert_array_equal(*found)
    slopes = [AnalyticNetwork(*subject, chip, threads=n).slopes["layer0"].variance for n in (1, 3)]
    np.testing.assert_array_equal(*slopes)


def small_convolution():
    conv = Conv2d(noise(6, 2, 3, 3) / 4, 0.2 * noise(6, seed=1))
    return chain(
        (2, 10, 10),
        conv,
        ReLU(),
        MaxPool2d((2, 2), (2, 2)),
        Flatten(),
        linear(20, 96, 3),
        ReLU(),
        linear(5, 20, 5),
    )


def changed(subject, chip, name, members=32, **fields):
    """Accuracy with other moments of one layer."""
    found = AnalyticNetwork(*subject, chip, members=members)
    found.__dict__["layers"] = found.layers | {name: replace(found.layers[name], **fields)}
    return found.accuracy


@pytest.mark.parametrize(
    "chip",
    [gaussian(0.1), gaussian(0.06, mapping=rl.Mapping(scheme="offset", bias="devices"))],
    ids=["pair", "offset"],
)
def test_slopes_of_a_chain_are_finite_differences(digits, chip):
    found = AnalyticNetwork(*digits, chip)
    for name, own in found.layers.items():
        slopes = found.slopes[name]
        for field in ("variance", "bias_variance", "reference_variance"):
            values, given = getattr(own, field), getattr(slopes, field)
            if not values.any() or np.abs(given).max() < 1e-12:
                continue
            change = 1e-4 * values * np.sign(given)
            up, down = (changed(digits, chip, name, **{field: values + s * change}) for s in (1, -1))
            assert (given * change).sum() == pytest.approx((up - down) / 2, rel=1e-6)
        change = 1e-6 * slopes.mean / np.abs(slopes.mean).max()
        up, down = (changed(digits, chip, name, weight=own.weight + s * change) for s in (1, -1))
        assert (slopes.mean * change).sum() == pytest.approx((up - down) / 2, rel=1e-3)


def test_slopes_of_other_networks_are_finite_differences():
    net = small_convolution()
    subject = net, inputs_of(net, 200)
    chip = gaussian(0.06)
    found = AnalyticNetwork(*subject, chip)
    assert found.chain is None
    rng = np.random.default_rng(0)
    for name, own in found.layers.items():
        slopes = found.slopes[name]
        up, down = (changed(subject, chip, name, variance=own.variance * (1 + s)) for s in (0.03, -0.03))
        assert (own.variance * slopes.variance).sum() == pytest.approx((up - down) / 0.06, rel=0.01)
        change = 0.01 * own.weight.std() * rng.normal(size=own.weight.shape)
        up, down = (changed(subject, chip, name, weight=own.weight + s * change) for s in (1, -1))
        expected = (up - down) / 2
        assert (change * slopes.mean).sum() == pytest.approx(expected, rel=0.02, abs=2e-5)


def test_slopes_rank_kernels_and_neurons_as_many_members_do():
    net = small_convolution()
    subject = net, inputs_of(net, 200)
    chip = gaussian(0.06)
    found = AnalyticNetwork(*subject, chip)
    for name, groups in (("layer0", 12), ("layer4", 20)):
        own = found.layers[name]
        columns, rows = own.variance.shape
        # Rows are in the order (y, x, channel): kernels of the one layer, neurons of the other.
        inputs = groups // columns
        group = np.arange(columns)[:, None] * inputs + np.arange(rows) % inputs
        given, expected = [], []
        for i in range(groups):
            share = 0.3 * (group == i)
            up, down = (
                changed(subject, chip, name, members=256, variance=own.variance * (1 + s * share))
                for s in (1, -1)
            )
            expected.append((up - down) / 0.6)
            given.append((own.variance * found.slopes[name].variance)[group == i].sum())
        assert np.corrcoef(given, expected)[0, 1] > 0.94
        assert np.sqrt(np.square(np.subtract(given, expected)).mean()) < 0.25 * np.abs(np.mean(expected))


def test_layer_table(digits):
    chip = gaussian(0.08)
    found = AnalyticNetwork(*digits, chip)
    table = found.layer_table().set_index("layer")
    assert list(table.index) == ["fc1", "fc2"]
    assert table.loc["fc1", "devices"] == 2 * found.layers["fc1"].weight.size
    for name, own in found.layers.items():
        up, down = (changed(digits, chip, name, variance=own.variance * (1 + s)) for s in (1e-3, -1e-3))
        assert table.loc[name, "slope"] == pytest.approx((up - down) / 2e-3, rel=1e-4)
    x = found.x.reshape(len(found.x), -1).astype(np.float64)
    own = found.layers["fc1"]
    signal = np.square(x @ own.weight.T + own.bias).mean()
    noise_power = (x**2 @ own.variance.T).mean()
    assert table.loc["fc1", "snr_db"] == pytest.approx(10 * np.log10(signal / noise_power), abs=1e-9)
    digital = gaussian(0.08, layers={"fc1": rl.LayerChip(analog=False)})
    table = AnalyticNetwork(*digits, digital).layer_table().set_index("layer")
    assert table.loc["fc1", "devices"] == 0
    assert table.loc["fc1", "snr_db"] == np.inf


def test_layer_table_of_an_ensemble():
    net = small_convolution()
    subject = net, inputs_of(net, 90)
    found = AnalyticNetwork(*subject, gaussian(0.06))
    table = found.layer_table().set_index("layer")
    own, (x, _) = found.layers["layer0"], subject[1]
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), axis=(2, 3))
    rows = windows.transpose(0, 2, 3, 4, 5, 1).reshape(-1, 18)
    signal, power = np.square(rows @ own.weight.T + own.bias).mean(), (rows**2 @ own.variance.T).mean()
    assert table.loc["layer0", "snr_db"] == pytest.approx(10 * np.log10(signal / power), abs=0.15)


def test_ideal_chips_have_the_digital_accuracy(digits):
    found = AnalyticNetwork(*digits, rl.Chip(device=rl.devices.ideal()))
    assert found.accuracy == found.simulation.reference.mean()
    net = small_convolution()
    x, y = inputs_of(net, 40)
    y[:10] = (y[:10] + 1) % 5
    assert AnalyticNetwork(net, (x, y), rl.Chip(device=rl.devices.ideal())).accuracy == 0.75
