"""recommend() on the digits network: what is said is what was simulated."""

from dataclasses import replace

import numpy as np
import pytest

from reliability import Chip, UserError, devices, load_chip, load_dataset, load_network, simulate
from reliability.crossbar import crossbars_of
from reliability.mitigation.candidates import Candidates
from reliability.mitigation.clipping import Clipping
from reliability.mitigation.default_space import default_space
from reliability.mitigation.goal import Goal
from reliability.mitigation.recommend import recommend, recommend_from
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.refresh import Refresh
from reliability.mitigation.selection import save_scores
from reliability.mitigation.space import Knob, Option, Space
from reliability.mitigation.write_verify import VerifyWeights
from reliability.plots.recommendation import price_of_yield
from reliability.settings import chip_file
from reliability.units import YEAR
from reliability.verified import chosen_weights
from reliability.write_verify import WriteVerify

NETWORK, DATA = load_network("digits-mlp"), load_dataset("digits")
CHIP = Chip(device=devices.gaussian(sigma=0.1))
COPIES = tuple(
    Knob(
        f"copies of {layer}",
        (Option("none"), *(Option(str(k), (Redundancy(k),), (layer,)) for k in (2, 3, 4, 6))),
    )
    for layer in ("fc1", "fc2")
)
SPACE = Space(CHIP, (*COPIES, Knob("clipping", (Option("none"), Option("97 %", (Clipping(97.0),))))))


@pytest.fixture(scope="module")
def candidates():
    return Candidates(NETWORK, DATA, SPACE, (0.0,))


@pytest.fixture(scope="module")
def advice(candidates):
    return recommend_from(candidates, Goal(max_drop=0.02, at_least=0.9, times=(0.0,)), budget=6000, seed=1)


def test_the_certificate_holds_and_says_what_was_simulated(advice, candidates):
    found = advice.certificate
    assert advice.is_met and found.holds
    assert found.required == -(-0.95111 * 225 // 1) and found.inputs == 225
    trials = simulate(
        NETWORK,
        candidates.fresh,
        advice.chip,
        chips=found.first_chip + len(found.correct),
        seed=1,
        role="certify",
    )
    np.testing.assert_array_equal(trials["correct"][found.first_chip :], found.correct[:, 0])
    assert found.failures == (found.correct < found.required).sum() <= found.plan.failures
    text = advice.describe()
    assert f"{len(found.correct)} fresh chips" in text and f"{found.failures} missed" in text
    assert "at least 90% of chips" in text and "95% confidence" in text
    assert "they do not change with time" in text


def test_the_search_has_seen_other_chips_and_other_inputs(advice, candidates):
    row = advice.designs[advice.designs["recommended"]].iloc[0]
    trials = simulate(NETWORK, candidates.seen, advice.chip, chips=int(row["chips"]), seed=1, role="search")
    required = advice.goal.required(np.ones(225, bool))
    assert row["value"] == pytest.approx((trials["correct"] >= required).mean())
    both = np.concatenate([candidates.seen.x, candidates.fresh.x]).reshape(450, -1)
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(np.asarray(DATA.x).reshape(450, -1), axis=0))


def test_the_table_is_one_of_prices_and_yields(advice):
    table = advice.designs
    assert table["recommended"].sum() == 1
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert table["price"].is_monotonic_increasing
    front = table[table["efficient"]]
    assert front["value"].is_monotonic_increasing and (front["chips"] >= 64).all()
    plain = table[table["design"] == "the chip as it is"].iloc[0]
    assert plain["price"] == pytest.approx(1.0) and plain["value"] < 0.9
    assert advice.price > 1
    text = advice.text()
    assert max(map(len, text.splitlines())) <= 100
    assert all(design in " ".join(text.split()) for design in front["design"])
    certified = sum(len(found.correct) for found in advice.certificates)
    compared = advice.evaluated["certificate"] - certified
    told = f"{certified:,} fresh ones by certificates, {compared:,} fresh ones of the chip without cures"
    assert told in " ".join(text.split()) and compared == 200
    spent = advice.evaluated["search"] + advice.evaluated["certificate"]
    assert spent <= 6000 < 0.2 * 1000 * advice.evaluated["designs"] and spent == advice.chips
    assert table["chips"].sum() == advice.evaluated["search"]


