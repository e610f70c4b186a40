"""Tiles with converters, pulses, slices and offset columns: the kernels against their twin and known laws."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_tiles import TileTwin
from scipy import stats

import reliability as rl
from reliability.calibration import find_ranges
from reliability.crossbar import chip_network, crossbars_of, mapped_network
from reliability.errors import UserError
from reliability.kernels.intrinsics import HAS_FMA
from reliability.layers import Conv2d, Flatten, Linear, ReLU
from reliability.network import Network, Node, mlp
from reliability.simulation import Simulation

exact = pytest.mark.skipif(not HAS_FMA, reason="this CPU rounds products and sums apart")
GAUSSIAN = rl.devices.gaussian(sigma=0.1)
NOISY = rl.devices.gaussian(sigma=0.1, read_sigma=0.05)
IDEAL = rl.devices.ideal()
SCHEMES = ("pair", "offset")
FILLS = ("equal", "max", "corrected", "digits")
INPUTS = 21


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def perceptron() -> Network:
    """20-13-6: no size fits a vector, a register or a tile."""
    weights = [random(13, 20) / 4, random(6, 13) / 3]
    return mlp(weights, [random(13, seed=1) / 3, random(6, seed=1) / 3])


def convolutional(groups: int = 1) -> Network:
    """A convolution of 4 channels to 6, another one, and a fully connected layer."""
    first = Conv2d(random(6, 4 // groups, 3, 3) / 6, random(6) / 3, padding=(1, 1, 0, 1), groups=groups)
    second = Conv2d(random(5, 6, 2, 2) / 5, random(5), stride=(2, 1))
    last = Linear(random(3, 5 * 2 * 4) / 6, random(3))
    nodes = [("c1", first), ("r1", ReLU()), ("c2", second), ("r2", ReLU()), ("flat", Flatten()), ("fc", last)]
    names = ["input", *(name for name, _ in nodes)]
    made = tuple(Node(name, layer, (names[i],)) for i, (name, layer) in enumerate(nodes))
    return Network(made, (4, 5, 5))


def inputs_of(net: Network, positive: bool, count: int = INPUTS) -> np.ndarray:
    x = random(count, *net.input_shape, seed=5)
    return np.abs(x) if positive else x


def run(net: Network, chip: rl.Chip, x: np.ndarray, *, chips: int = 2, seed: int = 0):
    """Logits (chips, inputs, classes), the trials table and the ranges."""
    seen = []
    labels = np.arange(len(x)) % net.classes
    simulation = Simulation(
        net, (x, labels), chip, metric=lambda z, _: seen.append(z.copy()) or np.zeros(len(z)), seed=seed,
        calibration=inputs_of(net, (x >= 0).all(), 40), arithmetic="float32",
    )  # fmt: skip
    block = simulation.block(0, 0, chips)
    return np.stack(seen[1:]), block, simulation


def check_twin(net: Network, chip: rl.Chip, *, positive: bool = True, seed: int = 0) -> None:
    chip = replace(chip, calibration_inputs=40)
    x = inputs_of(net, positive)
    found, block, simulation = run(net, chip, x, seed=seed)
    ranges = simulation.ranges(chip)
    drawn = rl.draw_latents(net, chip, chips=len(found), seed=seed)
    for number, logits in enumerate(found):
        own = {name: z[number] for name, z in drawn.items()}
        twin = TileTwin(net, chip, ranges, own, number, seed)
        np.testing.assert_array_equal(logits, twin.logits(x))
        clipped = block.clipped[number, 0, 0].tolist()
        assert clipped == [twin.clipped[node.name] for node in net.weighted]


def tile(rows: int = 8, columns: int = 5, dac: int | None = None, adc: int | None = None, pulse_bits="all"):
    return rl.Tile(
        rows,
        columns,
        None if dac is None else rl.DAC(bits=dac, percentile=99.0, pulse_bits=pulse_bits),
        None if adc is None else rl.ADC(bits=adc, percentile=99.0),
    )


@exact
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("dac", "pulse_bits", "adc"), [(None, "all", None), (None, "all", 6), (5, 1, 7)])
def test_slices_and_columns_equal_their_twin(scheme, fill, dac, pulse_bits, adc):
    mapping = rl.Mapping(scheme=scheme, slices=rl.Slices(count=3, fill=fill, base=2))
    check_twin(perceptron(), rl.Chip(device=GAUSSIAN, mapping=mapping, tile=tile(8, 5, dac, adc, pulse_bits)))


@exact
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bias", ["digital", "devices"])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("pulse_bits", ["all", 1, 3])
def test_converters_equal_their_twin(scheme, bias, positive, pulse_bits):
    mapping = rl.Mapping(scheme=scheme, bias=bias)
    chip = rl.Chip(device=GAUSSIAN, mapping=mapping, tile=tile(10, 4, 6, 5, pulse_bits))
    check_twin(perceptron(), chip, positive=positive)


@exact
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pulse_bits", ["all", 2])
def test_converted_convolutions_equal_their_twin(scheme, groups, pulse_bits):
    mapping = rl.Mapping(scheme=scheme, slices=rl.Slices(count=2, fill="digits"))
    chip = rl.Chip(device=GAUSSIAN, mapping=mapping, tile=tile(7, 2, 5, 6, pulse_bits))
    check_twin(convolutional(groups), chip, positive=False)


@exact
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("net", [perceptron(), convolutional()], ids=["perceptron", "convolutional"])
@pytest.mark.parametrize("pulse_bits", [None, "all", 2])
def test_every_read_of_a_tile_slice_and_pulse_redraws_its_own_noise(scheme, net, pulse_bits):
    mapping = rl.Mapping(scheme=scheme, bias="devices", slices=rl.Slices(count=2, fill="max"))
    dac, adc = (None, None) if pulse_bits is None else (5, 8)
    check_twin(net, rl.Chip(device=NOISY, mapping=mapping, tile=tile(9, 3, dac, adc, pulse_bits or "all")))


@exact
@given(
    scheme=st.sampled_from(SCHEMES),
    bias=st.sampled_from(["digital", "devices"]),
    count=st.integers(1, 4),
    fill=st.sampled_from(FILLS),
    base=st.sampled_from([1.0, 2.0, 3.0]),
    bits=st.integers(2, 4),
    rows=st.integers(1, 25),
    columns=st.integers(1, 14),
    dac=st.one_of(st.none(), st.integers(2, 9)),
    pulse_bits=st.sampled_from(["all", 1, 2, 5]),
    adc=st.one_of(st.none(), st.integers(2, 12)),
    device=st.sampled_from([GAUSSIAN, NOISY, IDEAL, rl.devices.gaussian(sigma=0.2, clamp=True)]),
    positive=st.booleans(),
    seed=st.integers(0, 10),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_tile_equals_its_twin(
    scheme, bias, count, fill, base, bits, rows, columns, dac, pulse_bits, adc, device, positive, seed
):
    mapping = rl.Mapping(scheme=scheme, bias=bias, slices=rl.Slices(count, fill, base, bits))
    chip = rl.Chip(device=device, mapping=mapping, tile=tile(rows, columns, dac, adc, pulse_bits))
    check_twin(perceptron(), chip, positive=positive, seed=seed)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    "net", [perceptron(), convolutional(), convolutional(2)], ids=["mlp", "conv", "groups"]
)
def test_ideal_devices_give_the_mapped_network(scheme, fill, count, net):
    mapping = rl.Mapping(scheme=scheme, slices=rl.Slices(count=count, fill=fill, base=2))
    chip = rl.Chip(device=IDEAL, mapping=mapping, tile=rl.Tile(rows=7, columns=2))
    x = inputs_of(net, False)
    found, _, _ = run(net, chip, x, chips=1)
    digital = mapped_network(net, chip).forward(x)
    assert np.abs(found[0] - digital).max() <= 1e-5 * np.abs(digital).max()
    if fill != "digits":
        np.testing.assert_allclose(digital, net.forward(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("pulse_bits", ["all", 1, 4])
def test_fine_converters_give_the_digital_network(scheme, pulse_bits):
    tiles = rl.Tile(7, 3, rl.DAC(bits=20, pulse_bits=pulse_bits), rl.ADC(bits=20))
    chip = rl.Chip(device=IDEAL, mapping=rl.Mapping(scheme=scheme), tile=tiles, calibration_inputs=INPUTS)
    net = perceptron()
    x = inputs_of(net, False)
    labels = np.zeros(INPUTS, int)
    seen = []
    rl.simulate(
        net, (x, labels), chip, chips=1, calibration=x, metric=lambda z, _: seen.append(z) or np.zeros(len(z))
    )
    # Bits that are read one by one bring a rounding each, doubled with every bit.
    assert np.abs(seen[1] - seen[0]).max() <= 3e-4 * np.abs(seen[0]).max()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 3])
def test_digits_round_to_the_nearest_level_and_keep_zero(scheme, bits, count):
    net = perceptron()
    mapping = rl.Mapping(scheme=scheme, slices=rl.Slices(count, "digits", bits=bits))
    chip = rl.Chip(device=IDEAL, mapping=mapping)
    weight = net.weighted[0].layer.weight.copy()
    weight[0, :3] = 0
    net = mlp([weight, net.weighted[1].layer.weight], [None, None])
    held = mapped_network(net, chip).weighted[0].layer.weight
    levels = 2 ** (bits * count) - 1 if scheme == "pair" else 2 ** (bits * count - 1) - 1
    step = np.abs(weight).max() / levels
    np.testing.assert_allclose(held, np.rint(weight / step) * step, atol=1e-6)
    assert (held[0, :3] == 0).all()
    assert len(np.unique(np.rint(held / step))) <= 2 * levels + 1


@pytest.mark.parametrize("base", [1.0, 2.0])
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_slices_average_the_noise_as_le_gallo_states(base, count):
    """eta = eta_s sqrt((1 - b)(1 + b^n) / ((1 + b)(1 - b^n))) in 2022's paper; eta_s / sqrt(n) at b = 1."""
    weight = random(40, 50) / 10
    net = mlp([weight], [None])
    mapping = rl.Mapping(slices=rl.Slices(count, "equal", base))
    chip = rl.Chip(device=GAUSSIAN, mapping=mapping)
    x = np.eye(50, dtype=np.float32)  # logits are the weights themselves
    found, _, _ = run(net, chip, x, chips=100)
    spread = (found - weight.T).std() / np.abs(weight).max()
    b, n = base, count
    factor = 1 / np.sqrt(n) if b == 1 else np.sqrt((1 - b) * (1 + b**n) / ((1 + b) * (1 - b**n)))
    assert spread == pytest.approx(0.1 * np.sqrt(2) * factor, rel=0.01)


