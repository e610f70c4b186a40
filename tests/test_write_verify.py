"""Write-verify: loops against a plain twin and closed forms, their bookkeeping, and what refuses them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from naive_verify import Loop
from small_networks import chain, inputs_of, linear, mlp, noise

import reliability as rl
from reliability.crossbar import crossbars_of
from reliability.devices import gaussian, load_device
from reliability.faults import Faults
from reliability.kernels.cells import realise
from reliability.kernels.latent import BLOCK, fill_normals, fill_normals_at, fill_uniforms, fill_uniforms_at
from reliability.kernels.layout import Workspace
from reliability.mitigation.write_verify import (
    VerifyWeights,
    acceptance,
    mean_cycles,
    residual_sigma,
    step_spread,
    tolerance_for,
)
from reliability.moments import weight_moments
from reliability.plan import compile_plan
from reliability.settings import as_table, load_chip
from reliability.verified import chosen_weights, expected_writes, verified_moments
from reliability.write_verify import WriteVerify

RANGE = 25.0
MANY = 300


def realised(net, chip, number=0, whole=False, **options):
    """One chip of the first layer: its plan, and the workspace with its weights and counted writes."""
    x = np.zeros((1, *net.input_shape), np.float32)
    plan = compile_plan(net, x, np.zeros(1, np.int64), chip, **options)
    work = Workspace(*(array[0] for array in plan.workspaces(1)))
    work.cycles[1] = -1 if whole else 0
    realise(plan.arrays, work, 0, 0, True, False, False, number, number)
    return plan, work


def weights_of(net, chip, number=0):
    return rl.chip_weights(net, chip, number=number)["layer0"]


def wide(rows=MANY, columns=64):
    """One layer whose weights all have the largest magnitude or none."""
    layer = linear(columns, rows)
    return chain((rows,), replace(layer, weight=np.sign(layer.weight), bias=None))


# The draws of single devices are those of the block that they stand in.


@pytest.mark.parametrize(
    ("block", "some"), [(fill_normals, fill_normals_at), (fill_uniforms, fill_uniforms_at)]
)
@pytest.mark.parametrize("count", [1, 63, 64, 65, 500, 512])
def test_draws_of_some_devices_are_those_of_their_block(block, some, count):
    address = [7, *map(np.uint32, (3, 2, 5, 123456789, 42))]
    whole, found = np.empty(BLOCK, np.float32), np.full(BLOCK, np.nan, np.float32)
    block(whole, 0, *address)
    places = np.random.default_rng(count).permutation(BLOCK).astype(np.int32)
    some(found, 0, places, count, np.empty(4 * BLOCK, np.float32), *address)
    taken = places[:count]
    assert np.array_equal(found[taken], whole[taken])
    assert np.isnan(np.delete(found, taken)).all()


# Against the plain twin.


def twin_of(net, chip, number):
    device, verify = chip.device, chip.verify
    loop = Loop(
        "layer0",
        number,
        device.sigma * RANGE,
        verify.tolerance * RANGE,
        verify.max_cycles,
        (verify.noise * RANGE) ** 2 + (device.read_sigma * RANGE) ** 2,
        verify.step if verify.pulse == "step" else 0.0,
        verify.step_sigma * RANGE,
    )
    crossbar = next(iter(crossbars_of(net, chip).values()))
    return loop, crossbar


@pytest.mark.parametrize(
    "verify",
    [
        WriteVerify(share=1, tolerance=0.06),
        WriteVerify(share=1, tolerance=0.02, max_cycles=7),
        WriteVerify(share=1, tolerance=0.06, noise=0.02),
        WriteVerify(share=1, tolerance=0.03, pulse="step", step=0.3, step_sigma=0.05, noise=0.01),
        WriteVerify(share=0.3, tolerance=0.05, order="random"),
    ],
    ids=["redraw", "capped", "noisy", "step", "some"],
)
def test_loops_are_those_of_the_twin_bit_for_bit(verify):
    net = mlp(40, 30)
    chip = rl.Chip(device=gaussian(sigma=0.1), verify=verify)
    loop, crossbar = twin_of(net, chip, 3)
    chosen = chosen_weights({"layer0": crossbar})["layer0"].ravel()
    signed = crossbar.targets_us[0].astype(np.float32).ravel()
    written = replace(chip, verify=WriteVerify())
    once = replace(loop, max_cycles=1)
    expected, writes, whole = np.empty((2, signed.size), np.float32), 0, 0
    for copy, sign in enumerate((1, -1)):
        for d, target in enumerate(np.maximum(sign * signed, 0)):
            g, cycles = loop.run(d, copy, target)
            whole += cycles
            writes += cycles * bool(chosen[d])
            expected[copy, d] = g if chosen[d] else once.run(d, copy, target)[0]
    plan, work = realised(net, chip, 3, whole=True)
    scale = plan.arrays.layers[0]["scale"]
    weights = (expected[0] - expected[1]) * scale
    assert np.array_equal(work.weights[: signed.size], weights)
    assert tuple(work.cycles[:2]) == (writes, whole)
    if verify.share < 1:
        untouched = weights_of(net, written, 3).ravel()
        assert np.array_equal(weights[~chosen], untouched[~chosen])


def test_stuck_cells_take_all_writes_and_count():
    net = wide(40, 20)
    faults = Faults(stuck_low=0.1, low_us=12.0)
    verify = WriteVerify(share=1, tolerance=0.1, max_cycles=9)
    chip = rl.Chip(device=gaussian(sigma=0.1), faults=faults, verify=verify)
    _, work = realised(net, chip)
    loop, crossbar = twin_of(net, chip, 0)
    signed = crossbar.targets_us[0].astype(np.float32).ravel()
    broken = work.stuck.reshape(2, -1)[:, : signed.size] >= 0
    assert 0.05 < broken.mean() < 0.15
    writes = 0
    for copy, sign in enumerate((1, -1)):
        for d, target in enumerate(np.maximum(sign * signed, 0)):
            cycles = loop.run(d, copy, target, 12.0 if broken[copy, d] else None)[1]
            assert not broken[copy, d] or cycles == 9
            writes += cycles
    assert work.cycles[0] == writes


# Against closed forms: methods 6.1 and physics B6.

PAIRS = [(0.1, 0.06, 2.2149, 0.03381), (0.1, 0.05, 2.611, 0.0284), (0.15, 0.06, 3.217, 0.0343)]
PAIRS += [(0.2, 0.06, 4.240, 0.0344)]


@pytest.mark.parametrize(("sigma", "tolerance", "cycles", "residual"), PAIRS)
def test_closed_forms_are_those_of_the_reference(sigma, tolerance, cycles, residual):
    assert mean_cycles(sigma, tolerance) == pytest.approx(cycles, abs=6e-4)
    assert residual_sigma(sigma, tolerance) == pytest.approx(residual, abs=6e-5)
    assert tolerance_for(sigma, residual_sigma(sigma, tolerance)) == pytest.approx(tolerance, rel=1e-6)


def test_closed_forms_of_caps_and_noise():
    assert residual_sigma(0.1, 0.06, max_cycles=10) == pytest.approx(0.0344, abs=5e-5)
    assert mean_cycles(0.1, 0.06, noise=0.02) == pytest.approx(2.2538, abs=5e-5)
    assert residual_sigma(0.1, 0.06, noise=0.02) == pytest.approx(0.0380, abs=6e-5)
    assert acceptance(0.1, 0.06) == pytest.approx(math.erf(0.6 / math.sqrt(2)))
    with pytest.raises(rl.UserError, match="must lie between"):
        tolerance_for(0.1, 0.02, noise=0.05)


CASES = [(sigma, tolerance, 0.0, 1000) for sigma, tolerance, _, _ in PAIRS]
CASES += [(0.1, 0.06, 0.0, 10), (0.1, 0.06, 0.02, 1000), (0.2, 0.06, 0.03, 6)]


def loops_of(sigma, **verify):
    """Errors of many devices, relative to the range, and their mean number of writes."""
    net, errors, writes = wide(), [], 0
    chip = rl.Chip(device=gaussian(sigma=sigma), verify=WriteVerify(share=1, **verify))
    size = MANY * 64
    for number in range(12):
        _, work = realised(net, chip, number)
        # Differences of two devices, independent of each other.
        errors.append(work.weights[:size] - net.nodes[0].layer.weight.ravel())
        writes += work.cycles[0]
    return np.concatenate(errors), writes / (12 * 2 * size)


@pytest.mark.parametrize(("sigma", "tolerance", "read", "most"), CASES)
def test_loops_follow_the_closed_forms_within_one_percent(sigma, tolerance, read, most):
    errors, cycles = loops_of(sigma, tolerance=tolerance, noise=read, max_cycles=most)
    expected = mean_cycles(sigma, tolerance, noise=read, max_cycles=most)
    assert cycles == pytest.approx(expected, rel=0.01)
    residual = residual_sigma(sigma, tolerance, noise=read, max_cycles=most)
    assert errors.std() / math.sqrt(2) == pytest.approx(residual, rel=0.01)


@pytest.mark.parametrize("writes", [1, 3, 20])
def test_steps_that_none_accepts_converge_as_they_should(writes):
    steps = {"tolerance": 1e-6, "pulse": "step", "step": 0.25, "step_sigma": 0.02, "noise": 0.03}
    errors, cycles = loops_of(0.2, max_cycles=writes + 1, **steps)
    assert cycles == pytest.approx(writes + 1, rel=1e-3)
    expected = step_spread(0.2, 0.25, 0.02, writes, noise=0.03)
    assert errors.std() / math.sqrt(2) == pytest.approx(expected, rel=0.01)


def test_a_law_that_reads_noisily_is_not_verified_below_its_noise():
    """A law's own read noise acts as the same noise of the loop."""
    net = wide()
    own = rl.Chip(device=gaussian(sigma=0.1, read_sigma=0.02), verify=WriteVerify(share=1, tolerance=0.06))
    added = rl.Chip(device=gaussian(sigma=0.1), verify=WriteVerify(share=1, tolerance=0.06, noise=0.02))
    assert np.array_equal(weights_of(net, own), weights_of(net, added))


