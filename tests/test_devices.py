"""Device laws: published vectors, closed forms of their moments, and the noise that single reads redraw."""

from __future__ import annotations

import math
from dataclasses import replace

import cells
import naive
import numpy as np
import pytest
from scipy import integrate, special, stats

import reliability as rl
from reliability.kernels.latent import BLOCK, fill_normals
from reliability.latents import key
from reliability.units import DAY, HOUR, YEAR

PCM = rl.devices.pcm()
DEVICES = 4096 * BLOCK  # two million


def normals(count: int, quantity: str) -> np.ndarray:
    """Independent standard normals, from the generator of the library."""
    out = np.empty(-(-count // BLOCK) * BLOCK, np.float32)
    words = map(np.uint32, key(11, quantity, "layer", "certify"))
    address = (np.uint32(0), np.uint32(0), np.uint32(0), *words)
    for block in range(out.size // BLOCK):
        fill_normals(out, block * BLOCK, block, *address)
    return out[:count]


def check_mean(sample: np.ndarray, mean: float, sd: float) -> None:
    assert abs(sample.mean(dtype=np.float64) - mean) < 4 * sd / np.sqrt(sample.size)


def check_variance(sample: np.ndarray, variance: float) -> None:
    """Within 4 standard errors, estimated from the sample's own fourth moment."""
    squares = (sample.astype(np.float64) - sample.mean(dtype=np.float64)) ** 2
    assert abs(squares.mean() - variance) < 4 * squares.std() / np.sqrt(sample.size)


def check_moments(sample: np.ndarray, mean: float, variance: float) -> None:
    check_mean(sample, mean, math.sqrt(variance))
    check_variance(sample, variance)


# Target (uS), three normals, time (s); programming sigma, G_p, nu, G_d, Q, G. Computed from the published
# equations in double precision, printed to six decimals.
VECTORS = [
    ((25, 0, 0, 0, HOUR), (1.055380, 25.000000, 0.049000, 19.378214, 0.008800, 19.378214)),
    ((12.5, 1, -0.5, 2, HOUR), (0.952705, 13.452705, 0.045000, 10.646677, 0.013165, 11.982356)),
    ((2.5, -1, 1, -1, DAY), (0.448249, 2.051751, 0.082972, 1.024405, 0.044695, 0.791499)),
    ((0, 1, 0, 0, HOUR), (0.263480, 0.263480, 0.100000, 0.156668, 0.169691, 0.156668)),
    ((0.25, 0.5, 0.5, 0.5, YEAR), (0.283013, 0.391506, 0.118280, 0.072388, 0.131179, 0.099151)),
]


@pytest.mark.parametrize(("given", "printed"), VECTORS)
def test_pcm_kernels_give_the_printed_vectors(given, printed):
    target, programming, drift, read_1f, time_s = given
    sigma, *state, drifted, amplitude, noisy = printed
    state = cells.program(PCM, [target], [[programming], [drift]])
    assert state[:, 0] == pytest.approx((printed[1], printed[2], amplitude), rel=1e-6, abs=6e-7)
    # An unscaled error of one sigma more, far from the clamp, shows sigma itself.
    higher = cells.program(PCM, [target], [[10], [drift]])[0, 0]
    assert (higher - target) / 10 == pytest.approx(sigma, rel=1e-6, abs=6e-7)
    for noise, expected in ((0, drifted), (read_1f, noisy)):
        g, variance = cells.conductance(PCM, state, [[noise]], time_s)
        assert g[0] == pytest.approx(expected, rel=1e-6, abs=6e-7)
        assert variance[0] == 0


@pytest.mark.parametrize(("given", "printed"), VECTORS)
def test_the_naive_twin_gives_the_printed_vectors(given, printed):
    target, programming, drift, read_1f, time_s = map(np.float64, given)
    state = naive.pcm_program(PCM, target, programming, drift)
    assert state == pytest.approx((printed[1], printed[2], printed[4]), abs=6e-7)
    assert naive.pcm_conductance(PCM, state, 0, time_s, None)[0] == pytest.approx(printed[3], abs=6e-7)
    assert naive.pcm_conductance(PCM, state, read_1f, time_s, None)[0] == pytest.approx(printed[5], abs=6e-7)


# Published table of the law's curves: g, sigma (uS), mean and spread of nu, 1/f amplitude.
CURVES = [
    (0, 0.2635, 0.1000, 0.0450, 0.2000),
    (0.01, 0.2830, 0.0958, 0.0450, 0.1756),
    (0.05, 0.3588, 0.0708, 0.0315, 0.0617),
    (0.10, 0.4482, 0.0601, 0.0229, 0.0393),
    (0.25, 0.6814, 0.0490, 0.0114, 0.0217),
    (0.50, 0.9527, 0.0490, 0.0080, 0.0138),
    (0.75, 1.0774, 0.0490, 0.0080, 0.0106),
    (1.00, 1.0554, 0.0490, 0.0080, 0.0088),
]


@pytest.mark.parametrize("curve", CURVES)
def test_pcm_curves_of_the_target_conductance(curve):
    g, sigma, mean, spread, amplitude = curve
    at_rest = cells.program(PCM, [25 * g], [[0], [0]])[:, 0]
    raised = cells.program(PCM, [25 * g], [[1], [1]])[:, 0]
    assert raised[0] - at_rest[0] == pytest.approx(sigma, abs=6e-5)
    assert at_rest[1] == pytest.approx(mean, abs=6e-5)
    assert raised[1] - at_rest[1] == pytest.approx(spread, abs=6e-5)
    assert at_rest[2] == pytest.approx(amplitude, abs=6e-5)


def test_pcm_kernels_equal_the_naive_twin():
    random = np.random.default_rng(1)
    target = np.concatenate(
        [[0, 1e-6, 25], random.uniform(0, 25, 2000), 25 * random.uniform(0, 0.3, 2000) ** 4]
    )
    target = target.astype(np.float32)
    xi = random.normal(size=(3, target.size)).astype(np.float32)
    for device in (
        PCM,
        rl.devices.pcm(g_max_us=10, t0_s=60, t_read_s=1e-6, programming_scale=2, drift_scale=0.5),
    ):
        target_of = target * np.float32(device.g_max_us / 25)
        state = cells.program(device, target_of, xi[:2])
        wide = naive.pcm_program(device, np.float64(target_of), *np.float64(xi[:2]))
        np.testing.assert_allclose(state, wide, rtol=3e-6, atol=2e-6)
        for time_s in (0, 1, YEAR):
            g, variance = cells.conductance(device, state, xi[2:], time_s)
            exact, _ = naive.pcm_conductance(device, np.float64(state), np.float64(xi[2]), time_s, None)
            np.testing.assert_allclose(g, exact, rtol=3e-6, atol=2e-6)
            assert not variance.any()


def test_switches_turn_off_one_pcm_effect_each():
    xi = np.ones((2, 1))
    state = cells.program(replace(PCM, programming_scale=0.0), [10], xi)
    assert state[0, 0] == 10
    state = cells.program(replace(PCM, drift_scale=0.0), [10], xi)
    assert state[1, 0] == 0
    no_noise = replace(PCM, read_scale=0.0)
    assert not no_noise.redraws(1.0)
    state = cells.program(PCM, [10], xi)
    assert cells.conductance(no_noise, state, [[5]])[0][0] == state[0, 0]


def exponent_law(g: float) -> tuple[float, float]:
    """Mean and spread of the drift exponent before its magnitude is taken."""
    mean = np.clip(-0.0155 * math.log(g) + 0.0244, 0.049, 0.1)
    return float(mean), float(np.clip(-0.0125 * math.log(g) - 0.0059, 0.008, 0.045))


def drift_factor_moments(g: float, time_s: float) -> tuple[float, float]:
    """Mean and standard deviation of ``(t / t0)**-|mu + s xi|`` in closed form."""
    mu, s = exponent_law(g)
    length = math.log((time_s + PCM.t0_s) / PCM.t0_s)

    def moment(k: float) -> float:
        # Of a folded normal: each branch is a shifted Gaussian integral.
        branches = [math.exp(-k * m + k * k * s * s / 2) * special.ndtr(m / s - k * s) for m in (mu, -mu)]
        return sum(branches)

    return moment(length), math.sqrt(moment(2 * length) - moment(length) ** 2)


# Printed mean and standard deviation of the drift factor at 1 h, 1 day and 1 year, drift alone; themselves
# sampled, so the closed form differs by up to 1.4e-4 in the mean and 5e-4 in the standard deviation.
PRINTED_DRIFT = {
    1: ((0.7758, 0.0322), (0.6650, 0.0445), (0.5001, 0.0572)),
    0.1: ((0.7366, 0.087), (0.6154, 0.117), (0.4466, 0.147)),
    0.01: ((0.6218, 0.140), (0.4768, 0.174), (0.3052, 0.192)),
}


@pytest.mark.parametrize("g", PRINTED_DRIFT)
@pytest.mark.parametrize("which", range(3))
def test_sampled_drift_factors(g, which):
    time_s = (HOUR, DAY, YEAR)[which]
    mean, sd = drift_factor_moments(g, time_s)
    printed_mean, printed_sd = PRINTED_DRIFT[g][which]
    assert mean == pytest.approx(printed_mean, abs=2e-4)
    assert sd == pytest.approx(printed_sd, abs=1e-4 if g == 1 else 6e-4)
    device = replace(PCM, programming_scale=0.0, read_scale=0.0)
    target = np.full(DEVICES, 25 * g, np.float32)
    state = cells.program(device, target, [np.zeros(DEVICES), normals(DEVICES, "drift")])
    factor = cells.conductance(device, state, [], time_s)[0] / target[0]
    check_moments(factor, mean, sd**2)


def test_the_closed_form_of_the_drift_factor_is_its_integral():
    (mu, s), length = exponent_law(0.01), math.log((DAY + 20) / 20)
    integral = integrate.quad(
        lambda x: math.exp(-length * abs(mu + s * x)) * stats.norm.pdf(x),
        -12,
        12,
        points=[-mu / s],
        limit=200,
    )[0]
    assert drift_factor_moments(0.01, DAY)[0] == pytest.approx(integral, rel=1e-9)


def test_all_pcm_conductances_stay_at_zero_without_a_drop():
    """A device programmed to nothing neither drifts nor fluctuates."""
    state = cells.program(PCM, [0, 0.1], [[-3, -9], [0, 0]])
    assert (state[0] == 0).all()
    assert (cells.conductance(PCM, state, [[3, -3]], YEAR)[0] == 0).all()


@pytest.mark.parametrize("g", [0, 0.01, 0.05, 0.5, 1])
def test_pcm_programming_error(g):
    """Mean and variance of the programmed conductance are those of the normal law cut at zero."""
    sigma = 0.26348 + 1.9650 * g - 1.1731 * g**2
    mean, variance = naive.rectified_normal(np.float64(25 * g), np.float64(sigma))
    target = np.full(DEVICES, 25 * g)
    programmed = cells.program(PCM, target, [normals(DEVICES, "programming"), np.zeros(DEVICES)])[0]
    check_moments(programmed, float(mean), float(variance))
    if g == 0:
        assert mean == pytest.approx(0.2635 / math.sqrt(2 * math.pi), abs=5e-5)
        assert mean == pytest.approx(0.105, abs=5e-4)


@pytest.mark.parametrize("time_s", [0, 25 - 20, HOUR, DAY, YEAR])
def test_amplitude_of_the_accumulated_1f_noise(time_s):
    state = np.repeat([[10.0], [0.0], [0.0106]], DEVICES, axis=1)
    g, _ = cells.conductance(PCM, state, [normals(DEVICES, "read_1f")], time_s)
    relative = 0.0106 * math.sqrt(math.log((time_s + 20 + 250e-9) / 500e-9))
    check_moments(g, 10, (10 * relative) ** 2)


def test_printed_growth_of_the_1f_noise():
    # The source prints 4.1839 at the reference read; its equation gives 4.18382.
    printed = {0: 4.1838, HOUR: 4.7648, DAY: 5.0868, 30 * DAY: 5.4108, YEAR: 5.6370}
    for time_s, factor in printed.items():
        assert PCM.time_parameters(time_s, None)[1] == pytest.approx(factor, abs=6e-5)


def test_gaussian_law_is_exactly_its_equation():
    device = rl.devices.gaussian(sigma=0.1, g_max_us=20)
    xi = normals(1000, "programming")
    target = np.linspace(0, 20, 1000).astype(np.float32)
    state = cells.program(device, target, [xi])
    np.testing.assert_allclose(state[0], target + 2 * xi, rtol=1e-6, atol=1e-6)
    g, variance = cells.conductance(device, state, [])
    np.testing.assert_array_equal(g, state[0])
    assert not variance.any()
    assert (g < 0).any()


@pytest.mark.parametrize("share", [0, 0.05, 0.5])
def test_clamped_gaussian_law(share):
    device = rl.devices.gaussian(sigma=0.1, clamp=True)
    target = np.full(DEVICES, 25 * share)
    state = cells.program(device, target, [normals(DEVICES, "programming")])[0]
    mean, variance = naive.rectified_normal(np.float64(25 * share), np.float64(2.5))
    assert state.min() >= 0
    check_moments(state, float(mean), float(variance))


def test_read_variance_of_the_gaussian_law():
    device = rl.devices.gaussian(sigma=0, read_sigma=0.02)
    _, variance = cells.conductance(device, [[3, 25]], [])
    np.testing.assert_allclose(variance, (0.02 * 25) ** 2, rtol=1e-6)
    assert device.redraws(None)
    assert not rl.devices.gaussian().redraws(1.0)


def test_ideal_law_keeps_every_bit():
    target = np.linspace(0, 25, 1001).astype(np.float32)
    state = cells.program(rl.devices.ideal(), target, [])
    g, variance = cells.conductance(rl.devices.ideal(), state, [], YEAR)
    np.testing.assert_array_equal(g, target)
    assert not variance.any()


# Read noise split at the duration of one evaluation.


@pytest.mark.parametrize("time_s", [0, 1, DAY, YEAR])
@pytest.mark.parametrize("observation_s", [500e-9, 1e-3, 1, 20])
def test_split_parts_add_up_to_the_accumulated_variance(time_s, observation_s):
    _, whole, none, _ = PCM.time_parameters(time_s, None)
    _, frozen, redrawn, _ = PCM.time_parameters(time_s, observation_s)
    assert none == 0
    assert frozen**2 + redrawn**2 == pytest.approx(whole**2, rel=1e-12)
    assert redrawn**2 == pytest.approx(math.log(observation_s / 500e-9), abs=1e-12)


def test_split_variance_of_devices_adds_up_to_the_frozen_one():
    state = np.repeat([[10.0], [0.05], [0.0106]], DEVICES, axis=1)
    xi = normals(DEVICES, "read_1f")
    mean, variance = cells.conductance(PCM, state, [xi], DAY, 1.0)
    whole = cells.conductance(PCM, state[:, :2], [[0, 1]], DAY)[0]
    check_mean(mean, float(whole[0]), float(whole[1] - whole[0]))
    check_variance(mean, float(whole[1] - whole[0]) ** 2 - float(variance[0]))


def split_state(ratios: np.ndarray, observation_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States and latents of devices whose frozen part stands at given ratios of the redrawn sigma.

    Returns states, latents and the redrawn standard deviation (uS).
    """
    _, frozen, redrawn, _ = PCM.time_parameters(0.0, observation_s)
    g, amplitude = 10.0, 0.2
    sigma = g * amplitude * redrawn
    xi = (ratios * sigma - g) / (g * amplitude * frozen)
    state = np.repeat([[g], [0.0], [amplitude]], ratios.size, axis=1)
    return state, xi, np.float64(np.float32(sigma))


def test_split_moments_equal_the_rectified_normal():
    ratios = np.linspace(-11, 11, 4001)
    state, xi, sigma = split_state(ratios, 1.0)
    g, variance = cells.conductance(PCM, state, [xi], 0.0, 1.0)
    exact_mean, exact_variance = naive.rectified_normal(ratios * sigma, sigma)
    assert np.abs(g - exact_mean).max() < 3e-6 * sigma
    assert np.abs(variance - exact_variance).max() < 3e-5 * sigma**2
    assert g.min() >= 0
    assert variance.min() >= 0


@pytest.mark.parametrize("ratio", [-3, -2, -1, -0.3, 0, 0.5, 1, 2, 3, 4, 5.9, 6.1, 8])
def test_split_moments_equal_reads_of_one_device(ratio):
    """The law of each read, drawn a million times in NumPy for one frozen part."""
    state, xi, _ = split_state(np.array([float(ratio)]), 1.0)
    g, variance = cells.conductance(PCM, state, [xi], 0.0, 1.0)
    xi_read = np.random.default_rng(5).normal(size=1_000_000)
    drifted, amplitude = state[0, 0], state[2, 0]
    frozen = drifted * amplitude * math.sqrt(math.log((20 + 250e-9) / 1.0)) * xi[0]
    redrawn = drifted * amplitude * math.sqrt(math.log(1.0 / 500e-9)) * xi_read
    check_moments(np.maximum(drifted + frozen + redrawn, 0), float(g[0]), float(variance[0]))


def test_split_devices_without_fluctuation_conduct_what_drift_left():
    state = np.array([[0, 10, 10], [0.05, 0.05, 0.05], [0.2, 0, 0.01]])
    g, variance = cells.conductance(PCM, state, [[1, 1, 0]], DAY, 1.0)
    drifted = state[0] * (DAY / 20 + 1) ** -0.05
    np.testing.assert_allclose(g, drifted, rtol=2e-6, atol=1e-12)
    assert (variance[:2] <= 1e-20).all()
    assert variance[2] > 0


# What a user may write.

WRONG = {
    "g_max_us": (0, -1, math.nan, math.inf),
    "t0_s": (0, math.inf, math.nan),
    "t_read_s": (0, 20, 30),
    "programming_scale": (-0.1, 101),
    "drift_scale": (-1,),
    "read_scale": (-1,),
}


@pytest.mark.parametrize("field", WRONG)
def test_pcm_refuses_numbers_outside_its_range(field):
    for value in WRONG[field]:
        with pytest.raises(rl.UserError, match=rf"device\.{field}"):
            rl.devices.pcm(**{field: value})


@pytest.mark.parametrize("field", ["sigma", "read_sigma"])
@pytest.mark.parametrize("value", [-0.1, 11, math.nan])
def test_gaussian_refuses_numbers_outside_its_range(field, value):
    with pytest.raises(rl.UserError, match=rf"device\.{field}"):
        rl.devices.gaussian(**{field: value})


@pytest.mark.parametrize("observation_s", [499e-9, 20.1])
def test_pcm_refuses_an_observation_that_it_cannot_split_at(observation_s):
    with pytest.raises(rl.UserError, match="observation_s"):
        PCM.time_parameters(0.0, observation_s)


@pytest.mark.parametrize("law", rl.devices.LAWS)
def test_every_law_describes_itself_with_its_largest_conductance(law):
    assert "17 uS" in replace(rl.devices.load_device(law), g_max_us=17.0).describe()
