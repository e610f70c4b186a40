"""Whether recommendations are honest, near the cheapest, and cheap to find, on spaces known by brute force.

    python benchmarks/recommendations.py [SPACE ...] [--runs N] [--seed S] [--chips N] [--long N]
                                          [--store FOLDER]

Each space has at least 500 distinct designs. All of them are simulated by brute force on the inputs of the
certificate (``--chips`` each; designs near a goal ``--long``). Then complete recommendations run with many
seeds and goals: half of the goals lie above what any design truly reaches, by 0.2 to 2 points of yield.
Printed are how many runs certified a design whose true yield is below the certified one; how often the
recommended price is within 10 % of the cheapest design whose true yield exceeds the goal by the margin at
which the run's own certificate has 90 % power; and the chips evaluated beside 1,000 for every design.
``--store`` keeps the brute force.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from spaces import SPACES  # noqa: E402

from reliability.mitigation.candidates import Candidates  # noqa: E402
from reliability.mitigation.goal import Goal  # noqa: E402
from reliability.mitigation.recommend import recommend_from  # noqa: E402
from reliability.statistics.binomial import clopper_pearson  # noqa: E402

# Chips of the brute force are none that a run sees.
SEED = 1_000_000
# So far a goal may be from a design's yield by brute force before more chips tell which side it is on.
DOUBT = 0.015


@dataclass
class Truth:
    """Right answers of chips of every design, at the worst of the times, on the certificate's inputs."""

    candidates: Candidates
    counts: list[np.ndarray]
    long: int

    def yields(self, required: int) -> np.ndarray:
        """True yield of each design, as far as it is known."""
        return np.array([(own >= required).mean() for own in self.counts])

    def refine(self, numbers: list[int]) -> None:
        """Simulate many chips of some designs."""
        for number in numbers:
            if len(self.counts[number]) < self.long:
                self.counts[number] = brute(self.candidates, number, self.long)


def brute(candidates: Candidates, number: int, chips: int) -> np.ndarray:
    """Right answers of chips of one design at the worst time."""
    common = candidates.chips(Goal(target=0.5, times=candidates.looks), "certify", SEED)
    return common.fresh(number, candidates.designs[number].chip, 0, chips).min(axis=1).astype(np.int16)


def truth_of(name: str, candidates: Candidates, chips: int, long: int, store: Path | None) -> Truth:
    """The brute force, from a file where it is there."""
    file = None if store is None else store / f"{name}-{chips}.npy"
    if file is not None and file.exists():
        return Truth(candidates, list(np.load(file)), long)
    counts = []
    for number in range(len(candidates.designs)):
        counts.append(brute(candidates, number, chips))
        if sys.stderr.isatty():
            print(f"\r{name}: {number + 1} of {len(candidates.designs)} designs", end="", file=sys.stderr)
    if file is not None:
        np.save(file, np.array(counts))
    return Truth(candidates, counts, long)


def draw_goal(truth: Truth, rng: np.random.Generator, reachable: bool) -> Goal:
    """A goal that some cured design meets and the chip without cures does not, or one that none meets."""
    inputs = len(truth.candidates.fresh)
    while True:
        required = int(rng.integers(int(0.7 * inputs), inputs + 1))
        yields = truth.yields(required)
        best = yields.max()
        if reachable:
            at_least = float(rng.choice([0.9, 0.95]))
            good = best > at_least + 0.03 and yields[0] < at_least - 0.05
        else:
            at_least = float(best + rng.uniform(0.002, 0.02))
            good = 0.8 < at_least < 0.985
        if good:
            return Goal(target=required / inputs, at_least=at_least, times=truth.candidates.looks)