# What other effects do to it, and what it leaves alone.


def test_verifying_some_weights_changes_no_other_draw():
    net = mlp(30, 20)
    plain = rl.Chip(device=gaussian(sigma=0.1))
    some = replace(plain, verify=WriteVerify(share=0.4, tolerance=0.05))
    every = replace(plain, verify=WriteVerify(share=1, tolerance=0.05))
    chosen = chosen_weights(crossbars_of(net, some))["layer0"]
    once, part, whole = (weights_of(net, chip) for chip in (plain, some, every))
    assert np.array_equal(part[chosen], whole[chosen])
    assert np.array_equal(part[~chosen], once[~chosen])
    assert chosen.sum() == round(0.4 * chosen.size)
    magnitude = np.abs(net.nodes[0].layer.weight)
    assert magnitude[chosen].min() >= magnitude[~chosen].max()


def test_correlated_variation_is_verified_away():
    net = wide()
    steps = WriteVerify(share=1, tolerance=0.05, pulse="step", step_sigma=0.01)
    chip = rl.Chip(device=gaussian(sigma=0.1), variation=rl.Variation(die=0.3), verify=steps)
    for number in range(3):
        errors = weights_of(net, chip, number) - net.nodes[0].layer.weight
        # Each device misses by at most the tolerance, whatever all are multiplied by.
        assert np.abs(errors).max() <= 2 * 0.05 + 1e-6


