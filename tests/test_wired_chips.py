"""Chips whose tiles have wires: every array of every tile against the nodal equations of its circuit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from effects_chip import cells, layer_of, network_of
from naive_wires import effective_conductance
from test_tiles import convolutional

import reliability as rl
from reliability.crossbar import crossbars_of
from reliability.errors import UserError

DEVICE = rl.devices.gaussian(g_max_us=100.0, g_min_us=5.0, sigma=0.05)
WIRES = rl.Wires(word_ohm=7.0, bit_ohm=3.0, driver_ohm=50.0, sense_ohm=20.0)
CONVENTION = {"word_ohm": 7.0, "bit_ohm": 3.0, "driver_ohm": 50.0, "sense_ohm": 20.0}


def wired(chip: rl.Chip, wires: rl.Wires = WIRES) -> rl.Chip:
    return replace(chip, tile=replace(chip.tile, wires=wires))


@pytest.mark.parametrize("driven", ["one", "both"])
def test_every_tile_of_a_pair_is_its_own_circuit(driven):
    """All weights positive: the positive devices hold them, the negative ones the smallest conductance."""
    device = rl.devices.ideal(g_max_us=100.0, g_min_us=5.0)
    chip = rl.Chip(device=device, tile=rl.Tile(rows=24, columns=20))
    weight = np.random.default_rng(1).random((45, 53))
    weight[0, 0] = 1.0
    found = rl.chip_weights(network_of(weight), wired(chip, replace(WIRES, driven=driven)))["fc"] * 95
    g = 5 + 95 * weight.T
    for row in range(0, 53, 24):
        for column in range(0, 45, 20):
            here = np.s_[row : row + 24, column : column + 20]
            options = CONVENTION | {"both": driven == "both"}
            expected = effective_conductance(g[here], **options)
            expected -= effective_conductance(np.full_like(g[here], 5.0), **options)
            assert np.allclose(found.T[here], expected, atol=2e-5 * 95)


def test_an_offset_mapping_has_its_reference_line_in_the_same_circuit():
    device = rl.devices.ideal(g_max_us=100.0, g_min_us=5.0)
    mapping = rl.Mapping(scheme="offset", weight_max=1.0)
    chip = rl.Chip(device=device, mapping=mapping, tile=rl.Tile(rows=16, columns=6))
    weight = np.random.default_rng(2).uniform(-1, 1, (11, 20))
    found = rl.chip_weights(network_of(weight), wired(chip))["fc"] * 47.5
    g = 52.5 + 47.5 * weight.T
    for row, column, count in ((0, 0, 6), (16, 0, 6), (0, 6, 5), (16, 6, 5)):
        tile = np.column_stack([g[row : row + 16, column : column + count], np.full(min(16, 20 - row), 52.5)])
        expected = effective_conductance(tile, **CONVENTION)
        assert np.allclose(
            found.T[row : row + 16, column : column + count], expected[:, :-1] - expected[:, -1:], atol=2e-3
        )


def test_slices_and_grouped_convolutions_have_circuits_of_their_own():
    """Slices of digits, groups of two channels: rebuilt from the exact conductances of each array."""
    network = convolutional(groups=2)
    mapping = rl.Mapping(slices=rl.Slices(count=2, bits=2, fill="digits"))
    device = rl.devices.ideal(g_max_us=100.0, g_min_us=5.0)
    chip = wired(rl.Chip(device=device, mapping=mapping, tile=rl.Tile(rows=7, columns=2)))
    found = rl.chip_weights(network, chip)
    for name, crossbar in crossbars_of(network, chip).items():
        mapped = crossbar.mapped
        groups, own = crossbar.window.groups, len(crossbar.matrix) // crossbar.window.groups
        expected = np.zeros(crossbar.matrix.shape)
        for s, significance in enumerate(mapped.significance):
            for sign in (1, -1):
                g = 5 + 95 * np.maximum(sign * mapped.shares[s], 0)
                effective = np.empty_like(g)
                for group in range(groups):
                    for column in range(0, own, 2):
                        for row in range(0, g.shape[1], 7):
                            lines = slice(
                                group * own + column, min(group * own + column + 2, (group + 1) * own)
                            )
                            tile = g[lines, row : row + 7].T
                            effective[lines, row : row + 7] = effective_conductance(tile, **CONVENTION).T
                expected += sign * significance * effective * mapped.weight_scale / 95
        assert np.allclose(found[name], expected, atol=1e-5 * np.abs(expected).max()), name


def test_wires_see_the_cells_of_their_chip():
    """The programming errors of one chip, clamped by the circuit: cells of one array one after the other."""
    chip = rl.Chip(device=DEVICE, tile=rl.Tile(rows=32, columns=32))
    plain, found = (cells(c, 32, 32, value=0.5).T for c in (chip, wired(chip)))
    latents = rl.draw_latents(layer_of(32, 32, 0.5), chip, chips=1)["fc", "programming"][0]
    positive, negative = (5 + 95 * s + 5 * latents[i].astype(np.float64).T for i, s in enumerate((0.5, 0)))
    assert np.allclose(plain, positive - negative, atol=1e-3)
    expected = effective_conductance(positive, **CONVENTION) - effective_conductance(negative, **CONVENTION)
    assert np.allclose(found, expected, atol=2e-3)
    assert np.abs(found - plain).max() > 1


def test_noise_of_single_reads_is_attenuated_as_its_cell():
    """Output noise of a wired column over many inputs against solved circuits with perturbed cells."""
    device = rl.devices.gaussian(g_max_us=100.0, g_min_us=5.0, sigma=0.0, read_sigma=0.02)
    chip = rl.Chip(device=device, tile=rl.Tile(rows=32, columns=8), mapping=rl.Mapping(weight_max=1.0))
    seen = []
    network = layer_of(8, 32)
    x = np.tile(np.random.default_rng(3).random((1, 32), np.float32), (4000, 1))
    rl.simulate(
        network,
        (x, np.zeros(4000, np.int64)),
        wired(chip),
        chips=2,
        metric=lambda z, y: seen.append(z) or z[:, 0],
    )
    sums = np.concatenate(seen[1:])
    rng = np.random.default_rng(4)
    perturbed = []
    for _ in range(1500):
        g = [np.full((32, 8), level) + 2 * rng.normal(size=(32, 8)) for level in (100.0, 5.0)]
        both = [effective_conductance(own, **CONVENTION) for own in g]
        perturbed.append(x[0] @ (both[0] - both[1]) / 95)
    ratio = sums.std(axis=0) / np.std(perturbed, axis=0)
    assert np.all(np.abs(ratio - 1) < 0.12), ratio


@pytest.mark.parametrize(
    "wires",
    [rl.Wires(), rl.Wires(driven="both"), rl.Wires(word_ohm=0.0, bit_ohm="word")],
)
def test_wires_without_resistance_are_bitwise_no_wires(wires):
    data = rl.load_dataset("digits").head(60)
    chip = rl.Chip(device=rl.devices.pcm(), tile=rl.Tile(rows=32))
    runs = [
        rl.simulate(rl.load_network("digits-mlp"), data, c, chips=3, time_s=3600.0)
        for c in (chip, wired(chip, wires))
    ]
    assert (runs[0]["checksum"] == runs[1]["checksum"]).all()


def test_chips_with_wires_do_not_depend_on_threads_or_blocks():
    data = rl.load_dataset("digits").head(40)
    chip = wired(rl.Chip(device=rl.devices.pcm(), tile=rl.Tile(rows=32, columns=32)))
    network = rl.load_network("digits-mlp")
    times = {"time_s": [0.0, 3600.0], "compensation": ["none", "global"]}
    one, two = (rl.simulate(network, data, chip, vary=times, chips=5, threads=t) for t in (1, 2))
    assert (one["checksum"] == two["checksum"]).all()
    alone = rl.simulate(network, data, chip, time_s=3600.0, chips=5)
    later = one[(one["time_s"] == 3600) & (one["compensation"] == "none")]
    assert (alone["checksum"].to_numpy() == later["checksum"].to_numpy()).all()


@pytest.mark.parametrize(
    ("field", "value"), [("word_ohm", -1.0), ("bit_ohm", "row"), ("sense_ohm", 1e9), ("driven", "left")]
)
def test_wrong_fields_are_named(field, value):
    with pytest.raises(UserError, match=f"wires.{field}"):
        rl.Wires(**{field: value})