def one_run(truth: Truth, seed: int, reachable: bool) -> dict[str, object]:
    """One recommendation, judged."""
    rng = np.random.default_rng([seed, reachable])
    goal = draw_goal(truth, rng, reachable)
    candidates = truth.candidates
    required = goal.required(np.ones(len(candidates.fresh), bool))
    if not reachable:
        # The best designs' yields by many chips; the goal stays above them.
        yields = truth.yields(required)
        truth.refine([int(n) for n in np.argsort(-yields)[:5]])
        best = truth.yields(required).max()
        goal = Goal(
            target=goal.target,
            at_least=float(max(goal.at_least, best + 0.002)),
            times=goal.times,
        )
    start = time.perf_counter()
    advice = recommend_from(candidates, goal, seed=seed)
    seconds = time.perf_counter() - start
    prices = candidates.table["price"].to_numpy()
    chips = advice.chips
    row: dict[str, object] = {"seed": seed, "reachable": reachable, "at_least": goal.at_least}
    row |= {"required": required, "met": advice.is_met, "attempts": len(advice.certificates)}
    row |= {"chips": chips, "share": chips / (1000 * len(prices)), "seconds": seconds}
    if advice.is_met:
        number = advice.design.number
        truth.refine([number])
        row |= {"true_yield": float(truth.yields(required)[number]), "price": prices[number]}
        row["false"] = row["true_yield"] < goal.at_least
    if reachable:
        plan = (advice.certificate or advice.certificates[-1]).plan if advice.certificates else None
        wanted = plan.yield_for(0.9) if plan else goal.at_least + 0.02
        # Those around the cheapest that is good enough are told by more chips.
        yields = truth.yields(required)
        safe = prices[yields >= wanted + DOUBT]
        limit = safe.min() if len(safe) else np.inf
        near = np.flatnonzero((np.abs(yields - wanted) < DOUBT) & (prices < limit))
        truth.refine([int(n) for n in near[np.argsort(prices[near])][:12]])
        good = prices[truth.yields(required) >= wanted]
        row["cheapest"] = float(good.min()) if len(good) else np.nan
    return row


def main() -> None:
    """Run the spaces that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spaces", nargs="*", default=list(SPACES))
    parser.add_argument("--runs", type=int, default=100, help="of each space")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--chips", type=int, default=2000, help="of every design by brute force")
    parser.add_argument("--long", type=int, default=20_000, help="chips of designs near a goal")
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    rows = []
    for name in given.spaces:
        make: Callable[[], Candidates] = SPACES[name]
        candidates = make()
        truth = truth_of(name, candidates, given.chips, given.long, given.store)
        for seed in range(given.seed, given.seed + given.runs):
            rows.append({"space": name} | one_run(truth, seed, seed % 2 == 0))
            print(rows[-1], file=sys.stderr, flush=True)
        own = pd.DataFrame(rows)
        tell(own[own["space"] == name], f"{name}, {len(candidates.designs)} designs")
    if len(given.spaces) > 1:
        tell(pd.DataFrame(rows), "all")


def tell(rows: pd.DataFrame, name: str) -> None:
    """What the runs of a space show."""
    rows = rows.reindex(columns=[*rows.columns.union(["price", "cheapest", "false"], sort=False)])
    wrong = int((rows["false"] == True).sum())  # noqa: E712
    low, high = clopper_pearson(wrong, len(rows))
    asked = rows[rows["reachable"] & rows["cheapest"].notna()]
    near = (asked["price"] <= 1.1 * asked["cheapest"] + 1e-9).mean()
    ratio = (asked["price"] / asked["cheapest"]).median()
    print(
        f"{name}: {len(rows)} runs, {int((~rows['reachable']).sum())} of them beyond reach; wrong "
        f"certificates {wrong} ({wrong / len(rows):.1%} [{low:.1%}, {high:.1%}]); of {len(asked)} goals "
        f"within reach {asked['met'].mean():.0%} certified, {near:.0%} within 10 % of the cheapest price "
        f"(median {ratio:.2f}); {rows['chips'].mean():,.0f} chips a run, at most {rows['share'].max():.1%} "
        f"of 1,000 a design; {rows['seconds'].median():.0f} s a run",
        flush=True,
    )


if __name__ == "__main__":
    main()
