"""Repair of broken cells: against all permutations, closed forms, and digital networks with its weights."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from effects_chip import layer_of, network_of
from naive_repair import fault_map, least_error, tile_errors, tile_weights
from scipy import stats
from small_networks import chain, chip_logits, inputs_of, mlp, noise
from test_tiles import convolutional

import reliability as rl
from reliability.calibration import find_ranges, input_powers, pulses_of
from reliability.crossbar import Crossbar, chip_network, crossbars_of, rolled
from reliability.errors import UserError
from reliability.kernels.layout import Workspace
from reliability.kernels.repair import CORRECT, DIGITS, KEEP, REPAIR, RESET, row_costs
from reliability.layers import Conv2d, Linear, windows
from reliability.moments import weight_moments
from reliability.network import Network
from reliability.plan import compile_plan
from reliability.realisation import RealisedWeights
from reliability.repair import Repair
from reliability.simulation import Simulation

DEVICE = rl.devices.ideal(g_max_us=10.0, g_min_us=1.0)
STUCK = rl.Faults(stuck_low=0.1, stuck_high=0.2)
EVERYTHING = rl.Faults(
    stuck_low=0.05, stuck_high=0.1, cluster_share=0.05, cluster_radius=1.0, open_rows=0.05, open_columns=0.05,
    cycles=3e7, endurance_cycles=1e8,
)  # fmt: skip
REPAIRS = {
    "in_pair": Repair(in_pair=True),
    "remap": Repair(remap_rows=True),
    "rows": Repair(spare_rows=0.4),
    "columns": Repair(spare_columns=0.4),
    "all": Repair(in_pair=True, remap_rows=True, spare_rows=0.2, spare_columns=0.2, digital=0.1),
    "digital": Repair(digital="faulty"),
}


def outcomes(net: Network, chip: rl.Chip, number: int = 0, seed: int = 0, powers=None):
    """What the repair of each layer of one chip came to."""
    x = np.zeros((1, *net.input_shape), np.float32)
    plan = compile_plan(net, x, np.zeros(1, np.int64), chip, seed=seed, powers=powers)
    assert plan.maps is not None
    return plan.maps.outcomes(number, Workspace(*(array[0] for array in plan.workspaces(1))))


def with_weights(net: Network, chip: rl.Chip, weights: dict[str, np.ndarray]) -> Network:
    """The digital network with the matrices that a chip holds."""
    nodes = []
    for node in net.nodes:
        found = crossbars_of(net, chip).get(node.name)
        if found is not None and found.settings.analog:
            assert isinstance(node.layer, Linear | Conv2d)
            matrix, bias = weights[node.name], node.layer.bias
            if found.bias_row:
                matrix, bias = matrix[:, :-1], matrix[:, -1]
            node = replace(
                node, layer=replace(node.layer, weight=rolled(matrix, node.layer, found.source), bias=bias)
            )
        nodes.append(node)
    return replace(net, nodes=tuple(nodes))


def total_error(net: Network, chip: rl.Chip, **options) -> float:
    """Sum of squared weight errors, in units of weight."""
    found = rl.chip_weights(net, chip, **options)
    wanted = {name: c.mapped.matrix for name, c in crossbars_of(net, chip).items()}
    return sum(float(((found[name] - wanted[name]) ** 2).sum()) for name in found)


@pytest.mark.parametrize("in_pair", [False, True])
@pytest.mark.parametrize(
    ("remap", "spare_rows"), [(True, 0.0), (False, 0.4), (True, 0.2)], ids=["remap", "spares", "both"]
)
def test_rows_stand_where_no_permutation_is_better(in_pair, remap, spare_rows):
    """Tiles of 5 x 3 of a layer of 10 x 5 weights; the last tile across has two columns."""
    weights = noise(5, 10, seed=3)
    net = network_of(weights)
    repair = Repair(in_pair=in_pair, remap_rows=remap, spare_rows=spare_rows)
    chip = rl.Chip(device=DEVICE, tile=rl.Tile(rows=5, columns=3), faults=STUCK, repair=repair)
    wanted = weights.astype(np.float64) * 9 / np.abs(weights).max()
    spares = round(spare_rows * 5)
    for number in range(3):
        own, beside = (fault_map(chip, "fc", weights.shape, number, 8, of) for of in ("", "spare_rows"))
        found = rl.chip_weights(net, chip, number=number, seed=8)["fc"] * 9 / np.abs(weights).max()
        for first, row in itertools.product((0, 3), (0, 5)):
            here = np.s_[first : first + 3, row : row + 5]
            cells = np.concatenate([own[:, *here], beside[:, first : first + 3, row : row + spares]], axis=2)
            cost = tile_errors(wanted[here], cells, DEVICE, in_pair=in_pair, power=np.ones(5))
            reached = ((found[here] - wanted[here]) ** 2).sum()
            assert reached == pytest.approx(least_error(cost, remap), rel=1e-4, abs=1e-5)


def test_without_moves_every_weight_is_the_twins():
    weights = noise(13, 41, seed=4)
    for in_pair in (False, True):
        chip = rl.Chip(device=DEVICE, faults=STUCK, repair=Repair(in_pair=in_pair))
        cells = fault_map(chip, "fc", weights.shape, 2, 0)
        wanted = weights.astype(np.float64) * 9 / np.abs(weights).max()
        found = rl.chip_weights(network_of(weights), chip, number=2)["fc"] * 9 / np.abs(weights).max()
        np.testing.assert_allclose(found, tile_weights(wanted, cells, DEVICE, in_pair), atol=1e-5)


def test_errors_weighed_by_their_inputs_are_smallest():
    weights, power = noise(3, 6, seed=5), np.array([[0.01, 4.0, 0.0, 1.0, 9.0, 0.3]])
    repair = Repair(remap_rows=True, in_pair=True, weigh_inputs=True)
    chip = rl.Chip(device=DEVICE, faults=STUCK, repair=repair)
    wanted = weights.astype(np.float64) * 9 / np.abs(weights).max()
    for number in range(5):
        cells = fault_map(chip, "fc", weights.shape, number, 0)
        cost = tile_errors(wanted, cells, DEVICE, in_pair=True, power=power[0])
        found = outcomes(network_of(weights), chip, number, powers={"fc": power})["fc"]
        scale = (np.abs(weights).max() / 9) ** 2
        assert found.after == pytest.approx(scale * least_error(cost, True), rel=1e-4, abs=1e-6)


def test_spare_columns_and_rows_together_come_near_the_best_of_all_placements():
    """Rows and columns in turns: at least as good as either alone, and seldom worse than the joint best."""
    weights, hits = noise(3, 4, seed=6), 0
    wanted = weights.astype(np.float64) * 9 / np.abs(weights).max()
    chip = rl.Chip(device=DEVICE, faults=STUCK)
    for number in range(12):
        maps = [
            fault_map(chip, "fc", weights.shape, number, 0, of)
            for of in ("", "spare_rows", "spare_columns", "spare_corner")
        ]
        cells = np.block([[maps[0], maps[1][:, :, :1]], [maps[2][:, :1], maps[3][:, :1, :1]]])
        best = np.inf
        for columns in itertools.product((0, 3), (1, 3), (2, 3)):
            if columns.count(3) < 2:
                cost = tile_errors(wanted, cells[:, list(columns)], DEVICE, in_pair=False, power=np.ones(4))
                best = min(best, least_error(cost, True))
        scale = (np.abs(weights).max() / 9) ** 2
        errors = {}
        for rows, spare in itertools.product((0.0, 0.25), (0.0, 0.3)):
            repair = Repair(remap_rows=rows > 0, spare_rows=rows, spare_columns=spare)
            if repair.is_on:
                found = outcomes(network_of(weights), replace(chip, repair=repair), number)
                errors[rows, spare] = found["fc"].after / scale
        both = errors[0.25, 0.3]
        assert both <= min(errors.values()) + 1e-4
        assert both >= best - 1e-4
        hits += both <= best * (1 + 1e-4) + 1e-6
    assert hits >= 8


@pytest.mark.parametrize("scheme", ["pair", "offset"])
def test_spare_rows_suffice_with_the_binomial_probability(scheme):
    """64 word lines and two spare ones, each open with 1 %: 0.9713023 of the tiles need no more."""
    open_rows, tiles = 0.01, 1500
    if scheme == "pair":
        # Both devices of a weight have word lines of their own, and both must work.
        open_rows = 1 - np.sqrt(1 - open_rows)
    chip = rl.Chip(
        # An empty device of a pair conducts something, so that its open word line shows too.
        device=rl.devices.ideal(g_max_us=10.0, g_min_us=1.0),
        mapping=rl.Mapping(scheme=scheme, weight_max=1.0),
        tile=rl.Tile(rows=64, columns=1),
        faults=rl.Faults(open_rows=float(open_rows)),
        repair=Repair(spare_rows=2 / 64),
    )
    w = rl.chip_weights(layer_of(15, 64 * tiles // 15, 0.5), chip)["fc"]
    whole = np.isclose(w, 0.5, atol=1e-5).reshape(15, -1, 64).all(axis=2)
    expected = stats.binom.cdf(2, 66, 0.01)
    assert expected == pytest.approx(0.9713023, abs=5e-8)
    assert whole.size == tiles
    assert abs(whole.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / tiles)


def test_a_spare_row_does_not_mend_an_open_bit_line_and_a_spare_column_does():
    base = rl.Chip(
        device=rl.devices.ideal(g_max_us=10.0),
        mapping=rl.Mapping(weight_max=1.0),
        tile=rl.Tile(rows=8, columns=10),
        faults=rl.Faults(open_columns=0.05),
    )
    net = layer_of(20, 32, 1.0)
    plain, rows, columns = (
        rl.chip_weights(net, replace(base, repair=repair))["fc"]
        for repair in (Repair(), Repair(remap_rows=True, spare_rows=0.5), Repair(spare_columns=1.0))
    )
    assert (plain == 0).any() and (rows == plain).all()
    assert (columns == 1).all()


def test_in_pair_correction_leaves_what_the_states_of_a_pair_say():
    """A weight w > 0: nothing is left of a fault unless G+ is stuck at high or G- at low resistance."""
    low, high, w = 0.02, 0.08, 0.4
    chip = rl.Chip(
        device=rl.devices.ideal(g_max_us=10.0),
        mapping=rl.Mapping(weight_max=1.0),
        faults=rl.Faults(stuck_low=low, stuck_high=high),
        repair=Repair(in_pair=True),
    )
    found = rl.chip_weights(layer_of(1000, 1000, w), chip)["fc"].round(5)
    works = 1 - low - high
    expected = {
        # Held by the healthy cells exactly: all but the states below.
        w: works**2 + works * high + low * works,
        # G+ at high resistance and G- healthy: 0 is nearest. G- at low resistance and G+ healthy: 0 again.
        0.0: high * works + works * low + low * low + high * high,
        1.0: low * high,
        -1.0: high * low,
    }
    assert sum(expected.values()) == pytest.approx(1)
    for value, share in expected.items():
        count = int((found == np.float32(value).round(5)).sum())
        assert abs(count - found.size * share) < 4 * np.sqrt(found.size * share * (1 - share)), value


def test_a_broken_reference_is_met_by_the_devices_of_its_row():
    """Middle 5 uS; a reference stuck at 0 lets weights down to 0 be held, one at 10 weights up to 0."""
    mapping = rl.Mapping(scheme="offset", weight_max=1.0)
    for state, value, reached in (
        ("stuck_high", 0.6, 0.6),
        ("stuck_low", 0.6, 0.0),
        ("stuck_low", -0.6, -0.6),
    ):
        chip = rl.Chip(device=rl.devices.ideal(g_max_us=10.0), mapping=mapping, repair=Repair(in_pair=True))
        chip = replace(chip, faults=rl.Faults(**{state: 0.02}))
        plain = rl.chip_weights(layer_of(6, 4000, value), replace(chip, repair=Repair()))["fc"]
        found = rl.chip_weights(layer_of(6, 4000, value), chip)["fc"]
        # A broken reference moves the whole row; rows with one broken column are its own matter.
        moved = (np.abs(plain - value) > 0.1).all(axis=0)
        assert moved.sum() > 40
        assert np.isclose(found[:, moved], reached, atol=1e-5).mean() > 0.95


@pytest.mark.parametrize("pair", [True, False])
@pytest.mark.parametrize(("slices", "bits"), [(1, 3), (2, 2), (3, 2), (4, 1)])
def test_digits_are_set_anew_as_well_as_any_digits(pair, slices, bits):
    """Against every choice of every working cell's level."""
    rng = np.random.default_rng((slices, bits, pair))
    base, g_min, span = 1 << bits, 1.0, 10.0
    place = base ** np.arange(slices - 1, -1, -1)
    significance = (place * (base - 1) / (base**slices - 1)).astype(np.float32)
    levels = g_min + span * np.arange(base) / (base - 1)
    middle = (base**slices // 2 // place) % base
    references = (np.zeros(slices) if pair else levels[middle]).astype(np.float32)
    how = np.array([(DIGITS, slices, pair, g_min, span, span / (base - 1))], REPAIR)
    for _ in range(150):
        code = rng.integers(1 - base**slices, base**slices) if pair else rng.integers(1, base**slices)
        digits = np.sign(code) * (abs(code) // place % base) if pair else code // place % base - middle
        nominal = (digits * span / (base - 1)).astype(np.float32).reshape(1, slices, 1)
        wanted = np.float32([[(significance * nominal[0, :, 0]).sum()]])
        a, b = rng.choice([-1, g_min, g_min + span], (2, slices, 1, 1), p=[0.7, 0.2, 0.1]).astype(np.float32)
        choices = []
        for s in range(slices):
            plus = levels if a[s, 0, 0] < 0 else a[s, 0]
            minus = b[s, 0] if b[s, 0, 0] >= 0 else levels if pair else references[s : s + 1]
            choices.append(np.unique(np.subtract.outer(plus, minus)))
        best = min(
            abs(wanted[0, 0] - sum(f * h for f, h in zip(significance, own, strict=True)))
            for own in itertools.product(*choices)
        )
        error = np.sqrt(_cost(how, significance, a, b, references, nominal, wanted))
        assert error == pytest.approx(best, abs=float(2e-4 * significance[-1] * span))


def _cost(how, significance, a, b, references, nominal, wanted) -> float:
    """Squared error of one weight."""
    slices, cost = len(significance), np.empty((1, 1))
    scratch = (
        np.empty((2, slices), np.float32),
        np.empty((2 * slices, 1), np.float32),
        np.empty((2, 1), np.float32),
    )
    row_costs(how, significance, a, b, references, nominal, wanted, np.ones(1, np.float32), *scratch, cost)
    return float(cost[0, 0])


def test_other_slices_take_what_a_broken_one_cannot_hold():
    """Three equal slices of pairs: the sum is exact as long as the reach of the working cells covers it."""
    how = np.array([(RESET, 3, 1, 0.0, 10.0, 0.0)], REPAIR)
    significance = np.full(3, 1 / 3, np.float32)
    works = np.full((3, 1, 1), -1, np.float32)
    for h, stuck in itertools.product((-9.0, -2.0, 0.0, 5.0, 9.0), (0.0, 10.0)):
        a = works.copy()
        a[1] = stuck
        low, high = (-10 - 10 - 10 + stuck) / 3, (10 + 10 + stuck) / 3
        nominal = np.full((1, 3, 1), h, np.float32)
        cost = _cost(how, significance, a, works, np.zeros(3, np.float32), nominal, np.float32([[h]]))
        expected = max(low - h, h - high, 0) ** 2
        assert cost == pytest.approx(expected, rel=1e-4, abs=1e-9)
    how["rule"] = KEEP
    cost = _cost(how, significance, a, works, np.zeros(3, np.float32), nominal, np.float32([[h]]))
    assert cost == pytest.approx(((10 - 9) / 3) ** 2, rel=1e-4)


def test_correcting_slices_are_foreseen():
    """The second slice makes up for what a stuck first one misses, as far as it reaches."""
    how = np.array([(CORRECT, 2, 1, 0.0, 10.0, 0.0)], REPAIR)
    significance = np.float32([0.8, 0.2])
    works = np.full((2, 1, 1), -1, np.float32)
    a = works.copy()
    a[0] = 0.0
    nominal = np.float32([[[4.0], [0.0]]])
    cost = _cost(how, significance, a, works, np.zeros(2, np.float32), nominal, np.float32([[3.2]]))
    assert cost == pytest.approx((3.2 - 0.2 * 10) ** 2, rel=1e-5)


@pytest.mark.parametrize("fill", ["equal", "max", "corrected", "digits"])
@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("name", list(REPAIRS))
def test_predicted_errors_are_those_of_the_weights(fill, scheme, name):
    """With ideal devices what is foreseen is what the kernels make, and never more than without a repair."""
    net, repair = mlp(11, 7, 5), REPAIRS[name]
    if fill == "corrected" and (scheme == "offset" or repair.in_pair):
        pytest.skip("refused")
    slices = rl.Slices(count=2, fill=fill, base=1.0 if fill in ("equal", "digits") else 4.0, bits=3)
    chip = rl.Chip(
        device=DEVICE,
        mapping=rl.Mapping(scheme=scheme, slices=slices, bias="devices"),
        tile=rl.Tile(rows=5, columns=3),
        faults=EVERYTHING,
        repair=repair,
    )
    for number in range(2):
        found = outcomes(net, chip, number)
        after = total_error(net, chip, number=number)
        assert sum(o.after for o in found.values()) == pytest.approx(after, rel=2e-3, abs=2e-4)
        before = total_error(net, replace(chip, repair=Repair()), number=number)
        assert sum(o.before for o in found.values()) == pytest.approx(before, rel=2e-3, abs=2e-4)
        assert after <= before * (1 + 1e-5)
        assert sum(o.faulty for o in found.values()) > 10


def test_more_spares_never_leave_more_errors():
    net = mlp(30, 20, 10)
    chip = rl.Chip(device=DEVICE, tile=rl.Tile(rows=16, columns=8), faults=STUCK)
    for remap, number in itertools.product((False, True), range(3)):
        errors = [
            total_error(net, replace(chip, repair=Repair(remap_rows=remap, spare_rows=share)), number=number)
            for share in (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
        ]
        assert (np.diff(errors) <= 1e-5).all() and errors[-1] < 0.7 * errors[0]
        errors = [
            total_error(net, replace(chip, repair=Repair(spare_columns=share)), number=number)
            for share in (0.0, 0.1, 0.2, 0.5, 1.0)
        ]
        assert (np.diff(errors) <= 1e-5).all() and errors[-1] < 0.9 * errors[0]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", ["digital", "devices"])
@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("name", list(REPAIRS))
def test_logits_are_those_of_the_weights(groups, bias, scheme, name):
    net = convolutional(groups)
    chip = rl.Chip(
        device=rl.devices.gaussian(sigma=0.05),
        mapping=rl.Mapping(scheme=scheme, bias=bias),
        tile=rl.Tile(rows=7, columns=4),
        faults=EVERYTHING,
        repair=REPAIRS[name],
    )
    x, _ = inputs_of(net, 21)
    found = chip_logits(net, x, chip, 2)
    for number in range(2):
        expected = with_weights(net, chip, rl.chip_weights(net, chip, number=number, inputs=21)).forward(x)
        np.testing.assert_allclose(found[number], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_digital_corrections_take_inputs_that_no_converter_has_rounded():
    """One layer behind a coarse DAC and ADC: the array's own sums, and exact inputs times what is stored."""
    net = chain((12,), Linear(noise(7, 12), noise(7, seed=2)))
    tile = rl.Tile(rows=5, columns=4, dac=rl.DAC(bits=3, range=2.0), adc=rl.ADC(bits=12, range=20.0))
    chip = rl.Chip(device=DEVICE, tile=tile, faults=STUCK, repair=Repair(digital="faulty"))
    x, _ = inputs_of(net, 40)
    found = chip_logits(net, x, chip, 1, arithmetic="float32")[0]
    crossbar: Crossbar = crossbars_of(net, chip)["layer0"]
    ranges = find_ranges(net, chip, None, negative=True)["layer0"]
    ((driven, _),) = pulses_of(crossbar, x, ranges)
    held = rl.chip_weights(net, replace(chip, repair=Repair()))["layer0"]
    words = crossbar.matrix - held
    assert (words != 0).sum() > 10
    expected = driven @ held.T + x @ words.T + net.nodes[0].layer.bias
    # Three tiles of rows, each rounded to half a step of 20 / 2047.
    assert np.abs(found - expected).max() < 3 * 0.5 * 20 / 2047 + 1e-4
    assert np.abs(driven @ crossbar.matrix.T - x @ crossbar.matrix.T).max() > 0.1


def test_a_compensation_rescales_the_array_and_not_what_is_stored():
    net = chain((30,), Linear(noise(6, 30)))
    device = rl.devices.pcm(programming_scale=0.0, read_scale=0.0)
    chip = rl.Chip(device=device, faults=STUCK, compensation="global")
    x, _ = inputs_of(net, 25)
    time_s = 1e6
    plain = chip_logits(net, x, chip, 1, time_s=time_s)[0]
    found = chip_logits(net, x, replace(chip, repair=Repair(digital=0.1)), 1, time_s=time_s)[0]
    fixed = replace(chip, compensation="none", device=rl.devices.ideal(g_max_us=25.0))
    held = [rl.chip_weights(net, replace(fixed, repair=r))["layer0"] for r in (Repair(digital=0.1), Repair())]
    words = held[0] - held[1]
    assert (np.abs(words) > 1e-6).sum() == 18
    np.testing.assert_allclose(found, plain + x @ words.T, rtol=0, atol=1e-4 * np.abs(plain).max())
    # Both in one sweep: a group of their own each.
    vary = {"compensation": ["none", "global"]}
    repaired = replace(chip, repair=Repair(digital=0.1))
    labels = np.zeros(len(x), np.int64)
    sweep = rl.simulate(net, (x, labels), repaired, vary=vary, chips=3, time_s=time_s)
    for how in ("none", "global"):
        alone = rl.simulate(net, (x, labels), replace(repaired, compensation=how), chips=3, time_s=time_s)
        assert list(sweep[sweep["compensation"] == how]["checksum"]) == list(alone["checksum"])


def test_the_largest_errors_are_stored():
    net = mlp(20, 15)
    chip = rl.Chip(device=DEVICE, faults=STUCK)
    crossbar = crossbars_of(net, chip)["layer0"]
    plain = crossbar.mapped.matrix - rl.chip_weights(net, chip)["layer0"]
    for share, count in ((0.05, 15), (0.2, 60)):
        repair = Repair(digital=share)
        fixed = crossbar.mapped.matrix - rl.chip_weights(net, replace(chip, repair=repair))["layer0"]
        stored = np.abs(fixed - plain) > 1e-6
        assert stored.sum() == count == outcomes(net, replace(chip, repair=repair))["layer0"].words
        assert np.abs(fixed[stored]).max() < 1e-5
        assert np.abs(plain[stored]).min() >= np.abs(plain[~stored]).max() - 1e-6
    everything = outcomes(net, replace(chip, repair=Repair(digital="faulty")))["layer0"]
    assert everything.words == (np.abs(plain) > 1e-5).sum() and everything.after < 1e-12


def test_healthy_weights_keep_their_draws():
    """Which weights a repair leaves alone, they are the same to the last bit."""
    net = mlp(40, 30)
    chip = rl.Chip(device=rl.devices.gaussian(g_max_us=10.0, sigma=0.05), faults=STUCK)
    ideal = rl.chip_weights(net, replace(chip, device=DEVICE, faults=rl.Faults()))["layer0"]
    whole = rl.chip_weights(net, replace(chip, faults=rl.Faults()))["layer0"]
    for repair in (Repair(), *REPAIRS.values()):
        own = replace(chip, repair=repair)
        found = rl.chip_weights(net, own)["layer0"]
        spoilt = np.abs(rl.chip_weights(net, replace(own, device=DEVICE))["layer0"] - ideal) > 1e-6
        healthy = found == whole
        assert healthy.mean() > 0.3 and not (healthy & spoilt).any()


@pytest.mark.parametrize("name", ["in_pair", "all"])
def test_threads_and_blocks_change_no_bit(name):
    net = mlp(30, 20, 6)
    x, labels = inputs_of(net, 33)
    chip = rl.Chip(
        device=rl.devices.gaussian(sigma=0.05),
        tile=rl.Tile(rows=12, columns=8),
        faults=STUCK,
        repair=REPAIRS[name],
    )
    whole = Simulation(net, (x, labels), chip, threads=1).block(0, 0, 12)
    for threads, parts in ((3, [(0, 12)]), (1, [(0, 5), (5, 7)]), (2, [(7, 5), (0, 7)])):
        simulation = Simulation(net, (x, labels), chip, threads=threads)
        for first, count in parts:
            block = simulation.block(0, first, count)
            np.testing.assert_array_equal(block.checksums, whole.checksums[first : first + count])


def test_a_repair_of_nothing_changes_no_bit():
    net = mlp(30, 20, 6)
    data = inputs_of(net, 33)
    for faults, repair in ((rl.Faults(), REPAIRS["all"]), (STUCK, Repair(weigh_inputs=True))):
        chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05), faults=faults)
        plain, own = (rl.simulate(net, data, c, chips=5) for c in (chip, replace(chip, repair=repair)))
        assert plain.equals(own)


def test_input_powers_are_mean_squares_of_what_the_rows_read():
    net = convolutional(2)
    chip = rl.Chip(mapping=rl.Mapping(bias="devices"))
    x = noise(50, *net.input_shape, seed=9)
    found = input_powers(net, chip, x)
    crossbar = crossbars_of(chip_network(net, chip), chip)["c1"]
    window = crossbar.window
    patches = windows(x, window.kernel, window.stride, window.padding, window.dilation, 0.0)
    for group in range(2):
        own = patches[:, 2 * group : 2 * group + 2].transpose(0, 2, 3, 4, 5, 1).reshape(-1, 18)
        np.testing.assert_allclose(found["c1"][group], [*(own**2).mean(axis=0), 1.0], rtol=1e-5)


def test_a_chip_file_can_hold_a_repair_of_one_layer(tmp_path):
    path = tmp_path / "repaired.toml"
    path.write_text(
        "[repair]\nin_pair = true\ndigital = 0.02\n"
        '[layers.last.repair]\ndigital = "faulty"\nspare_rows = 0.1\n'
    )
    chip = rl.load_chip(path)
    assert chip.repair == Repair(in_pair=True, digital=0.02)
    assert chip.layers["last"].repair == Repair(digital="faulty", spare_rows=0.1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("in_pair", 1), ("spare_rows", 1.5), ("spare_columns", -0.1), ("digital", "all"), ("digital", 2.0)],
)
def test_wrong_fields_are_named(field, value):
    with pytest.raises(UserError, match=f"repair.{field}"):
        Repair(**{field: value})


def test_what_has_no_meaning_is_refused():
    net = mlp(6, 4)
    base = rl.Chip(device=DEVICE, faults=STUCK)
    corrected = rl.Mapping(slices=rl.Slices(count=2, fill="corrected", base=4.0))
    wires = rl.Tile(wires=rl.Wires(word_ohm=1.0, bit_ohm=1.0))
    for chip, words in (
        (replace(base, mapping=corrected, repair=Repair(in_pair=True)), "make up for broken cells while"),
        (
            replace(base, mapping=replace(corrected, scheme="offset"), repair=Repair(digital=0.1)),
            "no repair is",
        ),
        (replace(base, tile=wires, repair=Repair(spare_rows=0.1)), "in their own places"),
        (replace(base, repair=Repair(remap_rows=True, weigh_inputs=True)), "mean squares of inputs"),
    ):
        with pytest.raises(UserError, match=words):
            rl.chip_weights(net, chip)


def test_the_analytic_network_knows_in_pair_correction():
    """Mean and variance of every weight over chips, against 3000 of them."""
    net = network_of(np.linspace(-1, 1, 15).reshape(3, 5))
    chip = rl.Chip(
        device=rl.devices.gaussian(g_max_us=10.0, g_min_us=1.0, sigma=0.03),
        faults=rl.Faults(stuck_low=0.05, stuck_high=0.15, cycles=2e7),
        repair=Repair(in_pair=True),
    )
    chips = 3000
    each = {"fc": np.eye(15, dtype=np.float32).reshape(15, 3, 5)}
    found = RealisedWeights(net, chip).along(each, 0, chips).reshape(chips, 3, 5)
    expected = weight_moments(net, chip)["fc"]
    error = np.sqrt(expected.variance / chips)
    assert (np.abs(found.mean(axis=0) - expected.mean) < 4.5 * error).all()
    fourth = ((found - found.mean(axis=0)) ** 4).mean(axis=0)
    error = np.sqrt((fourth - expected.variance**2) / chips)
    assert (np.abs(found.var(axis=0) - expected.variance) < 4.5 * error + 1e-6).all()
    plain = weight_moments(net, replace(chip, repair=Repair()))["fc"]
    assert (plain.variance > expected.variance).all()
    assert plain.variance.mean() > 1.3 * expected.variance.mean()


def test_the_analytic_network_refuses_other_repairs():
    net = mlp(6, 4)
    chip = rl.Chip(device=DEVICE, faults=STUCK)
    sliced = rl.Mapping(slices=rl.Slices(count=2, fill="max", base=4.0))
    for own in (
        replace(chip, repair=Repair(remap_rows=True)),
        replace(chip, repair=Repair(in_pair=True, spare_rows=0.1)),
        replace(chip, repair=Repair(digital=0.1)),
        replace(chip, repair=Repair(in_pair=True), mapping=sliced),
    ):
        with pytest.raises(UserError, match=r"knows repair\.in_pair of pairs without"):
            weight_moments(net, own)
    whole = replace(chip, faults=rl.Faults(), repair=Repair(remap_rows=True))
    assert (weight_moments(net, whole)["layer0"].variance == 0).all()


def test_realised_weights_are_those_of_repaired_chips():
    net = mlp(9, 6)
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05), faults=STUCK, repair=Repair(in_pair=True))
    direction = noise(2, 6, 9)
    found = RealisedWeights(net, chip).along({"layer0": direction}, 3, 4)
    for i in range(4):
        weights = rl.chip_weights(net, chip, number=3 + i)["layer0"]
        np.testing.assert_allclose(found[i], (direction * weights).sum(axis=(1, 2)), rtol=1e-4, atol=1e-5)
