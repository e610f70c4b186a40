"""The first layer's shared exact sums and 8-bit deviations, against float32 and against integers in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from naive import Recorder
from scipy import stats

import reliability as rl
from reliability.layers import Conv2d, Flatten, Linear, ReLU
from reliability.network import Network, Node, mlp
from reliability.simulation import Simulation
from reliability.trials import trials_table

CODES = 127


def perceptron(seed: int = 0, rows: int = 50):
    random = np.random.default_rng(seed)
    weights = [random.normal(size=(m, n)) / np.sqrt(n) for n, m in ((rows, 37), (37, 5))]
    return mlp(weights, [random.normal(size=m) / 3 for m in (37, 5)])


def data_of(net, count: int = 59, *, signed: bool = True, seed: int = 1):
    x = np.random.default_rng(seed).normal(size=(count, *net.input_shape)).astype(np.float32)
    x = x if signed else np.abs(x)
    return x, np.zeros(count, np.int64)


def run(net, data, chip, arithmetic: str, *, chips: int = 3, **options):
    """Logits (chips * times, inputs, classes) and the trials table."""
    recorder = Recorder()
    vary = options.pop("vary", None)
    simulation = Simulation(net, data, chip, vary, metric=recorder, arithmetic=arithmetic, **options)
    block = simulation.block(0, 0, chips)
    trials = trials_table(simulation, [[block]], chips)
    return np.concatenate([shown.reshape(-1, *shown.shape[-2:]) for shown in recorder.shown[1:]]), trials


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("rows", [3, 50, 900])
def test_deviations_are_rounded_and_summed_up_exactly(signed, rows):
    """One layer whose inputs are codes already: the logits are the integer formula's, in float32."""
    random = np.random.default_rng(rows)
    weight = random.normal(size=(19, rows)).astype(np.float32)
    net = mlp([weight], [None])
    codes = random.integers(0, 256, (70, rows))
    codes[0, :2] = 0, 255
    zero = 100 if signed else 0
    x = ((codes - zero) / np.float32(64)).astype(np.float32)
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05))
    found, trials = run(net, (x, np.zeros(70, int)), chip, "int8", chips=2)
    assert (trials["first_layer"] == "int8").all()
    drawn = rl.draw_latents(net, chip, chips=2)["fc1", "programming"].astype(np.float64)
    for logits, z in zip(found, drawn, strict=True):
        w_max = np.abs(weight).max()
        deviation = 0.05 * w_max * (z[0] - z[1])
        step = np.abs(deviation).max(axis=1, keepdims=True) / CODES
        rounded = np.rint(deviation / step)
        expected = x.astype(np.float64) @ (weight + rounded * step).T
        # A deviation half way between two codes may go either way.
        ties = np.abs(np.abs(deviation / step) % 1 - 0.5) < 1e-3
        allowed = 1e-5 * np.abs(expected).max() + np.abs(x).max() * (ties * step).sum(axis=1)
        assert (np.abs(logits - expected) <= allowed).all()


def test_an_ideal_chip_is_exact():
    net = perceptron()
    data = data_of(net)
    for device in (rl.devices.ideal(), rl.devices.gaussian(sigma=0.0)):
        found, _ = run(net, data, rl.Chip(device=device), "int8", chips=1)
        digital = net.forward(net.prepare(data[0]))
        assert np.abs(found[0] - digital).max() <= 1e-6 * np.abs(digital).max()


CHIPS = {
    "gaussian": rl.Chip(device=rl.devices.gaussian(sigma=0.05)),
    "gaussian with reads": rl.Chip(device=rl.devices.gaussian(sigma=0.05, read_sigma=0.05)),
    "weights clipped": rl.Chip(device=rl.devices.gaussian(sigma=0.05), mapping=rl.Mapping(0.2)),
    "offset": rl.Chip(device=rl.devices.gaussian(sigma=0.05), mapping=rl.Mapping(scheme="offset")),
    "dac": rl.Chip(device=rl.devices.gaussian(sigma=0.05), tile=rl.Tile(16, 8, rl.DAC(8, 2.0))),
    "fine dac": rl.Chip(device=rl.devices.gaussian(sigma=0.05), tile=rl.Tile(16, 8, rl.DAC(12, 2.0))),
    "adc": rl.Chip(device=rl.devices.gaussian(sigma=0.05), tile=rl.Tile(16, 8, None, rl.ADC(14, 4.0))),
    "offset, both": rl.Chip(
        device=rl.devices.gaussian(sigma=0.05),
        mapping=rl.Mapping(scheme="offset"),
        tile=rl.Tile(13, 8, rl.DAC(7, 2.0), rl.ADC(14, 8.0)),
    ),
}


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("signed", [True, False])
def test_every_chip_is_that_of_float32_but_for_rounded_deviations(name, signed):
    net, chip = perceptron(), CHIPS[name]
    data = data_of(net, signed=signed)
    fast, trials = run(net, data, chip, "int8", chips=4)
    slow, plain = run(net, data, chip, "float32", chips=4)
    assert (trials["first_layer"] == "int8").all()
    assert (plain["first_layer"] == "float32").all()
    ideal = net.forward(net.prepare(data[0]))
    noise = np.sqrt(np.mean((slow - ideal) ** 2))
    assert np.sqrt(np.mean((fast - slow) ** 2)) < 0.02 * noise


