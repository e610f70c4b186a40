"""Compensation: factors from read-outs, and digital ends that chips fit to calibration inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_networks
from naive_calibration import fitted, logits, spread_of
from small_networks import mlp, noise
from test_convolution import batch_norm, conv, network

import reliability as rl
from reliability.augmentation import augmented
from reliability.compensation import COMPENSATIONS
from reliability.crossbar import chip_network, crossbars_of, rolled
from reliability.errors import UserError
from reliability.kernels.compensation import drift_factor
from reliability.layers import Add, Conv2d, GlobalAveragePool, Linear, ReLU
from reliability.mitigation.adabs import AdaptiveStatistics
from reliability.mitigation.bias import BiasCorrection
from reliability.mitigation.compensation import DriftCompensation
from reliability.mitigation.multi_device import MultiDevice
from reliability.mitigation.projected_pcm import ProjectedPCM
from reliability.moments import weight_moments
from reliability.network import Network, fold_batch_norms
from reliability.realisation import RealisedWeights
from reliability.simulation import Simulation
from reliability.units import DAY, YEAR

QUIET = rl.devices.pcm(programming_scale=0, read_scale=0)
CALIBRATION = 53  # three whole vectors of 16 lanes and part of another


def chip_logits(net: Network, x: np.ndarray, chip: rl.Chip, chips: int, **options) -> np.ndarray:
    """Logits without the rounding of deviations to 8 bits."""
    return small_networks.chip_logits(net, x, chip, chips, arithmetic="float32", **options)


def drifts(exponents: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Latents that give devices with targets at ``shares`` of the largest these drift exponents."""
    log_g = np.log(np.maximum(shares, 1e-7))
    mean = np.clip(-0.0155 * log_g + 0.0244, 0.049, 0.1)
    spread = np.clip(-0.0125 * log_g - 0.0059, 0.008, 0.045)
    return ((exponents - mean) / spread).astype(np.float32)


# Factors from read-outs.


def test_the_factor_of_the_published_example():
    before, after = np.array([1.0, 2.0, 3.0]), np.array([0.7, 1.5, 2.0])
    assert drift_factor(before.sum(), after.sum()) == pytest.approx(1.428571, rel=1e-6)
    assert [drift_factor(a, b) for a, b in zip(before, after, strict=True)] == pytest.approx(
        [1 / 0.7, 4 / 3, 1.5]
    )


def test_a_chip_applies_the_published_factor_to_a_layer_or_to_each_column():
    """Outputs 1, 2, 3 that have fallen to 0.7, 1.5, 2: times 6 / 4.2, or each by its own."""
    net = network((1,), ("fc", Linear(np.array([[1.0], [2.0], [3.0]], np.float32))))
    exponents = np.log([1 / 0.7, 2 / 1.5, 3 / 2.0]) / np.log((YEAR + 20) / 20)
    drift = np.zeros((1, 2, 3, 1), np.float32)
    drift[0, 0, :, 0] = drifts(exponents, np.array([1, 2, 3]) / 3)
    options = {"time_s": YEAR, "latents": {("fc", "drift"): drift}}
    x = np.ones((1, 1), np.float32)
    found = {
        name: chip_logits(net, x, rl.Chip(QUIET, compensation=name), 1, **options)[0, 0]
        for name in ("none", "global", "column", "exact")
    }
    assert found["none"] == pytest.approx([0.7, 1.5, 2.0], rel=1e-5)
    assert found["global"] == pytest.approx(np.array([0.7, 1.5, 2.0]) * 6 / 4.2, rel=1e-5)
    assert found["exact"] == pytest.approx(found["global"], rel=1e-5), "these devices were written exactly"
    assert found["column"] == pytest.approx([1, 2, 3], rel=1e-5)


