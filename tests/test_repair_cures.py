"""Cures against broken cells: what each changes in a chip's description, and what it adds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from small_networks import mlp, noise
from test_tiles import convolutional

import reliability as rl
from reliability.calibration import input_powers
from reliability.errors import UserError
from reliability.mitigation.bit_slices import CorrectingSlices
from reliability.mitigation.digital_correction import DigitalCorrection
from reliability.mitigation.in_pair import InPairCorrection
from reliability.mitigation.remapping import RowRemapping
from reliability.mitigation.repair_counts import repair_counts
from reliability.mitigation.repair_outcomes import repair_outcomes
from reliability.mitigation.spares import Spares, spares_suffice
from reliability.repair import Repair

CHIP = rl.Chip(device=rl.devices.ideal(g_max_us=10.0), faults=rl.Faults(stuck_low=0.05, stuck_high=0.1))
CURES = {
    InPairCorrection(): Repair(in_pair=True),
    RowRemapping(): Repair(remap_rows=True, weigh_inputs=True),
    Spares(rows=0.1, columns=0.2, weigh_inputs=False): Repair(spare_rows=0.1, spare_columns=0.2),
    DigitalCorrection(0.03): Repair(digital=0.03, weigh_inputs=True),
}


@pytest.mark.parametrize("cure", CURES, ids=lambda cure: type(cure).__name__)
def test_a_cure_changes_the_repair_of_all_layers_or_of_named_ones(cure):
    assert cure.apply(CHIP).repair == CURES[cure]
    one = cure.apply(CHIP, ["layer2"])
    assert one.repair == Repair() and one.layers["layer2"].repair == CURES[cure]
    assert cure.describe()


def test_cures_add_up():
    chip = InPairCorrection().apply(Spares(rows=0.1).apply(RowRemapping().apply(CHIP)))
    assert chip.repair == Repair(in_pair=True, remap_rows=True, spare_rows=0.1, weigh_inputs=True)


def test_slices_that_correct_each_other_make_up_for_stuck_cells():
    net = mlp(30, 20)
    ideal = rl.chip_weights(net, rl.Chip(device=rl.devices.ideal()))["layer0"]
    sliced = CorrectingSlices(count=3, base=2.0).apply(CHIP)
    assert sliced.mapping.slices == rl.Slices(3, "corrected", 2.0)
    one, three = (np.square(rl.chip_weights(net, c)["layer0"] - ideal).sum() for c in (CHIP, sliced))
    assert three < 0.2 * one
    with pytest.raises(UserError, match=r"slices\.count"):
        CorrectingSlices(count=0)


def test_spares_suffice_with_the_binomial_probability():
    assert spares_suffice(64, 2, 0.01) == pytest.approx(0.9713023, abs=5e-8)
    draws = stats.binom.rvs(70, 0.05, size=20000, random_state=1)
    assert spares_suffice(65, 5, 0.05) == pytest.approx((draws <= 5).mean(), abs=0.01)
    with pytest.raises(UserError, match="probability"):
        spares_suffice(64, 2, 1.5)
    with pytest.raises(UserError, match="leave no spares"):
        Spares()


def test_counts_are_those_of_the_tiles():
    """Tiles of 10 x 4 of a layer of 24 rows and 7 columns on pairs: 10, 10 and 4 rows, 4 and 3 columns."""
    chip = Spares(rows=0.2, columns=0.25).apply(DigitalCorrection(0.1).apply(CHIP))
    chip = rl.Chip(
        device=chip.device, faults=chip.faults, repair=chip.repair, tile=rl.Tile(rows=10, columns=4)
    )
    found = repair_counts(mlp(24, 7), chip).iloc[0]
    spare = sum(
        (rows + more) * (columns + 1) - rows * columns
        for rows, more in ((10, 2), (10, 2), (4, 1))
        for columns in (4, 3)
    )
    assert found["spare_cells"] == 2 * spare
    assert found["cells"] == 2 * 24 * 7
    assert found["moved"] == 2 * (2 + 2 + 1) + 3 * (1 + 1)
    # 12 word lines take 4 bits, 4 columns 2; a place among 168 weights 8.
    assert found["moved_bits"] == 2 * (2 + 2 + 1) * 4 + 3 * (1 + 1) * 2
    assert found["words"] == found["operations"] == 17 and found["word_bits"] == 16 + 8
    assert found["test_reads"] == found["test_writes"] == 2 * (found["cells"] + found["spare_cells"])
    offset = rl.Chip(
        device=chip.device, faults=chip.faults, repair=Repair(remap_rows=True, spare_columns=0.5),
        tile=rl.Tile(rows=10, columns=4), mapping=rl.Mapping(scheme="offset"),
    )  # fmt: skip
    found = repair_counts(mlp(24, 7), offset).iloc[0]
    # Two spare columns beside four, and beside three; the references are counted among the cells.
    assert found["cells"] == 24 * 9 and found["spare_cells"] == 24 * 4
    assert found["moved"] == 24 * 2 + 3 * 4


def test_outcomes_count_what_chips_do():
    net = convolutional()
    chip = DigitalCorrection().apply(InPairCorrection().apply(CHIP))
    powers = input_powers(net, chip, noise(40, *net.input_shape))
    found = repair_outcomes(net, chip, chips=3, first_chip=2, powers=powers)
    assert list(found["chip"]) == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert (found["after"] < 1e-9).all() and (found["before"] > 0).all()
    assert (found["words"] <= found["faulty"]).all() and (found["words"] > 0).all()
    places = {"c1": 4 * 5, "c2": 2 * 4, "fc": 1}
    for name, rows in found.groupby("layer"):
        shape = net.shapes[name]
        count = int(np.prod(shape[1:]))
        assert (rows["operations"] == rows["words"] * count).all(), places
    assert repair_outcomes(net, rl.Chip(), chips=1).empty
