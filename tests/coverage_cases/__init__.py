"""How often intervals cover the truth, on problems whose truth is known: a registry of cases.

A case is a function that yields one :class:`Coverage` for each interval that it tries. Decorated with
:func:`case` in any module of this folder it is run by ``python benchmarks/interval_coverage.py`` and by
``tests/test_coverage.py``.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["approximate", "exact", "conservative", "sequence", "bootstrap", "for comparison"]

BARS = {
    "approximate": "93.5 to 96.5 %",
    "exact": "at least 95 %, as enumerated to 1e-9",
    "conservative": "at least 95 %, less 3 s.e.",
    "sequence": "at least 95 % at all looks together, less 3 s.e.",
    "bootstrap": "at least 90 %",
    "for comparison": "none",
}
"""What is asked of each kind of 95 % interval; nothing of wrong ones, which stand beside the right."""


@dataclass(frozen=True)
class Coverage:
    """How often one 95 % interval covered.

    Attributes
    ----------
    name : str
        The interval and the problem.
    kind : str
    coverage : float
    repeats : int
        Simulated studies; 0 where the coverage was enumerated.
    enumerated : float, optional
        Of an exact interval: its coverage, enumerated by another way.
    """

    name: str
    kind: Kind
    coverage: float
    repeats: int
    enumerated: float | None = None

    @property
    def error(self) -> float:
        """Standard error of the coverage, at 95 %."""
        return math.sqrt(0.05 * 0.95 / self.repeats) if self.repeats else 0.0

    def meets_bar(self, slack: float = 0.0) -> bool:
        """Whether it meets its bar; an approximate one may leave it by this many standard errors."""
        if self.kind == "for comparison":
            return True
        if self.kind == "approximate":
            extra = slack * self.error
            return 0.935 - extra <= self.coverage <= 0.965 + extra
        if self.kind == "exact":
            same = self.enumerated is None or abs(self.coverage - self.enumerated) <= 1e-9
            return same and self.coverage >= 0.95 - 1e-12
        if self.kind == "bootstrap":
            return self.coverage >= 0.90 - slack * math.sqrt(0.09 / max(self.repeats, 1))
        return self.coverage >= 0.95 - 3.0 * self.error


@dataclass(frozen=True)
class Case:
    """A registered case: ``run(rng, repeats)`` yields coverages; ``repeats`` are those of the full run.

    ``elsewhere`` says that other tests try it, so that only the benchmark runs it from here.
    """

    name: str
    repeats: int
    run: Callable[[np.random.Generator, int], Iterator[Coverage]]
    elsewhere: bool = False

    def coverages(self, repeats: int | None = None) -> list[Coverage]:
        """The coverages, of fewer repeats where given; always of the same draws."""
        rng = np.random.default_rng([len(self.name), *self.name.encode()])
        return list(self.run(rng, self.repeats if repeats is None else repeats))


CASES: dict[str, Case] = {}


def case(repeats: int = 0, elsewhere: bool = False) -> Callable:
    """Register a function as a case with so many repeats; 0 for one that enumerates."""

    def register(run: Callable) -> Callable:
        CASES[run.__name__] = Case(run.__name__, repeats, run, elsewhere)
        return run

    return register


def load() -> dict[str, Case]:
    """All cases of this folder, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return CASES
