"""Rare failures of chips: samples that are the simulator's own chips, and probabilities that it confirms."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import reliability as rl
from reliability import UserError
from reliability.design import load_study
from reliability.kernels.engine import run_chips
from reliability.kernels.latent import BLOCK, NORMAL, UNIFORM
from reliability.kernels.moves import move_chips
from reliability.kernels.scores import doubts
from reliability.network import mlp
from reliability.rare import ChipSampler, find_rare_failures, rare_failure
from reliability.session import run_study
from reliability.simulation import Simulation
from reliability.statistics import clopper_pearson
from reliability.variation import Variation


@pytest.fixture(scope="module")
def digits():
    data = rl.load_dataset("digits")
    return rl.load_network("digits-mlp"), (data.x[:100], data.y[:100])


def latents_of(sampler: ChipSampler, samples: np.ndarray, simulation: Simulation) -> dict:
    """The samples' latents as the arrays that `simulate` takes."""
    drawn = rl.draw_latents(simulation.network, simulation.chip, chips=1)
    found, at = {}, 0
    for name, own in drawn.items():
        copies, size = int(np.prod(own.shape[1:-2])), int(np.prod(own.shape[-2:]))
        blocks = -(-size // BLOCK)
        rows = samples["latents"][:, at : at + copies * blocks * BLOCK].reshape(len(samples), copies, -1)
        found[name] = np.ascontiguousarray(rows[..., :size]).reshape(len(samples), *own.shape[1:])
        at += copies * blocks * BLOCK
    return found


@pytest.mark.parametrize(
    "device", [rl.devices.gaussian(sigma=0.08), rl.devices.pcm(), rl.devices.load_device("stt_mram_typical")]
)
def test_samples_are_chips_of_the_simulator(digits, device):
    network, inputs = digits
    chip = rl.Chip(device=device).fitted()
    simulation = Simulation(network, inputs, chip, time_s=3600.0)
    sampler = ChipSampler(simulation, 20)
    samples = sampler.move(sampler.draw(12), 0.5)
    if sampler._renumbers:
        # What the counter draws follows the number, which the simulator takes from the place.
        samples["number"] = np.arange(12)
    supplied = latents_of(sampler, samples, simulation)
    trials = rl.simulate(network, inputs, chip, time_s=3600.0, chips=12, latents=supplied)
    levels = sampler.level(samples)
    wrong = 100 - trials["correct"]
    assert np.array_equal(levels[:, 1], wrong)
    assert np.array_equal(levels[:, 0] >= 100, wrong >= 20)
    # A chip is a fixed number: its place and its neighbours change nothing.
    assert np.array_equal(sampler.level(samples[::-1].copy())[::-1], levels)


def test_a_chip_keeps_its_read_noise(digits):
    network, inputs = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05, read_sigma=0.05))
    sampler = ChipSampler(Simulation(network, inputs, chip), 20)
    samples = sampler.draw(8)
    levels = sampler.level(samples)
    assert np.array_equal(sampler.level(samples), levels)
    other = samples.copy()
    other["number"] += 1
    assert not np.array_equal(sampler.level(other), levels)


def test_numbers_follow_the_counter(digits):
    """Chips by their numbers are the chips that the simulator counts through."""
    network, inputs = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05, read_sigma=0.02))
    simulation = Simulation(network, inputs, chip)
    expected = simulation.block(0, 0, 9)
    numbers = np.array([8, 3, 3, 0])
    plan = simulation.compiled(0)
    ranks = np.empty((4, 1, 1, 100), np.uint8)
    sums, clipped, shared, cycles = (
        np.zeros((4, 1, 1), np.uint64),
        np.zeros((4, 1, 1, 2, 2), np.int64),
        np.zeros((4, 1), np.uint8),
        np.zeros((4, 2, 2), np.int64),
    )
    unwanted = np.empty((1, 0, 0, 0, 0), np.float32)
    run_chips(plan.arrays, plan.workspaces(2), 0, numbers, 2, ranks, sums, clipped, shared, cycles, unwanted)
    assert np.array_equal(sums, expected.checksums[numbers])


