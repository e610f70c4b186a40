"""recommend(): the cheapest cure that meets a goal, with its certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from reliability.analysis import Setting
from reliability.chip import Chip
from reliability.datasets import Dataset, from_arrays
from reliability.errors import UserError
from reliability.mitigation.advice import Advice
from reliability.mitigation.certificate import SHARES, Certificate, certify
from reliability.mitigation.common_chips import CommonChips
from reliability.mitigation.costs import CostModel, count_costs, relative_price, total_costs
from reliability.mitigation.expectations import Expectations
from reliability.mitigation.goal import Goal, is_steady, time_grid
from reliability.mitigation.halves import halves
from reliability.mitigation.search import Search
from reliability.mitigation.space import Design, Space
from reliability.network import Network
from reliability.settings import whole
from reliability.simulation import Calibration, Simulation
from reliability.statistics.acceptance import AcceptancePlan, acceptance_plan, smallest_plan
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.summary import CHIPS
from reliability.units import YEAR

PRICES: Mapping[str, float] = {"area_mm2": 1.0, "energy_j": 1.0, "program_s": 0.1}
"""Weights of the costs where nobody says otherwise."""

# Of the chips that may be evaluated, the share that one certificate may take, and its bounds.
_CERTIFICATE = 0.15
_LEAST_CHIPS, _MOST_CHIPS = 100, 2000
_POWER = 0.95
# Chips of designs on the frontier, and how many of these there are.
_SHOWN, _FRONTIER = 64, 8
# Where nothing meets the goal, so many of the best designs are tried on so many chips.
_FINALS = {8: _SHOWN, 3: 4 * _SHOWN}
# Fresh chips of what is no certificate: the best design, and the chip without cures.
_COMPARED = 200
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
        Chips that may be evaluated, at all times each; by default 50 for every design, from 2,000 to 20,000.
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
    if target is not None and max_drop is not None:
        raise UserError("a recommendation has either a target or a max_drop")
    goal = Goal(
        target,
        0.01 if target is None and max_drop is None else max_drop,
        at_least,
        tuple(times) if times is not None else time_grid(chip, horizon_s),
        confidence,
    )
    if space is None:
        from reliability.mitigation.default_space import default_space

        space = default_space(network, chip, horizon_s=goal.times[-1])
    designs = space.designs()
    budget = whole("budget", default_budget(len(designs)) if budget is None else budget, 500, 2**31)
    whole_set = inputs if isinstance(inputs, Dataset) else from_arrays(*inputs)
    names = [node.name for node in network.weighted]
    looks = goal.times[:1] if all(is_steady(d.chip, names) for d in designs) else goal.times
    table = _priced(network, chip, designs, costs, prices or PRICES, goal.times[-1])
    expectations = Expectations(
        network,
        designs,
        time_s=looks[-1],
        inputs=len(whole_set),
        calibration=calibration,
        threads=threads,
    )
    if fresh_inputs is None:
        # Both halves are asked for one accuracy: a digital right answer more or less is luck.
        goal = goal.on(Simulation(network, whole_set, chip).reference)
        seen, fresh = halves(whole_set, network, expectations.often(whole_set))
    else:
        seen = whole_set
        fresh = fresh_inputs if isinstance(fresh_inputs, Dataset) else from_arrays(*fresh_inputs)
    given: dict[str, Any] = {"seed": seed, "threads": threads, "calibration": calibration}
    common = CommonChips(network, seen, chip, goal, looks, role="search", **given)
    certifying = CommonChips(network, fresh, chip, goal, looks, role="certify", **given)
    common.base.check_ideal()
    hints = None
    if len(designs) > 1:
        hints = expectations.log_errors(seen, common.required / common.inputs)
    largest = int(np.clip(_CERTIFICATE * budget, _LEAST_CHIPS, _MOST_CHIPS))
    search = Search(
        designs,
        table["price"].to_numpy(),
        space.knobs,
        common,
        hints,
        max(budget - 2 * largest, budget // 3),
        progress,
    )
    search.scout()
    certificates = _attempts(search, certifying, goal, largest, budget)
    held = next((c for c in certificates if c.holds), None)
    number = held.design.number if held else _best(search)
    search.estimate(_frontier(search, table["price"].to_numpy()), _SHOWN)
    shares, passed = pd.DataFrame(), None
    first = sum(len(c.correct) for c in certificates)
    accuracies = []
    if held is None:
        correct = certifying.fresh(number, designs[number].chip, first, _COMPARED)
        good = int((correct.min(axis=1) >= certifying.required).sum())
        low, high = clopper_pearson(good, len(correct), confidence)
        passed = (good / len(correct), low, high, len(correct))
        setting = Setting(
            network,
            seen,
            designs[number].chip,
            time_s=looks[-1],
            chips=_SHOWN,
            seed=seed,
            threads=threads,
            calibration=calibration,
        )
        shares = limits(setting)
        accuracies.append(("best", correct / certifying.inputs))
    else:
        accuracies.append(("recommended", held.accuracy))
    plain = certifying.fresh(-1, chip, 0, _COMPARED)
    accuracies.append(("without cures", plain / certifying.inputs))
    return Advice(
        goal,
        designs[number],
        tuple(certificates),
        _design_table(table, search, number),
        _accuracy_table(accuracies, looks, certifying),
        shares,
        passed,
        {"search": common.evaluated, "certificate": certifying.evaluated, "designs": len(designs)},
    )


def default_budget(designs: int) -> int:
    """Chips that may be evaluated where nobody says how many: 50 for every design, from 2,000 to 20,000."""
    return int(np.clip(50 * designs, 2000, 20_000))


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


def _attempts(search: Search, chips: CommonChips, goal: Goal, largest: int, budget: int) -> list[Certificate]:
    """Certificates, until one holds or the attempts are used up."""
    found: list[Certificate] = []
    first = 0
    whole_budget, spent = search.most, 0.0
    for attempt, share in enumerate(SHARES, 1):
        spent += share
        search.most = int(spent * whole_budget)
        alpha = share * (1 - goal.confidence)
        plan = acceptance_plan(largest, goal.at_least, alpha)
        if plan is None:
            raise UserError(
                f"budget = {budget} leaves {largest} chips for the certificate, too few to show that "
                f"{goal.at_least:.1%} of chips pass: allow more, or ask for less"
            )
        number = search.cheapest(plan)
        if number is None:
            break
        plan = _plan_for(search, number, plan)
        found.append(certify(chips, search.designs[number], goal, plan, attempt, first))
        if found[-1].holds:
            break
        first += len(found[-1].correct)
        search.refuse(number, found[-1].correct.min(axis=1) - found[-1].required)
    return found


def _plan_for(search: Search, number: int, largest: AcceptancePlan) -> AcceptancePlan:
    """A smaller plan where the search has seen the design pass more often than it must."""
    passed, tried = search.observed_yield(number)
    cautious = float(betaincinv(passed + 0.5, tried - passed + 0.5, 0.2))
    smaller = smallest_plan(cautious, largest.at_least, largest.alpha, _POWER, largest.chips)
    return smaller or largest


def _best(search: Search) -> int:
    """The design that passes most often: the likeliest ones are tried on more and more chips."""
    left = list(range(len(search.designs)))
    for count, chips in _FINALS.items():
        search.estimate(sorted(left, key=_rank(search))[:count], chips)
        left = [n for n in left if search.chips.tried(n) >= chips]
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


def _priced(
    network: Network,
    chip: Chip,
    designs: Sequence[Design],
    model: CostModel | None,
    prices: Mapping[str, float],
    horizon_s: float,
) -> pd.DataFrame:
    """Costs and price of every design."""
    counted = [total_costs(count_costs(network, d.chip, model, horizon_s=horizon_s)) for d in designs]
    base = total_costs(count_costs(network, chip, model, horizon_s=horizon_s))
    rows = [
        {"design": d.describe(), **d.labels, "price": relative_price(own, base, prices), **own}
        for d, own in zip(designs, counted, strict=True)
    ]
    return pd.DataFrame(rows)


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
    found: Sequence[tuple[str, np.ndarray]], times: Sequence[float], chips: CommonChips
) -> pd.DataFrame:
    """Accuracies of fresh chips by time."""
    rows = []
    for name, accuracy in found:
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
