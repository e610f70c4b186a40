"""What simulate answers: closed forms, metrics, the rules it enforces, and a user's mistakes."""

from __future__ import annotations

import math

import naive
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special

import reliability as rl
from reliability.chip import Chip, LayerChip
from reliability.layer_records import LayerRecords
from reliability.network import mlp
from reliability.simulation import Simulation
from reliability.units import DAY, HOUR, YEAR

UNIT = rl.Mapping(weight_max=1.0)
ONE_INPUT = np.ones((1, 1), np.float32), np.zeros(1, int)


def sign(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return logits[:, 0] > 0


def share(trials: pd.DataFrame) -> float:
    return float(trials["accuracy"].mean())


def check_probability(found: float, exact: float, chips: int) -> None:
    assert abs(found - exact) < 4 * math.sqrt(exact * (1 - exact) / chips)


# Closed forms of one neuron and of one layer.

CHIPS = 40_000


@pytest.mark.parametrize(
    ("sigma", "read", "flip"),
    [(0.2 / math.sqrt(2), 0.0, 0.3109367), (0.2, 0.0, 0.3636412), (0.2 / math.sqrt(2), 0.15, 0.3291267)],
    ids=["one device's worth", "pair", "with read noise"],
)
def test_probability_that_a_neuron_changes_sign(sigma, read, flip):
    """w.x = 0.15 flips with Phi(-0.15 / (s |x|)), s the standard deviation of a weight."""
    w, x = np.array([[0.3, -0.5, 0.8, 0.1]]), np.array([[1, 0.5, 0.25, -1]], np.float32)
    # The published read noise is one of the output; here it belongs to the devices.
    read_sigma = read / (math.sqrt(2) * np.linalg.norm(x))
    device = rl.devices.gaussian(sigma=sigma, read_sigma=read_sigma)
    error = math.hypot(math.sqrt(2) * sigma * np.linalg.norm(x), read)
    assert special.ndtr(-0.15 / error) == pytest.approx(flip, abs=6e-8)
    trials = rl.simulate(mlp([w], [None]), (x, [0]), Chip(device, UNIT), chips=CHIPS, metric=sign, seed=1)
    check_probability(1 - share(trials), flip, CHIPS)


def argmax_probability(mean: list[float], sd: list[float]) -> float:
    """Probability that class 0 scores highest, by quadrature."""

    def wins(t: float) -> float:
        others = zip(mean[1:], sd[1:], strict=True)
        return (
            math.exp(-t * t / 2)
            / math.sqrt(2 * math.pi)
            * math.prod(special.ndtr((mean[0] + sd[0] * t - m) / s) for m, s in others)
        )

    return integrate.quad(wins, -10, 10, epsabs=1e-10)[0]


FOUR = [1, 0.4, 0, -0.3]


@pytest.mark.parametrize(
    ("mean", "sd", "printed"),
    [
        (FOUR, [0.5] * 4, 0.7558291),
        (FOUR, [0.5, 0.6, 0.4, 0.3], 0.7535784),
        ([1] + 9 * [0], [0.5] * 10, 0.6736455),
        (10 * [0.5], [0.3] * 10, 0.1),
    ],
    ids=["four", "four of unequal spread", "ten, lead of two sigma", "ten equal"],
)
def test_probability_that_the_right_class_scores_highest(mean, sd, printed):
    assert argmax_probability(mean, sd) == pytest.approx(printed, abs=6e-8)
    net = mlp([np.array(mean)[:, None]], [None])
    chip = Chip(rl.devices.gaussian(sigma=max(sd) / math.sqrt(2)), UNIT)
    latents = rl.draw_latents(net, chip, chips=CHIPS, seed=2)
    # Unequal spreads by shrinking a class's own draws.
    shrunk = {name: z * np.float32(np.array(sd) / max(sd))[:, None] for name, z in latents.items()}
    trials = rl.simulate(net, ONE_INPUT, chip, chips=CHIPS, latents=shrunk)
    check_probability(share(trials), printed, CHIPS)


# Metrics.


def network(classes: int = 12):
    random = np.random.default_rng(1)
    return mlp(
        [random.normal(size=(20, 15)) / 4, random.normal(size=(classes, 20)) / 4],
        [random.normal(size=20) / 3, random.normal(size=classes) / 3],
    )


def dataset(count: int = 75, classes: int = 12):
    random = np.random.default_rng(2)
    return random.normal(size=(count, 15)).astype(np.float32), random.integers(0, classes, count)


def recorded(chip: Chip, chips: int, **options) -> np.ndarray:
    """Logits of chips, shape (chips, N, classes)."""
    recorder = naive.Recorder()
    rl.simulate(network(), dataset(), chip, chips=chips, metric=recorder, **options)
    return recorder.trials(chips)


NOISY = Chip(rl.devices.gaussian(sigma=0.2))


@pytest.mark.parametrize(("metric", "places"), [("top-1", 1), ("top-5", 5)])
def test_metrics_of_the_right_class_among_the_first(metric, places):
    trials = rl.simulate(network(), dataset(), NOISY, chips=6, metric=metric)
    _, labels = dataset()
    first = np.argsort(-recorded(NOISY, 6), axis=-1, kind="stable")[..., :places]
    right = (first == labels[:, None]).any(axis=-1)
    assert trials["correct"].tolist() == right.sum(axis=1).tolist()
    np.testing.assert_array_equal(unpacked(trials, len(labels)), right)
    assert (trials["accuracy"] == trials["correct"] / len(labels)).all()
    assert trials.attrs["metric"] == metric


def unpacked(trials: pd.DataFrame, count: int) -> np.ndarray:
    bits = [np.frombuffer(row, np.uint8) for row in trials["correct_bits"]]
    return np.unpackbits(bits, axis=-1, count=count).astype(bool)


def test_metric_per_class_has_a_row_for_each_class_and_chip():
    whole = rl.simulate(network(), dataset(), NOISY, chips=6)
    trials = rl.simulate(network(), dataset(), NOISY, chips=6, metric="per-class")
    _, labels = dataset()
    assert trials.attrs["conditions"] == ["class"]
    assert len(trials) == 6 * len(np.unique(labels))
    right = unpacked(whole, len(labels))
    for own_class, rows in trials.groupby("class"):
        mask = labels == own_class
        assert (rows["inputs"] == mask.sum()).all()
        np.testing.assert_array_equal(unpacked(rows, mask.sum()), right[:, mask])
        np.testing.assert_allclose(rows["accuracy"], right[:, mask].mean(axis=1))
    assert trials.groupby("chip")["correct"].sum().tolist() == whole["correct"].tolist()


def test_a_users_truth_values_count_as_right_and_wrong():
    def margin(logits, labels):
        return logits.max(axis=1) > 1

    trials = rl.simulate(network(), dataset(), NOISY, chips=6, metric=margin)
    right = recorded(NOISY, 6).max(axis=-1) > 1
    np.testing.assert_array_equal(unpacked(trials, right.shape[1]), right)
    assert trials.attrs["metric"] == "margin"


def test_a_users_real_numbers_are_averaged():
    def loss(logits, labels):
        return special.logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]

    trials = rl.simulate(network(), dataset(), NOISY, chips=6, metric=loss)
    labels = dataset()[1]
    expected = [loss(logits.astype(np.float64), labels).mean() for logits in recorded(NOISY, 6)]
    np.testing.assert_allclose(trials["accuracy"], expected, rtol=1e-6)
    assert "correct" not in trials
    assert "correct_bits" not in trials