@pytest.mark.parametrize("step", [0.3, 1.0])
def test_moves_keep_the_law(step):
    kinds = np.array([NORMAL, UNIFORM, NORMAL])
    rows, out = np.empty((400, 3 * BLOCK + 2), np.float32), np.empty((400, 3 * BLOCK + 2), np.float32)
    move_chips(out, rows, kinds, 0, 1.0, (1, 2), 2)
    move_chips(rows, out, kinds, 400, step, (1, 2), 2)
    for moved, law, spread in ((out[:, :BLOCK], "norm", 1), (out[:, BLOCK : 2 * BLOCK], "uniform", 12**-0.5)):
        before = rows[:, :BLOCK] if law == "norm" else rows[:, BLOCK : 2 * BLOCK]
        assert stats.kstest(moved.ravel(), law).pvalue > 1e-3
        kept = np.corrcoef(before.ravel(), moved.ravel())[0, 1]
        if step == 1:
            assert abs(kept) < 0.01
        elif law == "norm":
            assert kept == pytest.approx(np.sqrt(1 - step**2), abs=0.005)
        else:
            # Around the circle a step is a normal one of the same relative size.
            step_taken = (moved - before + 0.5) % 1 - 0.5
            assert step_taken.std() == pytest.approx(step * spread, rel=0.01)
    assert (out[:, BLOCK : 2 * BLOCK] > 0).all() and (out[:, : 3 * BLOCK] <= 7).all()
    # Neither threads nor batches matter.
    parts = np.empty_like(out)
    move_chips(rows[:100].copy(), parts[:100], kinds, 400, step, (1, 2), 1)
    assert np.array_equal(parts[:100, : 3 * BLOCK], out[:100, : 3 * BLOCK])


def test_doubts_are_the_mean_logistic_of_the_margins():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((5, 7, 4)).astype(np.float32), rng.integers(4, size=7)
    found = np.empty(5)
    doubts(logits, labels, np.float32(0.3), found)
    own = np.take_along_axis(logits, labels[None, :, None], 2)[..., 0]
    others = np.where(np.arange(4) == labels[:, None], -np.inf, logits).max(axis=2)
    np.testing.assert_allclose(found, (1 / (1 + np.exp((own - others) / 0.3))).mean(axis=1), rtol=1e-5)
    logits[0, 0, labels[0]] = np.nan
    doubts(logits, labels, np.float32(0.3), found)
    assert 1 / 7 < found[0] < 1


def test_a_neuron_with_a_known_failure_probability(float32):
    """One weighing of x against zero: P(sign flips) is a normal tail, whatever its depth."""
    weights, x = (
        np.array([[0.3, -0.5, 0.8, 0.1], [0, 0, 0, 0]], np.float32),
        np.array([1, 0.5, 0.25, -1], np.float32),
    )
    network = mlp([weights], [np.zeros(2, np.float32)])
    # Two columns of two devices a weight: the difference of the logits varies by (2 sigma |x|)**2.
    sigma = 0.15 / (0.8 * 2 * np.linalg.norm(x) * stats.norm.isf(1e-6))
    chip = rl.Chip(device=rl.devices.gaussian(sigma=sigma))
    found = rare_failure(network, (x[None], np.array([0])), chip, 1.0, chips=10_000)
    event = found.run.probability(1)
    assert event.low <= 1e-6 <= event.high and event.high / event.value < 1.6
    assert found.chips < 75_000


