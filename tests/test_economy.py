"""Fewer chips and inputs for the same answer: against plain simulation of the same inputs."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from small_networks import chain, inputs_of, linear, mlp, noise

import reliability as rl
from reliability.analytic import AnalyticNetwork
from reliability.economy import estimate_mean, estimate_tail
from reliability.economy.thinned import Thinned
from reliability.errors import RunError, UserError
from reliability.layers import Conv2d, Flatten, ReLU
from reliability.simulation import Simulation
from reliability.surrogate import Surrogate

GAUSSIAN = rl.Chip(device=rl.devices.gaussian(sigma=0.1))
PCM = rl.Chip(compensation="global")
OFFSET = rl.Chip(mapping=rl.Mapping(scheme="offset"), device=rl.devices.gaussian(sigma=0.05))


@pytest.fixture(scope="module")
def subject():
    return rl.load_network("digits-mlp"), rl.load_dataset("digits")


@pytest.fixture(scope="module")
def surrogate(subject):
    return Surrogate(AnalyticNetwork(*subject, GAUSSIAN))


@pytest.mark.parametrize(("chip", "time_s"), [(GAUSSIAN, 0.0), (PCM, rl.DAY), (OFFSET, 0.0)])
def test_coordinates_are_standard_and_tell_how_good_a_chip_is(subject, chip, time_s):
    surrogate = Surrogate(AnalyticNetwork(*subject, chip, time_s=time_s))
    coordinates = surrogate.coordinates(0, 1000, seed=3, role="search")
    # 4 standard errors of a mean and of a variance over 1,000 chips.
    assert np.abs(coordinates.mean(axis=0)).max() < 0.16
    assert np.abs(coordinates.var(axis=0) - 1).max() < 0.25
    trials = rl.simulate(*subject, chip, time_s=time_s, chips=1000, seed=3, role="search")
    told = surrogate.accuracies(coordinates)
    assert np.corrcoef(told, trials["accuracy"])[0, 1] > 0.75
    assert told.mean() == pytest.approx(surrogate.mean, abs=4 * told.std() / 1000**0.5)
    assert surrogate.mean == pytest.approx(surrogate.analytic.accuracy, abs=1e-9)


@pytest.mark.parametrize(("sigma", "short"), [(0.06, 0.1), (0.1, 0.25)])
def test_the_law_of_chips_without_devices(subject, sigma, short):
    chip = rl.Chip(device=rl.devices.gaussian(sigma=sigma))
    drawn = Surrogate(AnalyticNetwork(*subject, chip)).chip_accuracies(20_000)
    simulated = rl.simulate(*subject, chip, chips=4000, seed=8)["accuracy"]
    assert drawn.mean() == pytest.approx(simulated.mean(), abs=0.0015)
    # Slopes alone miss the worst chips, where curvature counts.
    assert (1 - short) * simulated.std() <= drawn.std() <= 1.05 * simulated.std()
    assert -0.002 <= np.quantile(drawn, 0.05) - simulated.quantile(0.05) <= short * 0.03


def test_chips_by_number_are_those_of_a_block(subject):
    simulation = AnalyticNetwork(*subject, GAUSSIAN).simulation
    chosen = np.array([3, 11, 4, 90])
    together = simulation.block(0, 0, 100).scores[chosen]
    assert np.array_equal(simulation.evaluate(0, chosen).scores, together)


@pytest.mark.parametrize(("chip", "time_s"), [(GAUSSIAN, 0.0), (PCM, rl.DAY), (OFFSET, 0.0)])
def test_the_mean_of_few_evaluations_is_that_of_many(subject, chip, time_s):
    found = estimate_mean(*subject, chip, time_s=time_s, half_width=0.0015, seed=1).table.iloc[0]
    trials = rl.simulate(*subject, chip, time_s=time_s, chips=8000, seed=9)
    truth, error = trials["accuracy"].mean(), trials["accuracy"].sem()
    assert found["value"] == pytest.approx(truth, abs=3.5 * np.hypot(found["error"], error))
    assert (found["high"] - found["low"]) / 2 <= 0.0015
    assert found["gain"] > 6 and found["gain_low"] < found["gain"] < found["gain_high"]


def test_the_same_seed_is_the_same_estimate_on_any_number_of_threads(subject):
    one, two = (
        estimate_mean(*subject, GAUSSIAN, chips=64, threads=threads).table.iloc[0] for threads in (1, 2)
    )
    assert one["value"] == pytest.approx(two["value"], abs=1e-9)
    assert one["chips"] == 64 and one["evaluations"] == 64 * 32


@pytest.mark.slow
def test_intervals_of_the_mean_cover_and_are_not_biased(subject, surrogate):
    trials = rl.simulate(*subject, GAUSSIAN, chips=60_000, seed=4)
    truth, error = trials["accuracy"].mean(), trials["accuracy"].sem()
    found = [
        estimate_mean(*subject, GAUSSIAN, chips=128, seed=10 + r, surrogate=surrogate).table.iloc[0]
        for r in range(500)
    ]
    values = np.array([row["value"] for row in found])
    held = np.mean([row["low"] <= truth <= row["high"] for row in found])
    # 3 standard errors of a coverage over 500 repeats.
    assert held >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 500)
    assert abs(values.mean() - truth) <= 3 * np.hypot(error, values.std(ddof=1) / 500**0.5)
    plain = trials["accuracy"].var() * 450
    assert plain / (values.var(ddof=1) * 128 * 32) > 10


@pytest.mark.parametrize(("chip", "time_s", "gain"), [(GAUSSIAN, 0.0, 2.5), (PCM, rl.DAY, 10.0)])
def test_the_share_of_bad_chips(subject, chip, time_s, gain):
    trials = rl.simulate(*subject, chip, time_s=time_s, chips=20_000, seed=5)
    target = trials["accuracy"].quantile(0.03) + 1e-9
    truth = (trials["accuracy"] < target).mean()
    found = estimate_tail(*subject, chip, target, time_s=time_s, seed=6).table.iloc[0]
    error = np.hypot(found["error"], np.sqrt(truth * (1 - truth) / 20_000))
    assert found["value"] == pytest.approx(truth, abs=3.5 * error)
    # A twentieth of 20,000 chips x 450 inputs, to a chip.
    assert found["evaluations"] == pytest.approx(450_000, abs=450) and found["realised"] == 20_000
    assert found["inputs_per_chip"] * found["chips"] == pytest.approx(found["evaluations"])
    assert found["gain"] > gain


def test_at_most_half_of_the_chips_are_evaluated(subject, surrogate):
    found = estimate_tail(*subject, GAUSSIAN, 0.92, chips=2000, share=1.0, surrogate=surrogate).table.iloc[0]
    assert found["chips"] == 1000 and found["evaluations"] < 1000 * 450


@pytest.mark.parametrize(
    "network",
    [
        mlp(20, 30, 10),
        chain((1, 8, 8), Conv2d(noise(4, 1, 3, 3) / 3), ReLU(), Flatten(), linear(10, 144)),
    ],
    ids=["perceptron", "convolutional"],
)
def test_a_chip_fails_alike_with_sure_inputs_and_without(network):
    # In 8-bit arithmetic inputs that are no pixels are rounded by the range of those that are there.
    simulation = Simulation(network, inputs_of(network, 450), PCM, time_s=rl.DAY, arithmetic="float32")
    thinned = Thinned(simulation, np.where(np.arange(450) % 3, 1.0, 0.5))
    assert len(thinned.sure) == 300
    needed = 300 + int(np.median(simulation.outcomes(0, 50)[:, 0, 0, ::3].sum(axis=1)))
    first, second = (
        thinned.failures(np.arange(300), needed, np.random.default_rng(seed))[0] for seed in (0, 1)
    )
    assert 30 < first.sum() < 270
    assert np.array_equal(first, second)


def test_what_the_analytic_network_is_wrongly_sure_of_is_put_right(subject):
    analytic = AnalyticNetwork(*subject, GAUSSIAN)
    # As if it were sure of all inputs that chips get right half of the time at least.
    thinned = Thinned(analytic.simulation, np.where(analytic.right > 0.5, 1.0, analytic.right))
    chips, needed = np.arange(200), 424
    truth = (analytic.simulation.outcomes(0, 200)[:, 0, 0].sum(axis=1) < needed).mean()
    parts = [thinned.failures(chips, needed, np.random.default_rng(seed)) for seed in range(150)]
    counted = np.mean(parts[0][0])
    found = np.array([(failed + turned).mean() for failed, turned in parts])
    assert abs(counted - truth) > 0.2
    assert abs(found.mean() - truth) < 3.5 * found.std() / 150**0.5


@pytest.mark.slow
def test_intervals_of_the_share_of_bad_chips_cover(subject, surrogate):
    trials = rl.simulate(*subject, GAUSSIAN, chips=60_000, seed=4)
    target = trials["accuracy"].quantile(0.05)
    truth = (trials["accuracy"] < target).mean()
    found = [
        estimate_tail(*subject, GAUSSIAN, target, chips=5000, share=0.1, seed=10 + r, surrogate=surrogate)
        for r in range(200)
    ]
    rows = pd.concat([own.table.iloc[:1] for own in found])
    held = ((rows["low"] <= truth) & (truth <= rows["high"])).mean()
    # 3 standard errors of a coverage over 200 repeats.
    assert held >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)
    error = np.hypot(np.sqrt(truth * (1 - truth) / 60_000), rows["value"].std() / 200**0.5)
    assert abs(rows["value"].mean() - truth) <= 3 * error


@pytest.mark.parametrize("target", [0.5, 0.9, 1.0])
def test_shares_that_too_few_chips_tell_are_refused(subject, surrogate, target):
    with pytest.raises(RunError, match="rare_failure"):
        estimate_tail(*subject, GAUSSIAN, target, chips=2000, surrogate=surrogate)


@pytest.mark.parametrize("device", [rl.devices.ideal(), rl.devices.gaussian(sigma=0.005)])
def test_chips_that_hardly_differ_are_not_thinned(subject, device):
    few = subject[0], subject[1].head(30)
    for estimate in (estimate_mean, partial(estimate_tail, target=0.9)):
        with pytest.raises(UserError, match="of 30 inputs are uncertain"):
            estimate(*few, rl.Chip(device=device))


def test_partly_frozen_telegraph_noise_is_refused(subject):
    noise = rl.Telegraph(amplitude=0.2, correlation_s=1e-4, read_interval_s=1e-6)
    with pytest.raises(UserError, match="partly frozen"):
        estimate_mean(*subject, rl.Chip(device=rl.devices.gaussian(sigma=0.05), telegraph=noise))


@pytest.mark.parametrize("half_width", [0.0, 2.0, "a"])
def test_a_width_that_is_none_is_refused(subject, surrogate, half_width):
    with pytest.raises(UserError, match="half_width = "):
        estimate_mean(*subject, GAUSSIAN, half_width=half_width, surrogate=surrogate)


def test_a_width_out_of_reach_is_refused_after_the_pilot(subject, surrogate):
    with pytest.raises(UserError, match=r"half_width = 1e-09 takes about \S+ chips, allowed are 1,048,576"):
        estimate_mean(*subject, GAUSSIAN, half_width=1e-9, surrogate=surrogate)


def test_a_surrogate_of_something_else_is_refused(subject, surrogate):
    network, data = subject
    others = (
        (network, data, rl.Chip(device=rl.devices.gaussian(sigma=0.12)), 0.0),
        (network, data, GAUSSIAN, 1.0),
        (network, data.head(200), GAUSSIAN, 0.0),
    )
    for *other, time_s in others:
        for estimate in (estimate_mean, partial(estimate_tail, target=0.9)):
            with pytest.raises(UserError, match="the surrogate is that of another"):
                estimate(*other, time_s=time_s, surrogate=surrogate)


def test_what_is_not_allowed_is_refused_at_once(subject, monkeypatch):
    monkeypatch.setattr("reliability.economy.subject.AnalyticNetwork", None)
    with pytest.raises(UserError, match="chips = 0"):
        estimate_mean(*subject, GAUSSIAN, chips=0)
    with pytest.raises(UserError, match="level of confidence"):
        estimate_mean(*subject, GAUSSIAN, level=95)
    for target in (0, "0.9", 1.2):
        with pytest.raises(UserError, match=f"target = {target!r}"):
            estimate_tail(*subject, GAUSSIAN, target)


def test_the_plain_estimate_stands_beside_it(subject, surrogate):
    found = estimate_mean(*subject, GAUSSIAN, chips=256, surrogate=surrogate)
    own, plain = found.table.iloc[0], found.table.iloc[1]
    assert plain["value"] == pytest.approx(found.check.simulated, abs=1e-12)
    apart = abs(own["value"] - plain["value"]) / np.hypot(own["error"], plain["error"])
    assert own["agrees"] == (apart <= 3)
    wide = estimate_mean(*subject, GAUSSIAN, chips=256, surrogate=surrogate, level=0.5).table.iloc[0]
    assert own["gain_low"] < wide["gain_low"] < wide["gain_high"] < own["gain_high"]
