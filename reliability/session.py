"""One study from description to folder: simulate, summarise, write, print."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pandas as pd

from reliability.datasets import Dataset
from reliability.design import Study
from reliability.errors import UserError
from reliability.fingerprint import study_fingerprint
from reliability.kernels.cache import is_cached
from reliability.montecarlo import run
from reliability.network import Network
from reliability.results import ANSWER, CONVERTERS, FAILURES, SUMMARY, TRIALS, Folder, provenance
from reliability.statistics import failure_table, summarize


class Result(NamedTuple):
    """A finished study: its tables by file name, and its folder."""

    tables: Mapping[str, pd.DataFrame]
    folder: Path

    @property
    def trials(self) -> pd.DataFrame:
        """The trials table of a sweep."""
        return self.tables[TRIALS]

    @property
    def summary(self) -> pd.DataFrame:
        """The summary of a sweep."""
        return self.tables[SUMMARY]


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
    start = time.perf_counter() if start is None else start
    network, dataset = study.load()
    run_it = _sweep if study.analysis is None else _analyse
    return run_it(name, study, network, dataset, folder, command or [], resume, threads, quiet, start)


def _sweep(
    name: str,
    study: Study,
    network: Network,
    dataset: Dataset,
    folder: Path,
    command: list[str],
    resume: bool,
    threads: int | None,
    quiet: bool,
    start: float,
) -> Result:
    from reliability import plots, report

    assert study.figure is not None
    figure = study.figure
    simulation = study.simulation(network, dataset, threads)
    settings = study_fingerprint(name, study, network, dataset)
    # Chips of one table are computed in one way, whatever machine goes on with it.
    settings["arithmetic"] = simulation.arithmetic
    if ranges := simulation.converter_ranges:
        settings["converter_ranges"] = ranges
    store = Folder(folder, settings, resume=resume, warn=lambda text: print(text, file=sys.stderr))
    trials = store.finished() if resume else None
    if trials is None:
        if not quiet and not all(is_cached(kernel) for kernel in simulation.kernels):
            print("compiling kernels, once for this machine; up to a minute", file=sys.stderr)
        with _Bar(quiet, "chip") as bar:
            trials = run(
                simulation,
                chips=study.chips if study.ci_width is None else None,
                ci_width=study.ci_width,
                max_chips=study.max_chips,
                store=store,
                progress=None if bar.hidden else bar,
            )
    summary = summarize(trials, target=study.target)
    tables = {TRIALS: trials, SUMMARY: summary}
    if (failures := _failures(trials, study.target)) is not None:
        tables[FAILURES] = failures
    if "converters" in trials.attrs:
        tables[CONVERTERS] = pd.DataFrame(trials.attrs["converters"])
    store.write(
        tables,
        lambda paths: plots.save(plots.draw(trials, summary, figure), paths),
        provenance(command, settings, time.perf_counter() - start),
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
    return Result(tables, folder)


def _analyse(
    name: str,
    study: Study,
    network: Network,
    dataset: Dataset,
    folder: Path,
    command: list[str],
    resume: bool,
    threads: int | None,
    quiet: bool,
    start: float,
) -> Result:
    from reliability import plots

    assert study.analysis is not None
    if resume:
        raise UserError(f"study {name!r} is an analysis, whose steps are not kept: run it without --resume")
    settings = study_fingerprint(name, study, network, dataset)
    store = Folder(folder, settings, resume=False, warn=lambda text: print(text, file=sys.stderr))
    with _Bar(quiet, "step") as bar:
        setting = study.setting(network, dataset, threads, None if bar.hidden else bar)
        answer = study.analysis.answer(setting)
    tables = {f"{title}.csv": table for title, table in answer.tables.items()}
    said = f"{study.question}\n\n{answer.text}\n"
    store.write(
        tables,
        lambda paths: plots.save(answer.draw(), paths),
        provenance(command, settings, time.perf_counter() - start),
        {ANSWER: said.encode(), **answer.files},
    )
    if not quiet:
        print(f"{said}\nFigure, tables and provenance are in {folder}")
    return Result(tables, folder)


class _Bar:
    """Progress on a terminal, and on a terminal only."""

    def __init__(self, quiet: bool, unit: str) -> None:
        self.unit = unit
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

            self.bar = tqdm(total=total, unit=self.unit, leave=False)
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(done - self.bar.n)


def _failures(trials: pd.DataFrame, target: float | None) -> pd.DataFrame | None:
    """Fraction of chips that have failed by each time, where the sweep has several times."""
    if "time_s" not in trials.attrs["conditions"] or trials["time_s"].nunique() < 2:
        return None
    return failure_table(trials, target) if "correct" in trials else None
