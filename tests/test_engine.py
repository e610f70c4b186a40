"""Whole chips: the compiled engine against the naive twin, logit by logit."""

from __future__ import annotations

import itertools

import naive
import numpy as np
import pytest
from scipy import stats

import reliability as rl
from reliability.kernels.simd import VECTOR
from reliability.network import mlp
from reliability.simulation import Simulation
from reliability.units import DAY, HOUR, YEAR

pytestmark = pytest.mark.usefixtures("float32")

TIMES = (0.0, HOUR, YEAR)
VARIANTS = ("none", "global")
INPUTS = VECTOR + 22  # one full block and part of another


def network(*, bias: bool = True, seed: int = 0):
    """20-37-19-7: no size fits a block of devices, a register or a tile."""
    random = np.random.default_rng(seed)
    sizes = (20, 37, 19, 7)
    weights = [random.normal(size=(m, n)) / np.sqrt(n) for n, m in itertools.pairwise(sizes)]
    biases = [random.normal(size=m) / 3 if bias else None for m in sizes[1:]]
    return mlp(weights, biases)


def dataset(count: int = INPUTS, features: int = 20, classes: int = 7, seed: int = 1):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)).astype(np.float32), random.integers(0, classes, count)


def fast_logits(net, data, chip, *, chips=3, times=TIMES, variants=VARIANTS, **options) -> np.ndarray:
    """Logits of all trials: chips, times, variants, inputs, classes."""
    recorder = naive.Recorder()
    vary = {"time_s": list(times), "compensation": list(variants)}
    simulation = Simulation(net, data, chip, vary, metric=recorder, **options)
    simulation.block(0, 0, chips)
    return recorder.trials(chips, len(times), len(variants))


def naive_logits(net, data, chip, *, chips=3, times=TIMES, seed=0, role="certify") -> np.ndarray:
    """The same from the twin, with the latents that the counter gives; none and global compensation."""
    x = net.prepare(data[0])
    drawn = rl.draw_latents(net, chip, chips=chips, times=(0.0, *times), seed=seed, role=role)
    logits = []
    for number in range(chips):
        reads = naive.Reads(seed, number, role)
        reference = naive.at(drawn, number, 0)
        arrays = naive.write(net, chip, reference)
        for place, time_s in enumerate(times, start=1):
            latents = naive.at(drawn, number, place)
            logits += [
                naive.logits(net, x, arrays, latents, time_s, reference=own, reads=reads)
                for own in (None, reference)
            ]
    return np.reshape(logits, (chips, len(times), 2, len(x), net.classes))


def check_equal(fast: np.ndarray, slow: np.ndarray, tolerance: float = 1e-6) -> None:
    """Largest difference as a share of the largest logit: rounding of float32 and no more."""
    assert fast.shape == slow.shape
    assert np.abs(fast - slow).max() / np.abs(slow).max() < tolerance


PCM = rl.devices.pcm()
CHIPS = {
    "pcm, bias digital": rl.Chip(),
    "pcm, bias in devices": rl.Chip(mapping=rl.Mapping(bias="devices")),
    "other numbers of the law": rl.Chip(
        rl.devices.pcm(g_max_us=9, t0_s=50, programming_scale=2, read_scale=3)
    ),
    "gaussian": rl.Chip(rl.devices.gaussian(sigma=0.1)),
    "gaussian held at zero": rl.Chip(rl.devices.gaussian(sigma=0.1, clamp=True)),
    "gaussian with read noise": rl.Chip(rl.devices.gaussian(sigma=0.05, read_sigma=0.03)),
    "split read noise": rl.Chip(read_noise="split"),
    "split read noise, bias in devices": rl.Chip(
        mapping=rl.Mapping(bias="devices"), read_noise="split", observation_s=1e-3
    ),
    "tiles of 16 rows": rl.Chip(tile=rl.Tile(rows=16)),
    "weights clipped": rl.Chip(mapping=rl.Mapping(weight_max=0.2)),
    "weights clipped, bias in devices": rl.Chip(mapping=rl.Mapping(weight_max=0.2, bias="devices")),
    "weights far below the scale": rl.Chip(mapping=rl.Mapping(weight_max=3.0)),
    "first layer digital": rl.Chip(layers={"first": rl.LayerChip(analog=False)}),
    "last layer digital": rl.Chip(layers={"last": rl.LayerChip(analog=False)}),
    "one layer analog": rl.Chip(
        layers={"*": rl.LayerChip(analog=False), "fc2": rl.LayerChip(mapping=rl.Mapping(bias="devices"))}
    ),
    "one layer on its own": rl.Chip(
        read_noise="split",
        layers={
            "fc2": rl.LayerChip(
                device=rl.devices.gaussian(sigma=0.1, read_sigma=0.02, g_max_us=4),
                tile=rl.Tile(rows=5),
                mapping=rl.Mapping(weight_max=0.3, bias="devices"),
            ),
            "last": rl.LayerChip(device=rl.devices.ideal()),
        },
    ),
}


