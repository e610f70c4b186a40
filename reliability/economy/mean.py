"""Mean accuracy over chips, with few evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.economy.comparison import Economy, against, row, seconds_a_chip
from reliability.economy.panels import PANELS, Panels
from reliability.economy.subject import MOST_CHIPS, prepared
from reliability.errors import UserError
from reliability.kernels.simd import VECTOR
from reliability.network import Network
from reliability.settings import whole
from reliability.statistics.controlled import controlled_mean
from reliability.statistics.interval import check_level
from reliability.surrogate import Surrogate
from reliability.training_inputs import Calibration

_PILOT = 8


def estimate_mean(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    *,
    time_s: float = 0.0,
    half_width: float | None = 0.001,
    chips: int | None = None,
    inputs_per_chip: int = 2 * VECTOR,
    seed: int = 0,
    level: float = 0.95,
    calibration: Calibration | Callable[[], Dataset] | None = None,
    threads: int | None = None,
    surrogate: Surrogate | None = None,
) -> Economy:
    """Mean accuracy over chips, on these inputs, with few evaluations.

    Parameters
    ----------
    network, inputs, chip, time_s, seed, calibration, threads
        As in :func:`reliability.simulate`.
    half_width : float, optional
        Of the wanted interval; chips are added to a pilot until it is expected to be reached.
    chips : int, optional
        Number of chips in place of a wanted width; rounded up to a multiple of the panels (32).
    inputs_per_chip : int
        Inputs that each chip is evaluated on, sampled anew for each panel.
    level : float
    surrogate : Surrogate, optional
        Of the same network, inputs and chip, where one has been made.

    Raises
    ------
    UserError
        If the analytic network does not know one of the chip's effects, single reads of a partly frozen
        fluctuation would depend on the number of inputs, the surrogate is another chip's, or the width is out
        of reach.
    RunError
        If the analytic network disagrees with simulated chips.
    """
    wanted = 0.001 if half_width is None else half_width
    check(is_number(wanted, 0, 1) and 0 < wanted < 1, "half_width", half_width, "a fraction, such as 0.001")
    whole("inputs_per_chip", inputs_per_chip, 1, 2**31)
    if chips is not None:
        whole("chips", chips, 1, MOST_CHIPS)
    check_level(level)
    analytic, surrogate = prepared(network, inputs, chip, time_s, calibration, threads, surrogate)
    compared = analytic.check()
    scores = compared.scores
    start = time.perf_counter()
    simulation = analytic.simulation.redrawn(seed, "certify")
    total = len(analytic.labels)
    each = min(inputs_per_chip, total)
    sampler = Panels(analytic, surrogate, simulation, each, seed)
    per_panel = _PILOT if chips is None else math.ceil(chips / PANELS)
    sampler.add(per_panel)
    found = sampler.estimate(level)
    if chips is None:
        while (found.high - found.low) / 2 > wanted:
            growth = ((found.high - found.low) / (2 * wanted)) ** 2
            if growth * sampler.chips > MOST_CHIPS:
                raise UserError(
                    f"half_width = {wanted:g} takes about {growth * sampler.chips:.1g} chips, allowed are "
                    f"{MOST_CHIPS:,}: {sampler.chips:,} reach {(found.high - found.low) / 2:.1g}; ask for a "
                    f"wider one"
                )
            more = math.ceil(sampler.chips / PANELS * (min(growth, 16.0) - 1) * 1.1)
            sampler.add(max(more, 1))
            found = sampler.estimate(level)
    seconds = time.perf_counter() - start
    own = row("mean", found, "thinned inputs and surrogate", level) | {
        "chips": sampler.chips,
        "evaluations": sampler.chips * each,
        "seconds": seconds,
        "inputs_per_chip": each,
        "realised": sampler.realised,
    }
    plain = controlled_mean(scores, np.zeros(len(scores)), level=level)
    beside = row("mean", plain, "plain, t over chips", level)
    variance = float(scores.var(ddof=1))
    table = against(own, found, beside, variance, total, len(scores), seconds_a_chip(simulation))
    return Economy(table, compared)
