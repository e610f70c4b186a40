"""The comparison of repairs: what its table says, on common chips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import reliability as rl
from reliability.analyses.repair_comparison import RepairComparison, usual_repairs
from reliability.errors import UserError
from reliability.repair import Repair

CHIP = rl.Chip(
    device=rl.devices.gaussian(sigma=0.02), faults=rl.stuck_cells(), tile=rl.Tile(rows=64, columns=64)
)
REPAIRS = {
    "in pair": Repair(in_pair=True),
    "digital 2%": Repair(digital=0.02),
    "digital": Repair(digital="faulty"),
    "spares": Repair(spare_rows=0.1),
}


def setting(chip: rl.Chip = CHIP, **options) -> rl.Setting:
    return rl.Setting(
        rl.load_network("digits-mlp"), rl.load_dataset("digits").head(300), chip, chips=30, threads=1,
        calibration=rl.load_dataset("digits", split="train"), **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def answer() -> rl.Answer:
    return RepairComparison(REPAIRS).answer(setting())


def test_shares_are_those_of_the_mean_accuracies(answer):
    table = answer.tables["repairs"]
    own = setting()
    weighed = {name: replace(repair, weigh_inputs=True) for name, repair in REPAIRS.items()}
    means = {
        name: rl.simulate(own.network, own.dataset, chip, chips=30, calibration=own.calibration)[
            "accuracy"
        ].mean()
        for name, chip in {
            "healthy": replace(CHIP, faults=rl.Faults()),
            "broken": CHIP,
            **{name: replace(CHIP, repair=repair) for name, repair in weighed.items()},
        }.items()
    }
    lost = table[table["estimand"] == "lost"].set_index("repair")
    assert lost.loc["broken", "value"] == pytest.approx(means["healthy"] - means["broken"])
    for name in REPAIRS:
        rows = table[(table["repair"] == name) & (table["estimand"] == "regained")]
        share = (means[name] - means["broken"]) / (means["healthy"] - means["broken"])
        assert np.allclose(rows["value"], share)
        assert list(rows["varies"]) == ["chips, these inputs", "chips and inputs"]
        assert (rows["low_all"] < rows["low"]).all() and (rows["low"] < share).all()
        assert (rows["high"] > share).all() and (rows["high_all"] > rows["high"]).all()


def test_costs_are_counted(answer):
    rows = answer.tables["repairs"].drop_duplicates("repair").set_index("repair")
    weights = 64 * 64 + 64 * 10
    assert rows.loc["digital 2%", "words"] == rows.loc["digital 2%", "operations"]
    assert rows.loc["digital 2%", "words"] == round(0.02 * 64 * 64) + round(0.02 * 64 * 10)
    assert 0.08 * weights < rows.loc["digital", "words"] < 0.2 * weights
    assert rows.loc["digital", "error_left"] < 1e-9
    assert rows.loc["spares", "spare_cells"] == 2 * (7 * 64 + 7 * 10)
    assert rows.loc["in pair", "price"] == 0
    # 4096 weights take 12 bits, 640 take 10; 64 word lines and 7 spare ones take 7.
    assert rows.loc["digital 2%", "bits"] == 82 * (16 + 12) + 13 * (16 + 10)
    assert rows.loc["spares", "bits"] == 14 * 7
    assert rows.loc["spares", "price"] == 2 * 518 + 6.25 * 98


def test_the_cheapest_that_surely_regains_enough_is_named(answer):
    assert "'digital" in answer.text and "The cheapest repair" in answer.text
    assert "Fault-aware training" in answer.text.replace("\n", " ")
    few = RepairComparison({"spares": Repair(spare_rows=0.05)})
    found = few.answer(setting())
    assert "No repair surely regains 90%" in found.text.replace("\n", " ")
    longest = {max(usual_repairs(), key=len): Repair(in_pair=True, remap_rows=True)}
    text = RepairComparison(longest).answer(setting()).text
    assert max(len(line) for line in (*text.splitlines(), *answer.text.splitlines())) <= 100
    figure = answer.draw()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["thin: chips and inputs vary", "thick: chips vary, these inputs", "asked for: 90 %"]


def test_every_repair_that_must_be_shown_is_among_the_usual_ones():
    usual = usual_repairs().values()
    alone = [Repair(in_pair=True), Repair(remap_rows=True), Repair(digital="faulty")]
    alone += [Repair(**{f"spare_{part}": s}) for part in ("rows", "columns") for s in (0.05, 0.1, 0.2)]
    assert all(repair in usual for repair in alone)


def test_chips_without_faults_are_refused():
    with pytest.raises(UserError, match="nothing to repair"):
        RepairComparison(REPAIRS).answer(setting(replace(CHIP, faults=rl.Faults())))
