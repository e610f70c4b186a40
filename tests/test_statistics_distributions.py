"""Fits of error distributions: against SciPy, by the properties of tests and intervals, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from error_laws import LAWS, STEPS, TRUE, Mixture, fit_coverage, law, sample, tail_coverage
from scipy import stats

import reliability as rl
from reliability.errors import UserError
from reliability.statistics import fit_error_distribution, fit_tail
from reliability.statistics.families import FAMILIES
from reliability.statistics.goodness import anderson_darling, kolmogorov_smirnov
from reliability.statistics.mixture import expectation_maximisation


def fit_one(values, family, **options):
    return fit_error_distribution(values, families=[family], **({"resamples": 99} | options)).best


@pytest.mark.parametrize("family", TRUE)
def test_parameters_are_recovered(family):
    fit = fit_one(sample(family, 20_000, 1), family)
    for value, true, (low, high) in zip(
        fit.parameters.values(), TRUE[family], fit.intervals.values(), strict=True
    ):
        width = high - low
        assert abs(value - true) < width
        assert 0 < width < 0.35 * max(abs(true), 0.6)


@pytest.mark.parametrize("family", TRUE)
def test_density_probability_and_likelihood_are_those_of_scipy(family):
    values = sample(family, 300, 2)
    fit = fit_one(values, family)
    other = law(family, fit.parameters.values())
    x = np.quantile(values, np.linspace(0, 1, 21))
    np.testing.assert_allclose(np.log(fit.density(x)), other.logpdf(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fit.cdf(x), other.cdf(x), rtol=1e-8, atol=1e-12)
    q = np.array([1e-6, 0.01, 0.5, 0.99, 1 - 1e-6])
    np.testing.assert_allclose(other.cdf(fit.quantile(q)), q, rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(other.logpdf(values).sum(), rel=1e-10)
    k, n = len(TRUE[family]), 300
    assert fit.bic == pytest.approx(k * np.log(n) - 2 * fit.log_likelihood, rel=1e-12)
    aic = 2 * k - 2 * fit.log_likelihood
    assert fit.aicc == pytest.approx(aic + 2 * k * (k + 1) / (n - k - 1), rel=1e-12)


@pytest.mark.parametrize("family", TRUE)
def test_likelihood_of_rounded_values_is_that_of_their_cells(family):
    step, values = STEPS[family], sample(family, 300, 2, rounded=True)
    fit = fit_one(values, family, step=step)
    other = law(family, fit.parameters.values())
    low, high = values - step / 2, values + step / 2
    inside = np.where(other.cdf(low) < 0.5, other.cdf(high) - other.cdf(low), other.sf(low) - other.sf(high))
    assert fit.log_likelihood == pytest.approx(np.log(inside).sum(), rel=1e-8)


@pytest.mark.parametrize("family", ["normal", "logistic", "gamma", "weibull", "lognormal", "student_t"])
def test_no_likelihood_of_cells_is_higher_in_scipy(family):
    """SciPy fits interval-censored data; its search may end early, ours must not end below it."""
    step, values = STEPS[family] / TRUE[family][-1], sample(family, 200, 21, rounded=True) / TRUE[family][-1]
    fit = fit_one(values, family, step=step)
    low, high = values - step / 2, values + step / 2
    positive = {"floc": 0} if FAMILIES[family].positive else {}
    if positive:
        low = np.maximum(low, 0)
    found = LAWS[family][0].fit(stats.CensoredData(interval=np.stack([low, high], axis=1)), **positive)
    theirs = np.log(LAWS[family][0].cdf(high, *found) - LAWS[family][0].cdf(low, *found)).sum()
    assert fit.log_likelihood >= theirs - 1e-6
    assert fit.log_likelihood == pytest.approx(theirs, abs=0.1)


@pytest.mark.parametrize("family", TRUE)
def test_parameters_are_recovered_from_rounded_values(family):
    """The spread that rounding adds is not told as the law's own."""
    fit = fit_one(sample(family, 20_000, 22, rounded=True), family, step=STEPS[family])
    for value, true, (low, high) in zip(
        fit.parameters.values(), TRUE[family], fit.intervals.values(), strict=True
    ):
        assert abs(value - true) < high - low


