"""Spare rows and columns beside every tile, and the probability that they suffice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.errors import UserError
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed


@dataclass(frozen=True)
class Spares(Cure):
    """Word lines and columns that stand by beside those of a tile, and replace the worst of them.

    Parameters
    ----------
    rows, columns : float
        Share of a tile's rows, and of its columns, rounded up.
    weigh_inputs : bool
        Count squared errors times the mean square of their input on training inputs.
    """

    rows: float = 0.0
    columns: float = 0.0
    weigh_inputs: bool = True

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            check(is_number(getattr(self, name), 0, 1), name, getattr(self, name), "a share from 0 to 1")
        if not self.rows and not self.columns:
            raise UserError("rows = 0 and columns = 0 leave no spares: give at least one of them")

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with ``repair.spare_rows`` and ``repair.spare_columns`` on these layers."""
        own = {"spare_rows": self.rows, "spare_columns": self.columns, "weigh_inputs": self.weigh_inputs}
        return changed(chip, "repair", lambda repair: replace(repair, **own), layers)

    def describe(self) -> str:
        """What is done, in a few words."""
        named = [f"{s:.0%} spare {n}" for n, s in (("rows", self.rows), ("columns", self.columns)) if s]
        return ", ".join(named)


def spares_suffice(lines: int, spares: int, fails: float) -> float:
    """Probability that at least ``lines`` of ``lines + spares`` work, each failing by itself: binomial.

    Of 64 word lines with 2 spare ones, of which each is open with 1 %, 0.9713023.

    Parameters
    ----------
    lines, spares : int
    fails : float
        Probability of a line to be of no use.
    """
    from scipy import stats

    check(is_number(fails, 0, 1), "fails", fails, "a probability from 0 to 1")
    return float(stats.binom.cdf(spares, lines + spares, fails))
