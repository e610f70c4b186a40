"""The analytic network beside simulated chips: errors, ranking of designs, and time.

    python benchmarks/analytic.py [--quick] [errors] [designs] [time] [NETWORK ...]

prints markdown tables; without a word, all three, of all networks ("digits MLP", "MNIST MLP", "LeNet",
"ResNet-20"). MNIST, CIFAR-10 and the two convolutional networks are
looked for as the tests do (RELIABILITY_DATA, or ../shared/data); what is absent is left out.

errors: mean accuracy over chips, analytic and simulated, on the same inputs, with the standard error of the
simulated one over chips. designs: Spearman correlation over 40 random designs, each with its own sigma and
largest weight a layer, of the analytic accuracy and that of simulated chips (their noise makes it smaller).
time: the analytic network, from its construction to the accuracy and without its check, against 500 simulated
chips, both from the description on, alternating in one process. Other work on the machine disturbs ratios
least in the processor time of the whole process.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from shared_data import mnist_folder, shared_folder  # noqa: E402
from timing import math_threads  # noqa: E402

import reliability as rl  # noqa: E402
from reliability import moments  # noqa: E402
from reliability.analytic import AnalyticNetwork  # noqa: E402
from reliability.network import Network  # noqa: E402
from reliability.preprocessing import PRESETS  # noqa: E402
from reliability.simulation import Simulation  # noqa: E402

DAY = 86400.0
DESIGNS = 40
QUICK = "--quick" in sys.argv


@dataclass(frozen=True)
class Case:
    """A network with its inputs, and what is run on it.

    Parameters
    ----------
    sigmas : tuple of float
        Of Gaussian programming errors, relative to the largest conductance.
    inputs, chips : int
        Of the table of errors.
    design_inputs, design_chips : int
        Of the designs; 0 leaves them out.
    span : (float, float)
        Between which the sigmas of designs lie.
    time_inputs, time_chips : int
        Of the timings; fewer chips than 500 are scaled.
    """

    name: str
    load: Callable[[], tuple[Network, rl.Dataset] | None]
    sigmas: tuple[float, ...]
    inputs: int
    chips: int
    design_inputs: int = 0
    design_chips: int = 0
    span: tuple[float, float] = (0.0, 0.0)
    time_inputs: int = 0
    time_chips: int = 500

    def subject(self, inputs: int) -> tuple[Network, rl.Dataset] | None:
        """The network and its first inputs."""
        found = self.load()
        return None if found is None else (found[0], found[1].head(min(inputs, len(found[1].x))))


def _shared(model: str, dataset: str) -> tuple[Network, rl.Dataset] | None:
    models = shared_folder("models")
    folder = mnist_folder() if dataset == "mnist" else shared_folder(dataset)
    if folder is None or (models is None and model.endswith(".onnx")):
        return None
    net = rl.load_network(models / model if models is not None and model.endswith(".onnx") else model)
    if model.endswith(".onnx"):
        net = replace(net, preprocessing=PRESETS["unit" if dataset == "mnist" else "imagenet"])
    return net, rl.load_dataset(dataset, folder)


CASES = (
    Case(
        "digits MLP", lambda: (rl.load_network("digits-mlp"), rl.load_dataset("digits")),
        (0.05, 0.08, 0.1, 0.12, 0.14), 10_000, 5000 if QUICK else 20_000, 10_000, 400 if QUICK else 4000,
        (0.02, 0.14), 10_000,
    ),
    Case(
        "MNIST MLP", lambda: _shared("mnist-mlp", "mnist"), (0.06, 0.1, 0.13, 0.16, 0.2),
        2000 if QUICK else 10_000, 1000 if QUICK else 20_000, 1000 if QUICK else 2000, 400 if QUICK else 2000,
        (0.02, 0.16), 2000, 500,
    ),
    Case(
        "LeNet", lambda: _shared("mnist_lenet5_relu.onnx", "mnist"), (0.03, 0.04, 0.05, 0.055),
        1000 if QUICK else 2000, 1000 if QUICK else 5000, 500 if QUICK else 1000, 200 if QUICK else 1000,
        (0.01, 0.06), 500, 100,
    ),
    Case(
        "ResNet-20", lambda: _shared("resnet20_cifar10.onnx", "cifar10"), (0.01, 0.015, 0.02),
        160 if QUICK else 500, 150 if QUICK else 1000, time_inputs=64, time_chips=20,
    ),
)  # fmt: skip


CHOSEN = [case for case in CASES if case.name in sys.argv] or CASES


def chips_of(case: Case) -> Iterator[tuple[str, rl.Chip, float]]:
    """The operating points of the table of errors."""
    for sigma in case.sigmas:
        yield f"Gaussian, {sigma:g}", rl.Chip(device=rl.devices.gaussian(sigma=sigma)), 0.0
    yield "PCM, 1 day", rl.Chip(), DAY
    yield "PCM, 1 day, compensated", rl.Chip(compensation="global"), DAY


def errors() -> None:
    """Analytic and simulated mean accuracies."""
    print("| network | chip | inputs | chips | digital | simulated | error of it | analytic | difference |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in CHOSEN:
        subject = case.subject(case.inputs)
        if subject is None:
            continue
        for what, chip, time_s in chips_of(case):
            found = AnalyticNetwork(*subject, chip, time_s=time_s)
            trials = rl.simulate(*subject, chip, chips=case.chips, time_s=time_s, seed=1)
            mean, error = trials["accuracy"].mean(), trials["accuracy"].std() / math.sqrt(case.chips)
            digital = found.simulation.reference.mean()
            print(
                f"| {case.name} | {what} | {len(found.x)} | {case.chips} | "
                f"{digital:.4f} | {mean:.5f} | {error:.5f} | {found.accuracy:.5f} | "
                f"{found.accuracy - mean:+.5f} |",
                flush=True,
            )


def designs() -> None:
    """Rank correlation of analytic and simulated accuracies over random designs."""
    print(
        "| network | designs | inputs | chips | Spearman | largest difference | RMS difference | RMS error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in CHOSEN:
        subject = case.subject(case.design_inputs) if case.design_chips else None
        if subject is None:
            continue
        rng = np.random.default_rng(5)
        found, simulated, noise = [], [], []
        for _ in range(DESIGNS):
            layers = {}
            for node in subject[0].weighted:
                largest = float(np.quantile(np.abs(node.layer.weight), rng.uniform(0.97, 1)))
                layers[node.name] = rl.LayerChip(
                    device=rl.devices.gaussian(sigma=rng.uniform(*case.span)),
                    mapping=rl.Mapping(weight_max=largest),
                )
            chip = rl.Chip(layers=layers)
            found.append(AnalyticNetwork(*subject, chip).accuracy)
            trials = rl.simulate(*subject, chip, chips=case.design_chips, seed=1)
            simulated.append(trials["accuracy"].mean())
            noise.append(trials["accuracy"].std() / math.sqrt(case.design_chips))
        off = np.subtract(found, simulated)
        print(
            f"| {case.name} | {DESIGNS} | {len(subject[1].x)} | {case.design_chips} | "
            f"{stats.spearmanr(found, simulated).statistic:.4f} | {np.abs(off).max():.4f} | "
            f"{np.sqrt((off**2).mean()):.4f} | {np.sqrt(np.square(noise).mean()):.4f} |",
            flush=True,
        )


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _analytic(subject: tuple, chip: rl.Chip, time_s: float, threads: int) -> np.ndarray:
    """Wall and processor seconds of the analytic network, from its construction on."""
    moments._integrated.cache_clear()
    start = _clocks()
    _ = AnalyticNetwork(*subject, chip, time_s=time_s, threads=threads).accuracy
    return _clocks() - start


def _simulated(subject: tuple, chip: rl.Chip, time_s: float, threads: int, chips: int) -> np.ndarray:
    """Wall and processor seconds of 500 chips, of which so many are simulated."""
    start = _clocks()
    simulation = Simulation(*subject, chip, time_s=time_s, threads=threads)
    simulation.block(0, 0, 1)
    made = _clocks()
    simulation.block(0, 0, chips)
    return made - start + 500 / chips * (_clocks() - made)


def times() -> None:
    """Seconds of the analytic network and of 500 chips."""
    print(
        "| network | chip | inputs | threads | analytic, s | 500 chips, s | ratio | ratio of processor time |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in CHOSEN:
        subject = case.subject(case.time_inputs)
        if subject is None:
            continue
        for what, chip, time_s in list(chips_of(case))[:: len(case.sigmas)]:
            for threads in (1, 2):
                ours, theirs = [], []
                with math_threads(threads):
                    for _ in range(3 if QUICK else 6):
                        ours.append(_analytic(subject, chip, time_s, threads))
                        theirs.append(_simulated(subject, chip, time_s, threads, case.time_chips))
                # The first round warms up.
                own, chips = np.median(ours[1:], axis=0), np.median(theirs[1:], axis=0)
                print(
                    f"| {case.name} | {what} | {len(subject[1].x)} | {threads} | {own[0]:.3f} | "
                    f"{chips[0]:.3f} | {own[0] / chips[0]:.2f} | {own[1] / chips[1]:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    parts = {"errors": errors, "designs": designs, "time": times}
    chosen = [word for word in sys.argv[1:] if word in parts] or list(parts)
    for word in chosen:
        print(f"\n## {word}\n")
        parts[word]()