def test_correction_leaves_the_last_slice_s_error_alone():
    """Errors of all slices but the last are made up for, as far as the last one can hold them."""
    weight = random(40, 50, seed=3) / 10
    net, x = mlp([weight], [None]), np.eye(50, dtype=np.float32)
    spread = {}
    for fill in ("max", "corrected"):
        mapping = rl.Mapping(slices=rl.Slices(3, fill, 4.0), weight_max=2 * float(np.abs(weight).max()))
        found, _, _ = run(net, rl.Chip(device=rl.devices.gaussian(sigma=0.02), mapping=mapping), x, chips=50)
        spread[fill] = float((found - weight.T).std() / (2 * np.abs(weight).max()))
    significance = np.array([16, 4, 1]) / 21
    assert spread["max"] == pytest.approx(0.02 * np.sqrt(2 * (significance**2).sum()), rel=0.02)
    assert spread["corrected"] == pytest.approx(0.02 * np.sqrt(2) * significance[-1], rel=0.02)


def converted(values: np.ndarray, bits: int, largest: float) -> np.ndarray:
    """Values through the DAC of a chip whose one weight is 1."""
    net = mlp([np.array([[1.0], [0.0]], np.float32)], [None])
    chip = rl.Chip(device=IDEAL, tile=rl.Tile(dac=rl.DAC(bits=bits, range=largest)))
    found, _, _ = run(net, chip, values[:, None].astype(np.float32), chips=1)
    return found[0, :, 0].astype(np.float64)


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8, 9, 10])
@pytest.mark.parametrize("signed", [True, False])
def test_quantiser_of_a_uniform_input(bits, signed):
    """20 log10(L) dB with L = range / step: 2**b - 2 steps of signed codes, 2**b - 1 of unsigned ones."""
    # Equally spaced values leave no sampling error; their middles stand for their cells.
    low = -3.0 if signed else 0.0
    values = low + (3.0 - low) * (np.arange(200_000) + 0.5) / 200_000
    error = converted(values, bits, 3.0) - values
    levels = 2**bits - (2 if signed else 1)
    ratio = 10 * np.log10(values.var() / np.mean(error**2))
    assert ratio == pytest.approx(20 * np.log10(levels), abs=0.05)


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8, 9, 10])
def test_quantiser_of_a_full_scale_sine(bits):
    """Against the exact integral of the squared error under the arcsine law, cell by cell."""
    phase = 2 * np.pi * (np.arange(300_000) + 0.5) / 300_000
    values = np.sin(phase)
    error = converted(values, bits, 1.0) - values
    last = 2 ** (bits - 1) - 1
    codes = np.arange(-last, last + 1) / last
    edges = np.clip(np.concatenate([[-1], (codes[1:] + codes[:-1]) / 2, [1]]), -1, 1)
    # With x = sin t: the integral of (sin t - c)^2 dt is t/2 - sin(2t)/4 + 2 c cos t + c^2 t.
    t = np.arcsin(edges)
    inside = (
        np.diff(t) / 2 - np.diff(np.sin(2 * t)) / 4 + 2 * codes * np.diff(np.cos(t)) + codes**2 * np.diff(t)
    )
    expected = 10 * np.log10(0.5 / (inside.sum() / np.pi))
    found = 10 * np.log10(np.mean(values**2) / np.mean(error**2))
    assert found == pytest.approx(expected, abs=0.05)
    assert expected == pytest.approx(6.02 * bits + 1.76, abs=1.2)  # which is only the limit


