"""Which weights to verify first, and how many: rankings compared at equal budgets on the same chips."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.mitigation.selection import Ranking, rank_weights, save_scores, select
from reliability.mitigation.write_verify import Budget, smallest_budget, with_share
from reliability.montecarlo import run
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import CHIPS, DIFFERENCE, Interval
from reliability.statistics.order import quantile_indices, quantile_interval, quantile_rank
from reliability.verified import expected_nwc, verified_crossbars

_NON_UNIFORM = "u-"
_RESAMPLES = 2000
_BAD = 0.05
_LEVEL = 0.95
_DIFFERENCE_COLUMNS = [
    *("budget", "kind", "ranking", "against", "nwc", "nwc_against"),
    *("estimand", "value", "low", "high", "method", "level", "varies", "chips"),
]


@dataclass(frozen=True)
class WriteVerifyBudget(Analysis):
    """Rankings of weights for write-verify, compared at equal budgets of write cycles.

    Parameters
    ----------
    rankings : tuple of str
        Of :func:`reliability.mitigation.selection.rank_weights`, the expected best first; ``"u-"`` in front
        weighs second derivatives by each device's own variance (U-SWIM).
    budgets : tuple of float
        Normalised write cycles: what is spent, over what verifying all slices of all weights takes. Each
        ranking verifies as many weights as are expected to take so many. No weight and all of them are added,
        and budgets that all of them do not use up are left out.
    ranking_inputs : int
        Training inputs that the rankings see.
    near : float
        Share of verified weights at which ``"gradient"`` takes its derivatives.
    max_drop : float
        Loss of mean accuracy for which the smallest budget of the first ranking is found.
    group : float
        Share of the weights that each step of that search adds.
    """

    rankings: tuple[str, ...] = ("gradient", "curvature", "magnitude", "random")
    budgets: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
    ranking_inputs: int = 1000
    near: float = 0.0
    max_drop: float = 0.005
    group: float = 0.05

    def plan(self, setting: Setting) -> str:
        """What is run, and its cost."""
        self._check()
        conditions = len(self.rankings) * len(self.budgets) + 2
        return (
            f"rankings {', '.join(self.rankings)} from {self.ranking_inputs} training inputs; "
            f"{conditions} conditions x {setting.chips} chips x {len(setting.dataset)} inputs; then the "
            f"smallest budget for a drop of {self.max_drop:g}, at most {2 / self.group:.0f} x "
            f"{setting.chips} chips"
        )

    def answer(self, setting: Setting) -> Answer:
        """Rank, simulate every ranking at every budget, compare, and find the smallest budget.

        Raises
        ------
        UserError
            If the chip has no write-verify, there are no training inputs, or a field is not allowed.
        """
        self._check()
        training = setting.training_set("weights are ranked by")
        training = training.head(min(self.ranking_inputs, len(training)))
        chip = with_share(setting.chip, 1.0)
        crossbars = verified_crossbars(setting.network, resolved(chip))
        found: dict[tuple[str, float], pd.DataFrame] = {}
        layers: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder:
            for name in self.rankings:
                scores = self._scores(setting, training, chip, name)
                path = str(Path(folder) / f"{name}.npz")
                save_scores(path, scores)
                ordered = chip.with_verify(partial(replace, order=path, scope="chip"))
                spent = expected_nwc(crossbars, scores, ordered.frozen_below_s)
                shares = _shares(spent, self.budgets)
                for budget, share in shares.items():
                    layers += [
                        {"ranking": name, "budget": budget, "share": share, "layer": layer}
                        | {"share_of_layer": own}
                        for layer, own in select(scores, share).items()
                    ]
                if name == self.rankings[0]:
                    # No weight and all of them are the same for all rankings.
                    ends, top = ordered, float(spent[-1])
                    shares |= {0.0: 0.0, top: 1.0}
                trials = run(
                    setting.simulation(chip=ordered, vary={"verify.share": list(shares.values())}),
                    chips=setting.chips,
                    progress=setting.progress,
                )
                by_share = dict(iter(trials.groupby("verify.share")))
                found |= {(name, budget): by_share[share] for budget, share in shares.items()}
            smallest = smallest_budget(replace(setting, chip=ends), self.max_drop, group=self.group)
        first = self.rankings[0]
        found |= {(name, end): found[first, end] for name in self.rankings[1:] for end in (0.0, top)}
        digital = float(setting.simulation(chip=ends).reference.mean())
        inputs = len(setting.dataset)
        budgets = _budgets(self.rankings, found).assign(inputs=inputs)
        differences = _differences(self.rankings, found, setting.seed).assign(inputs=inputs)
        tables = {
            "budgets": budgets,
            "differences": differences,
            "layers": pd.DataFrame(layers),
            "smallest_budget": smallest.table,
        }

        def draw() -> Any:
            from reliability.plots.write_verify_budget import budget_curves

            return budget_curves(budgets, differences, digital)

        return Answer(tables, _text(budgets, differences, smallest, digital, self), draw)

    def _scores(self, setting: Setting, training: Dataset, chip: Chip, name: str) -> dict[str, np.ndarray]:
        return rank_weights(
            setting.network,
            training,
            chip,
            _ranking(name),
            time_s=setting.time_s,
            uniform=not name.startswith(_NON_UNIFORM),
            near=self.near if name == "gradient" else 0.0,
            calibration=setting.calibration,
            threads=setting.threads,
            seed=setting.seed,
        )

    def _check(self) -> None:
        for name in self.rankings:
            if _ranking(name) not in get_args(Ranking):
                raise UserError(
                    f"analysis.rankings = {name!r} must be one of {', '.join(get_args(Ranking))}, or one of "
                    f'these behind "{_NON_UNIFORM}"'
                )
        if not self.rankings or len(set(self.rankings)) < len(self.rankings):
            raise UserError(f"analysis.rankings = {self.rankings!r} must name one or more, each once")
        good = all(is_number(own, 0, 1) and 0 < own < 1 for own in self.budgets)
        good = good and len(set(self.budgets)) == len(self.budgets) > 0
        check(good, "analysis.budgets", self.budgets, "numbers between 0 and 1, each once")
        if self.ranking_inputs < 1:
            raise UserError(f"analysis.ranking_inputs = {self.ranking_inputs!r} must be 1 or more")
        check(0 <= self.near < 1, "analysis.near", self.near, "from 0 to below 1")
        check(is_number(self.max_drop, 0, 1), "analysis.max_drop", self.max_drop, "from 0 to 1")
        check(is_number(self.group, 1e-4, 1), "analysis.group", self.group, "from 0.0001 to 1")


def _ranking(name: str) -> Any:
    return name.removeprefix(_NON_UNIFORM)


def _shares(spent: np.ndarray, budgets: Sequence[float]) -> dict[float, float]:
    """Shares of all weights that use up each budget, as nearly as whole weights can."""
    counts = {budget: int(np.abs(spent - budget).argmin()) for budget in budgets if budget < spent[-1]}
    return {budget: count / (len(spent) - 1) for budget, count in counts.items()}


def _accuracy(trials: pd.DataFrame) -> np.ndarray:
    return trials.set_index("chip")["accuracy"].to_numpy()


def _budgets(rankings: Sequence[str], found: dict[tuple[str, float], pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for name, budget in sorted(found, key=lambda key: (rankings.index(key[0]), key[1])):
        trials = found[name, budget]
        values = _accuracy(trials)
        mean = Interval(*chips_interval(values, _LEVEL))
        bad = quantile_interval(values, _BAD, _LEVEL)
        has_end = quantile_indices(len(values), _BAD, _LEVEL)[0] is not None
        ranked = "order statistics" + ("" if has_end else ", too few chips for a lower end")
        common = {"ranking": name, "budget": budget, "share": float(trials["verify.share"].iloc[0])}
        common["nwc"] = float(trials["nwc"].mean())
        last = {"level": _LEVEL, "varies": CHIPS, "chips": len(values)}
        estimates = (
            ("mean", float(values.mean()), mean, "t over chips, corrected for skewness"),
            ("quantile_05", bad[0], Interval(bad[1], bad[2]), ranked),
        )
        for estimand, value, interval, method in estimates:
            row = {"estimand": estimand, "value": value, "low": interval.low, "high": interval.high}
            rows.append(common | row | {"method": method} | last)
    return pd.DataFrame(rows)


def _differences(
    rankings: Sequence[str], found: dict[tuple[str, float], pd.DataFrame], seed: int
) -> pd.DataFrame:
    """Paired differences between neighbours in the order of the rankings, and from the best by its mean."""
    rows = []
    budgets = sorted({budget for _, budget in found})
    # No weight and all of them are the same chips.
    for budget in budgets[1:-1]:
        accuracies = {name: _accuracy(found[name, budget]) for name in rankings}
        best = max(rankings, key=lambda name: accuracies[name].mean())
        pairs = [("neighbours", a, b) for a, b in itertools.pairwise(rankings)]
        pairs += [("to the best", best, name) for name in rankings if name != best]
        for kind, first, second in pairs:
            a, b = accuracies[first], accuracies[second]
            common = {"budget": budget, "kind": kind, "ranking": first, "against": second}
            common["nwc"] = float(found[first, budget]["nwc"].mean())
            common["nwc_against"] = float(found[second, budget]["nwc"].mean())
            last = {"level": _LEVEL, "varies": CHIPS, "chips": len(a)}
            mean = chips_interval(a - b, _LEVEL, DIFFERENCE)
            bad, interval = _quantile_difference(a, b, seed)
            estimates = (
                ("mean", float((a - b).mean()), mean, "paired: t over chips, corrected for skewness"),
                ("quantile_05", bad, interval, f"paired: bootstrap over chips, {_RESAMPLES} resamples"),
            )
            for estimand, value, own, method in estimates:
                row = {"estimand": estimand, "value": value, "low": own.low, "high": own.high}
                rows.append(common | row | {"method": method} | last)
    # One ranking alone has none.
    return pd.DataFrame(rows, columns=_DIFFERENCE_COLUMNS)


def _quantile_difference(a: np.ndarray, b: np.ndarray, seed: int) -> tuple[float, Interval]:
    """Difference of the 5 % chips, each ranking's own, over the same chips."""
    rank = quantile_rank(len(a), _BAD) - 1
    chosen = np.random.default_rng(seed).integers(len(a), size=(_RESAMPLES, len(a)))
    resampled = np.sort(a[chosen], axis=1)[:, rank] - np.sort(b[chosen], axis=1)[:, rank]
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(np.sort(a)[rank] - np.sort(b)[rank]), Interval(float(low), float(high))


