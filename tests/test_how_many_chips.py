"""The study of chips and inputs: its tables against the statistics, its text, its figure, its refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest

import reliability as rl
from reliability.analyses import how_many_chips
from reliability.analyses.how_many_chips import HowManyChips
from reliability.design import load_study
from reliability.statistics import Outcomes
from reliability.statistics.components import variance_components
from reliability.statistics.planning import Split, half_width


@pytest.fixture(scope="module")
def found():
    _, study = load_study("how_many_chips")
    study = replace(study, chips=80)
    network, dataset = study.load()
    setting = study.setting(network, dataset)
    return setting, study.analysis.answer(setting)


def test_the_split_is_that_of_the_pilot(found):
    setting, answer = found
    trials = rl.simulate(setting.network, setting.dataset, setting.chip, chips=80)
    packed = np.stack([np.frombuffer(bits, np.uint8) for bits in trials["correct_bits"]])
    expected = variance_components([Outcomes(packed, 450)])
    split = answer.tables["split"]
    own = split[split["of"] == "mean"]
    assert own["value"].tolist() == [part.value for part in expected]
    assert own["high"].tolist() == [part.interval.high for part in expected]
    # The drop has the same chips, and inputs less the digital network's.
    drop = split[split["of"] == "drop"]
    assert drop["value"].iloc[0] == pytest.approx(own["value"].iloc[0])
    assert drop["value"].iloc[1] < own["value"].iloc[1]


def test_plans_reach_what_is_wanted(found):
    _, answer = found
    plans, split = answer.tables["plans"], answer.tables["split"]
    assert len(plans) == 2 * 2 * 5
    for name in ("mean", "drop"):
        values = split[split["of"] == name]["value"]
        for _, row in plans[(plans["of"] == name) & (plans["varies"] == "chips and inputs")].iterrows():
            if math.isfinite(row["value"]):
                assert half_width(Split(*values), row["chips"], row["inputs"]) <= row["half_width"]
                assert row["low"] <= row["value"] <= row["high"]
            else:
                assert row["inputs_needed"] > row["all_inputs"] or row["half_width"] < 0.02
    assert plans["value"].isin([math.inf]).any()
    assert "out of reach: needs" in answer.text
    assert "gain next to nothing for the mean" in answer.text


def test_every_estimate_says_what_it_is(found):
    for name in ("split", "cost", "plans"):
        table = found[1].tables[name]
        assert {"value", "low", "high", "level", "method", "varies"} <= set(table.columns)
        assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    cost = found[1].tables["cost"]
    assert (cost["value"] >= 0.0).all()


def test_text_and_figure(found):
    _, answer = found
    assert max(map(len, answer.text.splitlines())) <= 100
    figure = answer.draw()
    assert len(figure.axes) == 2
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["all inputs that there are", "cheapest plan over chips and inputs"]
    figure.canvas.draw()
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {"100", "200", "500", "1,000"} <= set(ticks)
    widths = answer.tables["half_widths"]
    assert widths.groupby("of")["half_width"].min().max() < 0.02


def test_chips_that_do_not_differ_need_no_plan():
    study = load_study("how_many_chips")[1].set("chip.device.sigma=0")
    study = replace(study, chips=10, inputs=100)
    setting = study.setting(*study.load(), threads=1)
    answer = study.analysis.answer(setting)
    assert "The pilot's chips do not differ on any input" in answer.text
    assert "gain next to nothing" not in answer.text and "chips, these inputs" not in answer.text
    assert not any(
        line.startswith("drop") and "chips and inputs" in line for line in answer.text.splitlines()
    )
    assert "on 1 thread" in answer.text and "1 threads" not in answer.text
    assert max(map(len, answer.text.splitlines())) <= 100
    right = answer.draw().axes[1]
    assert [text.get_text() for text in right.texts] == ["Outcomes do not differ:\nhalf width 0"]
    assert len(right.get_lines()[1].get_xdata()) == 0


@pytest.mark.parametrize(
    ("many", "few", "told"),
    [
        ([5.0, 3.0, 3.0, 3.1, 3.2, 9.0, 3.0], [1.0, 1.1, 1.0, 7.0, 1.3, 1.2, 1.0], True),
        ([1.0, 2.0, 1.1, 2.0, 1.1, 2.0, 1.0], [1.1, 1.0, 2.0, 1.1, 2.0, 1.2, 0.9], False),
        ([1.0] * 7, [2.0] * 7, False),
    ],
)
def test_an_inputs_time_is_the_slope_of_the_shortest_times_where_one_is_told(monkeypatch, many, few, told):
    times = iter([t for pair in zip(many, few, strict=True) for t in pair])
    monkeypatch.setattr(how_many_chips, "_timed_chips", lambda simulation, sweeps: 2)
    monkeypatch.setattr(how_many_chips, "_seconds_of", lambda sweep, chips: next(times))
    monkeypatch.setattr(how_many_chips, "_ROUNDS_S", 0.0)
    study = replace(load_study("how_many_chips")[1], inputs=40)
    setting = study.setting(*study.load(), threads=1)
    cost, table = how_many_chips._measure_cost(setting.simulation(), setting)
    slope = (min(many) - min(few)) / 2 / 30
    assert table["value"].iloc[1] == pytest.approx(slope if told else 0.0)
    assert table["value"].iloc[0] == pytest.approx(min(many) / 2 - 40 * slope if told else min(many) / 2)
    assert cost.chip_s == table["value"].iloc[0] and cost.input_s == max(table["value"].iloc[1], 1e-12)
    assert ("is not told from 0" in how_many_chips._cost_line(table, 40)) is not told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chips": 2}, "2 chips on 450 inputs; at least 3 chips on 8 inputs"),
        ({"inputs": 7}, "1000 chips on 7 inputs"),
        ({"metric": "per-class"}, "right or wrong"),
    ],
)
def test_what_it_cannot_split_is_refused(change, words):
    study = replace(load_study("how_many_chips")[1], **change)
    setting = study.setting(*study.load())
    with pytest.raises(rl.UserError, match=words):
        study.analysis.answer(setting)


@pytest.mark.parametrize("widths", [(), (0.0,), (2.0,), 0.01])
def test_impossible_half_widths_are_refused(widths):
    with pytest.raises(rl.UserError, match=r"analysis\.half_widths"):
        HowManyChips(half_widths=widths)
