"""Cells, rows and columns that do not work."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from reliability.checks import check, is_number

_RADIUS = 64


@dataclass(frozen=True)
class Faults:
    """Defects of a chip, frozen when it is made, and worn-out cells.

    Every cell breaks by itself with the probabilities given, so the number of faults of a chip is random.
    Chips are common to all rates: what is broken at one rate is broken at every higher one.

    "Stuck at 0" and "stuck at 1" mean opposite things in the literature, so states are named by what they
    conduct. The preset :func:`stuck_cells` has the rates of Chen et al., DATE 2017, as most often quoted.

    Parameters
    ----------
    stuck_low, stuck_high : float
        Probability of a cell to be stuck at low resistance (the largest conductance), and at high resistance.
    low_us, high_us : float or "device"
        What cells stuck at low and at high resistance conduct, microsiemens; ``"device"`` takes the largest
        and the smallest conductance of the device.
    cluster_share : float
        Expected share of cells that clusters break, away from a tile's edges.
    cluster_radius : float
        Of a cluster, in cells: all cells within it around a random centre.
    cluster_state : {"high", "low"}
        At which resistance a cluster's cells are stuck.
    open_rows, open_columns : float
        Probability of a word line, and of a bit line, of one tile to be open: its cells conduct nothing.
    cycles : float
        Write cycles that every cell has seen.
    endurance_cycles, endurance_shape : float
        Scale and shape of the Weibull law of the cycles to a cell's failure.
    worn_low : float
        Share of worn-out cells that are stuck at low resistance; the others are at high.
    """

    stuck_low: float = 0.0
    stuck_high: float = 0.0
    low_us: float | Literal["device"] = "device"
    high_us: float | Literal["device"] = "device"
    cluster_share: float = 0.0
    cluster_radius: float = 2.0
    cluster_state: Literal["high", "low"] = "high"
    open_rows: float = 0.0
    open_columns: float = 0.0
    cycles: float = 0.0
    endurance_cycles: float = 1e8
    endurance_shape: float = 1.5
    worn_low: float = 0.5

    def __post_init__(self) -> None:
        for name in ("stuck_low", "stuck_high", "cluster_share", "open_rows", "open_columns", "worn_low"):
            value = getattr(self, name)
            check(is_number(value, 0, 1), f"faults.{name}", value, "a probability from 0 to 1")
        both = self.stuck_low + self.stuck_high
        check(both <= 1, "faults.stuck_low + faults.stuck_high", both, "at most 1")
        check(self.cluster_share < 1, "faults.cluster_share", self.cluster_share, "below 1")
        good = is_number(self.cluster_radius, 0, _RADIUS)
        check(good, "faults.cluster_radius", self.cluster_radius, f"from 0 to {_RADIUS} cells")
        states = ("high", "low")
        check(self.cluster_state in states, "faults.cluster_state", self.cluster_state, '"high" or "low"')
        for name in ("low_us", "high_us"):
            value = getattr(self, name)
            good = value == "device" or is_number(value, 0, 1e6)
            check(good, f"faults.{name}", value, 'from 0 to 1e6 (microsiemens), or "device"')
        check(is_number(self.cycles, 0, 1e30), "faults.cycles", self.cycles, "at least 0")
        for name in ("endurance_cycles", "endurance_shape"):
            value = getattr(self, name)
            check(is_number(value, 1e-3, 1e30), f"faults.{name}", value, "at least 0.001")

    @property
    def is_on(self) -> bool:
        """Whether anything can be broken."""
        shares = (self.stuck_low, self.stuck_high, self.cluster_share, self.open_rows, self.open_columns)
        return any(share > 0 for share in (*shares, self.worn_share))

    @property
    def only_wear(self) -> Faults:
        """The same without what is broken from the start."""
        return replace(
            self, stuck_low=0.0, stuck_high=0.0, cluster_share=0.0, open_rows=0.0, open_columns=0.0
        )

    @property
    def worn_share(self) -> float:
        """Probability of a cell to have failed by ``cycles``."""
        return -math.expm1(-((self.cycles / self.endurance_cycles) ** self.endurance_shape))

    @property
    def cluster_rate(self) -> float:
        """Probability of a cell to be the centre of a cluster."""
        if self.cluster_share == 0:
            return 0.0
        reach = int(self.cluster_radius)
        inside = sum(
            i * i + j * j <= self.cluster_radius**2
            for i in range(-reach, reach + 1)
            for j in range(-reach, reach + 1)
        )
        return -math.expm1(math.log1p(-self.cluster_share) / inside)

    def describe(self) -> str:
        """What is broken, in words."""
        parts = []
        if self.stuck_low or self.stuck_high:
            parts.append(
                f"{self.stuck_low:.3%} of cells stuck at low and {self.stuck_high:.3%} at high resistance"
            )
        if self.cluster_share:
            parts.append(
                f"{self.cluster_share:.3%} broken in clusters of radius {self.cluster_radius:g}, at "
                f"{self.cluster_state} resistance"
            )
        if self.open_rows or self.open_columns:
            parts.append(
                f"{self.open_rows:.3%} of a tile's word lines and {self.open_columns:.3%} of bit lines open"
            )
        if self.cycles:
            parts.append(
                f"{self.worn_share:.3%} of cells worn out after {self.cycles:g} cycles (Weibull, scale "
                f"{self.endurance_cycles:g}, shape {self.endurance_shape:g}; not verified for any device)"
            )
        return "faults: " + "; ".join(parts)


def stuck_cells(*, swapped: bool = False) -> Faults:
    """1.75 % of cells stuck at low resistance and 9.04 % at high: L. Chen et al., DATE 2017.

    The rates are those of a 4 Mbit HfO2 array (C.-Y. Chen et al., IEEE Trans. Comput. 64, 180, 2015). Which
    of them is which state is told both ways in the literature; ``swapped`` takes them the other way round.
    """
    low, high = (0.0904, 0.0175) if swapped else (0.0175, 0.0904)
    return Faults(stuck_low=low, stuck_high=high)
