"""The command line: what a user types, and what it answers."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reliability as rl
from reliability.design import list_studies
from reliability.network import mlp
from reliability.study import main

QUICK = ["--chips", "8", "--inputs", "60", "--set", "vary.time_s=[1, 3600]"]
FILES = {
    "trials.parquet",
    "summary.csv",
    "figure.pdf",
    "figure.png",
    "provenance.json",
    "settings.json",
    "failure_times.csv",
}


def run_quick(folder: Path, *more: str) -> int:
    return main(["drift_vs_time", *QUICK, "--out", str(folder), *more])


def test_a_study_writes_its_folder_and_prints_its_summary(tmp_path, capsys):
    assert run_quick(tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 100
    assert "Digital network on the same inputs" in out
    assert "8 chips, 60 inputs" in out
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    trials = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    assert list(trials.columns[:6]) == ["time_s", "compensation", "read_noise", "chip", "inputs", "correct"]
    assert len(trials) == 2 * 2 * 8
    bits = np.stack([np.unpackbits(np.frombuffer(b, np.uint8), count=60) for b in trials["correct_bits"]])
    assert (bits.sum(axis=1) == trials["correct"]).all()
    assert (trials["accuracy"] == trials["correct"] / 60).all()
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert {"value", "low", "high", "level", "varies", "estimand"} <= set(summary.columns)
    assert summary[["value", "low", "high", "level", "varies"]].notna().all().all()
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert {"command", "settings", "versions", "platform", "git_revision", "wall_s"} <= set(provenance)
    assert provenance["settings"]["seed"] == 0


def test_intervals_can_be_recomputed_from_the_folder(tmp_path):
    assert run_quick(tmp_path / "out", "--quiet") == 0
    trials = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    again = rl.summarize(trials)
    written = pd.read_csv(tmp_path / "out" / "summary.csv")
    np.testing.assert_allclose(again["low"], written["low"])
    np.testing.assert_allclose(again["high"], written["high"])


def test_the_folder_equals_the_three_lines_of_python(tmp_path):
    assert run_quick(tmp_path / "out", "--quiet") == 0
    study = rl.load_study("drift_vs_time")[1]
    network, dataset = study.load()
    vary = {**study.vary, "time_s": [1, 3600]}
    trials = rl.simulate(network, dataset.head(60), study.chip, vary=vary, chips=8)
    pd.testing.assert_frame_equal(trials, pd.read_parquet(tmp_path / "out" / "trials.parquet"))


def test_quiet_prints_nothing(tmp_path, capsys):
    assert run_quick(tmp_path / "out", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_list_names_every_study(capsys):
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    assert "drift_vs_time" in out
    assert "accuracy_vs_variation" in out


def test_describe_says_what_it_would_do_without_doing_it(tmp_path, capsys):
    assert run_quick(tmp_path / "out", "--describe") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    for words in (
        "phase-change memory",
        "1 s, 1 h",
        "none, global",
        "32 trials",
        "seed 0",
        "chip.device.t0_s",
    ):
        assert words in out
    assert not (tmp_path / "out").exists()


def test_accuracy_vs_variation_runs_and_starts_at_the_digital_network(tmp_path):
    settings = ["--chips", "6", "--set", "vary.device.sigma=[0.0, 0.3]"]
    assert main(["accuracy_vs_variation", *settings, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    trials = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    ideal = trials[trials["device.sigma"] == 0]
    assert ideal["correct"].nunique() == 1
    assert ideal["accuracy"].iloc[0] > trials[trials["device.sigma"] == 0.3]["accuracy"].max()


def test_a_users_own_study_chip_and_network(tmp_path, capsys):
    rng = np.random.default_rng(0)
    network = mlp([rng.normal(size=(10, 64))], [np.zeros(10)], input_shape=(8, 8), name="one-layer")
    network.save(tmp_path / "mine.npz")
    (tmp_path / "mine.toml").write_text("[device]\nlaw = 'gaussian'\nsigma = 0.1\n")
    (tmp_path / "my_study.py").write_text(
        '"""Does it run?"""\n'
        "from reliability import Chip, Curve, Study, devices\n"
        "study = Study(question='Does it run?', network='digits-mlp', dataset='digits',\n"
        "    chip=Chip(device=devices.gaussian()),\n"
        "    vary={'device.sigma': [0.1, 0.2]}, figure=Curve(x='device.sigma'))\n"
    )
    command = [str(tmp_path / "my_study.py"), "--chip", str(tmp_path / "mine.toml"), "--network"]
    command += [str(tmp_path / "mine.npz"), "--chips", "4", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "Does it run?" in capsys.readouterr().out
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["chip"]["device"]["sigma"] == 0.1


def test_ci_width_stops_at_a_fixed_count_and_says_the_floor(tmp_path, capsys):
    settings = ["--ci-width", "0.01", "--set", "vary.time_s=[1, 31536000]", "--out", str(tmp_path / "out")]
    assert main(["drift_vs_time", *settings]) == 0
    out = capsys.readouterr().out
    trials = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    # Whatever the chips, some 9 over their number is left open: dead ones may not have come yet.
    assert 900 <= trials["chip"].nunique() <= 1500
    assert "Asked for intervals over chips below 1 points: reached" in out
    assert "floor that the inputs set" in out
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    means = summary[(summary["estimand"] == "mean") & (summary["varies"] == "chips, these inputs")]
    assert means["method"].str.startswith("betting confidence sequence").all()
    assert (means["high"] - means["low"] < 0.01).all()
    drops = summary[(summary["estimand"] == "drop") & (summary["varies"] == "chips, these inputs")]
    # One statement in two forms, and so the same at every look.
    for mine, other in (("low", "high"), ("high", "low")):
        sums = drops[mine].to_numpy() + means[other].to_numpy()
        np.testing.assert_allclose(sums, drops["value"].to_numpy() + means["value"].to_numpy(), atol=1e-7)
    fixed = ~summary["method"].str.contains("valid at every look")
    assert summary.loc[fixed, "method"].str.endswith("as if the number of chips had been fixed").all()
    assert summary.loc[summary["estimand"] == "yield", "method"].str.startswith("Robbins").all()


def test_ci_width_out_of_reach_is_said_before_running(tmp_path, capsys):
    settings = ["--ci-width", "0.00001", "--out", str(tmp_path / "out"), "--set", "vary.time_s=[1, 3600]"]
    assert main(["drift_vs_time", *settings]) == 2
    assert "out of reach" in capsys.readouterr().err


def write_idx(folder: Path, *, truncate: int = 0) -> None:
    folder.mkdir()
    images = b"\0\0\x08\x03" + np.array([4, 28, 28], ">u4").tobytes() + bytes(4 * 784)
    labels = b"\0\0\x08\x01" + np.array([4], ">u4").tobytes() + bytes(4)
    (folder / "t10k-images-idx3-ubyte").write_bytes(images[: len(images) - truncate])
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz", "wb") as file:
        file.write(labels)


def bad_inputs(folder: Path) -> dict[str, tuple[list[str], str]]:
    """Commands with a mistake, and what the answer must name."""
    write_idx(folder / "cut", truncate=100)
    wrong = mlp([np.ones((10, 5), np.float32)], [None])
    wrong.save(folder / "five.npz")
    with np.load(folder / "five.npz") as file:
        arrays = dict(file)
    arrays["fc1/weight"] = np.full((10, 5), np.nan, np.float32)
    np.savez(folder / "nan.npz", **arrays)
    (folder / "file").write_text("")
    other = folder / "other"
    assert main(["drift_vs_time", *QUICK, "--out", str(other), "--quiet"]) == 0
    (folder / "full").mkdir()
    (folder / "full" / "thesis.tex").write_text("precious")
    np.savez(folder / "test-only.npz", x=np.zeros((4, 8, 8)), y=np.zeros(4, int))
    drift = "drift_vs_time"
    return {
        "unknown study": (["drift_vs_tim"], "no study 'drift_vs_tim'"),
        "missing study file": ([str(folder / "none.py")], "none.py does not exist"),
        "no study": ([], "name a study"),
        "unknown field": ([drift, "--set", "chip.device.colour=1"], "colour is not a field"),
        "value out of range": ([drift, "--set", "chip.device.t0_s=-5"], "above 0 seconds"),
        "chips out of range": ([drift, "--chips", "0"], "chips = 0 must be a whole number from 1"),
        "missing dataset folder": ([drift, "--dataset", f"mnist:{folder / 'no'}"], "no"),
        "dataset without folder": ([drift, "--dataset", "mnist"], "mnist"),
        "unknown dataset": ([drift, "--dataset", "mnits"], "mnits"),
        "truncated IDX": (
            [drift, "--network", "mnist-mlp", "--dataset", f"mnist:{folder / 'cut'}"],
            "t10k-images-idx3-ubyte",
        ),
        "network that does not fit": ([drift, "--network", str(folder / "five.npz")], r"shape \(5,\)"),
        "NaN weights": ([drift, "--network", str(folder / "nan.npz")], "50 of 50 weight entries"),
        "missing network": ([drift, "--network", str(folder / "no.npz")], "no.npz does not exist"),
        "unknown network": ([drift, "--network", "resnet"], "no network 'resnet'"),
        "unwritable folder": ([drift, "--out", str(folder / "file" / "out")], "cannot be written"),
        "folder with other things": ([drift, "--out", str(folder / "full")], "holds no study"),
        "folder of another study": (
            ["accuracy_vs_variation", "--out", str(other), "--resume"],
            "study was 'drift_vs_time' and is now 'accuracy_vs_variation'",
        ),
        "folder of other settings": (
            [drift, *QUICK, "--seed", "5", "--out", str(other), "--resume"],
            "seed was 0 and is now 5",
        ),
        "too many inputs": ([drift, "--inputs", "451"], "451"),
        "missing chip": ([drift, "--chip", "gold"], "no chip 'gold'"),
        "missing layer": ([drift, "--set", "chip.layers.conv1.analog=false"], "'conv1'.* names no layer"),
        "target out of range": ([drift, "--target", "97"], "target = 97"),
        "both chips and width": ([drift, "--set", "ci_width=2"], "ci_width"),
        "field that is varied": (
            ["converter_bits", "--set", "chip.tile.adc.bits=6"],
            r"this study varies tile.adc.bits; set its values, vary.tile.adc.bits=",
        ),
        "converter without bits": (["converter_bits", "--set", "chip.tile.dac.bits=0"], "dac.bits = 0"),
        "no training inputs": (
            ["converter_bits", "--dataset", f"npz:{folder / 'test-only.npz'}", "--network", "digits-mlp"],
            "must hold arrays x_train and y_train",
        ),
        "too few training inputs": (
            ["converter_bits", "--set", "chip.calibration_inputs=5000"],
            "calibration_inputs = 5000, but there are only 1347",
        ),
        "unknown arithmetic": ([drift, "--set", "arithmetic=int4"], "arithmetic = 'int4' must be"),
        "no threads": ([drift, "--threads", "0"], "threads"),
    }


def test_every_mistake_is_one_sentence_and_exit_code_2(tmp_path, capsys):
    for name, (command, told) in bad_inputs(tmp_path).items():
        capsys.readouterr()
        if "--out" not in command:
            command = [*command, "--out", str(tmp_path / "unused")]
        assert main(command) == 2, name
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1, f"{name}: {err}"
        assert re.search(told, err), f"{name}: {err}"
    assert (tmp_path / "full" / "thesis.tex").read_text() == "precious"


def test_a_swept_field_without_effect_fails_with_exit_code_1(tmp_path, capsys):
    command = ["drift_vs_time", "--chips", "4", "--inputs", "20", "--out", str(tmp_path / "out")]
    command += ["--set", "chip.device.law=gaussian"]
    assert main(command) == 1
    assert "time_s" in capsys.readouterr().err


def test_the_module_runs_as_a_command_without_traceback(tmp_path):
    command = [sys.executable, "-m", "reliability.study", "drift_vs_tim", "--out", str(tmp_path / "x")]
    root = Path(rl.__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no study")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", list_studies())
def test_every_study_runs_and_draws_its_figure(name, tmp_path):
    # A distribution is not fitted to three chips.
    chips = "3" if rl.load_study(name)[1].analysis is None else "40"
    assert main([name, "--chips", chips, "--inputs", "40", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "figure.pdf").exists()


def test_a_device_of_few_levels_takes_weights_in_digits(tmp_path, capsys):
    device = "chip.device=fefet_28nm"
    assert run_quick(tmp_path / "out", "--set", device) == 0
    assert main(["drift_vs_time", "--describe", "--set", device]) == 0
    out = capsys.readouterr().out
    assert "4 slices a weight, fill digits of 2 bits" in out and "Not verified: " in out


@pytest.mark.parametrize("name", list_studies())
def test_every_study_describes_itself(name, capsys):
    assert main([name, "--describe"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(rl.load_study(name)[1].question) and "effects: " in out
