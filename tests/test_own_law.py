"""A user's own device law, in a Python file beside the chip file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cells
import numpy as np
import pytest

import reliability as rl
from reliability.devices import Device
from reliability.fingerprint import law_sources, study_fingerprint
from reliability.kernels.latent import BLOCK, fill_uniforms
from reliability.latents import key
from reliability.network import mlp
from reliability.settings import chip_file
from reliability.units import DAY

pytestmark = pytest.mark.usefixtures("float32")

LAW = '''
"""Devices that miss by a normal error; some are stuck at zero, and all fade by a tenth a day."""

from dataclasses import dataclass
from typing import ClassVar

from reliability.devices import UNIFORM, Device, Latent
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel


@program_kernel
def program(target, latents, state, parameters):
    for i in range(BLOCK):
        stuck = latents[i] <= parameters[0]
        state[i] = 0 if stuck else target[i] + parameters[1] * latents[BLOCK + i]


@conductance_kernel
def conductance(state, latents, g, variance, parameters):
    for i in range(BLOCK):
        g[i] = state[i] * parameters[0]
        variance[i] = 0


@dataclass(frozen=True)
class Stuck(Device):
    law: ClassVar[str] = "stuck"
    states: ClassVar[int] = 1
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("stuck", UNIFORM), Latent("programming"))
    program = program
    conductance = conductance

    g_max_us: float = 10.0
    share: float = 0.1
    sigma: float = 0.05

    def __post_init__(self):
        super().__post_init__()
        self.check("share", 0 <= self.share <= 1, "between 0 and 1")

    def program_parameters(self):
        return (self.share, self.sigma * self.g_max_us)

    def time_parameters(self, time_s, observation_s):
        return (0.9 ** (time_s / 86400),)

    def describe(self):
        return f"devices of which {self.share:g} are stuck at zero"


device = Stuck()
'''


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my_law.py"
    path.write_text(LAW)
    return path


@pytest.fixture
def device(file) -> Device:
    return rl.devices.load_device(str(file))


def test_moments_of_the_own_law(device):
    devices = 1024 * BLOCK
    latents = np.empty((2, devices), np.float32)
    latents[1] = np.random.default_rng(1).normal(size=devices)
    words = map(np.uint32, key(0, "stuck", "fc1", "certify"))
    address = (np.uint32(0), np.uint32(0), np.uint32(0), *words)
    for block in range(1024):
        fill_uniforms(latents[0], block * BLOCK, block, *address)
    g, _ = cells.conductance(device, cells.program(device, np.full(devices, 5), latents), [], DAY)
    stuck = (g == 0).mean()
    assert abs(stuck - 0.1) < 4 * np.sqrt(0.1 * 0.9 / devices)
    alive = g[g != 0]
    assert abs(alive.mean(dtype=np.float64) - 4.5) < 4 * 0.45 / np.sqrt(alive.size)
    assert abs(alive.std(dtype=np.float64) / 0.45 - 1) < 4 / np.sqrt(2 * alive.size)


def test_own_law_from_a_chip_file_with_other_numbers(file):
    chip_file = file.with_name("chip.toml")
    chip_file.write_text('[device]\nlaw = "my_law.py"\nshare = 0.3\nsigma = 0.0\n')
    chip = rl.load_chip(chip_file)
    assert chip.device.share == 0.3
    # One output is the sum of 2000 weights of one: each survives with probability 0.7.
    net = mlp([np.ones((4, 2000))], [None])
    data = np.ones((1, 2000), np.float32), np.zeros(1, int)

    def first(logits, labels):
        return logits[:, 0]

    trials = rl.simulate(net, data, chip, vary={"time_s": [0, DAY]}, chips=500, metric=first)
    now, later = (trials.loc[trials["time_s"] == t, "accuracy"].to_numpy() for t in (0, DAY))
    sd = np.sqrt(2000 * 0.3 * 0.7)
    assert abs(now.mean() - 1400) < 4 * sd / np.sqrt(500)
    assert abs(now.std(ddof=1) / sd - 1) < 4 / np.sqrt(2 * 499)
    np.testing.assert_allclose(later, 0.9 * now, rtol=1e-5)


def test_own_laws_latents_may_be_supplied(device):
    net = mlp([np.eye(3, 5)], [None])
    data = np.eye(5, dtype=np.float32), np.zeros(5, int)
    drawn = rl.draw_latents(net, rl.Chip(device), chips=3)
    assert {name for _, name in drawn} == {"stuck", "programming"}
    assert drawn["fc1", "stuck"].min() > 0
    counted = rl.simulate(net, data, rl.Chip(device), chips=3)
    assert rl.simulate(net, data, rl.Chip(device), chips=3, seed=9, latents=drawn).equals(counted)
    all_stuck = {("fc1", "stuck"): np.zeros_like(drawn["fc1", "stuck"])}

    def largest(logits, labels):
        return np.abs(logits).max(axis=1)

    dead = rl.simulate(net, data, rl.Chip(device), chips=3, latents=all_stuck, metric=largest)
    assert (dead["accuracy"] == 0).all()


def test_sweeping_a_number_of_the_own_law(device):
    net = mlp([np.ones((2, 5))], [None])
    data = np.ones((3, 5), np.float32), np.zeros(3, int)
    trials = rl.simulate(net, data, rl.Chip(device), vary={"device.share": [0.0, 0.5]}, chips=20)
    assert trials["device.share"].tolist() == 20 * [0.0] + 20 * [0.5]
    with pytest.raises(rl.UserError, match=r"device\.share = 2\.0 of law 'stuck' must be between 0 and 1"):
        rl.simulate(net, data, rl.Chip(device), vary={"device.share": [0.0, 2.0]}, chips=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must define device = Device"),
        ("device = 3\n", "must define device = Device"),
        ("device = (\n", "does not run: SyntaxError"),
        ("import nothing_of_that_name\n", "does not run: ModuleNotFoundError"),
        ("from reliability.devices import pcm\ndevice = pcm(g_max_us=-1)\n", "g_max_us = -1"),
    ],
)
def test_a_file_without_a_law_is_told(tmp_path, text, told):
    path = tmp_path / "wrong.py"
    path.write_text(text)
    with pytest.raises(rl.UserError, match=told):
        rl.devices.load_device(str(path))


@pytest.mark.parametrize("name", ["reram", "missing.py"])
def test_a_law_that_does_not_exist_is_told(name):
    with pytest.raises(rl.UserError, match=name):
        rl.devices.load_device(name)


def test_an_edited_law_is_another_result(file, device):
    net = mlp([np.ones((4, 20))], [None])
    data = rl.datasets.from_arrays(np.ones((1, 20), np.float32), np.zeros(1, int))
    study = replace(rl.load_study("drift_vs_time")[1], chip=rl.Chip(device))

    def fingerprints():
        check = rl.AnalyticNetwork(net, data, rl.Chip(device)).fingerprint()
        return check, study_fingerprint("study", study, net, data)["device_files"]

    before = fingerprints()
    assert fingerprints() == before
    assert list(before[1]) == [str(file)]
    file.write_text(LAW.replace("self.sigma *", "2 * self.sigma *"))
    after = fingerprints()
    assert after[0] != before[0] and after[1] != before[1]


def test_a_chip_file_written_from_an_own_law_loads_it(file, device, tmp_path):
    chip = rl.Chip(device)
    (tmp_path / "written.toml").write_bytes(chip_file(chip))
    assert rl.load_chip(tmp_path / "written.toml").device == device


class Class(rl.devices.gaussian):
    """A law that is in no file of its own."""

    law = "mine"


def test_a_law_of_a_program_has_the_digest_of_its_source():
    assert list(law_sources(rl.Chip(Class(sigma=0.1)))) == ["mine"]
    assert law_sources(rl.Chip(rl.devices.gaussian(sigma=0.1))) == {}
