"""The library of device laws and presets: published vectors, moments of all laws, what a user may write."""

from __future__ import annotations

import math
from dataclasses import replace

import cells
import device_twins
import numpy as np
import pytest
from moments import DEVICES, check_moments, drawn, draws
from scipy import constants, stats

import reliability as rl
from reliability.devices import LAWS, Device, Latent, load_device, presets
from reliability.devices.distributions import NAMED
from reliability.mapping import map_matrix
from reliability.network import mlp
from reliability.settings import as_table, convert, load_chip, put
from reliability.units import DAY, HOUR, YEAR

PROGRAMMING = Latent("programming")
EVERY = (*LAWS, *presets())


def error_of_one_sigma(device: Device, target: float, time_s: float = 0.0) -> float:
    """Standard deviation that a normal draw of one adds, without what other latents do."""
    latents = [[[xi], *([0.0] for _ in device.program_latents[1:])] for xi in (0.0, 1.0)]
    states = [cells.program(device, [target], own) for own in latents]
    still = [[0.0] for _ in device.time_latents]
    low, high = (cells.conductance(device, state, still, time_s)[0][0] for state in states)
    return float(high) - float(low)


# Published numbers. The printed ones are computed from the sources' equations in double precision.

SIGMAS = {
    "hermes_2": ("share", 0, {0.05: 0.381319, 0.2: 0.807922, 0.5: 0.991013, 1: 1.092699}),
    "hermes_1": ("share", 0, {0.05: 0.268718, 0.2: 0.541689, 0.5: 0.865313, 1: 1.007567}),
    "wan_2022": ("share", 1, {0: 0.348, 0.25: 2.258270, 0.5: 2.022938, 1: 1.103}),
    "wan_2022 after a day": ("share", DAY, {0: 0.701, 0.25: 3.720758, 0.5: 3.909, 1: 2.651}),
    "wan_2022 after two days": ("share", 2 * DAY, {0: 0.782, 0.25: 3.663789, 0.5: 3.929125, 1: 2.677}),
    "wan_2022_cubic": ("uS", 1, {5: 1.967450, 20: 2.361800, 39: 1.672928}),
    "milo_2021": ("uS", 1, {50: 4.326971, 100: 3.871621, 225: 2.733246}),
    "joshi_2020": ("uS", 0, {0.25: 0.305239, 5: 0.620980, 12.5: 0.955278, 25: 1.065523}),
    "pcm": ("uS", 0, {0.25: 0.283013, 5: 0.609556, 12.5: 0.952705, 25: 1.055380}),
}


@pytest.mark.parametrize("name", SIGMAS)
def test_programming_errors_are_the_printed_ones(name):
    unit, since_programming_s, printed = SIGMAS[name]
    device = load_device(name.split()[0])
    time_s = max(since_programming_s - device.t0_s, 0.0)
    for target, sigma in printed.items():
        target_us = target * device.g_max_us if unit == "share" else target
        assert error_of_one_sigma(device, target_us, time_s) == pytest.approx(sigma, rel=2e-6, abs=6e-6)


def test_both_fits_of_the_90_nm_array_agree():
    for target, within in ((0.25, 0.08), (5, 0.02), (12.5, 0.01), (25, 0.01)):
        fits = [error_of_one_sigma(load_device(name), target) for name in ("joshi_2020", "pcm")]
        assert fits[0] == pytest.approx(fits[1], rel=within)


def test_hermes_exponents_and_amplitudes_at_the_joints_of_their_fits():
    device = load_device("hermes_2")
    for share in (0.01, 0.0944, 0.0946, 0.3054, 0.3056, 1.0):
        target = share * device.g_max_us
        states = cells.program(device, [target] * 3, [[0, 0, 0], [0, 1, -1]])
        mean = float(device_twins._logarithmic(device.exponent_mean, np.float64(share)))
        sd = float(device_twins._logarithmic(device.exponent_sd, np.float64(share)))
        assert states[1] == pytest.approx([mean, mean + sd, abs(mean - sd)], rel=1e-5)
        amplitude = float(device_twins._logarithmic(device.read_amplitude, np.float64(share)))
        assert states[2, 0] == pytest.approx(amplitude, rel=1e-5)
    # The fits meet where they change: a wrong coefficient would leave a step.
    for numbers in (device.exponent_mean, device.exponent_sd, device.read_amplitude):
        below, above = (device_twins._logarithmic(numbers, np.float64(numbers[0] + d)) for d in (-1e-6, 1e-6))
        assert below == pytest.approx(float(above), rel=0.04)


