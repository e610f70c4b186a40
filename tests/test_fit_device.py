"""A user's own measurements become a device law."""

from __future__ import annotations

import functools
import itertools
import warnings
from dataclasses import replace

import cells
import device_twins
import measured_tables
import naive
import numpy as np
import pandas as pd
import pytest
from measured_tables import LAWS, measure
from scipy import integrate, stats

import reliability as rl
from reliability.devices import measured
from reliability.devices.residual import DISTRIBUTIONS, Residual
from reliability.units import DAY

# The distributions of residuals.

SAME = {
    Residual("normal"): stats.norm(),
    Residual("logistic"): stats.logistic(),
    Residual("student_t", 3.5): stats.t(3.5),
    Residual("student_t", 40.0): stats.t(40),
    Residual("skew_normal", 3.0): stats.skewnorm(3),
    Residual("skew_normal", -6.0): stats.skewnorm(-6),
    Residual("lognormal", 0.4): stats.lognorm(0.4),
}


@pytest.mark.parametrize("residual", SAME, ids=str)
def test_residuals_are_scipys_distributions_standardised(residual):
    known = SAME[residual]
    mean, sd = known.mean(), known.std()
    x = np.linspace(-4, 6, 101)
    np.testing.assert_allclose(residual.cdf(x), known.cdf(mean + sd * x), atol=1e-12)
    expected = known.logpdf(mean + sd * x) + np.log(sd)
    np.testing.assert_allclose(residual.log_density(x), expected, rtol=1e-9, atol=1e-9)
    xi = np.linspace(-6, 6, 61)
    expected = np.where(xi < 0, known.ppf(stats.norm.cdf(xi)), known.isf(stats.norm.sf(xi)))
    np.testing.assert_allclose(residual.quantile(xi), (expected - mean) / sd, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("residual", [*SAME, Residual("lognormal", -0.3)], ids=str)
def test_residuals_have_mean_zero_and_variance_one(residual):
    def moment(power):
        return integrate.quad(
            lambda x: x**power * np.exp(residual.log_density(x)), -300, 300, points=[0], limit=500
        )[0]

    assert moment(0) == pytest.approx(1, abs=1e-6)
    assert moment(1) == pytest.approx(0, abs=1e-4)
    assert moment(2) == pytest.approx(1, abs=5e-3 if residual.distribution == "student_t" else 1e-4)


@pytest.mark.parametrize(
    "residual", [Residual(), Residual("lognormal", 0.3), Residual("student_t", 5.0)], ids=str
)
def test_the_clamp_and_its_inverse(residual):
    a = np.array([-0.9, -0.3, 0.0, 0.7, 2.0, 5.0, 30.0])
    mean, sd = residual.rectified(2 * a, np.full(a.size, 2.0))
    xi = np.random.default_rng(1).normal(size=2_000_000)
    sample = np.maximum(2 * a[:, None] + 2 * residual.quantile(np.concatenate([xi, -xi])), 0)
    np.testing.assert_allclose(mean, sample.mean(axis=1), atol=5e-3)
    np.testing.assert_allclose(
        sd, sample.std(axis=1), atol=2e-2 if residual.distribution == "student_t" else 6e-3
    )
    if residual == Residual():
        exact_mean, exact_variance = naive.rectified_normal(2 * a, np.full(a.size, 2.0))
        np.testing.assert_allclose(mean, exact_mean, rtol=1e-3)
        np.testing.assert_allclose(sd, np.sqrt(exact_variance), rtol=1e-3)
    before_mean, before_sd = residual.before_clamp(mean, sd)
    np.testing.assert_allclose(before_mean, 2 * a, atol=4e-3)
    np.testing.assert_allclose(before_sd, 2, atol=4e-3)


def test_a_state_of_zeros_stays_one():
    mean, sd = Residual().before_clamp(np.array([0.0, 5.0]), np.zeros(2))
    assert mean.tolist() == [0, 5]
    assert sd.tolist() == [0, 0]
    assert Residual().rectified(np.array([-1.0, 0.0]), np.zeros(2))[0].tolist() == [0, 0]


# The law.

CURVES = {
    "state_us": (0.0, 4.0, 10.0, 20.0),
    "mean_us": (0.1, 4.5, 9.8, 19.0),
    "sigma_us": (0.3, 0.6, 1.1, 1.4),
    "drift": (0.09, 0.06, 0.05, 0.045),
    "drift_spread": (0.03, 0.02, 0.01, 0.008),
    "fluctuation_us": (0.1, 0.2, 0.4, 0.6),
}
DEVICE = measured(g_max_us=20.0, distribution="lognormal", shape=0.3, **CURVES)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_kernels_follow_the_equations(distribution):
    shape = {"student_t": 5.0, "skew_normal": 2.0, "lognormal": 0.3}.get(distribution, 0.0)
    device = measured(g_max_us=20.0, distribution=distribution, shape=shape, **CURVES)
    random = np.random.default_rng(3)
    target = random.uniform(0, 20, 5000).astype(np.float32)
    xi = random.normal(size=(3, target.size)).astype(np.float32)
    curve = device.curves(target)
    programmed = (
        target
        + curve["offset_us"]
        + curve["sigma_us"] * Residual(distribution, shape).quantile(np.float64(xi[0]))
    )
    programmed = np.maximum(programmed, 0)
    exponent = curve["drift"] + curve["drift_spread"] * xi[1]
    state = cells.program(device, target, xi[:2])
    np.testing.assert_allclose(state[:2], [programmed, exponent], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(state[2], curve["fluctuation"], rtol=1e-2)
    for time_s in (0.0, 1.0, DAY):
        drifted = programmed * ((time_s + 20) / 20) ** -exponent
        g, variance = cells.conductance(device, state, xi[2:], time_s)
        expected = np.maximum(drifted * (1 + curve["fluctuation"] * xi[2]), 0)
        np.testing.assert_allclose(g, expected, rtol=1e-2, atol=5e-3)
        assert not variance.any()


@pytest.mark.parametrize("distribution", ["normal", "student_t", "lognormal"])
@pytest.mark.parametrize(
    ("target", "time_s"), [(0.0, 0.0), (0.0, DAY), (3.0, 60.0), (12.0, DAY), (20.0, 0.0)]
)
def test_moments_of_what_devices_conduct(distribution, target, time_s):
    shape = {"student_t": 8.0, "lognormal": 0.3}.get(distribution, 0.0)
    device = measured(g_max_us=20.0, distribution=distribution, shape=shape, **CURVES)
    xi = np.random.default_rng(5).normal(size=(3, 2_000_000)).astype(np.float32)
    state = cells.program(device, np.full(xi.shape[1], target), xi[:2])
    g = cells.conductance(device, state, xi[2:], time_s)[0].astype(np.float64)
    mean, variance = device_twins.moments(device, target, time_s)
    assert abs(g.mean() - mean) < 4 * np.sqrt(variance / g.size)
    squares = (g - g.mean()) ** 2
    # The residual's table is linear between its points, which costs two parts in a thousand at most.
    assert abs(squares.mean() - variance) < 4 * squares.std() / np.sqrt(g.size) + 2e-3 * variance


def test_at_the_states_the_curves_are_those_given():
    found = DEVICE.curves(np.array(CURVES["state_us"]))
    for name in ("sigma_us", "drift", "drift_spread"):
        np.testing.assert_allclose(found[name], CURVES[name], atol=1e-12)
    np.testing.assert_allclose(
        found["offset_us"], np.subtract(CURVES["mean_us"], CURVES["state_us"]), atol=1e-12
    )
    # Beyond the grid of a kernel the mean keeps its distance from the target, the rest its value.
    outside = measured(g_max_us=20.0, **(CURVES | {"state_us": (2.0, 4.0, 10.0, 20.0)})).curves(
        np.array([0.5])
    )
    assert outside["offset_us"] == pytest.approx(-1.9)
    assert outside["drift"] == pytest.approx(0.09)


def test_effects_of_the_measured_law_are_its_own():
    effects = DEVICE.effects()
    assert list(effects) == ["systematic", "programming", "drift", "fluctuation"]
    device = DEVICE
    for name in effects:
        device = device.effects()[name]
    target = np.linspace(0, 20, 100).astype(np.float32)
    state = cells.program(device, target, np.ones((2, 100)))
    np.testing.assert_array_equal(cells.conductance(device, state, np.ones((1, 100)), DAY)[0], target)
    assert device.effects() == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state_us", (0.0, 4.0, 4.0, 20.0)),
        ("state_us", (0.0,)),
        ("mean_us", (0.1, 4.5)),
        ("sigma_us", (0.3, -0.6, 1.1, 1.4)),
        ("drift", (0.1, np.nan, 0.1, 0.1)),
        ("g_max_us", 21.0),
        ("distribution", "cauchy"),
        ("shape", 2.0),
        ("t0_s", 0.0),
        ("programming_scale", -1.0),
    ],
)
def test_numbers_outside_their_range_are_told(field, value):
    with pytest.raises(rl.UserError, match=rf"device\.{field}"):
        measured(**({"g_max_us": 20.0, "distribution": "lognormal", "shape": 0.3} | CURVES | {field: value}))


