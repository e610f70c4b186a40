"""Scales of columns, clipped weights: what chips then hold, and what converters' ranges are best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from small_networks import chain, chip_logits, inputs_of, mlp, noise

import reliability as rl
from reliability.analyses.scaling import Scales
from reliability.crossbar import crossbars_of, mapped_network
from reliability.datasets import Dataset
from reliability.design import load_study
from reliability.errors import UserError
from reliability.layers import BatchNorm, Linear, ReLU
from reliability.mitigation.clipping import Clipping, find_clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.converter_ranges import ConverterRanges, find_converter_ranges
from reliability.mitigation.overrides import analog_layers, by_name
from reliability.mitigation.tuning import TrainingAccuracy
from reliability.realisation import chip_weights
from reliability.settings import load_chip, put

COLUMN = rl.Mapping("column")


def uneven(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights whose columns have largest magnitudes of 1/4, 1/2, ... 4, exact in float32."""
    matrix = np.clip(noise(5, 12, seed=seed), -0.9, 0.9)
    matrix[np.arange(5), np.arange(5)] = 1.0
    return matrix, 2.0 ** np.arange(-2, 3).astype(np.float32)


@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("fill", ["equal", "digits"])
@pytest.mark.parametrize("bias", ["digital", "devices"])
def test_ideal_columns_of_their_own_scales_give_the_digital_network(scheme, fill, bias):
    net = mlp(17, 11, 5)
    x, _ = inputs_of(net, 30)
    mapping = rl.Mapping("column", bias, scheme=scheme, slices=rl.Slices(2, fill, bits=5))
    chip = rl.Chip(device=rl.devices.ideal(), mapping=mapping)
    digital = mapped_network(net, chip).forward(x)
    logits = chip_logits(net, x, chip, 1)[0]
    np.testing.assert_allclose(logits, digital, atol=1e-5 * np.abs(digital).max())
    if fill == "equal":
        np.testing.assert_allclose(digital, net.forward(x), atol=1e-5 * np.abs(digital).max())


@pytest.mark.parametrize("adc", [None, rl.ADC(6, range=20.0)])
def test_a_scale_a_column_is_a_batch_norm_behind_even_columns(adc):
    """The same bits: its factors are powers of two here."""
    matrix, largest = uneven()
    shift = noise(5, seed=3)
    norm = BatchNorm(largest / largest.max(), shift, np.zeros(5), np.ones(5), epsilon=0.0)
    own = chain((12,), Linear(matrix * largest[:, None], shift), ReLU(), Linear(noise(3, 5)))
    even = chain((12,), Linear(matrix * largest.max()), norm, ReLU(), Linear(noise(3, 5)))
    even = replace(
        even,
        nodes=(
            *(replace(n, name=f"x{n.name}") if n.name == "layer1" else n for n in even.nodes[:2]),
            replace(even.nodes[2], name="layer1", inputs=("xlayer1",)),
            replace(even.nodes[3], name="layer2", inputs=("layer1",)),
        ),
    )
    x, _ = inputs_of(own, 40)
    chip = rl.Chip(tile=rl.Tile(rows=8, adc=adc), compensation="global")
    # The last layers differ in their scale.
    layers = {"last": rl.LayerChip(analog=False)}
    found = [
        chip_logits(
            net, x, replace(chip, mapping=mapping, layers=layers), 5, time_s=1e5, arithmetic="float32"
        )
        for net, mapping in ((own, COLUMN), (even, rl.Mapping()))
    ]
    np.testing.assert_array_equal(*found)
    assert found[0].std(axis=0).max() > 0


def test_errors_of_a_column_go_with_its_own_largest_weight():
    matrix, largest = uneven()
    net = chain((12,), Linear(matrix * largest[:, None]))
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05), mapping=COLUMN)
    errors = np.stack([chip_weights(net, chip, number=n)["layer0"] for n in range(800)])
    errors -= net.weighted[0].layer.weight
    np.testing.assert_allclose(errors.std(axis=(0, 2)), 0.05 * np.sqrt(2) * largest, rtol=0.03)


@pytest.mark.parametrize("bias", ["digital", "devices"])
def test_weights_are_clipped_at_their_percentile(bias):
    net = mlp(30, 12)
    weight, own = net.weighted[0].layer.weight, net.weighted[0].layer.bias
    matrix = np.column_stack([weight, own]) if bias == "devices" else weight
    for kind, axis in (("layer", None), ("column", 1)):
        mapping = rl.Mapping(kind, bias, clip_percentile=90.0)
        held = mapped_network(net, rl.Chip(mapping=mapping)).weighted[0].layer
        limit = np.percentile(np.abs(matrix.astype(np.float64)), 90.0, axis=axis, keepdims=True)
        clipped = np.clip(matrix, -limit, limit)
        np.testing.assert_allclose(held.weight, clipped[:, :30], rtol=1e-6)
        np.testing.assert_allclose(held.bias, clipped[:, 30] if bias == "devices" else own, rtol=1e-6)


