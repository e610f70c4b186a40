"""Whole sweeps: a study from description to intervals, and levels on common chips."""

from __future__ import annotations

import time

import numpy as np
import product
import workloads
from tables import print_table
from timing import alternate, medians, thread_counts

import reliability as rl

LEVELS = [0.02 * factor for factor in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)]


def report_sweep(rounds: int, cores: int, chips: int = 64) -> None:
    """Eight levels of programming error on common chips in one run, and in a run each."""
    w = workloads.w1()

    def run(levels: list[float], threads: int) -> np.ndarray:
        vary = {"device.sigma": levels}
        trials = rl.simulate(w.network, (w.x, w.labels), w.chip, vary=vary, chips=chips, threads=threads)
        return trials["accuracy"].to_numpy()

    def separate(threads: int) -> np.ndarray:
        return np.concatenate([run([level], threads) for level in LEVELS])

    contenders, trials = {}, len(LEVELS) * chips
    for threads in thread_counts(cores):
        contenders["one run", threads] = (lambda threads=threads: run(LEVELS, threads), trials)
        contenders["a run each", threads] = (lambda threads=threads: separate(threads), trials)
    found = medians(alternate(contenders, rounds))
    print(f"\n## Sweep: W1, {len(LEVELS)} levels of device.sigma, {chips} common chips\n")
    rows = []
    for threads in thread_counts(cores):
        one, each = found["one run", threads], found["a run each", threads]
        rows.append([threads, 1e3 * one, 1e3 * each, each / one])
    print_table(["threads", "one run, ms a trial", "a run each, ms a trial", "ratio"], rows)
    difference = np.abs(run(LEVELS, cores) - separate(cores)).max()
    print(f"\nLargest difference of a chip's accuracy between the two: {difference:g}.")


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