def target_of(device: Device, pulses: int) -> float:
    """A target that asks for so many pulses."""
    n1, n2, n3 = device.count
    reset = np.polynomial.Polynomial((0, n1, n2, n3))(device.reset_us)
    roots = np.polynomial.Polynomial((-reset - pulses - 0.5, n1, n2, n3)).roots()
    return float(roots[np.abs(roots.imag) < 1e-9].real[0])


PULSED = load_device("nandakumar_2018")


def test_the_printed_vector_of_the_pulse_model():
    device = replace(PULSED, pulse_scale=0.0)
    printed = {1: 1.924597, 2: 3.291648, 3: 4.336740, 4: 5.153049, 5: 5.804812}
    targets = [target_of(device, n) for n in printed]
    state = cells.program(device, targets, np.zeros((len(device.program_latents), len(targets))))
    assert state[0] == pytest.approx(list(printed.values()), abs=1e-6)
    g, variance = cells.conductance(device, state, [], 100 - 38.6)
    assert g[-1] == pytest.approx(5.587939, abs=1e-6)
    assert math.sqrt(variance[-1]) == pytest.approx(0.297638, abs=1e-6)


# Simulated for the reference with 200,000 devices, printed to two decimals.
PULSES = {
    (1, 20): (2.06, 1.52),
    (2, 20): (3.43, 1.97),
    (3, 20): (4.47, 2.19),
    (4, 20): (5.28, 2.31),
    (5, 20): (5.91, 2.37),
    (7, 20): (6.88, 2.43),
    (10, 20): (7.84, 2.46),
    (15, 20): (8.82, 2.56),
    (20, 20): (9.40, 2.67),
    (10, 12): (7.69, 2.16),
    (20, 12): (8.92, 1.97),
}


@pytest.mark.parametrize("case", PULSES)
def test_printed_conductances_after_pulses(case):
    pulses, ceiling = case
    count = 1 << 18
    target = target_of(PULSED, pulses)
    device = replace(PULSED, ceiling_us=float(ceiling), g_max_us=target)
    assert device.pulses_to(target) == pulses
    state = cells.program(device, np.full(count, target), drawn(device, "program_latents", count))[0]
    mean, sd = PULSES[case]
    # Half of the last digit, and four standard errors of the printed simulation and of this one.
    slack = 0.005 + 4 * sd * math.sqrt(1 / 200_000 + 1 / count)
    assert state.mean(dtype=np.float64) == pytest.approx(mean, abs=slack)
    assert state.std(dtype=np.float64) == pytest.approx(sd, abs=slack)


def test_pulses_of_a_target_follow_the_counting_rule():
    targets = np.linspace(0.1, 8, 2000)
    device = replace(PULSED, pulse_scale=0.0)
    state = cells.program(device, targets, np.zeros((len(device.program_latents), targets.size)))[0]
    reached = np.unique(state)
    wanted = [device_twins.pulses_to(device, g) for g in targets]
    assert (np.searchsorted(reached, state) == wanted).mean() > 0.999
    assert state[0] == np.float32(0.1), "a device that holds nothing gets no pulse"


FOUR = {"rram1": (0.0100, 0.0100), "fefet2": (0.0067, 0.0135), "rram4": (0.0038, 0.0151)}
FOUR["fefet6"] = (0.0026, 0.0155)


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("range_us", [(0, 25), (0.3, 17.7), (5, 5.1)])
def test_four_levels_have_the_printed_spread_and_a_strict_mask(name, range_us):
    low, high = map(float, range_us)
    device = replace(load_device(name), g_min_us=low, g_max_us=high)
    assert device.sigmas == pytest.approx(FOUR[name], abs=5.1e-5)
    edge, middle = device.sigmas
    shares = {0: edge, 0.2: edge, 0.25: edge, 0.3: middle, 0.74: middle, 0.75: edge, 1: edge}
    # As the mapping makes targets of shares.
    targets = np.array(list(shares)) * (high - low) + low
    state = cells.program(device, targets, [np.full(len(shares), 1000)])[0]
    found = (state - targets) / (1000 * (high - low))
    assert found == pytest.approx(list(shares.values()), rel=1e-4)


CENSORED = {
    0.5: (-0.1981, 0.7439),
    0.7: (-0.1424, 0.7985),
    1.0: (-0.0831, 0.8667),
    1.5: (-0.0295, 0.9427),
    2.0: (-0.0081, 0.9797),
}