# The fit.


def parameter(fit, name: str) -> np.ndarray:
    table = fit.table()
    return table.loc[table["parameter"] == name, "value"].to_numpy()


def test_devices_without_noise_are_recovered_exactly():
    targets = np.repeat(np.linspace(0, 20, 6), 25)
    times = np.array([0.0, 10.0, 100.0, 1000.0, 1e5])
    exponent = 0.03 + 0.001 * targets
    g = (1 + 0.9 * targets)[:, None] * (times / 20 + 1) ** -exponent[:, None]
    table = pd.DataFrame(
        {
            "device": np.repeat(np.arange(targets.size), times.size),
            "g_target_us": np.repeat(targets, times.size),
            "time_s": np.tile(times, targets.size),
            "g_us": g.ravel(),
        }
    )
    for rows in (table, table.drop(columns="device")):
        fit = rl.fit_device(rows, measurement_us=0)
        states = np.linspace(0, 20, 6)
        np.testing.assert_allclose(parameter(fit, "mean_us"), 1 + 0.9 * states, rtol=1e-9)
        np.testing.assert_allclose(parameter(fit, "sigma_us"), 0, atol=1e-7)
        np.testing.assert_allclose(parameter(fit, "drift"), 0.03 + 0.001 * states, rtol=1e-5)
        np.testing.assert_allclose(parameter(fit, "drift_spread"), 0, atol=1e-4)
        np.testing.assert_allclose(parameter(fit, "fluctuation_us"), 0, atol=1e-4)
        np.testing.assert_allclose(fit.curves["mean_low_us"], fit.curves["mean_us"], atol=1.0)
        at = fit.curves["measured"]
        np.testing.assert_allclose(fit.curves["mean_low_us"][at], fit.curves["mean_high_us"][at], rtol=1e-9)
        state = cells.program(fit.device, states, np.full((2, 6), 1.5))
        read = cells.conductance(fit.device, state, np.ones((1, 6)), 1000.0)[0]
        np.testing.assert_allclose(read, (1 + 0.9 * states) * 51 ** -(0.03 + 0.001 * states), rtol=2e-3)