def test_columns_and_layers_of_zeros_keep_a_scale():
    matrix = np.zeros((4, 6), np.float32)
    matrix[1, 2] = 0.5
    net = chain((6,), Linear(matrix, np.arange(4.0)))
    x, _ = inputs_of(net, 5)
    for mapping in (COLUMN, rl.Mapping("column", clip_percentile=60.0), rl.Mapping(clip_percentile=60.0)):
        logits = chip_logits(net, x, rl.Chip(device=rl.devices.ideal(), mapping=mapping), 1)[0]
        np.testing.assert_allclose(logits, net.forward(x), atol=1e-6)


def test_descriptions_say_it_and_refuse_what_cannot_be(tmp_path):
    chip = put(rl.Chip(), "mapping.weight_max", "column", "chip")
    chip = put(chip, "mapping.clip_percentile", "99.5", "chip")
    assert chip.mapping == rl.Mapping("column", clip_percentile=99.5)
    chip = put(chip, "mapping.slices.columns", [3, 1], "chip")
    assert chip.mapping.slices.columns == (3, 1)
    # A chip file holds all of it, in any order.
    path = tmp_path / "own.toml"
    path.write_text(
        '[layers.fc1.mapping]\nclip_percentile = 99.0\nweight_max = "column"\n'
        "[layers.fc1.mapping.slices]\ncolumns = [4, 2]\ncount = 3\n"
        '[layers.last.mapping.slices]\ncombine = "median"\ncount = 5\n'
    )
    layers = load_chip(path).layers
    assert layers["fc1"].mapping == rl.Mapping(
        "column", slices=rl.Slices(3, columns=(4, 2)), clip_percentile=99.0
    )
    assert layers["last"].mapping.slices == rl.Slices(5, combine="median")
    with pytest.raises(UserError, match="clip_percentile = 99 must be 100 where"):
        rl.Mapping(0.5, clip_percentile=99)
    with pytest.raises(UserError, match="weight_max = 'row' must be a number"):
        rl.Mapping("row")
    with pytest.raises(UserError, match="clip_percentile = 20 must"):
        rl.Mapping(clip_percentile=20)


# ---- ranges of converters


def gaussian_error(clip: float, levels: np.ndarray) -> float:
    """Mean-square error of a standard normal on evenly spaced levels from -clip to clip, in closed form."""
    values = clip * levels
    edges = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    density, below = stats.norm.pdf(edges), stats.norm.cdf(edges)
    finite = np.where(np.isfinite(edges), edges, 0.0)
    mass = np.diff(below)
    # Integrals of z phi and z**2 phi between the edges.
    first = -np.diff(density)
    second = mass - np.diff(finite * density)
    return float((second - 2 * values * first + values**2 * mass).sum())


def best_clip(levels: np.ndarray) -> float:
    return float(minimize_scalar(lambda c: gaussian_error(c, levels), bounds=(0.3, 8), method="bounded").x)


KNOWN = {2: (1.991, 9.25), 3: (2.344, 14.27), 4: (2.682, 19.38), 5: (3.010, 24.57), 6: (3.330, 29.83)}


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_closed_form_has_the_known_optima(bits):
    """Clip over sigma of 2**b levels in the middle of even steps (J. Max, IRE Trans. IT 6, 1960)."""
    count = 1 << bits
    levels = (2 * np.arange(count) - (count - 1)) / count
    clip, decibels = (KNOWN | {8: (3.938, 40.57)})[bits]
    found = best_clip(levels)
    assert found == pytest.approx(clip, abs=0.0015)
    assert -10 * np.log10(gaussian_error(found, levels)) == pytest.approx(decibels, abs=0.01)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("converter", ["adc", "dac"])