@pytest.mark.parametrize("c", CENSORED)
def test_printed_moments_of_the_right_censored_normal(c):
    device = rl.devices.generic(g_max_us=1.0, sigma=1.0, distribution="right_censored", shape=(c,))
    error = cells.program(device, np.zeros(DEVICES), [draws(PROGRAMMING)])[0]
    printed = CENSORED[c]
    # The printed ones are themselves of a simulation.
    mean, variance = device_twins.error_moments("right_censored", (c,))
    assert (mean, math.sqrt(variance)) == pytest.approx(printed, abs=6e-4)
    check_moments(error, mean, variance)


# Moments of all laws.


def targets_of(device: Device) -> list[float]:
    span = device.g_max_us - device.g_min_us
    if device.levels is not None:
        return [device.g_min_us + span * i / (device.levels - 1) for i in range(device.levels)]
    return [device.g_min_us + span * share for share in (0.0, 0.03, 0.4, 1.0)]


def conducted(device: Device, target: float, time_s: float, observation_s: float | None = None) -> np.ndarray:
    """What a million devices conduct in one read."""
    state = cells.program(device, np.full(DEVICES, target), drawn(device, "program_latents"))
    g, variance = cells.conductance(device, state, drawn(device, "time_latents"), time_s, observation_s)
    assert bool(variance.any()) <= device.redraws(observation_s)
    return g + np.sqrt(variance) * draws(Latent("one read")) if variance.any() else g


@pytest.mark.parametrize("name", EVERY)
def test_moments_of_what_devices_conduct(name):
    device = load_device(name)
    for target, time_s in zip(targets_of(device), (0.0, HOUR, 1.7 * DAY, YEAR), strict=False):
        check_moments(conducted(device, target, time_s), *device_twins.moments(device, target, time_s))


@pytest.mark.parametrize("name", ["hermes_2", "projected_pcm", "cmo_fine"])
def test_moments_with_noise_split_at_an_evaluation(name):
    device = load_device(name)
    target = 0.5 * device.g_max_us
    check_moments(conducted(device, target, DAY, 0.1), *device_twins.moments(device, target, DAY))


@pytest.mark.parametrize("name", ["wan_2022", "sonos_40nm"])
@pytest.mark.parametrize("scales", [(0.0, 1.0), (1.0, 0.0), (0.5, 2.0)])
def test_moments_of_spread_and_its_gain_apart(name, scales):
    gain = "relaxation_scale" if name == "wan_2022" else "retention_scale"
    device = replace(load_device(name), **{"programming_scale": scales[0], gain: scales[1]})
    for target in targets_of(device)[1:3]:
        check_moments(conducted(device, target, DAY), *device_twins.moments(device, target, DAY))


@pytest.mark.parametrize("name", ["wan_2022", "cmo_coarse", "fefet_28nm", "sonos_40nm"])
def test_moments_at_another_temperature(name):
    device = replace(load_device(name), temperature_k=350.0)
    target = targets_of(device)[1]
    hot, cold = (device_twins.moments(d, target, HOUR) for d in (device, load_device(name)))
    assert hot != cold
    check_moments(conducted(device, target, HOUR), *hot)


SHAPES = {
    "normal": (),
    "uniform": (),
    "power": (2.5,),
    "pepper": (0.3,),
    "su": (0.2,),
    "spu": (0.1, 0.25),
    "right_censored": (0.7,),
    "left_censored": (1.3,),
    "two_sided_censored": (0.9,),
    "unbiased_right_censored": (0.7,),
    "truncated": (1.1,),
    "folded": (),
    "laplace": (),
    "gamma": (2.2,),
    "skewnorm": (4.0, -1.0, 2.0),
}


def test_every_distribution_is_tested():
    assert set(SHAPES) - set(device_twins.STATS) == {*NAMED, "pepper"}


@pytest.mark.parametrize("distribution", SHAPES)
def test_moments_of_generic_errors(distribution):
    device = rl.devices.generic(sigma=0.1, distribution=distribution, shape=SHAPES[distribution])
    for own in (
        device,
        replace(device, unit="own", g_min_us=1.0),
        replace(device, unit="level", levels=4, read_sigma=0.01),
    ):
        check_moments(conducted(own, 10.0, 0.0), *device_twins.generic(own, 10.0, 0.0))