def test_the_recommended_file_is_the_recommended_chip(advice, tmp_path):
    for name, content in advice.files("recommended").items():
        (tmp_path / name).write_bytes(content)
    loaded = load_chip(tmp_path / "recommended.toml")
    assert loaded == replace(advice.chip, name="recommended")


@pytest.mark.parametrize(
    "chip", [Chip(), CHIP, Redundancy(3, (1, 4)).apply(Chip(device=devices.hermes()), ["fc1"])]
)
def test_any_chip_is_what_its_file_says(chip, tmp_path):
    path = tmp_path / f"{chip.name}.toml"
    path.write_bytes(chip_file(chip))
    assert load_chip(path) == chip


def test_what_is_out_of_reach_is_not_certified(candidates):
    goal = Goal(target=0.978, at_least=0.97, times=(0.0,))
    found = recommend_from(candidates, goal, budget=4000, seed=2)
    assert not found.is_met and not any(c.holds for c in found.certificates)
    value, low, high, chips = found.fresh_yield
    assert low <= value <= high < 0.97 and chips == 200
    assert set(found.shares["of"]) == {"effects", "layers"}
    legends = price_of_yield(found.designs, found.accuracies, 0.97).legends
    left, right = ({text.get_text() for text in legend.get_texts()} for legend in legends)
    assert {"best", "asked for: 97 %"} <= left and "recommended" not in left
    assert {"digital network", "target"} <= right
    text = found.describe()
    assert "Nothing that was tried meets the goal" in text and "of 200 fresh chips pass" in text
    # Programming alone, and each of both layers, left out; and nothing, twice.
    assert found.evaluated["limits"] == 64 * (1 + 1 + 2 + 1)
    assert found.chips - found.evaluated["limits"] <= 4000


def test_results_depend_on_nothing_but_the_seed(candidates):
    goal = Goal(max_drop=0.02, at_least=0.9, times=(0.0,))
    one, other = (
        recommend_from(c, goal, budget=4000, seed=3)
        for c in (candidates, Candidates(NETWORK, DATA, SPACE, (0.0,), threads=1))
    )
    assert one.describe() == other.describe()
    assert one.designs.equals(other.designs)


def test_a_chip_that_is_good_enough_is_left_as_it_is():
    chip = Chip(device=devices.gaussian(sigma=0.01))
    found = recommend(NETWORK, DATA, chip, max_drop=0.02, space=replace(SPACE, chip=chip), budget=4000)
    assert found.is_met and found.chip == chip and found.price == pytest.approx(1.0)
    assert "the chip as it is" in found.describe()


@pytest.mark.parametrize("budget", [500, 700])
def test_small_budgets_are_kept(candidates, budget):
    for seed in range(3):
        found = recommend_from(
            candidates, Goal(max_drop=0.02, at_least=0.8, times=(0.0,)), budget=budget, seed=seed
        )
        assert found.chips - found.evaluated["limits"] <= budget


def test_the_best_design_is_tried_where_none_has_a_fair_chance():
    """A chip that always passes is certified with a small budget, even one that must never err."""
    data = DATA.head(200)
    right = NETWORK.forward(NETWORK.prepare(data.x)).argmax(axis=1) == data.y
    good = replace(data, x=data.x[right], y=data.y[right])
    chip = Chip(device=devices.gaussian(sigma=0.001))
    for target in (0.95, 1.0):
        for seed in range(3):
            found = recommend(
                NETWORK, good, chip, target=target, space=replace(SPACE, chip=chip), budget=600, seed=seed
            )
            assert found.is_met and found.price == pytest.approx(1.0), (target, seed, found.describe())


def test_a_chip_alone_is_certified_or_refused():
    found = recommend(NETWORK, DATA, CHIP, max_drop=0.2, space=Space(CHIP, ()), budget=1000)
    assert found.is_met and found.chip == CHIP
    found = recommend(NETWORK, DATA, CHIP, max_drop=0.001, space=Space(CHIP, ()), budget=1000)
    assert not found.is_met and found.fresh_yield[2] < 0.95