def test_pcm_trajectories_are_those_of_float32():
    net = perceptron()
    data = data_of(net)
    vary = {"time_s": [0.0, rl.DAY, rl.YEAR], "compensation": ["none", "global"]}
    chip = rl.Chip(device=rl.devices.pcm())
    fast, trials = run(net, data, chip, "int8", vary=vary)
    slow, _ = run(net, data, chip, "float32", vary=vary)
    assert (trials["first_layer"] == "int8").all()
    noise = np.sqrt(np.mean((slow - net.forward(net.prepare(data[0]))) ** 2))
    assert np.sqrt(np.mean((fast - slow) ** 2)) < 0.03 * noise


def test_what_rounding_would_spoil_is_computed_in_float32():
    """A few devices far out would leave hardly a code to the others."""
    net = perceptron(rows=400)
    data = data_of(net)
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.001))
    drawn = rl.draw_latents(net, chip, chips=2)
    far = {k: z.copy() for k, z in drawn.items()}
    # One device of every column misses by a thousand times the others' error, on the second chip alone.
    far["fc1", "programming"][1, 0, :, 7] = 1000
    fast, trials = run(net, data, chip, "int8", chips=2, latents=far)
    slow, _ = run(net, data, chip, "float32", chips=2, latents=far)
    assert trials["first_layer"].tolist() == ["int8", "float32"]
    np.testing.assert_array_equal(fast[1], slow[1])
    assert (fast[0] != slow[0]).any()


@pytest.mark.parametrize(
    "chip",
    [
        rl.Chip(device=rl.devices.gaussian(), mapping=rl.Mapping(bias="devices")),
        rl.Chip(device=rl.devices.gaussian(), mapping=rl.Mapping(slices=rl.Slices(2))),
        rl.Chip(device=rl.devices.gaussian(), tile=rl.Tile(dac=rl.DAC(8, 2.0, pulse_bits=1))),
        rl.Chip(device=rl.devices.gaussian(read_sigma=0.1), tile=rl.Tile(adc=rl.ADC(8, 2.0))),
        rl.Chip(device=rl.devices.gaussian(), layers={"first": rl.LayerChip(analog=False)}),
    ],
    ids=["bias in devices", "slices", "pulses", "reads before a converter", "digital"],
)
def test_other_layers_run_in_float32_and_say_so(chip):
    net = perceptron()
    data = data_of(net)
    fast, trials = run(net, data, chip, "int8", chips=2)
    slow, _ = run(net, data, chip, "float32", chips=2)
    assert (trials["first_layer"] == "float32").all()
    np.testing.assert_array_equal(fast, slow)


def test_numbers_of_inputs_and_lines_that_fill_no_vector():
    for count, rows in ((1, 5), (16, 64), (49, 33)):
        net = perceptron(rows=rows)
        data = data_of(net, count)
        chip = CHIPS["gaussian"]
        fast, _ = run(net, data, chip, "int8")
        slow, _ = run(net, data, chip, "float32")
        noise = np.sqrt(np.mean((slow - net.forward(net.prepare(data[0]))) ** 2))
        assert np.sqrt(np.mean((fast - slow) ** 2)) < 0.02 * noise


def test_clipped_sums_are_counted_as_in_float32():
    net = perceptron()
    data = data_of(net)
    chip = replace(CHIPS["adc"], tile=rl.Tile(16, 8, rl.DAC(8, 1.5), rl.ADC(8, 0.5)))
    _, fast = run(net, data, chip, "int8")
    _, slow = run(net, data, chip, "float32")
    assert (slow["adc_clipped"] > 0.05).all()
    np.testing.assert_allclose(fast["adc_clipped"], slow["adc_clipped"], atol=1e-3)
    np.testing.assert_array_equal(fast["dac_clipped"], slow["dac_clipped"])


