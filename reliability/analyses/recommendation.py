"""The cheapest cure that meets a goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reliability.analysis import Analysis, Answer, Setting
from reliability.errors import UserError
from reliability.mitigation.candidates import are_steady, looks_at
from reliability.mitigation.cost_model import cost_model
from reliability.mitigation.default_space import default_space
from reliability.mitigation.goal import asked_goal, time_grid
from reliability.mitigation.recommend import PRICES, default_budget, recommend
from reliability.units import YEAR


@dataclass(frozen=True)
class Recommendation(Analysis):
    """Searches designs on one half of the inputs and certifies on the other.

    The study's ``target`` is the accuracy that chips must keep; without one it is ``max_drop``. Its ``chips``
    are the most fresh ones of what has no certificate; how many are evaluated in all, ``budget`` says.

    Parameters
    ----------
    max_drop : float, optional
        What a chip may lose against the digital network; a hundredth where there is no target either.
    at_least : float
        Share of chips that must pass.
    horizon_s : float
        For how long, seconds.
    confidence : float
    budget : int, optional
        Chips that may be evaluated, at all times each.
    prices : mapping of str to float
        Weights of the costs that count.
    costs : mapping of str to float
        Numbers of the cost model that differ from the table's.
    """

    max_drop: float | None = None
    at_least: float = 0.95
    horizon_s: float = YEAR
    confidence: float = 0.95
    budget: int | None = None
    prices: Mapping[str, float] = field(default_factory=lambda: dict(PRICES))
    costs: Mapping[str, float] = field(default_factory=dict)

    def plan(self, setting: Setting) -> str:
        """Designs, times and chips."""
        _check(setting)
        grid = time_grid(setting.chip, self.horizon_s)
        goal = asked_goal(setting.target, self.max_drop, self.at_least, grid, self.confidence)
        space = default_space(
            setting.network, setting.chip, horizon_s=self.horizon_s, calibration=setting.calibration
        )
        designs = space.designs()
        knobs = "; ".join(
            f"{knob.name} ({', '.join(option.label for option in knob.options)})" for knob in space.knobs
        )
        budget = default_budget(len(designs)) if self.budget is None else self.budget
        looks = looks_at(designs, goal.times, are_steady(designs, setting.network))
        return (
            f"{len(designs)} designs: {knobs}. Chips are looked at {len(looks)} times; at most {budget:,} "
            f"chips are evaluated, on half of the inputs each"
        )

    def answer(self, setting: Setting) -> Answer:
        """Search, and certify."""
        _check(setting)
        found = recommend(
            setting.network,
            setting.dataset,
            setting.chip,
            target=setting.target,
            max_drop=self.max_drop,
            at_least=self.at_least,
            horizon_s=self.horizon_s,
            confidence=self.confidence,
            prices=self.prices,
            costs=cost_model(**self.costs),
            budget=self.budget,
            shown=setting.chips,
            calibration=setting.calibration,
            seed=setting.seed,
            threads=setting.threads,
            progress=setting.progress,
        )
        tables = {"designs": found.designs, "accuracies": found.accuracies}
        tables |= {"certificates": found.attempts(), "shares": found.shares, "inputs": found.inputs()}
        tables = {name: table for name, table in tables.items() if len(table)}

        def draw():
            from reliability.plots.recommendation import price_of_yield

            return price_of_yield(found.designs, found.accuracies, self.at_least)

        return Answer(tables, found.text(), draw, found.files("recommended"))


def _check(setting: Setting) -> None:
    """Raise :class:`UserError` for what a recommendation leaves no choice of."""
    if setting.metric != "top-1":
        raise UserError(f"metric = {setting.metric!r}: a recommendation counts right answers, top-1")
    if setting.time_s != Setting.time_s:
        raise UserError(f"time_s = {setting.time_s:g}: a recommendation is for analysis.horizon_s")