@pytest.mark.parametrize("name", CHIPS)
def test_fast_equals_naive(name):
    net, data, chip = network(), dataset(), CHIPS[name]
    fast = fast_logits(net, data, chip, seed=3)
    check_equal(fast, naive_logits(net, data, chip, seed=3))
    # The naive twin's chips differ, and so do its times where the law has any: it could tell.
    assert len({logits.tobytes() for logits in fast[:, 0, 0]}) == 3


def test_fast_equals_naive_without_biases():
    net, data = network(bias=False), dataset()
    for bias in ("digital", "devices"):
        chip = rl.Chip(mapping=rl.Mapping(bias=bias))
        check_equal(fast_logits(net, data, chip), naive_logits(net, data, chip))


def test_fast_equals_naive_on_chips_of_a_search():
    net, data, chip = network(), dataset(), rl.Chip()
    search = fast_logits(net, data, chip, role="search")
    check_equal(search, naive_logits(net, data, chip, role="search"))
    certify = fast_logits(net, data, chip)
    assert (search != certify).any(axis=(1, 2, 3, 4)).all()


def test_fast_equals_naive_on_the_digits_network():
    net, digits = rl.load_network("digits-mlp"), rl.load_dataset("digits")
    data = digits.x[:100], digits.y[:100]
    check_equal(fast_logits(net, data, rl.Chip(), chips=2), naive_logits(net, data, rl.Chip(), chips=2))


@pytest.mark.parametrize("name", ["pcm, bias digital", "pcm, bias in devices", "split read noise"])
def test_supplied_latents_give_the_counters_chips_bit_for_bit(name):
    net, data, chip = network(), dataset(), CHIPS[name]
    latents = rl.draw_latents(net, chip, chips=3, times=TIMES, seed=3)
    counted = fast_logits(net, data, chip, seed=3)
    np.testing.assert_array_equal(fast_logits(net, data, chip, seed=3, latents=latents), counted)
    if chip.read_noise == "frozen":
        # Supplied latents leave nothing to the seed, but for the reference read.
        other = fast_logits(net, data, chip, variants=["none"], seed=99, latents=latents)
        np.testing.assert_array_equal(other, counted[:, :, :1])


def test_supplied_latents_give_the_same_table():
    net, data, vary = network(), dataset(), {"time_s": list(TIMES)}
    latents = rl.draw_latents(net, rl.Chip(), chips=5, times=TIMES, seed=3)
    counted = rl.simulate(net, data, rl.Chip(), vary=vary, chips=5, seed=3)
    supplied = rl.simulate(net, data, rl.Chip(), vary=vary, chips=5, seed=8, latents=latents)
    assert counted.equals(supplied)


