"""One study from description to folder: simulate, summarise, write, print."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pandas as pd

from reliability.design import Study
from reliability.kernels.cache import is_cached
from reliability.montecarlo import run
from reliability.results import CONVERTERS, FAILURES, Folder, fingerprint, provenance
from reliability.statistics import failure_table, summarize


class Result(NamedTuple):
    """A finished study."""

    trials: pd.DataFrame
    summary: pd.DataFrame
    folder: Path


def run_study(
    name: str,
    study: Study,
    folder: Path,
    *,
    command: list[str] | None = None,
    resume: bool = False,
    threads: int | None = None,
    quiet: bool = False,
    start: float | None = None,
) -> Result:
    """Run a study and write its folder.

    Parameters
    ----------
    name : str
    study : Study
    folder : Path
        Output folder; see :mod:`reliability.results`.
    command : list of str, optional
        For the provenance.
    resume : bool
        Go on with the finished blocks that the folder holds.
    threads : int, optional
    quiet : bool
        Print nothing but warnings.
    start : float, optional
        ``time.perf_counter()`` when the command began.

    Raises
    ------
    UserError, RunError
        See :func:`reliability.simulate` and :class:`reliability.results.Folder`.
    """
    from reliability import plots, report

    start = time.perf_counter() if start is None else start
    network, dataset = study.load()
    simulation = study.simulation(network, dataset, threads)
    settings = fingerprint(name, study, network, dataset)
    # Chips of one table are computed in one way, whatever machine goes on with it.
    settings["arithmetic"] = simulation.arithmetic
    if ranges := simulation.converter_ranges:
        settings["converter_ranges"] = ranges
    store = Folder(folder, settings, resume=resume, warn=lambda text: print(text, file=sys.stderr))
    trials = store.finished() if resume else None
    if trials is None:
        if not quiet and not all(is_cached(kernel) for kernel in simulation.kernels):
            print("compiling kernels, once for this machine; up to a minute", file=sys.stderr)
        with _Bar(quiet) as bar:
            trials = run(
                simulation,
                chips=study.chips if study.ci_width is None else None,
                ci_width=study.ci_width,
                max_chips=study.max_chips,
                store=store,
                progress=None if bar.hidden else bar,
            )
    summary = summarize(trials, target=study.target)
    store.write(
        trials,
        summary,
        {FAILURES: _failures(trials, study.target), CONVERTERS: _converters(trials)},
        lambda paths: plots.save(plots.draw(trials, summary, study.figure), paths),
        provenance(command or [], settings, time.perf_counter() - start),
    )
    if not quiet:
        print(study.question, end="\n\n")
        asked = {name: trials.attrs.get(name) for name in ("ci_width", "widest")}
        print(
            report.summary_text(
                summary, trials.attrs["conditions"], plots.reference_accuracy(trials), **asked
            )
        )
        if "converters" in trials.attrs:
            print("\n" + report.clipping_text(trials.attrs["converters"]))
        print(f"\nFigure, tables and provenance are in {folder}")
    return Result(trials, summary, folder)


class _Bar:
    """Progress on a terminal, and on a terminal only."""

    def __init__(self, quiet: bool) -> None:
        self.hidden = quiet or not sys.stderr.isatty()
        self.bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, done: int, total: int, note: str) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit="chip", leave=False)
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(done - self.bar.n)


def _converters(trials: pd.DataFrame) -> pd.DataFrame | None:
    """Ranges and clipping of every layer's converters, where the chip has any."""
    found = trials.attrs.get("converters")
    return None if found is None else pd.DataFrame(found)


def _failures(trials: pd.DataFrame, target: float | None) -> pd.DataFrame | None:
    """Fraction of chips that have failed by each time, where the sweep has several times."""
    if "time_s" not in trials.attrs["conditions"] or trials["time_s"].nunique() < 2:
        return None
    return failure_table(trials, target) if "correct" in trials else None