def _text(
    budgets: pd.DataFrame,
    differences: pd.DataFrame,
    found: Budget,
    digital: float,
    asked: WriteVerifyBudget,
) -> str:
    chips = int(budgets["chips"].iloc[0])
    means = budgets[budgets["estimand"] == "mean"].set_index(["ranking", "budget"])
    bad = budgets[budgets["estimand"] == "quantile_05"].set_index(["ranking", "budget"])
    spent = sorted(means.index.get_level_values("budget").unique())
    lines = [f"{chips} chips, the same for all; digital network {digital:.2%}."]
    lines += ["Columns: normalised write cycles; the first and last verify no weight and every weight.", ""]
    for title, table, column in (
        ("Mean accuracy (%)", means, "value"),
        ("5 % chip (%)", bad, "value"),
        ("Weights verified (%)", means, "share"),
    ):
        lines.append(f"{title:20}" + "".join(f"{budget:>8.3g}" for budget in spent))
        for name in asked.rankings:
            cells = (f"{100 * table.loc[(name, budget), column]:>8.2f}" for budget in spent)
            lines.append(f"  {name:18}" + "".join(cells))
    if (bad["low"] <= 0).any():
        lines += ["", f"{chips} chips are too few for a lower end of the 5 % chip's interval."]
    if len(differences):
        lines += ["", "Paired differences of the mean between neighbours at the same write cycles, points"]
    rows = differences[(differences["estimand"] == "mean") & (differences["kind"] == "neighbours")]
    for (first, second), pair in rows.groupby(["ranking", "against"], sort=False):
        changes = [
            f"{r['budget']:g}: {100 * r['value']:+.2f} [{100 * r['low']:+.2f}, {100 * r['high']:+.2f}]"
            for r in pair.to_dict("records")
        ]
        lines.append(f"  {first} - {second}")
        lines += ["    " + "  ".join(changes[at : at + 3]) for at in range(0, len(changes), 3)]
    lines.append("")
    last = found.table.iloc[-1]
    if found.chip is None:
        lines.append(
            f"No share of {asked.rankings[0]}-ranked weights keeps the mean drop within "
            f"{100 * asked.max_drop:g} points."
        )
    else:
        lines.append(
            f"Smallest budget, ranked by {asked.rankings[0]}, for a mean drop of at most "
            f"{100 * asked.max_drop:g} points:"
        )
        lines.append(
            f"{last['share']:.0%} of the weights, NWC {last['nwc']:.3f} (drop {100 * last['value']:.2f}, "
            f"with {last['level']:.1%} at most {100 * last['high']:.2f}, on {last['chips']} fresh chips)."
        )
    lines.append(f"{_LEVEL:.0%} intervals; {CHIPS}.")
    return "\n".join(lines)
