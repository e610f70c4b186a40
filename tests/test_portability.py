"""AVX-512, AVX2 and plain vectors give the same chips.

A process compiles for one CPU, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose. So this file is also a
program: for each CPU it runs by itself, and the tests compare what it saved. Numba's index of compiled
kernels keeps the CPUs apart; what is compiled here stays there for the next time.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import llvmlite.binding as llvm
import naive
import numpy as np
import pytest
from numba import njit
from numba.core.registry import cpu_target

import reliability as rl
from reliability.analytic import AnalyticNetwork
from reliability.kernels import cache, engine, intrinsics, philox, product
from reliability.layers import (
    AveragePool2d,
    BatchNorm,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Sigmoid,
    Tanh,
)
from reliability.network import Network, Node, mlp

ROOT = Path(rl.__file__).resolve().parent.parent
TIMES = (0.0, rl.DAY, rl.YEAR)
DRIFT = {"time_s": list(TIMES), "compensation": ["none", "global"]}
INPUTS = 53  # more than three vectors of 16 lanes; no whole number of vectors of 4


@dataclass(frozen=True)
class Cpu:
    """One kind of CPU: Numba's settings for it, what code it gets, and what it takes to run that."""

    settings: dict[str, str]
    lanes: int
    fma: bool
    needs: tuple[str, ...]