@pytest.mark.parametrize("family", [name for name in TRUE if name != "normal_mixture"])
@pytest.mark.parametrize("drawn", ["gamma", "weibull", "lognormal"])
def test_no_likelihood_of_scipy_is_higher(family, drawn):
    values = sample(drawn, 400, 3) / TRUE[drawn][-1]
    fit = fit_one(values, family)
    positive = {"floc": 0} if FAMILIES[family].positive else {}
    scipys = LAWS[family][0].fit(values, **positive)
    held = LAWS[family][0].logpdf(values, *scipys).sum()
    shape = scipys[0]
    # Ours keeps these shapes within bounds.
    beyond = (family == "generalised_extreme_value" and not -1 <= shape <= 0.5) or (
        family == "skew_normal" and abs(shape) > 50
    )
    assert beyond or fit.log_likelihood >= held - 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_derivatives_are_those_of_the_density(family):
    """Scores against central differences."""
    law_of = FAMILIES[family]
    z = np.random.default_rng(4).gamma(4.0, 0.25, (1, 50))
    theta = np.array([law_of.fit(z[0])[0]])
    theta = theta + 0.05
    for i, score in enumerate(law_of.terms(z, theta)[1]):
        step = np.zeros_like(theta)
        step[0, i] = 1e-6
        with np.errstate(all="ignore"):
            slope = (law_of.terms(z, theta + step)[0] - law_of.terms(z, theta - step)[0]) / 2e-6
        possible = np.isfinite(slope)
        assert possible.mean() > 0.5
        np.testing.assert_allclose(
            np.broadcast_to(score, z.shape)[possible], slope[possible], rtol=2e-5, atol=2e-5
        )


@pytest.mark.parametrize("family", TRUE)
def test_the_true_family_is_ranked_first(family):
    """Or within what chance allows of it, where another family holds nearly the same law."""
    fit = fit_error_distribution(sample(family, 3000, 5), resamples=99)
    table = fit.table().drop_duplicates("family").set_index("family")
    assert table.loc[family, "aicc"] - table["aicc"].min() < 2
    assert table.loc[family, "bic"] - table["bic"].min() < 4
    assert table.loc[family, "anderson_darling_p"] > 0.01
    assert table["akaike_weight"].sum() == pytest.approx(1)
    alternatives = table.index[table["aicc"] - table["aicc"].min() > 20]
    assert len(alternatives) >= 2
    assert (table.loc[alternatives, "anderson_darling_p"] <= 0.05).all()


def test_statistics_are_those_of_scipy():
    values = np.random.default_rng(6).standard_normal(200)
    fit = fit_one(values, "normal")
    held = stats.kstest(values, "norm", tuple(fit.parameters.values())).statistic
    assert fit.kolmogorov_smirnov == pytest.approx(held, rel=1e-12)
    # SciPy's own statistic divides by n - 1 in the standard deviation, so it gets the probabilities.
    u = np.sort(stats.norm(*fit.parameters.values()).cdf(values))
    i = np.arange(1, 201)
    expected = -200 - np.mean((2 * i - 1) * (np.log(u) + np.log(1 - u[::-1])))
    assert fit.anderson_darling == pytest.approx(expected, rel=1e-10)


def test_critical_values_are_stephens():
    """Case 3 of Stephens (1974): 5 % of normal samples have A^2 (1 + 0.75/n + 2.25/n^2) above 0.752."""
    z = np.random.default_rng(7).standard_normal((20_000, 100))
    normal = FAMILIES["normal"]
    below = np.sort(normal.cdf(z, normal.refit(z, np.empty(0))), axis=1)
    squared = anderson_darling(below) * (1 + 0.75 / 100 + 2.25 / 100**2)
    assert 0.045 < np.mean(squared > 0.752) < 0.055
    # Lilliefors' 5 % value of D for normal samples of 100, as Stephens approximates it.
    largest = kolmogorov_smirnov(below) * (10 - 0.01 + 0.85 / 10)
    assert 0.045 < np.mean(largest > 0.895) < 0.055


def test_a_wrong_family_is_rejected_though_its_parameters_were_fitted():
    fit = fit_one(sample("gamma", 400, 8), "normal")
    assert fit.anderson_darling_p == fit.kolmogorov_smirnov_p == 0.01
    assert fit.wasserstein > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("family", TRUE)
