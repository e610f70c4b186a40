"""The summary of a trials table: worked out by hand, its rows and their order, its speed, mistakes."""

import base64
import math
import time

import numpy as np
import pandas as pd
import pytest
from crossed_probit import CrossedProbit
from read_probit import ReadProbit
from scipy import optimize, stats

from reliability.errors import UserError
from reliability.statistics import Outcomes, failure_table, summarize
from reliability.statistics.components import variance_components

IDEAL = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 0], dtype=bool)


def base64_bits(correct: np.ndarray) -> str:
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def trials_of(conditions: list[tuple[dict, np.ndarray]], **attrs) -> pd.DataFrame:
    """A trials table: for each condition its fields and its outcomes, shape (chips, inputs)."""
    frames = []
    for where, correct in conditions:
        counts = correct.sum(axis=1)
        columns = {
            "chip": np.arange(len(correct)),
            "inputs": correct.shape[1],
            "correct": counts,
            "accuracy": counts / correct.shape[1],
            "correct_bits": [row.tobytes() for row in np.packbits(correct, axis=1)],
        }
        frames.append(
            pd.DataFrame({field: [value] * len(correct) for field, value in where.items()} | columns)
        )
    trials = pd.concat(frames, ignore_index=True)
    trials.attrs = {"conditions": list(conditions[0][0]), "metric": "accuracy"} | attrs
    return trials


def hand_made() -> pd.DataFrame:
    """Four chips, ten inputs, two times, with and without a cure; chip i gets its last inputs wrong."""

    def chips(*wrong: int) -> np.ndarray:
        return np.array([[column < 10 - count for column in range(10)] for count in wrong])

    return trials_of(
        [
            ({"time_s": 1.0, "cure": "none"}, chips(1, 1, 2, 2)),
            ({"time_s": 1.0, "cure": "global"}, chips(1, 1, 1, 2)),
            ({"time_s": 100.0, "cure": "none"}, chips(3, 4, 2, 3)),
            ({"time_s": 100.0, "cure": "global"}, chips(1, 3, 1, 3)),
        ],
        reference_bits=base64_bits(IDEAL),
    )


def pick(summary: pd.DataFrame, **where) -> pd.Series:
    """The one row with these values."""
    rows = summary
    for column, value in where.items():
        rows = rows[rows[column].isna() if value is None else rows[column] == value]
    assert len(rows) == 1, f"{len(rows)} rows for {where}"
    return rows.iloc[0]


THESE, BOTH = "chips, these inputs", "chips and inputs"
SPLIT = ["variance_chip", "variance_inputs", "variance_chip_inputs", "share_chip", "share_inputs"]
BAD = ["quantile_05", "tolerance_05", "cvar_05"]