@pytest.mark.parametrize("converters", [False, True], ids=["exact sums", "8-bit converters"])
@pytest.mark.parametrize(
    "device", [rl.devices.gaussian(sigma=0.06), rl.devices.pcm()], ids=["gaussian", "pcm"]
)
def test_accuracies_of_the_same_chips_agree(inputs_of, converters, device):
    """Paired: the mean within 0.02 point with its interval, 99 % of chips within 0.2 point."""
    net = rl.load_network("mnist-mlp")
    x, y = inputs_of("mnist", 10_000)
    tile = rl.Tile(256, 256, rl.DAC(8, 1.0), rl.ADC(8, 12.0)) if converters else rl.Tile()
    chip = rl.Chip(device=device, tile=tile)
    found = [
        rl.simulate(net, (x, y), chip, chips=200, time_s=rl.DAY, arithmetic=how)
        for how in ("int8", "float32")
    ]
    assert [set(trials["first_layer"]) for trials in found] == [{"int8"}, {"float32"}]
    difference = 100 * (found[0]["accuracy"] - found[1]["accuracy"]).to_numpy()
    interval = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
    assert np.abs(interval).max() <= 0.02
    assert (np.abs(difference) <= 0.2).mean() >= 0.99


SCALES = [0.0, 0.02, 0.05, 0.1]


@pytest.mark.parametrize("arithmetic", ["int8", "float32"])
@pytest.mark.parametrize("name", ["gaussian", "offset", "dac", "adc", "offset, both", "slices, pulses"])
def test_levels_of_one_noise_are_the_chips_of_separate_runs(name, arithmetic):
    """A sweep of sigma draws its deviations once; each level is what it is by itself."""
    sliced = rl.Mapping(bias="devices", slices=rl.Slices(2, "max"))
    tile = rl.Tile(16, 8, rl.DAC(12, 2.0, pulse_bits=6), rl.ADC(14, 4.0))
    chip = CHIPS.get(name) or rl.Chip(device=rl.devices.gaussian(), mapping=sliced, tile=tile)
    net = perceptron()
    data = data_of(net)
    together, _ = run(net, data, chip, arithmetic, vary={"device.sigma": SCALES}, chips=2)
    together = together.reshape(2, len(SCALES), *together.shape[1:])
    for level, sigma in enumerate(SCALES):
        alone, _ = run(net, data, replace(chip, device=rl.devices.gaussian(sigma=sigma)), arithmetic, chips=2)
        # A sum at the edge of a code may round the other way.
        close = 1e-5 if chip.tile.adc is None else 2e-3
        assert np.abs(together[:, level] - alone).max() <= close * np.abs(alone).max()


def test_levels_of_a_convolutional_network():
    random = np.random.default_rng(0)
    first = Conv2d(random.normal(size=(6, 2, 3, 3)) / 4, random.normal(size=6), padding=(1, 1, 1, 1))
    last = Linear(random.normal(size=(4, 6 * 25)) / 12, random.normal(size=4))
    nodes = [("c", first), ("r", ReLU()), ("flat", Flatten()), ("fc", last)]
    names = ["input", *(name for name, _ in nodes)]
    net = Network(tuple(Node(n, layer, (names[i],)) for i, (n, layer) in enumerate(nodes)), (2, 5, 5))
    data = data_of(net)
    together, _ = run(net, data, CHIPS["gaussian"], "int8", vary={"device.sigma": SCALES}, chips=2)
    together = together.reshape(2, len(SCALES), *together.shape[1:])
    for level, sigma in enumerate(SCALES):
        alone, _ = run(net, data, rl.Chip(device=rl.devices.gaussian(sigma=sigma)), "int8", chips=2)
        assert np.abs(together[:, level] - alone).max() <= 1e-5 * np.abs(alone).max()


def test_only_what_scales_with_a_field_is_drawn_once():
    net = perceptron()
    data = data_of(net)

    def groups(device, **others):
        vary = {"device.sigma": SCALES, **others}
        return len(Simulation(net, data, rl.Chip(device=device), vary).sweep.groups)

    assert groups(rl.devices.gaussian()) == 1
    assert groups(rl.devices.gaussian(), **{"tile.rows": [16, 32]}) == 2
    assert groups(rl.devices.gaussian(clamp=True)) == len(SCALES)
    assert groups(rl.devices.gaussian(read_sigma=0.1)) == len(SCALES)
    assert groups(rl.devices.gaussian(), compensation=["none", "global"]) == len(SCALES)