@pytest.mark.parametrize(
    "mapping", [rl.Mapping(), rl.Mapping(slices=rl.Slices(count=2, fill="max", base=4.0))]
)
@pytest.mark.parametrize("compensation", ["global", "column", "exact"])
def test_drift_of_one_exponent_is_undone_exactly(compensation, mapping):
    net = mlp(7, 9, 4)
    chip = rl.Chip(QUIET, mapping=mapping, compensation=compensation)
    latents = {}
    for name, crossbar in crossbars_of(net, chip).items():
        shares = np.abs(crossbar.mapped.shares)
        positive = np.maximum(crossbar.mapped.shares, 0)
        both = np.stack([positive, shares - positive], axis=1).reshape(1, -1, *shares.shape[1:])
        latents[name, "drift"] = drifts(np.full(both.shape, 0.06), both)
    x = noise(20, 7, seed=3)
    found = chip_logits(net, x, chip, 1, time_s=YEAR, latents=latents)[0]
    digital = net.forward(x)
    assert np.abs(found - digital).max() < 3e-6 * np.abs(digital).max()
    faded = chip_logits(net, x, replace(chip, compensation="none"), 1, time_s=YEAR, latents=latents)[0]
    assert np.abs(faded - digital).max() > 0.1 * np.abs(digital).max()


def test_exact_reference_takes_out_the_mean_programming_error_and_drift():
    """Devices that all hold 1.3 times what they should: global keeps that, exact does not."""
    net = network((6,), ("fc", Linear(noise(5, 6))))
    chip = rl.Chip(rl.devices.ideal(), variation=rl.Variation(die=0.3))
    x = noise(10, 6, seed=2)
    plain = chip_logits(net, x, chip, 1)[0]
    scale = (plain / net.forward(x)).mean()
    assert abs(scale - 1) > 0.02, "this chip's die differs"
    exact = chip_logits(net, x, replace(chip, compensation="exact"), 1)[0]
    np.testing.assert_allclose(exact, net.forward(x), rtol=1e-4, atol=1e-5)
    same = chip_logits(net, x, replace(chip, compensation="global"), 1)[0]
    np.testing.assert_array_equal(same, plain)


def test_columns_of_an_offset_mapping_have_factors_of_their_own():
    """Every line, references too, fades alike: what each column has lost is put back."""
    net = network((6,), ("fc", Linear(noise(5, 6))))
    chip = rl.Chip(
        rl.devices.pcm(programming_scale=0, read_scale=0),
        mapping=rl.Mapping(scheme="offset"),
        compensation="column",
    )
    crossbar = crossbars_of(net, chip)["fc"]
    latents = {("fc", "drift"): drifts(np.full((1, 1, 6, 6), 0.05), crossbar.mapped.shares[None])}
    x = noise(10, 6, seed=2)
    found = chip_logits(net, x, chip, 1, time_s=YEAR, latents=latents)[0]
    np.testing.assert_allclose(found, net.forward(x), atol=1e-4)


@pytest.mark.parametrize("compensation", ["column", "exact"])
def test_the_analytic_network_knows_the_expected_factors(compensation):
    net, x = network((40,), ("fc", Linear(noise(12, 40)))), noise(30, 40, seed=5)
    chip = rl.Chip(compensation=compensation)
    own = weight_moments(net, chip, time_s=YEAR)["fc"]
    plain = weight_moments(net, rl.Chip(), time_s=YEAR)["fc"]
    factor = np.broadcast_to(np.asarray(own.factor).reshape(-1, 1), (12, 1))
    np.testing.assert_allclose(own.mean, factor * plain.mean)
    np.testing.assert_allclose(own.variance, factor**2 * plain.variance)
    seen = chip_logits(net, x, chip, 400, time_s=YEAR)
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    assert np.abs(mean - x @ own.mean.T).max() < 6 * spread.max() / np.sqrt(400)
    # The factor follows its own chip's read-out, so that some of the spread is gone.
    np.testing.assert_allclose(spread, np.sqrt(x**2 @ own.variance.T), rtol=0.3)


# What is fitted to calibration inputs.


def residual() -> Network:
    """Convolutions with batch norm, a sum, an output with two users, and a batch norm of a sum."""
    return network(
        (2, 6, 5),
        ("conv1", conv(4, 2, padding=(1, 1, 1, 1))),
        ("norm1", batch_norm(4)),
        ("relu1", ReLU()),
        ("conv2", conv(4, 4, padding=(1, 1, 1, 1))),
        ("norm2", batch_norm(4)),
        ("sum", Add(), ("norm2", "relu1")),
        ("norm3", batch_norm(4)),
        ("relu3", ReLU()),
        ("conv4", conv(4, 4, padding=(1, 1, 1, 1), groups=2)),
        ("relu4", ReLU()),
        ("twice", Add(), ("relu4", "conv4")),
        ("conv5", conv(6, 4, stride=(2, 2))),
        ("relu5", ReLU()),
        ("pool", GlobalAveragePool()),
        ("end", Linear(noise(3, 6), noise(3))),
    )


