"""Kill a study at 20 random moments, resume it each time, and compare its table with an uninterrupted run's.

    python benchmarks/kill.py [--kills 20]

Prints one line a kill; ends with exit code 1 if any table differs.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reliability.files import sha256_of
from reliability.results import TRIALS

COMMAND = [sys.executable, "-m", "reliability.study", "drift_vs_time", "--quiet", "--chips", "6000"]
ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, limit: float | None = None) -> bool:
    """Start or resume the study; kill it (SIGKILL) after ``limit`` seconds. True if it ended by itself."""
    process = subprocess.Popen([*COMMAND, "--out", str(folder), "--resume"], cwd=ROOT)
    try:
        if process.wait(limit) != 0:
            sys.exit(f"the study ended with exit code {process.returncode}")
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=20)
    kills = p.parse_args().kills
    moments = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        run(whole)  # compiles
        start = time.perf_counter()
        run(Path(name) / "timed")
        duration = time.perf_counter() - start
        wanted, different = sha256_of(whole / TRIALS), 0
        for i in range(kills):
            folder = Path(name) / f"killed{i}"
            moment = moments.uniform(0, duration)
            ended = run(folder, moment)
            blocks = len(list((folder / "blocks").glob("*.npz"))) if folder.exists() else 0
            run(folder)
            same = sha256_of(folder / TRIALS) == wanted
            different += not same
            state = "ended by itself" if ended else f"killed with {blocks} blocks in place"
            print(
                f"{i + 1:2} after {moment:5.2f} s: {state}; resumed: {'identical' if same else 'DIFFERENT'}"
            )
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