def test_p_values_are_uniform_and_intervals_cover_under_the_true_family(family, rounded):
    inside, p_values = fit_coverage(family, repeats=200, resamples=149, rounded=rounded)
    for found in p_values.T:
        # Steps of 1/150 are far below what 200 values can tell.
        assert stats.kstest(found - 0.5 / 150, "uniform").pvalue > 1e-3
        # Of 200 tests at 5 %, more than 20 reject once in 400.
        assert np.mean(found <= 0.05) <= 0.10
    # Of 200 intervals that cover 93 %, fewer than 175 hold the truth once in 300.
    assert min(inside.values()) >= 0.875, inside


@pytest.mark.slow
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("family", ["normal", "lognormal", "gamma", "logistic"])
def test_a_true_family_is_rejected_as_often_as_the_level_says(family, rounded):
    """5 % within 2 points: three standard errors of 1,000 tests."""
    p_values = fit_coverage(family, repeats=1000, size=200, resamples=99, rounded=rounded)[1]
    rejected = np.mean(p_values <= 0.05, axis=0)
    assert (np.abs(rejected - 0.05) <= 0.02).all(), rejected


def test_naive_tests_never_reject_but_these_do():
    """Five percent of normal samples, where tables for known parameters reject next to none."""
    p_values = fit_coverage("normal", repeats=400, size=100, resamples=99)[1]
    naive = []
    for seed in range(400):
        values = sample("normal", 100, [0, seed])
        naive.append(stats.kstest(values, "norm", (values.mean(), values.std())).pvalue <= 0.05)
    assert np.mean(naive) < 0.01
    # Of 400 tests at 5 %, fewer than 8 or more than 33 reject once in 300.
    assert (np.abs(np.mean(p_values <= 0.05, axis=0) - 0.05) < 0.033).all()


def test_mixture_of_separated_components_is_each_by_itself():
    """Far apart no value is shared, so the fit is the share, mean and deviation of each part."""
    random = np.random.default_rng(9)
    parts = random.normal(-20, 1, 300), random.normal(20, 3, 700)
    fit = fit_one(np.concatenate(parts), "normal_mixture")
    expected = (0.7, parts[1].mean(), parts[1].std(), parts[0].mean(), parts[0].std())
    assert tuple(fit.parameters.values()) == pytest.approx(expected, rel=1e-4)


def test_expectation_maximisation_never_descends_and_ends_where_the_slope_is_zero():
    values = sample("normal_mixture", 2000, 10)
    heights = []
    for found in expectation_maximisation(values, 0.02):
        heights.append(Mixture(*found).logpdf(values).sum())
        weight, mean_1, sd_1, mean_2, sd_2 = found
        theta = np.array([[np.log(weight / (1 - weight)), mean_1, np.log(sd_1), mean_2, np.log(sd_2)]])
        scores = FAMILIES["normal_mixture"].terms(values[None], theta)[1]
        assert max(abs(score.mean()) for score in scores) < 1e-4
    assert fit_one(values, "normal_mixture").log_likelihood >= max(heights) - 1e-6


def test_mixture_agrees_with_scikit_learn():
    mixture = pytest.importorskip("sklearn.mixture")
    values = sample("normal_mixture", 2000, 11)
    other = mixture.GaussianMixture(2, tol=1e-10, max_iter=2000, n_init=3, random_state=0)
    height = other.fit(values[:, None]).score(values[:, None]) * values.size
    fit = fit_one(values, "normal_mixture")
    assert fit.log_likelihood == pytest.approx(height, abs=0.01)
    assert fit.parameters["weight_1"] == pytest.approx(other.weights_.max(), abs=1e-3)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_tail_of_a_generalised_pareto_law(shape):
    exact = stats.genpareto(shape, scale=2.0)
    truth = exact.ppf(0.9995)
    inside, estimates = np.zeros(2), []
    for seed in range(40):
        tail = fit_tail(exact.rvs(2000, random_state=np.random.default_rng(seed)))
        value, (low, high) = tail.quantile(0.9995)
        assert low < value < high
        assert tail.exceedances == 200
        estimates.append(value)
        inside += [low < truth < high, tail.shape_interval.low < shape < tail.shape_interval.high]
    # Of 40 intervals that cover 95 %, fewer than 34 hold the truth once in 300.
    assert (inside >= 34).all()
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 4 * error