def skewed_t(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of a mean, Student's t with Hall's transformation, solved by bisection."""
    count = values.size
    se = values.std(ddof=1) / math.sqrt(count)
    skewness = stats.skew(values, bias=False) / math.sqrt(count) * (count > 2)

    def transformed(x: float) -> float:
        return x + skewness * x**2 / 3 + skewness**2 * x**3 / 27 + skewness / 6

    t = stats.t.ppf((1 + level) / 2, count - 1)
    ends = [optimize.brentq(lambda x, q=q: transformed(x) - q, -1e4, 1e4, xtol=1e-14) for q in (t, -t)]
    return tuple(values.mean() - se * np.array(ends))


def test_hand_made_means_and_drop():
    summary = summarize(hand_made())
    row = pick(summary, time_s=1.0, cure="none", estimand="mean", varies=THESE)
    half = stats.t.ppf(0.975, 3) * math.sqrt(0.01 / 3) / 2
    assert (row.value, row.low, row.high) == pytest.approx((0.85, 0.85 - half, 0.85 + half))
    assert (row.level, row.chips, row.inputs) == (0.95, 4, 10)
    both = pick(summary, time_s=1.0, cure="none", estimand="mean", varies=BOTH)
    assert both.value == pytest.approx(0.85)
    assert both.high - both.low > row.high - row.low
    assert 0 < both.input_floor < both.high - both.low
    drop = pick(summary, time_s=100.0, cure="none", estimand="drop", varies=THESE)
    assert drop.value == pytest.approx(0.9 - 0.7)
    assert drop.against == "digital network"
    half = stats.t.ppf(0.975, 3) * np.std([0.3, 0.4, 0.2, 0.3], ddof=1) / 2
    assert (drop.low, drop.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert pick(summary, time_s=100.0, cure="none", estimand="drop", varies=BOTH).value == pytest.approx(0.2)


def test_hand_made_spread_quantile_and_yield():
    summary = summarize(hand_made())
    assert pick(summary, time_s=1.0, cure="none", estimand="spread").value == pytest.approx(
        0.1 / math.sqrt(3)
    )
    worst = pick(summary, time_s=100.0, cure="none", estimand="quantile_05")
    assert (worst.value, worst.low, worst.high) == pytest.approx((0.6, 0.0, 0.7))
    # The digital network has 0.9, so the target is 0.89 and whole inputs make that 9 of 10.
    passed = pick(summary, time_s=1.0, cure="global", estimand="yield")
    expected = stats.binomtest(3, 4).proportion_ci(0.95)
    assert (passed.value, passed.low, passed.high) == pytest.approx((0.75, expected.low, expected.high))
    assert passed.target == pytest.approx(0.89)
    assert pick(summarize(hand_made(), target=0.8), time_s=1.0, cure="global", estimand="yield").value == 1.0
    assert pick(summarize(hand_made(), target=0.7), time_s=100.0, cure="none", estimand="yield").value == 0.75


def test_hand_made_split_and_bad_chips():
    summary = summarize(hand_made())
    rows = summary[(summary["time_s"] == 100.0) & (summary["cure"] == "none")].set_index("estimand")
    outcomes = Outcomes.from_array(np.arange(10) < np.array([[7], [6], [8], [7]]))
    for part in variance_components([outcomes]):
        row = rows.loc[f"variance_{part.name}"]
        assert (row.value, row.low, row.high) == (part.value, *part.interval)
        assert row.varies == BOTH
        assert row.description.startswith("variance of one outcome (accuracy)")
    assert rows.loc["share_inputs", "value"] > 0.9
    assert "with what reads redraw" in rows.loc["variance_chip_inputs", "description"]
    assert rows.loc["cvar_05", "value"] == pytest.approx(0.6)
    assert (rows.loc["tolerance_05", "low"], rows.loc["tolerance_05", "high"]) == (0.0, 1.0)


def test_several_reads_share_one_split():
    """Reads are evaluations of the same chips: no difference between them, one split of all."""
    reads = ReadProbit(chips=40, inputs=60).draw(np.random.default_rng(7))
    tables = [np.unpackbits(o.packed, axis=1, count=60).astype(bool) for o in reads]
    trials = trials_of([({"cure": c, "read": r}, tables[r]) for c in "ab" for r in (0, 1)])
    summary = summarize(trials)
    split = summary[summary["estimand"].str.startswith("variance")]
    assert split["read"].isna().all()
    assert split["estimand"].tolist() == [*SPLIT[:3], "variance_read", "variance_read_inputs"] * 2
    expected = variance_components(reads)
    assert split["value"].tolist() == [part.value for part in expected] * 2
    assert set(summary["against"].dropna()) == {"cure=a"}
    assert summary[summary["estimand"] == "mean"]["read"].tolist() == [0, 0, 1, 1] * 2
    # A chip that one read lacks is left out of the split.
    cut = trials[~((trials["read"] == 1) & (trials["chip"] == 0))]
    cut.attrs = trials.attrs
    assert set(summarize(cut).loc[lambda s: s["read"].isna(), "chips"]) == {39}


def test_intervals_for_all_conditions_are_wider():
    summary = summarize(hand_made())
    both = summary[summary["low_all"].notna()]
    assert set(both["estimand"]) == {"mean", "drop", "quantile_05", "cvar_05", "yield"}
    assert (both["low_all"] <= both["low"]).all() and (both["high_all"] >= both["high"]).all()
    alone = summarize(trials_of([({}, np.random.default_rng(8).random((20, 30)) < 0.9)]))
    assert alone["low_all"].isna().all()


def test_hand_made_differences():
    summary = summarize(hand_made())
    differences = summary[summary["estimand"] == "difference"]
    assert len(differences) == 8
    aged = pick(summary, time_s=100.0, cure="none", against="time_s=1", varies=THESE)
    change = np.array([-0.2, -0.3, 0.0, -0.1])
    half = stats.t.ppf(0.975, 3) * change.std(ddof=1) / 2
    assert (aged.value, aged.low, aged.high) == pytest.approx((-0.15, -0.15 - half, -0.15 + half))
    cured = pick(summary, time_s=100.0, cure="global", against="cure=none", varies=BOTH)
    assert cured.value == pytest.approx(0.1)
    assert cured.method.startswith("paired")
    assert pick(summary, time_s=100.0, cure="global", against="time_s=1", varies=BOTH).value == pytest.approx(
        -0.075
    )
    # Against the other value of both fields at once there is no difference.
    assert set(differences["against"]) == {"time_s=1", "cure=none"}


def test_hand_made_failure_times():
    summary = summarize(hand_made(), target=0.8)
    half = pick(summary, time_s=None, cure="none", estimand="failure_time_50")
    assert (half.value, half.low, half.high) == (100.0, 0.0, math.inf)
    assert "(1, 100]" in half.method
    # With the cure chips 1 and 3 fail: the second of four is the median.
    assert pick(summary, time_s=None, cure="global", estimand="failure_time_50").value == 100.0
    assert pick(summary, time_s=None, cure="global", estimand="failure_time_05").value == 100.0
    table = failure_table(hand_made(), target=0.8)
    assert table[["cure", "time_s", "failed"]].values.tolist() == [
        ["none", 1.0, 0.0],
        ["none", 100.0, 0.75],
        ["global", 1.0, 0.0],
        ["global", 100.0, 0.5],
    ]
    expected = stats.binomtest(3, 4).proportion_ci(0.95)
    assert table.loc[1, ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high])


def test_every_row_says_what_it_is():
    summary = summarize(hand_made())
    told = ["estimand", "varies", "method", "description"]
    assert summary[told].notna().all(axis=None)
    assert (summary[told] != "").all(axis=None)
    numbers = summary[["value", "low", "high"]].to_numpy()
    assert not np.isnan(numbers).any()
    assert (summary["low"] <= summary["value"] + 1e-12).all()
    assert (summary["value"] <= summary["high"] + 1e-12).all()
    assert (summary["high"] > summary["low"]).all()
    assert not summary.duplicated(["time_s", "cure", "estimand", "varies", "against"]).any()


def test_order_of_rows_follows_the_table_and_not_its_chips():
    trials = hand_made()
    summary = summarize(trials)
    first = ["mean", "mean", "drop", "drop", *SPLIT, "spread", *BAD, "yield"]
    assert summary["estimand"].tolist()[: 2 * len(first)] == first * 2
    assert summary["cure"].tolist()[0 : 2 * len(first) : len(first)] == ["none", "global"]
    # Chips in another order within their conditions, and conditions interleaved by chip: the same table.
    interleaved = trials.sort_values("chip", kind="stable").reset_index(drop=True)
    pd.testing.assert_frame_equal(summarize(interleaved), summary)
    backwards = trials.groupby(["time_s", "cure"], sort=False, group_keys=False)[trials.columns].apply(
        lambda g: g[::-1]
    )
    backwards.attrs = trials.attrs
    pd.testing.assert_frame_equal(summarize(backwards), summary)


def test_level_changes_every_interval():
    wide, narrow = summarize(hand_made(), level=0.99), summarize(hand_made(), level=0.5)
    assert (wide["high"] - wide["low"] >= narrow["high"] - narrow["low"]).all()
    assert (wide["level"] == 0.99).all()
    means = wide["estimand"].isin(["mean", "drop", "difference", "spread", "yield"])
    assert ((wide["high"] - wide["low"]) > (narrow["high"] - narrow["low"]))[means].all()


def test_chips_that_stand_under_both_are_compared():
    trials = hand_made()
    cut = trials[~((trials["cure"] == "global") & (trials["chip"] == 0))]
    cut.attrs = trials.attrs
    row = pick(summarize(cut), time_s=100.0, cure="global", against="cure=none", varies=THESE)
    assert row.chips == 3
    low, high = skewed_t(np.array([0.1, 0.1, 0.0]))
    assert (row.value, row.low, row.high) == pytest.approx((0.2 / 3, low, high))
    whole = summarize(trials)
    assert pick(whole, time_s=100.0, cure="global", against="cure=none", varies=THESE).chips == 4


def test_no_condition_fields_and_no_reference():
    correct = np.random.default_rng(1).random((30, 50)) < 0.9
    trials = trials_of([({}, correct)])
    summary = summarize(trials)
    assert summary["estimand"].tolist() == ["mean", "mean", *SPLIT, "spread", *BAD]
    assert "yield" in summarize(trials, target=0.85)["estimand"].tolist()


def test_classes_are_never_compared():
    rng = np.random.default_rng(2)
    conditions = [
        ({"cure": cure, "class": label}, rng.random((20, size)) < 0.8)
        for cure in ("none", "global")
        for label, size in ((0, 20), (1, 20), (2, 12))
    ]
    ideal = {
        "0": base64_bits(np.ones(20, dtype=bool)),
        "1": base64_bits(np.arange(20) % 10 > 0),
        "2": base64_bits(np.ones(12, dtype=bool)),
    }
    summary = summarize(trials_of(conditions, reference_bits=ideal))
    differences = summary[summary["estimand"] == "difference"]
    assert set(differences["against"]) == {"cure=none"}
    assert len(differences) == 6
    targets = summary[summary["estimand"] == "yield"].set_index(["cure", "class"])["target"]
    assert targets["none", 0] == pytest.approx(0.99)
    assert targets["none", 1] == pytest.approx(0.89)


def test_metric_that_is_not_right_or_wrong():
    rng = np.random.default_rng(3)
    values = rng.normal(30.0, 2.0, 40)
    trials = pd.DataFrame({"time_s": np.repeat([1, 9], 20), "chip": np.tile(np.arange(20), 2), "inputs": 7})
    trials = trials.assign(accuracy=values, correct=np.nan, correct_bits=None)
    trials.attrs = {"conditions": ["time_s"], "metric": "psnr_db"}
    summary = summarize(trials)
    assert set(summary["varies"]) == {THESE}
    assert summary["estimand"].tolist() == ["mean", "spread", *BAD] * 2 + ["difference"]
    expected = skewed_t(values[:20])
    row = pick(summary, time_s=1, estimand="mean")
    assert (row.low, row.high) == pytest.approx(expected)
    assert "psnr_db" in row.description
    change = values[20:] - values[:20]
    expected = skewed_t(change)
    assert pick(summary, estimand="difference")[["low", "high"]].tolist() == pytest.approx(expected)
    with_target = summarize(trials, target=30.0)
    assert pick(with_target, time_s=1, estimand="yield").value == np.mean(values[:20] >= 30.0)
    assert "failure_time_50" in with_target["estimand"].tolist()


def test_correct_counts_without_bits():
    trials = hand_made().drop(columns="correct_bits")
    trials.attrs = hand_made().attrs
    summary = summarize(trials)
    assert set(summary["varies"]) == {THESE}
    assert "yield" in summary["estimand"].tolist()
    assert "drop" not in summary["estimand"].tolist()


def test_missing_and_mixed_condition_values():
    correct = np.random.default_rng(4).random((10, 9)) < 0.7
    trials = trials_of([({"noise": None}, correct), ({"noise": 0.1}, correct), ({"noise": 0.2}, ~correct)])
    summary = summarize(trials)
    assert set(summary["against"].dropna()) <= {"noise=None", "noise=nan"}
    assert (summary["estimand"] == "difference").sum() == 4


def test_one_chip_is_no_certainty():
    trials = trials_of(
        [({}, np.array([[1, 1, 0, 1]], dtype=bool))], reference_bits=base64_bits(np.ones(4, dtype=bool))
    )
    summary = summarize(trials)
    assert not summary[["value", "low", "high"]].isna().any(axis=None)
    variances = summary["estimand"].str.startswith("variance")
    assert (summary["high"] - summary["low"] >= np.where(variances, 0.25, 0.49)).all()


def test_sixteen_conditions_of_a_thousand_chips_are_quick():
    (outcomes, *_), _ = CrossedProbit(1000, 450).draw(np.random.default_rng(5))
    correct = np.unpackbits(outcomes.packed, axis=1, count=450).astype(bool)
    conditions = [({"time_s": t, "cure": c}, correct) for c in "abcd" for t in (1.0, 10.0, 100.0, 1000.0)]
    trials = trials_of(conditions, reference_bits=base64_bits(np.ones(450, dtype=bool)))
    summarize(trials)
    start = time.perf_counter()
    summarize(trials)
    assert time.perf_counter() - start < 1.0  # measured 0.03 s


def break_bits(trials):
    trials.at[2, "correct_bits"] = b"\x00\x00"


def lose_byte(trials):
    trials.at[2, "correct_bits"] = b"\xff"


def lose_bits(trials):
    trials.at[2, "correct_bits"] = None


def repeat_chip(trials):
    trials.at[1, "chip"] = 0


def too_many(trials):
    trials.at[1, "correct"] = 11


def other_inputs(trials):
    trials.at[1, "inputs"] = 20


def lose_attrs(trials):
    trials.attrs = {}


def unknown_field(trials):
    trials.attrs["conditions"] = ["time_s", "bits"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_of_a_metric_that_are_not_finite_are_refused(bad):
    trials = pd.DataFrame({"chip": np.arange(3), "inputs": 7, "accuracy": [30.0, bad, 31.0]})
    trials.attrs = {"conditions": [], "metric": "psnr_db"}
    with pytest.raises(UserError, match="'accuracy' holds a missing or infinite value"):
        summarize(trials)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            break_bits,
            "'correct' and 'correct_bits' contradict each other under condition time_s=1, cure=none",
        ),
        (lose_byte, "not 2 bytes"),
        (lose_bits, "not 2 bytes"),
        (repeat_chip, "chip 0 twice under condition time_s=1, cure=none"),
        (too_many, "no count between 0 and 10"),
        (other_inputs, r"\[10, 20\]"),
        (lose_attrs, 'attrs\\["conditions"\\]'),
        (unknown_field, "no column 'bits'"),
    ],
)
def test_damaged_tables_are_refused(damage, words):
    trials = hand_made()
    damage(trials)
    with pytest.raises(UserError, match=words):
        summarize(trials)


def test_impossible_questions_are_refused():
    trials = hand_made()
    with pytest.raises(UserError, match="target holds 90"):
        summarize(trials, target=90)
    with pytest.raises(UserError, match="level"):
        summarize(trials, level=95)
    with pytest.raises(UserError, match="no rows"):
        summarize(trials[:0])
    plain = trials_of([({"cure": "none"}, np.ones((3, 4), dtype=bool))])
    with pytest.raises(UserError, match="'time_s'"):
        failure_table(plain, target=0.5)
    no_target = hand_made()
    del no_target.attrs["reference_bits"]
    with pytest.raises(UserError, match="give one"):
        failure_table(no_target)