def test_some_latents_may_be_supplied_and_the_others_drawn():
    net, data = network(), dataset()
    latents = rl.draw_latents(net, rl.Chip(), chips=3, times=TIMES)
    one = {("fc2", "drift"): np.zeros_like(latents["fc2", "drift"])}
    found = fast_logits(net, data, rl.Chip(), latents=one)
    x = net.prepare(data[0])
    mixed = at_time = naive.at(latents | one, 1, 2)
    arrays = naive.write(net, rl.Chip(), mixed)
    check_equal(found[1, 2, 0], naive.logits(net, x, arrays, at_time, YEAR))


def test_chips_far_out_are_the_same_wherever_a_block_begins():
    net, data = network(), dataset()
    recorder = naive.Recorder()
    simulation = Simulation(net, data, rl.Chip(), metric=recorder)
    simulation.block(0, 100_000, 2)
    drawn = rl.draw_latents(net, rl.Chip(), chips=2, first_chip=100_000)
    for number in range(2):
        latents = naive.at(drawn, number, 0)
        slow = naive.logits(net, net.prepare(data[0]), naive.write(net, rl.Chip(), latents), latents, 0.0)
        check_equal(recorder.shown[1 + number], slow)


# Without any effect the chip is the digital network.

NETWORKS = {"digits-mlp": "digits", "mnist-mlp": "mnist"}


@pytest.mark.parametrize("bias", ["digital", "devices"])
@pytest.mark.parametrize("rows", [16, 64, 100, 256, "layer"])
@pytest.mark.parametrize("name", NETWORKS)
def test_ideal_chip_is_the_digital_network(name, rows, bias, inputs_of):
    net, (x, y) = rl.load_network(name), inputs_of(NETWORKS[name], 1000)
    chip = rl.Chip(rl.devices.ideal(), rl.Mapping(bias=bias), rl.Tile(rows=rows))
    fast = fast_logits(net, (x, y), chip, chips=1, times=[0.0, YEAR])
    digital = net.forward(net.prepare(x))
    assert np.abs(fast - digital).max() <= 1e-5 * np.abs(digital).max()


def test_ideal_chip_with_clipped_weights_is_the_clipped_network():
    net, data = network(), dataset()
    chip = rl.Chip(rl.devices.ideal(), rl.Mapping(weight_max=0.2, bias="devices"))
    layers = [node.layer for node in net.nodes if hasattr(node.layer, "weight")]
    clipped = mlp(
        [layer.weight.clip(-0.2, 0.2) for layer in layers], [layer.bias.clip(-0.2, 0.2) for layer in layers]
    )
    digital = clipped.forward(data[0])
    assert np.abs(digital - net.forward(data[0])).max() > 0.1
    check_equal(fast_logits(net, data, chip, chips=1, times=[0.0])[0, 0, 0], digital)


# Global drift compensation.


def test_compensation_does_nothing_at_the_reference_read():
    """The factor is exactly one, whatever the noise: both read-outs are the same draws."""
    for name in ("pcm, bias digital", "split read noise", "gaussian with read noise"):
        fast = fast_logits(network(), dataset(), CHIPS[name], times=[0.0, YEAR])
        np.testing.assert_array_equal(fast[:, 0, 0], fast[:, 0, 1])
    assert (fast_logits(network(), dataset(), rl.Chip(), times=[YEAR])[:, 0, 0] != fast[:, 0, 1]).any()


def test_compensation_takes_back_a_drift_that_all_devices_share():
    """Weights above a fifth of the largest drift with one exponent if its spread is zero."""
    random = np.random.default_rng(4)
    weights = [random.choice([-1, 1], size) * random.uniform(0.25, 1, size) for size in ((9, 12), (5, 9))]
    net, data = mlp(weights, [np.ones(9), np.ones(5)]), dataset(50, 12, 5)
    chip = rl.Chip(rl.devices.pcm(programming_scale=0, read_scale=0))
    zeros = {
        name: np.zeros_like(z) for name, z in rl.draw_latents(net, chip, chips=1, times=(0, YEAR)).items()
    }
    fast = fast_logits(net, data, chip, chips=1, times=[0.0, YEAR], latents=zeros)[0]
    check_equal(fast[1, 1], fast[0, 0], 3e-6)
    digital = net.forward(data[0])
    check_equal(fast[0, 0], digital)
    # Uncompensated, each layer has faded by the same factor; the digital biases have not.
    assert np.abs(fast[1, 0] - digital).max() > 0.1 * np.abs(digital).max()


