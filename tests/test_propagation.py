"""Propagation of moments: closed forms, finite differences, and the networks that chips really are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from small_networks import chain, chip_logits, inputs_of, linear, mlp, noise

import reliability as rl
from reliability.analytic import _lattice
from reliability.crossbar import chip_network
from reliability.derivatives import derivatives
from reliability.kernels.members import CHUNK, bend_members, clamp_members, largest_members
from reliability.kernels.orthant import probability_of_label
from reliability.kernels.simd import VECTOR
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
from reliability.network import Network, Node
from reliability.propagation.activations import Clamp, Passed, Smooth
from reliability.propagation.adjoint import variance_slopes
from reliability.propagation.dense import Chain, Spread
from reliability.propagation.ensemble import Ensemble
from reliability.propagation.noisy import NoisyLayer, noisy_layers
from reliability.propagation.slopes import weight_slopes
from reliability.simulation import Simulation

ACTIVATIONS = [
    Clamp(),
    Clamp(-0.3, 0.8),
    Clamp(0.0, 6.0),
    Clamp(-np.inf, 0.5),
    Smooth(),
    Smooth(0.5, 0.5, 0.5),
]


def gaussian(sigma: float, **fields) -> rl.Chip:
    return rl.Chip(device=rl.devices.gaussian(sigma=sigma), **fields)


# ---- activations


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_moments_of_an_activation_by_integration(activation):
    rng = np.random.default_rng(0)
    m, c = rng.normal(size=20), rng.uniform(0.05, 2, 20)
    found = activation.forward(m, c)
    u = np.linspace(-9, 9, 360_001)
    weight = stats.norm.pdf(u) * (u[1] - u[0])
    z = m[:, None] + np.sqrt(c)[:, None] * u
    h = activation.value(z)
    np.testing.assert_allclose(found.mean, h @ weight, atol=2e-5)
    np.testing.assert_allclose(found.variance, h**2 @ weight - (h @ weight) ** 2, atol=2e-4)
    # Stein: E[h'] = E[h u] / s and E[h''] = E[h (u**2 - 1)] / s**2.
    np.testing.assert_allclose(found.gain, (h * u) @ weight / np.sqrt(c), atol=1e-3)
    np.testing.assert_allclose(found.bend, (h * (u**2 - 1)) @ weight / c, atol=1e-2)


def test_rectified_normal_to_the_digit():
    found = Clamp().forward(np.array([0.5]), np.array([1.0]))
    assert found.mean[0] == pytest.approx(0.6977966, abs=5e-8)
    assert found.variance[0] == pytest.approx(0.5534407, abs=5e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_way_back_through_an_activation(activation):
    rng = np.random.default_rng(1)
    m, c, step = rng.normal(size=30), rng.uniform(0.05, 2, 30), 1e-5
    bars = Passed(*rng.normal(size=(4, 30)))

    def value(m, c):
        return sum(bar * out for bar, out in zip(bars, activation.forward(m, c), strict=True))

    by_m, by_c = activation.backward(m, c, bars)
    np.testing.assert_allclose(by_m, (value(m + step, c) - value(m - step, c)) / (2 * step), atol=1e-7)
    np.testing.assert_allclose(by_c, (value(m, c + step) - value(m, c - step)) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_derivatives_of_an_activation(activation):
    rng = np.random.default_rng(2)
    m, c, step = rng.normal(size=30), rng.uniform(0.05, 2, 30), 1e-5
    up, down = (activation.forward(m + s * step, c) for s in (1, -1))
    more, less = (activation.bends(m + s * step, c)[0] for s in (1, -1))
    bend, third = activation.bends(m, c)
    np.testing.assert_allclose(bend, (up.gain - down.gain) / (2 * step), atol=1e-7)
    np.testing.assert_allclose(third, (more - less) / (2 * step), atol=1e-7)
    slope = (activation.value(m + step) - activation.value(m - step)) / (2 * step)
    np.testing.assert_allclose(activation.derivative(m), slope, atol=1e-7)
    np.testing.assert_array_equal(activation.bends(m, np.zeros(30)), 0)


def test_an_activation_of_what_does_not_vary():
    z = np.array([-1.0, 0.2, 3.0])
    for activation in ACTIVATIONS:
        found = activation.forward(z, np.zeros(3))
        np.testing.assert_allclose(found.mean, activation.value(z), atol=1e-12)
        np.testing.assert_allclose(found.variance, 0, atol=1e-12)


# ---- chains


def sign_flip(variance: np.ndarray, read: float = 0.0) -> float:
    """Probability that the weights 0.3, -0.5, 0.8, 0.1 see (1, 0.5, 0.25, -1) on the wrong side of zero."""
    net = chain((4,), Linear(np.array([[0.3, -0.5, 0.8, 0.1], [0, 0, 0, 0]], np.float32)))
    own = noisy_layers(net, rl.Chip(device=rl.devices.ideal()))["layer0"]
    own = replace(
        own,
        weight=np.array([[0.3, -0.5, 0.8, 0.1], [0, 0, 0, 0]]),
        variance=np.array([variance, np.zeros(4)]),
        bias_read_variance=np.array([read**2, 0.0]),
    )
    spread, _ = Chain(net, {"layer0": own}).forward(np.array([[1, 0.5, 0.25, -1]], np.float32))
    right = np.empty(1)
    moments = spread.mean, spread.whole()
    probability_of_label(*moments, np.array([0]), _lattice(2), False, right, *(m.copy() for m in moments))
    return 1 - right[0]


def test_sign_flip_of_one_neuron():
    s, w = 0.2, np.array([0.3, -0.5, 0.8, 0.1])
    even = np.full(4, s**2)
    assert sign_flip(even) == pytest.approx(0.3109367, abs=5e-8)
    assert sign_flip(2 * even) == pytest.approx(0.3636412, abs=5e-8)
    assert sign_flip((0.5 * w) ** 2) == pytest.approx(0.2524925, abs=5e-8)
    assert sign_flip(even / 4) == pytest.approx(0.1619699, abs=5e-8)
    assert sign_flip(even, read=0.15) == pytest.approx(0.3291267, abs=5e-8)


def test_two_layers_have_exact_moments():
    net = mlp(9, 7, 3)
    x, _ = inputs_of(net, 5)
    layers = noisy_layers(net, gaussian(0.1))
    spread, _ = Chain(net, layers).forward(x)
    first, second = layers["layer0"], layers["layer2"]
    for i in range(5):
        m = first.weight @ x[i].astype(np.float64) + first.bias
        s = np.sqrt(first.variance @ x[i].astype(np.float64) ** 2)
        mean = m * stats.norm.cdf(m / s) + s * stats.norm.pdf(m / s)
        square = (m**2 + s**2) * stats.norm.cdf(m / s) + m * s * stats.norm.pdf(m / s)
        np.testing.assert_allclose(spread.mean[i], second.weight @ mean + second.bias, atol=1e-12)
        # Var z = sum of (w**2 + v) E[h**2] - w**2 E[h]**2; hidden units are independent.
        variance = (second.weight**2 + second.variance) @ square - second.weight**2 @ mean**2
        np.testing.assert_allclose(spread.diagonal[i], variance, atol=1e-12)
        joint = second.weight * (square - mean**2) @ second.weight.T
        off = ~np.eye(3, dtype=bool)
        np.testing.assert_allclose(spread.whole()[i][off], joint[off], atol=1e-12)


CHAINS = {
    "pair": gaussian(0.1),
    "references": gaussian(
        0.08, mapping=rl.Mapping(scheme="offset", bias="devices"), tile=rl.Tile(columns=5)
    ),
    "converters": rl.Chip(
        device=rl.devices.gaussian(sigma=0.08, read_sigma=0.05),
        mapping=rl.Mapping(scheme="offset", bias="devices"),
        tile=rl.Tile(rows=8, columns=5, dac=rl.DAC(bits=7), adc=rl.ADC(bits=7)),
    ),
    "PCM": rl.Chip(compensation="global", mapping=rl.Mapping(bias="devices")),
}


def deep_chain() -> Network:
    norm = BatchNorm(1 + 0.3 * noise(9), noise(9, seed=1), 0.2 * noise(9, seed=2), 0.5 + np.abs(noise(9)))
    return chain(
        (12,), linear(11, 12), ReLU(), linear(9, 11, 2), norm, Sigmoid(), linear(8, 9, 4), ReLU6(),
        linear(4, 8, 6),
    )  # fmt: skip


def chain_of(net: Network, chip: rl.Chip, x: np.ndarray) -> tuple[Chain, dict[str, NoisyLayer]]:
    simulation = Simulation(net, (x, np.zeros(len(x), np.int64)), chip, calibration=inputs_of(net, 256))
    layers = noisy_layers(net, chip, time_s=100.0, inputs=len(x), ranges=simulation.ranges(chip))
    return Chain(net, layers), layers


@pytest.mark.parametrize("case", CHAINS)
def test_way_back_through_a_chain(case):
    net, chip = deep_chain(), CHAINS[case]
    x, _ = inputs_of(net, 12)
    whole, layers = chain_of(net, chip, x)
    rng = np.random.default_rng(3)
    mean_bar, root = rng.normal(size=(12, 4)), rng.normal(size=(12, 4, 4))
    covariance_bar = root + root.transpose(0, 2, 1)

    def value(changed: dict[str, NoisyLayer]) -> float:
        spread, _ = Chain(net, changed).forward(x)
        return float((spread.mean * mean_bar).sum() + (spread.whole() * covariance_bar).sum())

    _, tape = whole.forward(x)
    slopes: dict = {}
    whole.backward(tape, mean_bar, covariance_bar, slopes)
    fields = {
        "weight": "mean",
        "variance": "variance",
        "bias_variance": "bias_variance",
        "reference_variance": "reference_variance",
    }
    for name, own in layers.items():
        for field, of in fields.items():
            values, given = getattr(own, field), getattr(slopes[name], of)
            assert given.shape == values.shape
            if not values.size or not values.any():
                continue
            change = rng.normal(size=values.shape) * 1e-5 * np.abs(values).max()
            up, down = (value(layers | {name: replace(own, **{field: values + s * change})}) for s in (1, -1))
            scale = np.sqrt((given**2).sum() * (change**2).sum())
            assert (given * change).sum() == pytest.approx((up - down) / 2, rel=1e-5, abs=1e-7 * scale)


@pytest.mark.parametrize("case", ["references", "converters"])
def test_shared_references_as_a_whole_covariance(case):
    net = deep_chain()
    x, _ = inputs_of(net, 6)
    whole, _ = chain_of(net, CHAINS[case], x)
    spread, _ = whole.forward(x)
    steps = iter(whole.steps)
    held = Spread(x.astype(np.float64), np.zeros(x.shape))
    for step in steps:
        held = step.forward(held)
        if held.shared is not None:
            held = Spread(held.mean, held.diagonal, held.whole())
    np.testing.assert_allclose(spread.mean, held.mean, rtol=1e-12)
    np.testing.assert_allclose(spread.whole(), held.whole(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("case", CHAINS)
def test_chains_as_simulated_chips(case):
    net, chip, chips = mlp(40, 60, 5), CHAINS[case], 1500
    if case == "converters":
        # With an offset, noise makes sums run into the ADC's calibrated range, which is not in the moments.
        chip = replace(chip, mapping=rl.Mapping(bias="devices"))
    x, _ = inputs_of(net, 30)
    whole, _ = chain_of(net, chip, x)
    spread, _ = whole.forward(x)
    seen = chip_logits(net, x, chip, chips, time_s=100.0, calibration=inputs_of(net, 256))
    error = np.sqrt(seen.var(axis=0) / chips)
    # What is rounded to steps wider than it varies errs always by the same.
    allowed = 0.04 if case == "converters" else 0.02
    off = (seen.mean(axis=0) - spread.mean) / np.sqrt(spread.diagonal)
    assert np.sqrt((off**2).mean()) < allowed + 2 * (error / np.sqrt(spread.diagonal)).mean()
    sampled = np.einsum("cni,cnj->nij", seen - seen.mean(axis=0), seen - seen.mean(axis=0)) / (chips - 1)
    # Common to all logits or not, what matters is what they differ by.
    apart = np.array([[1, -1, 0, 0, 0], [0, 1, -1, 0, 0], [0, 0, 1, -1, 0], [0, 0, 0, 1, -1]])
    expected = np.einsum("ai,nij,aj->na", apart, spread.whole(), apart)
    assert np.einsum("ai,nij,aj->na", apart, sampled, apart).mean() == pytest.approx(
        expected.mean(), rel=0.06
    )


# ---- the ensemble's kernels


def test_clamped_members():
    rng = np.random.default_rng(0)
    members, size = 16, 3 * CHUNK // 2
    mean = rng.normal(size=size).astype(np.float32)
    first, second = rng.normal(size=(2, members, size)).astype(np.float32)
    for others, low, high in ((None, 0, np.inf), (second, 0, np.inf), (None, 0, 1.5), (second, -np.inf, 0.4)):
        whole = first if others is None else first + others
        found = [np.empty_like(mean) for _ in range(2)]
        y = np.empty(first.size, np.float32)
        clamp_members(
            mean, first.reshape(-1), np.empty(0, np.float32) if others is None else others.reshape(-1),
            np.float32(low), np.float32(high), np.float32(0), np.empty(CHUNK, np.float32), *found, y,
        )  # fmt: skip
        expected = Clamp(low, high).forward(
            mean.astype(np.float64), (whole.astype(np.float64) ** 2).mean(axis=0)
        )
        np.testing.assert_allclose(found[0], expected.mean, atol=3e-6)
        np.testing.assert_allclose(found[1], expected.gain, atol=1e-6)
        np.testing.assert_allclose(
            y.reshape(first.shape), np.clip(mean + whole, low, high) - found[0], atol=1e-6
        )


@pytest.mark.parametrize(("low", "high"), [(0, np.inf), (-0.3, 0.8)])
def test_clamped_members_backward(low, high):
    rng = np.random.default_rng(1)
    members, size, step = 16, 3 * CHUNK // 2, 1e-6
    mean, mean_bar = rng.normal(size=(2, size))
    deviations, bars = rng.normal(size=(2, members, size))
    clamp = Clamp(low, high)

    def value(mean: np.ndarray, values: np.ndarray) -> np.ndarray:
        expected = clamp.forward(mean, ((values - mean) ** 2).mean(axis=0)).mean
        return mean_bar * expected + (bars * np.clip(values, low, high)).sum(axis=0)

    c = (deviations**2).mean(axis=0)
    gain, (bend, third) = clamp.forward(mean, c).gain, clamp.bends(mean, c)
    given = (mean, deviations, low, high, bend, third, gain, mean_bar, bars, np.empty(3 * CHUNK))
    out = [np.empty(size, np.float32), np.empty(size, np.float32), np.empty((members, size), np.float32)]
    bend_members(*(np.float32(a).reshape(-1) if np.ndim(a) else np.float32(a) for a in given[:-1]),
                 given[-1].astype(np.float32), *(a.reshape(-1) for a in out))  # fmt: skip
    cost, by_mean, y = out
    values = mean + deviations
    slope = (value(mean + step, values) - value(mean - step, values)) / (2 * step)
    np.testing.assert_allclose(by_mean, slope, atol=2e-5)
    for member in (0, members - 1):
        moved = step * (np.arange(members) == member)[:, None]
        slope = (value(mean, values + moved) - value(mean, values - moved)) / (2 * step)
        near = np.abs(values[member] - low) < 1e-5
        np.testing.assert_allclose(y[member][~near], slope[~near], atol=2e-5)
    handed, together = bars.sum(axis=0), (bars * deviations).sum(axis=0)
    np.testing.assert_allclose(
        cost, (bend * (mean_bar + handed) + third * together) / 2, rtol=1e-4, atol=1e-4
    )


def correlated(members: int, variances: tuple[float, float], rho: float) -> np.ndarray:
    """Deviations of two values whose mean squares and products are exactly these."""
    root, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(members, 2)))
    a, b = np.sqrt(variances)
    covariance = [[variances[0], rho * a * b], [rho * a * b, variances[1]]]
    return (np.sqrt(members) * root @ np.linalg.cholesky(covariance).T).T


@pytest.mark.parametrize(("rho", "expected"), [(0.0, 0.5531877), (0.3, 0.4809630)])
def test_maximum_of_two_normals(rho, expected):
    members = 32
    one, other = correlated(members, (1.0, 0.5), rho)
    mean = np.tile(np.array([0.2, -0.1], np.float32)[:, None], (1, VECTOR))
    deviations = np.stack([one, other], axis=1)[:, :, None] * np.ones(VECTOR)
    y_mean, shares = np.empty(VECTOR, np.float32), np.zeros((2, VECTOR), np.float32)
    y = np.empty((members, VECTOR), np.float32)
    largest_members(
        mean.reshape(-1), deviations.astype(np.float32).reshape(-1), 1, 1, 2, VECTOR, (1, 2), (1, 2), (0, 0),
        1, 1, np.empty(2 * CHUNK, np.float32), y_mean, shares.reshape(-1), y.reshape(-1),
    )  # fmt: skip
    np.testing.assert_allclose(y_mean, expected, atol=1e-6)
    spread = np.sqrt(1.5 - 2 * rho * np.sqrt(0.5))
    np.testing.assert_allclose(shares[0], stats.norm.cdf(0.3 / spread), atol=1e-6)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(y[:, 0] + y_mean[0], np.maximum(0.2 + one, -0.1 + other), atol=1e-5)


# ---- networks of any kind


def conv(outputs: int, inputs: int, size: int = 3, seed: int = 0, groups: int = 1, **fields) -> Conv2d:
    weight = noise(outputs, inputs // groups, size, size, seed=seed) / (size * np.sqrt(inputs // groups))
    return Conv2d(weight, 0.2 * noise(outputs, seed=seed + 1), groups=groups, **fields)


def norm_of(channels: int) -> BatchNorm:
    a, b, c = (noise(channels, seed=s) for s in (2, 3, 4))
    return BatchNorm(1 + 0.3 * a, 0.2 * b, 0.2 * c, 0.5 + np.abs(a))


def ended(shape: tuple[int, ...], *layers) -> Network:
    features = int(np.prod(chain(shape, *layers, Flatten()).shapes[f"layer{len(layers)}"]))
    return chain(shape, *layers, Flatten(), linear(4, features, 9))


def residual() -> Network:
    shape = (4, 8, 8)
    nodes = (
        Node("first", conv(6, 4, padding=(1, 1, 1, 1)), ("input",)),
        Node("norm", norm_of(6), ("first",)),
        Node("relu", ReLU(), ("norm",)),
        Node("second", conv(10, 6, stride=(2, 2), padding=(1, 1, 1, 1), seed=2), ("relu",)),
        Node("norm2", norm_of(10), ("second",)),
        Node("sub", Subsample((2, 2)), ("relu",)),
        Node("pad", PadChannels(2, 2), ("sub",)),
        Node("sum", Add(), ("norm2", "pad")),
        Node("out", ReLU(), ("sum",)),
        Node("both", Concat(), ("out", "pad")),
        Node("mean", GlobalAveragePool(), ("both",)),
        Node("flat", Flatten(), ("mean",)),
        Node("end", linear(4, 20), ("flat",)),
        Node("soft", Softmax(), ("end",)),
    )
    return Network(nodes, shape)


NETWORKS = {
    "grouped": ended((6, 9, 9), conv(8, 6, groups=2), ReLU(), conv(8, 8, groups=8, seed=3), ReLU()),
    "strided": ended((3, 11, 10), conv(8, 3, 4, stride=(2, 3), padding=(1, 2, 0, 1)), Tanh()),
    "dilated": ended(
        (3, 11, 10), conv(8, 3, dilation=(2, 1)), ReLU(), conv(6, 8, dilation=(1, 2), seed=3), ReLU()
    ),
    "max pool": ended(
        (3, 10, 10), conv(8, 3), ReLU(), MaxPool2d((3, 2), (2, 2), (1, 0, 1, 0)), conv(6, 8, seed=3), ReLU6()
    ),
    "average pool": ended(
        (3, 10, 10), conv(8, 3), Sigmoid(), AveragePool2d((3, 3), (2, 2), (1, 1, 1, 1), False)
    ),
    "padded pool": ended((3, 10, 10), conv(8, 3), ReLU(), AveragePool2d((2, 2), (2, 2), (1, 1, 1, 1))),
    "norm behind": ended((3, 8, 8), conv(8, 3), ReLU(), norm_of(8), conv(6, 8, seed=3), norm_of(6), ReLU()),
    "residual": residual(),
    "vectors": mlp(30, 40, 20, 5),
}


def ensemble_of(net: Network, chip: rl.Chip, x: np.ndarray, **options) -> Ensemble:
    simulation = Simulation(net, (x, np.zeros(len(x), np.int64)), chip, calibration=inputs_of(net, 256))
    layers = noisy_layers(chip_network(net, chip), chip, inputs=len(x), ranges=simulation.ranges(chip))
    return Ensemble(chip_network(net, chip), layers, **options)


@pytest.mark.parametrize("case", NETWORKS)
def test_without_noise_an_ensemble_is_the_digital_network(case):
    net = NETWORKS[case]
    x, _ = inputs_of(net, 21)
    mean, covariance = ensemble_of(net, rl.Chip(device=rl.devices.ideal()), x).logits(x)
    logits = net.forward(x) if case != "residual" else net.activations(x)["end"]
    np.testing.assert_allclose(mean, logits, atol=2e-5 * np.abs(logits).max())
    assert not covariance.any()


@pytest.mark.parametrize("case", NETWORKS)
def test_ensembles_as_simulated_chips(case):
    net, chips = NETWORKS[case], 800
    if case == "residual":
        net = replace(net, nodes=net.nodes[:-1])
    x, _ = inputs_of(net, 48)
    chip = gaussian(0.05)
    mean, covariance = ensemble_of(net, chip, x).logits(x)
    seen = chip_logits(net, x, chip, chips)
    spread = seen.std(axis=0)
    off = (mean - seen.mean(axis=0)) / spread
    assert np.sqrt((off**2).mean()) < 0.08
    variance = np.einsum("nii->ni", covariance)
    assert variance.mean() == pytest.approx((spread**2).mean(), rel=0.1)
    margins = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    assert margins.mean() == pytest.approx((seen[..., 0] - seen[..., 1]).var(axis=0).mean(), rel=0.12)


OTHERS = {
    "references": gaussian(
        0.05, mapping=rl.Mapping(scheme="offset", bias="devices"), tile=rl.Tile(columns=5)
    ),
    "reads": rl.Chip(device=rl.devices.gaussian(sigma=0.02, read_sigma=0.05)),
    "converters": gaussian(0.03, tile=rl.Tile(rows=16, dac=rl.DAC(bits=8), adc=rl.ADC(bits=6))),
    "folded": gaussian(0.05, mapping=rl.Mapping(batch_norm="folded")),
}


@pytest.mark.parametrize("chip", OTHERS.values(), ids=OTHERS)
def test_ensembles_of_other_chips(chip):
    net = NETWORKS["norm behind"]
    x, _ = inputs_of(net, 64)
    mean, covariance = ensemble_of(net, chip, x).logits(x)
    seen = chip_logits(net, x, chip, 500, calibration=inputs_of(net, 256))
    spread = seen.std(axis=0)
    assert np.sqrt((((mean - seen.mean(axis=0)) / spread) ** 2).mean()) < 0.15
    margins = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    assert margins.mean() == pytest.approx((seen[..., 0] - seen[..., 1]).var(axis=0).mean(), rel=0.15)


def test_an_ensemble_of_a_chain_is_near_its_full_covariance():
    net = NETWORKS["vectors"]
    x, _ = inputs_of(net, 320)
    layers = noisy_layers(net, gaussian(0.08))
    full, _ = Chain(net, layers).forward(x)
    mean, covariance = Ensemble(net, layers).logits(x)
    spread = np.sqrt(full.diagonal)
    assert np.sqrt((((mean - full.mean) / spread) ** 2).mean()) < 0.05
    np.testing.assert_allclose(
        covariance.mean(axis=0), full.whole().mean(axis=0), atol=0.06 * (spread**2).mean()
    )


def test_members_do_not_depend_on_threads_or_on_later_inputs():
    net = NETWORKS["max pool"]
    x, _ = inputs_of(net, 53)
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05, read_sigma=0.05))
    first = ensemble_of(net, chip, x)
    mean, covariance = first.logits(x, threads=1)
    again = ensemble_of(net, chip, x).logits(x, threads=3)
    np.testing.assert_array_equal(mean, again[0])
    np.testing.assert_array_equal(covariance, again[1])
    fewer = ensemble_of(net, chip, x).logits(x[: 2 * first.set_size])
    np.testing.assert_array_equal(mean[: 2 * first.set_size], fewer[0])


@pytest.mark.parametrize("case", NETWORKS)
def test_slopes_without_noise_are_the_digital_derivatives(case):
    net = NETWORKS[case]
    x, _ = inputs_of(net, 3)
    ensemble = ensemble_of(net, gaussian(1e-6), x, members=8)
    upstream = np.random.default_rng(2).normal(size=(3, 2, net.classes))
    found: dict = {}
    for own, name, weights, biases in weight_slopes(ensemble, x, upstream):
        assert own == slice(0, 3)
        found[name] = weights, biases
    nodes = {node.name: node for node in net.weighted}
    assert set(found) == set(nodes)
    x64 = x.astype(np.float64)
    for i in range(3):
        activations = net.activations(x64[i : i + 1])
        for q in range(2):
            up = upstream[i : i + 1, q]
            exact = derivatives(net, activations, up[:, None])
            for name, node in nodes.items():
                layer = node.layer
                weight = exact.layers[name]["weight"].reshape(layer.weight.shape)
                matrix = unrolled(
                    replace(layer, weight=weight.astype(np.float32)), ensemble.steps[name].own.crossbar.source
                )
                scale = np.abs(matrix).max()
                error = np.abs(found[name][0][i, q] - matrix)
                assert np.median(error) < 1e-4 * scale
                assert error.max() < 0.02 * scale
                bias = exact.layers[name]["bias"].reshape(-1)
                np.testing.assert_allclose(found[name][1][i, q], bias, atol=0.02 * np.abs(bias).max())


# ---- derivatives through an ensemble

# Rounded members change in steps, so that only wide differences show slopes.
ADJOINTS = [(case, gaussian(0.05), 0.03, 0.005) for case in NETWORKS] + [
    ("norm behind", OTHERS["references"], 0.03, 0.005),
    ("norm behind", OTHERS["reads"], 0.03, 0.005),
    ("norm behind", OTHERS["converters"], 0.2, 0.03),
    ("norm behind", OTHERS["folded"], 0.03, 0.005),
]


@pytest.mark.parametrize(("case", "chip", "step", "most"), ADJOINTS, ids=[*NETWORKS, *OTHERS])
def test_way_back_through_an_ensemble(case, chip, step, most):
    net = NETWORKS[case]
    x, _ = inputs_of(net, 40)
    whole = ensemble_of(net, chip, x)
    layers = {name: step.own for name, step in whole.steps.items()}
    rng = np.random.default_rng(3)
    mean_bar, root = rng.normal(size=(40, net.classes)), rng.normal(size=(40, net.classes, net.classes))
    _, covariance = whole.logits(x)
    # As much of the one as of the other, and of covariances a cost.
    mean_bar /= np.abs(mean_bar).sum()
    covariance_bar = np.matmul(root, root.transpose(0, 2, 1))
    covariance_bar /= np.einsum("nkl,nkl->", covariance_bar, covariance)
    found = variance_slopes(whole, x, mean_bar, covariance_bar, np.ones(40, bool))

    def change(name: str, by: dict[str, np.ndarray]) -> float:
        values = []
        for sign in (1, -1):
            changed = replace(layers[name], **{k: getattr(layers[name], k) + sign * d for k, d in by.items()})
            mean, covariance = Ensemble(whole.network, layers | {name: changed}).logits(x)
            values.append((mean * mean_bar).sum() + (covariance * covariance_bar).sum())
        return float(values[0] - values[1]) / 2

    for name, own in layers.items():
        fields = ("variance", "bias_variance", "reference_variance")
        by = {field: step * getattr(own, field) for field in fields}
        given = sum(float((by[field] * getattr(found[name], field)).sum()) for field in fields)
        assert given == pytest.approx(change(name, by), rel=most, abs=2e-5)
        if own.dac is not None:
            continue
        direction = 0.1 * step * own.weight.std() * rng.normal(size=own.weight.shape)
        given = float((found[name].mean * direction).sum())
        assert given == pytest.approx(change(name, {"weight": direction}), rel=most, abs=2e-5)


def test_derivatives_through_an_ensemble_add_up_over_inputs():
    net = NETWORKS["max pool"]
    x, _ = inputs_of(net, 53)
    ensemble = ensemble_of(net, gaussian(0.05), x)
    rng = np.random.default_rng(4)
    mean_bar, root = rng.normal(size=(53, 4)), rng.normal(size=(53, 4, 4))
    given = x, mean_bar, root + root.transpose(0, 2, 1)
    some = rng.random(53) < 0.4
    whole, *parts = (variance_slopes(ensemble, *given, used) for used in (np.ones(53, bool), some, ~some))
    for name, slopes in whole.items():
        both = parts[0][name].mean + parts[1][name].mean
        np.testing.assert_allclose(slopes.mean, both, atol=2e-4 * np.abs(both).max())
        own = ensemble.steps[name].own.variance
        sums = [(own * part[name].variance).sum() for part in parts]
        assert (own * slopes.variance).sum() == pytest.approx(sum(sums), abs=1e-4 * np.abs(sums).max())
