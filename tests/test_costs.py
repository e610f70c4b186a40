"""Costs of a chip against counts by hand."""

import numpy as np
import pytest
from small_networks import mlp

from reliability import ADC, Chip, Faults, LayerChip, Mapping, Slices, Tile, UserError, devices, load_network
from reliability.mitigation.adabs import AdaptiveStatistics
from reliability.mitigation.bias import BiasCorrection
from reliability.mitigation.compensation import DriftCompensation
from reliability.mitigation.cost_model import cost_model, cost_sources
from reliability.mitigation.costs import COLUMNS, count_costs, relative_price, total_costs
from reliability.mitigation.digital_correction import DigitalCorrection
from reliability.mitigation.in_pair import InPairCorrection
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.refresh import Refresh
from reliability.mitigation.remapping import RowRemapping
from reliability.mitigation.repair_counts import repair_counts
from reliability.mitigation.spares import Spares
from reliability.units import DAY, YEAR

NETWORK = load_network("digits-mlp")
SHAPES = {node.name: node.layer.weight.shape for node in NETWORK.weighted}
CHIP = Chip(device=devices.gaussian(sigma=0.1))


def test_every_number_has_a_source():
    assert set(cost_sources()) == set(vars(cost_model()))
    assert all(len(source) > 10 for source in cost_sources().values())


def test_cells_conversions_and_writes_of_fully_connected_layers():
    found = count_costs(NETWORK, CHIP).set_index("layer")
    for name, (columns, rows) in SHAPES.items():
        assert found.loc[name, "cells"] == 2 * rows * columns == found.loc[name, "writes"]
        # One tile holds the layer: one conversion a column, one addition of it, one digital affine.
        assert found.loc[name, "conversions"] == columns
        assert found.loc[name, "operations"] == 2 * columns


