"""Run a study: ``python -m reliability.study NAME``."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from reliability.errors import RunError, UserError

_FIELDS = (
    "network",
    "dataset",
    "preprocessing",
    "chips",
    "max_chips",
    "ci_width",
    "inputs",
    "seed",
    "target",
)

EPILOG = """Examples:
  python -m reliability.study drift_vs_time
  python -m reliability.study drift_vs_time --network mnist-mlp --dataset mnist:FOLDER --inputs 1000
  python -m reliability.study accuracy_vs_variation --set chip.device.clamp=true --out clamped
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m reliability.study",
        description="Simulate thousands of analog chips and say how accurate they are, and how sure that is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("study", nargs="?", metavar="NAME", help="a study by name, or your own study FILE.py")
    p.add_argument("--list", action="store_true", help="list the studies and end")
    p.add_argument("--describe", action="store_true", help="say what is simulated and its cost, and end")
    p.add_argument("--out", type=Path, metavar="FOLDER", help="output folder (default: results/NAME)")
    p.add_argument("--chips", type=int, metavar="N", help="number of chips")
    p.add_argument("--ci-width", type=float, metavar="W", help="go on until each interval is narrower than W")
    p.add_argument("--max-chips", type=int, metavar="N", help="the most chips that --ci-width may take")
    p.add_argument("--inputs", type=int, metavar="N", help="use the first N test inputs")
    p.add_argument("--seed", type=int, metavar="S", help="seed of all chips")
    p.add_argument("--threads", type=int, metavar="N", help="threads (default: all cores); changes no result")
    p.add_argument("--target", type=float, metavar="A", help="accuracy that a chip must reach, a fraction")
    p.add_argument("--max-drop", type=float, metavar="D", help="accuracy that a chip may lose, in its place")
    p.add_argument("--at-least", type=float, metavar="Y", help="share of chips that must pass")
    p.add_argument("--chip", metavar="NAME|FILE.toml", help="chip to study")
    p.add_argument("--network", metavar="NAME|FILE", help="network to study")
    p.add_argument("--preprocessing", metavar="HOW", help="none, unit, imagenet, or scale=.. mean=.. std=..")
    p.add_argument("--dataset", metavar="NAME[:FOLDER]", help="test inputs")
    p.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="set any field of the study"
    )
    p.add_argument("--resume", action="store_true", help="go on with what the output folder holds")
    p.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for a failed run, 2 for the user's mistake."""
    arguments = parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _note  # type: ignore[assignment]
        try:
            return _run(arguments, list(sys.argv if argv is None else ["reliability.study", *argv]))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except RunError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            # The reader of the printed summary has gone; the folder is written before anything is printed.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            return 0
        except KeyboardInterrupt:
            print("interrupted; --resume goes on from the last finished block", file=sys.stderr)
            return 1


def _note(message: Warning | str, *_: object) -> None:
    print(f"note: {message}", file=sys.stderr)


def _run(arguments: argparse.Namespace, command: list[str]) -> int:
    from reliability.design import list_studies, load_study
    from reliability.settings import load_chip

    if arguments.list:
        for name, question in list_studies().items():
            print(f"{name:24} {question}")
        return 0
    if arguments.study is None:
        raise UserError("name a study (--list shows them), or a file FILE.py")
    name, study = load_study(arguments.study)
    if arguments.chip is not None:
        study = dataclasses.replace(study, chip=load_chip(arguments.chip))
    for field in _FIELDS:
        value = getattr(arguments, field)
        if value is not None:
            study = dataclasses.replace(study, **{field: value})
    for field in ("max_drop", "at_least"):
        value = getattr(arguments, field)
        if value is not None:
            if not hasattr(study.analysis, field):
                raise UserError(f"--{field.replace('_', '-')} is not asked for by study {name!r}")
            study = study.set(f"analysis.{field}={value!r}")
    for assignment in arguments.set:
        study = study.set(assignment)
    if arguments.describe:
        from reliability.report import describe

        network, dataset = study.load()
        simulation = study.simulation(network, dataset, arguments.threads)
        print(describe(study, network, dataset, simulation))
        return 0
    from reliability.session import run_study

    folder = arguments.out or Path("results") / name
    start = time.perf_counter()
    run_study(
        name,
        study,
        folder,
        command=command,
        resume=arguments.resume,
        threads=arguments.threads,
        quiet=arguments.quiet,
        start=start,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
