"""A chip is a number: the same bits for any threads, blocks, sweep and length of run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import reliability as rl
from reliability.block import Block
from reliability.network import Network, Node, mlp
from reliability.simulation import Simulation
from reliability.units import DAY, HOUR, YEAR

VARY = {"time_s": [0, HOUR, YEAR], "compensation": ["none", "global"]}
SPLIT = rl.Chip(read_noise="split")


def network():
    random = np.random.default_rng(1)
    sizes = ((23, 15), (6, 23))
    weights = [random.normal(size=size) / np.sqrt(size[1]) for size in sizes]
    return mlp(weights, [random.normal(size=len(w)) / 3 for w in weights])


def dataset(count: int = 101):
    random = np.random.default_rng(2)
    return random.normal(size=(count, 15)).astype(np.float32), random.integers(0, 6, count)


def table(chip: rl.Chip = SPLIT, **options) -> pd.DataFrame:
    options = {"vary": VARY, "chips": 10, "seed": 4, **options}
    return rl.simulate(network(), dataset(), chip, **options)


def rows_at(trials: pd.DataFrame, **values) -> pd.DataFrame:
    """Rows of one condition, without the columns that say which."""
    chosen = np.logical_and.reduce([trials[field] == value for field, value in values.items()])
    return trials[chosen].drop(columns=list(values)).reset_index(drop=True)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    """Enough chips that threads take them in another order each time."""
    assert table(chips=200, threads=threads).equals(table(chips=200, threads=1))


@pytest.mark.parametrize("block_chips", [1, 2, 3, 7, 64])
def test_blocks_of_chips_change_no_bit(monkeypatch, block_chips):
    whole = table()
    monkeypatch.setattr(Simulation, "block_chips", block_chips)
    assert table().equals(whole)


def test_a_block_alone_holds_the_chips_that_a_run_holds_there():
    simulation = Simulation(network(), dataset(), SPLIT, VARY, seed=4)
    whole = simulation.block(0, 0, 10)
    for first, count in ((7, 3), (0, 1), (4, 2)):
        part = simulation.block(0, first, count)
        for name in ("bits", "scores", "checksums"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first : first + count])


@pytest.mark.parametrize("block_chips", [1, 3, 64])
def test_chips_observed_in_blocks_are_those_of_one_block(monkeypatch, block_chips):
    simulation = Simulation(network(), dataset(), SPLIT, VARY, seed=4)
    monkeypatch.setattr(Simulation, "block_chips", block_chips)
    done: list[int] = []
    for group in range(len(simulation.sweep.groups)):
        whole = simulation.block(group, 5, 10)
        found = simulation.observe(5, 10, group, watch=done.append)
        for name in Block.__annotations__:
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        outcomes = simulation.outcomes(5, 10, group)
        assert outcomes.shape == (*whole.scores.shape, len(simulation.labels)) and outcomes.dtype == bool
        np.testing.assert_array_equal(outcomes.mean(axis=-1), whole.scores)
    cuts = [*range(block_chips, 10, block_chips), 10]
    assert done == cuts * len(simulation.sweep.groups)


def test_outcomes_are_right_or_wrong_of_the_logits():
    seen: list[np.ndarray] = []

    def keep(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        seen.append(logits.argmax(axis=1) == labels)
        return np.zeros(len(labels))

    x, labels = dataset()
    scored = Simulation(network(), (x, labels), SPLIT, seed=4, metric=keep, arithmetic="float32")
    assert scored.outcomes(2, 3).shape == (3, 1, 1, 0)
    found = Simulation(network(), (x, labels), SPLIT, seed=4, arithmetic="float32").outcomes(2, 3)
    np.testing.assert_array_equal(found[:, 0, 0], seen[-3:])
    assert 0 < found.mean() < 1


def test_a_longer_runs_first_chips_are_the_shorter_runs():
    longer = table(chips=17)
    shorter = longer[longer["chip"] < 10].reset_index(drop=True)
    assert shorter.equals(table())


def test_fewer_inputs_are_the_same_trials_cut_short():
    x, y = dataset()
    fewer = rl.simulate(network(), (x[:37], y[:37]), SPLIT, vary=VARY, chips=10, seed=4)
    for few, many in zip(fewer["correct_bits"], table()["correct_bits"], strict=True):
        few, many = (np.unpackbits(np.frombuffer(bits, np.uint8), count=37) for bits in (few, many))
        np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize(
    "vary",
    [
        {**VARY, "time_s": [0, DAY, HOUR, 1, YEAR]},
        {**VARY, "compensation": ["global", "none"], "time_s": [YEAR, HOUR, 0]},
        {**VARY, "device.programming_scale": [0.5, 1, 2]},
        {**VARY, "mapping.bias": ["devices", "digital"]},
        {"tile.rows": [8, 256], **VARY},
    ],
    ids=["times", "order", "another scale", "another mapping", "another tile"],
)
def test_another_condition_changes_no_row_of_the_others(vary):
    extended, here = table(vary=vary), table()
    other = {"device.programming_scale": 1, "mapping.bias": "digital", "tile.rows": 256}
    fixed = {field: other[field] for field in vary if field in other}
    for time_s in VARY["time_s"]:
        for compensation in VARY["compensation"]:
            condition = {"time_s": time_s, "compensation": compensation}
            assert rows_at(extended, **fixed, **condition).equals(rows_at(here, **condition))


def test_a_condition_alone_has_the_rows_it_has_in_a_sweep():
    for time_s in VARY["time_s"]:
        for compensation in ("none", "global"):
            chip = rl.Chip(read_noise="split", compensation=compensation)
            alone = table(chip, vary={}, time_s=time_s)
            swept = rows_at(table(), time_s=time_s, compensation=compensation)
            assert alone.equals(swept)


def test_one_layers_noise_leaves_the_draws_of_the_others():
    """Common random numbers: a layer that turns exact changes no other layer's chip."""
    both = rl.draw_latents(network(), rl.Chip(), chips=2)
    last = rl.Chip(layers={"first": rl.LayerChip(device=rl.devices.ideal())})
    alone = rl.draw_latents(network(), last, chips=2)
    assert {layer for layer, _ in alone} == {"fc2"}
    for name, latents in alone.items():
        np.testing.assert_array_equal(latents, both[name])


