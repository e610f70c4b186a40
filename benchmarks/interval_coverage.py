"""How often every 95 % interval covers the truth, on problems whose truth is known.

    python benchmarks/interval_coverage.py            # all cases, a few minutes
    python benchmarks/interval_coverage.py --quick    # a twentieth of the repeats
    python benchmarks/interval_coverage.py means components

prints a markdown table, a row an interval and problem, and ends with code 1 if one misses its bar. The cases
are the functions of `tests/coverage_cases`; to add one, add a function there.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from coverage_cases import BARS, Coverage, load  # noqa: E402

QUICK = 20
"""By how much a quick run divides the repeats; approximate intervals may then leave the bar by 3 s.e."""


def row(found: Coverage, met: bool) -> str:
    repeats = f"{found.repeats:,}" if found.repeats else "enumerated"
    covered = f"{100 * found.coverage:.2f}" + ("" if met else " **missed**")
    return f"| {found.name} | {found.kind} | {covered} | {repeats} | {BARS[found.kind]} |"


def main() -> int:
    cases = load()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the repeats")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(cases)}; default: all")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in cases]
    if unknown:
        parser.error(f"there is no case {unknown[0]!r}")
    missed = 0
    print("| interval and problem | kind | coverage (%) | studies | bar |")
    print("|---|---|---|---|---|")
    for name in arguments.cases or cases:
        start = time.perf_counter()
        repeats = max(cases[name].repeats // QUICK, 1) if arguments.quick else None
        for found in cases[name].coverages(repeats):
            met = found.meets_bar(slack=3.0 if arguments.quick else 0.0)
            missed += not met
            print(row(found, met), flush=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
