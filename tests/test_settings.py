"""Fields by path: values are checked, and a mistake is told in one sentence with what is allowed."""

from __future__ import annotations

import pytest

import reliability as rl
from reliability.conditions import expand
from reliability.settings import as_table, load_chip, put


@pytest.fixture(scope="module")
def study():
    return rl.load_study("drift_vs_time")[1]


@pytest.mark.parametrize(
    ("assignment", "read"),
    [
        ("chip.device.g_max_us=20", lambda s: s.chip.device.g_max_us == 20.0),
        ("chip.device.law=gaussian", lambda s: s.chip.device == rl.devices.gaussian()),
        ("chip.tile.rows=layer", lambda s: s.chip.tile.rows == "layer"),
        ("chip.layers.last.analog=false", lambda s: not s.chip.layers["last"].analog),
        ("chip.layers.fc1.tile.rows=16", lambda s: s.chip.layers["fc1"].tile == rl.Tile(rows=16)),
        ("chip.layers.fc1.device.law=gaussian", lambda s: s.chip.layers["fc1"].device.law == "gaussian"),
        ("vary.time_s=[1, 2]", lambda s: s.vary["time_s"] == [1, 2]),
        ("vary.device.g_max_us=[20, 25]", lambda s: s.vary["device.g_max_us"] == [20, 25]),
        ("target=0.9", lambda s: s.target == 0.9),
        ("metric=top-5", lambda s: s.metric == "top-5"),
        ("chips=7", lambda s: s.chips == 7),
    ],
)
def test_any_field_of_a_study_can_be_set(study, assignment, read):
    assert read(study.set(assignment))


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("chip.device.speed=1", "chip.device.speed is not a field; fields of chip.device are g_max_us"),
        ("chips.more=1", "chips holds a plain value"),
        ("colour=red", "colour is not a field; fields of a study are question, network"),
        ("chip.read_noise=some", "chip.read_noise = 'some' must be 'frozen' or 'split'"),
        ("chip.read_noise=3", "chip.read_noise = 3 must be 'frozen' or 'split'"),
        ("chip.tile.rows=0", "tile.rows = 0 must be a whole number from 1"),
        ("chip.device.t0_s=-1", "device.t0_s = -1.0 of law 'pcm' must be above 0 seconds"),
        ("chip.device.law=flux", "no device law 'flux': known are ideal, gaussian, pcm"),
        ("chip.layers.fc1.analog=perhaps", "chip.layers.fc1.analog = 'perhaps' must be true or false"),
        ("seed=1.5", "seed = 1.5 must be a whole number"),
        ("vary.time_s=3", "vary.time_s = 3 must be a list"),
        ("target=97", "target = 97.0 must be an accuracy above 0 and at most 1"),
        ("seed", "must have the form path=value"),
    ],
)
def test_a_wrong_setting_is_told_with_what_is_allowed(study, assignment, told):
    with pytest.raises(rl.UserError, match=told.replace("(", r"\(")) as error:
        study.set(assignment)
    assert "\n" not in str(error.value)


def test_a_chip_file_is_the_chip_that_it_describes(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        compensation = "global"
        read_noise = "split"
        observation_s = 0.5
        [device]
        law = "pcm"
        g_max_us = 20
        [tile]
        rows = 128
        [mapping]
        bias = "devices"
        [layers.first]
        analog = false
        [layers."fc*"]
        device = { law = "gaussian", sigma = 0.1 }
        """
    )
    assert load_chip(file) == rl.Chip(
        device=rl.devices.pcm(g_max_us=20),
        tile=rl.Tile(rows=128),
        mapping=rl.Mapping(bias="devices"),
        compensation="global",
        read_noise="split",
        observation_s=0.5,
        layers={
            "first": rl.LayerChip(analog=False),
            "fc*": rl.LayerChip(device=rl.devices.gaussian(sigma=0.1)),
        },
        name="mine",
    )


@pytest.mark.parametrize(("names", "right"), [('["fc1"]', "fc1"), ('["fc1", "fc2"]', "fc1,fc2")])
def test_a_list_of_names_is_told_as_the_text_that_it_must_be(names, right):
    study = rl.load_study("layer_sensitivity")[1]
    with pytest.raises(rl.UserError, match=f'must be text, such as analysis.groups.a="{right}"$'):
        study.set(f"analysis.groups.a={names}")
    assert study.set(f'analysis.groups.a="{right}"').analysis.groups == {"a": right}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rows = 3", "chip.rows is not a field"),
        ("[device]\nsigma = 1", "must name a law"),
        ("[device]\nlaw = 'pcm'\nt0_s = 'soon'", "chip.device.t0_s = 'soon' must be a number"),
        ("[device\n", "cannot be read"),
        ("[device]\nlaw = 'own.py'", "own.py does not exist"),
        ("layers = 3", "chip.layers = 3 must be a table"),
    ],
)
def test_a_wrong_chip_file_is_named(tmp_path, text, told):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(rl.UserError, match=told) as error:
        load_chip(file)
    assert "wrong.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_chip_is_told():
    with pytest.raises(rl.UserError, match=r"nowhere\.toml does not exist"):
        load_chip("nowhere.toml")
    with pytest.raises(rl.UserError, match="no chip 'flux': known are ideal, gaussian, pcm"):
        load_chip("flux")


def test_tables_hold_every_field_and_come_back():
    chip = rl.Chip(layers={"last": rl.LayerChip(analog=False)}, tile=rl.Tile(rows=7))
    table = as_table(chip)
    assert table["device"]["law"] == "pcm"
    assert table["layers"]["last"]["analog"] is False
    assert put(rl.Chip(), "tile", table["tile"]) == rl.Chip(tile=rl.Tile(rows=7))


def test_conditions_are_every_combination_with_the_last_field_fastest():
    sweep = expand(rl.Chip(), {"time_s": [0, 10], "compensation": ["none", "global"]})
    assert [tuple(c.values()) for c in sweep.conditions] == [
        (0.0, "none"),
        (0.0, "global"),
        (10.0, "none"),
        (10.0, "global"),
    ]
    assert len(sweep.groups) == 1, "times and compensations share one programming"
    assert [(p.time, p.variant) for p in sweep.places] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_another_device_is_another_group():
    sweep = expand(rl.Chip(), {"device.g_max_us": [20, 25], "time_s": [0, 10]})
    assert [p.group for p in sweep.places] == [0, 0, 1, 1]
    assert sweep.groups[0].chip.device.g_max_us == 20


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ({"time_s": []}, "vary.time_s has no values"),
        ({"time_s": [1, 1]}, "names a value twice"),
        ({"time_s": [-1]}, "must be a number of seconds"),
        ({"time_s": ["soon"]}, "must be a number of seconds"),
        ({"time_s": 3}, "must be a list"),
        ({"device.sigma": [0.1]}, "vary.device.sigma is not a field"),
        ({"chip": [1]}, "vary.chip is not a field"),
        ({"foo": [1]}, "vary.foo is not a field; fields of vary are time_s, read, device, mapping"),
        (["time_s"], r"vary holds a list of 1; it must be a mapping of fields to lists"),
        ({"compensation": ["all"]}, "must be 'none' or 'global'"),
    ],
)
def test_a_wrong_sweep_is_told(vary, told):
    with pytest.raises(rl.UserError, match=told):
        expand(rl.Chip(), vary)