WRONG_METRICS = {
    "a matrix": lambda logits, labels: logits,
    "one number": lambda logits, labels: 0.5,
    "text": lambda logits, labels: ["right"] * len(labels),
}


@pytest.mark.parametrize("metric", WRONG_METRICS.values(), ids=WRONG_METRICS)
def test_a_metric_of_another_shape_or_kind_is_told(metric):
    with pytest.raises(rl.UserError, match="one number or truth value for each of the 75 inputs"):
        rl.simulate(network(), dataset(), NOISY, chips=2, metric=metric)


def test_an_unknown_metric_is_told():
    with pytest.raises(rl.UserError, match="'top-3' must be top-1, top-5, per-class"):
        rl.simulate(network(), dataset(), NOISY, chips=2, metric="top-3")


def test_the_reference_is_the_digital_network():
    import base64

    trials = rl.simulate(network(), dataset(), NOISY, chips=2)
    x, labels = dataset()
    bits = np.frombuffer(base64.b64decode(trials.attrs["reference_bits"]), np.uint8)
    right = network().forward(x).argmax(axis=1) == labels
    np.testing.assert_array_equal(np.unpackbits(bits, count=len(labels)), right)


# What must not be believed.


@pytest.mark.parametrize(
    ("field", "values", "chip"),
    [
        ("time_s", [1, YEAR], NOISY),
        ("observation_s", [0.1, 1], Chip()),
        ("tile.columns", [16, 256], NOISY),
        ("compensation", ["none", "global"], Chip(rl.devices.ideal())),
    ],
)
def test_a_swept_field_that_changes_nothing_is_an_error(field, values, chip):
    # The second sweep has an effect and must not hide the first.
    vary = {field: values}
    if chip is NOISY:
        vary["device.sigma"] = [0.1, 0.2]
    with pytest.raises(rl.RunError, match=f"sweeping {field} over"):
        rl.simulate(network(), dataset(), chip, vary=vary, chips=3)


