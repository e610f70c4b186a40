"""Acceptance plans against the exact binomial law."""

import numpy as np
import pytest
from scipy import stats

from reliability.errors import UserError
from reliability.statistics.acceptance import AcceptancePlan, acceptance_plan, fewest_chips, smallest_plan
from reliability.statistics.binomial import clopper_pearson_lower


@pytest.mark.parametrize("at_least", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("alpha", [0.005, 0.05])
@pytest.mark.parametrize("chips", [1, 20, 59, 500, 4000])
def test_a_plan_allows_as_many_failures_as_the_binomial_law_does(chips, at_least, alpha):
    plan = acceptance_plan(chips, at_least, alpha)
    law = stats.binom(chips, 1 - at_least)
    if plan is None:
        assert law.cdf(0) > alpha
    else:
        assert law.cdf(plan.failures) <= alpha < law.cdf(plan.failures + 1)


def test_a_plan_is_the_lower_bound_of_clopper_and_pearson():
    plan = acceptance_plan(500, 0.95, 0.05)
    assert clopper_pearson_lower(500 - plan.failures, 500) >= 0.95
    assert clopper_pearson_lower(500 - plan.failures - 1, 500) < 0.95


@pytest.mark.parametrize(("failures", "chips"), [(0, 59), (1, 93), (2, 124)])
def test_fewest_chips_of_tolerance_tables(failures, chips):
    # The sample sizes of one-sided nonparametric tolerance limits, 95 % of a population with 95 % confidence.
    assert fewest_chips(failures, 0.95, 0.05) == chips


def test_power_and_its_inverse_are_those_of_the_binomial_law():
    plan = AcceptancePlan(500, 16, 0.95, 0.05)
    yields = np.array([0.94, 0.95, 0.97, 0.99])
    np.testing.assert_allclose(plan.power(yields), stats.binom(500, 1 - yields).cdf(16), rtol=1e-12)
    assert plan.power(plan.yield_for(0.9)) == pytest.approx(0.9, abs=1e-12)
    assert plan.power(0.95) <= 0.05


@pytest.mark.parametrize("true_yield", [0.965, 0.98, 0.9999])
def test_the_smallest_plan_has_the_power_and_one_failure_less_has_not(true_yield):
    plan = smallest_plan(true_yield, 0.95, 0.05, 0.9, 10_000)
    assert plan.power(true_yield) >= 0.9
    assert stats.binom(plan.chips, 0.05).cdf(plan.failures) <= 0.05
    if plan.failures:
        fewer = AcceptancePlan(fewest_chips(plan.failures - 1, 0.95, 0.05), plan.failures - 1, 0.95, 0.05)
        assert fewer.power(true_yield) < 0.9


def test_what_cannot_be_certified_has_no_plan():
    assert smallest_plan(0.95, 0.95, 0.05, 0.9, 10_000) is None
    assert smallest_plan(0.951, 0.95, 0.05, 0.9, 1000) is None
    assert acceptance_plan(58, 0.95, 0.05) is None


@pytest.mark.parametrize("arguments", [(0, 0.95, 0.05), (10, 1.0, 0.05), (10, 0.0, 0.05), (10, 0.9, 1.0)])
def test_impossible_plans_are_refused(arguments):
    with pytest.raises(UserError):
        acceptance_plan(*arguments)
