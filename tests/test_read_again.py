"""The same chips evaluated again: only what single reads redraw is another."""

import numpy as np
import pytest

import reliability as rl
from reliability.conditions import expand


@pytest.fixture(scope="module")
def problem():
    return rl.load_network("digits-mlp"), rl.load_dataset("digits").head(40)


def simulate(problem, chip, **options):
    return rl.simulate(*problem, chip, time_s=rl.DAY, chips=12, seed=3, **options)


SPLIT = rl.Chip(device=rl.devices.pcm(), read_noise="split")


@pytest.mark.parametrize("compensation", ["none", "global"])
def test_the_first_read_is_the_run_without_reads(problem, compensation):
    chip = rl.Chip(device=rl.devices.pcm(), read_noise="split", compensation=compensation)
    alone = simulate(problem, chip)
    reads = simulate(problem, chip, vary={"read": [0, 1, 2]})
    of_read = [reads[reads["read"] == r].reset_index(drop=True) for r in range(3)]
    assert of_read[0]["checksum"].equals(alone["checksum"])
    assert not (of_read[0]["checksum"] == of_read[1]["checksum"]).any()
    assert not (of_read[1]["checksum"] == of_read[2]["checksum"]).any()
    # The order and number of reads change none of them.
    assert simulate(problem, chip, vary={"read": [2]})["checksum"].equals(of_read[2]["checksum"])


def test_reads_of_a_chip_are_more_alike_than_chips():
    """Chips that programming spreads widely keep their accuracy from read to read."""
    problem = rl.load_network("digits-mlp"), rl.load_dataset("digits")
    chip = rl.Chip(device=rl.devices.pcm(programming_scale=4.0), read_noise="split")
    trials = rl.simulate(*problem, chip, time_s=rl.DAY, chips=60, seed=3, vary={"read": [0, 1]})
    first, second = (trials[trials["read"] == r]["accuracy"].to_numpy() for r in (0, 1))
    assert np.corrcoef(first, second)[0, 1] > 0.5
    summary = rl.summarize(trials)
    parts = summary[summary["read"].isna()].set_index("estimand")
    assert parts.loc["variance_chip", "low"] > 0.0
    assert parts.loc["variance_read_inputs", "low"] > 0.0
    one = rl.summarize(trials[trials["read"] == 0].drop(columns="read").copy().pipe(without_read, trials))
    both = one.set_index("estimand").loc["variance_chip_inputs", "value"]
    again = parts.loc[["variance_chip_inputs", "variance_read_inputs"], "value"].sum()
    assert both == pytest.approx(again, rel=0.1)


def without_read(trials, source):
    trials.attrs = {**source.attrs, "conditions": []}
    return trials


def test_a_chip_without_read_noise_has_no_other_read(problem):
    with pytest.raises(rl.RunError, match="sweeping read over 0, 1 changed no logit"):
        simulate(problem, rl.Chip(device=rl.devices.gaussian(sigma=0.1)), vary={"read": [0, 1]})


@pytest.mark.parametrize("value", [-1, 0.5, "a", True])
def test_mistakes(value):
    with pytest.raises(rl.UserError, match=r"vary\.read = .* must be a whole number from 0"):
        expand(SPLIT, {"read": [value]})
