"""What a study prints and draws."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import reliability as rl
from reliability import plots
from reliability.plots.style import points_to_show
from reliability.report import _span, clipping_text, describe, summary_text
from reliability.units import grid_in_words, time_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (rl.DAY, "1 day"),
        (rl.WEEK, "7 days"),
        (rl.YEAR, "1 year"),
    ],
)
def test_times_in_words(seconds, words):
    assert time_in_words(seconds) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 0, "from the start"),
        (0, rl.DAY, "by 1 day"),
        (1, rl.DAY, "between 1 s and 1 day"),
        (rl.DAY, math.inf, "after 1 day"),
        (math.inf, math.inf, "not at any time simulated"),
        (0, math.inf, "unknown"),
    ],
)
def test_failure_times_in_words(low, high, words):
    assert _span(low, high) == words


@pytest.fixture(scope="module")
def trials():
    network, dataset = rl.load_network("digits-mlp"), rl.load_dataset("digits").head(90)
    vary = {"time_s": [0, rl.HOUR, rl.YEAR], "compensation": ["none", "global"]}
    return rl.simulate(network, dataset, rl.Chip(), vary=vary, chips=12)


def test_the_figure_is_one_column_wide_and_says_what_it_shows(trials):
    curve = rl.Curve(x="time_s", hue="compensation", log_x=True, label="Time")
    figure = plots.accuracy_curve(trials, rl.summarize(trials), curve)
    assert figure.get_figwidth() * 2.54 == pytest.approx(8.5)
    above, below = figure.axes
    assert "5\N{EN DASH}95 % of chips" in above.get_title(loc="left")
    assert "95 % interval (chips and inputs)" in below.get_title(loc="left")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["compensation: none", "compensation: global", "digital network"]
    assert [t.get_text() for t in below.get_xticklabels()] == [
        "0\ns",
        "1\nh",
        "1\nday",
        "1\nmonth",
        "1\nyear",
    ]
    lines = above.get_lines()
    means = 100 * trials[trials["compensation"] == "none"].groupby("time_s")["accuracy"].mean()
    np.testing.assert_allclose(lines[0].get_ydata(), means)


def test_a_figure_without_the_digital_network_has_one_panel(trials):
    scored = rl.simulate(
        rl.load_network("digits-mlp"),
        rl.load_dataset("digits").head(30),
        rl.Chip(),
        vary={"time_s": [1, rl.YEAR]},
        chips=5,
        metric=lambda logits, labels: logits[np.arange(len(labels)), labels],
    )
    figure = plots.accuracy_curve(scored, rl.summarize(scored), rl.Curve(x="time_s", log_x=True))
    assert len(figure.axes) == 1


def test_equal_figures_are_equal_files(trials, tmp_path):
    curve = rl.Curve(x="time_s", hue="compensation", log_x=True)
    paths = [tmp_path / name for name in ("a.pdf", "b.pdf", "a.png", "b.png")]
    for path in paths:
        plots.save(plots.accuracy_curve(trials, rl.summarize(trials), curve), [path])
    content = [path.read_bytes() for path in paths]
    assert content[0] == content[1]
    assert content[2] == content[3]


def test_the_summary_fits_a_hundred_columns_whatever_it_holds(trials):
    text = summary_text(rl.summarize(trials), ["time_s", "compensation"], 0.95)
    assert max(map(len, text.splitlines())) <= 100
    assert "1 year" in text
    assert "yield" in text


def converters_of(layer: str, dac: float, adc: float, **ranges) -> dict:
    ranges = {"dac_range": 1.0, "adc_range": [2.0]} | ranges
    return {"layer": layer, "dac_clipped": dac, "adc_clipped": adc, **ranges}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([converters_of("fc1", 0.0, 0.0)], "no input; no column sum."),
        (
            [converters_of("fc1", 0.02, 0.0), converters_of("fc2", 0.001, 0.0005)],
            "2 % of the inputs (fc1); 0.05 % of the column sums (fc2).",
        ),
        ([converters_of("fc1", 0.0, 0.01, dac_range=None)], "with most: 1 % of the column sums (fc1)."),
    ],
)
def test_clipping_in_words(rows, told):
    assert told in " ".join(clipping_text(rows).split())


def test_the_description_tells_converters_and_mapping():
    study = rl.load_study("converter_bits")[1].set("chip.mapping.scheme='offset'")
    study = study.set("chip.mapping.slices.count=3")
    network, dataset = study.load()
    told = " ".join(describe(study, network, dataset, study.simulation(network, dataset)).split())
    for words in ("DAC of 8 bits", "mapping offset", "3 slices a weight"):
        assert words in told, told[:1500]


def test_points_show_the_mean_and_the_range_of_each_value():
    trials = rl.simulate(
        rl.load_network("digits-mlp"),
        rl.load_dataset("digits").head(90),
        rl.Chip(),
        vary={"device": ["pcm", "hermes_1", "stt_mram_typical"], "time_s": [1.0, rl.DAY]},
        chips=8,
    )
    points = rl.Points(y="device", hue="time_s", names={"pcm": "PCM", "1.0": "1 s"})
    figure = plots.accuracy_points(trials, points)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["PCM", "hermes_1", "stt_mram_typical"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["1 s", "86400.0", "digital network"]
    later = trials[(trials["time_s"] == rl.DAY) & (trials["device"] == "hermes_1")]["accuracy"]
    bar, mean = [line for line in axes.get_lines() if 1 < line.get_ydata()[0] < 1.5][:2]
    np.testing.assert_allclose(bar.get_xdata(), 100 * later.quantile([0.05, 0.95]))
    np.testing.assert_allclose(mean.get_xdata(), 100 * later.mean())


def test_costs_are_drops_of_each_effect_alone_and_gains_without_it():
    chip = rl.Chip(device=rl.devices.pcm(), faults=rl.Faults(stuck_low=0.05))
    trials = rl.simulate(
        rl.load_network("digits-mlp"),
        rl.load_dataset("digits").head(90),
        chip,
        vary={"effects": ["each"]},
        time_s=rl.DAY,
        chips=10,
    )
    figure = plots.effect_costs(rl.summarize(trials), rl.Costs(names={"faults": "stuck cells"}))
    left, right = figure.axes
    assert left.get_yticklabels()[0].get_text() == "stuck cells"
    mean = trials.groupby("effects")["accuracy"].mean()
    won = [bar.get_width() for bar in right.patches]
    assert won == sorted(won, reverse=True)
    assert won[0] == pytest.approx(100 * (mean["all but faults"] - mean["all"]))
    lost = 100 * (plots.reference_accuracy(trials) - mean["only faults"])
    assert left.patches[0].get_width() == pytest.approx(lost)


def test_a_moment_before_a_refresh_is_told_as_such():
    assert grid_in_words((0.0, 3600.0, 7199.999, 7200.0)) == ["0 s", "1 h", "just before 2 h", "2 h"]


def one_row(**changed) -> dict:
    row = {"value": 0.01, "low": 0.0, "high": 0.02, "method": "crossed ANOVA, Satterthwaite t"}
    return row | changed


def test_a_bound_without_any_spread_does_not_set_an_axis():
    bound = one_row(
        value=0.0, low=-0.33, high=0.33, method="paired: all outcomes equal: exact binomial bound"
    )
    low, high = points_to_show(pd.DataFrame([one_row(), bound]))
    assert -1 < low < 0 and 2 < high < 3
    assert points_to_show(pd.DataFrame([one_row()])) is None
    # Nothing else is there to show.
    assert points_to_show(pd.DataFrame([bound])) is None
    widened = "crossed ANOVA, Satterthwaite t, widened by an exact binomial bound (few departures)"
    assert points_to_show(pd.DataFrame([one_row(method=widened)])) is None


def test_a_drop_of_chips_that_are_alike_leaves_the_panel(trials):
    summary = rl.summarize(trials)
    drops = (summary["estimand"] == "drop") & (summary["varies"] == "chips and inputs")
    first = summary.index[drops][0]
    summary.loc[first, ["value", "low", "high"]] = 0.0, -0.9, 0.9
    summary.loc[first, "method"] = "paired: all outcomes equal: exact binomial bound"
    curve = rl.Curve(x="time_s", hue="compensation", log_x=True)
    below = plots.accuracy_curve(trials, summary, curve).axes[1]
    assert below.get_ylim()[1] < 60 and "no spread was seen" in below.get_title(loc="left")


def test_one_chip_has_no_spread_and_few_chips_no_lower_end():
    network, dataset = rl.load_network("digits-mlp"), rl.load_dataset("digits").head(30)
    told = {}
    # 59 chips are the fewest (Wilks 1941).
    for chips in (1, 58, 59):
        trials = rl.simulate(network, dataset, rl.Chip(), vary={"time_s": [1.0]}, chips=chips)
        told[chips] = summary_text(rl.summarize(trials), ["time_s"], 0.95)
    assert "1 chip, 30 inputs." in told[1] and "What brings the variance" not in told[1]
    first = next(line for line in told[1].splitlines() if line.startswith("1 s"))
    assert " - " in first and "[-, " in first
    for chips, has_end in ((1, False), (58, False), (59, True)):
        assert ("too few chips for a lower end of the 5 % chip" in told[chips]) is not has_end
        assert ("[-, " in told[chips]) is not has_end
