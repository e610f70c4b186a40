"""Two equally hard halves of a test set."""

import numpy as np

from reliability import Chip, devices, load_dataset, load_network, simulate
from reliability.analytic import AnalyticNetwork
from reliability.mitigation.halves import _balanced, cut, halves

NETWORK, DATA = load_network("digits-mlp"), load_dataset("digits")


def _often(sigmas):
    return np.array([AnalyticNetwork(NETWORK, DATA, _chip(sigma)).right for sigma in sigmas])


def _chip(sigma):
    return Chip(device=devices.gaussian(sigma=sigma))


def test_every_input_is_in_one_half():
    first, second = cut(DATA, halves(DATA, NETWORK, _often([0.1])))
    assert len(first) == len(second) == 225
    both = np.concatenate([first.x, second.x]).reshape(450, -1)
    whole = np.asarray(DATA.x).reshape(450, -1)
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(whole, axis=0))
    assert halves(DATA.head(449), NETWORK, np.empty((0, 449))).sum() == 225


def test_chips_find_the_halves_equally_hard():
    parts = cut(DATA, halves(DATA, NETWORK, _often([0.06, 0.1])))
    for sigma in (0.05, 0.08, 0.11):
        means = [simulate(NETWORK, p, _chip(sigma), chips=800)["accuracy"].mean() for p in parts]
        # Halves drawn at random differ by some 0.012 (standard deviation over draws).
        assert abs(means[0] - means[1]) < 0.002


def test_signs_that_balance_are_near_the_best_of_all():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 2))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 12)).reshape(12, -1).T
    best = np.square(signs @ vectors).sum(axis=1)
    found = np.square(_balanced(vectors) @ vectors).sum()
    assert found <= np.quantile(best, 0.01)
    assert np.isin(_balanced(np.zeros((3, 2))), (-1, 1)).all()
