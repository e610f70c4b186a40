"""Peak resident memory of whole processes that simulate and summarise.

``python benchmarks/memory.py NAME COUNT`` is one such process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import workloads
from tables import print_table

import reliability as rl

ROOT = Path(__file__).resolve().parent.parent
INPUTS = 100
IMAGES = 1000
# A small process in between: on Linux a process starts with the peak of the one that started it.
_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def report() -> None:
    """Print the peak of a few processes, each with its imports and compiled kernels."""
    _peak_mib("mlp", 1)  # compiles
    peaks = {chips: _peak_mib("mlp", chips) for chips in (1, 100, 10_000)}
    rows = [[f"W1 with {INPUTS} inputs, chips: {chips:,}", peak] for chips, peak in peaks.items()]
    rows.append([f"ResNet-20 with {IMAGES:,} images, chips: 4", _peak_mib("resnet", 4)])
    print("\n## Peak resident memory of a process, from import to summary\n")
    print_table(["", "MiB", "MiB above W1 with 1 chip"], [[*row, row[1] - peaks[1]] for row in rows])
    print(f"\n10,000 chips take {peaks[10_000] / peaks[100]:.3f} times the memory of 100.")


def simulate(name: str, chips: int) -> None:
    """Simulate and summarise chips of W1 with few inputs ("mlp"), or of ResNet-20 ("resnet")."""
    if name == "mlp":
        w = workloads.w1(inputs=INPUTS)
        network, chip, inputs = w.network, w.chip, (w.x, w.labels)
    else:
        w = workloads.w3(inputs=1)
        x = np.random.default_rng(0).standard_normal((IMAGES, 3, 32, 32), np.float32)
        network, chip, inputs = w.network, w.chip, (x, np.arange(IMAGES) % 10)
    rl.summarize(rl.simulate(network, inputs, chip, chips=chips))


def _peak_mib(name: str, count: int) -> float:
    command = [sys.executable, "-c", _LAUNCHER, sys.executable, __file__, name, str(count)]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return int(told) / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    simulate(sys.argv[1], int(sys.argv[2]))