def test_ranges_of_gaussian_values_are_the_closed_forms(converter, bits):
    """These converters have a level at zero: 2**b - 1 levels, the last ones at the range's ends."""
    random = np.random.default_rng(3)
    x = random.normal(size=(2048, 64)).astype(np.float32)
    net = chain((64,), Linear(random.normal(size=(64, 64)) / 8))
    tile = rl.Tile(adc=rl.ADC(bits)) if converter == "adc" else rl.Tile(dac=rl.DAC(bits))
    chip = rl.Chip(device=rl.devices.ideal(), tile=tile, calibration_inputs=2048)
    found = find_converter_ranges(net, Dataset("normal", x, np.zeros(2048, np.int64), ""), chip)
    chosen = found.table[found.table["chosen"]].iloc[0]
    code = (1 << (bits - 1)) - 1
    levels = np.arange(-code, code + 1) / code
    best = best_clip(levels)
    least = gaussian_error(best, levels)
    # Columns' sums have norms of weights that differ; steps of percentiles are coarse where little is lost.
    assert chosen["range"] == pytest.approx(best, rel=0.08)
    assert chosen["error"] == pytest.approx(least, rel=0.05)
    # What was found stands in the description, and the ranges that follow from it are those.
    own = next(iter(crossbars_of(net, found.chip).values())).settings.tile
    assert getattr(own, converter).percentile == chosen["percentile"]
    assert getattr(own, converter).range == "calibrated"


@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("pulse_bits", ["all", 2])
def test_errors_of_converters_are_those_that_the_kernels_show(scheme, pulse_bits):
    """Slices, tiles, pulses, a bias on devices and column scales: the predicted error of one layer."""
    net = mlp(40, 16)
    x = np.abs(noise(256, 40, seed=9))
    data = Dataset("x", x, np.zeros(256, np.int64), "")
    mapping = rl.Mapping("column", "devices", scheme=scheme, slices=rl.Slices(2, "digits", bits=3))
    tile = rl.Tile(16, "layer", rl.DAC(8, pulse_bits=pulse_bits), rl.ADC(6))
    chip = rl.Chip(device=rl.devices.ideal(), mapping=mapping, tile=tile)
    found = find_converter_ranges(net, data, chip)
    rounded = chip_logits(net, x, found.chip, 1, calibration=x)[0]
    without = {"layer0": rl.LayerChip(tile=replace(found.chip.layers["layer0"].tile, adc=None))}
    exact = chip_logits(net, x, replace(found.chip, layers=without), 1, calibration=x)[0]
    bias = mapped_network(net, chip).weighted[0].layer.bias
    assert bias is not None
    error = np.mean((rounded - exact) ** 2) / np.mean(exact**2)
    best = found.table[(found.table["converter"] == "adc") & found.table["chosen"]].iloc[0]
    assert best["error"] == pytest.approx(error, rel=0.02)
    largest = found.table[found.table["converter"] == "adc"].iloc[0]
    assert largest["percentile"] == 100 and best["error"] <= largest["error"]


# ---- cures


@pytest.fixture(scope="module")
def digits():
    return rl.load_network("digits-mlp"), rl.load_dataset("digits", split="train").head(300)


def test_cures_change_the_named_layers_and_nothing_else():
    last = rl.LayerChip(mapping=rl.Mapping(bias="devices"), device=rl.devices.ideal())
    chip = rl.Chip(layers={"fc3": last, "fc1": rl.LayerChip(analog=False)})
    everywhere = Clipping(99.0).apply(chip)
    assert everywhere.mapping.clip_percentile == 99.0
    assert everywhere.layers["fc3"].mapping == rl.Mapping(bias="devices", clip_percentile=99.0)
    assert everywhere.layers["fc1"] == rl.LayerChip(analog=False)
    one = ColumnScale().apply(chip, ["fc3"])
    assert one.mapping == rl.Mapping()
    assert one.layers["fc3"] == replace(last, mapping=rl.Mapping("column", "devices"))
    # A digital layer stays digital.
    assert not ColumnScale().apply(chip, ["fc1"]).layers["fc1"].analog
    ranged = ConverterRanges(99.0, 98.0).apply(replace(chip, tile=rl.Tile(adc=rl.ADC(6, range=2.0))))
    assert ranged.tile == rl.Tile(adc=rl.ADC(6, percentile=98.0))


def test_layers_are_told_by_their_names(digits):
    net, _ = digits
    chip = rl.Chip(
        layers={"fc*": rl.LayerChip(device=rl.devices.ideal()), "last": rl.LayerChip(analog=False)}
    )
    with pytest.raises(UserError, match="'last'"):
        Clipping().apply(chip, ["fc2"])
    with pytest.raises(UserError, match="is a pattern"):
        Clipping().apply(chip, ["fc*"])
    named = by_name(chip, net)
    names = [node.name for node in net.weighted]
    assert list(named.layers) == names
    for position, name in enumerate(names):
        assert named.layer(name, position, len(names)) == chip.layer(name, position, len(names))
    assert analog_layers(chip, net) == names[:-1]
    assert Clipping(98.0).apply(named, [names[0]]).layers[names[0]].device == rl.devices.ideal()
    alone = Clipping(98.0).apply(rl.Chip(), ["last"])
    assert alone.layers["last"].mapping.clip_percentile == 98.0