def test_a_layers_chip_does_not_depend_on_what_stands_before_it(float32):
    """The last layer's devices in a network of their own are those in the whole one."""
    x, y = dataset()
    hidden = network().nodes[0].layer.forward(x).clip(0)
    first_digital = rl.Chip(read_noise="split", layers={"first": rl.LayerChip(analog=False)})
    whole = table(first_digital)
    # Alone it keeps its name, which is part of the key.
    alone = Network((Node("fc2", network().nodes[-1].layer),), (23,))
    found = rl.simulate(alone, (hidden, y), SPLIT, vary=VARY, chips=10, seed=4)
    np.testing.assert_array_equal(found["correct"], whole["correct"])


@pytest.mark.parametrize("other", [{"role": "search"}, {"seed": 5}], ids=["role", "seed"])
def test_another_role_or_seed_draws_other_chips(other):
    here, there = table(), table(**other)
    assert not set(here["checksum"]) & set(there["checksum"])


def test_no_two_chips_or_conditions_are_alike():
    trials = table(chips=40)
    # At time 0 compensation does nothing: there the two columns agree.
    assert trials["checksum"].nunique() == 40 * 5


def test_a_run_may_be_taken_up_from_stored_blocks():
    class Memory(dict):
        def get(self, group, first, count):
            return super().get((group, first, count))

        def put(self, group, first, count, block):
            self[group, first, count] = block

    store = Memory()
    whole = table(store=store)
    computed = next(iter(store))
    # What is stored is taken as it stands, what is missing is computed.
    del store[computed]
    assert table(store=store).equals(whole)
    assert computed in store
    store[computed].scores[:] = 0.5
    assert (table(store=store)["accuracy"] == whole["accuracy"]).all()