def held_network(net: Network, chip: rl.Chip, **options) -> Network:
    """The network that a chip's devices hold, biases included."""
    crossbars = crossbars_of(net, chip)
    weights = rl.chip_weights(net, chip, **options)
    nodes = []
    for node in net.nodes:
        if node.name in weights:
            matrix, bias = weights[node.name], node.layer.bias
            if crossbars[node.name].bias_row:
                matrix, bias = matrix[:, :-1], matrix[:, -1]
            weight = np.ascontiguousarray(rolled(matrix, node.layer, crossbars[node.name].source))
            node = replace(node, layer=replace(node.layer, weight=weight, bias=bias))
        nodes.append(node)
    return replace(net, nodes=tuple(nodes))


CHIPS = {
    "pairs": rl.Chip(),
    "biases on devices": rl.Chip(mapping=rl.Mapping(bias="devices")),
    "offset": rl.Chip(mapping=rl.Mapping(scheme="offset")),
    "slices": rl.Chip(mapping=rl.Mapping(slices=rl.Slices(count=3))),
    "folded": rl.Chip(mapping=rl.Mapping(batch_norm="folded")),
    "columns of different scales": rl.Chip(mapping=rl.Mapping(weight_max="column", clip_percentile=95.0)),
    "copies of some columns": rl.Chip(mapping=rl.Mapping(slices=rl.Slices(count=3, columns=0.5))),
    "one digital layer": rl.Chip(layers={"conv2": rl.LayerChip(analog=False)}),
}


@pytest.mark.parametrize("how", ["bias", "matched", "adabs"])
@pytest.mark.parametrize("name", CHIPS)
def test_digital_ends_are_those_of_the_naive_twin(name, how):
    net, chip = residual(), replace(CHIPS[name], calibration_inputs=CALIBRATION)
    given, x = noise(CALIBRATION, 2, 6, 5, seed=11), noise(20, 2, 6, 5, seed=12)
    found = chip_logits(net, x, replace(chip, compensation=how), 1, time_s=DAY, calibration=given)[0]
    own = chip_network(net, chip)
    new, ends = fitted(own, held_network(own, chip, time_s=DAY), given, how)
    # The twin's network has the digital weights: what the devices hold goes in here.
    held = held_network(own, chip, time_s=DAY)
    new = replace(
        new,
        nodes=tuple(
            replace(a, layer=b.layer) if isinstance(b.layer, Conv2d | Linear) else a
            for a, b in zip(new.nodes, held.nodes, strict=True)
        ),
    )
    wanted = logits(new, ends, x)
    assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max()
    plain = chip_logits(net, x, chip, 1, time_s=DAY)[0]
    assert np.abs(found - plain).max() > 1e-3 * np.abs(wanted).max()


def test_factors_come_before_offsets():
    """One layer: factor times the chip's sums, then the offset that restores the digital mean."""
    net = network((9,), ("fc", Linear(noise(4, 9), noise(4))))
    given, x = (noise(40, 9, seed=1) + 1), noise(10, 9, seed=2)
    for factor in ("global", "column", "exact"):
        chip = rl.Chip(compensation=factor, calibration_inputs=40)
        both = replace(chip, compensation=f"{factor}+bias")
        plain = chip_logits(net, np.concatenate([given, x]), chip, 3, time_s=YEAR)
        found = chip_logits(net, x, both, 3, time_s=YEAR, calibration=given)
        offset = net.forward(given).mean(axis=0) - plain[:, :40].mean(axis=1)
        np.testing.assert_allclose(found, plain[:, 40:] + offset[:, None], atol=1e-5)


@pytest.mark.parametrize("compensation", ["bias", "global+bias", "matched", "adabs"])
def test_a_linear_networks_mean_error_is_gone(compensation):
    """Stuck cells and drift add to the mean logit of calibration inputs: afterwards nothing is left."""
    net = network((9,), ("fc1", Linear(noise(7, 9), noise(7))), ("fc2", Linear(noise(4, 7), noise(4))))
    given = noise(64, 9, seed=1) + 0.5
    chip = rl.Chip(faults=rl.Faults(stuck_low=0.05), calibration_inputs=64)
    own = replace(chip, compensation=compensation)
    found = chip_logits(net, given, own, 5, time_s=YEAR, calibration=given)
    digital = net.forward(given)
    assert np.abs(found.mean(axis=1) - digital.mean(axis=0)).max() < 2e-5
    plain = chip_logits(net, given, chip, 5, time_s=YEAR)
    assert np.abs(plain.mean(axis=1) - digital.mean(axis=0)).max() > 0.1
    if "bias" not in compensation:
        np.testing.assert_allclose(found.std(axis=1), np.tile(digital.std(axis=0), (5, 1)), rtol=1e-4)


