"""A study's folder: killed at any moment it goes on, and nothing damaged is taken for a result."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reliability as rl
from reliability import results
from reliability.block import Block
from reliability.errors import UserError
from reliability.files import sha256_of, write_atomically
from reliability.fingerprint import study_fingerprint
from reliability.network import Linear
from reliability.results import Folder
from reliability.session import run_study

ROOT = Path(rl.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def study():
    study = rl.load_study("drift_vs_time")[1]
    for setting in ("vary.time_s=[1, 3600]", "inputs=40", "chips=600"):
        study = study.set(setting)
    return study


@pytest.fixture(scope="module")
def settings(study):
    return study_fingerprint("drift_vs_time", study, *study.load())


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    """Checksum of the trials table of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return sha256_of(run_study("drift_vs_time", study, folder, quiet=True).folder / results.TRIALS)


def stop_after(monkeypatch, blocks: int) -> None:
    """Let a run die, as by a power cut, once it has put so many blocks in place."""
    put = Folder.put
    done = []

    def put_or_die(self, *arguments):
        put(self, *arguments)
        done.append(1)
        if len(done) == blocks:
            raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "put", put_or_die)


def interrupted(study, folder: Path, blocks: int) -> list[Path]:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, blocks)
        with pytest.raises(KeyboardInterrupt):
            run_study("drift_vs_time", study, folder, quiet=True)
    return sorted((folder / "blocks").glob("*.npz"))


@pytest.mark.parametrize("blocks", [1, 2])
def test_an_interrupted_run_goes_on_and_ends_the_same(study, whole, tmp_path, blocks, monkeypatch):
    assert len(interrupted(study, tmp_path / "out", blocks)) == blocks
    simulated = []
    block = rl.simulation.Simulation.block
    monkeypatch.setattr(
        rl.simulation.Simulation, "block", lambda self, *a: simulated.append(a) or block(self, *a)
    )
    result = run_study("drift_vs_time", study, tmp_path / "out", resume=True, quiet=True)
    assert sha256_of(result.folder / results.TRIALS) == whole
    assert len(simulated) == 3 - blocks, "finished blocks are not simulated again"
    assert not (tmp_path / "out" / "blocks").exists()


@pytest.mark.parametrize("damage", ["truncated", "altered", "unsealed", "empty"])
def test_a_damaged_block_is_simulated_again(study, whole, tmp_path, damage, capsys):
    path = interrupted(study, tmp_path / "out", 2)[0]
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "altered":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.with_suffix(".sha256").unlink()
    result = run_study("drift_vs_time", study, tmp_path / "out", resume=True, quiet=True)
    assert sha256_of(result.folder / results.TRIALS) == whole
    assert ("is damaged and is simulated again" in capsys.readouterr().err) == (damage != "unsealed")


def test_a_finished_run_is_read_back_and_an_altered_table_is_not(study, whole, tmp_path, monkeypatch, capsys):
    run_study("drift_vs_time", study, tmp_path / "out", quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rl.simulation.Simulation, "block", lambda *a: pytest.fail("simulated again"))
        run_study("drift_vs_time", study.set("target=0.5"), tmp_path / "out", resume=True, quiet=True)
    table = tmp_path / "out" / results.TRIALS
    table.write_bytes(table.read_bytes()[:-7])
    result = run_study("drift_vs_time", study, tmp_path / "out", resume=True, quiet=True)
    assert "was altered" in capsys.readouterr().err
    assert sha256_of(result.folder / results.TRIALS) == whole


def test_resume_on_a_folder_that_is_not_there_simply_starts(study, whole, tmp_path):
    result = run_study("drift_vs_time", study, tmp_path / "new" / "deep", resume=True, quiet=True)
    assert sha256_of(result.folder / results.TRIALS) == whole