def test_telegraph_noise_blurs_reads():
    net = wide()
    noisy = rl.Telegraph(amplitude=0.2, exponent=0.0)
    chip = rl.Chip(device=gaussian(sigma=0.1), verify=WriteVerify(share=1, tolerance=0.01))
    clean, blurred = (realised(net, own)[1].cycles[0] for own in (chip, replace(chip, telegraph=noisy)))
    assert blurred > 1.01 * clean


def test_counts_come_back_in_the_trials_table():
    net = mlp(12, 10, 4)
    x, y = inputs_of(net, 20)
    verify = WriteVerify(tolerance=0.03, order="random", scope="chip")
    chip = rl.Chip(device=gaussian(sigma=0.1), verify=verify)
    trials = rl.simulate(net, (x, y), chip, vary={"verify.share": [0, 0.1, 0.5, 1]}, chips=8, seed=3)
    by_share = trials.pivot(index="chip", columns="verify.share", values="write_cycles")
    assert (by_share[0] == 0).all()
    nwc = trials.pivot(index="chip", columns="verify.share", values="nwc")
    np.testing.assert_array_equal(nwc, by_share.div(by_share[1.0], axis=0))
    # Each share by itself, without what the sweep already knows.
    for share in (0.1, 0.5):
        alone = rl.simulate(net, (x, y), replace(chip, verify=replace(verify, share=share)), chips=8, seed=3)
        np.testing.assert_array_equal(alone["write_cycles"], by_share[share])
        np.testing.assert_array_equal(alone["nwc"], nwc[share])
    assert "nwc" not in rl.simulate(net, (x, y), replace(chip, verify=WriteVerify()), chips=2)