@pytest.mark.parametrize("clamped", [False, True])
def test_compensation_factor_is_the_ratio_of_the_summed_magnitudes(clamped):
    """A single input of one shows each layer's factor: the published example, 6 / 4.2."""
    net = mlp([np.array([[1.0], [-2.0], [3.0]])], [None])
    chip = rl.Chip(rl.devices.pcm(programming_scale=0, read_scale=0))
    # Exponents that leave 0.7, 1.5 and 2.0 of 1, 2 and 3 after a year.
    length = np.log((YEAR + 20) / 20)
    wanted = np.log([1 / 0.7, 2 / 1.5, 3 / 2.0]) / length
    g = np.array([1, 2, 3]) / 3
    mean = np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1)
    spread = np.clip(-0.0125 * np.log(g) - 0.0059, 0.008, 0.045)
    drift = np.zeros((1, 2, 3, 1), np.float32)
    drift[0, [0, 1, 0], range(3), 0] = (wanted - mean) / spread
    # A layer that reads next to nothing is taken for dead at 1e-4 of the reference.
    if clamped:
        drift[0, [0, 1, 0], range(3), 0] = 1e3
    data = np.ones((1, 1), np.float32), np.zeros(1, int)
    fast = fast_logits(net, data, chip, chips=1, times=[YEAR], latents={("fc1", "drift"): drift})[0, 0]
    left = fast[0, 0]
    factor = fast[1, 0] / left
    if clamped:
        assert factor == pytest.approx(1e4, rel=1e-5)
    else:
        assert np.abs(left) == pytest.approx([0.7, 1.5, 2.0], rel=1e-5)
        assert factor == pytest.approx(1.428571, rel=1e-5)


def test_compensation_leaves_a_layer_that_conducts_nothing_as_it_is():
    """Its read-outs are both zero: their ratio is no factor."""
    net = mlp([np.zeros((3, 4))], [np.arange(3.0)])
    for device in (rl.devices.ideal(), rl.devices.pcm(programming_scale=0)):
        fast = fast_logits(net, dataset(5, 4, 3), rl.Chip(device), chips=1, times=[YEAR])
        np.testing.assert_array_equal(fast, np.broadcast_to(np.arange(3.0), fast.shape))


# Noise that each read redraws.


def test_white_read_noise_has_the_variance_of_its_equation():
    """Every output errs by read_sigma sqrt(2) W_max times the norm of the input."""
    random = np.random.default_rng(1)
    w = random.normal(size=(8, 30)).astype(np.float32)
    net, data = mlp([w], [None]), dataset(4000, 30, 8)
    chip = rl.Chip(rl.devices.gaussian(sigma=0, read_sigma=0.05), tile=rl.Tile(rows=7))
    fast = fast_logits(net, data, chip, chips=20, times=[0.0], variants=["none"])[:, 0, 0]
    sigma = 0.05 * np.sqrt(2) * np.abs(w).max() * np.linalg.norm(data[0].astype(np.float64), axis=1)
    z = (fast - data[0].astype(np.float64) @ w.T) / sigma[:, None]
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    # Neither inputs, chips nor columns share their noise.
    for other in (np.roll(z, 1, axis=0), np.roll(z, 1, axis=1), np.roll(z, 1, axis=2)):
        assert abs(np.mean(z * other)) < 4 / np.sqrt(z.size)