@pytest.mark.parametrize("name", LAWS)
def test_outliers_change_little(name):
    clean = rl.fit_device(measure(LAWS[name], 1, outliers=0.0), measurement_us=0.1).curves
    dirty = rl.fit_device(measure(LAWS[name], 1), measurement_us=0.1).curves
    at = clean["measured"] & (clean["g_target_us"] > 0)
    half = (clean["mean_high_us"] - clean["mean_low_us"])[at] / 2
    assert (np.abs(dirty["mean_us"] - clean["mean_us"])[at] < half).all()
    assert np.abs(dirty["sigma_us"][at] / clean["sigma_us"][at] - 1).mean() < 0.04


def test_drift_of_devices_and_of_rows_is_that_of_the_law():
    table = measure(LAWS["lognormal"], 2, devices=400)
    for rows in (table, table.drop(columns="device")):
        fit = rl.fit_device(rows, measurement_us=0.1)
        found = fit.table().set_index("parameter")
        for name, truth, fewest in (("drift", 0.03, 9), ("drift_spread", 0.01, 8)):
            low, high = found.loc[name, "low"], found.loc[name, "high"]
            assert ((low <= truth) & (truth <= high)).sum() >= fewest
            np.testing.assert_allclose(getattr(fit.device, name), truth, atol=0.004)


def test_fluctuation_is_told_from_programming():
    """At 25 uS the law's 1/f noise is 0.0088 times 4.18 at the reference read, and up to 5.09 after a day."""
    fit = rl.fit_device(measure(LAWS["pcm"], 3, devices=600), measurement_us=0.1)
    assert 0.0088 * 4.18 * 25 < parameter(fit, "fluctuation_us")[-1] < 0.0088 * 5.09 * 25
    assert parameter(fit, "programming_us")[-1] == pytest.approx(1.055, rel=0.15)


