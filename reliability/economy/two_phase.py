"""The share of bad chips from what weights tell of all of them and what a sample of them shows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from reliability.analytic import AnalyticNetwork
from reliability.economy.thinned import Thinned
from reliability.errors import RunError
from reliability.simulation import Simulation
from reliability.statistics.controlled import Controlled, inclusion_probabilities, systematic_sample
from reliability.surrogate import Surrogate

# Of all chips at most so many are chosen: the last ones are those that weights tell most about.
_MOST = 0.5
# Smallest doubt about a chip, of the largest, when chips are sampled: surprises must not weigh too much.
_LEAST = 0.1
# By so much more than all chips the bad ones scatter about what is told of them, at least: taken too small,
# chips that nobody doubted fail, and weigh much.
_WIDER = 1.5
# Evaluated chips that must fail, and that must pass, for an interval of a tail.
_FEWEST = 25


class TwoPhase(NamedTuple):
    """The share, ``found``, with the chips that were evaluated for it and their ``evaluations`` of inputs."""

    found: Controlled
    chips: int
    evaluations: int


def two_phase(
    analytic: AnalyticNetwork,
    surrogate: Surrogate,
    simulation: Simulation,
    scores: np.ndarray,
    needed: int,
    *,
    chips: int,
    share: float,
    seed: int,
    level: float,
) -> TwoPhase:
    """Share of chips with fewer right answers than needed.

    A difference estimator (C.-E. Sarndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling, 1992):
    the mean over all chips of how likely each is to fail, by its weights, corrected by what a sample of
    unequal probabilities shows.

    Parameters
    ----------
    analytic : AnalyticNetwork
    surrogate : Surrogate
    simulation : Simulation
        Of fresh chips on all inputs.
    scores : ndarray of float64, shape (n,)
        Accuracies of the chips of the analytic network's check.
    needed : int
    chips : int
        Chips ``0`` to ``chips - 1`` are realised.
    share : float
        Of their chips times inputs, so much is evaluated at most.
    seed : int
        Of chips and sample.
    level : float

    Raises
    ------
    RunError
        If too few of the chips fail, or pass, for an interval.
    """
    total = len(analytic.labels)
    told = surrogate.accuracies(surrogate.coordinates(0, chips, seed=seed, role="certify"))
    # How accuracy follows the surrogate is seen on chips of another role.
    seen = surrogate.accuracies(surrogate.coordinates(0, len(scores), seed=0, role="search"))
    slope, offset = np.polyfit(seen, scores, 1)
    rest = _WIDER * float(np.std(scores - slope * seen - offset, ddof=2))
    # Half a wrong input below the least count that passes.
    likely = ndtr(((needed - 0.5) / total - (slope * told + offset)) / max(rest, 1e-9))
    doubt = np.sqrt(likely * (1 - likely))
    doubt = np.maximum(doubt, max(_LEAST * doubt.max(), 1e-9))
    thinned = Thinned(simulation, analytic.right)
    wanted = min(max(round(share * chips * total / thinned.each), 1), round(_MOST * chips))
    probabilities = inclusion_probabilities(doubt, wanted)
    rng = np.random.default_rng([seed, 7])
    chosen = systematic_sample(probabilities, rng)
    failed, turned = thinned.failures(chosen, needed, rng)
    values = likely.copy()
    values[chosen] += (failed + turned - likely[chosen]) / probabilities[chosen]
    value, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(chips)
    if not (_FEWEST <= failed.sum() <= len(failed) - _FEWEST and 0 < value < 1):
        raise RunError(
            f"of {len(failed):,} evaluated chips {failed.sum()} miss {needed} of {total} right answers; an "
            f"interval of their share needs {_FEWEST} that do and as many that do not: realise more chips, "
            f"or estimate a small share with rare_failure"
        )
    # On the scale of log odds, on which the interval cannot leave 0 to 1 and is less skewed.
    half = float(ndtri(0.5 + level / 2)) * error / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    found = Controlled(value, error, float(low), float(high), 1.0, chips - 1)
    return TwoPhase(found, len(chosen), thinned.evaluations(len(chosen)))
