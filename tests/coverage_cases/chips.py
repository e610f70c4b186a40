"""The spread over chips and the mean of the worst, for laws of chip accuracies that are known."""

from collections.abc import Callable

import numpy as np
import threshold_chips

from coverage_cases import Coverage, case
from reliability.statistics import spread_interval
from reliability.statistics.cvar import cvar_interval


def _gamma(rng: np.random.Generator, size) -> np.ndarray:
    return 1.0 - 0.02 * rng.exponential(size=size)


def _normal(rng: np.random.Generator, size) -> np.ndarray:
    return 0.9 + 0.02 * rng.standard_normal(size)


# Spread and mean of the worst 5 %: mean - sd phi(z) / 0.05, and a loss of 1 + log 20 scales.
LAWS: dict[str, tuple[Callable, float, float]] = {
    "normal": (_normal, 0.02, 0.9 - 0.02 * 2.0627128075),
    "exponential": (_gamma, 0.02, 1.0 - 0.02 * (1.0 + np.log(20.0))),
}


def threshold_worst() -> float:
    """Mean of the worst 5 % of threshold chips."""
    accuracy, chance = threshold_chips.law()
    before = np.concatenate([[0.0], np.cumsum(chance)[:-1]])
    return float(np.clip(0.05 - before, 0.0, chance) @ accuracy / 0.05)


def _laws():
    spread = threshold_chips.mean_and_spread()[1]
    return {**LAWS, "threshold": (threshold_chips.draw_accuracies, spread, threshold_worst())}


@case(repeats=4000)
def spread(rng, repeats):
    for name, (draw, truth, _) in _laws().items():
        for chips in (100, 300):
            hits = 0
            for values in draw(rng, (repeats, chips)):
                low, high = spread_interval(values)[1]
                hits += low <= truth <= high
            yield Coverage(f"spread over chips: {chips} {name} chips", "approximate", hits / repeats, repeats)


@case(repeats=4000)
def worst_chips(rng, repeats):
    for name, (draw, _, truth) in _laws().items():
        for chips in (100, 300, 1000):
            hits = 0
            for values in draw(rng, (repeats, chips)):
                _, low, high = cvar_interval(values, 0.05)
                hits += low <= truth <= high
            yield Coverage(
                f"mean of the worst 5 %: {chips} {name} chips", "bootstrap", hits / repeats, repeats
            )