def test_an_order_that_layers_share_is_one_file(tmp_path):
    order = tmp_path / "scores.npz"
    save_scores(order, {n.name: np.abs(n.layer.weight) for n in NETWORK.weighted})
    own = VerifyWeights(WriteVerify(share=0.2, scope="chip", order=str(order), tolerance=0.05))
    knob = Knob("write-verify", (Option("none"), Option("all", (own,), ("fc1", "fc2"))))
    candidates = Candidates(NETWORK, DATA, Space(CHIP, (knob,)), (0.0,))
    found = recommend_from(candidates, Goal(max_drop=0.2, at_least=0.5, times=(0.0,)), budget=500)
    files = replace(found, design=candidates.designs[1]).files("recommended")
    assert sorted(files) == ["recommended.toml", "recommended_order.npz"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    loaded = load_chip(tmp_path / "recommended.toml")
    for chip in (loaded, candidates.designs[1].chip):
        chosen = chosen_weights(crossbars_of(NETWORK, chip))
        assert sum(own.sum() for own in chosen.values()) == round(0.2 * 64 * 74)


def test_what_limits_a_chip_that_is_refreshed_is_found_when_it_is_worst():
    """At the horizon it has just been programmed anew; before, drift had cost most."""
    chip = Chip(compensation="none")
    space = Space(chip, (Knob("refresh", (Option("none"), Option("half", (Refresh(YEAR / 2),)))),))
    candidates = Candidates(NETWORK, DATA, space, (0.0, YEAR))
    assert len(candidates.looks) == 4
    refreshed = candidates.designs[1].chip
    assert candidates.expectations._oldest(refreshed) == pytest.approx(YEAR / 2)
    found = recommend_from(candidates, Goal(target=0.972, times=(0.0, YEAR)), budget=1000)
    effects = found.shares[found.shares["of"] == "effects"].set_index("group")["value"]
    assert not found.is_met and effects.idxmax() == "drift" and effects["drift"] > 0.001


def test_the_study_takes_a_target(capsys, tmp_path):
    from reliability.study import main

    given = ["recommend_mitigation", "--target", "0.9", "--at-least", "0.8", "--set", "analysis.budget=600"]
    assert main([*given, "--inputs", "60", "--set", "analysis.horizon_s=0", "--out", str(tmp_path)]) == 0
    assert "an accuracy of at least 90.00%" in capsys.readouterr().out
    assert main(["recommend_mitigation", "--set", "time_s=5", "--out", str(tmp_path)]) == 2
    assert "time_s = 5" in capsys.readouterr().err


def test_wrong_questions_are_refused():
    with pytest.raises(UserError, match=r"target = '0[.]9' must be"):
        recommend(NETWORK, DATA, CHIP, target="0.9", space=SPACE)
    with pytest.raises(UserError, match="horizon_s = '1y' must be"):
        recommend(NETWORK, DATA, CHIP, horizon_s="1y", space=SPACE)
    with pytest.raises(UserError, match=r"inputs holds a str; it must be a Dataset"):
        recommend(NETWORK, "digits", CHIP, space=SPACE)
    with pytest.raises(UserError, match="1 inputs have no two halves"):
        recommend(NETWORK, DATA.head(1), CHIP, space=SPACE)
    with pytest.raises(UserError, match="either a target or a max_drop"):
        recommend(NETWORK, DATA, CHIP, target=0.9, max_drop=0.01, space=SPACE)
    with pytest.raises(UserError, match="budget"):
        recommend(NETWORK, DATA, CHIP, budget=10, space=SPACE)
    with pytest.raises(UserError, match=r"too few to show that 99.9% of chips pass.* a budget of 23367"):
        recommend(NETWORK, DATA, CHIP, at_least=0.999, budget=4000, space=SPACE)
    with pytest.raises(UserError, match="prices"):
        recommend(NETWORK, DATA, CHIP, prices={"gold": 1}, space=SPACE)


def test_the_default_space_offers_what_the_chip_needs():
    found = default_space(NETWORK, CHIP)
    names = [knob.name for knob in found.knobs]
    assert names[:2] == ["copies of fc1", "copies of fc2"] and "clipping" in names
    assert "ADC range" not in names
    assert all(knob.options[0].label == "none" and not knob.options[0].cures for knob in found.knobs)
    with pytest.raises(UserError, match="nothing to cure"):
        from reliability import LayerChip

        default_space(NETWORK, Chip(layers={"*": LayerChip(analog=False)}))
