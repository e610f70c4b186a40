"""Laws with known parameters for each family of errors, as SciPy has them, and how often their fits cover."""

from __future__ import annotations

import numpy as np
from scipy import stats

from reliability.statistics import fit_error_distribution, fit_tail


class Mixture:
    """Two normal components, as a frozen SciPy distribution would be."""

    def __init__(self, weight, mean_1, sd_1, mean_2, sd_2):
        self.weights = (weight, 1 - weight)
        self.laws = stats.norm(mean_1, sd_1), stats.norm(mean_2, sd_2)

    def rvs(self, size, random_state):
        first = random_state.random(size) < self.weights[0]
        return np.where(first, *(law.rvs(size, random_state=random_state) for law in self.laws))

    def cdf(self, x):
        return sum(w * law.cdf(x) for w, law in zip(self.weights, self.laws, strict=True))

    def sf(self, x):
        return sum(w * law.sf(x) for w, law in zip(self.weights, self.laws, strict=True))

    def logpdf(self, x):
        return np.log(sum(w * law.pdf(x) for w, law in zip(self.weights, self.laws, strict=True)))


LAWS = {
    "normal": (stats.norm, lambda mean, sd: (mean, sd)),
    "student_t": (stats.t, lambda location, scale, degrees: (degrees, location, scale)),
    "skew_normal": (stats.skewnorm, lambda location, scale, shape: (shape, location, scale)),
    "lognormal": (stats.lognorm, lambda log_mean, log_sd: (log_sd, 0, np.exp(log_mean))),
    "gamma": (stats.gamma, lambda shape, scale: (shape, 0, scale)),
    "weibull": (stats.weibull_min, lambda shape, scale: (shape, 0, scale)),
    "logistic": (stats.logistic, lambda location, scale: (location, scale)),
    "generalised_extreme_value": (
        stats.genextreme,
        lambda location, scale, shape: (-shape, location, scale),
    ),
    "normal_mixture": (Mixture, lambda *parameters: parameters),
}
TRUE = {
    "normal": (-2.0, 0.03),
    "student_t": (1.0, 2.0, 3.5),
    "skew_normal": (100.0, 3.0, 4.0),
    "lognormal": (-9.0, 0.7),
    "gamma": (2.5, 1e-4),
    "weibull": (1.6, 20.0),
    "logistic": (2.0, 5.0),
    "generalised_extreme_value": (3.0, 0.5, 0.2),
    "normal_mixture": (0.7, 0.0, 1.0, 4.0, 0.6),
}
# About a third of each law's standard deviation: a grid that a continuous law's test always rejects.
STEPS = {
    "normal": 0.01,
    "student_t": 1.0,
    "skew_normal": 0.6,
    "lognormal": 4e-5,
    "gamma": 5e-5,
    "weibull": 4.0,
    "logistic": 3.0,
    "generalised_extreme_value": 0.25,
    "normal_mixture": 0.5,
}


def law(family: str, parameters):
    """SciPy's frozen distribution of a family with parameters as fits tell them."""
    found, arguments = LAWS[family]
    return found(*arguments(*parameters))


def sample(family: str, size: int, seed: int | list[int], *, rounded: bool = False) -> np.ndarray:
    """Values of a family's true law, rounded to its step where that is asked."""
    drawn = law(family, TRUE[family]).rvs(size, random_state=np.random.default_rng(seed))
    return np.round(drawn / STEPS[family]) * STEPS[family] if rounded else drawn


def fit_coverage(
    family: str, *, repeats: int = 300, size: int = 300, resamples: int = 199, rounded: bool = False
) -> tuple[dict[str, float], np.ndarray]:
    """How often 95 % intervals of the true family's parameters cover, and its p-values, over repeats.

    Returns
    -------
    dict of str to float
        Coverage by parameter.
    ndarray, shape (repeats, 2)
        p-values of A^2 and of D.
    """
    step = STEPS[family] if rounded else None
    inside: dict[str, float] = {}
    p_values = np.empty((repeats, 2))
    for seed in range(repeats):
        # Families must not share their luck.
        values = sample(family, size, [list(TRUE).index(family), seed], rounded=rounded)
        found = fit_error_distribution(values, families=[family], step=step, resamples=resamples, seed=seed)
        fit = found.best
        p_values[seed] = fit.anderson_darling_p, fit.kolmogorov_smirnov_p
        for (name, (low, high)), true in zip(fit.intervals.items(), TRUE[family], strict=True):
            inside[name] = inside.get(name, 0.0) + (low <= true <= high) / repeats
    return inside, p_values


def tail_coverage(
    exact, *, q: float = 0.9995, repeats: int = 300, size: int = 2000, step: float | None = None
) -> float:
    """How often the 95 % interval of a far quantile covers that of a frozen SciPy distribution."""
    truth, inside = exact.ppf(q), 0
    for seed in range(repeats):
        values = exact.rvs(size, random_state=np.random.default_rng(20_000 + seed))
        if step is not None:
            values = np.round(values / step) * step
        low, high = fit_tail(values, step=step).quantile(q)[1]
        inside += low <= truth <= high
    return inside / repeats
