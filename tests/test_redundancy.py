"""Several devices a weight: kernels against their twin, the laws of means and medians, and the cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import chain, chip_logits, inputs_of, linear, mlp, noise
from test_tiles import GAUSSIAN, NOISY, check_twin, convolutional, exact, perceptron, tile

import reliability as rl
from reliability.analyses.redundancy import Copies
from reliability.crossbar import crossbars_of, mapped_network
from reliability.design import load_study
from reliability.errors import UserError
from reliability.layers import Linear
from reliability.mapping import copied_columns
from reliability.mitigation.redundancy import Redundancy, column_gains, copies, find_redundancy
from reliability.mitigation.vote import Vote
from reliability.moments import weight_moments
from reliability.realisation import RealisedWeights, chip_weights
from reliability.units import DAY

IDEAL = rl.devices.ideal()


def slices(count: int, **fields) -> rl.Mapping:
    return rl.Mapping(slices=rl.Slices(count=count, **fields))


def norms(x: np.ndarray) -> float:
    return float((x.astype(np.float64) ** 2).sum(axis=1).mean())


# ---- kernels against their twin


@exact
@pytest.mark.parametrize("weight_max", ["layer", "column"])
@pytest.mark.parametrize("combine", ["mean", "median"])
@pytest.mark.parametrize("columns", [1.0, 0.4, (1, 4)])
@pytest.mark.parametrize(("dac", "pulse_bits", "adc"), [(None, "all", None), (None, "all", 6), (5, 2, 7)])
def test_copies_of_columns_equal_their_twin(weight_max, combine, columns, dac, pulse_bits, adc):
    mapping = rl.Mapping(
        weight_max, "devices", slices=rl.Slices(3, columns=columns, combine=combine), clip_percentile=97.0
    )
    chip = rl.Chip(device=NOISY, mapping=mapping, tile=tile(8, 5, dac, adc, pulse_bits))
    check_twin(perceptron(), chip)


@exact
@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("groups", [1, 2])
def test_votes_of_convolutions_equal_their_twin(scheme, groups):
    mapping = rl.Mapping("column", scheme=scheme, slices=rl.Slices(5, combine="median"))
    chip = rl.Chip(device=GAUSSIAN, mapping=mapping, tile=tile(7, 2, 5, 6))
    check_twin(convolutional(groups), chip, positive=False)


@exact
@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("device", [GAUSSIAN, NOISY], ids=["gaussian", "noisy"])
@pytest.mark.parametrize(("dac", "pulse_bits", "adc"), [(None, "all", None), (None, "all", 6), (5, 2, 7)])
def test_copies_in_one_array_equal_their_twin(scheme, device, dac, pulse_bits, adc):
    mapping = rl.Mapping("column", "devices", scheme=scheme, slices=rl.Slices(3, combine="current"))
    # One array without converters takes all rows as one sum.
    rows = 8 if dac or adc else 99
    chip = rl.Chip(device=device, mapping=mapping, tile=tile(rows, 5, dac, adc, pulse_bits))
    check_twin(perceptron(), chip)
    check_twin(convolutional(2), chip, positive=False)


@exact
@pytest.mark.parametrize("columns", [0.5, (0, 2)])
def test_copies_in_grouped_convolutions_equal_their_twin(columns):
    check_twin(convolutional(2), rl.Chip(device=NOISY, mapping=slices(2, columns=columns), tile=tile(9, 3)))


def test_copies_in_one_array_are_those_of_several_without_converters():
    """Their cells are the same, and so is the mean of what they conduct, at every time."""
    net = perceptron()
    x, labels = inputs_of(net, 20)
    effects = {
        "telegraph": rl.Telegraph(amplitude=0.1, correlation_s=1e12),
        "faults": rl.Faults(stuck_low=0.05),
    }
    found: dict[str, list[np.ndarray]] = {"mean": [], "current": []}
    for combine, seen in found.items():
        chip = rl.Chip(mapping=slices(3, combine=combine), **effects)
        rl.simulate(
            net,
            (x, labels),
            chip,
            vary={"time_s": [0.0, DAY]},
            chips=3,
            arithmetic="float32",
            metric=lambda z, _, seen=seen: seen.append(np.array(z)) or np.zeros(len(z)),
        )
    scale = np.abs(found["mean"]).max()
    np.testing.assert_allclose(found["current"], found["mean"], atol=2e-6 * scale)


def test_one_conversion_rounds_less_often_than_several():
    """The mean of k roundings has 1/k of the variance of one: one array pays one conversion, and gets one."""
    net = chain((64,), Linear(noise(32, 64)))
    x, _ = inputs_of(net, 200)
    largest = 1.5 * float(np.abs(net.forward(x)).max())
    tile = rl.Tile(adc=rl.ADC(bits=6, range=largest))
    errors = {}
    for combine in ("mean", "current"):
        chip = rl.Chip(device=GAUSSIAN, mapping=slices(4, combine=combine))
        fine = chip_logits(net, x, chip, 20)
        rough = chip_logits(net, x, replace(chip, tile=tile), 20)
        errors[combine] = ((rough - fine) ** 2).mean()
        rows = rl.mitigation.count_costs(net, replace(chip, tile=tile))
        assert rows["conversions"].sum() == (32 * 4 if combine == "mean" else 32)
        assert rows["cells"].sum() == 4 * 2 * 64 * 32
    assert errors["mean"] == pytest.approx(errors["current"] / 4, rel=0.1)
    step = largest / 31
    assert errors["current"] == pytest.approx(step**2 / 12, rel=0.1)


@pytest.mark.parametrize("field", ["variation", "faults", "tile", "repair"])
def test_copies_in_one_array_refuse_what_asks_for_their_places(field):
    own = {
        "variation": rl.Variation(field=0.1),
        "faults": rl.Faults(open_rows=0.1),
        "tile": rl.Tile(wires=rl.Wires(word_ohm=1.0)),
        "repair": rl.Repair(in_pair=True),
    }
    chip = rl.Chip(device=GAUSSIAN, mapping=slices(2, combine="current"), **{field: own[field]})
    with pytest.raises(UserError, match=r"layer .* in one array \(mapping.slices.combine = \"current\"\)"):
        crossbars_of(perceptron(), chip)
    with pytest.raises(UserError, match=r"slices.columns = 0.5 must be 1 for slices.combine 'current'"):
        rl.Slices(2, columns=0.5, combine="current")


@pytest.mark.parametrize("combine", ["mean", "median", "current"])
@pytest.mark.parametrize("columns", [1.0, 0.3])
@pytest.mark.parametrize("weight_max", ["layer", "column"])
def test_ideal_copies_give_the_digital_network(combine, columns, weight_max):
    if combine == "current" and columns != 1:
        pytest.skip("copies of some columns stand in arrays of their own")
    net = perceptron()
    x, _ = inputs_of(net, 40)
    mapping = rl.Mapping(weight_max, slices=rl.Slices(3, columns=columns, combine=combine))
    logits = chip_logits(net, x, rl.Chip(device=IDEAL, mapping=mapping), 1)[0]
    digital = net.forward(x)
    np.testing.assert_allclose(logits, digital, atol=1e-5 * np.abs(digital).max())


def test_copies_at_several_times_and_with_effects_stay_absent():
    """A column without copies is, at every time and with every effect, that of a chip with one slice."""
    net = chain((30,), linear(40, 30))
    x, labels = inputs_of(net, 10)
    chosen = (3, 20, 39)
    effects = {
        "faults": rl.Faults(stuck_low=0.05, cluster_share=0.01),
        "variation": rl.Variation(cell=0.05),
        "telegraph": rl.Telegraph(amplitude=0.1, correlation_s=1e12),
    }
    times = {"time_s": [0.0, DAY]}
    seen = {}
    for count in (1, 3):
        chip = rl.Chip(mapping=slices(count, columns=chosen), tile=rl.Tile(wires=rl.Wires(word_ohm=1.0)))
        found: list[np.ndarray] = []
        rl.simulate(
            net,
            (x, labels),
            replace(chip, **effects),
            vary=times,
            chips=3,
            arithmetic="float32",
            metric=lambda z, _, found=found: found.append(np.array(z)) or np.zeros(len(z)),
        )
        seen[count] = np.stack(found[1:])
    others = np.setdiff1d(np.arange(40), chosen)
    np.testing.assert_allclose(seen[3][..., others], seen[1][..., others], rtol=1e-5, atol=1e-5)
    assert np.abs(seen[3][..., chosen] - seen[1][..., chosen]).max() > 1e-3


def test_a_slice_more_changes_no_draw_of_those_before():
    net = chain((30,), linear(8, 30))
    chip = rl.Chip(device=GAUSSIAN)
    one = rl.draw_latents(net, chip, chips=2)[("layer0", "programming")]
    more = rl.draw_latents(net, replace(chip, mapping=slices(4)), chips=2)[("layer0", "programming")]
    np.testing.assert_array_equal(more[:, :2], one)


# ---- laws


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_multiplication_error_falls_with_the_root_of_the_copies(k):
    """Gaussian devices: sigma sqrt(2 / k) W_max |x| for every output."""
    net = chain((64,), Linear(noise(32, 64)))
    x, _ = inputs_of(net, 32)
    logits = chip_logits(net, x, rl.Chip(device=GAUSSIAN, mapping=slices(k)), 100)
    error = np.sqrt(np.mean((logits - net.forward(x)) ** 2))
    w_max = np.abs(net.weighted[0].layer.weight).max()
    assert error == pytest.approx(0.1 * np.sqrt(2 / k) * w_max * np.sqrt(norms(x)), rel=0.03)


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_what_the_clamp_of_pcm_adds_does_not_average_out(k):
    """sqrt(b**2 + s**2 / k), b the bias of devices that are cut at zero, from the law's moments."""
    weight = noise(32, 256)
    weight[:, ::2] = 0.02 * np.abs(weight[:, ::2])
    net = chain((256,), Linear(weight))
    x = np.abs(inputs_of(net, 32)[0])
    moments = weight_moments(net, rl.Chip())["layer0"]
    bias = np.mean((x @ (moments.mean - weight).T) ** 2)
    variance = np.mean(x**2 @ moments.variance.T)
    logits = chip_logits(net, x, rl.Chip(mapping=slices(k)), 100)
    error = np.sqrt(np.mean((logits - net.forward(x)) ** 2))
    assert error == pytest.approx(np.sqrt(bias + variance / k), rel=0.03)
    # A law without the bias would be seen.
    assert bias > 0.2 * variance / 8


