"""Which layer and which effect is to blame: closed forms of a linear network, exact sums, others' draws."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from linear_network import LinearNetwork
from shared_data import shared_folder
from small_networks import inputs_of, mlp
from test_effects import EVERYTHING

import reliability as rl
from reliability.analyses.layer_sensitivity import LayerSensitivity
from reliability.analysis import Setting
from reliability.cell_records import _VARIATION, FAULT_DRAWS
from reliability.latents import seed_of
from reliability.layers import Linear
from reliability.moments import weight_moments
from reliability.network import Network, Node
from reliability.plots.layer_sensitivity import sensitivity_dots, unresolved
from reliability.sensitivity import (
    DROP,
    MEASURES,
    Estimate,
    Measure,
    Run,
    measure_sensitivity,
    question_of,
    runs_of,
)
from reliability.sensitivity.draws import DRAWS
from reliability.simulation import Simulation
from reliability.study import main

matplotlib.use("Agg")


def digits(chip: rl.Chip | None = None, chips: int = 40, inputs: int = 100, **options) -> Setting:
    return Setting(
        rl.load_network("digits-mlp"),
        rl.load_dataset("digits").head(inputs),
        rl.Chip(device=rl.devices.gaussian(sigma=0.1)) if chip is None else chip,
        chips=chips,
        calibration=lambda: rl.load_dataset("digits", split="train"),
        **options,
    )


def values_of(found: pd.DataFrame, measure: str, column: str = "value") -> np.ndarray:
    return found.loc[found["measure"] == measure, column].to_numpy()


def checksums(seeds=None, chip: rl.Chip = EVERYTHING, seed: int = 3) -> np.ndarray:
    setting = digits(chip, inputs=30)
    simulation = Simulation(
        setting.network,
        setting.dataset,
        chip,
        time_s=3600.0,
        seed=seed,
        seeds=seeds,
        calibration=setting.calibration,
    )
    return simulation.block(0, 0, 4).checksums.ravel()


# Draws of other chips


def test_all_draws_from_another_seed_are_that_seeds_chips():
    assert (checksums({("*", "*"): 8}) == checksums(seed=8)).all()
    everywhere = {(layer, "*"): 8 for layer in ("fc1", "fc2", "")}
    assert (checksums(everywhere) == checksums(seed=8)).all()
    assert (checksums({}) == checksums()).all()


@pytest.mark.parametrize("at", [("fc1", "*"), ("fc2", "*"), ("", "die"), ("*", "drift"), ("fc1", "drift")])
def test_each_draw_can_come_from_another_seed(at):
    assert (checksums({at: 8}) != checksums()).all()


def test_a_layers_draws_move_no_other_layer():
    only = {name: replace(EVERYTHING, layers={name: rl.LayerChip(analog=False)}) for name in ("fc1", "fc2")}
    both = {("fc2", "*"): 8, ("", "*"): 8}
    assert (checksums({("fc2", "*"): 8}, only["fc2"]) == checksums(chip=only["fc2"])).all()
    assert (checksums(both, only["fc1"]) == checksums(chip=only["fc1"], seed=8)).all()
    drift = replace(EVERYTHING, effects="only drift")
    assert (checksums({("*", "programming"): 8}, drift) == checksums(chip=drift)).all()
    assert (checksums({("*", "drift"): 8}, drift) == checksums(chip=drift, seed=8)).all()


def test_the_seed_of_a_draw_is_the_one_that_names_it_best():
    seeds = {("*", "*"): 1, ("*", "drift"): 2, ("fc1", "*"): 3, ("fc1", "drift"): 4}
    found = [seed_of(*at, 0, seeds) for at in (("fc1", "drift"), ("fc1", "x"), ("fc2", "drift"), ("", "die"))]
    assert found == [4, 3, 2, 1]
    assert seed_of("fc1", "drift", 7, {("fc2", "*"): 3, ("*", "die"): 2}) == 7


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ({("fc7", "*"): 8}, "names no layer with weights: these are fc1, fc2"),
        ({("fc1", "*"): -1}, "whole number"),
    ],
)
def test_wrong_seeds_are_told(seeds, told):
    with pytest.raises(rl.UserError, match=told):
        checksums(seeds)


def test_every_draw_beyond_the_laws_belongs_to_an_effect():
    drawn = {quantity for quantity, _ in (*FAULT_DRAWS.values(), *_VARIATION.values())}
    known = {quantity for quantities in DRAWS.values() for quantity in quantities}
    assert known == drawn | {"telegraph", "telegraph_frozen"}


# Closed forms


def negative_square(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.square(logits[:, 0].astype(np.float64))


def first_logit(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return logits[:, 0].astype(np.float64)


def linear_setting(metric, chips: int, seed: int = 0) -> tuple[LinearNetwork, Setting]:
    """A linear network on Gaussian chips, and its closed form: a pair errs by sqrt(2) sigma w_max."""
    rng = np.random.default_rng(11)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (5, 6), (2, 5))]
    x = rng.standard_normal(5).astype(np.float32)
    network = Network(
        tuple(
            Node(f"fc{i + 1}", Linear(w, np.zeros(len(w), np.float32)), (f"fc{i}" if i else "input",))
            for i, w in enumerate(weights)
        ),
        (5,),
        name="linear",
    )
    sigma = [0.05, 0.04, 0.08]
    layers = {f"fc{i + 1}": rl.LayerChip(device=rl.devices.gaussian(sigma=s)) for i, s in enumerate(sigma)}
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05), layers=layers)
    spreads = tuple(math.sqrt(2) * s * float(np.abs(w).max()) for s, w in zip(sigma, weights, strict=True))
    truth = LinearNetwork(
        tuple(w.astype(np.float64) for w in (*weights[:2], weights[2][:1])), spreads, x.astype(np.float64)
    )
    dataset = rl.datasets.from_arrays(x[None], np.zeros(1, np.int64))
    return truth, Setting(network, dataset, chip, chips=chips, seed=seed, metric=metric, arithmetic="float32")


def test_drops_of_a_linear_network():
    """The mean square of its output exceeds the clean one by the variance of the noisy layers."""
    truth, setting = linear_setting(negative_square, 6000)
    found = measure_sensitivity(
        setting, measures=["together", "one_noisy", "interaction", "all_but_one", "shapley"]
    )
    alone = np.array([truth.variance(1 << layer) for layer in range(3)])
    rest = np.array([truth.variance(7 & ~(1 << layer)) for layer in range(3)])
    expected = {
        "together": [truth.variance(7)],
        "one_noisy": alone,
        "interaction": [truth.variance(7) - alone.sum()],
        "all_but_one": truth.variance(7) - rest,
        "shapley": truth.shapley(),
    }
    for measure, values in expected.items():
        rows = found[found["measure"] == measure]
        error = (rows["high"] - rows["low"]) / 2 / 1.96
        assert (np.abs(rows["value"] - values) < 4 * error).all(), measure
        assert (error < 0.2 * truth.variance(7)).all()


def test_shares_of_a_linear_network():
    truth, setting = linear_setting(first_logit, 6000)
    found = measure_sensitivity(setting, measures=["sobol_first", "sobol_total", "shapley_effects"])
    expected = {
        "sobol_first": truth.first_order(),
        "sobol_total": truth.total(),
        "shapley_effects": truth.shapley() / truth.variance(7),
    }
    for measure, values in expected.items():
        rows = found[found["measure"] == measure]
        error = (rows["high"] - rows["low"]) / 2 / 1.96
        assert (np.abs(rows["value"] - values) < 4 * error).all(), measure
        assert (error < 0.03).all()


@pytest.mark.slow
def test_intervals_cover_on_chips():
    """200 seeds of simulated chips, each measure against its closed form."""
    hits: dict[str, np.ndarray] = {}
    for seed in range(200):
        for metric, measures in (
            (negative_square, ["one_noisy", "shapley"]),
            (first_logit, ["sobol_first", "sobol_total", "shapley_effects"]),
        ):
            truth, setting = linear_setting(metric, 600, seed)
            expected = {
                "one_noisy": [truth.variance(1 << layer) for layer in range(3)],
                "shapley": truth.shapley(),
                "sobol_first": truth.first_order(),
                "sobol_total": truth.total(),
                "shapley_effects": truth.shapley() / truth.variance(7),
            }
            found = measure_sensitivity(setting, measures=measures)
            for measure in measures:
                rows = found[found["measure"] == measure]
                inside = (rows["low"] <= expected[measure]) & (expected[measure] <= rows["high"])
                hits[measure] = hits.get(measure, np.zeros(3)) + inside.to_numpy()
    for measure, found in hits.items():
        assert (found / 200 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)).all(), (measure, found)


# Sums and sets


def test_together_is_the_plain_simulation():
    setting = digits(seed=4)
    found = measure_sensitivity(setting, measures=["together"])
    trials = rl.simulate(setting.network, setting.dataset, setting.chip, chips=40, seed=4)
    drop = rl.summarize(trials).set_index(["estimand", "varies"]).loc[("drop", "chips, these inputs")]
    row = found.iloc[0]
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (drop["value"], drop["low"], drop["high"])
    )
    assert row["group"] == "all" and pd.isna(row["rank"]) and row["devices"] == 2 * (64 * 64 + 64 * 10)


@pytest.mark.parametrize("of", ["layers", "effects"])
@pytest.mark.parametrize("permutations", [None, 7])
def test_shapley_values_add_up_to_what_all_cost(of, permutations):
    setting = digits(EVERYTHING, chips=14, inputs=40, time_s=3600.0)
    groups = {"cells": "programming,drift,read_1f,telegraph", "dies": "variation"} if of == "effects" else {}
    found = measure_sensitivity(
        setting,
        of,
        measures=["together", "shapley", "shapley_effects"],
        groups=groups,
        permutations=permutations,
    )
    assert values_of(found, "shapley").sum() == pytest.approx(values_of(found, "together")[0], abs=1e-14)
    assert values_of(found, "shapley_effects").sum() == pytest.approx(1.0, abs=1e-12)
    rows = found[found["measure"] == "shapley"]
    if permutations:
        assert (rows["method"] == "Student t over 7 random orders with their reverses, 2 chips each").all()
        assert (rows["varies"] == "orders and chips, these inputs").all()


def test_orders_and_all_sets_estimate_the_same():
    chip = replace(EVERYTHING, tile=rl.Tile())
    setting = digits(chip, chips=80, inputs=40, time_s=3600.0)
    every = {
        p: measure_sensitivity(
            setting,
            "effects",
            measures=["shapley", "shapley_effects"],
            permutations=p,
            groups={"cells": "programming,drift,read_1f", "flaws": "faults,wear"},
        )
        for p in (None, 40)
    }
    for measure in ("shapley", "shapley_effects"):
        exact, orders = (every[p][every[p]["measure"] == measure] for p in (None, 40))
        reach = np.hypot(exact["high"] - exact["low"], orders["high"] - orders["low"])
        assert (np.abs(exact["value"] - orders["value"]) < reach).all()


def test_interaction_is_what_the_sum_of_one_noisy_misses():
    found = measure_sensitivity(digits(), measures=["together", "one_noisy", "interaction"])
    missed = values_of(found, "together")[0] - values_of(found, "one_noisy").sum()
    assert values_of(found, "interaction")[0] == pytest.approx(missed, abs=1e-14)


def test_runs_are_counted_and_bounded():
    setting = digits(chips=20, inputs=50)
    question = question_of(setting)
    assert [run.groups for run in runs_of(question, ["one_noisy"])] == [1, 2]
    # Sets of two layers: one noisy gives two, all but one the same two and all; draws A are those of all.
    runs = runs_of(question, list(MEASURES))
    assert sum(run.chips for run in runs) == 20 * 6
    with pytest.raises(rl.UserError, match=r"take 6,000 evaluations, most = 5,999 are allowed: take fewer"):
        measure_sensitivity(setting, most=5999)
    orders = question_of(digits(chips=20), permutations=5)
    assert {run.chips for run in runs_of(orders, ["shapley"])} == {4, 20}
    # Sets that other measures run on all chips are not run again.
    assert runs_of(orders, ["one_noisy", "shapley"]) == [Run("noisy", g, 0, 20) for g in (1, 2, 3)]


def test_a_noisy_set_leaves_the_other_layers_digital():
    layers = {
        "fc1": rl.LayerChip(device=rl.devices.gaussian(sigma=0.3)),
        "*": rl.LayerChip(tile=rl.Tile(rows=32)),
    }
    setting = digits(rl.Chip(device=rl.devices.gaussian(sigma=0.1), layers=layers))
    chip = question_of(setting).chip_of(Run("noisy", 2, 0, 4))
    assert not chip.layer("fc1", 0, 2).analog and chip.layer("fc2", 1, 2) == setting.chip.layer("fc2", 1, 2)


def test_layers_that_are_digital_are_not_blamed():
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.1), layers={"first": rl.LayerChip(analog=False)})
    found = measure_sensitivity(digits(chip), measures=["one_noisy", "sobol_total", "together"])
    assert set(found["group"]) == {"fc2", "all"}
    assert values_of(found, "one_noisy")[0] == values_of(found, "together")[0]
    assert values_of(found, "sobol_total")[0] == pytest.approx(1.0, abs=0.6)


def test_die_variation_belongs_to_the_whole_chip():
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.1), variation=rl.Variation(die=0.2))
    found = measure_sensitivity(digits(chip), measures=["one_noisy", "sobol_total"])
    assert found["group"].tolist() == ["fc1", "fc2", "fc1", "fc2", "whole chip"]
    wafer = replace(chip, variation=rl.Variation(wafer=0.2, wafers="one"))
    assert list(question_of(digits(wafer)).sources) == ["fc1", "fc2"]


def test_effects_own_their_draws():
    question = question_of(digits(EVERYTHING), "effects")
    assert list(question.groups)[-2:] == ["dac", "adc"]
    draws = {group: {quantity for _, quantity in own} for group, own in question.sources.items()}
    assert draws["programming"] == {"programming"} and draws["drift"] == {"drift"}
    assert draws["telegraph"] >= {"telegraph", "telegraph_frozen"} and draws["read_1f"] == {"read_1f"}
    assert draws["wear"] == {"worn", "worn_state"} and draws["variation"] == {"die", "tile", "cell", "field"}
    assert not {"dac", "adc"} & set(draws)


@pytest.mark.parametrize(
    ("chip", "owner"),
    [
        (rl.Chip(device=rl.devices.gaussian(sigma=0.1, read_sigma=0.05)), "read"),
        (rl.Chip(device=rl.devices.pcm(), read_noise="split"), "read_1f"),
        (
            rl.Chip(device=rl.devices.pcm(), telegraph=rl.Telegraph(amplitude=0.1, correlation_s=1e-9)),
            "telegraph",
        ),
        (
            rl.Chip(
                device=rl.devices.gaussian(sigma=0.1, read_sigma=0.05),
                telegraph=rl.Telegraph(amplitude=0.1, correlation_s=1e-9),
            ),
            "reads",
        ),
    ],
)
def test_what_reads_redraw_belongs_to_the_effect_that_redraws_it(chip, owner):
    sources = question_of(digits(chip), "effects").sources
    assert ("*", "readings") in sources[owner]


def test_an_effect_without_influence_has_no_share():
    """Drift at the reference read does nothing; its index is zero to the last digit."""
    chip = rl.Chip(device=rl.devices.pcm(t0_s=1.0))
    found = measure_sensitivity(digits(chip, time_s=0.0), "effects", measures=["one_noisy", "sobol_total"])
    rows = found[(found["group"] == "drift") & (found["measure"] == "sobol_total")].iloc[0]
    assert (rows["value"], rows["low"], rows["high"]) == (0, 0, 0)


def test_groups_by_pattern():
    network = rl.load_network("digits-mlp")
    found = question_of(digits(), groups={"all layers": "fc*"})
    assert found.groups == {"all layers": ("fc1", "fc2")}
    assert found.sources["all layers"] == (("fc1", "*"), ("fc2", "*"))
    assert question_of(digits(), groups={"front": "fc1"}).groups == {"front": ("fc1",), "fc2": ("fc2",)}
    assert len(network.weighted) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"groups": {"a": "fc*", "b": "fc2"}}, "'a' and 'b' both name 'fc2'"),
        ({"groups": {"a": "conv*"}}, r"groups\['a'\] = 'conv\*' names none of the layers fc1, fc2"),
        ({"groups": {"fc2": "fc1"}}, "cannot have the name"),
        ({"groups": {"all": "fc1"}}, "cannot have the name"),
        ({"groups": ["fc1"]}, "must be a mapping of names to patterns"),
        ({"groups": {"a": ["fc1", "fc2"]}}, "must be a mapping of names to patterns"),
        ({"measures": "shapley"}, "must be a list of names"),
        ({"measures": ["worth"]}, "must be some of together, one_noisy"),
        ({"measures": []}, "must be some of together, one_noisy"),
        ({"of": "wires"}, '"layers" or "effects"'),
        ({"permutations": 2}, "permutations = 2 must be a whole number from 3"),
        ({"permutations": 41}, "from 3 to 40"),
        ({"level": 95}, "level of confidence"),
    ],
)
def test_wrong_questions_are_told(options, told):
    with pytest.raises(rl.UserError, match=told):
        measure_sensitivity(digits(), **options)


def test_one_group_has_all_of_the_variance_and_interacts_with_nothing():
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.1), layers={"fc1": rl.LayerChip(analog=False)})
    rows = measure_sensitivity(digits(chip)).set_index("measure")
    assert (rows.loc[["sobol_first", "sobol_total", "shapley_effects"], ["value", "low", "high"]] == 1).all(
        axis=None
    )
    assert (rows.loc[["interaction"], ["value", "low", "high"]] == 0).all(axis=None)
    values = rows["value"]
    assert values["together"] == pytest.approx(values["one_noisy"]) == pytest.approx(values["shapley"])


def test_chips_that_do_not_differ_have_no_variance_to_share():
    ideal = rl.Chip(device=rl.devices.ideal(), tile=rl.Tile(adc=rl.ADC(bits=4)))
    with pytest.raises(rl.UserError, match="nothing is drawn for these chips"):
        measure_sensitivity(digits(ideal), "effects", measures=["sobol_total"])
    with pytest.raises(rl.UserError, match="do not differ at all"):
        measure_sensitivity(digits(ideal), measures=["sobol_total"])
    with pytest.raises(rl.UserError, match="no effects: nothing is to blame"):
        measure_sensitivity(digits(rl.Chip(device=rl.devices.ideal())), "effects")
    rows = measure_sensitivity(digits(ideal))
    assert (
        set(rows["measure"]) >= {"one_noisy", "shapley"} and not rows["measure"].str.startswith("sobol").any()
    )
    assert "do not differ at all" in rows.attrs["left_out"]["sobol_first"]
    rows = measure_sensitivity(digits(ideal), "effects", measures=["one_noisy"])
    assert rows["method"].tolist() == ["paired: all chips equal: exact binomial bound"]


def test_curvature_is_half_the_second_derivatives_times_the_variances():
    setting = digits()
    rows = measure_sensitivity(setting, measures=["curvature"])
    second = rl.second_derivatives(setting.network, setting.dataset.x, setting.dataset.y)
    moments = weight_moments(setting.network, setting.chip)
    for name in ("fc1", "fc2"):
        value = rows.loc[rows["group"] == name, "value"].item()
        assert value == pytest.approx(0.5 * (second[name] * moments[name].variance).sum(), rel=1e-4)


def test_measures_without_the_analytic_network_where_it_is_refused(tmp_path, capsys):
    net = mlp(3, 3, 3)
    chip = rl.Chip(device=rl.devices.ideal(), faults=rl.Faults(stuck_low=0.15))
    setting = Setting(net, rl.datasets.from_arrays(*inputs_of(net, 60)), chip, chips=8)
    measured = set(measure_sensitivity(setting)["measure"])
    assert "analytic" not in measured and {"curvature", "one_noisy"} <= measured
    with pytest.raises(rl.UserError, match="measure 'analytic': the analytic network does not describe"):
        measure_sensitivity(setting, measures=["analytic"])
    answer = LayerSensitivity().answer(setting)
    told = " ".join(answer.text.split())
    assert "Without analytic: the analytic network does not describe this chip" in told
    with np.load(io.BytesIO(answer.files["second_derivatives.npz"])) as saved:
        assert {name: saved[name].shape for name in saved} == {"layer0": (3, 3), "layer2": (3, 3)}


def test_no_chip_is_simulated_before_the_cost_is_accepted(monkeypatch):
    monkeypatch.setattr("reliability.simulation.Simulation.observe", None)
    assert "analytic" in LayerSensitivity().plan(digits())
    with pytest.raises(rl.UserError, match="most = 1 are allowed"):
        measure_sensitivity(digits(), most=1)


def test_progress_ends_at_the_number_of_chips():
    told = []
    setting = replace(digits(chips=6), progress=lambda done, total, note: told.append((done, total)))
    measure_sensitivity(setting, measures=["one_noisy"])
    assert told[-1] == (12, 12) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_one_more_measure_is_one_function(monkeypatch):
    def devices(question, drops):
        value = np.arange(len(question.groups), dtype=float)
        return Estimate(tuple(question.groups), value, value, value, "exact", "nothing", None)

    monkeypatch.setitem(MEASURES, "place", Measure("place in the network", "layers", devices))
    found = measure_sensitivity(digits(chips=4), measures=["place"])
    assert found["rank"].tolist() == [2, 1] and found["resolved"].all() and (found["unit"] == "layers").all()


# Study and figure


def test_the_study_writes_its_table_and_figure(tmp_path, capsys):
    arguments = ["layer_sensitivity", "--chips", "30", "--inputs", "60", "--out", str(tmp_path)]
    assert main([*arguments, "--set", 'analysis.measures=["one_noisy", "interaction", "sobol_total"]']) == 0
    table = pd.read_csv(tmp_path / "sensitivity.csv")
    assert list(table) == [
        "group",
        "measure",
        "unit",
        "value",
        "low",
        "high",
        "level",
        "method",
        "varies",
        "rank",
        "rank_low",
        "rank_high",
        "resolved",
        "devices",
    ]
    assert table["group"].tolist() == ["fc1", "fc2", "all", "fc1", "fc2"]
    assert (tmp_path / "figure.pdf").is_file()
    told = capsys.readouterr().out
    # The last line holds a path as long as it is.
    assert (
        "one_noisy (one group noisy; points of accuracy lost)" in told
        and max(map(len, told.splitlines()[:-1])) <= 100
    )
    assert main([*arguments, "--describe"]) == 0
    assert "6 runs, 180 chips x 60 inputs = 10,800 evaluations" in " ".join(capsys.readouterr().out.split())


def test_unresolved_ranks_are_joined():
    rows = pd.DataFrame({"group": list("abcd"), "rank_low": [1, 2, 2, 3], "rank_high": [1, 3, 4, 4]})
    assert unresolved(rows) == [["b", "c", "d"]]
    rows = pd.DataFrame({"group": list("abcd"), "rank_low": [1, 1, 2, 4], "rank_high": [2, 3, 3, 4]})
    assert unresolved(rows) == [["a", "b", "c"]]
    rows = pd.DataFrame({"group": list("ab"), "rank_low": [1, 2], "rank_high": [1, 2]})
    assert unresolved(rows) == []


def test_the_figure_has_a_panel_a_measure_and_a_dot_a_group():
    found = measure_sensitivity(digits(chips=6), measures=["one_noisy", "interaction", "sobol_total"])
    panels = [axes for axes in sensitivity_dots(found).axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in panels] == ["One noisy", "Sobol, total"]
    assert (
        panels[0].get_xlabel() == "Accuracy drop (points)" and panels[1].get_xlabel() == "Share of variance"
    )
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["fc1", "fc2"]
    (legend,) = panels[0].get_figure().legends
    assert legend.get_texts()[0].get_text() == "95 % interval over chips, these inputs"
    analytic = found[found["measure"] == "one_noisy"].assign(measure="analytic")
    assert sensitivity_dots(analytic).axes[0].get_xlabel() == "Points per factor e of variance"
    assert (
        sensitivity_dots(found[found["measure"] == "interaction"]).axes[0].get_title("left") == "Interaction"
    )
    assert DROP in set(found["unit"])


# LeNet


@pytest.mark.slow
def test_ranks_of_lenet_are_stable_where_they_are_resolved(inputs_of):
    """Five seeds: what one of them calls resolved, the average over all confirms."""
    folder = shared_folder("models")
    x, y = inputs_of("mnist", 300)
    if folder is None:
        pytest.skip("no shared models")
    network = rl.load_network(folder / "mnist_lenet5_relu.onnx")
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.05))
    tables = []
    for seed in range(5):
        setting = Setting(network, rl.datasets.from_arrays(x, y), chip, chips=200, seed=seed)
        found = measure_sensitivity(setting, measures=["one_noisy", "all_but_one", "sobol_total"])
        tables.append(found.assign(seed=seed))
    every = pd.concat(tables, ignore_index=True)
    mean = every.groupby(["measure", "group"])["value"].mean()
    for measure, rows in every.groupby("measure"):
        order = mean[measure].rank(ascending=False)
        resolved = rows[rows["resolved"].astype(bool)]
        assert len(resolved) >= 5, measure
        assert (resolved["rank"] == order[resolved["group"]].to_numpy()).all(), measure
        assert (rows["rank_low"] <= order[rows["group"]].to_numpy()).all()
        assert (rows["rank_high"] >= order[rows["group"]].to_numpy()).all()