def test_a_swept_field_that_changes_one_chip_is_none():
    rl.simulate(network(), dataset(), NOISY, vary={"device.sigma": [0.1, 0.2]}, chips=1)


@pytest.mark.parametrize("layer", ["fc1", "fc2"])
def test_an_ideal_chip_that_errs_names_the_layer(monkeypatch, layer):
    """One layer's targets wrong by one part in a thousand."""
    add_devices = LayerRecords._add_devices

    def wrong(self, own, record, blocks):
        add_devices(self, own, record, blocks)
        if own.name == layer:
            self.targets[-1] *= np.float32(1.001)

    monkeypatch.setattr(LayerRecords, "_add_devices", wrong)
    with pytest.raises(rl.RunError, match=f"layer {layer!r}: without any effect"):
        rl.simulate(network(), dataset(), Chip(), chips=2)


def test_the_ideal_check_sees_overrides_of_one_layer(monkeypatch):
    """A layer whose own mapping is wrong is found, though the chip's is right."""
    monkeypatch.setattr("reliability.self_checks.mapped_network", lambda network, chip: network)
    chip = Chip(layers={"fc2": LayerChip(mapping=rl.Mapping(weight_max=0.1))})
    with pytest.raises(rl.RunError, match="layer 'fc2'"):
        rl.simulate(network(), dataset(), chip, chips=2)


@pytest.mark.parametrize("bias", ["digital", "devices"])
def test_clipping_weights_is_an_effect_and_not_an_error(bias):
    clipped, whole = (Chip(rl.devices.ideal(), rl.Mapping(w_max, bias)) for w_max in (0.1, "layer"))
    assert run(clipped)["checksum"][0] != run(whole)["checksum"][0]


# A user's mistakes.

FLOAT64 = np.zeros((4, 2, 20, 15))
SUPPLIED = {
    "float64": ({("fc1", "programming"): FLOAT64}, "must be float32 of shape"),
    "too few columns": ({("fc1", "programming"): np.float32(FLOAT64[:, :, :19])}, "must be float32 of shape"),
    "no times": ({("fc1", "read_1f"): np.float32(FLOAT64)}, r"\(chips, 1, 2, 20, 15\)"),
    "another latent": ({("fc1", "weather"): np.float32(FLOAT64)}, "no latent 'weather' in a layer 'fc1'"),
    "another layer": ({("fc9", "drift"): np.float32(FLOAT64)}, "no latent 'drift' in a layer 'fc9'"),
    "too few chips": ({("fc1", "programming"): np.float32(FLOAT64)}, "supplied for 4 chips, 5 are asked for"),
}


