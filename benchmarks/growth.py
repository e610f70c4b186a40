"""How the cost grows: time against chips, inputs, rows of a tile and threads, on log-log axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import workloads
from tables import print_table
from throughput import chips_of
from timing import alternate, medians

CHIPS = (64, 128, 256, 512, 1024)
INPUTS = (250, 500, 1000, 2000, 4000)
ROWS = (32, 64, 128, 256, 512, 784)
FEW = 64
"""Chips where another thing grows."""


def report(rounds: int, cores: int) -> None:
    """Print a table for each thing that grows, with the slope of log time."""
    w1 = workloads.w1()
    simulation = w1.simulation(cores)
    _grow("chips", CHIPS, lambda n: chips_of(simulation, n), rounds, cores)
    _grow("inputs", INPUTS, lambda n: chips_of(workloads.w1(inputs=n).simulation(cores), FEW), rounds, cores)
    for name, w in (("W1, no converters", w1), ("W2", workloads.w2())):
        _grow(f"rows of a tile ({name})", ROWS, lambda n, w=w: _on_tiles(w, n, cores), rounds, cores)
    _report_threads(w1, rounds, cores)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope of log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _grow(
    what: str, sizes: Sequence[int], work: Callable[[int], Callable[[], float]], rounds: int, cores: int
) -> None:
    found = medians(alternate({(str(n), cores): (work(n), 1) for n in sizes}, rounds))
    seconds = list(found.values())
    print(f"\n## Growth with {what}, threads: {cores}\n")
    print_table([what, *map(str, sizes)], [["ms", *(1e3 * s for s in seconds)]])
    print(f"\nSlope of log time against log size: {slope(sizes, seconds):.3f}.")


def _on_tiles(w: workloads.Workload, rows: int, cores: int) -> Callable[[], float]:
    chip = replace(w.chip, tile=replace(w.chip.tile, rows=rows))
    return chips_of(replace(w, chip=chip).simulation(cores), FEW)


def _report_threads(w: workloads.Workload, rounds: int, cores: int) -> None:
    counts = sorted({*(1 << i for i in range(cores.bit_length())), cores})
    contenders = {("ours", n): (chips_of(w.simulation(n), FEW), 1) for n in counts}
    seconds = list(medians(alternate(contenders, rounds)).values())
    print("\n## Growth with threads\n")
    rows = [["ms", *(1e3 * s for s in seconds)], ["times as fast as 1", *(seconds[0] / s for s in seconds)]]
    print_table(["threads", *map(str, counts)], rows)
    if len(counts) > 1:
        print(f"\nSlope of log time against log threads: {slope(counts, seconds):.3f}.")
