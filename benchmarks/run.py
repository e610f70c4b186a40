"""How fast: ratios to this machine's own matrix product and to plain NumPy and PyTorch loops.

    python benchmarks/run.py [--rounds 7]

needs the extra ``[bench]``. Every contender runs once a round; medians of the rounds are compared, so the
ratios hold on a machine that does other things too. Absolute times belong to the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import peers
import workloads
from timing import alternate, medians

import reliability as rl
from reliability.simulation import Simulation, available_cores

TRIALS = 128
PEER_TRIALS = 16
SIGMA = 0.02


def chips_of(simulation: Simulation, count: int):
    """Simulate so many chips, everything included but the description."""
    return lambda: simulation.block(0, 0, count)


def report_w1(rounds: int, cores: int) -> None:
    w = workloads.w1(SIGMA)
    work, flops = peers.product()
    contenders = {}
    for threads in sorted({1, cores}):
        contenders["sgemm", threads] = (work, 1)
        contenders["ours", threads] = (chips_of(w.simulation(threads), TRIALS), TRIALS)
        loop = peers.numpy_loop(w.weights, w.x, w.labels, SIGMA, PEER_TRIALS)
        contenders["NumPy loop", threads] = (loop, PEER_TRIALS)
        if importlib.util.find_spec("torch"):
            loop = peers.torch_loop(w.weights, w.x, w.labels, SIGMA, PEER_TRIALS)
            contenders["PyTorch loop", threads] = (loop, PEER_TRIALS)
    found = medians(alternate(contenders, rounds))
    print("\nW1: MLP 784-256-128-10, 1,000 inputs, two Gaussian-programmed devices a weight, all included\n")
    print("| | threads | ms a trial | GFLOP/s | of sgemm 2048 | ours is faster by |")
    print("|---|---|---|---|---|---|")
    for (name, threads), seconds in found.items():
        rate = (flops if name == "sgemm" else w.flops) / seconds
        share = rate * found["sgemm", threads] / flops
        faster = "" if name in ("sgemm", "ours") else f"{seconds / found['ours', threads]:.2f}"
        took = "" if name == "sgemm" else f"{1e3 * seconds:.2f}"
        print(f"| {name} | {threads} | {took} | {rate / 1e9:.0f} | {share:.2f} | {faster} |")
    if cores > 1:
        scaling = found["ours", 1] / found["ours", cores]
        print(f"\nOurs from 1 to {cores} threads: {scaling:.2f} times as fast.")


def report_own(title: str, w: workloads.Workload, chips: int, rounds: int, cores: int) -> None:
    """A workload against this machine's matrix product alone."""
    work, flops = peers.product()
    contenders = {}
    for threads in sorted({1, cores}):
        contenders["sgemm", threads] = (work, 1)
        contenders["ours", threads] = (chips_of(w.simulation(threads), chips), chips)
    found = medians(alternate(contenders, rounds))
    print(f"\n{title}\n")
    print("| threads | ms a chip | GFLOP/s of products | of sgemm 2048 |")
    print("|---|---|---|---|")
    for threads in sorted({1, cores}):
        seconds = found["ours", threads]
        share = w.flops / seconds * found["sgemm", threads] / flops
        print(f"| {threads} | {1e3 * seconds:.2f} | {w.flops / seconds / 1e9:.0f} | {share:.2f} |")


def report_study(cores: int) -> None:
    """A whole study: 1,000 chips x 1,000 inputs x 4 times x 2 compensations, intervals included."""
    w = workloads.w4()
    vary = {"time_s": [0.0, rl.HOUR, rl.DAY, rl.YEAR], "compensation": ["none", "global"]}
    work, flops = peers.product()
    work()
    start = time.perf_counter()
    work()
    rate = flops / (time.perf_counter() - start)
    start = time.perf_counter()
    trials = rl.simulate(w.network, (w.x, w.labels), w.chip, vary=vary, chips=1000)
    rl.summarize(trials)
    seconds = time.perf_counter() - start
    done = 2.0 * 1000 * 1000 * 8 * sum(v.size for v in w.weights)
    print("\nWhole study: 784-250-10, 1,000 chips x 1,000 inputs x 4 times x 2 compensations\n")
    print(
        f"{seconds:.1f} s on {cores} threads, {8000 / seconds:.0f} trials/s; the products of its trials one "
        f"by one would take {done / rate:.1f} s of its sgemm ({done / rate / seconds:.2f} of it).\n"
        f"The first layer's product is shared by the two compensations."
    )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    p.add_argument(
        "names", nargs="*", choices=["w1", "w3", "w4", "study", []], help="workloads (default: all)"
    )
    arguments = p.parse_args()
    names = arguments.names or ["w1", "w3", "w4", "study"]
    cores = available_cores()
    if "w1" in names:
        report_w1(arguments.rounds, cores)
    if "w3" in names:
        title = "W3: ResNet-20, 100 images, two Gaussian-programmed devices a weight, all included"
        report_own(title, workloads.w3(SIGMA), 16, arguments.rounds, cores)
    if "w4" in names:
        title = "W4: the main job, a PCM chip 784-250-10 at five times, 1,000 inputs, global compensation"
        report_own(title, workloads.w4(), TRIALS // 4, arguments.rounds, cores)
    if "study" in names:
        report_study(cores)


if __name__ == "__main__":
    main()
