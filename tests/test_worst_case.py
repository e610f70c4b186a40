"""Attacks on weights: known smallest distances, the chip's own layers, and the claim on LeNet."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy import stats
from shared_data import WHERE, mnist_folder, shared_folder

import reliability as rl
from reliability.analyses.worst_case import WorstCase
from reliability.analysis import Setting
from reliability.crossbar import mapped_network
from reliability.errors import UserError
from reliability.layers import BatchNorm, Conv2d, Flatten, Linear, ReLU
from reliability.lowering import unrolled
from reliability.network import Network, Node
from reliability.plots.worst_case import worst_case as draw
from reliability.preprocessing import PRESETS
from reliability.study import main
from reliability.worst_case import (
    OBJECTIVES,
    Surface,
    attack_curve,
    carlini_wagner,
    margin,
    projected_gradient,
    random_errors,
    uniform_noise,
    weight_deviations,
)

GAUSSIAN = rl.Chip(device=rl.devices.gaussian(sigma=0.03))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def one_layer() -> tuple[Network, np.ndarray, np.ndarray, float]:
    """A linear layer, one input, and by how much its right class leads the next."""
    net = Network((Node("fc", Linear(noise(4, 9), noise(4))),), (9,))
    x = noise(1, 9, seed=3)
    logits = np.sort(net.forward(x)[0])
    return net, x, net.forward(x).argmax(axis=1), float(logits[-1] - logits[-2])


def smallest(norm: str, x: np.ndarray, lead: float) -> float:
    """The smallest errors that change the decision: half of the lead in each of two classes' rows."""
    if norm == "max":
        return lead / (2 * float(np.abs(x).sum()))
    return lead / (math.sqrt(2) * float(np.linalg.norm(x)))


@pytest.mark.parametrize("attack", [projected_gradient, carlini_wagner])
@pytest.mark.parametrize("norm", ["max", "l2"])
def test_attacks_find_the_smallest_distance_of_a_linear_layer(attack, norm):
    net, x, y, lead = one_layer()
    surface = Surface(net, (x, y), GAUSSIAN)
    least = smallest(norm, x, lead)
    # Adam moves all weights alike, which is not the shortest way; and at kappa = 0 the margin of a single
    # input stops to pull just where the decision turns.
    slow = attack is carlini_wagner
    options = {"steps": 200} | ({"rounds": 10, "kappa": 0.02 * lead} if slow else {})
    reach = (1.15 if slow else 1.02) * least
    beyond = attack(surface, reach, norm=norm, **options)
    assert beyond.accuracy == 0 and least < beyond.distance <= reach
    assert attack(surface, 0.99 * least, norm=norm, **options).accuracy == 1


def test_units_scale_the_distance():
    net, x, y, lead = one_layer()
    largest = float(np.abs(net.nodes[0].layer.weight).max())
    least = smallest("max", x, lead) / largest
    surface = Surface(net, (x, y), GAUSSIAN, "relative")
    assert projected_gradient(surface, 1.02 * least, steps=200).accuracy == 0
    assert projected_gradient(surface, 0.99 * least, steps=200).accuracy == 1
    spread = Surface(net, (x, y), GAUSSIAN, {"fc": largest})
    np.testing.assert_allclose(spread.units, surface.units)


def convolutional() -> tuple[Network, np.ndarray, np.ndarray]:
    nodes = (
        Node("conv", Conv2d(noise(4, 2, 3, 3) / 4, noise(4) / 4)),
        Node("norm", BatchNorm(1 + 0.1 * noise(4), noise(4), noise(4), np.ones(4)), ("conv",)),
        Node("relu", ReLU(), ("norm",)),
        Node("flat", Flatten(), ("relu",)),
        Node("hidden", Linear(noise(6, 16) / 4, noise(6) / 4), ("flat",)),
        Node("relu2", ReLU(), ("hidden",)),
        Node("end", Linear(noise(3, 6), noise(3)), ("relu2",)),
    )
    net = Network(nodes, (2, 4, 4))
    x = noise(40, 2, 4, 4, seed=4)
    return net, x, net.forward(x).argmax(axis=1)


CHIPS = {
    "plain": GAUSSIAN,
    "folded, bias on devices": rl.Chip(
        device=rl.devices.gaussian(), mapping=rl.Mapping(bias="devices", batch_norm="folded")
    ),
    "digits": rl.Chip(
        device=rl.devices.gaussian(), mapping=rl.Mapping(slices=rl.Slices(2, fill="digits", bits=2))
    ),
    "digital ends": rl.Chip(layers={"first": rl.LayerChip(analog=False), "last": rl.LayerChip(analog=False)}),
}