FLUCTUATIONS = {"own": None, "none": 0.0, "small": 0.03, "dominant": 0.15}
READ_AT = {
    2: (0.0, DAY),
    3: (0.0, 3600.0, DAY),
    4: (0.0, 60.0, 3600.0, DAY),
    6: measured_tables.TIMES,
    8: (0.0, 10.0, 60.0, 300.0, 1000.0, 3600.0, 20_000.0, DAY),
}
LATENTS = np.random.default_rng(0).normal(size=(3, 10_000)).astype(np.float32)
LATENTS = np.concatenate([LATENTS, -LATENTS], axis=1)


def spread_of(device, target: float, time_s: float) -> float:
    state = cells.program(device, np.full(LATENTS.shape[1], target, np.float32), LATENTS[:2])
    return float(cells.conductance(device, state, LATENTS[2:], time_s)[0].std(dtype=np.float64))


@functools.cache
def true_curves(name: str, fluctuation: str, time_s: float) -> tuple[np.ndarray, np.ndarray]:
    law = replace(LAWS[name], fluctuation=FLUCTUATIONS[fluctuation])
    return law.curves(np.linspace(0, law.g_max_us, 6), time_s)


def combinations():
    """All of them; those that a fast run leaves out are marked slow."""
    found = []
    for i, (name, count, numbered) in enumerate(itertools.product(LAWS, READ_AT, (True, False))):
        for j, fluctuation in enumerate(FLUCTUATIONS):
            fast = (i // 2 + i // 10 + j) % len(FLUCTUATIONS) == 0
            marks = () if fast else pytest.mark.slow
            found.append(pytest.param(name, fluctuation, count, numbered, marks=marks))
    return found


@pytest.mark.parametrize(("name", "fluctuation", "count", "numbered"), combinations())
def test_the_law_spreads_as_the_devices_do(name, fluctuation, count, numbered):
    """At the reference read, an hour and a day later, with 2 % gross outliers among few or many readings."""
    law = replace(LAWS[name], fluctuation=FLUCTUATIONS[fluctuation])
    table = measure(law, 20, states=6, devices=300, times=READ_AT[count], numbered=numbered)
    fit = rl.fit_device(table, measurement_us=0.1, resamples=199)
    at = fit.curves[fit.curves["measured"]]
    mean, sigma = true_curves(name, fluctuation, 0.0)
    for law_curve, low, high, truth, within in (
        ("law_mean_us", "mean_low_us", "mean_high_us", mean, 0.04 * sigma),
        ("law_sigma_us", "sigma_low_us", "sigma_high_us", sigma, 0.04 * sigma),
    ):
        inside = at[law_curve].between(at[low], at[high]) | (np.abs(at[law_curve] - truth) < within)
        assert inside.all(), law_curve
    for time_s in (0.0, 3600.0, DAY):
        truth = true_curves(name, fluctuation, time_s)[1]
        found = np.array([spread_of(fit.device, g, time_s) for g in at["g_target_us"]])
        ratio = found[1:] / truth[1:]
        assert abs(ratio.mean() - 1) < 0.1, (time_s, ratio)
        assert np.abs(ratio - 1).max() < (0.25 if fluctuation == "dominant" else 0.2), (time_s, ratio)
        # Next to zero the measurement itself spreads as much as the devices do.
        assert abs(found[0] - truth[0]) < 0.1 + 0.15 * truth[0]
    # Fluctuation and programming are the whole spread, whatever their shares.
    device = fit.device
    law_curves = device.curves(np.array(device.state_us))
    programmed = Residual(device.distribution, device.shape).rectified(
        np.array(device.mean_us), np.array(device.sigma_us)
    )
    clear = at["mean_us"].to_numpy() > 5 * at["sigma_us"].to_numpy()
    whole = np.hypot(programmed[1], law_curves["fluctuation"] * np.hypot(*programmed))
    np.testing.assert_allclose(whole[clear], at["law_sigma_us"].to_numpy()[clear], rtol=1e-3)
    assert (np.array(device.fluctuation_us) <= at["law_sigma_us"] * 1.001 + 0.2 * ~clear).all()
    told = any("programming includes the fluctuation" in note.text for note in fit.notes)
    assert told == (not numbered or count == 2)
    if told:
        assert not any(device.fluctuation_us)
    elif fluctuation != "own":
        relative = np.array(device.fluctuation_us)[2:] / (mean[2:])
        assert relative.mean() == pytest.approx(FLUCTUATIONS[fluctuation], rel=0.12, abs=0.004)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_wrong_readings_are_told_from_right_ones(count):
    """Three in a hundred readings are off by 8 to 20 sigma; nearly all are found, and few others go."""
    random = np.random.default_rng(21)
    x = np.log1p(np.array(READ_AT[count]) / 20)
    target = np.repeat([10.0, 20.0], 400)
    level = target + random.normal(size=target.size)
    exponent = 0.05 + 0.008 * random.normal(size=target.size)
    g = level[:, None] * np.exp(-exponent[:, None] * x) + 0.1 * random.normal(size=(target.size, count))
    off = random.random(g.shape) < 0.03
    far = random.choice([-1, 1], g.shape) * random.uniform(8, 20, g.shape)
    rows = {
        "device": np.repeat(np.arange(target.size), count),
        "g_target_us": np.repeat(target, count),
        "time_s": np.tile(READ_AT[count], target.size),
    }
    fit = rl.fit_device(pd.DataFrame(rows | {"g_us": (g + off * far).ravel()}), measurement_us=0.1)
    share = fit.table().set_index("parameter").loc["wrong_readings", "value"]
    assert share == pytest.approx(off.mean(), rel=0.12)
    clean = rl.fit_device(pd.DataFrame(rows | {"g_us": g.ravel()}), measurement_us=0.1)
    assert clean.table().set_index("parameter").loc["wrong_readings", "value"] < 1e-3
    for name in ("mean_us", "sigma_us", "drift", "drift_spread"):
        np.testing.assert_allclose(parameter(fit, name), parameter(clean, name), rtol=0.04)


def test_bands_between_states_are_smooth():
    """No wider than at the states beside, the bend of the law apart, and without a step."""
    for numbered in (True, False):
        table = measure(LAWS["pcm"], 5, times=READ_AT[4], numbered=numbered)
        curves = rl.fit_device(table, measurement_us=0.1).curves
        for name in ("mean", "sigma"):
            width = (curves[f"{name}_high_us"] - curves[f"{name}_low_us"]).to_numpy()
            at = curves["measured"].to_numpy()
            rows = np.arange(width.size)
            nearest = np.maximum.accumulate(np.where(at, rows, 0))
            ends = np.maximum(width[nearest], width[np.minimum(nearest + 8, width.size - 1)])
            beyond = rows >= 8
            assert (width <= 1.3 * ends)[beyond].all()
            assert np.abs(np.diff(width))[8:].max() < 0.15 * width.max()
            law = curves[f"law_{name}_us"]
            assert law.between(curves[f"{name}_low_us"], curves[f"{name}_high_us"]).mean() > 0.97


def test_ranges_of_targets():
    random = np.random.default_rng(4)
    target = random.uniform(0, 25, 3000)
    table = measure(LAWS["lognormal"], 5, states=target, devices=1)
    fit = rl.fit_device(table, measurement_us=0.1)
    assert any("24 ranges" in note.text for note in fit.notes)
    assert fit.device.g_min_us == pytest.approx(target.min())
    assert fit.device.g_max_us == pytest.approx(target.max())
    mean, sigma = LAWS["lognormal"].curves(fit.curves["g_target_us"])
    assert (fit.curves["mean_low_us"].le(mean) & fit.curves["mean_high_us"].ge(mean)).all()
    assert (fit.curves["sigma_low_us"].le(sigma) & fit.curves["sigma_high_us"].ge(sigma)).all()
    np.testing.assert_allclose(fit.curves["law_sigma_us"], sigma, rtol=0.2)


# The measurement's own spread.


def test_the_spread_of_the_measurement_is_taken_off_where_it_is_known():
    law, noise = LAWS["gaussian"], 0.8
    table = measure(law, 6, devices=400, noise_us=noise, repeats=2)
    once = measure(law, 6, devices=400, noise_us=noise)
    truth = law.curves(np.linspace(0, 25, 11))[1]
    fits = {
        "given": rl.fit_device(once, measurement_us=noise),
        "repeated readings": rl.fit_device(table),
        "included": rl.fit_device(once),
    }
    for name, fit in fits.items():
        assert fit.measurement == name
        own = parameter(fit, "sigma_us")
        if name == "included":
            np.testing.assert_allclose(own[1:], np.hypot(truth, noise)[1:], rtol=0.15)
        else:
            np.testing.assert_allclose(own, truth, rtol=0.15)
    by_call = rl.fit_device(once, measurement_us=lambda g_us: np.full(g_us.shape, noise))
    by_column = rl.fit_device(once.assign(g_sd_us=noise))
    assert by_call.device == by_column.device == fits["given"].device


def test_a_spread_that_includes_the_measurement_is_named_everywhere():
    fit = rl.fit_device(measure(LAWS["gaussian"], 7))
    assert fit.notes[0].field == "fluctuation_us"
    assert fit.notes[0].text.startswith("sigma and the fluctuation include the spread of the measurement")
    bare = rl.fit_device(measure(LAWS["gaussian"], 7, numbered=False))
    assert bare.notes[0].field == "sigma_us"
    assert bare.notes[0].text.startswith("sigma includes the spread of the measurement")
    table = fit.table().set_index("parameter")
    assert table.loc["sigma_us", "note"].str.contains("with the spread of the measurement").all()
    assert "measurement" in fit.figure().axes[1].get_title(loc="left")
    known = rl.fit_device(measure(LAWS["gaussian"], 7), measurement_us=0.1)
    assert known.notes == ()
    assert "measurement" not in known.figure().axes[1].get_title(loc="left")


# Whether the law can be believed.


def residual_table(draw, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    target = np.repeat(np.linspace(10, 40, 6), 300)
    return pd.DataFrame({"g_target_us": target, "time_s": 0.0, "g_us": target + draw(random, target.size)})


FAMILIES = {
    "normal": lambda random, count: random.normal(size=count),
    "logistic": lambda random, count: random.logistic(size=count),
    "student_t": lambda random, count: random.standard_t(3, size=count),
    "skew_normal": lambda random, count: stats.skewnorm(6).rvs(count, random_state=random),
    "lognormal": lambda random, count: 2 * random.lognormal(0, 0.45, size=count),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_distribution_of_the_residuals_is_found_and_believed(name):
    fit = rl.fit_device(residual_table(FAMILIES[name], 8), measurement_us=0)
    assert fit.device.distribution == name
    assert fit.distributions()["bic"].iloc[0] == 0
    found = fit.goodness(resamples=99).set_index("test")
    assert found.loc["residual", "p_value"] > 0.02
    assert found.loc["residual", "departure"] < 0.06
    assert np.isnan(found.loc["drift", "p_value"])


def test_two_kinds_of_devices_are_no_family():
    def draw(random, count):
        return np.where(random.random(count) < 0.5, -1.5, 1.5) + 0.6 * random.normal(size=count)

    found = rl.fit_device(residual_table(draw, 9), measurement_us=0).goodness(resamples=99)
    assert found["p_value"].iloc[0] == 0.01


@pytest.mark.parametrize("numbered", [True, False])
def test_a_decay_that_is_no_power_of_time_is_rejected(numbered):
    random = np.random.default_rng(10)
    target = np.repeat(np.linspace(5, 20, 6), 200)
    times = np.array(measured_tables.TIMES)
    level = target + 0.3 * random.normal(size=target.size)
    # One relaxation of ten minutes instead of all of them.
    g = level[:, None] * (0.8 + 0.2 * np.exp(-times / 600)) + 0.05 * random.normal(
        size=(target.size, times.size)
    )
    table = pd.DataFrame(
        {
            "device": np.repeat(np.arange(target.size), times.size),
            "g_target_us": np.repeat(target, times.size),
            "time_s": np.tile(times, target.size),
            "g_us": g.ravel(),
        }
    )
    wrong = rl.fit_device(table if numbered else table.drop(columns="device"), measurement_us=0.05)
    found = wrong.goodness(resamples=99).set_index("test").loc["drift"]
    assert found["p_value"] < 1e-6
    assert found["departure"] > 0.01
    right = rl.fit_device(measure(LAWS["hermes"], 11, numbered=numbered), measurement_us=0.1)
    assert right.goodness(resamples=99).set_index("test").loc["drift", "p_value"] > 0.01


# What a fit is for.


@pytest.mark.parametrize(("times", "numbered"), [(6, True), (6, False), (4, True), (4, False)])
def test_a_fitted_pcm_is_as_accurate_as_the_true_one(times, numbered):
    true = rl.devices.pcm(programming_scale=2.5)
    law = measured_tables.Law(25.0, lambda *xi: naive.pcm_program(true, *xi))
    table = measure(law, 12, states=16, devices=300, times=READ_AT[times], numbered=numbered)
    fit = rl.fit_device(table, measurement_us=0.1)
    network, data = rl.load_network("digits-mlp"), rl.load_dataset("digits")
    found = {
        device.law: rl.simulate(network, data, rl.Chip(device), vary={"time_s": [1, DAY]}, chips=200, seed=1)
        for device in (true, fit.device)
    }
    for time_s in (1, DAY):
        pair = [trials.loc[trials["time_s"] == time_s, "accuracy"].to_numpy() for trials in found.values()]
        # The same chips: what programming and drift drew is the same in both laws.
        assert np.corrcoef(*pair)[0, 1] > 0.5
        assert abs(pair[0].mean() - pair[1].mean()) < 0.0015
        assert 0.8 < pair[1].std() / pair[0].std() < 1.25


def test_a_saved_device_is_the_same_device(tmp_path):
    fit = rl.fit_device(measure(LAWS["lognormal"], 13))
    path = tmp_path / "mydevice.toml"
    fit.save(path, title='our "best" wafer')
    loaded = rl.devices.load_device(str(path))
    assert replace(loaded, note=fit.device.note) == fit.device
    assert loaded.note.startswith(
        'our "best" wafer. Source: fitted to the table of measurements (13200 readings'
    )
    assert "Not verified: fluctuation_us (sigma and the fluctuation include" in loaded.note
    # The report prints the note on a line of its own.
    assert loaded.note not in loaded.describe()
    assert fit.device.note not in fit.device.describe()
    # Named in a chip file beside it, as any device is.
    (tmp_path / "chip.toml").write_text('device = "mydevice.toml"\n')
    assert rl.load_chip(tmp_path / "chip.toml").device == loaded
    sure = rl.fit_device(measure(LAWS["lognormal"], 13), measurement_us=0.1)
    sure.save(path)
    assert "Not verified" not in rl.devices.load_device(str(path)).note
    with pytest.raises(rl.UserError, match=r"must end in \.toml"):
        fit.save(tmp_path / "mydevice.csv")
    with pytest.raises(rl.UserError, match="folder that exists"):
        fit.save(tmp_path / "nowhere" / "mydevice.toml")
    with pytest.raises(rl.UserError, match="path holds None"):
        fit.save(None)


def test_the_figure_shows_all_panels(tmp_path):
    fit = rl.fit_device(measure(LAWS["pcm"], 14, devices=50), measurement_us=0.1)
    fit.plot(tmp_path / "device.png")
    assert (tmp_path / "device.png").stat().st_size > 50_000
    for path, told in (
        (tmp_path / "device.xyz", r"must end in one of .*\.pdf, .*\.png"),
        (tmp_path / "device", "must end in one of"),
        (tmp_path / "nowhere" / "device.png", "nowhere for figure file device.png does not exist"),
        (None, "path holds None; it must be a str or a Path"),
    ):
        with pytest.raises(rl.UserError, match=told):
            fit.plot(path)
    axes = fit.figure().axes
    assert len(axes) == 6
    assert all(len(panel.lines) + len(panel.collections) > 0 for panel in axes)
    # Without device numbers and times there are neither exponents nor courses; the figure says so.
    rl.fit_device(residual_table(FAMILIES["normal"], 15)).plot(tmp_path / "device.pdf")


def test_a_fit_is_a_function_of_its_table_and_seed():
    table = measure(LAWS["hermes"], 16, devices=40)
    first, second = (rl.fit_device(table, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.curves, second.curves)
    pd.testing.assert_frame_equal(first.table(), second.table())
    shuffled = rl.fit_device(table.sample(frac=1, random_state=1), seed=3)
    np.testing.assert_allclose(shuffled.curves["sigma_us"], first.curves["sigma_us"], rtol=1e-6)


# What a user may get wrong.


def write(path, rows: list[str], header: str = "device,g_target_us,time_s,g_us") -> str:
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def good_rows(count: int = 60) -> list[str]:
    return [f"{i},{10 * (i % 2)},0,{10 * (i % 2) + 0.01 * i}" for i in range(count)]


def test_bad_rows_are_left_out_and_told_by_line(tmp_path):
    rows = good_rows()
    rows[3], rows[7], rows[8], rows[10], rows[11] = "3,10,0,abc", "7,10,-1,9", "8,0,0,", "", "11,10,0,inf"
    rows[13:18] = ["13,x,0,1"] * 5
    path = write(tmp_path / "some.csv", rows)
    with pytest.warns(UserWarning, match="left out") as told:
        fit = rl.fit_device(path)
    sentences = [str(warning.message) for warning in told]
    assert f"{path}: 1 row was left out because g_us is not a number: line 5 ('abc')" in sentences
    assert f"{path}: 1 row was left out because time_s is below zero: line 9 ('-1')" in sentences
    assert any("g_us is missing: line 10" in sentence for sentence in sentences)
    assert any("g_us is not finite: line 13 ('inf')" in sentence for sentence in sentences)
    many = f"{path}: 5 rows were left out because g_target_us is not a number: line 15 ('x'), line 16 ('x'), "
    assert f"{many}line 17 ('x') and 2 more" in sentences
    assert len(sentences) == 5
    assert "9 rows could not be used and were left out" in [note.text for note in fit.notes]
    assert "some.csv" in fit.device.note


def test_columns_that_are_not_used_are_told(tmp_path):
    rows = [f"{row},25" for row in good_rows()]
    path = write(tmp_path / "more.csv", rows, "device,g_target_us,time_s,g_us,temperature")
    with pytest.warns(UserWarning, match="columns that are not used: temperature"):
        rl.fit_device(path)


@pytest.mark.parametrize(
    ("rows", "header", "told"),
    [
        ([], "device,g_target_us,time_s,g_us", "no row that can be used"),
        (["1,2,3"], "g_target_us,time_s,conductance", "no column g_us"),
        (["1,1,0,x"] * 50, "device,g_target_us,time_s,g_us", "no row that can be used"),
        (good_rows(10), "device,g_target_us,time_s,g_us", "too few devices to fit: 10 devices at 2 targets"),
        (["1,2,3,4,5,6", "1,2"], "g_target_us,time_s", "cannot be read as CSV"),
        (['1,"2,3'], "g_target_us,time_s", "cannot be read as CSV"),
        ([f"{i},0,0,1" for i in range(50)], "device,g_target_us,time_s,g_us", "all targets are 0"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(tmp_path, rows, header, told):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(rl.UserError, match=told):
            rl.fit_device(write(tmp_path / "bad.csv", rows, header))


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ({"g_us": -1.0}, r"median of g_us at targets above 0 is -10\.\d uS"),
        ({"g_us": 0.0}, "median of g_us at targets above 0 is 0 uS"),
        ({"g_us": 1e-6, "g_target_us": 1e-6}, r"largest g_target_us is 1e-05 uS, .* \(are these siemens\?\)"),
    ],
)
def test_conductances_of_another_unit_or_sign_are_told(tmp_path, factors, told):
    table = pd.read_csv(write(tmp_path / "good.csv", good_rows()))
    with pytest.raises(rl.UserError, match=told):
        rl.fit_device(table.assign(**{name: factor * table[name] for name, factor in factors.items()}))


def test_what_is_no_table_is_told():
    with pytest.raises(rl.UserError, match=r"measurements holds None; .* a str, a Path or a DataFrame"):
        rl.fit_device(None)


def test_an_untested_assumption_says_what_its_test_takes(tmp_path):
    found = rl.fit_device(write(tmp_path / "good.csv", good_rows())).goodness(resamples=99).set_index("test")
    assert np.isnan(found.loc["drift", "p_value"])
    assert "readings of 20 devices of a state clear of zero at 4 times" in found.loc["drift", "told"]
    assert np.isfinite(found.loc["residual", "p_value"])
    assert "untested" not in found.loc["residual", "told"]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(rl.UserError, match="does not exist"):
        rl.fit_device(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(rl.UserError, match="cannot be read"):
        rl.fit_device(tmp_path / "empty.csv")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"t0_s": 0}, "t0_s"),
        ({"measurement_us": -1}, "measurement_us"),
        ({"measurement_us": lambda g_us: g_us - 1e6}, "measurement_us"),
        ({"level": 1}, "level of confidence"),
        ({"resamples": 10}, "resamples"),
    ],
)
def test_options_outside_their_range_are_told(options, told):
    with pytest.raises(rl.UserError, match=told):
        rl.fit_device(measure(LAWS["gaussian"], 17, devices=20), **options)