def test_only_copied_columns_gain():
    net = chain((64,), Linear(noise(20, 64)))
    x, _ = inputs_of(net, 32)
    chip = rl.Chip(device=GAUSSIAN, mapping=slices(4, columns=(2, 11)))
    logits = chip_logits(net, x, chip, 150)
    error = np.sqrt(np.mean((logits - net.forward(x)) ** 2, axis=(0, 1)))
    single = 0.1 * np.sqrt(2) * np.abs(net.weighted[0].layer.weight).max() * np.sqrt(norms(x))
    expected = np.where(np.isin(np.arange(20), (2, 11)), single / 2, single)
    np.testing.assert_allclose(error, expected, rtol=0.08)


@pytest.mark.parametrize(("combine", "variance"), [("mean", 1 / 3), ("median", 0.4486711)])
def test_variance_of_three_voting_copies(combine, variance):
    """Of the median of three normals 1 - sqrt(3) / pi (David and Nagaraja, Order Statistics, 2003)."""
    assert 1 - np.sqrt(3) / np.pi == pytest.approx(0.4486711, abs=1e-7)
    net = chain((16,), Linear(noise(256, 16)))
    x, _ = inputs_of(net, 16)
    logits = chip_logits(net, x, rl.Chip(device=GAUSSIAN, mapping=slices(3, combine=combine)), 100)
    one = 0.1**2 * 2 * np.abs(net.weighted[0].layer.weight).max() ** 2 * norms(x)
    assert np.mean((logits - net.forward(x)) ** 2) / one == pytest.approx(variance, rel=0.03)


