"""Whole sweeps: a study from description to intervals, and levels on common chips."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import product
import workloads
from tables import print_table
from timing import alternate, medians, thread_counts

import reliability as rl
from reliability.simulation import Simulation

LEVELS = [0.02 * factor for factor in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)]


def report_sweep(rounds: int, cores: int, chips: int = 256) -> None:
    """Eight levels of programming error on common chips in one run, and in a run each."""
    w = workloads.w1()

    def run(levels: list[float], threads: int, way: str) -> np.ndarray:
        trials = rl.simulate(
            w.network,
            (w.x, w.labels),
            w.chip,
            vary={"device.sigma": levels},
            chips=chips,
            threads=threads,
            arithmetic=way,
        )
        return trials["accuracy"].to_numpy()

    def separate(threads: int, way: str) -> np.ndarray:
        return np.concatenate([run([level], threads, way) for level in LEVELS])

    contenders, trials = {}, len(LEVELS) * chips
    ways = dict.fromkeys(("float32", Simulation(w.network, (w.x, w.labels), w.chip).arithmetic))
    for threads in thread_counts(cores):
        for way in ways:
            contenders[f"one run, {way}", threads] = (partial(run, LEVELS, threads, way), trials)
            contenders[f"a run each, {way}", threads] = (partial(separate, threads, way), trials)
    found = medians(alternate(contenders, rounds))
    print(f"\n## Sweep: W1, {len(LEVELS)} levels of device.sigma, {chips} common chips\n")
    rows = []
    for threads in thread_counts(cores):
        for way in ways:
            one, each = found[f"one run, {way}", threads], found[f"a run each, {way}", threads]
            whole = found["a run each, float32", threads]
            rows.append([way, threads, 1e3 * one, 1e3 * each, each / one, whole / one])
    head = ["first layer", "threads", "one run, ms a trial", "a run each, ms a trial", "ratio"]
    print_table([*head, "ratio to float32 runs"], rows)
    for way in ways:
        difference = np.abs(run(LEVELS, cores, way) - separate(cores, way)).max()
        print(f"\nLargest difference of a chip's accuracy between the two, {way}: {difference:g}.")


def report_study(cores: int) -> None:
    """A whole study: 1,000 chips x 1,000 inputs x 4 times x 2 compensations, intervals included."""
    w = workloads.w4()
    vary = {"time_s": [0.0, rl.HOUR, rl.DAY, rl.YEAR], "compensation": ["none", "global"]}
    work, flops = product.matrix_product()
    work()
    start = time.perf_counter()
    work()
    rate = flops / (time.perf_counter() - start)
    start = time.perf_counter()
    trials = rl.simulate(w.network, (w.x, w.labels), w.chip, vary=vary, chips=1000)
    rl.summarize(trials)
    seconds = time.perf_counter() - start
    done = 8000 * w.flops
    print("\n## Whole study: 784-250-10, 1,000 chips x 1,000 inputs x 4 times x 2 compensations\n")
    print(
        f"threads: {cores}; {seconds:.1f} s, {8000 / seconds:.0f} trials/s; the products of its trials one "
        f"by one would take {done / rate:.1f} s of {product.NAME} ({done / rate / seconds:.2f} of it).\n"
        f"The first layer's product is shared by the two compensations."
    )