def test_threads_and_int8_change_no_count(float32):
    net, data = rl.load_network("digits-mlp"), rl.load_dataset("digits")
    chip = rl.Chip(device=gaussian(sigma=0.1), verify=WriteVerify(share=0.2, tolerance=0.05))
    found = [
        rl.simulate(net, data, chip, chips=6, threads=threads, arithmetic=arithmetic)
        for threads, arithmetic in ((1, "float32"), (2, "float32"), (2, "int8"))
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other["write_cycles"], found[0]["write_cycles"])
        np.testing.assert_array_equal(other["nwc"], found[0]["nwc"])


def test_offset_references_and_slices_are_verified():
    net = wide(30, 20)
    mapping = rl.Mapping(scheme="offset", slices=rl.Slices(count=4, fill="digits", bits=2))
    chip = rl.Chip(device=gaussian(sigma=0.1), mapping=mapping)
    errors = [
        weights_of(net, replace(chip, verify=verify)) - net.nodes[0].layer.weight
        for verify in (WriteVerify(), WriteVerify(share=1, tolerance=0.03))
    ]
    ratio = errors[1].std() / errors[0].std()
    assert ratio == pytest.approx(residual_sigma(0.1, 0.03) / 0.1, rel=0.15)
    _, work = realised(net, replace(chip, verify=WriteVerify(share=1, tolerance=0.03)))
    cells = 4 * 30 * 21
    assert work.cycles[0] / cells == pytest.approx(mean_cycles(0.1, 0.03), rel=0.06)


# The analytic network.


@pytest.mark.parametrize(("sigma", "tolerance", "read", "most"), CASES)
def test_moments_of_verified_devices(sigma, tolerance, read, most):
    verify = WriteVerify(share=1, tolerance=tolerance, noise=read, max_cycles=most)
    targets = np.array([0.0, 5.0, 25.0])
    found = verified_moments(gaussian(sigma=sigma), verify, targets)
    expected = residual_sigma(sigma, tolerance, noise=read, max_cycles=most) * RANGE
    np.testing.assert_allclose(np.sqrt(found[:, 1]), expected, rtol=0.01)
    np.testing.assert_allclose(found[:, 0], targets, atol=0.02 * expected)
    assert found[0, 4] == pytest.approx(mean_cycles(sigma, tolerance, noise=read, max_cycles=most), rel=0.01)