def fields_of(net: Network) -> dict[tuple[str, str], np.ndarray]:
    return {
        (node.name, field): getattr(node.layer, field)
        for node in net.weighted
        for field in ("weight", "bias")
        if getattr(node.layer, field) is not None
    }


@pytest.mark.parametrize("name", CHIPS)
def test_what_the_chip_maps_is_attacked_and_nothing_else(name):
    chip = CHIPS[name]
    net, x, y = convolutional()
    surface = Surface(net, (x, y), chip, "relative")
    mapped = mapped_network(net, chip)
    attack = projected_gradient(surface, 0.1, steps=10)
    before, after = fields_of(mapped), fields_of(attack.network)
    moved = {key for key, array in before.items() if not np.array_equal(array, after[key])}
    weights = {(node.name, "weight") for node in mapped.weighted}
    expected = {
        "plain": weights,
        "digits": weights,
        "folded, bias on devices": set(before),
        "digital ends": {("hidden", "weight")},
    }[name]
    assert moved == expected
    for layer, field in moved:
        both = [array for key, array in before.items() if key[0] == layer and key in expected]
        allowed = 0.1 * max(np.abs(array).max() for array in both) * (1 + 1e-5)
        assert np.abs(after[layer, field] - before[layer, field]).max() <= allowed
    assert attack.distance <= 0.1 and attack.accuracy < surface.clean_accuracy
    assert ("norm" in [node.name for node in attack.network.nodes]) == (name != "folded, bias on devices")


@pytest.mark.parametrize("name", ["plain", "digits"])
def test_the_accuracy_reached_is_that_of_the_chip_with_these_weights(name):
    net, x, y = convolutional()
    attack = projected_gradient(Surface(net, (x, y), CHIPS[name], "relative"), 0.05, steps=10)
    own = attack.network.forward(x).argmax(axis=1) == y
    trials = rl.simulate(attack.network, (x, y), rl.Chip(device=rl.devices.ideal()), chips=1)
    assert own.mean() == attack.accuracy == trials["accuracy"][0]