CPUS = {
    "AVX-512": Cpu({}, 16, True, ("avx512f",)),
    "AVX2": Cpu(
        {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""},
        8,
        True,
        ("avx2", "fma", "bmi", "bmi2", "f16c", "lzcnt", "movbe"),
    ),
    "plain": Cpu({"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}, 4, False, ("sse2",)),
}


def perceptron() -> Network:
    """20-37-19-7."""
    random = np.random.default_rng(0)
    sizes = (20, 37, 19, 7)
    weights = [random.normal(size=(m, n)) / np.sqrt(n) for n, m in pairwise(sizes)]
    return mlp(weights, [random.normal(size=m) / 3 for m in sizes[1:]])


def convolutional() -> Network:
    """Images of 3 x 9 x 10: each kind of operation that the kernels vectorise in a way of its own."""
    random = np.random.default_rng(1)

    def conv(outputs: int, inputs: int, **options) -> Conv2d:
        return Conv2d(
            random.normal(size=(outputs, inputs, 3, 3)) / (3 * np.sqrt(inputs)),
            random.normal(size=outputs) / 3,
            **options,
        )

    channels = [random.normal(size=13) for _ in range(3)]
    layers = {
        "conv1": conv(13, 3, padding=(1, 1, 1, 1)),
        "bn": BatchNorm(1 + channels[0] / 9, channels[1] / 3, channels[2] / 3, np.ones(13)),
        "relu": ReLU(),
        "max": MaxPool2d((2, 2), stride=(2, 2)),
        "conv2": conv(13, 1, groups=13, padding=(1, 1, 1, 1)),
        "tanh": Tanh(),
        "conv3": conv(8, 13, stride=(2, 1), padding=(1, 1, 1, 1)),
        "sigmoid": Sigmoid(),
        "mean": AveragePool2d((2, 2), stride=(1, 1)),
        "relu6": ReLU6(),
        "flatten": Flatten(),
    }
    inputs = ["input", *layers]
    nodes = tuple(
        Node(n, layer, (source,)) for (n, layer), source in zip(layers.items(), inputs, strict=False)
    )
    features = Network(nodes, (3, 9, 10)).shapes["flatten"][0]
    last = Linear(random.normal(size=(5, features)) / np.sqrt(features))
    return Network((*nodes, Node("end", last, ("flatten",))), (3, 9, 10))


GAUSSIAN = rl.Chip(rl.devices.gaussian(sigma=0.1))
NETWORKS = {"perceptron": perceptron, "convolutional": convolutional}
CHIPS = {
    "pcm": (rl.Chip(rl.devices.pcm()), DRIFT),
    "pcm, split reads": (rl.Chip(rl.devices.pcm(), read_noise="split"), DRIFT),
    "pcm, bias in devices, tiles of 16 rows": (
        rl.Chip(tile=rl.Tile(rows=16), mapping=rl.Mapping(bias="devices")),
        DRIFT,
    ),
    "gaussian, split reads": (
        rl.Chip(rl.devices.gaussian(sigma=0.1, read_sigma=0.1), read_noise="split"),
        {},
    ),
    "8-bit deviations": (GAUSSIAN, {}),
    "converters": (
        rl.Chip(
            rl.devices.gaussian(sigma=0.1),
            mapping=rl.Mapping(scheme="offset", slices=rl.Slices(2, "digits")),
            tile=rl.Tile(16, 8, rl.DAC(6, 2.0, pulse_bits=2), rl.ADC(7, 3.0)),
        ),
        {},
    ),
    "every effect": (
        rl.Chip(
            tile=rl.Tile(16, 8, wires=rl.Wires(word_ohm=20.0, sense_ohm=50.0)),
            telegraph=rl.Telegraph(amplitude=0.2, correlation_s=3e-5),
            faults=rl.Faults(stuck_low=0.02, cluster_share=0.02, open_rows=0.02, cycles=1e7),
            variation=rl.Variation(die=0.05, tile=0.05, cell=0.05, field=0.1),
        ),
        DRIFT,
    ),
}
# Rounding other than by a fused multiply-add moves a sum at the edge of a code by a whole code, and a draw at
# the edge of a probability to the other side.
EXACT_ONLY = ("converters", "every effect")


def save(path: str) -> None:
    """What this process computes, and how it was compiled."""
    found = {"lanes": intrinsics.LANES, "fma": intrinsics.HAS_FMA}
    for net_name, make in NETWORKS.items():
        net = make()
        x = np.random.default_rng(2).normal(size=(INPUTS, *net.input_shape)).astype(np.float32)
        data = x, net.forward(net.prepare(x)).argmax(axis=1)
        found[f"accuracy: {net_name}"] = AnalyticNetwork(net, data, GAUSSIAN).accuracy
        for chip_name, (chip, vary) in CHIPS.items():
            recorder = naive.Recorder()
            how = "int8" if chip_name == "8-bit deviations" else "float32"
            options = {"vary": vary, "chips": 3, "arithmetic": how}
            rl.simulate(net, data, chip, metric=recorder, **options)
            trials = rl.simulate(net, data, chip, **options)
            # Only a fully connected first layer has sums to share.
            assert (trials["first_layer"] == (how if net_name == "perceptron" else "float32")).all()
            name = f"{net_name}, {chip_name}"
            found[f"logits: {name}"] = np.stack(recorder.shown[1:])
            found[f"checksum: {name}"] = trials["checksum"].to_numpy()
            bits = np.stack([np.frombuffer(b, np.uint8) for b in trials["correct_bits"]])
            found[f"right: {name}"] = np.unpackbits(bits, axis=1)
    for (layer, kind), drawn in rl.draw_latents(perceptron(), rl.Chip(), chips=3, times=TIMES).items():
        found[f"latents: {layer}, {kind}"] = drawn
    digits = rl.load_network("digits-mlp"), rl.load_dataset("digits")
    found["accuracy: digits-mlp"] = AnalyticNetwork(*digits, GAUSSIAN).accuracy
    # Numba shows no assembly of what its cache held. Compiled anew, the outermost kernel holds all others but
    # those that are called by their address.
    outermost = engine.run_worker, engine.run_worker.for_python.signatures[0]
    assembly = []
    for kernel, signature in (outermost, (product.multiply, product.MULTIPLY)):
        again = njit(error_model="numpy")(kernel.py_func)
        again.compile(signature)
        assembly += again.inspect_asm().values()
    found["assembly"] = "\n".join(assembly)
    np.savez(path, **found)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the named CPU computes: ``results("AVX2")``. Skips where this machine cannot run its code."""
    folder, done = tmp_path_factory.mktemp("portability"), {}

    def of(name: str) -> dict[str, np.ndarray]:
        cpu = CPUS[name]
        if platform.machine().lower() not in ("x86_64", "amd64"):
            pytest.skip("these are CPUs of x86-64")
        missing = [need for need in cpu.needs if not llvm.get_host_cpu_features().get(need)]
        if missing:
            pytest.skip(f"this machine's CPU cannot run {name}: it has no {', '.join(missing)}")
        if name not in done:
            path = folder / f"{name}.npz"
            outside = {k: v for k, v in os.environ.items() if k not in CPUS["plain"].settings}
            paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            process = subprocess.run(
                [sys.executable, __file__, str(path)],
                env={**outside, "PYTHONPATH": paths, **cpu.settings},
                capture_output=True,
                text=True,
            )
            assert process.returncode == 0, process.stderr
            with np.load(path) as file:
                done[name] = dict(file)
        return done[name]

    return of


def of_kind(kind: str, *found: dict[str, np.ndarray]):
    """Name and arrays of one kind, side by side."""
    names = [name for name in found[0] if name.startswith(f"{kind}: ")]
    assert names
    return [(name, *(own[name] for own in found)) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", CPUS)
def test_each_cpu_gets_code_of_its_own(results, name):
    cpu, found = CPUS[name], results(name)
    assert (found["lanes"], found["fma"]) == (cpu.lanes, cpu.fma)
    assembly = str(found["assembly"])
    used = {register for register in "xyz" if f"%{register}mm" in assembly}
    assert used == {16: {"x", "y", "z"}, 8: {"x", "y"}, 4: {"x"}}[cpu.lanes]
    widest, sum_of_products = {16: "z", 8: "y", 4: "x"}[cpu.lanes], r"vfmadd\w*ps" if cpu.fma else "addps"
    assert re.search(rf"{sum_of_products}\s.*%{widest}mm", assembly)
    assert ("vfmadd" in assembly) == cpu.fma
    assert "fmaf" not in assembly


@pytest.mark.slow
def test_avx2_gives_the_chips_of_avx512_to_the_last_bit(results):
    wide, narrow = results("AVX-512"), results("AVX2")
    for kind in ("latents", "logits", "checksum", "right", "accuracy"):
        for name, one, other in of_kind(kind, wide, narrow):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AVX-512", "AVX2"])
def test_plain_vectors_give_the_same_chips_but_for_rounding(results, name):
    fused, plain = results(name), results("plain")
    for latent, one, other in of_kind("latents", fused, plain):
        # Near zero a sine or cosine rounds on the scale of its normal's radius, below 7.
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=latent)
    for what, one, other in of_kind("logits", fused, plain):
        if what.endswith(EXACT_ONLY):
            continue
        assert np.abs(one - other).max() <= 1e-5 * np.abs(one).max(), what
    for what, one, other in of_kind("accuracy", fused, plain):
        assert abs(one - other) <= 1e-7, what
    for what, one, other in of_kind("right", fused, plain):
        if what.endswith(EXACT_ONLY):
            continue
        np.testing.assert_array_equal(one, other, err_msg=what)
        assert 0 < one.mean() < 1


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="these are CPUs of x86-64")
@pytest.mark.parametrize(
    ("cpu", "features", "expected"),
    [
        ("x86-64", "", (4, False)),
        ("generic", "", (4, False)),
        ("sandybridge", "", (4, False)),
        ("haswell", "", (8, True)),
        ("x86-64-v3", "", (8, True)),
        ("x86-64-v3", "-fma", (8, False)),
        ("x86-64", "+avx2", (8, False)),
        ("x86-64", "+fma", (4, True)),
        ("x86-64-v4", "", (16, True)),
        ("skylake-avx512", "", (16, True)),
        ("x86-64-v4", "-avx512f", (8, True)),
        ("x86-64", "+avx512f", (16, True)),
    ],
)
def test_lanes_follow_the_features_that_llvm_compiles_for(cpu, features, expected):
    assert intrinsics.vector_unit(llvm.get_process_triple(), cpu, features) == expected


def test_what_is_compiled_for_one_cpu_is_not_there_for_another(monkeypatch):
    philox.philox_words(np.zeros((1, 4), np.uint32), np.zeros(2, np.uint32))
    assert cache.is_cached(philox.philox_words)
    codegen = type(cpu_target.target_context.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: (llvm.get_process_triple(), "another", ""))
    assert not cache.is_cached(philox.philox_words)


if __name__ == "__main__":
    save(sys.argv[1])