def test_the_lower_tail_is_the_upper_one_of_the_mirrored_values():
    values = np.random.default_rng(12).standard_gamma(3.0, 3000)
    tail, mirrored = fit_tail(values), fit_tail(-values, side="lower")
    value, ends = tail.quantile(0.999)
    other, other_ends = mirrored.quantile(0.999)
    assert (mirrored.threshold, other) == (-tail.threshold, -value)
    assert other_ends == tuple(-end for end in reversed(ends))
    assert mirrored.shape_interval == tail.shape_interval


def test_tail_agrees_with_scipys_fit():
    values = np.random.default_rng(13).standard_t(4, 5000)
    tail = fit_tail(values)
    excess = values[values > tail.threshold] - tail.threshold
    shape, _, scale = stats.genpareto.fit(excess, floc=0)
    ours = stats.genpareto(tail.shape, scale=tail.scale).logpdf(excess).sum()
    assert ours >= stats.genpareto(shape, scale=scale).logpdf(excess).sum() - 1e-6
    assert (tail.shape, tail.scale) == pytest.approx((shape, scale), abs=0.01)
    ratio = tail.exceedances / values.size / 0.001
    level = tail.threshold + tail.scale * (ratio**tail.shape - 1) / tail.shape
    assert tail.quantile(0.999)[0] == pytest.approx(level)


def test_the_tail_of_rounded_values_is_that_of_their_cells():
    """The likelihood against SciPy's distribution function, and the far quantile of a known law."""
    step, exact = 0.5, stats.expon(scale=1.0)
    values = np.round(exact.rvs(20_000, random_state=np.random.default_rng(23)) / step) * step
    tail = fit_tail(values, step=step)
    assert (tail.threshold / step) % 1 == 0.5
    assert tail.exceedances >= 2000
    excess = values[values > tail.threshold] - tail.threshold

    def height(shape, scale):
        beyond = stats.genpareto(shape, scale=scale).sf
        return np.log(beyond(excess - step / 2) - beyond(excess + step / 2)).sum()

    best = height(tail.shape, tail.scale)
    for shape, scale in [(0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02), (0.01, -0.01)]:
        assert height(tail.shape + shape, tail.scale + scale) < best
    low, high = tail.shape_interval
    assert low < 0 < high
    low, high = tail.quantile(0.9999)[1]
    assert low < exact.ppf(0.9999) < high