def test_halves_go_to_even_codes_and_what_is_beyond_is_clipped():
    step = 0.5  # 7 codes of 4 signed bits on either side of zero
    values = np.array([0.5, 1.5, -0.5, -2.5, 7.4, 9.0, -9.0, 0.0]) * step
    np.testing.assert_allclose(converted(values, 4, 3.5) / step, [0, 2, 0, -2, 7, 7, -7, 0], atol=1e-5)


@pytest.mark.parametrize("percentile", [100.0, 99.5, 90.0, 50.0])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_ranges_are_percentiles_of_what_training_inputs_show(percentile, scheme):
    net = perceptron()
    tiles = rl.Tile(8, 5, rl.DAC(percentile=percentile), rl.ADC(percentile=percentile))
    chip = rl.Chip(device=IDEAL, mapping=rl.Mapping(scheme=scheme), tile=tiles, calibration_inputs=90)
    x = inputs_of(net, False, 100)
    ranges = find_ranges(net, chip, x, negative=True)
    hidden = np.maximum(x[:90] @ net.weighted[0].layer.weight.T + net.weighted[0].layer.bias, 0)
    crossbars = crossbars_of(chip_network(net, chip), chip)
    for name, values in (("fc1", x[:90]), ("fc2", hidden)):
        assert ranges[name].inputs == pytest.approx(np.percentile(np.abs(values), percentile), rel=1e-5)
        largest = 127 if name == "fc1" else 255
        step = ranges[name].inputs / largest
        driven = np.clip(np.rint(values / step), -largest, largest) * step
        w = crossbars[name].slice_weights[0]
        tiles_of = [driven[:, k : k + 8] @ w[:, k : k + 8].T for k in range(0, w.shape[1], 8)]
        sums = np.abs(np.concatenate([t.ravel() for t in tiles_of]))
        assert ranges[name].sums[0] == pytest.approx(np.percentile(sums, percentile), rel=1e-4)
        assert ranges[name].signed == (name == "fc1")