def test_clipping_is_found_where_noise_goes_with_the_range(digits):
    net, train = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.15))
    found = find_clipping(net, train, chip, percentiles=(100.0, 99.0, 96.0))
    assert (found.table["method"] == "analytic network").all()
    chosen = found.table[found.table["chosen"]]
    assert list(chosen["layer"]) == [node.name for node in net.weighted]
    assert chosen["value"].is_monotonic_increasing
    test = rl.load_dataset("digits").head(300)
    before, after = (
        rl.simulate(net, test, own, chips=60, seed=1)["accuracy"].to_numpy() for own in (chip, found.chip)
    )
    gain = after - before
    assert gain.mean() > 4 * gain.std() / np.sqrt(60) > 0


def test_simulated_chips_stand_in_where_the_analytic_network_refuses(digits):
    net, train = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.15), variation=rl.Variation(cell=0.1))
    accuracy = TrainingAccuracy(net, train, chip, chips=16)
    scores = accuracy.scores(chip)
    assert not accuracy.is_analytic and scores.shape == (16,)
    trials = rl.simulate(net, train, chip, chips=16, role="search")
    np.testing.assert_array_equal(scores, trials["accuracy"])
    row = accuracy.row(scores)
    assert row["low"] < row["value"] < row["high"] and "16 simulated chips" in row["method"]


def test_a_chip_without_converters_has_no_ranges(digits):
    with pytest.raises(UserError, match="has no converters"):
        find_converter_ranges(*digits, rl.Chip())


# ---- the study


@pytest.fixture(scope="module")
def studied():
    _, study = load_study("scaling")
    analysis = Scales(percentiles=(100.0, 80.0), converter_percentiles=(100.0, 99.0), training_inputs=200)
    study = replace(study, chips=40, inputs=200, analysis=analysis)
    network, data = study.load()
    setting = study.setting(network, data, threads=1)
    return setting, analysis.answer(setting)


def test_the_study_compares_every_setting_with_the_first(studied):
    setting, answer = studied
    accuracy = answer.tables["accuracy"]
    assert len(accuracy[accuracy["estimand"] == "mean"]) == 2 * 2 * 2 + 1
    won = accuracy[accuracy["estimand"] == "difference"]
    assert len(won) == 8
    train = setting.calibration()
    cured = ConverterRanges(99.0, 99.0).apply(Clipping(80.0).apply(ColumnScale().apply(setting.chip)))
    before, after = (
        rl.simulate(setting.network, setting.dataset, chip, chips=40, calibration=train)["accuracy"]
        for chip in (setting.chip, cured)
    )
    row = won[(won["scale"] == "column") & (won["percentile"] == 80) & (won["converter_percentile"] == 99)]
    assert row["value"].item() == pytest.approx((after - before).mean())
    assert {"value", "low", "high", "level", "method", "varies"} <= set(accuracy.columns)


def test_what_the_study_finds_is_good_on_test_inputs(studied):
    _, answer = studied
    accuracy = answer.tables["accuracy"]
    means = accuracy[accuracy["estimand"] == "mean"].set_index("setting")["value"]
    assert means["found on training inputs"] > means["all layers"].iloc[0] + 0.01
    assert means["found on training inputs"] > means["all layers"].max() - 0.01
    found = answer.tables["found"]
    assert list(found["layer"]) == ["fc1", "fc2"]
    ranges = answer.tables["ranges"]
    assert ranges.groupby(["layer", "converter"])["chosen"].sum().eq(1).all()


def test_the_studys_figure_and_text(studied):
    _, answer = studied
    left, right = answer.draw().axes
    assert len(left.containers) + len(right.containers) == 2 * 2 + 1
    for axes in (left, right):
        assert "bars: 95 % intervals" in axes.get_title(loc="left")
        has_found = any(bars.get_label() == "found on training inputs" for bars in axes.containers)
        assert ("found" in [label.get_text() for label in axes.get_xticklabels()]) is has_found
    assert "picked as the best" in answer.text
    assert "Found layer by layer on training inputs" in answer.text
    assert max(map(len, answer.text.splitlines())) <= 100


def test_the_study_without_converters(studied):
    setting, _ = studied
    chip = replace(setting.chip, tile=rl.Tile())
    small = replace(setting, chip=chip, chips=8, dataset=setting.dataset.head(50))
    answer = Scales(percentiles=(100.0, 95.0), training_inputs=50).answer(small)
    assert "ranges" not in answer.tables
    assert len(answer.tables["accuracy"].query("estimand == 'mean'")) == 2 * 2 + 1
    answer.draw()
