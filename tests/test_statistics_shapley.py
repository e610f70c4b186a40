"""Shapley values: games with known answers, orders against all sets, variance shares, coverage."""

import itertools
import math

import numpy as np
import pytest
from linear_network import three_layers
from test_statistics_sobol import ISHIGAMI_FIRST, ISHIGAMI_TOTAL, ishigami

from reliability.errors import UserError
from reliability.statistics import chips_interval
from reliability.statistics.interval import REAL
from reliability.statistics.shapley import (
    effects_of_order,
    joined,
    order_pairs,
    shapley_effects,
    shapley_values,
    shares_of_order,
    unexplained,
)
from reliability.statistics.shares import shares_of

ISHIGAMI_EFFECTS = (ISHIGAMI_FIRST + ISHIGAMI_TOTAL) / 2
"""With one interaction of two inputs each takes half of it."""


def mixed_ishigami(rng: np.random.Generator, samples: int) -> np.ndarray:
    a, b = rng.uniform(-np.pi, np.pi, (2, 3, samples))
    return np.stack([ishigami(np.where((s >> np.arange(3) & 1)[:, None] == 1, b, a)) for s in range(8)])


def mixed_network(rng: np.random.Generator, samples: int) -> np.ndarray:
    network = three_layers()
    a, b = network.draw(rng, samples), network.draw(rng, samples)
    return np.stack([network.mixed(a, b, s) for s in range(8)])


def test_glove_game():
    """One right glove and two left ones: a pair is worth 1."""
    value = [float(s & 1 and s & 6) > 0 for s in range(8)]
    assert shapley_values(value) == pytest.approx([4 / 6, 1 / 6, 1 / 6])


def test_airport_game():
    """A runway as long as the largest aircraft needs: each pays its part of each stretch that it uses."""
    needs = [1.0, 2.0, 4.0, 7.0]
    value = [max((n for i, n in enumerate(needs) if s >> i & 1), default=0.0) for s in range(16)]
    stretches = np.diff([0, *needs])
    expected = [sum(stretches[k] / (4 - k) for k in range(i + 1)) for i in range(4)]
    assert shapley_values(value) == pytest.approx(expected)


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_values_are_averages_over_all_orders_and_add_up(groups):
    v = np.random.default_rng(groups).standard_normal((1 << groups, 7))
    found = shapley_values(v)
    orders = list(itertools.permutations(range(groups)))
    expected = sum(shares_of_order(order, v[joined(order)]) for order in orders) / math.factorial(groups)
    assert np.allclose(found, expected, atol=1e-13)
    assert np.allclose(found.sum(axis=0), v[-1] - v[0], atol=1e-13)


def test_orders_come_with_their_reverse_and_are_uniform():
    pairs = order_pairs(4, 6000, np.random.default_rng(1))
    assert (pairs[:, 0, ::-1] == pairs[:, 1]).all()
    _, counts = np.unique(pairs[:, 0], axis=0, return_counts=True)
    assert len(counts) == 24 and np.abs(counts - 250).max() < 5 * math.sqrt(250)


def test_orders_estimate_the_same_values_and_a_reverse_is_worth_it():
    """In a game of pairs an order and its reverse together give the values exactly."""
    rng = np.random.default_rng(2)
    weights = np.triu(rng.standard_normal((6, 6)))
    members = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(float)
    v = np.einsum("si,ij,sj->s", members, weights, members)
    for pair in order_pairs(6, 5, rng):
        both = np.mean([shares_of_order(order, v[joined(order)]) for order in pair], axis=0)
        assert np.allclose(both, shapley_values(v), atol=1e-12)
    v = rng.standard_normal(64)
    orders = order_pairs(6, 4000, rng)[:, 0]
    found = np.array([shares_of_order(order, v[joined(order)]) for order in orders])
    error = found.std(axis=0, ddof=1) / math.sqrt(4000)
    assert (np.abs(found.mean(axis=0) - shapley_values(v)) < 4 * error).all()


def test_unexplained_variance_is_that_of_the_closed_form():
    network = three_layers()
    found = unexplained(mixed_network(np.random.default_rng(3), 40_000))
    error = found.std(axis=1, ddof=1) / 200
    expected = [network.variance(7) - network.variance(7 & ~s) for s in range(8)]
    assert (np.abs(found.mean(axis=1) - expected) <= 4 * error).all()
    assert (found[0] == 0).all()