def test_expected_writes_are_those_that_chips_count():
    net = mlp(60, 50)
    device = rl.devices.generic(sigma=0.3, unit="own", clamp=True)
    for mapping in (rl.Mapping(), rl.Mapping(scheme="offset", slices=rl.Slices(count=2))):
        chip = rl.Chip(device=device, mapping=mapping, verify=WriteVerify(share=0.5, tolerance=0.05))
        crossbar = crossbars_of(net, chip)["layer0"]
        chosen = chosen_weights({"layer0": crossbar})["layer0"]
        writes, devices = expected_writes(crossbar, chosen)
        # Two devices a weight either way; of the offset, also a reference line of two slices.
        assert devices == 2 * chosen.sum() + (2 * 60 if mapping.scheme == "offset" else 0)
        counted = np.mean([realised(net, chip, number)[1].cycles[0] for number in range(12)])
        assert counted == pytest.approx(writes, rel=0.02)


def test_only_the_first_slices_are_verified():
    net = wide(40, 30)
    slices = rl.Slices(count=4, fill="digits", bits=2)
    plain = rl.Chip(device=gaussian(sigma=0.1), mapping=rl.Mapping(slices=slices))
    verify = WriteVerify(share=1, tolerance=0.02, slices=2)
    chip, whole = replace(plain, verify=verify), replace(plain, verify=replace(verify, slices="all"))
    held = [realised(net, own, whole=True)[1] for own in (plain, chip, whole)]
    size = 40 * 30
    by_slice = [work.weights.reshape(4, -1)[:, :size] for work in held]
    for s in range(4):
        assert np.array_equal(by_slice[1][s], by_slice[2 if s < 2 else 0][s])
    assert held[1].cycles[1] == held[2].cycles[0] > 1.9 * held[1].cycles[0]
    own = weight_moments(net, chip)["layer0"].variance.mean()
    errors = np.stack([weights_of(net, chip, number) - net.nodes[0].layer.weight for number in range(60)])
    assert own == pytest.approx(np.square(errors).mean(), rel=0.02)


def test_moments_of_weights_follow_the_selection():
    net = mlp(60, 50)
    device = rl.devices.generic(sigma=0.3, unit="own", distribution="lognormal", read_sigma=0.01)
    chip = rl.Chip(device=device, verify=WriteVerify(share=0.5, tolerance=0.05, max_cycles=20))
    chosen = chosen_weights(crossbars_of(net, chip))["layer0"]
    own = weight_moments(net, chip)["layer0"]
    chips = np.stack([weights_of(net, chip, number) for number in range(80)])
    for part in (chosen, ~chosen):
        exact = chips.var(axis=0)[part].mean()
        assert own.variance[part].mean() == pytest.approx(exact, rel=0.03)
        assert own.mean[part] == pytest.approx(chips.mean(axis=0)[part], abs=6 * math.sqrt(3 * exact / 80))


def test_the_analytic_network_agrees_with_partly_verified_chips():
    net, data = rl.load_network("digits-mlp"), rl.load_dataset("digits")
    chip = rl.Chip(device=gaussian(sigma=0.15), verify=WriteVerify(share=0.3, tolerance=0.05))
    analytic = rl.AnalyticNetwork(net, data, chip)
    plain = rl.AnalyticNetwork(net, data, replace(chip, verify=WriteVerify()))
    check = analytic.check()
    assert abs(check.analytic - check.simulated) < 3 * check.error + 0.003
    assert analytic.accuracy > plain.accuracy + 0.01


# Refusals, files and descriptions.


@pytest.mark.parametrize("name", ["pcm", "hermes_2", "wan_2022", "cmo_fine", "sonos_40nm"])
def test_laws_fitted_to_verified_devices_refuse(name):
    chip = rl.Chip(device=load_device(name), verify=WriteVerify(share=1))
    with pytest.raises(rl.UserError, match=r"write-verify had programmed.*pcm_pulses"):
        rl.chip_weights(mlp(5, 4), chip)


