"""The probability that a label's logit is the largest: known answers, SciPy, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from reliability.analytic import _lattice
from reliability.kernels.orthant import normal_cdf, normal_quantile, probability_of_label


def probability(mean, covariance, label):
    """Probability, and derivatives by mean and covariance, of one input."""
    mean, covariance = np.atleast_2d(np.asarray(mean, np.float64)), np.asarray(covariance, np.float64)[None]
    right, mean_bar, covariance_bar = np.empty(1), np.empty_like(mean), np.empty_like(covariance)
    labels = np.array([label], np.int64)
    probability_of_label(
        mean, covariance, labels, _lattice(mean.shape[1]), True, right, mean_bar, covariance_bar
    )
    plain = np.empty(1)
    probability_of_label(
        mean, covariance, labels, _lattice(mean.shape[1]), False, plain, mean.copy(), covariance.copy()
    )
    assert plain[0] == right[0]
    return right[0], mean_bar[0], covariance_bar[0]


def drawn(classes, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(classes, classes))
    mean = rng.normal(size=classes)
    mean[2] += 1.5
    return mean, root @ root.T / classes


@pytest.mark.parametrize("p", [1e-300, 1e-30, 1e-9, 1e-3, 0.075, 0.3, 0.5, 0.7, 0.925, 0.999, 1 - 1e-12])
def test_quantile_and_distribution(p):
    assert normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-13, abs=1e-15)
    assert normal_cdf(normal_quantile(p)) == pytest.approx(p, rel=1e-11)


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        ([1, 0.4, 0, -0.3], [0.5] * 4, 0.7558291),
        ([1, 0.4, 0, -0.3], [0.5, 0.6, 0.4, 0.3], 0.7535784),
        ([2] + [0] * 9, [1] * 10, 0.6736455),
        ([0] * 10, [1] * 10, 0.1),
    ],
)
def test_independent_logits(mean, spread, expected):
    def density(t):
        rivals = [
            stats.norm.cdf((mean[0] + spread[0] * t - m) / s)
            for m, s in zip(mean[1:], spread[1:], strict=True)
        ]
        return stats.norm.pdf(t) * np.prod(rivals)

    assert integrate.quad(density, -9, 9)[0] == pytest.approx(expected, abs=1e-6)
    found, _, _ = probability(mean, np.diag(np.square(spread)), 0)
    assert found == pytest.approx(expected, abs=2e-3)


def test_two_classes_in_closed_form():
    mean, covariance = [0.3, 0.1], [[0.5, 0.2], [0.2, 0.4]]
    found, _, _ = probability(mean, covariance, 0)
    assert found == pytest.approx(stats.norm.cdf(0.2 / np.sqrt(0.5)), rel=1e-12)


@pytest.mark.parametrize("classes", [3, 5, 10])
def test_any_covariance_as_scipy(classes):
    found, expected = [], []
    for seed in range(12):
        mean, covariance = drawn(classes, seed)
        ahead = np.delete(-np.eye(classes), 2, axis=0)
        ahead[:, 2] = 1
        law = stats.multivariate_normal(np.zeros(classes - 1), ahead @ covariance @ ahead.T, seed=1)
        expected.append(law.cdf(ahead @ mean))
        found.append(probability(mean, covariance, 2)[0])
    error = np.array(found) - expected
    assert np.abs(error).max() < 6e-3
    assert abs(error.mean()) < 1e-3


@pytest.mark.parametrize("classes", [2, 4, 10])
def test_derivatives_as_finite_differences(classes):
    mean, covariance = drawn(max(classes, 3), 3)
    mean, covariance = mean[:classes], covariance[:classes, :classes]
    label, step = min(2, classes - 1), 1e-5
    _, mean_bar, covariance_bar = probability(mean, covariance, label)
    for k in range(classes):
        moved = step * np.eye(classes)[k]
        up, down = (probability(mean + sign * moved, covariance, label)[0] for sign in (1, -1))
        assert mean_bar[k] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-9)
    for i in range(classes):
        for j in range(i + 1):
            moved = np.zeros((classes, classes))
            moved[i, j] += step / 2
            moved[j, i] += step / 2
            up, down = (probability(mean, covariance + sign * moved, label)[0] for sign in (1, -1))
            given = 0.5 * (covariance_bar[i, j] + covariance_bar[j, i])
            assert given == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-9)
    np.testing.assert_array_equal(covariance_bar, covariance_bar.T)


def test_certain_inputs():
    nothing = np.zeros((3, 3))
    for mean, label, expected in (([3, 1, 0], 0, 1.0), ([3, 1, 0], 1, 0.0)):
        found, mean_bar, covariance_bar = probability(mean, nothing, label)
        assert found == expected
        assert not mean_bar.any()
        assert not covariance_bar.any()
    # Far ahead is as good as certain.
    assert probability([9, 0, 0], np.eye(3), 0)[0] == 1.0
    assert probability([0, 9, 0], np.eye(3), 0)[0] == 0.0


def test_equal_logits_go_to_the_lower_class():
    nothing = np.zeros((3, 3))
    assert probability([1, 1, 0], nothing, 0)[0] == 1.0
    assert probability([1, 1, 0], nothing, 1)[0] == 0.0
    # Logits that vary together differ by as little.
    together = np.ones((3, 3))
    assert probability([1, 1, 0], together, 0)[0] == 1.0
    assert probability([1, 1, 0], together, 1)[0] == 0.0


def test_a_direction_without_variance():
    mean = np.array([0.4, 0.1, 0.2])
    covariance = np.diag([0.25, 0.0, 0.0])
    found, mean_bar, covariance_bar = probability(mean, covariance, 0)
    # Rivals that do not vary: the closer one decides.
    assert found == pytest.approx(stats.norm.cdf(0.2 / 0.5), abs=2e-3)
    assert np.isfinite(mean_bar).all()
    assert np.isfinite(covariance_bar).all()


def test_every_class_of_one_input_adds_up():
    mean, covariance = drawn(6, 8)
    total = sum(probability(mean, covariance, label)[0] for label in range(6))
    assert total == pytest.approx(1, abs=5e-3)