def test_votes_of_copies_are_matched_like_other_sums():
    net, given = network((9,), ("fc", Linear(noise(7, 9), noise(7)))), noise(64, 9, seed=1)
    mapping = rl.Mapping(slices=rl.Slices(count=3, combine="median"))
    chip = rl.Chip(mapping=mapping, compensation="matched", calibration_inputs=64)
    found = chip_logits(net, given, chip, 3, time_s=YEAR, calibration=given)
    digital = net.forward(given)
    np.testing.assert_allclose(found.mean(axis=1), np.tile(digital.mean(axis=0), (3, 1)), atol=2e-5)
    np.testing.assert_allclose(found.std(axis=1), np.tile(digital.std(axis=0), (3, 1)), rtol=1e-4)


@pytest.mark.parametrize("compensation", COMPENSATIONS)
def test_a_chip_without_errors_stays_the_digital_network(compensation):
    net = fold_batch_norms(mlp(6, 8, 3))
    x = noise(30, 6, seed=4)
    chip = rl.Chip(rl.devices.ideal(), compensation=compensation, calibration_inputs=32)
    found = chip_logits(net, x, chip, 1, calibration=noise(32, 6, seed=9))[0]
    assert np.abs(found - net.forward(x)).max() < 1e-5 * np.abs(net.forward(x)).max()


@pytest.mark.parametrize("compensation", ["global+bias", "matched"])
def test_batch_norms_without_errors_stay_as_they_are_but_for_adabs(compensation):
    net, x, given = residual(), noise(20, 2, 6, 5, seed=12), noise(CALIBRATION, 2, 6, 5, seed=11)
    chip = rl.Chip(rl.devices.ideal(), calibration_inputs=CALIBRATION)
    digital = net.forward(x)
    kept = chip_logits(net, x, replace(chip, compensation=compensation), 1, calibration=given)[0]
    assert np.abs(kept - digital).max() < 1e-5 * np.abs(digital).max()
    moved = chip_logits(net, x, replace(chip, compensation="adabs"), 1, calibration=given)[0]
    assert np.abs(moved - digital).max() > 0.01 * np.abs(digital).max()


def test_a_column_that_conducts_nothing_takes_no_factor():
    weight = noise(3, 5)
    weight[1] = 0
    net = network((5,), ("fc", Linear(weight, noise(3))))
    x = noise(20, 5, seed=4)
    for compensation in ("column", "matched", "adabs", "bias"):
        chip = rl.Chip(rl.devices.ideal(), compensation=compensation, calibration_inputs=20)
        found = chip_logits(net, x, chip, 1, calibration=x)[0]
        np.testing.assert_allclose(found, net.forward(x), atol=1e-5)


def test_fine_converters_change_the_fit_little():
    net, x, given = residual(), noise(20, 2, 6, 5, seed=12), noise(CALIBRATION, 2, 6, 5, seed=11)
    tile = rl.Tile(rows=10, dac=rl.DAC(bits=12), adc=rl.ADC(bits=14))
    chip = rl.Chip(compensation="matched", calibration_inputs=CALIBRATION)
    without = chip_logits(net, x, chip, 1, time_s=DAY, calibration=given)[0]
    found = chip_logits(net, x, replace(chip, tile=tile), 1, time_s=DAY, calibration=given)[0]
    assert 0 < np.abs(found - without).max() < 0.02 * np.abs(without).max()


def test_calibration_reads_are_other_reads_than_those_of_the_evaluation():
    """On the calibration inputs themselves the mean is off by the noise of both: variance 2 sigma^2 / N."""
    net = network((8,), ("fc", Linear(noise(6, 8))))
    count, chips = 32, 400
    given = noise(count, 8, seed=1)
    chip = rl.Chip(
        rl.devices.gaussian(sigma=0.0, read_sigma=0.05), compensation="bias", calibration_inputs=count
    )
    found = chip_logits(net, given, chip, chips, calibration=given)
    off = found.mean(axis=1) - net.forward(given).mean(axis=0)
    weight_max = np.abs(net.nodes[0].layer.weight).max()
    sigma = 0.05 * np.sqrt(2) * weight_max * np.sqrt((given.astype(np.float64) ** 2).sum() / count)
    ratio = off.var() / (2 * sigma**2 / count)
    assert abs(ratio - 1) < 5 * np.sqrt(2 / off.size)