def test_standard_deviations_stand_where_the_unrolled_matrix_says():
    net, x, y = convolutional()
    chip = CHIPS["folded, bias on devices"]
    mapped = mapped_network(net, chip)
    sources = {"conv": (2, 4, 4), "hidden": (4, 2, 2), "end": (6, 1, 1)}
    deviations = {
        node.name: np.abs(noise(*(s := unrolled(node.layer, sources[node.name]).shape)[:1], s[1] + 1))
        for node in mapped.weighted
    }
    surface = Surface(net, (x, y), chip, deviations)
    attacked = surface.attacked(np.ones_like(surface.units))
    for node, own in zip(mapped.weighted, attacked.weighted, strict=True):
        moved = unrolled(own.layer, sources[node.name]) - unrolled(node.layer, sources[node.name])
        np.testing.assert_allclose(moved, deviations[node.name][:, :-1], atol=1e-6)
        np.testing.assert_allclose(own.layer.bias - node.layer.bias, deviations[node.name][:, -1], atol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_slopes_are_differences_of_what_is_descended(objective):
    def value(logits, labels):
        z, rows = logits.astype(np.float64), np.arange(len(labels))
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        sharp = np.exp(4 * z) / np.exp(4 * z).sum(axis=1, keepdims=True)
        others = z.copy()
        others[rows, labels] = -np.inf
        return {
            "cross-entropy": np.log(p[rows, labels]),
            "probability": p[rows, labels],
            "sharp probability": sharp[rows, labels] / 4,
            "margin": np.maximum(z[rows, labels] - others.max(axis=1), 0),
        }[objective]

    logits, labels = noise(50, 5).astype(np.float64), np.arange(50) % 5
    slope = OBJECTIVES[objective](logits, labels)
    for c in range(5):
        step = 1e-6 * np.eye(5)[c]
        rise = (value(logits + step, labels) - value(logits - step, labels)) / 2e-6
        np.testing.assert_allclose(slope[:, c], rise, atol=1e-7)


def test_kappa_keeps_inputs_that_are_wrong_by_less():
    logits = np.array([[0.0, 1.0], [0.0, 3.0]])
    labels = np.zeros(2, np.int64)
    assert not margin(logits, labels).any()
    assert margin(logits, labels, kappa=2.0).tolist() == [[1, -1], [0, 0]]


def digits() -> tuple[Network, rl.Dataset]:
    return rl.load_network("digits-mlp"), rl.load_dataset("digits")


def test_surface_slope_is_a_difference():
    net, data = digits()
    surface = Surface(net, data, GAUSSIAN, "relative")
    which = np.arange(200)
    direction = noise(surface.units.size) * 1e-3
    slope = surface.slope(np.zeros_like(surface.units), which, OBJECTIVES["probability"])

    def mean_probability(errors):
        z = surface.attacked(errors).forward(surface.x[which]).astype(np.float64)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return (p / p.sum(axis=1, keepdims=True))[which, surface.labels[which]].mean()

    rise = (mean_probability(direction) - mean_probability(-direction)) / 2
    assert rise == pytest.approx(float(slope @ direction), rel=1e-2)


def test_the_curve_never_rises_and_is_below_every_random_chip():
    net, data = digits()
    surface = Surface(net, data, GAUSSIAN, "relative")
    curve = attack_curve(surface, [0.05, 0, 0.02], steps=15)
    assert [attack.bound for attack in curve] == [0, 0.02, 0.05]
    assert curve[0].accuracy == surface.clean_accuracy
    assert curve[0].accuracy > curve[1].accuracy > curve[2].accuracy
    trials = uniform_noise(net, data, GAUSSIAN, 0.05, unit="relative", chips=200)
    assert curve[2].accuracy < 0.5 < 0.9 < trials["accuracy"].min()


def test_the_same_seed_gives_the_same_attack():
    net, data = digits()
    surface = Surface(net, data, GAUSSIAN, "relative")
    first, second, other = (
        projected_gradient(surface, 0.03, steps=4, restarts=6, batch=64, seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.errors, second.errors)
    assert not np.array_equal(first.errors, other.errors)


def test_uniform_noise_is_uniform_within_the_bound(monkeypatch):
    size = 24
    weight = noise(size, size)
    net = Network((Node("fc", Linear(weight)), Node("end", Linear(np.eye(size)), ("fc",))), (size,))
    chip = rl.Chip(layers={"end": rl.LayerChip(analog=False)})
    seen = []
    original = random_errors.simulate

    def spy(*arguments, **options):
        return original(
            *arguments,
            metric=lambda z, _: seen.append(z) or np.zeros(len(z)),
            arithmetic="float32",
            **options,
        )

    monkeypatch.setattr(random_errors, "simulate", spy)
    uniform_noise(net, (np.eye(size), np.arange(size)), chip, 0.06, chips=8)
    errors = np.stack(seen[1:]) - weight.T
    assert np.abs(errors).max() <= 0.06 * (1 + 1e-4)
    assert stats.kstest(errors.ravel(), stats.uniform(-0.06, 0.12).cdf).pvalue > 0.01
    assert np.abs(np.corrcoef(errors.reshape(8, -1))[np.triu_indices(8, 1)]).max() < 0.2


@pytest.mark.parametrize(
    "mapping",
    [
        rl.Mapping(),
        rl.Mapping(slices=rl.Slices(3, base=2)),
        rl.Mapping(slices=rl.Slices(2, "digits", bits=3)),
    ],
)
def test_standard_deviations_are_those_of_simulated_chips(mapping):
    net, _ = digits()
    chip = rl.Chip(device=rl.devices.gaussian(sigma=0.04, g_min_us=2.0), mapping=mapping)
    found = weight_deviations(net, chip)
    exact = {node.name: unrolled(node.layer, (64, 1, 1)) for node in mapped_network(net, chip).weighted}
    for name in found:
        errors = [rl.chip_weights(net, chip, number=i)[name] - exact[name] for i in range(20)]
        assert np.std(errors) == pytest.approx(found[name], rel=0.02)


SMALL = WorstCase(bounds=(0.02, 0.05), radii=(2.0, 6.0), steps=6, rounds=2)


def test_analysis_gives_bounds_and_no_probabilities():
    answer = SMALL.answer(Setting(*digits(), GAUSSIAN, chips=20))
    attacks, random = answer.tables["attacks"], answer.tables["random"]
    assert attacks.groupby("norm", sort=False)["bound"].apply(list).to_dict() == {
        "max": [0.02, 0.05, 0.02, 0.05],
        "l2": [2.0, 6.0],
    }
    assert (attacks["high"] == attacks["value"]).all() and (attacks["low"] == 0).all()
    assert attacks["varies"].str.startswith("nothing").all()
    assert (attacks["distance"] <= attacks["bound"]).all()
    np.testing.assert_allclose(attacks["form"].dropna(), stats.norm.cdf([-2.0, -6.0]))
    assert set(random["estimand"]) == {"mean", "drop", "quantile_05", "quantile_95"}
    assert (random["low"] <= random["value"]).all() and (random["value"] <= random["high"]).all()
    assert "upper bound" in answer.text and max(map(len, answer.text.splitlines())) <= 100
    right = answer.draw().axes[1]
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names == ["projected gradient", "without errors"]
    assert "[-, " in answer.text and "too few chips for a lower end of the 5 % chip" in answer.text


def test_an_attack_that_does_no_harm_is_no_error():
    net, x, y, lead = one_layer()
    surface = Surface(net, (x, y), GAUSSIAN)
    for attack in (projected_gradient, carlini_wagner):
        found = attack(surface, 0.1 * smallest("max", x, lead), steps=3)
        assert found.accuracy == 1 and found.distance == 0 and not found.errors.any()
        assert found.kind in ("projected gradient", "Carlini-Wagner")


def test_figure_without_radii_has_one_panel():
    attack = {"norm": "max", "unit": "weight", "bound": 0.1, "attack": "projected gradient", "value": 0.5}
    random = [
        {"bound": 0.1, "estimand": name, "value": 0.9} for name in ("mean", "quantile_05", "quantile_95")
    ]
    figure = draw(pd.DataFrame([attack]), pd.DataFrame(random), 0.9)
    (axes,) = figure.axes
    figure.canvas.draw()
    title = next(text for text in axes.findobj(Text) if text.get_text().startswith("Attacks: "))
    assert title.get_window_extent().x1 <= figure.bbox.x1


def test_the_study_runs(tmp_path):
    settings = ("bounds=[0.05]", "radii=[4.0]", "steps=5", "rounds=1")
    arguments = [argument for own in settings for argument in ("--set", f"analysis.{own}")]
    assert main(["worst_case", "--out", str(tmp_path), "--chips", "10", "--quiet", *arguments]) == 0
    assert (tmp_path / "figure.pdf").is_file()
    assert pd.read_csv(tmp_path / "attacks.csv")["bound"].tolist() == [0.05, 0.05, 4.0]


@pytest.mark.parametrize(
    ("chip", "change", "told"),
    [
        (rl.Chip(device=rl.devices.pcm()), {}, "known for differential pairs"),
        (rl.Chip(device=rl.devices.gaussian(sigma=0.1, clamp=True)), {}, "known for differential pairs"),
        (rl.Chip(layers={"*": rl.LayerChip(analog=False)}), {"radii": ()}, "has no analog layer"),
    ],
)
def test_chips_that_cannot_be_asked(chip, change, told):
    with pytest.raises(UserError, match=told):
        dataclasses.replace(SMALL, **change).answer(Setting(*digits(), chip, chips=5))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bounds": ()}, "analysis.bounds"),
        ({"radii": (0.0,)}, "analysis.radii"),
        ({"unit": "volts"}, "analysis.unit"),
        ({"steps": 0}, "analysis.steps"),
        ({"kappa": -1.0}, "analysis.kappa"),
    ],
)
def test_fields_are_checked(change, told):
    with pytest.raises(UserError, match=told):
        WorstCase(**change)