def test_clipping_is_counted_and_reported():
    net = perceptron()
    tiles = rl.Tile(8, 5, rl.DAC(range=0.5), rl.ADC(range=0.25))
    x = inputs_of(net, True)
    trials = rl.simulate(net, (x, np.zeros(len(x), int)), rl.Chip(device=IDEAL, tile=tiles), chips=2)
    step = 0.5 / 255
    beyond = (np.rint(x / step) > 255).sum()
    found = {row["layer"]: row for row in trials.attrs["converters"]}
    assert found["fc1"]["dac_clipped"] == pytest.approx(beyond / x.size)
    assert found["fc1"]["dac_range"] == 0.5
    assert found["fc1"]["adc_range"] == [0.25]
    driven = np.minimum(np.rint(x / step), 255) * step
    w = net.weighted[0].layer.weight
    sums = np.stack([driven[:, k : k + 8] @ w[:, k : k + 8].T for k in range(0, 20, 8)])
    assert found["fc1"]["adc_clipped"] == pytest.approx((np.abs(sums) > 127.5 / 127 * 0.25).mean(), abs=1e-9)
    all_inputs = len(x) * (20 + 13)
    assert trials["dac_clipped"][0] == pytest.approx(
        (found["fc1"]["dac_clipped"] * len(x) * 20 + found["fc2"]["dac_clipped"] * len(x) * 13) / all_inputs
    )