# A chip is a number.

SPLIT = rl.Chip(read_noise="split", calibration_inputs=CALIBRATION)
VARY = {"time_s": [0.0, DAY, YEAR], "compensation": list(COMPENSATIONS)}


def table(chip: rl.Chip = SPLIT, vary: dict | None = None, **options):
    net = residual()
    x, y = noise(21, 2, 6, 5, seed=12), np.arange(21) % 3
    options = {"chips": 6, "seed": 4, "calibration": noise(CALIBRATION, 2, 6, 5, seed=11)} | options
    return rl.simulate(net, (x, y), chip, vary=VARY if vary is None else vary, **options)


def checksums(trials, **values) -> list[int]:
    chosen = np.logical_and.reduce([trials[field] == value for field, value in values.items()])
    return trials[chosen].sort_values("chip")["checksum"].tolist()


def test_threads_and_blocks_change_no_bit(monkeypatch):
    whole = table(threads=1)
    assert table(threads=3).equals(whole)
    monkeypatch.setattr(Simulation, "block_chips", 2)
    assert table().equals(whole)


def test_a_compensation_alone_has_the_bits_that_it_has_beside_others():
    beside = table()
    for compensation in COMPENSATIONS:
        alone = table(replace(SPLIT, compensation=compensation), {"time_s": [YEAR, DAY]})
        for time_s in (DAY, YEAR):
            wanted = checksums(beside, time_s=time_s, compensation=compensation)
            assert checksums(alone, time_s=time_s) == wanted, compensation


def test_other_calibration_inputs_change_only_what_is_fitted_to_them():
    one, two = table(), table(calibration=noise(CALIBRATION, 2, 6, 5, seed=99))
    for compensation in COMPENSATIONS:
        here = [checksums(t, time_s=DAY, compensation=compensation) for t in (one, two)]
        is_fitted = compensation.split("+")[-1] in ("bias", "matched", "adabs")
        assert (here[0] != here[1]) == is_fitted, compensation


def test_shared_sums_of_a_first_layer_change_the_fit_by_rounding_only():
    """Compensations that are not fitted keep every bit beside those that are."""
    net = rl.load_network("digits-mlp")
    data, train = rl.load_dataset("digits").head(100), rl.load_dataset("digits", split="train")
    both = {
        arithmetic: rl.simulate(
            net, data, rl.Chip(), vary={"compensation": ["none", "matched"]}, time_s=DAY, chips=20,
            arithmetic=arithmetic, calibration=train,
        )
        for arithmetic in ("int8", "float32")
    }  # fmt: skip
    alone = rl.simulate(net, data, rl.Chip(), time_s=DAY, chips=20, arithmetic="int8")
    assert checksums(both["int8"], compensation="none") == alone["checksum"].tolist()
    a, b = (t[t["compensation"] == "matched"]["accuracy"].mean() for t in both.values())
    assert abs(a - b) < 0.005


# Refusals, each one sentence.


def test_fitted_compensations_need_enough_training_inputs():
    data = noise(5, 6), np.zeros(5, int)
    with pytest.raises(UserError, match='compensation "matched" is fitted to training inputs'):
        rl.simulate(mlp(6, 3), data, rl.Chip(compensation="matched"), chips=1)
    with pytest.raises(UserError, match="calibration_inputs = 256, but there are only 5 training inputs"):
        rl.simulate(mlp(6, 3), data, rl.Chip(compensation="bias"), chips=1, calibration=data)


def test_who_knows_only_factors_says_so():
    net, data = mlp(6, 3), (noise(5, 6), np.zeros(5, int))
    with pytest.raises(UserError, match='compensation "adabs" is fitted by every chip'):
        weight_moments(net, rl.Chip(compensation="adabs"))
    with pytest.raises(UserError, match='compensation "column" is no factor of a whole layer'):
        RealisedWeights(net, rl.Chip(compensation="column"))
    chip = rl.Chip(compensation="bias", calibration_inputs=5)
    with pytest.raises(UserError, match='compensation "bias" is fitted to calibration inputs by every chip'):
        rl.rare_failure(net, data, chip, 0.5, calibration=data[0])
    offset = rl.Chip(mapping=rl.Mapping(scheme="offset"), compensation="column")
    with pytest.raises(UserError, match="columns that share a reference"):
        weight_moments(net, offset)