def test_a_vote_pays_where_cells_are_stuck():
    """One stuck cell moves the mean by a third of its step, the median hardly at all."""
    net = chain((8,), Linear(0.2 * noise(256, 8)))
    x, _ = inputs_of(net, 32)
    device = rl.devices.gaussian(sigma=0.01)
    errors = {}
    for combine in ("mean", "median"):
        for share in (0.0, 0.005):
            chip = rl.Chip(
                device=device, mapping=slices(3, combine=combine), faults=rl.Faults(stuck_low=share)
            )
            logits = chip_logits(net, x, chip, 20)
            errors[combine, share] = np.sqrt(np.mean((logits - net.forward(x)) ** 2))
    assert errors["median", 0.0] / errors["mean", 0.0] == pytest.approx(np.sqrt(3 * 0.4486711), rel=0.05)
    assert errors["median", 0.005] < 0.6 * errors["mean", 0.005]


# ---- bookkeeping


def test_absent_cells_are_not_counted():
    net = mlp(20, 10, 6)
    mapping = slices(4, columns=0.3)
    found = crossbars_of(net, rl.Chip(mapping=mapping))
    # Three of ten columns have three more copies, two of six.
    assert [own.devices for own in found.values()] == [2 * 20 * (10 + 9), 2 * 10 * (6 + 6)]
    x, y = inputs_of(net, 5)
    chip = rl.Chip(mapping=mapping, tile=rl.Tile(adc=rl.ADC(range=5.0)))
    conversions = rl.simulation.Simulation(net, (x, y), chip).compiled(0).conversions
    assert conversions[:, 1].tolist() == [5 * 19, 5 * 12]