def test_all_pairs_of_runs_beat_the_one_pair():
    mixed = mixed_network(np.random.default_rng(4), 4000)
    one = np.square(mixed[0] - mixed[-1]) / 2
    assert unexplained(mixed)[-1].var() < 0.6 * one.var()


def test_effects_of_ishigami_and_of_the_linear_network():
    network = three_layers()
    expected = network.shapley() / network.variance(7)
    for draw, truth in ((mixed_ishigami, ISHIGAMI_EFFECTS), (mixed_network, expected)):
        shares = shapley_effects(draw(np.random.default_rng(5), 40_000))
        error = shares.contributions.std(axis=0, ddof=1) / 200
        assert (np.abs(shares.value - truth) < 4 * error).all() and (error < 0.01).all()
        assert shares.value.sum() == pytest.approx(1.0, abs=1e-12)


def test_an_effect_lies_between_the_sobol_indices():
    network = three_layers()
    effects = network.shapley() / network.variance(7)
    assert (network.first_order() < effects).all() and (effects < network.total()).all()


def test_effects_along_orders():
    """A run from A to B serves its order and the reverse, and both estimate the same shares."""
    network = three_layers()
    rng = np.random.default_rng(6)
    parts = []
    for pair in order_pairs(3, 60, rng):
        mixed = mixed_network(rng, 500)
        part, variance = effects_of_order(pair[0], mixed[joined(pair[0])])
        assert np.allclose(part.sum(axis=0), variance)
        parts.append(part.mean(axis=1))
    error = np.std(parts, axis=0, ddof=1) / math.sqrt(60)
    assert (np.abs(np.mean(parts, axis=0) - network.shapley()) < 4 * error).all()


def coverage(samples: int, repeats: int) -> dict[str, np.ndarray]:
    """Coverage on the linear network of the Shapley values of E f^2 - clean^2, from all sets and from orders
    with chips of their own, and of the Shapley effects from both, and of Ishigami's.
    """
    network = three_layers()
    truth = network.shapley()
    names = ("values", "values, orders", "effects", "effects, orders", "effects, ishigami")
    hits = {name: np.zeros(3) for name in names}
    for repeat in range(repeats):
        rng = np.random.default_rng([7, repeat])
        errors, other = network.draw(rng, samples), network.draw(rng, samples)
        v = np.stack([np.square(network.noisy(errors, s)) for s in range(8)]) - network.clean**2
        mixed = np.stack([network.mixed(errors, other, s) for s in range(8)])
        blocks, parts, wholes = [], [], []
        # Fewer orders than chips: both differ between the blocks.
        for p, pair in enumerate(order_pairs(3, 50, rng)):
            here = slice(p * samples // 50, (p + 1) * samples // 50)
            along = [shares_of_order(order, v[joined(order)][:, here]).mean(axis=1) for order in pair]
            blocks.append(np.mean(along, axis=0))
            part, variance = effects_of_order(pair[0], mixed[joined(pair[0])][:, here])
            parts.append(part.mean(axis=1))
            wholes.append(variance.mean())
        for name, rows in (("values", shapley_values(v)), ("values, orders", np.array(blocks).T)):
            ends = np.array([chips_interval(row, bounds=REAL) for row in rows])
            hits[name] += (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        for name, shares, expected in (
            ("effects", shapley_effects(mixed), truth / truth.sum()),
            ("effects, orders", shares_of(np.array(parts), wholes), truth / truth.sum()),
            ("effects, ishigami", shapley_effects(mixed_ishigami(rng, samples)), ISHIGAMI_EFFECTS),
        ):
            hits[name] += (shares.low <= expected) & (expected <= shares.high)
    return {name: found / repeats for name, found in hits.items()}


def test_intervals_cover():
    for name, found in coverage(500, 200).items():
        assert (found >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)).all(), (name, found)


@pytest.mark.slow
def test_intervals_cover_95_percent():
    for name, found in coverage(1000, 4000).items():
        assert ((found >= 0.935) & (found <= 0.965)).all(), (name, found)


def test_impossible_input_is_refused():
    with pytest.raises(UserError, match="6 sets"):
        shapley_values(np.zeros(6))
