"""Share of chips below a target accuracy, with few evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from reliability.checks import is_number
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.economy.comparison import Economy, against, row, seconds_a_chip
from reliability.economy.subject import MOST_CHIPS, prepared
from reliability.economy.two_phase import two_phase
from reliability.errors import UserError
from reliability.network import Network
from reliability.settings import whole
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.controlled import Controlled
from reliability.statistics.interval import check_level
from reliability.statistics.lifetime import required_correct
from reliability.surrogate import Surrogate
from reliability.training_inputs import Calibration


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
    that grow with the doubt, is evaluated and corrects what the weights tell. Inputs that all chips
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
    sample = two_phase(
        analytic, surrogate, simulation, scores, needed, chips=chips, share=share, seed=seed, level=level
    )
    value = sample.found.value
    own = row("tail", sample.found, "two-phase sample by surrogate", level) | {
        "chips": sample.chips,
        "evaluations": sample.evaluations,
        "seconds": time.perf_counter() - start,
        "inputs_per_chip": sample.evaluations / sample.chips,
        "realised": chips,
        "target": needed / total,
    }
    failures = int((np.rint(scores * total) < needed).sum())
    low, high = clopper_pearson(failures, len(scores), level)
    plain_error = math.sqrt(value * (1 - value) / len(scores))
    plain = Controlled(failures / len(scores), plain_error, low, high, 0.0, 0)
    beside = row("tail", plain, "plain, Clopper-Pearson", level)
    a_chip = seconds_a_chip(simulation)
    table = against(own, sample.found, beside, value * (1 - value), total, len(scores), a_chip)
    return Economy(table, compared)