def test_against_plain_monte_carlo(digits):
    network, inputs = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.08))
    simulation = Simulation(network, inputs, chip)
    correct = np.rint(simulation.block(0, 0, 10_000).scores.ravel() * 100)
    table = find_rare_failures(Simulation(network, inputs, chip, seed=1), 0.85, chips=2000).table()
    seen = 0
    for row in table.itertuples():
        failed = int(np.count_nonzero(correct < row.required))
        low, high = clopper_pearson(failed, correct.size, 0.99)
        assert low <= row.high and row.low <= high
        seen += failed > 0
    assert seen > 3 and table["value"].is_monotonic_decreasing
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_with_draws_that_follow_the_number(digits):
    """Read noise, correlated variation and the compensation's reference read, against plain Monte Carlo."""
    network, inputs = digits
    chip = rl.Chip(
        device=rl.devices.gaussian(sigma=0.07, read_sigma=0.03),
        variation=Variation(die=0.05),
        compensation="global",
    )
    inputs = tuple(part[:48] for part in inputs)
    simulation = Simulation(network, inputs, chip, time_s=1.0)
    correct = np.rint(simulation.block(0, 0, 6000).scores.ravel() * 48)
    target = float(np.sort(correct)[40]) / 48
    found = find_rare_failures(Simulation(network, inputs, chip, time_s=1.0, seed=1), target, chips=2000)
    event = found.run.probability(found.inputs - found.required + 1)
    low, high = clopper_pearson(int(np.count_nonzero(correct < found.required)), correct.size, 0.99)
    assert low <= event.high and event.low <= high


def test_the_same_seed_gives_the_same_run_on_any_number_of_threads(digits):
    network, inputs = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.08, read_sigma=0.01))
    tables = [rare_failure(network, inputs, chip, 0.9, chips=1000, threads=n).table() for n in (1, 2)]
    pd.testing.assert_frame_equal(*tables)
    other = rare_failure(network, inputs, chip, 0.9, chips=1000, seed=1).table()
    assert not tables[0]["value"].equals(other["value"])


def test_chips_that_all_fail_have_the_interval_of_a_count(digits):
    found = rl.rare_failure(*digits, rl.Chip(device=rl.devices.gaussian(sigma=0.1)), 1.0, chips=1000)
    row = found.table().iloc[-1]
    assert row["value"] == 1 and row["high"] == 1
    assert row["low"] == pytest.approx(0.025 ** (1 / 1000))


def test_chips_that_do_not_differ_are_told(digits):
    same = rl.Chip(device=rl.devices.gaussian(sigma=0.0), faults=rl.Faults(stuck_low=0.003))
    with pytest.raises(rl.UserError, match="do not differ in what their devices draw"):
        rl.rare_failure(*digits, same, 0.7, chips=1000)


def test_mistakes(digits):
    network, inputs = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.08))
    with pytest.raises(UserError, match="draw nothing when they are programmed"):
        rare_failure(network, inputs, rl.Chip(device=rl.devices.ideal()), 0.9)
    with pytest.raises(UserError, match="met by every chip"):
        rare_failure(network, inputs, chip, 0.0)
    with pytest.raises(UserError, match="must be an accuracy between 0 and 1"):
        rare_failure(network, inputs, chip, 1.1)
    with pytest.raises(UserError, match="not of 1 conditions by metric 'per-class'"):
        rare_failure(network, inputs, chip, 0.9, metric="per-class")
    with pytest.raises(UserError, match="chips = 10 must be a whole number from 1000"):
        rare_failure(network, inputs, chip, 0.9, chips=10)


def test_the_study_reports_tail_and_percentile_chips(tmp_path, capsys):
    name, study = load_study("rare_failures")
    study = study.set("chips=2000").set("analysis.chips_of_stage=1000").set("target=0.95")
    tables = run_study(name, study, tmp_path / "out").tables
    failures, percentiles = tables["failures.csv"], tables["percentiles.csv"]
    assert failures["required"].iloc[-1] == 428 and failures["value"].iloc[-1] > 0
    assert percentiles["percentile"].tolist() == [1, 5]
    for table in (failures, tables["plain.csv"], percentiles):
        assert {"value", "low", "high", "level", "varies", "method"} <= set(table)
        assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    told = capsys.readouterr().out
    assert "fewer than 428 of 450 inputs right" in told and "5 % of chips are at or below" in told
    assert all(len(line) <= 100 for line in told.splitlines() if "Figure" not in line)
    assert (tmp_path / "out" / "figure.pdf").is_file()