def test_a_quantile_interval_is_where_the_profile_has_fallen_by_half_a_chi_square():
    """Every end of an interval, against SciPy's constrained maximum of the full likelihood."""
    from scipy.optimize import minimize

    values = np.random.default_rng(24).standard_exponential(1500)
    tail = fit_tail(values)
    excess, n = np.sort(values)[::-1][: tail.exceedances] - tail.threshold, values.size

    def height(shape, scale, share):
        # Finite where a value is impossible, for the sake of the search.
        inner = max(stats.genpareto(shape, scale=scale).logpdf(excess).sum(), -1e9)
        return inner + excess.size * np.log(share) + (n - excess.size) * np.log1p(-share)

    best = height(tail.shape, tail.scale, excess.size / n)
    for end in tail.quantile(0.999)[1]:

        def cost(tried, end=end):
            shape, share = tried[0], np.exp(tried[1])
            ratio = share / 0.001
            if ratio <= 1 or share >= 1 or shape == 0:
                return 1e9
            scale = (end - tail.threshold) * shape / np.expm1(shape * np.log(ratio))
            return -height(shape, scale, share)

        starts = [(shape, np.log(excess.size / n)) for shape in (-0.3, -0.1, 0.1, 0.3)]
        most = -min(minimize(cost, start, method="Nelder-Mead", tol=1e-8).fun for start in starts)
        assert 2 * (best - most) == pytest.approx(stats.chi2(1).ppf(0.95), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("step", [None, 0.3])
@pytest.mark.parametrize(
    "exact", [stats.t(5), stats.expon(), stats.norm()], ids=["t", "exponential", "normal"]
)
def test_intervals_of_the_tail_cover(exact, step):
    assert tail_coverage(exact, step=step) >= 0.90


def test_rounded_values_are_tested_against_rounded_resamples():
    random = np.random.default_rng(14)
    accuracy = np.round(random.normal(0.9, 0.004, 400) * 500) / 500
    without = fit_error_distribution(accuracy, families=["normal"])
    with_step = fit_error_distribution(accuracy, families=["normal"], step=1 / 500)
    assert without.best.anderson_darling_p < 0.01
    assert with_step.best.anderson_darling_p > 0.05
    assert any("different values" in note for note in without.notes)
    assert any("multiples of 0.002" in note for note in with_step.notes)


@pytest.mark.parametrize(
    "values", [[0.0] * 15 + [1.0] * 15, [0.9] * 29 + [0.8], [1.0] * 60 + [1.5, 2.0, 2.5]]
)
def test_heavy_ties_break_nothing(values):
    fit = fit_error_distribution(values, resamples=99)
    table = fit.table()
    assert np.isfinite(table[["value", "low", "high", "anderson_darling", "wasserstein"]]).all(axis=None)
    assert (table["low"] <= table["high"]).all()
    fit.figure()


def test_equal_seeds_give_equal_fits_and_a_family_does_not_change_another():
    values = sample("gamma", 200, 15)
    both = fit_error_distribution(values, families=["weibull", "normal"], resamples=99, seed=3).table()
    again = fit_error_distribution(values, families=["weibull", "normal"], resamples=99, seed=3).table()
    alone = fit_error_distribution(values, families=["normal"], resamples=99, seed=3).table()
    other = fit_error_distribution(values, families=["normal"], resamples=99, seed=4).table()
    assert both.equals(again)
    columns = ["value", "low", "high", "anderson_darling_p"]
    mine = both[both["family"] == "normal"][columns].reset_index(drop=True)
    assert mine.equals(alone[columns])
    assert not alone.equals(other)


def test_unit_and_origin_change_nothing_else():
    values = sample("student_t", 300, 16)
    plain = fit_one(values, "student_t")
    moved = fit_one(7e-6 - 1e-9 * values, "student_t")
    assert moved.parameters["scale"] == pytest.approx(1e-9 * plain.parameters["scale"], rel=1e-3)
    assert moved.parameters["degrees_of_freedom"] == pytest.approx(
        plain.parameters["degrees_of_freedom"], rel=1e-3
    )
    assert moved.anderson_darling == pytest.approx(plain.anderson_darling, rel=1e-2)


def test_many_errors_are_fitted_whole_and_tested_in_part():
    values = sample("gamma", 40_000, 17)
    fit = fit_error_distribution(values, families=["gamma"], resamples=99)
    assert fit.resampled == 10_000
    assert any("10000 of 40000" in note for note in fit.notes)
    shape, _, _ = stats.gamma.fit(values, floc=0)
    assert fit.best.parameters["shape"] == pytest.approx(shape, rel=1e-5)
    low, high = fit.best.intervals["shape"]
    # Asymptotic standard error of the shape of a gamma law.
    from scipy.special import polygamma

    error = np.sqrt(shape / (shape * polygamma(1, shape) - 1) / values.size)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_positive_families_are_offered_only_where_all_errors_are_positive():
    values = np.abs(sample("normal", 100, 18))
    names = {fit.family for fit in fit_error_distribution(values, resamples=99).fits}
    assert names == set(FAMILIES)
    values[0] = 0.0
    fit = fit_error_distribution(values, resamples=99)
    assert {fit.family for fit in fit.fits} == names - {"lognormal", "gamma", "weibull"}
    # Zero by rounding may have been positive.
    rounded = fit_error_distribution(np.round(values, 1), step=0.1, resamples=99)
    assert {fit.family for fit in rounded.fits} == names
    assert any("not offered" in note for note in fit.notes)
    with pytest.raises(UserError, match="needs positive errors"):
        fit_error_distribution(values, families=["gamma"])


GOOD = list(np.linspace(0.1, 1, 30))


@pytest.mark.parametrize(
    ("errors", "options", "sentence"),
    [
        ([1.0, 2.0], {}, "hold 2 values; at least 20"),
        ([*GOOD, np.nan], {}, "1 values that are NaN"),
        ([*GOOD, np.inf], {}, "NaN or infinite"),
        ([0.3] * 40, {}, "all hold 0.3"),
        (["a"] * 40, {}, "must be finite numbers"),
        ([[1.0, 2.0], [3.0]], {}, "unequal lengths"),
        (GOOD, {"families": ["cauchy"]}, "'cauchy'"),
        (GOOD, {"families": []}, "at least one"),
        (GOOD, {"families": "normal"}, "must list"),
        (GOOD, {"resamples": 5}, "at least 99"),
        (GOOD, {"resamples": 99.5}, "resamples = 99.5 must be a whole number"),
        (GOOD, {"level": 95}, "level"),
        (GOOD, {"step": 0}, "step"),
        (GOOD, {"step": 0.1}, "must be its multiples"),
    ],
)
def test_impossible_input_is_told_in_a_sentence(errors, options, sentence):
    with pytest.raises(UserError, match=sentence):
        fit_error_distribution(errors, **options)


@pytest.mark.parametrize(
    ("count", "options", "sentence"),
    [
        (400, {}, r"holds 40 of 400 .* more values \(in a study more chips\)"),
        (5000, {"side": "both"}, "side"),
        (5000, {"above": 1.0}, "above"),
    ],
)
def test_impossible_tails_are_told_in_a_sentence(count, options, sentence):
    fit = fit_error_distribution(np.linspace(0, 1, count), families=["normal"], resamples=99)
    with pytest.raises(UserError, match=sentence):
        fit.tail(**options)


@pytest.mark.parametrize(("q", "sentence"), [(0.99999, "reach at most 0.99998"), (0.8, "must lie above 0.9")])
def test_quantiles_before_and_beyond_the_tail_are_refused(q, sentence):
    tail = fit_tail(np.linspace(0, 1, 5000))
    with pytest.raises(UserError, match=sentence):
        tail.quantile(q)
    assert list(tail.table(q=[q])["parameter"]) == ["shape"]


def test_figure_is_written(tmp_path):
    fit = rl.fit_error_distribution(sample("student_t", 500, 19), name="logit error", resamples=99)
    fit.plot(tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 10_000
    for path, told in ((tmp_path / "errors.xyz", "must end in one of"), (tmp_path / "no" / "a.png", "exist")):
        with pytest.raises(UserError, match=told):
            fit.plot(path)
    left, right = fit.figure().axes
    assert left.get_xlabel() == "Logit error"
    table = fit.densities()
    width = np.diff(table["error"]).mean()
    shown = [*fit.quantiles().columns[2:]]
    assert [fit.family for fit in fit.fits] == shown
    for name in ("observed", *shown[:2]):
        assert table[name].sum() * width == pytest.approx(1, abs=0.02)
    assert len(left.lines) == 3
    assert len(right.lines) == 4
    # The Q-Q plot holds every value where they are few, and both tails whole where they are many.
    many = fit_error_distribution(sample("normal", 3000, 25), families=["normal"], resamples=99).quantiles()
    assert len(many) <= 400
    assert many["probability"].iloc[[0, 1, -1]].tolist() == pytest.approx(
        [0.5 / 3000, 1.5 / 3000, 2999.5 / 3000]
    )


def test_tables_have_a_row_for_each_parameter():
    fit = fit_error_distribution(sample("gamma", 2000, 20), families=["gamma", "student_t"], resamples=99)
    table = fit.table()
    assert list(table["parameter"]) == ["shape", "scale", "location", "scale", "degrees_of_freedom"]
    assert fit.best.family == "gamma" == table["family"].iloc[0]
    assert (table["values"] == 2000).all()
    assert set(table["level"]) == {0.95}
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    tail = fit.tail().table(q=(0.99, 0.999))
    assert list(tail["parameter"]) == ["shape", "quantile", "quantile"]
    assert tail["period"].tolist()[1:] == pytest.approx([100, 1000])
    for column in ("value", "low", "high", "level", "method", "varies"):
        assert column in table and column in tail