@pytest.mark.parametrize("distribution", SHAPES)
def test_distributions_of_generic_errors(distribution):
    """Their whole distribution function, and common draws: a larger normal is no smaller error."""
    shape = SHAPES[distribution]
    device = rl.devices.generic(g_max_us=1.0, sigma=1.0, distribution=distribution, shape=shape)
    xi = draws(PROGRAMMING)[:100_000]
    error = cells.program(device, np.zeros(xi.size), [xi])[0].astype(np.float64)
    if distribution != "folded":
        assert (np.diff(error[np.argsort(xi)]) > -1e-6).all()
    laws = {
        "normal": stats.norm(),
        "uniform": stats.uniform(-1, 2),
        "truncated": stats.truncnorm(-1.1, 1.1),
        "folded": stats.halfnorm(),
    }
    if distribution in laws or distribution in device_twins.STATS:
        law = laws.get(distribution) or getattr(stats, distribution)(*shape)
        assert stats.kstest(error, law.cdf).pvalue > 1e-3
    if distribution == "power":
        assert stats.kstest(np.abs(error), stats.powerlaw(2.5).cdf).pvalue > 1e-3
        assert abs((error > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(xi.size)
    shares = {"pepper": (0.3, 0.7), "su": (0.2, 0.0), "spu": (0.1, 0.25)}
    if distribution in shares:
        found = (np.abs(np.abs(error) - 1) < 1e-6).mean(), (np.abs(error) < 1e-6).mean()
        assert found == pytest.approx(shares[distribution], abs=4 * 0.5 / math.sqrt(xi.size))


def test_a_normal_generic_error_is_the_gaussian_law():
    xi = draws(PROGRAMMING)[:4096]
    target = np.linspace(0, 25, xi.size)
    pair = (rl.devices.generic(sigma=0.05), rl.devices.gaussian(sigma=0.05))
    generic, gaussian = (cells.program(device, target, [xi])[0] for device in pair)
    np.testing.assert_allclose(generic, gaussian, atol=3e-6)
    # Supplied normals may exceed what the generator reaches.
    assert cells.program(pair[0], [5], [[30]])[0, 0] == pytest.approx(5 + 30 * 1.25, rel=1e-6)


def test_lognormal_errors_multiply():
    device = load_device("chen_2017")
    xi = np.linspace(-6, 6, 999)
    state = cells.program(device, np.full(xi.size, 7.0), [xi])[0]
    np.testing.assert_allclose(state, 7 * np.exp(0.5 * xi), rtol=3e-5)
    assert cells.program(device, [0.0], [[2.0]])[0, 0] == 0


# Weights of several devices.


@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_errors_of_digits_add_up_to_a_weight(bits, scheme):
    """Yan's identity: the std of a weight is sigma W_max c(N, K), with sigma in levels of one device.

    There one device a digit errs and W_max stands for 2**N steps; here W_max is 2**N - 1 steps and both
    devices of a pair err. With an offset zero is the middle code, W_max is 2**(N - 1) - 1 steps, one device
    of a digit errs, and that of the reference column beside it.
    """
    n, sigma = 8, 0.02
    c = math.sqrt(sum(4.0 ** (-i * bits) for i in range(1, n // bits + 1)))
    printed = {1: 0.5773, 2: 0.2582, 4: 0.0626}
    assert c == pytest.approx(printed[bits], abs=6e-5)
    largest = 2**n - 1 if scheme == "pair" else 2 ** (n - 1) - 1
    wanted = math.sqrt(2) * sigma * c * 2**n / largest
    mapping = rl.Mapping(scheme=scheme, slices=rl.Slices(count=n // bits, fill="digits", bits=bits))
    device = rl.devices.generic(sigma=sigma, unit="level", levels=2**bits)
    matrix = np.random.default_rng(3).uniform(-1, 1, (64, 64)).astype(np.float32)
    matrix[0, 0] = 1.0
    held = map_matrix(matrix, mapping).matrix.T

    def squared_error(logits, labels):
        return ((logits - held) ** 2).mean(axis=1)

    data = np.eye(64, dtype=np.float32), np.zeros(64, int)
    trials = rl.simulate(
        mlp([matrix], [None]), data, rl.Chip(device, mapping), chips=130, metric=squared_error
    )
    # Half a million weights: their std is known to 0.1 %. A reference column errs for all weights of its row.
    assert math.sqrt(trials["accuracy"].mean()) == pytest.approx(
        wanted, rel=0.005 if scheme == "pair" else 0.01
    )


# Time and temperature.


def test_spread_between_the_times_of_a_fit_is_interpolated_in_log_time():
    device = load_device("wan_2022")
    between = math.sqrt(DAY) - device.t0_s
    halfway = (1.103 + 2.651) / 2
    assert error_of_one_sigma(device, 40.0, between) == pytest.approx(halfway, rel=1e-5)
    assert error_of_one_sigma(device, 40.0, YEAR) == pytest.approx(2.677, rel=1e-5)
    early = replace(device, t0_s=1e-3)
    assert error_of_one_sigma(early, 40.0, 0.0) == pytest.approx(1.103, rel=1e-5)


def test_a_fit_for_other_conductances_keeps_its_relative_spread():
    device = load_device("wan_2022")
    small = replace(device, g_max_us=20.0)
    for share in (0.1, 0.5, 1.0):
        relative = [error_of_one_sigma(d, share * d.g_max_us, HOUR) / d.g_max_us for d in (device, small)]
        assert relative[0] == pytest.approx(relative[1], rel=1e-4)


def test_a_chip_of_resistive_memory_is_one_trajectory():
    device = load_device("wan_2022")
    xi = draws(PROGRAMMING)[:512]
    state = cells.program(device, np.full(512, 20.0), [xi])
    for time_s in (0.0, HOUR, DAY):
        sigma = device_twins.rram_sigma(device, 20.0, time_s)
        g, _ = cells.conductance(device, state, [], time_s)
        np.testing.assert_allclose(g, 20 + sigma * xi, rtol=1e-5)


@pytest.mark.parametrize("name", ["rram", "cmo", "fefet", "sonos"])
def test_heat_runs_time_faster(name):
    device = load_device(name)
    same = replace(device, temperature_k=400.0, reference_k=400.0, activation_ev=2.0)
    assert same.time_parameters(HOUR, None) == device.time_parameters(HOUR, None)
    assert device.aged(HOUR) == HOUR, "nothing changes at the reference temperature"
    hot = replace(device, temperature_k=358.15, activation_ev=0.7)
    kelvins = 1 / 300 - 1 / 358.15
    factor = math.exp(0.7 * constants.e / constants.k * kelvins)
    assert hot.aged(HOUR) / HOUR == pytest.approx(factor, rel=1e-6)
    assert "358.15 K" in hot.describe()
    if name != "cmo":
        # The 1/f noise of CMO counts the seconds themselves.
        assert hot.time_parameters(10.0, None) == device.time_parameters(hot.aged(10.0), None)


def test_read_noise_follows_the_conductance_that_is_left():
    """Not the target: two devices far from theirs, against the equations."""
    device = load_device("cmo_fine")
    state = cells.program(device, [40.0], [[0.0], [-9.0]])
    still, noisy = (float(cells.conductance(device, state, [[xi]], DAY)[0][0]) for xi in (0.0, 1.0))
    log_time = math.log(DAY + 1)
    left = 40 - 0.089002 * log_time - 9 * (0.411833 + 0.042011 * log_time)
    length = math.sqrt(math.log((DAY + 1 + 1e-6) / 2e-6))
    assert still == pytest.approx(left, rel=1e-6)
    assert noisy - still == pytest.approx(0.0277316 * math.log10(left) * length, rel=1e-4)
    device = load_device("sonos_40nm")
    g, variance = cells.conductance(device, cells.program(device, [0.5], [[-4.0]]), [], DAY)
    left = 100 - 4 * 25.591 * (1 - math.exp(-100 / 186.86))
    assert g[0] * 200 == pytest.approx(left, rel=1e-5)
    assert math.sqrt(variance[0]) * 200 == pytest.approx(12.58 * (1 - math.exp(-left / 215.37)), rel=1e-5)


def test_a_projection_shields_its_share():
    whole, half = load_device("pcm"), rl.devices.pcm(projected_share=0.5)
    latents = [draws(latent)[:512] for latent in whole.program_latents]
    target = np.full(512, 12.0)
    state = cells.program(whole, target, latents)
    np.testing.assert_array_equal(state, cells.program(half, target, latents))
    xi = draws(Latent("read_1f"))[:512]
    for observation_s in (None, 1.0):
        g, variance = cells.conductance(whole, state, [xi], YEAR, observation_s)
        shielded, less = cells.conductance(half, state, [xi], YEAR, observation_s)
        np.testing.assert_allclose(shielded, 0.5 * (state[0] + g), rtol=1e-6)
        np.testing.assert_allclose(less, 0.25 * variance, rtol=1e-6)


# Effects.


@pytest.mark.parametrize("name", EVERY)
def test_without_its_effects_a_device_keeps_what_it_was_given(name):
    """Bit for bit, at any time, in whatever order the effects are taken away."""
    device = load_device(name)
    names = list(device.effects())
    without = []
    for order in (names, names[::-1]):
        bare = device
        for effect in order:
            bare = bare.effects().get(effect, bare)
            assert effect not in bare.effects()
        without.append(bare)
    bare = without[0]
    assert not bare.effects()
    assert not bare.redraws(None)
    assert not bare.redraws(1e-3)
    target = np.array(targets_of(device), np.float32)
    for bare in without:
        state = cells.program(bare, target, [draws(latent)[: target.size] for latent in bare.program_latents])
        latents = [draws(latent)[: target.size] for latent in bare.time_latents]
        g, variance = cells.conductance(bare, state, latents, YEAR)
        np.testing.assert_array_equal(g, target)
        assert not variance.any()


@pytest.mark.parametrize("name", EVERY)
def test_each_effect_changes_something_and_owns_its_draws(name):
    device = load_device(name)
    target = np.repeat(targets_of(device), 512)
    if device.law == "stt_mram":
        device = replace(device, write_error=0.2)

    def conductances(own: Device, seeds: dict[str, int]) -> np.ndarray:
        programmed, timed = (
            [draws(latent, target.size, seeds.get(latent.name, 1)) for latent in latents]
            for latents in (own.program_latents, own.time_latents)
        )
        state = cells.program(own, target, programmed)
        return np.stack(cells.conductance(own, state, timed, DAY))

    for effect, without in device.effects().items():
        alone = device
        for other in device.effects():
            alone = alone if other == effect else alone.effects()[other]
        assert list(alone.effects()) == [effect]
        assert (conductances(alone, {}) != np.stack([target, 0 * target])).any(), effect
        assert (conductances(device, {}) != conductances(without, {})).any(), effect
        # The latent of an effect's own name is what it draws; spread and its gain are one draw in two laws.
        if effect == "programming" and device.law in ("rram", "sonos"):
            continue
        np.testing.assert_array_equal(conductances(without, {}), conductances(without, {effect: 2}))


# Presets.


@pytest.mark.parametrize("name", presets())
def test_every_preset_tells_its_source_and_simulates(name):
    device = load_device(name)
    assert "Source: " in device.note
    assert "\n" not in device.describe()
    data = rl.load_dataset("digits").head(40)
    chip = load_chip(name)
    assert chip.name == name
    assert chip.device == device
    trials = rl.simulate(rl.load_network("digits-mlp"), data, chip, vary={"time_s": [HOUR]}, chips=3)
    assert (trials["accuracy"] > 0.5).all()
    assert trials["checksum"].nunique() == 3


MAIN = {
    "hermes": "hermes_2",
    "pcm_pulses": "nandakumar_2018",
    "rram": "wan_2022",
    "cmo": "cmo_fine",
    "four_level": "rram4",
    "fefet": "fefet_28nm",
    "stt_mram": "stt_mram_typical",
    "sonos": "sonos_40nm",
}


@pytest.mark.parametrize("law", MAIN)
def test_a_laws_default_numbers_are_those_of_its_main_preset(law):
    assert replace(load_device(MAIN[law]), note="") == load_device(law)


def test_unverified_numbers_show():
    shown = load_device("fefet_28nm").note
    for name in ("g_max_us", "sigma_v", "window_v", "loss_per_decade", "activation_ev"):
        assert name in shown.partition("Not verified: ")[2]
    for name in ("stt_mram_typical", "projected_pcm", "nandakumar_2018"):
        assert "Not verified: " in load_device(name).note
    assert "Not verified" not in load_device("hermes_2").note


@pytest.mark.parametrize("name", EVERY)
def test_a_device_comes_back_from_its_table(name):
    device = load_device(name)
    assert convert(Device, as_table(device), "device") == device


def test_a_preset_is_named_wherever_a_device_is(tmp_path):
    hermes = load_device("hermes_2")
    assert put(rl.Chip(), "device", "hermes_2").device == hermes
    assert put(rl.Chip(), "device.law", "hermes_2").device == hermes
    assert rl.load_study("drift_vs_time")[1].set("chip.device=hermes_2").chip.device == hermes
    file = tmp_path / "chip.toml"
    file.write_text('device = "hermes_2"\n')
    assert load_chip(file).device == hermes
    file.write_text('[device]\nlaw = "hermes_2"\nt0_s = 60\n')
    assert load_chip(file).device == replace(hermes, t0_s=60.0)
    own = tmp_path / "own.toml"
    own.write_text(
        'law = "rram"\ntitle = "Mine"\nsource = "here"\n[numbers]\nsigma_us = [[1, 2]]\ntimes_s = [3]\n'
    )
    device = load_device(str(own))
    assert (device.sigma_us, device.times_s) == (((1.0, 2.0),), (3.0,))
    assert device.note == "Mine. Source: here"
    for text in ('device = "own.toml"\n', '[device]\nlaw = "own.toml"\n'):
        file.write_text(text)
        assert load_chip(file).device == device


def test_devices_of_few_levels_need_digits():
    network, data = rl.load_network("digits-mlp"), rl.load_dataset("digits").head(5)
    with pytest.raises(rl.UserError, match=r"'stt_mram' holds 2 levels: .* at most 1 bit "):
        rl.simulate(network, data, rl.Chip(load_device("stt_mram")), chips=1)
    assert load_chip("stt_mram").mapping.slices == rl.Slices(count=8, fill="digits", bits=1)
    assert load_chip("fefet").mapping.slices == rl.Slices(count=4, fill="digits", bits=2)
    assert load_chip("hermes").mapping == rl.Mapping()


HEAD = 'law = "gaussian"\ntitle = "t"\nsource = "s"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('title = "t"\nsource = "s"', "law = None must be text"),
        (HEAD.replace("gaussian", "flux"), "law = 'flux' must be ideal or gaussian"),
        ("speed = 1\n" + HEAD, "speed is not a field; fields are law, title"),
        (HEAD + "[numbers]\nspeed = 1", "numbers.speed is not a field; fields of numbers are g_max_us"),
        (HEAD + "[numbers]\nsigma = 'big'", "numbers.sigma = 'big' must be a number"),
        (HEAD + "[numbers]\nsigma = -1", "device.sigma = -1.0 of law 'gaussian' must be between 0 and 10"),
        ("numbers = 3\n" + HEAD, "numbers = 3 must be a table"),
        (HEAD + "[unverified]\nspeed = 'x'", "unverified.speed is not a field"),
        (HEAD + "[unverified]\nsigma = 3", "unverified.sigma = 3 must be text"),
        ("law = ", "cannot be read"),
    ],
)
def test_a_wrong_table_is_told_in_one_sentence(tmp_path, text, told):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(rl.UserError) as error:
        load_device(str(file))
    assert told in str(error.value)
    assert "wrong.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_device_is_told_with_what_there_is():
    for name in ("flux", "hermes_3"):
        with pytest.raises(
            rl.UserError, match=rf"no device law '{name}': known are .*presets are .*hermes_2"
        ):
            load_device(name)
    with pytest.raises(rl.UserError, match=r"nowhere\.toml does not exist"):
        load_device("nowhere.toml")


WRONG = [
    ("pcm", {"programming_us": (1.0, 2.0)}, "a list of 3 numbers"),
    ("pcm", {"projected_share": 1.1}, "between 0 and 1"),
    ("pcm", {"g_fit_us": 0.0}, "between 1e-6 and 1e6"),
    ("hermes", {"programming_us": (1.0, 2.0, 3.0)}, "a list of 4 numbers"),
    ("hermes", {"exponent_mean": (1.0,)}, "a list of 8 numbers"),
    ("hermes", {"exponent_sd": [0.0] * 8}, "a list of 8 numbers"),
    ("hermes", {"read_amplitude": (math.nan,) * 9}, "a list of 9 numbers"),
    ("pcm_pulses", {"step": (1.0,)}, "a list of 3 numbers"),
    ("pcm_pulses", {"reset_us": 0.2}, "at most g_min_us"),
    ("pcm_pulses", {"ceiling_us": 0.1}, "above reset_us"),
    ("pcm_pulses", {"memory": 0.0}, "above 0 pulses"),
    ("pcm_pulses", {"g_max_us": 100.0}, "reached by at most 256 pulses"),
    ("pcm_pulses", {"read_noise": (-1.0, 0.0)}, "a list of 2 numbers from 0"),
    ("rram", {"times_s": (2.0, 1.0, 3.0)}, "ascending"),
    ("rram", {"times_s": (1.0,)}, "coefficients for each of 1 times"),
    ("rram", {"sigma_us": ((1.0,), (1.0, 2.0), (1.0,))}, "coefficients for each of 3 times"),
    ("rram", {"sigma_us": ((0.0,) * 6,) * 3}, "at most 5 coefficients"),
    ("rram", {"relaxation_scale": -1.0}, "between 0 and 100"),
    ("sonos", {"retention_scale": 101.0}, "between 0 and 100"),
    ("rram", {"read_sigma": -0.1}, "between 0 and 10"),
    ("rram", {"temperature_k": 20.0}, "between 100 and 1000"),
    ("rram", {"activation_ev": -1.0}, "between 0 and 5"),
    ("cmo", {"programming_us": (1.0,)}, "a list of 2 numbers"),
    ("cmo", {"t_read_s": 2.0}, "below t0_s"),
    ("cmo", {"relaxation_scale": -1.0}, "between 0 and 100"),
    ("generic", {"distribution": "cauchy?"}, "or a continuous one of scipy.stats"),
    ("generic", {"distribution": "poisson", "shape": (3.0,)}, "or a continuous one of scipy.stats"),
    ("generic", {"distribution": "gamma"}, "does not fit scipy.stats.gamma"),
    ("generic", {"distribution": "gamma", "shape": (-1.0,)}, "must give finite values"),
    ("generic", {"distribution": "right_censored"}, "must hold 1 numbers"),
    ("generic", {"distribution": "spu", "shape": (0.6, 0.5)}, "r + p below 1"),
    ("generic", {"shape": (1.0,)}, "must hold nothing"),
    ("generic", {"levels": None, "unit": "level"}, 'given for the unit "level"'),
    ("generic", {"unit": "volt"}, '"range", "level" or "own"'),
    ("generic", {"distribution": "lognormal", "unit": "range"}, '"own" for a lognormal error'),
    ("generic", {"levels": 1}, "a whole number from 2"),
    ("four_level", {"factor": -1.0}, "between 0 and 100"),
    ("four_level", {"levels": 2.5}, "a whole number from 2"),
    ("fefet", {"bits": 0}, "a whole number from 1 to 8"),
    ("fefet", {"window_v": 0.0}, "between 0.001 and 100 volts"),
    ("fefet", {"loss_per_decade": 2.0}, "between 0 and 1"),
    ("stt_mram", {"tmr": 0.0}, "above 0"),
    ("stt_mram", {"tmr": "high"}, "above 0"),
    ("stt_mram", {"write_error": 1.5}, "between 0 and 1"),
    ("stt_mram", {"sigma_ap": -1.0}, "between 0 and 5"),
    ("sonos", {"times_s": (0.0, 0.0)}, "ascending"),
    ("sonos", {"sigma_na": (1.0,)}, "a list of 6 numbers"),
    ("sonos", {"read_v": 0.0}, "between 0.001 and 10 volts"),
    ("sonos", {"read_sigma_na": math.nan}, "a number"),
]


@pytest.mark.parametrize(("law", "fields", "told"), WRONG)
def test_a_wrong_number_is_told_in_one_sentence(law, fields, told):
    with pytest.raises(rl.UserError) as error:
        LAWS[law](**fields)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert any(f"device.{name}" in str(error.value) for name in (*fields, "shape", "sigma_us"))


def test_a_tunnel_magnetoresistance_sets_the_smallest_conductance():
    device = rl.devices.stt_mram(g_max_us=100.0, tmr=1.0)
    assert device.g_min_us == 50
    assert replace(device, tmr=3.0).g_min_us == 25
    with pytest.raises(rl.UserError, match=r"device\.g_min_us is not a field"):
        put(device, "g_min_us", 1.0, "device")


def test_failed_writes_leave_the_other_state():
    device = rl.devices.stt_mram(write_error=0.1, sigma_p=0.0, sigma_ap=0.0)
    for target, other in ((device.g_min_us, device.g_max_us), (device.g_max_us, device.g_min_us)):
        state = cells.program(device, np.full(DEVICES, target), drawn(device, "program_latents"))[0]
        failed = state == np.float32(other)
        assert (failed | (state == np.float32(target))).all()
        assert abs(failed.mean() - 0.1) < 4 * math.sqrt(0.09 / DEVICES)


def test_levels_of_one_noise_are_drawn_once():
    network, data = rl.load_network("digits-mlp"), rl.load_dataset("digits").head(100)
    censored = rl.devices.generic(sigma=0.2, distribution="right_censored", shape=(1.0,))
    assert censored.linear_in == "sigma"
    assert replace(censored, clamp=True).linear_in is None
    assert load_device("chen_2017").linear_in is None
    both, one = (
        rl.simulate(network, data, rl.Chip(censored), vary={"device.sigma": values}, chips=20)
        for values in ([0.1, 0.2], [0.1])
    )
    first = both[both["device.sigma"] == 0.1]["accuracy"].to_numpy()
    np.testing.assert_allclose(first, one["accuracy"].to_numpy(), atol=0.011)
