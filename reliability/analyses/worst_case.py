"""How low accuracy can fall although every weight is guaranteed to be nearly right."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from scipy.special import ndtr

from reliability.analysis import Analysis, Answer, Setting
from reliability.checks import check, is_number, is_whole
from reliability.report import quantile_span
from reliability.statistics import quantile_interval, summarize
from reliability.statistics.interval import CHIPS
from reliability.worst_case import (
    Attack,
    Surface,
    Unit,
    attack_curve,
    carlini_wagner,
    uniform_noise,
    weight_deviations,
)

_UNITS = {"weight": "the weights' own units", "relative": "the layer's largest weight"}
_SIGMA = "standard deviation"
WORST = "nothing: these inputs, the worst weights found"
"""What varies in a row of an attack."""


@dataclass(frozen=True)
class WorstCase(Analysis):
    """Attacks on a chip's weights within rising bounds, beside random errors within the same bounds.

    Parameters
    ----------
    bounds : tuple of float
        Largest errors of a weight.
    unit : {"relative", "weight"}
        What they are counted in: each layer's largest weight, or the network's own numbers.
    radii : tuple of float
        Of balls around the programmed weights: the root of the sum of all squared errors, each in standard
        deviations of its weight (:func:`reliability.worst_case.weight_deviations`). Empty: none.
    steps, batch : int
        Steps of each attack, and inputs of a step.
    restarts : int
        Of projected gradients (:func:`reliability.worst_case.projected_gradient`).
    rounds : int
        Of the attack by Carlini and Wagner (:func:`reliability.worst_case.carlini_wagner`); 0 leaves it out.
    kappa : float
        Margin beyond which it does not count a wrong input.
    """

    bounds: tuple[float, ...] = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
    unit: Unit = "relative"
    radii: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
    steps: int = 40
    restarts: int = 4
    batch: int = 512
    rounds: int = 6
    kappa: float = 0.0

    def __post_init__(self) -> None:
        for name, fewest in (("bounds", 1), ("radii", 0)):
            values = getattr(self, name)
            good = isinstance(values, tuple) and len(values) >= fewest
            good = good and all(is_number(value, 1e-9, 1e9) for value in values)
            check(good, f"analysis.{name}", values, "a list of numbers from 1e-9 to 1e9")
        check(self.unit in _UNITS, "analysis.unit", self.unit, '"relative" or "weight"')
        for name, low in (("steps", 1), ("restarts", 1), ("batch", 1), ("rounds", 0)):
            value = getattr(self, name)
            check(is_whole(value, low, 1 << 20), f"analysis.{name}", value, f"a whole number from {low} up")
        check(is_number(self.kappa, 0, 1e9), "analysis.kappa", self.kappa, "a number from 0 up")

    def plan(self, setting: Setting) -> str:
        """What will be done and what it costs."""
        balls = len(self.bounds) + len(self.radii)
        passes = self.steps * (2 * self.restarts * balls + self.rounds * len(self.bounds))
        return (
            f"attacks within {len(self.bounds)} largest errors and {len(self.radii)} radii, up to {passes} "
            f"derivatives of {min(self.batch, len(setting.dataset))} inputs; {setting.chips} chips of "
            f"uniform errors for each largest error"
        )

    def answer(self, setting: Setting) -> Answer:
        """Attack within every bound, and simulate random errors within it.

        Raises
        ------
        UserError
            If the metric is not top-1 accuracy, no layer is analog, or radii are asked for where the
            standard deviations of weights are not known.
        """
        check(setting.metric == "top-1", "metric", setting.metric, '"top-1": attacks lower nothing else')
        given = (setting.network, setting.dataset, setting.chip)
        # Asked for before anything long begins.
        deviations = weight_deviations(setting.network, setting.chip) if self.radii else None
        options: dict[str, Any] = {"steps": self.steps, "batch": self.batch, "seed": setting.seed}
        gradients = options | {"restarts": self.restarts}
        count = _Count(setting, (2 + (self.rounds > 0)) * len(self.bounds) + len(self.radii))
        surface = Surface(*given, self.unit)
        clean = surface.clean_accuracy
        rows = [_row(own, self.unit) for own in attack_curve(surface, self.bounds, seen=count, **gradients)]
        for bound in sorted(self.bounds) if self.rounds else ():
            found = carlini_wagner(surface, bound, rounds=self.rounds, kappa=self.kappa, **options)
            count(found)
            rows.append(_row(found, self.unit))
        if deviations is not None:
            ball = Surface(*given, deviations)
            attacks = attack_curve(ball, self.radii, norm="l2", seen=count, **gradients)
            rows += [_row(own, _SIGMA) for own in attacks]
        random = []
        for bound in sorted(self.bounds):
            trials = uniform_noise(
                *given,
                bound,
                unit=self.unit,
                chips=setting.chips,
                seed=setting.seed,
                threads=setting.threads,
            )
            count(None)
            random += _random_rows(trials, bound, self.unit)
        tables = {"attacks": pd.DataFrame(rows), "random": pd.DataFrame(random)}
        return Answer(tables, self._text(tables, surface, clean), partial(_draw, tables, clean))

    def _text(self, tables: dict[str, pd.DataFrame], surface: Surface, clean: float) -> str:
        attacks, random = tables["attacks"], tables["random"]
        paragraphs = [
            f"{surface.units.size} weights can err; without errors {100 * clean:.2f} % of "
            f"{len(surface.x)} inputs are right. What an attack reaches is an upper bound of the lowest "
            f"accuracy within the bound: worse weights may exist. It is no probability. Accuracy in %; "
            f"brackets hold 95 % intervals over chips, these inputs.",
            f"Every error at most, in {_UNITS[self.unit]}:",
        ]
        columns = {"bound": [f"{bound:g}" for bound in sorted(self.bounds)]}
        for kind, own in attacks[attacks["norm"] == "max"].groupby("attack", sort=False):
            columns[str(kind)] = [f"{100 * value:.2f}" for value in own["value"]]
        over_chips = random[random["varies"] == CHIPS]
        for estimand, title in (("mean", "uniform errors: mean"), ("quantile_05", "their 5 % chip")):
            own = over_chips.loc[over_chips["estimand"] == estimand, ["value", "low", "high"]].to_numpy()
            columns[title] = [f"{100 * v:.2f} [{100 * low:.2f}, {100 * high:.2f}]" for v, low, high in own]
            if estimand == "quantile_05":
                chips, level = int(over_chips["chips"].iloc[0]), float(over_chips["level"].iloc[0])
                columns[title] = [
                    f"{100 * v:.2f} {quantile_span(low, high, chips, level)}" for v, low, high in own
                ]
        paragraphs.append(_aligned(columns))
        if any("[-" in cell for cell in columns["their 5 % chip"]):
            paragraphs.append("[-, ...]: too few chips for a lower end of the 5 % chip.")
        radii = attacks[attacks["norm"] == "l2"]
        if len(radii):
            radius = {
                "radius": [f"{r:g}" for r in radii["bound"]],
                "projected gradient": [f"{100 * value:.2f}" for value in radii["value"]],
                "Phi(-radius)": [f"{p:.1e}" for p in radii["form"]],
            }
            paragraphs += [
                "The root of the sum of all squared errors at most, in standard deviations of the weights:",
                _aligned(radius),
                "Phi(-radius) is how often a chip lies so far out in one given direction. There are as many "
                "directions as weights: it bounds no yield.",
            ]
        return "\n\n".join(p if "\n" in p else textwrap.fill(p, 100) for p in paragraphs)


class _Count:
    """Tells whoever listens how many bounds are done."""

    def __init__(self, setting: Setting, total: int) -> None:
        self.setting, self.total, self.done = setting, total, 0

    def __call__(self, attack: Attack | None) -> None:
        self.done += 1
        if self.setting.progress is not None:
            note = (
                "uniform errors"
                if attack is None
                else f"attack within {attack.bound:g}: {attack.accuracy:.2%}"
            )
            self.setting.progress(self.done, self.total, note)


def _row(attack: Attack, unit: str) -> dict[str, Any]:
    radius = "the root of all squared errors" if attack.norm == "l2" else "every error"
    return {
        "norm": attack.norm,
        "unit": unit,
        "bound": attack.bound,
        "attack": attack.kind,
        "estimand": "lowest accuracy",
        "value": attack.accuracy,
        "low": 0.0,
        "high": attack.accuracy,
        "level": 1.0,
        "varies": WORST,
        "method": attack.method,
        "distance": attack.distance,
        "form": float(ndtr(-attack.bound)) if unit == _SIGMA else None,
        "inputs": attack.inputs,
        "description": f"accuracy of the worst weights found with {radius} at most {attack.bound:g}: "
        f"an upper bound of the lowest accuracy, no probability",
    }


def _random_rows(trials: pd.DataFrame, bound: float, unit: str) -> list[dict[str, Any]]:
    """Mean, drop and outer quantiles of chips with uniform errors."""
    summary = summarize(trials)
    kept = summary[summary["estimand"].isin(("mean", "drop", "quantile_05"))]
    columns = ["estimand", "value", "low", "high", "level", "varies", "method", "chips", "inputs"]
    rows = kept[[*columns, "description"]].to_dict("records")
    high = rows[-1] | {"estimand": "quantile_95"}
    value, lowest, highest = quantile_interval(trials["accuracy"].to_numpy(), 0.95)
    high |= {"value": value, "low": lowest, "high": highest}
    high["description"] = high["description"].replace("95 %", "5 %")
    return [{"unit": unit, "bound": bound} | row for row in [*rows, high]]


def _aligned(columns: dict[str, list[str]]) -> str:
    widths = [max(map(len, (title, *cells))) for title, cells in columns.items()]
    lines = [tuple(columns), *zip(*columns.values(), strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)


def _draw(tables: dict[str, pd.DataFrame], clean: float) -> Any:
    from reliability.plots.worst_case import worst_case

    return worst_case(tables["attacks"], tables["random"], clean)