@pytest.mark.parametrize("case", SUPPLIED)
def test_supplied_latents_that_do_not_fit_are_told(case):
    latents, told = SUPPLIED[case]
    chips = 5 if case == "too few chips" else 4
    with pytest.raises(rl.UserError, match=told):
        rl.simulate(network(), dataset(), Chip(), chips=chips, latents=latents)


def test_supplied_latents_for_too_few_chips_are_told_before_a_pilot_reads_them():
    latents = rl.draw_latents(network(), NOISY, chips=3)
    with pytest.raises(rl.UserError, match="supplied for 3 chips"):
        rl.simulate(network(), dataset(), NOISY, ci_width=0.1, max_chips=200, latents=latents)


MISTAKES = {
    "unknown layer": (lambda: run(Chip(layers={"conv1": LayerChip()})), "'conv1'.*fc1, fc2"),
    "observation too short": (
        lambda: run(Chip(read_noise="split", observation_s=1e-9)),
        "observation_s = 1e-09 must lie between",
    ),
    "observation too long": (lambda: run(Chip(read_noise="split", observation_s=21)), "observation_s = 21"),
    "observation negative": (lambda: Chip(observation_s=-1), "observation_s = -1"),
    "compensation": (lambda: Chip(compensation="all"), "compensation = 'all'"),
    "read noise": (lambda: Chip(read_noise="white"), "read_noise = 'white'"),
    "device": (lambda: Chip(device="pcm"), "device = 'pcm'"),
    "weight_max": (lambda: rl.Mapping(weight_max=0), "weight_max = 0"),
    "bias": (lambda: rl.Mapping(bias="none"), "bias = 'none'"),
    "rows": (lambda: rl.Tile(rows=0), "tile.rows = 0"),
    "columns": (lambda: rl.Tile(columns=2.5), "tile.columns = 2.5"),
    "g_max_us": (lambda: rl.devices.ideal(g_max_us=-1), "g_max_us = -1"),
    "chips": (lambda: run(NOISY, chips=0), "chips = 0"),
    "chips and width": (lambda: run(NOISY, ci_width=0.01), "either chips or ci_width"),
    "ci_width": (lambda: run(NOISY, chips=None, ci_width=2), "ci_width = 2"),
    "seed": (lambda: run(NOISY, seed=-1), "seed = -1"),
    "threads": (lambda: run(NOISY, threads=-1), "threads = -1"),
    "time": (lambda: run(NOISY, time_s=-1), "time_s = -1"),
    "role": (lambda: run(NOISY, role="train"), "role = 'train'"),
    "network by name": (
        lambda: rl.simulate("digits-mlp", dataset(), NOISY),
        "network holds a str; it must be a Network .load_network",
    ),
    "network of predict": (lambda: rl.predict("digits-mlp", dataset(), NOISY), "network holds a str"),
    "network of estimate_mean": (
        lambda: rl.estimate_mean("digits-mlp", dataset(), NOISY),
        "network holds a str",
    ),
    "network of output_errors": (
        lambda: rl.output_errors("digits-mlp", rl.Dataset("own", *dataset(), ""), NOISY),
        "network holds a str",
    ),
    "chip by name": (lambda: run("pcm"), "chip holds a str; it must be a Chip .load_chip"),
    "inputs by name": (
        lambda: rl.simulate(network(), "digits", NOISY),
        r"inputs holds a str; it must be a Dataset .* or a pair of arrays \(x, y\)",
    ),
    "three arrays": (
        lambda: rl.simulate(network(), (*dataset(), np.ones(3)), NOISY),
        "inputs holds a tuple of 3",
    ),
    "no inputs": (lambda: rl.simulate(network(), None, NOISY), "inputs holds None"),
    "one array": (
        lambda: rl.simulate(network(), dataset()[0][:2], NOISY),
        "inputs holds an ndarray; it must be a Dataset",
    ),
    "calibration by name": (lambda: run(NOISY, calibration="digits"), "calibration holds a str; it must be"),
    "calibration by number": (lambda: run(NOISY, calibration=5), "calibration holds an int"),
    "three calibration arrays": (
        lambda: run(NOISY, calibration=(*dataset(), np.ones(3))),
        "calibration holds a tuple of 3",
    ),
    "ragged calibration": (lambda: run(NOISY, calibration=[[1], [2, 3]]), "calibration holds a list of 2"),
    "vary": (lambda: run(NOISY, vary=["time_s"]), "vary holds a list of 1; it must be a mapping of fields"),
    "target of rare failures": (
        lambda: rl.rare_failure(network(), dataset(), NOISY, "0.95"),
        "target holds '0.95'; it must be an accuracy",
    ),
}


