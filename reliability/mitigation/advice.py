"""What is recommended: the sentence, the table, the certificate and the chip."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from reliability.chip import Chip
from reliability.mitigation.certificate import Certificate
from reliability.mitigation.goal import Goal
from reliability.mitigation.space import Design
from reliability.settings import chip_file
from reliability.write_verify import WriteVerify


@dataclass(frozen=True, eq=False)
class Advice:
    """The cheapest chip that meets a goal, or the best there is.

    Attributes
    ----------
    goal : Goal
    design : Design
        What is recommended; where nothing meets the goal, the best that was found.
    certificates : tuple of Certificate
        All attempts, in their order.
    designs : DataFrame
        One row a design that was tried: its option of each knob, ``price`` (1 is the chip without cures),
        every cost, and the yield on the search's chips and inputs (``value``, ``low``, ``high``, ``level``,
        ``method``, ``varies``, ``chips``); ``efficient``: no design that was tried is cheaper and has a
        larger yield; ``recommended``.
    accuracies : DataFrame
        On the certificate's fresh chips and inputs, at each time: mean accuracy and percentiles of chips of
        the recommended chip and of the chip without cures.
    shares : DataFrame
        What limits the design: each effect and each layer, and what is gained without it, with intervals;
        empty where the goal is met.
    fresh_yield : (float, float, float, int)
        Share of fresh chips that pass, its exact interval, and their number, where the goal is not met.
    evaluated : dict of str to int
        Chips that were evaluated, at all times, by ``"search"`` and ``"certificate"``, and at one time to
        find the ``"limits"``; ``"designs"``: how many there are.
    searched_on : ndarray of bool, shape (N,), or None
        Which of the inputs the search saw; the certificate saw the others. None where it had inputs of its
        own.
    """

    goal: Goal
    design: Design
    certificates: tuple[Certificate, ...]
    designs: pd.DataFrame
    accuracies: pd.DataFrame
    shares: pd.DataFrame
    fresh_yield: tuple[float, float, float, int] | None
    evaluated: dict[str, int]
    searched_on: np.ndarray | None

    @property
    def chips(self) -> int:
        """Chips that were evaluated."""
        return sum(self.evaluated[what] for what in ("search", "certificate", "limits"))

    @property
    def certificate(self) -> Certificate | None:
        """The one that holds, if any does."""
        return next((c for c in self.certificates if c.holds), None)

    @property
    def is_met(self) -> bool:
        """Whether the goal is certified."""
        return self.certificate is not None

    @property
    def chip(self) -> Chip:
        """The recommended chip's description."""
        return self.design.chip

    @property
    def price(self) -> float:
        """Of the recommended chip; 1 is the chip without cures."""
        return float(self.designs.loc[self.designs["recommended"], "price"].iloc[0])

    def files(self, name: str) -> dict[str, bytes]:
        """The chip's description, ``NAME.toml``, as every study takes it, and what it refers to."""
        orders: dict[str, str] = {}

        def beside(verify: WriteVerify) -> WriteVerify:
            if not verify.order.endswith(".npz"):
                return verify
            # Layers that share an order share it still: shares of a chip are told by it.
            number = f"_{len(orders) + 1}" if orders else ""
            return replace(verify, order=orders.setdefault(verify.order, f"{name}_order{number}.npz"))

        chip = self.chip.with_verify(beside)
        files = {new: Path(old).read_bytes() for old, new in orders.items()}
        return {f"{name}.toml": chip_file(replace(chip, name=name))} | files

    def attempts(self) -> pd.DataFrame:
        """The certificates, one row an attempt: what was laid down before its first chip, and what came."""
        return pd.DataFrame([found.row() for found in self.certificates])

    def inputs(self) -> pd.DataFrame:
        """What each of the given inputs, by its place, was for."""
        assert self.searched_on is not None
        seen = np.where(self.searched_on, "search", "certificate")
        return pd.DataFrame({"input": np.arange(len(seen)), "half": seen})

    def describe(self) -> str:
        """The answer in sentences."""
        row = self.designs[self.designs["recommended"]].iloc[0]
        found = self.certificate
        if found is not None:
            said = f"Take {self.design.describe()}; price {row['price']:.2f} of the chip without cures. "
            said += found.describe()
            if found.attempt > 1:
                said += f" This was attempt {found.attempt} of 3, which share the risk."
            return said
        assert self.fresh_yield is not None
        value, low, high, chips = self.fresh_yield
        said = "Nothing that was tried meets the goal"
        if high >= self.goal.at_least:
            said = f"No design was certified with {self.chips:,} chips, though one may meet the goal"
        said += (
            f": {self.goal.describe()}. The best is {self.design.describe()}: {value:.1%} of {chips} fresh "
            f"chips pass (95 % interval {low:.1%} to {high:.1%})."
        )
        if len(self.shares):
            worst = (
                self.shares[self.shares["low"] > 0]
                .sort_values("value", ascending=False)
                .groupby("of")
                .head(1)
            )
            parts = [
                f"{row['of'][:-1]} {row['group']} ({100 * row['value']:.2f} points, 95 % interval "
                f"{100 * row['low']:.2f} to {100 * row['high']:.2f})"
                for row in worst.to_dict("records")
            ]
            if parts:
                said += f" What limits it most: {' and '.join(parts)}."
            else:
                said += " No single effect and no single layer was seen to limit it."
        return said

    def text(self) -> str:
        """The answer with its table, on at most 100 columns."""
        lines = [textwrap.fill(self.describe(), 100), ""]
        if self.design.steps:
            lines += ["What is done:", *(f"- {step}" for step in self.design.steps)]
        row = self.designs[self.designs["recommended"]].iloc[0]
        lines += [
            f"It takes {row['cells']:,.0f} cells ({row['area_mm2']:.3g} mm2), "
            f"{row['writes'] / row['cells']:.3g} writes a cell ({row['program_s']:.3g} s), and "
            f"{row['energy_j']:.3g} J an input.",
            "",
        ]
        own = self.designs[self.designs["efficient"] | self.designs["recommended"]].sort_values("price")
        lines.append(
            "Price and yield of designs that no cheaper one surpasses (the search's chips and inputs, 95 %):"
        )
        for row in own.to_dict("records"):
            mark = "*" if row["recommended"] else " "
            numbers = (
                f"{mark} {row['price']:6.2f}  {row['value']:6.1%} [{row['low']:6.1%}, {row['high']:6.1%}]  "
            )
            indent = " " * len(numbers)
            lines += textwrap.wrap(row["design"], 100, initial_indent=numbers, subsequent_indent=indent)
        return "\n".join([*lines, "", *textwrap.wrap(self._effort(), 100)])

    def _effort(self) -> str:
        """How many chips were evaluated, and for what."""
        certified = sum(len(found.correct) for found in self.certificates)
        compared = self.evaluated["certificate"] - certified
        beside = "the chip without cures" if self.is_met else "the best design and the chip without cures"
        parts = [f"{self.evaluated['search']:,} by the search"]
        if certified:
            parts.append(f"{certified:,} fresh ones by certificates")
        parts.append(f"{compared:,} fresh ones of {beside}")
        if self.evaluated["limits"]:
            parts.append(f"{self.evaluated['limits']:,} for what limits it")
        share = self.chips / (1000 * self.evaluated["designs"])
        return (
            f"{self.evaluated['designs']} designs; {self.chips:,} chips evaluated ({', '.join(parts)}), "
            f"{share:.1%} of 1,000 chips for every design."
        )
