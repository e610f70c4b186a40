"""The response of designs: Gaussian processes against the conditional normal law, and what they learn."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import spearmanr

from reliability.mitigation.response import Observation, Response, _Process
from reliability.mitigation.space import Knob, Option

KNOBS = tuple(Knob(name, tuple(Option(str(i)) for i in range(6))) for name in "abc")
CHOICES = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def test_a_process_is_the_conditional_normal_law_with_a_mean_of_which_nothing_is_known():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 2))
    kernel = np.exp(-np.square(x[:, None] - x[None]).sum(-1))
    noise, values = rng.uniform(0.01, 0.1, 4), rng.normal(size=4)
    process = _Process(kernel[:4, :4], values, noise)
    process.look_at(kernel[:, :4], np.diag(kernel))
    mean, variance = process.predict()
    # A constant with a huge variance stands for the unknown mean.
    wide = kernel + 1e4
    known = np.linalg.inv(wide[:4, :4] + np.diag(noise + 1e-10))
    np.testing.assert_allclose(mean, wide[:, :4] @ known @ values, rtol=1e-3, atol=1e-3)
    expected = np.diag(wide) - np.einsum("dr,rs,ds->d", wide[:, :4], known, wide[:, :4])
    np.testing.assert_allclose(variance, expected, atol=1e-3)


def _truth(inputs, required):
    """Mean wrong answers and spread of designs whose layers' errors add up."""
    noise = np.array([8.0, 4.0, 2.0])
    wrong = 3 + (noise * 0.6**CHOICES).sum(axis=1)
    sd = 0.4 * np.sqrt(wrong) + 0.5
    return wrong, sd, ndtr((inputs - required + 0.5 - wrong) / sd)


@pytest.mark.parametrize("hinted", [False, True])
def test_few_designs_tell_the_order_of_all(hinted):
    inputs, required = 200, 192
    wrong, sd, truth = _truth(inputs, required)
    rng = np.random.default_rng(3)
    hints = np.log(wrong) + rng.normal(0, 0.1, len(wrong)) if hinted else None
    response = Response(KNOBS, CHOICES, inputs, required, hints)
    chosen = rng.choice(len(CHOICES), 40, replace=False)
    response.learn(
        [Observation(n, inputs - required - np.rint(rng.normal(wrong[n], sd[n], 16))) for n in chosen]
    )
    assert spearmanr(response.expected(), truth).statistic > 0.95
    assert np.abs(response.expected() - truth).mean() < 0.07
    certain = response.mean_of(lambda y: np.ones_like(y))
    np.testing.assert_allclose(certain, 1.0)
    assert (response.mean_of(lambda y: y) <= 1).all()