def test_steps_need_a_state_that_is_the_conductance():
    steps = WriteVerify(share=1, pulse="step")
    rl.chip_weights(mlp(5, 4), rl.Chip(device=load_device("nandakumar_2018"), verify=steps))
    measured = rl.Chip(device=rl.devices.measured(), verify=steps)
    with pytest.raises(rl.UserError, match="use 'redraw'"):
        rl.chip_weights(mlp(5, 4), measured)


def test_measured_devices_are_verified_through_their_fluctuation():
    """What a law draws at each time is drawn at each verify read: fluctuation is not verified away."""
    measured = rl.devices.measured(sigma_us=(2.5, 2.5), fluctuation_us=(0.0, 0.5))
    net = wide()
    chip = rl.Chip(device=measured, verify=WriteVerify(share=1, tolerance=0.02))
    _, work = realised(net, chip)
    size = MANY * 64
    errors = work.weights[:size] - net.nodes[0].layer.weight.ravel()
    # Beside the devices that hold nothing, the fluctuation at the time of use comes on top.
    assert 0.02 < errors.std() < 0.06


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("share", 1.1),
        ("order", "score"),
        ("tolerance", 0),
        ("max_cycles", 0),
        ("pulse", "blind"),
        ("step", 0),
    ],
)
def test_wrong_settings_are_told(field, value):
    with pytest.raises(rl.UserError, match=f"verify.{field}"):
        WriteVerify(**{field: value})


def test_scores_from_a_file_beside_the_chip_file(tmp_path):
    net = mlp(6, 5, 4)
    scores = {"layer0": noise(5, 6), "layer2": noise(4, 5, seed=1)}
    np.savez(tmp_path / "scores.npz", **scores)
    (tmp_path / "chip.toml").write_text(
        'device = "gaussian"\n[verify]\nshare = 0.2\nscope = "chip"\norder = "scores.npz"\n'
    )
    chip = load_chip(tmp_path / "chip.toml")
    chosen = chosen_weights(crossbars_of(net, chip))
    joined = np.concatenate([scores["layer0"].ravel(), scores["layer2"].ravel()])
    best = joined >= np.sort(joined)[-10]
    assert np.array_equal(np.concatenate([chosen[name].ravel() for name in scores]), best)
    assert as_table(chip)["verify"]["order"] == str(tmp_path / "scores.npz")
    np.savez(tmp_path / "scores.npz", layer0=scores["layer0"])
    with pytest.raises(rl.UserError, match=r"shape \(4, 5\).*'layer2', holds none"):
        chosen_weights(crossbars_of(net, chip))


def test_the_cure_on_some_layers():
    net = mlp(6, 5, 4)
    cure = VerifyWeights(WriteVerify(share=1, tolerance=0.03))
    chip = rl.Chip(device=gaussian(), layers={"layer*": rl.LayerChip(tile=rl.Tile(rows=3))})
    one = crossbars_of(net, cure.apply(chip, ["layer2"]))
    assert not one["layer0"].settings.verify.is_on and one["layer2"].settings.verify == cure.verify
    assert one["layer2"].settings.tile.rows == 3
    with pytest.raises(rl.UserError, match="'layer\\*' is a pattern; name the layers"):
        cure.apply(chip, ["layer*"])
    both = cure.apply(cure.apply(chip, ["layer2"]))
    assert list(chosen_weights(crossbars_of(net, both))) == ["layer0", "layer2"]
    digital = rl.Chip(device=gaussian(), layers={"*": rl.LayerChip(analog=False)})
    assert not crossbars_of(net, cure.apply(digital, ["layer2"]))["layer2"].settings.analog


def test_the_chip_says_how_it_is_verified():
    text = WriteVerify(share=0.1, tolerance=0.05, order="random", scope="chip").describe()
    assert "10.000% of the chip's weights, first by random" in text
