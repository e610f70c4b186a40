"""Effects of a chip: off means never there, each can be chosen, and none moves the chips of another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import reliability as rl
from reliability.effects import choices, effect_names, resolved
from reliability.errors import UserError

EVERYTHING = rl.Chip(
    device=rl.devices.pcm(),
    tile=rl.Tile(rows=32, columns=16, dac=rl.DAC(bits=8), adc=rl.ADC(bits=8)),
    telegraph=rl.Telegraph(amplitude=0.2),
    faults=rl.Faults(stuck_low=0.01, stuck_high=0.02, cycles=1e7),
    variation=rl.Variation(die=0.05, field=0.05),
)
OFF = {
    "telegraph": rl.Telegraph(amplitude=0.0, occupancy=0.2, correlation_s=7.0),
    "faults": rl.Faults(low_us=3.0, cluster_radius=5.0, worn_low=0.1),
    "variation": rl.Variation(field_length=3.0, wafers="one"),
}


def trials(chip: rl.Chip, chips: int = 6, **options):
    return rl.simulate(
        rl.load_network("digits-mlp"),
        rl.load_dataset("digits").head(60),
        chip,
        chips=chips,
        calibration=rl.load_dataset("digits", split="train"),
        **options,
    )


@pytest.mark.parametrize("effect", OFF)
@pytest.mark.parametrize(
    "device", [rl.devices.pcm(), rl.devices.gaussian(read_sigma=0.01)], ids=["pcm", "gaussian"]
)
def test_an_effect_without_strength_is_bitwise_the_chip_that_never_had_it(effect, device):
    without = rl.Chip(device=device)
    off = replace(without, **{effect: OFF[effect]})
    times = {"time_s": [0.0, 3600.0], "compensation": ["none", "global"]}
    assert (trials(without, vary=times)["checksum"] == trials(off, vary=times)["checksum"]).all()


@pytest.mark.parametrize("effect", effect_names(EVERYTHING))
def test_a_chip_whose_effect_is_taken_away_is_bitwise_one_that_never_had_it(effect):
    """Taken away by choice, and described without it: the same chips, so the effects' draws are apart."""
    never = {
        "programming": replace(EVERYTHING, device=rl.devices.pcm(programming_scale=0)),
        "drift": replace(EVERYTHING, device=rl.devices.pcm(drift_scale=0)),
        "read_1f": replace(EVERYTHING, device=rl.devices.pcm(read_scale=0)),
        "telegraph": replace(EVERYTHING, telegraph=rl.Telegraph()),
        "faults": replace(EVERYTHING, faults=rl.Faults(cycles=1e7)),
        "wear": replace(EVERYTHING, faults=rl.Faults(stuck_low=0.01, stuck_high=0.02)),
        "variation": replace(EVERYTHING, variation=rl.Variation()),
        "dac": replace(EVERYTHING, tile=rl.Tile(rows=32, columns=16, adc=rl.ADC(bits=8))),
        "adc": replace(EVERYTHING, tile=rl.Tile(rows=32, columns=16, dac=rl.DAC(bits=8))),
    }[effect]
    chosen = replace(EVERYTHING, effects=f"all but {effect}")
    a, b = (trials(chip, time_s=86400.0) for chip in (never, chosen))
    assert (a["checksum"] == b["checksum"]).all()
    assert (a["checksum"] != trials(EVERYTHING, time_s=86400.0)["checksum"]).all()


def test_each_spells_out_every_choice_and_all_differ():
    names = effect_names(EVERYTHING)
    assert names == (
        "programming",
        "drift",
        "read_1f",
        "telegraph",
        "faults",
        "wear",
        "variation",
        "dac",
        "adc",
    )
    found = trials(EVERYTHING, vary={"effects": ["each"]}, time_s=3600.0)
    assert list(found["effects"].unique()) == choices(EVERYTHING)
    assert found.groupby("effects", sort=False)["checksum"].first().nunique() == 2 + 2 * len(names)


