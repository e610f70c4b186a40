"""Cold start: the command of the README in a fresh process, without and with compiled kernels."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import print_table

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "reliability.study", "drift_vs_time", "--quiet"]


def report(rounds: int) -> None:
    """Print wall seconds of the first run, of later ones, and of their start-up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
        first = _command(folder / "first", environment)
        later = [_command(folder / f"later{i}", environment) for i in range(rounds)]
        started = [_until_first_chip(folder / f"started{i}", environment) for i in range(rounds)]
    print("\n## Cold start: python -m reliability.study drift_vs_time, wall time of the command\n")
    of = f"(median of {rounds})"
    rows = [
        ["first run, no compiled kernels (1 run)", first],
        [f"later run {of}", statistics.median(later)],
        [f"later run of one chip, until its outcomes are on disk {of}", statistics.median(started)],
    ]
    print_table(["", "s"], rows)
    print(
        "\nBefore the first run the kernels' cache (NUMBA_CACHE_DIR) is empty, not Python's nor the disk's.\n"
        "The last row is everything before the simulation, and one chip under all conditions."
    )


def _command(folder: Path, environment: dict[str, str]) -> float:
    """Wall seconds of the whole command."""
    start = time.perf_counter()
    subprocess.run([*COMMAND, "--out", str(folder)], cwd=ROOT, env=environment, check=True)
    return time.perf_counter() - start


def _until_first_chip(folder: Path, environment: dict[str, str]) -> float:
    """Wall seconds from the start of the command until the only chip's block is in place."""
    start = time.perf_counter()
    command = [*COMMAND, "--chips", "1", "--out", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        while not any(folder.glob("blocks/*.npz")):
            if process.poll() is not None:
                sys.exit(
                    f"the study ended with exit code {process.returncode} before its first block was seen"
                )
            time.sleep(0.001)
        return time.perf_counter() - start
