"""Which weights to verify first, and how many: rankings compared at equal budgets on the same chips."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.chip import Chip
from reliability.errors import UserError
from reliability.mitigation.selection import Ranking, rank_weights, save_scores, select
from reliability.mitigation.write_verify import Budget, smallest_budget, with_share
from reliability.montecarlo import run
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import CHIPS, DIFFERENCE, Interval
from reliability.statistics.order import quantile_interval, quantile_rank

_NON_UNIFORM = "u-"
_RESAMPLES = 2000
_BAD = 0.05
_LEVEL = 0.95


@dataclass(frozen=True)
class WriteVerifyBudget(Analysis):
    """Rankings of weights for write-verify, compared at equal shares of verified weights.

    Parameters
    ----------
    rankings : tuple of str
        Of :func:`reliability.mitigation.selection.rank_weights`, the expected best first; ``"u-"`` in front
        weighs second derivatives by each device's own variance (U-SWIM).
    shares : tuple of float
        Of all weights, between 0 and 1; none and all are added.
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
    shares: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
    ranking_inputs: int = 1000
    near: float = 0.0
    max_drop: float = 0.005
    group: float = 0.05

    def plan(self, setting: Setting) -> str:
        """What is run, and its cost."""
        conditions = len(self.rankings) * len(self.shares) + 2
        return (
            f"rankings {', '.join(self.rankings)} from {self.ranking_inputs} training inputs; "
            f"{conditions} conditions x {setting.chips} chips x {len(setting.dataset)} inputs; then the "
            f"smallest budget for a drop of {self.max_drop:g}, at most {2 / self.group:.0f} x "
            f"{setting.chips} chips"
        )

    def answer(self, setting: Setting) -> Answer:
        """Rank, simulate every ranking at every share, compare, and find the smallest budget.

        Raises
        ------
        UserError
            If the chip has no write-verify, there are no training inputs, or a field is not allowed.
        """
        self._check()
        training = setting.training_set("weights are ranked by")
        training = training.head(min(self.ranking_inputs, len(training)))
        chip = with_share(setting.chip, 1.0)
        with tempfile.TemporaryDirectory() as folder:
            orders, layers = {}, []
            for name in self.rankings:
                scores = rank_weights(
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
                orders[name] = str(Path(folder) / f"{name}.npz")
                save_scores(orders[name], scores)
                for share in self.shares:
                    layers += [
                        {"ranking": name, "share": share, "layer": layer, "share_of_layer": own}
                        for layer, own in select(scores, share).items()
                    ]
            first = orders[self.rankings[0]]
            ends = chip.with_verify(lambda own: replace(own, order=first, scope="chip"))
            trials = [_trials(setting, ends, {"verify.share": [0.0, 1.0]})]
            vary: dict[str, list] = {"verify.order": list(orders.values()), "verify.share": list(self.shares)}
            trials.append(_trials(setting, ends, vary))
            found = smallest_budget(replace(setting, chip=ends), self.max_drop, group=self.group)
        names = {path: name for name, path in orders.items()}
        trials[1]["ranking"] = trials[1]["verify.order"].map(names)
        accuracies = {
            (str(name), float(share)): rows.set_index("chip")["accuracy"].to_numpy()
            for (name, share), rows in trials[1].groupby(["ranking", "verify.share"])
        }
        nwc = trials[1].groupby(["ranking", "verify.share"])["nwc"].mean().to_dict()
        limits = trials[0].groupby("verify.share")
        for share, rows in limits:
            for name in self.rankings:
                accuracies[name, float(share)] = rows.set_index("chip")["accuracy"].to_numpy()
                nwc[name, float(share)] = float(rows["nwc"].mean())
        digital = float(setting.simulation(chip=ends).reference.mean())
        inputs = len(setting.dataset)
        budgets = _budgets(self.rankings, accuracies, nwc).assign(inputs=inputs)
        differences = _differences(self.rankings, self.shares, accuracies, setting.seed).assign(inputs=inputs)
        tables = {
            "budgets": budgets,
            "differences": differences,
            "layers": pd.DataFrame(layers),
            "smallest_budget": found.table,
        }

        def draw() -> Any:
            from reliability.plots.write_verify_budget import budget_curves

            return budget_curves(budgets, differences, digital)

        return Answer(tables, _text(budgets, differences, found, digital, self), draw)

    def _check(self) -> None:
        for name in self.rankings:
            if _ranking(name) not in get_args(Ranking):
                raise UserError(
                    f"analysis.rankings = {name!r} must be one of {', '.join(get_args(Ranking))}, or one of "
                    f'these behind "{_NON_UNIFORM}"'
                )
        if not self.rankings or len(set(self.rankings)) < len(self.rankings):
            raise UserError(f"analysis.rankings = {self.rankings!r} must name one or more, each once")
        good = all(0 < share < 1 for share in self.shares) and len(set(self.shares)) == len(self.shares) > 0
        if not good:
            raise UserError(f"analysis.shares = {self.shares!r} must be shares between 0 and 1, each once")
        if self.ranking_inputs < 1:
            raise UserError(f"analysis.ranking_inputs = {self.ranking_inputs!r} must be 1 or more")


def _ranking(name: str) -> Any:
    return name.removeprefix(_NON_UNIFORM)


def _trials(setting: Setting, chip: Chip, vary: dict[str, list]) -> pd.DataFrame:
    simulation = setting.simulation(chip=chip, vary=vary)
    return run(simulation, chips=setting.chips, progress=setting.progress)


def _budgets(
    rankings: Sequence[str], accuracies: dict[tuple[str, float], np.ndarray], nwc: dict[Any, float]
) -> pd.DataFrame:
    rows = []
    shares = sorted({share for _, share in accuracies})
    for name in rankings:
        for share in shares:
            values = accuracies[name, share]
            mean = Interval(*chips_interval(values, _LEVEL))
            bad = quantile_interval(values, _BAD, _LEVEL)
            common = {"ranking": name, "share": share, "nwc": nwc[name, share]}
            last = {"level": _LEVEL, "varies": CHIPS, "chips": len(values)}
            estimates = (
                ("mean", float(values.mean()), mean, "t over chips, corrected for skewness"),
                ("quantile_05", bad[0], Interval(bad[1], bad[2]), "order statistics"),
            )
            for estimand, value, interval, method in estimates:
                row = {"estimand": estimand, "value": value, "low": interval.low, "high": interval.high}
                rows.append(common | row | {"method": method} | last)
    return pd.DataFrame(rows)


def _differences(
    rankings: Sequence[str],
    shares: Sequence[float],
    accuracies: dict[tuple[str, float], np.ndarray],
    seed: int,
) -> pd.DataFrame:
    """Paired differences between neighbours in the order of the rankings, and from the best by its mean."""
    rows = []
    for share in shares:
        best = max(rankings, key=lambda name: accuracies[name, share].mean())
        pairs = [("neighbours", a, b) for a, b in itertools.pairwise(rankings)]
        pairs += [("to the best", best, name) for name in rankings if name != best]
        for kind, first, second in pairs:
            a, b = accuracies[first, share], accuracies[second, share]
            common = {"share": share, "kind": kind, "ranking": first, "against": second}
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
    return pd.DataFrame(rows)


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
    means = budgets[budgets["estimand"] == "mean"].set_index(["ranking", "share"])
    bad = budgets[budgets["estimand"] == "quantile_05"].set_index(["ranking", "share"])
    shares = sorted(means.index.get_level_values("share").unique())
    lines = [f"{chips} chips, the same for all; digital network {digital:.2%}.", ""]
    for table, title in ((means, "Mean accuracy (%)"), (bad, "5 % chip (%)")):
        lines.append(f"{title:20}" + "".join(f"{share:>8.2f}" for share in shares))
        for name in asked.rankings:
            cells = (f"{100 * table.loc[(name, share), 'value']:>8.2f}" for share in shares)
            lines.append(f"  {name:18}" + "".join(cells))
    lines.append(f"{'NWC':20}" + "".join(f"{means['nwc'].xs(s, level='share').mean():>8.3f}" for s in shares))
    lines += ["", "Paired differences of the mean between neighbours, points"]
    rows = differences[(differences["estimand"] == "mean") & (differences["kind"] == "neighbours")]
    for (first, second), pair in rows.groupby(["ranking", "against"], sort=False):
        changes = [
            f"{r['share']:g}: {100 * r['value']:+.2f} [{100 * r['low']:+.2f}, {100 * r['high']:+.2f}]"
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