def test_no_effect_is_the_digital_network():
    none = resolved(replace(EVERYTHING, effects="none"))
    assert effect_names(none) == ()
    clean = trials(none, chips=2)
    assert clean["checksum"].nunique() == 1


def test_the_weights_of_a_chip_know_its_choice_of_effects():
    network = rl.load_network("digits-mlp")
    found = rl.chip_weights(network, replace(EVERYTHING, effects="none"))["fc1"]
    assert np.allclose(found, network.weighted[0].layer.weight, atol=1e-6)


def test_choices_reach_the_layers_that_say_something_of_their_own():
    layers = {"last": rl.LayerChip(device=rl.devices.gaussian(sigma=0.1), faults=rl.Faults(stuck_low=0.5))}
    chip = replace(EVERYTHING, layers=layers)
    only = resolved(replace(chip, effects="only drift"))
    assert only.layers["last"].device.sigma == 0 and only.layers["last"].faults == rl.Faults()
    assert resolved(replace(chip, effects="only faults")).layers["last"].faults.stuck_low == 0.5


@pytest.mark.parametrize(
    "choice", ["only fire", "most", "all but", "only ", "none of them", "only drift, fire"]
)
def test_a_wrong_choice_is_told_with_what_there_is(choice):
    with pytest.raises(UserError, match="effects of this chip: programming, drift"):
        trials(replace(EVERYTHING, effects=choice))


def test_a_layer_without_an_effect_keeps_its_chips():
    """What one layer's override says of faults moves no other layer's cells."""
    weights = {
        name: rl.chip_weights(
            rl.load_network("digits-mlp"),
            replace(EVERYTHING, layers={} if name == "all" else {"last": rl.LayerChip(faults=rl.Faults())}),
        )
        for name in ("all", "but last")
    }
    assert np.array_equal(weights["all"]["fc1"], weights["but last"]["fc1"])
    assert not np.array_equal(weights["all"]["fc2"], weights["but last"]["fc2"])


def test_the_weights_of_an_ideal_chip_are_those_of_the_network():
    network = rl.load_network("digits-mlp")
    for mapping in (
        rl.Mapping(),
        rl.Mapping(scheme="offset"),
        rl.Mapping(slices=rl.Slices(count=3, fill="max")),
    ):
        device = rl.devices.ideal(g_min_us=2.0)
        found = rl.chip_weights(network, rl.Chip(device=device, mapping=mapping, tile=rl.Tile(columns=20)))
        for node in network.weighted:
            assert np.allclose(
                found[node.name], node.layer.weight, atol=1e-6 * np.abs(node.layer.weight).max()
            )


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("telegraph.correlation_s", [1e-6, 1.0]),
        ("faults.cluster_radius", [1.0, 5.0]),
        ("faults.endurance_cycles", [1e6, 1e9]),
        ("variation.field_length", [1.0, 10.0]),
        ("variation.wafers", ["own", "one"]),
        ("tile.wires.driven", ["one", "both"]),
    ],
)
def test_sweeping_an_effect_that_is_off_is_explained(field, values):
    with pytest.raises(rl.RunError, match=f"sweeping {field} over .* the chip's effects are programming,"):
        trials(rl.Chip(device=rl.devices.pcm()), vary={field: values}, chips=2)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("telegraph.amplitude", [0.0, 0.1]),
        ("telegraph.correlation_s", [1e-9, 1e9]),
        ("faults.stuck_high", [0.0, 0.1]),
        ("faults.cycles", [0.0, 1e8]),
        ("variation.die", [0.0, 0.1]),
        ("variation.field_length", [1.0, 10.0]),
    ],
)
def test_every_effect_can_be_swept(field, values):
    chip = replace(EVERYTHING, tile=rl.Tile())
    found = trials(chip, vary={field: values}, chips=2)
    assert found.groupby(field)["checksum"].first().nunique() == 2