def test_the_largest_columns_are_copied():
    matrix = np.diag([3.0, -5.0, 1.0, 4.0])
    assert copied_columns(matrix, rl.Slices(2, columns=0.5)).tolist() == [False, True, False, True]
    assert copied_columns(matrix, rl.Slices(2, columns=(2,))).tolist() == [False, False, True, False]
    assert copied_columns(matrix, rl.Slices(2, columns=0.01)).sum() == 1


@pytest.mark.parametrize("weight_max", ["layer", "column"])
@pytest.mark.parametrize("columns", [1.0, (0, 3, 5)])
def test_moments_are_those_of_simulated_weights(weight_max, columns):
    net = mlp(20, 10, 6)
    mapping = rl.Mapping(weight_max, slices=rl.Slices(3, columns=columns), clip_percentile=98.0)
    chip = rl.Chip(mapping=mapping)
    drawn = [chip_weights(net, chip, number=n, time_s=DAY)["layer0"] for n in range(400)]
    own = weight_moments(net, chip, time_s=DAY)["layer0"]
    z = (np.mean(drawn, axis=0) - own.mean) / np.sqrt(own.variance / 400)
    assert np.abs(z).max() < 4.5 and z.std() == pytest.approx(1, abs=0.2)
    ratio = np.var(drawn, axis=0).sum(axis=1) / own.variance.sum(axis=1)
    np.testing.assert_allclose(ratio, 1, atol=0.1)


@pytest.mark.parametrize("scheme", ["pair", "offset"])
def test_moments_of_copies_in_one_array_hold_the_expected_factor_of_compensation(scheme):
    net = mlp(20, 10, 6)
    mapping = rl.Mapping(scheme=scheme, slices=rl.Slices(3, combine="current"))
    chip = rl.Chip(mapping=mapping, compensation="global")
    directions = {"layer0": np.eye(200, dtype=np.float32).reshape(200, 10, 20)}
    drawn = RealisedWeights(net, chip, time_s=DAY).along(directions, 0, 400).reshape(400, 10, 20)
    own = weight_moments(net, chip, time_s=DAY)["layer0"]
    slope = (own.mean * drawn.mean(axis=0)).sum() / (own.mean**2).sum()
    assert slope == pytest.approx(1, abs=0.003)


@pytest.mark.parametrize("combine", ["mean", "median", "current"])
def test_levels_of_one_noise_are_chips_of_their_own(combine):
    """A sweep of the noise makes all its levels from the same deviations."""
    net = mlp(20, 10, 6)
    x, labels = inputs_of(net, 8)
    columns = 1.0 if combine == "current" else 0.5
    mapping = rl.Mapping("column", slices=rl.Slices(3, columns=columns, combine=combine))
    chip = rl.Chip(device=GAUSSIAN, mapping=mapping)
    seen: list[np.ndarray] = []

    def keep(z: np.ndarray, _: np.ndarray) -> np.ndarray:
        seen.append(np.array(z))
        return np.zeros(len(z))

    sigmas = [0.05, 0.1]
    rl.simulate(net, (x, labels), chip, vary={"device.sigma": sigmas}, chips=3, metric=keep)
    together = np.stack(seen[-6:]).reshape(3, 2, 8, 6)
    for level, sigma in enumerate(sigmas):
        alone = chip_logits(net, x, replace(chip, device=rl.devices.gaussian(sigma=sigma)), 3)
        np.testing.assert_allclose(together[:, level], alone, atol=2e-5)


