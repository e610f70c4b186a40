"""Share of chips below a target accuracy, with few evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from reliability.checks import is_number
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.economy.comparison import Economy, against, row, seconds_a_chip
from reliability.economy.subject import MOST_CHIPS, prepared
from reliability.economy.thinned import Thinned
from reliability.errors import RunError, UserError
from reliability.network import Network
from reliability.settings import whole
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.controlled import Controlled, inclusion_probabilities, systematic_sample
from reliability.statistics.interval import check_level
from reliability.statistics.lifetime import required_correct
from reliability.surrogate import Surrogate
from reliability.training_inputs import Calibration

# Of all chips at most so many are chosen: the last ones are those that weights tell most about.
_MOST = 0.5
# Smallest doubt about a chip, of the largest, when chips are sampled: surprises must not weigh too much.
_LEAST = 0.1
# By so much more than all chips the bad ones scatter about what is told of them, at least: taken too small,
# chips that nobody doubted fail, and weigh much.
_WIDER = 1.5
# Evaluated chips that must fail, and that must pass, for an interval of a tail.
_FEWEST = 25


def estimate_tail(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    target: float,
    *,
    time_s: float = 0.0,
    chips: int = 20_000,
    share: float = 0.05,
    seed: int = 0,
    level: float = 0.95,
    calibration: Calibration | Callable[[], Dataset] | None = None,
    threads: int | None = None,
    surrogate: Surrogate | None = None,
) -> Economy:
    """Probability of chips below a target accuracy, evaluating only chips and inputs that decide on it.

    All chips are realised, and their weights tell how likely each is to fail; a sample, with probabilities
    that grow with the doubt, is evaluated and corrects what the weights tell (a difference estimator;
    C.-E. Sarndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling, 1992). Inputs that all chips
    answer alike are counted as the analytic network has them, and evaluated on a twentieth of the sample,
    which corrects the count in the same way.

    Parameters
    ----------
    target : float
        Accuracy that a chip must reach.
    chips : int
        Chips that are realised.
    share : float
        Of their chips times inputs, so much is evaluated; less where half of all chips take less.
    network, inputs, chip, time_s, seed, level, calibration, threads, surrogate
        As in :func:`estimate_mean`.

    Raises
    ------
    UserError
        As :func:`estimate_mean`.
    RunError
        If too few of the chips fail, or pass, for an interval; :func:`reliability.rare_failure` is for small
        shares.
    """
    if not (is_number(share, 0, 1) and share > 0):
        raise UserError(f"share = {share!r} must be above 0 and at most 1")
    if not (is_number(target, 0, 1) and target > 0):
        raise UserError(f"target = {target!r} must be an accuracy above 0 and at most 1")
    whole("chips", chips, 100, MOST_CHIPS)
    check_level(level)
    analytic, surrogate = prepared(network, inputs, chip, time_s, calibration, threads, surrogate)
    compared = analytic.check()
    scores = compared.scores
    start = time.perf_counter()
    simulation = analytic.simulation.redrawn(seed, "certify")
    total = len(analytic.labels)
    needed = required_correct(target, total)
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
    evaluations = thinned.evaluations(len(chosen))
    own = row("tail", found, "two-phase sample by surrogate", level) | {
        "chips": len(chosen),
        "evaluations": evaluations,
        "seconds": time.perf_counter() - start,
        "inputs_per_chip": evaluations / len(chosen),
        "realised": chips,
        "target": needed / total,
    }
    failures = int((np.rint(scores * total) < needed).sum())
    low, high = clopper_pearson(failures, len(scores), level)
    plain_error = math.sqrt(value * (1 - value) / len(scores))
    plain = Controlled(failures / len(scores), plain_error, low, high, 0.0, 0)
    beside = row("tail", plain, "plain, Clopper-Pearson", level)
    a_chip = seconds_a_chip(simulation)
    table = against(own, found, beside, value * (1 - value), total, len(scores), a_chip)
    return Economy(table, compared)