def test_settings_are_checked():
    net, data = digits()
    with pytest.raises(UserError, match="metric"):
        SMALL.answer(Setting(net, data, GAUSSIAN, metric="top-5"))
    with pytest.raises(UserError, match="analog layers are fc1, fc2"):
        Surface(net, data, GAUSSIAN, {"fc1": 1.0})
    with pytest.raises(UserError, match="they must be one number"):
        Surface(net, data, GAUSSIAN, {"fc1": 1.0, "fc2": np.ones((3, 3))})
    surface = Surface(net, data, GAUSSIAN)
    with pytest.raises(UserError, match="norm = 'l1'"):
        projected_gradient(surface, 0.1, norm="l1")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="bound = 0"):
        carlini_wagner(surface, 0)
    with pytest.raises(UserError, match="kappa"):
        carlini_wagner(surface, 0.1, kappa=-1)


@pytest.mark.slow
def test_lenet_falls_below_a_quarter_where_uniform_errors_cost_less_than_two_points():
    """All 10,000 test images, no weight wrong by more than 0.06 in the network's own numbers."""
    models, folder = shared_folder("models"), mnist_folder()
    if models is None or folder is None:
        pytest.skip(WHERE)
    net = rl.load_network(models / "mnist_lenet5_relu.onnx")
    net = dataclasses.replace(net, preprocessing=PRESETS["unit"])
    data = rl.load_dataset("mnist", folder)
    attack = projected_gradient(Surface(net, data, GAUSSIAN), 0.06, steps=20, batch=256)
    assert attack.inputs == 10_000 and attack.distance <= 0.06 and attack.accuracy <= 0.25
    for before, after in zip(net.weighted, attack.network.weighted, strict=True):
        assert np.abs(after.layer.weight - before.layer.weight).max() <= 0.06 * (1 + 1e-5)
    trials = uniform_noise(net, data, GAUSSIAN, 0.06, chips=50)
    summary = rl.summarize(trials)
    drops = summary[summary["estimand"] == "drop"]
    assert len(drops) == 2 and (drops["high"] < 0.02).all()
