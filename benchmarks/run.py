"""How fast: ratios to this machine's own matrix product and to plain NumPy and PyTorch loops.

    python benchmarks/run.py [NAME ...] [--rounds 7]

needs the extra ``[bench]``; PyTorch's rows are left out where it is not installed. Every contender runs
once a round, and medians of the rounds are compared. Absolute times belong to the machine. Ratios on several
threads need idle cores: threads that wait for each other, as those of BLAS and PyTorch do, lose far more to
other work than ours, so a busy machine flatters ours.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cold
import effects
import growth
import memory
import sweeps
import throughput
import wires
from llvmlite.binding import get_host_cpu_name

from reliability.cores import available_cores

REPORTS = {
    "w1": throughput.report_w1,
    "w2": throughput.report_w2,
    "w3": throughput.report_w3,
    "w4": throughput.report_w4,
    "study": lambda _, cores: sweeps.report_study(cores),
    "sweep": sweeps.report_sweep,
    "cold": lambda rounds, _: cold.report(rounds),
    "memory": lambda *_: memory.report(),
    "growth": growth.report,
    "effects": effects.report,
    "wires": lambda rounds, _: wires.report(rounds),
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    p.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(REPORTS)} (default: all)")
    arguments = p.parse_args()
    for name in arguments.names:
        if name not in REPORTS:
            p.error(f"there is no benchmark {name!r}: known are {', '.join(REPORTS)}")
    cores = available_cores()
    packages = [n for n in ("numpy", "numba", "torch") if util.find_spec(n)]
    versions = ", ".join(f"{n} {metadata.version(n)}" for n in packages)
    print(f"{get_host_cpu_name()}, {cores} cores, Python {platform.python_version()}, {versions}")
    load = f", load of the last minute before: {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    print(f"{arguments.rounds} rounds{load}", flush=True)
    for name in arguments.names or REPORTS:
        REPORTS[name](arguments.rounds, cores)


if __name__ == "__main__":
    main()