def test_a_chip_without_converters_reports_none():
    net = perceptron()
    x = inputs_of(net, True)
    trials = rl.simulate(net, (x, np.zeros(len(x), int)), rl.Chip(device=GAUSSIAN), chips=2)
    assert "adc_clipped" not in trials and "converters" not in trials.attrs


def test_ranges_need_training_inputs():
    net = perceptron()
    x = inputs_of(net, True)
    chip = rl.Chip(device=GAUSSIAN, tile=rl.Tile(adc=rl.ADC()))
    with pytest.raises(UserError, match=r"calibrated on 256 training inputs .*: give calibration inputs"):
        rl.simulate(net, (x, np.zeros(len(x), int)), chip, chips=2)
    with pytest.raises(UserError, match=r"calibration_inputs = 256, but there are only 21"):
        rl.simulate(net, (x, np.zeros(len(x), int)), chip, chips=2, calibration=x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.DAC(bits=1), r"dac.bits = 1 must be a whole number from 2 to 20"),
        (lambda: rl.ADC(bits=8.5), r"adc.bits = 8.5 must be"),
        (lambda: rl.ADC(range=0), r"adc.range = 0 must be a number from"),
        (lambda: rl.ADC(range="full"), r"adc.range = 'full' must be"),
        (lambda: rl.DAC(percentile=10), r"dac.percentile = 10 must be a number from 50 to 100"),
        (lambda: rl.DAC(pulse_bits=0), r"dac.pulse_bits = 0 must be"),
        (lambda: rl.Slices(count=0), r"slices.count = 0 must be"),
        (lambda: rl.Slices(fill="half"), r"slices.fill = 'half' must be"),
        (lambda: rl.Slices(count=8, fill="digits", bits=4), r"slices.count \* slices.bits = 32 must be"),
        (lambda: rl.Mapping(scheme="single"), r"mapping.scheme = 'single' must be"),
        (lambda: rl.Tile(adc=8), r"tile.adc = 8 must be an ADC"),
    ],
)
def test_wrong_descriptions_are_told(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_same_chips_whatever_the_bits():
    """Common random numbers: converters change no device."""
    net, x = perceptron(), inputs_of(perceptron(), True)
    draws = [
        rl.draw_latents(net, rl.Chip(device=GAUSSIAN, tile=tile(8, 5, d, a)), chips=2)
        for d, a in itertools.product((None, 4), (None, 6))
    ]
    for other in draws[1:]:
        for name, z in draws[0].items():
            np.testing.assert_array_equal(z, other[name])
    assert stats.kstest(draws[0]["fc1", "programming"].ravel(), "norm").pvalue > 1e-3
    del x
