"""The race of designs, on chips whose law is known."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from reliability.mitigation.search import Search
from reliability.mitigation.space import Knob, Option
from reliability.statistics.acceptance import acceptance_plan

INPUTS, REQUIRED = 300, 285
COPIES = np.array([1, 2, 3, 4, 5, 6, 8])
KNOBS = tuple(Knob(f"layer {i}", tuple(Option(str(k)) for k in COPIES)) for i in range(3))
CHOICES = np.stack(np.meshgrid(*[np.arange(7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
PRICES = (COPIES[CHOICES] * np.array([0.6, 0.3, 0.1])).sum(axis=1)


class KnownChips:
    """Chips that fail on a binomial number of inputs; common draws make designs alike."""

    def __init__(self, noise, seed):
        self.inputs, self.required, self.evaluated = INPUTS, REQUIRED, 0
        self.share = 0.02 + (np.array(noise) / COPIES[CHOICES]).sum(axis=1)
        rng = np.random.default_rng(seed)
        self.common, self.seed, self.have = rng.normal(size=4000), seed, {}
        self._margins = cache(self._drawn)

    def _drawn(self, design):
        own = np.random.default_rng([self.seed, design]).normal(size=4000)
        u = 0.8 * self.common + 0.6 * own
        share = self.share[design]
        wrong = INPUTS * share + np.sqrt(INPUTS * share * (1 - share)) * u
        return INPUTS - REQUIRED - np.rint(np.maximum(wrong, 0)).astype(int)

    def yields(self):
        """True yields."""
        from scipy.special import ndtr

        mean, sd = INPUTS * self.share, np.sqrt(INPUTS * self.share * (1 - self.share))
        return ndtr((INPUTS - REQUIRED + 0.5 - mean) / sd)

    def margins(self, design, chip, chips):
        self.evaluated += max(chips - self.have.get(design, 0), 0)
        self.have[design] = max(chips, self.have.get(design, 0))
        return self._margins(design)[:chips]

    def known(self, design):
        return self._margins(design)[: self.have[design]]

    def tried(self, design):
        return self.have.get(design, 0)


def _search(chips, most=6000, hints=None):
    designs = [SimpleNamespace(choice=tuple(c), chip=None) for c in CHOICES]
    search = Search(designs, PRICES, KNOBS, chips, hints, most)
    search.scout()
    return search


@pytest.mark.parametrize("hinted", [False, True])
def test_the_cheapest_design_is_found_with_few_chips(hinted):
    plan = acceptance_plan(1000, 0.95, 0.03)
    near, spent, certified = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        noise = rng.dirichlet([2, 2, 2]) * rng.uniform(0.03, 0.08)
        chips = KnownChips(noise, seed)
        search = _search(chips, hints=np.log(chips.share) if hinted else None)
        found = search.cheapest(plan, 0.5)
        safe = PRICES[chips.yields() >= plan.yield_for(0.9)].min()
        near.append(found is not None and PRICES[found] <= 1.1 * safe)
        certified.append(plan.power(chips.yields()[found]))
        spent.append(chips.evaluated)
        poor = [n for n in search.tried if chips.yields()[n] < 0.5]
        assert max((chips.tried(n) for n in poor), default=0) <= 48
    assert np.mean(near) >= 0.9
    assert np.mean(certified) > 0.6
    assert max(spent) <= 6000 < 0.02 * 1000 * len(PRICES)


def test_a_goal_out_of_reach_is_not_met():
    plan = acceptance_plan(1000, 0.95, 0.03)
    chips = KnownChips((0.25, 0.05, 0.05), 1)
    assert chips.yields().max() < 0.8
    search = _search(chips)
    assert search.cheapest(plan, 0.5) is None
    best = int(np.argmax(search.expected_yields()))
    assert chips.yields()[best] > chips.yields().max() - 0.1


def test_a_design_that_failed_is_not_taken_again_and_tells_of_its_neighbours():
    plan = acceptance_plan(1000, 0.95, 0.03)
    chips = KnownChips((0.03, 0.02, 0.01), 2)
    search = _search(chips, most=12_000)
    first = search.cheapest(plan, 0.5)
    before = search.chances(plan)
    search.refuse(first, np.full(1000, -5))
    after = search.chances(plan)
    assert after[first] == 0
    near = [n for n in range(len(PRICES)) if np.abs(CHOICES[n] - CHOICES[first]).sum() == 1]
    untried = [n for n in near if not chips.tried(n)]
    assert all(after[n] <= before[n] for n in untried)
    assert search.cheapest(plan, 0.5) != first


def test_the_law_of_the_known_chips():
    chips = KnownChips((0.03, 0.02, 0.01), 5)
    wrong = INPUTS - REQUIRED - chips._margins(200)
    assert wrong.mean() == pytest.approx(INPUTS * chips.share[200], rel=0.05)
    exact = binom(INPUTS, chips.share[200]).cdf(INPUTS - REQUIRED)
    assert chips.yields()[200] == pytest.approx(exact, abs=0.03)