@pytest.mark.parametrize("copied", [{"columns": (0, 3)}, {"combine": "current"}], ids=str)
def test_realised_weights_are_those_of_single_chips(copied):
    net = mlp(20, 10, 6)
    chip = rl.Chip(mapping=rl.Mapping("column", slices=rl.Slices(3, **copied)))
    directions = {"layer0": noise(4, 10, 20)}
    found = RealisedWeights(net, chip, time_s=DAY).along(directions, 5, 2)
    for i, number in enumerate((5, 6)):
        own = chip_weights(net, chip, number=number, time_s=DAY)["layer0"]
        expected = (directions["layer0"] * own).sum(axis=(1, 2))
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("copied", [{"columns": 0.5}, {"combine": "current"}], ids=str)
def test_the_analytic_network_agrees_with_copies_and_refuses_votes(copied):
    net = mlp(30, 24, 8)
    data = inputs_of(net, 150)
    mapping = rl.Mapping("column", slices=rl.Slices(2, **copied))
    chip = rl.Chip(
        device=rl.devices.gaussian(sigma=0.1), mapping=mapping, tile=rl.Tile(adc=rl.ADC(6, range=3.0))
    )
    found = rl.AnalyticNetwork(net, data, chip).check()
    assert abs(found.analytic - found.simulated) < 3 * found.error + 0.005
    with pytest.raises(UserError, match="medians of its slices' sums"):
        rl.AnalyticNetwork(net, data, rl.Chip(mapping=slices(3, combine="median"))).accuracy  # noqa: B018


def test_drift_compensation_counts_all_copies_of_a_column_as_one():
    """Without any spread the factor of the layer is that of a chip with one copy of each."""
    matrix = np.ones((10, 40), np.float32)
    # What conducts little drifts most: the factor depends on how columns are weighed.
    matrix[1:] = 0.05
    net = chain((40,), Linear(matrix))
    x, _ = inputs_of(net, 4)
    device = rl.devices.pcm(programming_scale=0, read_scale=0)
    found = []
    for count in (1, 8):
        chip = rl.Chip(device=device, mapping=slices(count, columns=(0,)), compensation="global")
        drawn = rl.draw_latents(net, chip, chips=1, times=(DAY,))
        still = {name: np.zeros_like(z) for name, z in drawn.items()}
        found.append(chip_logits(net, x, chip, 1, time_s=DAY, latents=still, arithmetic="float32"))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: rl.Slices(2, columns=0.0), "slices.columns = 0.0"),
        (lambda: rl.Slices(2, columns=(1, 1)), r"slices.columns = \(1, 1\)"),
        (lambda: rl.Slices(2, fill="max", columns=0.5), "slices.columns = 0.5"),
        (lambda: rl.Slices(2, combine="median"), "slices.count = 2"),
        (lambda: rl.Slices(3, "max", combine="median"), "slices.combine = 'median'"),
        (lambda: rl.Slices(3, combine="mode"), "slices.combine = 'mode'"),
        (lambda: rl.Mapping(scheme="offset", slices=rl.Slices(2, columns=0.5)), "mapping.slices.columns"),
        (lambda: mapped_network(mlp(4, 3), rl.Chip(mapping=slices(2, columns=(3,)))), "names column 3"),
        (lambda: Redundancy(3).apply(rl.Chip(), "fc2"), r"layers = 'fc2' must be a list .* \['fc2'\]"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(UserError, match=says):
        make()


# ---- cures


@pytest.fixture(scope="module")
def digits():
    return rl.load_network("digits-mlp"), rl.load_dataset("digits", split="train").head(300)


def test_gains_of_columns_are_derivatives_of_the_analytic_accuracy(digits):
    """More noise on one column, by a little: the accuracy falls as its gain says."""
    net, train = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.12))
    gains = column_gains(net, train, chip)
    table = rl.AnalyticNetwork(net, train, chip).layer_table().set_index("layer")
    for name, own in gains.items():
        assert own.sum() == pytest.approx(-table.loc[name, "slope"], rel=1e-6)
    # One column of two copies has half the variance: ln 2 less, to first order.
    name = net.weighted[-1].name
    column = int(np.argmax(gains[name]))
    cured = copies(chip, 2, {name: [column]})
    more = rl.AnalyticNetwork(net, train, cured).accuracy - rl.AnalyticNetwork(net, train, chip).accuracy
    # The gain at the margin shrinks as the column's variance does.
    lower, upper = 0.5 * gains[name][column], np.log(2) * gains[name][column]
    assert lower < more * 1.02 and more < 1.1 * upper