# The cures.


def test_cures_are_fields_of_the_description():
    chip = rl.Chip()
    factor = DriftCompensation("column").apply(chip)
    assert factor == replace(chip, compensation="column")
    assert BiasCorrection(99).apply(factor) == replace(
        chip, compensation="column+bias", calibration_inputs=99
    )
    assert DriftCompensation("exact").apply(BiasCorrection().apply(factor)).compensation == "exact+bias"
    assert AdaptiveStatistics().apply(factor).compensation == "matched"
    assert AdaptiveStatistics("inputs", 1000).apply(chip) == replace(
        chip, compensation="adabs", calibration_inputs=1000
    )
    for cure in (DriftCompensation(), BiasCorrection(), AdaptiveStatistics()):
        with pytest.raises(UserError, match="name no layers"):
            cure.apply(chip, ["fc1"])
    with pytest.raises(UserError, match="takes a factor of drift out"):
        DriftCompensation().apply(AdaptiveStatistics().apply(chip))
    with pytest.raises(UserError, match="has offsets of its own"):
        BiasCorrection().apply(AdaptiveStatistics().apply(chip))


def test_devices_of_named_layers_are_swapped_or_multiplied():
    net = mlp(6, 5, 3)
    chip = ProjectedPCM().apply(MultiDevice(4).apply(rl.Chip(), ["layer0"]), ["layer2"])
    crossbars = crossbars_of(net, chip)
    assert crossbars["layer0"].settings.device == rl.devices.pcm()
    assert crossbars["layer0"].copies == 8
    assert crossbars["layer2"].settings.device.projected_share == 0.9
    assert crossbars["layer2"].copies == 2
    with pytest.raises(UserError, match="cut into slices cannot be held by 2 devices"):
        MultiDevice(2).apply(chip, ["layer0"])
    everywhere = ProjectedPCM().apply(rl.Chip())
    assert everywhere.device.projected_share == 0.9


def test_more_devices_average_independent_errors():
    net = network((50,), ("fc", Linear(np.full((40, 50), 0.5, np.float32))))
    plain = rl.Chip(rl.devices.gaussian(sigma=0.05), mapping=rl.Mapping(weight_max=1.0))
    spread = {k: rl.chip_weights(net, MultiDevice(k).apply(plain))["fc"].std() for k in (1, 4)}
    assert spread[1] / spread[4] == pytest.approx(2, rel=0.05)


def test_augmented_images_are_shifted_and_mirrored_ones():
    data = rl.load_dataset("digits").head(200)
    images = replace(data, x=np.asarray(data.x).reshape(200, 1, 8, 8))
    found = augmented(images, 2, seed=3)
    assert found.x.shape == images.x.shape
    np.testing.assert_array_equal(augmented(images, 2, seed=3).x, found.x)
    wide = np.pad(images.x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for i in range(200):
        ways = [
            wide[i, :, a : a + 8, b : b + 8][..., ::step]
            for a in range(5)
            for b in range(5)
            for step in (1, -1)
        ]
        assert any((way == found.x[i]).all() for way in ways)
    assert not (found.x == images.x).all()
    with pytest.raises(UserError, match="which are no images"):
        augmented(replace(data, x=np.asarray(data.x).reshape(200, -1)), 1)


def test_matched_statistics_need_no_batch_norm_to_be_those_of_the_digital_network():
    """Means and variances of every layer on the calibration inputs, after the fit, by the twin."""
    net, given = residual(), noise(CALIBRATION, 2, 6, 5, seed=11)
    chip = rl.Chip(compensation="matched", calibration_inputs=CALIBRATION)
    found = chip_logits(net, given, chip, 2, time_s=YEAR, calibration=given)
    mean, variance = spread_of(net.forward(given))
    np.testing.assert_allclose(found.mean(axis=1), np.tile(mean, (2, 1)), atol=1e-5)
    np.testing.assert_allclose(found.var(axis=1), np.tile(variance, (2, 1)), rtol=1e-4)
