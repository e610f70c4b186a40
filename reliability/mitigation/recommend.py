"""recommend(): the cheapest cure that meets a goal, with its certificate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv, ndtr, ndtri

from reliability.analysis import Setting
from reliability.checks import check_kind, is_number
from reliability.chip import Chip
from reliability.datasets import Dataset, as_dataset
from reliability.errors import UserError
from reliability.mitigation.advice import Advice
from reliability.mitigation.candidates import PRICES, Candidates
from reliability.mitigation.certificate import SHARES, Certificate, certify
from reliability.mitigation.common_chips import CommonChips
from reliability.mitigation.cost_model import CostModel
from reliability.mitigation.default_space import default_space
from reliability.mitigation.goal import Goal, asked_goal, time_grid
from reliability.mitigation.search import Search
from reliability.mitigation.space import Space
from reliability.network import Network
from reliability.settings import whole
from reliability.statistics.acceptance import AcceptancePlan, acceptance_plan, fewest_chips, smallest_plan
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.interval import CHIPS
from reliability.training_inputs import Calibration
from reliability.units import YEAR, percent

# Of the chips that may be evaluated, the share that one certificate may take, and its bounds; the share that
# is kept for what is shown beside the answer.
_CERTIFICATE, _SHOW = 0.15, 0.1
_LEAST_CHIPS, _MOST_CHIPS = 100, 2000
_POWER = 0.95
# By so many standard deviations of a chip's accuracy a plan allows the certificate's inputs to be harder.
_HARDER = 0.3
# The least chance with which the best design is tried where none has a fair one.
_SLIM = 0.1
# What a failed attempt costs, in prices of its design: the last has no other behind it.
_RETRY = (0.5, 1.0, 4.0)
# Chips of designs on the frontier, and how many of these there are.
_SHOWN, _FRONTIER = 64, 8
# Where nothing meets the goal, so many of the best designs are tried on so many chips.
_FINALS = {8: _SHOWN, 3: 4 * _SHOWN}
# The least of fresh chips of what has no certificate.
_LEAST_COMPARED = 10
_LEVEL = 0.95


def recommend(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    *,
    target: float | None = None,
    max_drop: float | None = None,
    at_least: float = 0.95,
    horizon_s: float = YEAR,
    times: Sequence[float] | None = None,
    confidence: float = 0.95,
    space: Space | None = None,
    prices: Mapping[str, float] | None = None,
    costs: CostModel | None = None,
    budget: int | None = None,
    shown: int = 200,
    fresh_inputs: Dataset | tuple[Any, Any] | None = None,
    calibration: Calibration | Callable[[], Dataset] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Advice:
    """The cheapest chip that meets a goal, certified on chips and inputs that the search has not seen.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Test inputs. One half is searched on, the other certified on (:func:`.halves.halves`), unless
        ``fresh_inputs`` are given.
    chip : Chip
        To be cured.
    target, max_drop : float, optional
        Accuracy that a chip must keep, or what it may lose against the digital network on the same inputs;
        one of them, by default a loss of one point.
    at_least : float
        Share of chips that must pass. A chip passes if it meets the target at every time.
    horizon_s : float
        For how long, seconds; ``times`` (rising) in its place say when a chip is looked at.
    confidence : float
        Of the certificate.
    space : Space, optional
        The designs; by default those of :func:`.default_space`.
    prices : mapping of str to float, optional
        Weights of the costs that count (:data:`.costs.COLUMNS`), each relative to the chip without cures;
        by default area 1, energy of an input 1, time to program 0.1.
    costs : CostModel, optional
    budget : int, optional
        Chips that may be evaluated, at all times each; by default 50 for every design, from 4,000 to 30,000.
        Where nothing meets the goal, what limits the best design is looked for beyond it.
    shown : int
        The most fresh chips of what has no certificate: the chip without cures, and the best design where
        none is certified.
    fresh_inputs : Dataset, or pair of arrays, optional
        For the certificate.
    calibration, seed, threads
        As in :func:`reliability.simulate`.
    progress : callable, optional

    Returns
    -------
    Advice

    Raises
    ------
    UserError
        If the goal, the budget or the prices make no sense.
    """
    check_kind("network", network, Network)
    check_kind("chip", chip, Chip)
    for name, value, kind in (
        ("space", space, Space),
        ("prices", prices, Mapping),
        ("costs", costs, CostModel),
    ):
        if value is not None:
            check_kind(name, value, kind)
    inputs = as_dataset("inputs", inputs)
    fresh_inputs = None if fresh_inputs is None else as_dataset("fresh_inputs", fresh_inputs)
    if times is not None and not (
        isinstance(times, Sequence | np.ndarray) and len(times) and all(is_number(t, 0, 1e12) for t in times)
    ):
        raise UserError(f"times = {times!r} must be a list of seconds from 0 to 1e12")
    grid = tuple(times) if times is not None else time_grid(chip, horizon_s)
    goal = asked_goal(target, max_drop, at_least, grid, confidence)
    if space is None:
        space = default_space(network, chip, horizon_s=goal.times[-1], calibration=calibration)
    candidates = Candidates(
        network,
        inputs,
        space,
        goal.times,
        prices=prices or PRICES,
        costs=costs,
        fresh_inputs=fresh_inputs,
        calibration=calibration,
        threads=threads,
    )
    return recommend_from(candidates, goal, budget=budget, shown=shown, seed=seed, progress=progress)


def recommend_from(
    candidates: Candidates,
    goal: Goal,
    *,
    budget: int | None = None,
    shown: int = 200,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Advice:
    """The cheapest of the candidates that meets a goal; parameters as in :func:`recommend`.

    What is known of candidates without any chip is found once, whatever goals they are asked about.
    """
    designs, prices = candidates.designs, candidates.table["price"].to_numpy()
    budget = whole("budget", default_budget(len(designs)) if budget is None else budget, 500, 2**31)
    goal = candidates.asked_of_halves(goal)
    largest = _largest_certificate(budget, goal)
    chip, looks = candidates.space.chip, candidates.looks
    common = candidates.chips(goal, "search", seed)
    fresh = candidates.chips(goal, "certify", seed)
    shown, beside = whole("shown", shown, 1, 2**31), int(_SHOW * budget)
    search = Search(
        designs,
        prices,
        candidates.space.knobs,
        common,
        candidates.hints(common.required / common.inputs),
        budget - beside - len(SHARES) * largest,
        progress,
    )
    search.scout()
    certificates = _attempts(search, fresh, goal, largest, budget - beside)
    held = next((c for c in certificates if c.holds), None)
    most = budget - beside - fresh.evaluated
    number = held.design.number if held else _best(search, range(len(designs)), most)
    search.estimate(_frontier(search, prices), _SHOWN, common.evaluated + beside // 2)
    left = budget - common.evaluated - fresh.evaluated
    compared = min(max(left // (1 if held else 2), _LEAST_COMPARED), shown)
    shares, passed, evaluated = pd.DataFrame(), None, {"limits": 0}
    if held is not None:
        accuracies = {"recommended": held.accuracy}
    else:
        first = sum(len(c.correct) for c in certificates)
        correct = fresh.fresh(number, designs[number].chip, first, compared)
        good = int((correct.min(axis=1) >= fresh.required).sum())
        passed = (good / len(correct), *clopper_pearson(good, len(correct), _LEVEL), len(correct))
        worst = looks[int(correct.mean(axis=0).argmin())]
        shares = limits(candidates.setting(designs[number].chip, seed, _SHOWN, worst))
        # Each group is left out once, and none once.
        evaluated["limits"] = (
            _SHOWN * sum(len(own) + 1 for _, own in shares.groupby("of")) if len(shares) else 0
        )
        accuracies = {"best": correct / fresh.inputs}
    accuracies["without cures"] = fresh.fresh(-1, chip, 0, compared) / fresh.inputs
    evaluated |= {"search": common.evaluated, "certificate": fresh.evaluated, "designs": len(designs)}
    return Advice(
        goal,
        designs[number],
        tuple(certificates),
        _design_table(candidates.table, search, number),
        _accuracy_table(accuracies, looks, fresh),
        shares,
        passed,
        evaluated,
        candidates.searched_on,
    )


def default_budget(designs: int) -> int:
    """Chips that may be evaluated where nobody says how many: 50 for every design, from 4,000 to 30,000."""
    return int(np.clip(50 * designs, 4000, 30_000))


def limits(setting: Setting) -> pd.DataFrame:
    """What a chip would gain without each of its effects, and with each layer digital.

    Returns
    -------
    DataFrame
        Of :func:`reliability.measure_sensitivity`, with ``of`` ("layers" or "effects").
    """
    from reliability.sensitivity import measure_sensitivity

    parts = []
    for of in ("effects", "layers"):
        try:
            found = measure_sensitivity(setting, of, measures=("all_but_one",), role="search")
        except UserError:
            # Nothing is noisy, or nothing can be told apart.
            continue
        parts.append(found[found["group"] != "all"].assign(of=of))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _largest_certificate(budget: int, goal: Goal) -> int:
    """Most chips of one certificate.

    Raises
    ------
    UserError
        If these are too few to show the goal's yield.
    """
    needed = fewest_chips(0, goal.at_least, SHARES[0] * (1 - goal.confidence))
    largest = int(np.clip(_CERTIFICATE * budget, _LEAST_CHIPS, max(_MOST_CHIPS, 3 * needed)))
    if largest < needed:
        raise UserError(
            f"budget = {budget} leaves {largest} chips for a certificate, too few to show that "
            f"{percent(goal.at_least)} of chips pass: that takes {needed} at least, a budget of "
            f"{math.ceil(needed / _CERTIFICATE)}; allow so many, or ask for less"
        )
    return largest


def _attempts(search: Search, chips: CommonChips, goal: Goal, largest: int, most: int) -> list[Certificate]:
    """Certificates, until one holds or the attempts are used up; ``most`` chips with those of the search."""
    found: list[Certificate] = []
    first = 0
    race, spent = search.most, 0.0
    for attempt, share in enumerate(SHARES, 1):
        spent += share
        search.most = int(spent * race)
        plan = acceptance_plan(largest, goal.at_least, share * (1 - goal.confidence))
        if plan is None:
            break
        number = search.cheapest(plan, _RETRY[attempt - 1])
        if number is None:
            left = [n for n in range(len(search.designs)) if n not in search.refused]
            if not left:
                break
            number = _best(search, left, most - chips.evaluated - largest)
            if search.chances(plan)[number] < _SLIM:
                break
        plan = _plan_for(search, number, plan)
        found.append(certify(chips, search.designs[number], goal, plan, attempt, first))
        if found[-1].holds:
            break
        first += len(found[-1].correct)
        search.refuse(number, found[-1].correct.min(axis=1) - found[-1].required)
    return found


def _plan_for(search: Search, number: int, largest: AcceptancePlan) -> AcceptancePlan:
    """A smaller plan where the search has seen the design pass more often than it must.

    The other half of the inputs may be harder: it must do for that, too.
    """
    passed, tried = search.observed_yield(number)
    seen = betaincinv(passed + 0.5, tried - passed + 0.5, 0.2)
    cautious = float(ndtr(ndtri(seen) - max(search.harder, _HARDER)))
    smaller = smallest_plan(cautious, largest.at_least, largest.alpha, _POWER, largest.chips)
    return smaller or largest


def _best(search: Search, among: Sequence[int], most: int) -> int:
    """The design that passes most often: the likeliest ones are tried on more and more chips."""
    left = list(among)
    for count, chips in _FINALS.items():
        search.estimate(sorted(left, key=_rank(search))[:count], chips, most)
        left = [n for n in left if search.chips.tried(n) >= chips] or left
    return min(left, key=_rank(search))


def _rank(search: Search) -> Callable[[int], tuple[float, float]]:
    """Key that sorts designs, the best first: by yield, and by margin where yields are equal."""
    expected = search.expected_yields()
    return lambda n: (-expected[n], -search.chips.known(n).mean() if search.chips.tried(n) else 0.0)


def _frontier(search: Search, prices: np.ndarray) -> list[int]:
    """Designs that no cheaper one is expected to surpass, spread over the yields."""
    expected = search.expected_yields()
    best, found = -1.0, []
    for number in np.argsort(prices, kind="stable"):
        if expected[number] > best + 0.005:
            best = expected[number]
            found.append(int(number))
    places = np.unique(np.linspace(0, len(found) - 1, _FRONTIER).round().astype(int))
    return [found[i] for i in places]


def _design_table(table: pd.DataFrame, search: Search, recommended: int) -> pd.DataFrame:
    """The designs that were tried, with their yields on the search's chips."""
    rows = []
    for number in search.tried:
        passed, tried = search.observed_yield(number)
        low, high = clopper_pearson(passed, tried, _LEVEL)
        rows.append(
            {
                "number": number,
                "value": passed / tried,
                "low": low,
                "high": high,
                "level": _LEVEL,
                "method": "yield of the search's chips, Clopper-Pearson, each by itself",
                "varies": CHIPS,
                "chips": tried,
                "recommended": number == recommended,
            }
        )
    found = pd.DataFrame(rows)
    found = table.loc[found["number"]].reset_index(drop=True).join(found)
    found = found.sort_values(["price", "value"], ascending=[True, False], ignore_index=True)
    # Of few chips none may fail by luck.
    enough = found["chips"] >= _SHOWN
    before = found["value"].where(enough, -1.0).cummax().shift(fill_value=-1.0)
    return found.assign(efficient=enough & (found["value"] > before))


def _accuracy_table(
    found: Mapping[str, np.ndarray], times: Sequence[float], chips: CommonChips
) -> pd.DataFrame:
    """Accuracies of fresh chips by time."""
    rows = []
    for name, accuracy in found.items():
        for t, own in zip(times, accuracy.T, strict=True):
            row = {"chip": name, "time_s": t, "mean": own.mean()}
            row |= {f"p{q:02d}": float(np.quantile(own, q / 100)) for q in (5, 50, 95)}
            rows.append(
                row
                | {
                    "target": chips.required / chips.inputs,
                    "digital": float(chips.base.reference.mean()),
                    "chips": len(own),
                    "inputs": chips.inputs,
                }
            )
    return pd.DataFrame(rows)