def run(chip: Chip, **options) -> pd.DataFrame:
    return rl.simulate(network(), dataset(), chip, **{"chips": 2, **options})


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_one_sentence(case):
    mistake, told = MISTAKES[case]
    with pytest.raises(rl.UserError, match=told) as error:
        mistake()
    assert "\n" not in str(error.value)


# Overrides.


def test_later_overrides_go_before_earlier_ones_field_by_field():
    ideal, tile = rl.devices.ideal(), rl.Tile(rows=8)
    chip = Chip(
        layers={"*": LayerChip(device=ideal), "first": LayerChip(analog=False), "fc?": LayerChip(tile=tile)}
    )
    first, last = (chip.layer(name, i, 2) for i, name in enumerate(("fc1", "fc2")))
    assert first == LayerChip(
        True, ideal, tile, chip.mapping, chip.telegraph, chip.faults, chip.variation, chip.verify, chip.repair
    )
    assert last == first
    assert not Chip(layers={"last": LayerChip(analog=False)}).layer("fc2", 1, 2).analog


def test_one_layers_field_may_be_swept():
    trials = rl.simulate(network(), dataset(), NOISY, vary={"layers.first.analog": [True, False]}, chips=2)
    analog = trials[trials["layers.first.analog"]]
    assert analog["checksum"].tolist() == run(NOISY)["checksum"].tolist()
    digital = run(Chip(NOISY.device, layers={"first": LayerChip(analog=False)}))
    assert trials[~trials["layers.first.analog"]]["checksum"].tolist() == digital["checksum"].tolist()


# How many chips.


def test_a_wanted_interval_stops_the_run_at_a_look():
    narrow = run(NOISY, chips=None, ci_width=0.02, max_chips=5000)
    wide = run(NOISY, chips=None, ci_width=0.05, max_chips=5000)
    assert 100 <= len(wide) < len(narrow) < 5000
    assert narrow["chip"].tolist() == list(range(len(narrow)))
    same = run(NOISY, chips=len(narrow))
    assert narrow.equals(same)


def test_an_interval_out_of_reach_is_refused_before_the_run():
    with pytest.raises(rl.UserError, match=r"ci_width = 0\.0001 is out of reach"):
        run(NOISY, chips=None, ci_width=0.0001, max_chips=1000)


def test_progress_hears_of_every_block(monkeypatch):
    monkeypatch.setattr(Simulation, "block_chips", 4)
    heard = []
    run(NOISY, chips=10, progress=lambda done, total, note: heard.append((done, total)))
    assert heard == [(4, 10), (8, 10), (10, 10)]


def test_conditions_stand_in_order_with_chips_within():
    vary = {"compensation": ["none", "global"], "time_s": [HOUR, DAY]}
    trials = rl.simulate(network(), dataset(), Chip(), vary=vary, chips=3)
    expected = [(c, t, i) for c in ("none", "global") for t in (HOUR, DAY) for i in range(3)]
    assert list(zip(trials["compensation"], trials["time_s"], trials["chip"], strict=True)) == expected
    assert trials.attrs["conditions"] == ["compensation", "time_s"]


def test_a_rank_of_256_is_no_right_answer():
    """Ranks are bytes: 256 classes above the right one must not read as none."""
    classes = 300
    net = mlp([np.eye(classes, dtype=np.float32)], [None])
    x = np.arange(classes, 0, -1, dtype=np.float32)[None]
    found = rl.simulation.Simulation(net, (x, np.array([256])), rl.Chip(device=rl.devices.ideal()))
    assert not found.reference.any()
    assert found.block(0, 0, 1).scores.item() == 0