def test_a_reads_noise_belongs_to_chip_and_input():
    """Not to the thread, the block of chips, or how many inputs follow."""
    net, (x, y) = network(), dataset(3 * VECTOR + 5)
    chip = CHIPS["split read noise"]
    whole = fast_logits(net, (x, y), chip, chips=5, threads=1)
    np.testing.assert_array_equal(fast_logits(net, (x, y), chip, chips=5, threads=2), whole)
    fewer = fast_logits(net, (x[: VECTOR + 3], y[: VECTOR + 3]), chip, chips=2, threads=1)
    np.testing.assert_array_equal(fewer, whole[:2, ..., : VECTOR + 3, :])
    same_input = np.repeat(x[:1], 2, axis=0), y[:2]
    twice = fast_logits(net, same_input, chip, chips=1)
    assert (twice[..., 0, :] != twice[..., 1, :]).all()


ROWS = 64


def sums_of_cells(column_noise, drawn, x: np.ndarray, reads: int) -> np.ndarray:
    """Outputs of one layer whose every cell is read anew, by its own law: shape (reads, columns)."""
    w, scale = column_noise
    device = PCM
    random = np.random.default_rng(6)
    outputs = 0.0
    for copy, sign in enumerate((1, -1)):
        target = np.maximum(sign * np.float64(w), 0) / np.abs(w).max() * device.g_max_us
        own = naive.own_latents(drawn, "fc1", copy)
        g, nu, q = naive.pcm_program(device, target, own["programming"], own["drift"])
        t = DAY + device.t0_s
        drifted = g * (t / device.t0_s) ** -nu
        frozen = np.sqrt(np.log(t + device.t_read_s)) * own["read_1f"]
        redrawn = np.sqrt(np.log(1 / (2 * device.t_read_s)))
        for row in range(w.shape[1]):
            xi = random.normal(size=(reads, len(w)))
            read = np.maximum(drifted[:, row] * (1 + q[:, row] * (frozen[:, row] + redrawn * xi)), 0)
            outputs = outputs + sign * scale * x[row] * read
    return outputs


def test_split_read_noise_of_a_column_is_that_of_its_cells():
    """Mean and variance of 64-row sums; what is left of the cells' own law is stated as a number."""
    random = np.random.default_rng(2)
    w = random.normal(size=(4, ROWS)).astype(np.float32)
    w[:, : ROWS // 4] = 0  # pairs of devices at zero fluctuate most and are cut at zero
    x = random.uniform(0, 1, ROWS).astype(np.float32)
    net, reads = mlp([w], [None]), 200_000
    chip = rl.Chip(PCM, read_noise="split", observation_s=1.0)
    data = np.repeat(x[None], reads, axis=0), np.zeros(reads, int)
    fast = fast_logits(net, data, chip, chips=1, times=[DAY], variants=["none"])[0, 0, 0].astype(np.float64)
    drawn = naive.at(rl.draw_latents(net, chip, chips=1, times=[DAY]), 0, 0)
    cells = sums_of_cells((w, np.abs(w).max() / PCM.g_max_us), drawn, x, reads)
    sd = cells.std(axis=0)
    # Two samples of `reads` reads each.
    assert (np.abs(fast.mean(axis=0) - cells.mean(axis=0)) < 4 * sd * np.sqrt(2 / reads)).all()
    kurtosis = stats.kurtosis(cells, axis=0)
    error = np.sqrt((2 + 2 + kurtosis) / reads)
    assert (np.abs(fast.var(axis=0) / sd**2 - 1) < 4 * error).all()
    # The kernel's sum is exactly normal. That of the cells is nearly so: at 64 rows the residual is a
    # skewness below 0.03, an excess kurtosis below 0.05 and a Kolmogorov distance below 0.005.
    assert np.abs(stats.skew(cells, axis=0)).max() < 0.03
    assert np.abs(kurtosis).max() < 0.05
    for column in range(4):
        standardised = (cells[:, column] - cells[:, column].mean()) / sd[column]
        assert stats.kstest(standardised, "norm").statistic < 0.005
        assert (
            stats.kstest((fast[:, column] - fast[:, column].mean()) / fast[:, column].std(), "norm").pvalue
            > 1e-3
        )