def test_tiles_and_slices_multiply_conversions():
    chip = Chip(
        device=devices.gaussian(),
        tile=Tile(rows=16, adc=ADC(bits=6)),
        mapping=Mapping(slices=Slices(count=2, fill="digits", bits=4)),
    )
    found = count_costs(NETWORK, chip).set_index("layer")
    for name, (columns, rows) in SHAPES.items():
        assert found.loc[name, "conversions"] == 2 * columns * -(-rows // 16)
        assert found.loc[name, "cells"] == 4 * rows * columns


def test_energy_and_latency_by_hand():
    numbers = dict.fromkeys(vars(cost_model()), 0.0) | {"adc_j": 2.0, "ideal_bits": 9.0}
    numbers |= {"column_share": 1.0, "parallel_writes": 1.0}
    found = total_costs(count_costs(NETWORK, CHIP, cost_model(**numbers)))
    columns = sum(shape[0] for shape in SHAPES.values())
    assert found["energy_j"] == pytest.approx(2.0 * 2 * columns)
    numbers = dict.fromkeys(vars(cost_model()), 0.0) | {"read_v": 2.0, "input_power": 0.5, "read_s": 3.0}
    numbers |= {"column_share": 1.0, "parallel_writes": 1.0}
    found = count_costs(NETWORK, CHIP, cost_model(**numbers))
    held = [
        25e-6 * np.abs(node.layer.weight).sum() / np.abs(node.layer.weight).max() for node in NETWORK.weighted
    ]
    np.testing.assert_allclose(found["energy_j"], 6.0 * np.array(held), rtol=1e-6)
    np.testing.assert_allclose(found["latency_s"], 3.0)


def test_arrays_are_programmed_at_the_same_time():
    found = count_costs(NETWORK, CHIP, cost_model(write_s=1.0))
    total = total_costs(found)
    assert total["program_s"] == max(2 * c * r for c, r in SHAPES.values())
    assert total["writes"] == sum(2 * c * r for c, r in SHAPES.values())
    # Copies stand in arrays of their own.
    doubled = total_costs(count_costs(NETWORK, Redundancy(2).apply(CHIP), cost_model(write_s=1.0)))
    assert doubled["program_s"] == total["program_s"] and doubled["writes"] == 2 * total["writes"]


def test_copies_cost_what_they_add():
    """Copies of some columns program no faster; copies in one array program slower and convert no more."""
    network, columns, rows = mlp(20, 40, 10), 40, 20
    numbers = dict.fromkeys(vars(cost_model()), 0.0) | {"write_s": 1.0, "adc_area_um2": 1.0, "dac_j": 1.0}
    model = cost_model(**numbers | {"column_share": 1.0, "parallel_writes": 1.0, "ideal_bits": 8.0})

    def costs(slices: Slices) -> dict[str, float]:
        chip = Chip(device=devices.gaussian(), layers={"layer0": LayerChip(mapping=Mapping(slices=slices))})
        return count_costs(network, chip, model).set_index("layer").loc["layer0"].to_dict()

    plain, some = costs(Slices()), costs(Slices(4, columns=0.1))
    every, together = costs(Slices(4)), costs(Slices(4, combine="current"))
    assert plain["program_s"] == 2 * rows * columns == some["program_s"] == every["program_s"]
    assert together["program_s"] == 4 * plain["program_s"]
    assert some["operations"] == 40 + 3 * 4 + 40 and some["conversions"] == 40 + 3 * 4
    assert some["area_mm2"] == pytest.approx(1e-6 * (40 + 3 * 4))
    assert every["conversions"] == 4 * together["conversions"] == 4 * plain["conversions"]
    for name in ("area_mm2", "energy_j", "operations", "conversions", "latency_s"):
        assert together[name] == plain[name], name
    assert together["cells"] == every["cells"] == 4 * plain["cells"]


def test_corrections_of_what_is_faulty_are_counted_on_chips():
    """Pairs with one broken device that the other can make up for need no word."""
    faults = Faults(stuck_low=0.0175, stuck_high=0.0904)
    network = mlp(60, 50, 10)
    found = {}
    for name, cures in {"alone": (), "in pair": (InPairCorrection(),)}.items():
        chip = Chip(device=devices.gaussian(), faults=faults)
        for cure in (*cures, DigitalCorrection("faulty", True)):
            chip = cure.apply(chip)
        numbers = dict.fromkeys(vars(cost_model()), 0.0) | {"word_area_um2": 1e6}
        model = cost_model(**numbers | {"column_share": 1.0, "parallel_writes": 1.0})
        found[name] = total_costs(count_costs(network, chip, model))["area_mm2"]
    # Words of 16 bits, each with the 12 or 9 bits of its place in the layer.
    weights = 60 * 50 * (1 + 12 / 16) + 50 * 10 * (1 + 9 / 16)
    # The active device is stuck at what it cannot be, or the one at rest is stuck low.
    active, rest = 0.0175 + 0.0904, 0.0175
    assert found["alone"] == pytest.approx(weights * (1 - (1 - active) * (1 - rest)), rel=0.1)
    # Beside an active device that is stuck low the other makes up for it; not beside one stuck high.
    assert found["in pair"] == pytest.approx(weights * (0.0904 + rest), rel=0.1)


def test_places_of_remapped_rows_are_kept():
    chip = Chip(device=devices.gaussian(), faults=Faults(stuck_low=0.01))
    numbers = dict.fromkeys(vars(cost_model()), 0.0) | {"word_area_um2": 16e6}
    model = cost_model(**numbers | {"column_share": 1.0, "parallel_writes": 1.0})
    network = mlp(60, 50, 10)
    area = total_costs(count_costs(network, RowRemapping(False).apply(chip), model))["area_mm2"]
    # Every row of a tile may be any other: 60 and 50 of them, six bits each.
    assert area == 6 * 60 + 6 * 50
    assert total_costs(count_costs(network, chip, model))["area_mm2"] == 0


def test_digital_layers_have_words_and_operations():
    chip = Chip(device=devices.gaussian(), layers={"last": LayerChip(analog=False)})
    own = count_costs(NETWORK, chip).iloc[-1]
    columns, rows = list(SHAPES.values())[-1]
    assert own["cells"] == 0 and own["operations"] == rows * columns
    assert own["energy_j"] == pytest.approx(rows * columns * (1.5e-12 + 2.5e-12))


def test_calibration_reads_by_hand():
    """60 x 30 and 10 x 60 with biases digital, on tiles of 30 x 16: four arrays, and two below each other."""
    network, chip = mlp(30, 60, 10), Chip(tile=Tile(rows=30, columns=16))

    def reads(cured):
        return list(count_costs(network, cured)["calibration_reads"])

    assert reads(chip) == [0, 0]
    # Every row alone.
    for factor in ("global", "column", "exact"):
        assert reads(DriftCompensation(factor).apply(chip)) == [4 * 30, 2 * 30]
    assert reads(DriftCompensation().apply(Redundancy(3).apply(chip))) == [3 * 4 * 30, 3 * 2 * 30]
    # Every calibration input once.
    for cure in (BiasCorrection(100), AdaptiveStatistics(inputs=100)):
        assert reads(cure.apply(chip)) == [4 * 100, 2 * 100]
    assert reads(BiasCorrection(100).apply(DriftCompensation().apply(chip))) == [4 * 130, 2 * 130]


def test_a_refresh_writes_all_cells_again():
    network, chip = mlp(6, 5, 3), Refresh(30 * DAY).apply(CHIP)
    cells = 2 * (6 * 5 + 5 * 3)
    for horizon_s, programmed in ((0.0, 1), (30 * DAY, 1), (31 * DAY, 2), (YEAR, 13)):
        assert count_costs(network, chip, horizon_s=horizon_s)["writes"].sum() == programmed * cells


def test_repairs_cost_spares_words_and_a_test_of_all_cells():
    broken = Chip(device=devices.gaussian(), faults=Faults(stuck_low=0.1), tile=Tile(rows=20, columns=7))
    chip = Spares(rows=0.1).apply(DigitalCorrection(0.02).apply(broken))
    plain, found = count_costs(NETWORK, broken), count_costs(NETWORK, chip)
    added = repair_counts(NETWORK, chip)
    assert (added["spare_cells"] > 0).all() and (added["words"] > 0).all()
    assert list(found["cells"] - plain["cells"]) == list(added["spare_cells"])
    assert list(found["writes"] - plain["writes"]) == list(2 * found["cells"])
    assert list(found["operations"] - plain["operations"]) == list(added["words"])
    # No cell breaks: there is nothing to repair.
    healthy = Chip(device=chip.device, repair=chip.repair, tile=chip.tile)
    np.testing.assert_array_equal(count_costs(NETWORK, healthy)[list(COLUMNS)], plain[list(COLUMNS)])


def test_prices_weigh_relative_costs():
    base = total_costs(count_costs(NETWORK, CHIP))
    double = total_costs(count_costs(NETWORK, Redundancy(2).apply(CHIP)))
    assert relative_price(base, base, {"cells": 1.0, "energy_j": 2.0}) == 1.0
    assert relative_price(double, base, {"cells": 1.0}) == pytest.approx(2.0)
    # Copies share the converters, which read twice as many lines, up to as many as one serves.
    later = double["latency_s"] / base["latency_s"]
    assert 1 < later < 2
    mixed = relative_price(double, base, {"cells": 1.0, "conversions": 3.0, "latency_s": 4.0})
    assert mixed == pytest.approx((2 + 3 * 2 + 4 * later) / 8)
    assert set(base) == set(COLUMNS)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (lambda: count_costs(NETWORK, "pcm"), "chip holds a str; it must be a Chip"),
        (lambda: count_costs("digits-mlp", CHIP), "network holds a str; it must be a Network"),
        (lambda: count_costs(NETWORK, CHIP, {}), "model holds a dict; it must be a CostModel"),
        (lambda: count_costs(NETWORK, CHIP, layers="fc1"), "layers = 'fc1' must be a list of names"),
    ],
)
def test_arguments_of_another_kind_are_told(count, told):
    with pytest.raises(UserError, match=told):
        count()


def test_wrong_numbers_and_prices_are_refused():
    with pytest.raises(UserError, match="not a number of the table"):
        cost_model(adc_price=1.0)
    with pytest.raises(UserError, match="at least 0"):
        cost_model(adc_j=-1.0)
    base = total_costs(count_costs(NETWORK, CHIP))
    for prices in ({"gold": 1.0}, {"cells": -1.0}, {"cells": 0.0}, {}):
        with pytest.raises(UserError, match="prices"):
            relative_price(base, base, prices)