def test_without_resume_an_earlier_run_is_replaced(study, tmp_path):
    run_study("drift_vs_time", study, tmp_path / "out", quiet=True)
    first = sha256_of(tmp_path / "out" / results.TRIALS)
    run_study("drift_vs_time", study.set("seed=9"), tmp_path / "out", quiet=True)
    assert sha256_of(tmp_path / "out" / results.TRIALS) != first


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("seed=4", "seed was 0 and is now 4"),
        ("chips=601", "chips was 600 and is now 601"),
        ("chip.device.t0_s=25", r"chip.device.t0_s was 20.0 and is now 25.0"),
        ("inputs=41", "inputs was 40 and is now 41"),
        ("chip.device.law=gaussian", "chip.device.law was 'pcm' and is now 'gaussian'"),
    ],
)
def test_a_folder_of_other_settings_is_refused_with_the_difference(study, tmp_path, change, told):
    interrupted(study, tmp_path / "out", 1)
    with pytest.raises(UserError, match=told) as error:
        run_study("drift_vs_time", study.set(change), tmp_path / "out", resume=True, quiet=True)
    assert "\n" not in str(error.value)


def test_another_network_of_the_same_name_is_other_settings(study, settings):
    network, dataset = study.load()
    last = network.nodes[-1]
    negated = replace(last, layer=Linear(-last.layer.weight, last.layer.bias))
    changed = replace(network, nodes=(*network.nodes[:-1], negated))
    other = study_fingerprint("drift_vs_time", study, changed, dataset)
    assert other["network_sha256"] != settings["network_sha256"]
    other = study_fingerprint("drift_vs_time", study, network, dataset.head(39))
    assert other["dataset_sha256"] != settings["dataset_sha256"]


def test_damaged_settings_are_told(study, tmp_path):
    interrupted(study, tmp_path / "out", 1)
    (tmp_path / "out" / results.SETTINGS).write_text("{")
    with pytest.raises(UserError, match=r"settings\.json is damaged"):
        run_study("drift_vs_time", study, tmp_path / "out", resume=True, quiet=True)


def test_a_block_comes_back_as_it_was(settings, tmp_path):
    folder = Folder(tmp_path, settings, resume=False, warn=pytest.fail)
    rng = np.random.default_rng(0)
    block = Block(
        rng.integers(0, 256, (5, 2, 1, 4), np.uint8),
        rng.random((5, 2, 1)),
        rng.integers(0, 9, (5, 2, 1), "u8"),
        rng.integers(0, 9, (5, 2, 1, 3, 2)),
        rng.integers(0, 2, (5, 2), np.uint8),
        rng.integers(0, 9, (5, 3, 2)),
    )
    folder.put(0, 10, 5, block)
    again = folder.get(0, 10, 5)
    for name in Block.__annotations__:
        np.testing.assert_array_equal(getattr(again, name), getattr(block, name))
    assert folder.get(0, 10, 6) is None
    assert folder.get(1, 10, 5) is None


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(beside: Path) -> None:
        beside.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_provenance_names_the_table_that_it_belongs_to(study, tmp_path):
    run_study("drift_vs_time", study, tmp_path / "out", quiet=True, command=["x"])
    provenance = json.loads((tmp_path / "out" / results.PROVENANCE).read_text())
    digest = hashlib.sha256((tmp_path / "out" / results.TRIALS).read_bytes()).hexdigest()
    assert provenance["tables_sha256"][results.TRIALS] == digest
    assert provenance["command"] == ["x"]
    assert provenance["settings"]["chip"]["device"]["law"] == "pcm"


def test_killed_at_random_moments_the_table_is_the_same(tmp_path):
    """Kill -9 three times at random moments of one run, resume, and compare (20 in benchmarks/kill.py)."""
    command = [sys.executable, "-m", "reliability.study", "drift_vs_time", "--quiet", "--chips", "4000"]
    run = {"cwd": ROOT, "timeout": 300, "env": os.environ}
    started = time.perf_counter()
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, **run)
    duration = time.perf_counter() - started
    moments = random.Random(1)
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "out"), "--resume"], cwd=ROOT, env=os.environ
        )
        try:
            process.wait(moments.uniform(0.3, 0.8) * duration)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    subprocess.run([*command, "--out", str(tmp_path / "out"), "--resume"], check=True, **run)
    assert killed >= 1
    assert sha256_of(tmp_path / "out" / results.TRIALS) == sha256_of(tmp_path / "whole" / results.TRIALS)