@pytest.mark.parametrize("of", ["columns", "layers"])
def test_what_is_copied_gains_most_for_its_cells(digits, of):
    net, train = digits
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.12))
    found = find_redundancy(net, train, chip, count=3, share=0.2, of=of)
    table = found.table
    rate = table["value"] / table["cells"]
    assert rate.is_monotonic_decreasing
    before, after = (
        {name: c.devices for name, c in crossbars_of(net, own).items()} for own in (chip, found.chip)
    )
    chosen = table[table["chosen"]].groupby("layer")["cells"].sum()
    assert sum(chosen) <= 0.2 * sum(before.values()) or len(chosen) == 1
    for name, cells in before.items():
        assert after[name] == cells + 2 * int(chosen.get(name, 0))
    # It beats as many copies of the columns that gain least.
    if of == "columns":
        least = table[::-1][table[::-1]["cells"].cumsum() <= 0.2 * table["cells"].sum()]
        other = copies(chip, 3, {str(n): sorted(own["column"]) for n, own in least.groupby("layer")})
        best, worst = (rl.AnalyticNetwork(net, train, own).accuracy for own in (found.chip, other))
        assert best > worst + 0.005


def test_copies_are_refused_where_weights_are_cut_otherwise():
    chip = rl.Chip(mapping=slices(4, fill="digits"))
    for cure in (Redundancy(2), Vote(3)):
        with pytest.raises(UserError, match="copies are made only of weights"):
            cure.apply(chip)
    voting = Vote(5).apply(rl.Chip(), ["last"])
    assert voting.layers["last"].mapping.slices == rl.Slices(5, combine="median")
    assert Redundancy(4, 0.25).apply(rl.Chip()).mapping.slices == rl.Slices(4, columns=0.25)


# ---- the study


@pytest.fixture(scope="module")
def studied():
    _, study = load_study("redundancy")
    study = replace(study, chips=60, inputs=200, analysis=Copies(counts=(1, 2, 4), training_inputs=200))
    network, data = study.load()
    setting = study.setting(network, data, threads=1)
    return setting, study.analysis.answer(setting)


def test_the_study_compares_the_same_chips(studied):
    setting, answer = studied
    accuracy = answer.tables["accuracy"]
    own = accuracy[(accuracy["copied"] == "all layers") & (accuracy["count"] == 4)].set_index("estimand")
    one, four = (
        rl.simulate(setting.network, setting.dataset, Redundancy(k).apply(setting.chip), chips=60)["accuracy"]
        for k in (1, 4)
    )
    assert own.loc["mean", "value"] == pytest.approx(four.mean())
    assert own.loc["difference", "value"] == pytest.approx((four - one).mean())
    assert own.loc["difference", "low"] < own.loc["difference", "value"] < own.loc["difference", "high"]
    # The pairing narrows it.
    assert own.loc["difference", "high"] - own.loc["difference", "low"] < 4.5 * four.std() / np.sqrt(60) * 2
    assert own["cells"].unique() == 4 * 2 * (64 * 64 + 10 * 64)
    assert {"value", "low", "high", "level", "method", "varies"} <= set(accuracy.columns)


def test_the_studys_errors_follow_their_law(studied):
    errors = studied[1].tables["errors"]
    assert list(errors["count"]) == [1, 2, 4] * 2
    np.testing.assert_allclose(errors["value"], errors["law"], rtol=0.03)
    assert (errors["law_bias"] > 0.3 * errors["law"]).all()


def test_the_studys_figure_and_text(studied):
    _, answer = studied
    figure = answer.draw()
    left, right = figure.axes
    assert len(left.containers) == 3 and len(right.containers) == 2
    assert "most sensitive columns" in answer.text
    assert max(map(len, answer.text.splitlines())) <= 100


def test_the_study_says_what_it_cannot_rank(studied):
    setting, _ = studied
    chip = replace(setting.chip, variation=rl.Variation(cell=0.05))
    small = replace(setting, chip=chip, chips=8, dataset=setting.dataset.head(50))
    answer = Copies(counts=(1, 2), training_inputs=50).answer(small)
    assert "No layers or columns were ranked" in answer.text and "ranks" not in answer.tables
    assert set(answer.tables["accuracy"]["copied"]) == {"all layers", "columns of largest norm"}
    assert answer.tables["errors"]["law"].isna().all()
    answer.draw()
