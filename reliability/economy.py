"""The same answers from fewer chips and inputs: mean accuracy and yield with controls and thinned inputs.

Plain Monte Carlo evaluates every chip on every input. Most inputs are certain, so that few evaluations tell
of them; and how good a chip is can largely be told from its weights (:mod:`reliability.surrogate`). Both are
used without bias: inputs are sampled with known probabilities and weighed by their inverses, and what the
surrogate says is corrected by what evaluated chips show.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, fdtri, logit, ndtr, ndtri

from reliability.analytic import AnalyticNetwork, Check
from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.errors import RunError, UserError
from reliability.kernels.simd import VECTOR
from reliability.network import Network
from reliability.settings import whole
from reliability.simulation import Simulation
from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.controlled import (
    Controlled,
    controlled_mean,
    inclusion_probabilities,
    systematic_sample,
)
from reliability.statistics.interval import CHIPS, check_level
from reliability.statistics.lifetime import required_correct
from reliability.surrogate import Surrogate, uncertain_inputs
from reliability.training_inputs import Calibration

PANELS = 32
"""Independent samples of inputs, each seen by chips of its own."""

_PILOT = 8
_MOST_CHIPS = 1 << 20
# Chips realised, but not evaluated, for one that is evaluated, where the surrogate's mean is not known.
_REALISED = 4
# Smallest standard deviation of an outcome that an input is given when it is sampled.
_FLOOR = 0.02
# Smallest doubt about a chip, of the largest, when chips are sampled: surprises must not weigh too much.
_LEAST = 0.1
# By so much more than all chips the bad ones scatter about what is told of them, at least: taken too small,
# chips that nobody doubted fail, and weigh much.
_WIDER = 1.5
# The fewest inputs that some chips get right and others wrong.
_DOUBTFUL = 10
# Evaluated chips that must fail, and that must pass, for an interval of a tail.
_FEWEST = 25
_TIMED = 16
# Standard errors by which the estimate and the plain one may differ.
_AGREES = 3.0


@dataclass(frozen=True)
class Economy:
    """What an estimate cost, against plain Monte Carlo on the same inputs with an interval as wide.

    Attributes
    ----------
    table : DataFrame
        Two rows, the estimate and the plain one from the chips of the analytic network's check:
        ``estimand``, ``value``, ``low``, ``high``, ``level``, ``method``, ``varies``, ``chips``,
        ``evaluations`` (chips times inputs), ``seconds`` (without the surrogate and its check); of the first
        also ``gain`` (plain evaluations over its own, at equal width, with ``gain_low``, ``gain_high``),
        ``gain_seconds`` (the same of time) and ``agrees`` (whether the two estimates differ by at most three
        standard errors of their difference).
    check : Check
        The analytic network beside its simulated chips.
    """

    table: pd.DataFrame
    check: Check

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.table["value"].iloc[0])


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
        whole("chips", chips, 1, _MOST_CHIPS)
    check_level(level)
    analytic, surrogate = _prepared(network, inputs, chip, time_s, calibration, threads, surrogate)
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
            if growth * sampler.chips > _MOST_CHIPS:
                raise UserError(
                    f"half_width = {wanted:g} takes about {growth * sampler.chips:.1g} chips, allowed are "
                    f"{_MOST_CHIPS:,}: {sampler.chips:,} reach {(found.high - found.low) / 2:.1g}; ask for a "
                    f"wider one"
                )
            more = math.ceil(sampler.chips / PANELS * (min(growth, 16.0) - 1) * 1.1)
            sampler.add(max(more, 1))
            found = sampler.estimate(level)
    seconds = time.perf_counter() - start
    own = _row("mean", found, "thinned inputs and surrogate", level) | {
        "chips": sampler.chips,
        "evaluations": sampler.chips * each,
        "seconds": seconds,
        "inputs_per_chip": each,
        "realised": sampler.realised,
    }
    plain = controlled_mean(scores, np.zeros(len(scores)), level=level)
    beside = _row("mean", plain, "plain, t over chips", level)
    variance = float(scores.var(ddof=1))
    table = _against(own, found, beside, variance, total, len(scores), _seconds_a_chip(simulation))
    return Economy(table, compared)


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
    """Probability of chips below a target accuracy, evaluating only those that might fail.

    All chips are realised, and their weights tell how likely each is to fail; a sample, with probabilities
    that grow with the doubt, is evaluated on all inputs and corrects what the weights tell (a difference
    estimator; C.-E. Sarndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling, 1992).

    Parameters
    ----------
    target : float
        Accuracy that a chip must reach.
    chips : int
        Chips that are realised.
    share : float
        Expected share of them that is evaluated.
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
    whole("chips", chips, 100, _MOST_CHIPS)
    check_level(level)
    analytic, surrogate = _prepared(network, inputs, chip, time_s, calibration, threads, surrogate)
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
    probabilities = inclusion_probabilities(doubt, max(round(share * chips), 1))
    chosen = systematic_sample(probabilities, np.random.default_rng([seed, 7]))
    step = simulation.block_chips
    parts = [simulation.evaluate(0, chosen[at : at + step]).scores for at in range(0, len(chosen), step)]
    failed = np.rint(np.concatenate(parts).ravel() * total) < needed
    corrected = np.zeros(chips)
    corrected[chosen] = (failed - likely[chosen]) / probabilities[chosen]
    values = likely + corrected
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
    own = _row("tail", found, "two-phase sample by surrogate", level) | {
        "chips": len(chosen),
        "evaluations": len(chosen) * total,
        "seconds": time.perf_counter() - start,
        "inputs_per_chip": total,
        "realised": chips,
        "target": needed / total,
    }
    failures = int((np.rint(scores * total) < needed).sum())
    low, high = clopper_pearson(failures, len(scores), level)
    plain_error = math.sqrt(value * (1 - value) / len(scores))
    plain = Controlled(failures / len(scores), plain_error, low, high, 0.0, 0)
    beside = _row("tail", plain, "plain, Clopper-Pearson", level)
    a_chip = _seconds_a_chip(simulation)
    table = _against(own, found, beside, value * (1 - value), total, len(scores), a_chip)
    return Economy(table, compared)


class Panels:
    """Samples of inputs, each seen by chips of its own, and what they show.

    Parameters
    ----------
    analytic : AnalyticNetwork
    surrogate : Surrogate
    simulation : Simulation
        Of fresh chips on all inputs.
    each : int
        Inputs of a sample.
    seed : int
        Of the samples and the chips.
    """

    def __init__(
        self, analytic: AnalyticNetwork, surrogate: Surrogate, simulation: Simulation, each: int, seed: int
    ) -> None:
        self.analytic, self.surrogate, self.simulation, self.seed = analytic, surrogate, simulation, seed
        right = analytic.right
        doubt = np.maximum(np.sqrt(right * (1 - right)), _FLOOR)
        self.probabilities = inclusion_probabilities(doubt, each)
        self.panels = [
            systematic_sample(self.probabilities, np.random.default_rng([seed, panel]))
            for panel in range(PANELS)
        ]
        self.simulations = [simulation.subset(panel) for panel in self.panels]
        # Where each input stands among the uncertain ones, or -1.
        self.place = np.full(len(right), -1)
        self.place[surrogate.inputs] = np.arange(len(surrogate.inputs))
        self.residuals: list[list[np.ndarray]] = [[] for _ in range(PANELS)]
        self.controls: list[list[np.ndarray]] = [[] for _ in range(PANELS)]
        self.beside: list[np.ndarray] = []
        self.chips = 0

    @property
    def realised(self) -> int:
        """Chips that were realised and not evaluated."""
        return sum(len(part) for part in self.beside)

    def add(self, per_panel: int) -> None:
        """Evaluate so many further chips on each panel."""
        first, count = self.chips, per_panel * PANELS
        coordinates = self.surrogate.coordinates(first, count, seed=self.seed, role="certify")
        told = self.surrogate.accuracies(coordinates)
        if not self.surrogate.is_normal:
            # Chips far from those that are evaluated tell the surrogate's mean.
            more, at = _REALISED * count, _MOST_CHIPS + self.realised
            beside = self.surrogate.coordinates(at, more, seed=self.seed, role="certify")
            self.beside.append(self.surrogate.accuracies(beside))
        for k, panel in enumerate(self.panels):
            own = slice(k * per_panel, (k + 1) * per_panel)
            right = self.simulations[k].outcomes(first + own.start, per_panel)[:, 0, 0]
            expected = np.tile(self.analytic.right[panel], (per_panel, 1))
            doubtful = self.place[panel] >= 0
            places = self.place[panel[doubtful]]
            expected[:, doubtful] = 1 - self.surrogate.losses(coordinates[own], places)
            weight = 1 / (self.probabilities[panel] * len(self.place))
            self.residuals[k].append((right - expected) @ weight)
            self.controls[k].append(told[own])
        self.chips += count

    def estimate(self, level: float) -> Controlled:
        """The mean accuracy so far, over panels."""
        residuals = np.array([np.concatenate(own).mean() for own in self.residuals])
        controls = np.array([np.concatenate(own).mean() for own in self.controls])
        centre, error = self.surrogate.mean, 0.0
        if self.beside:
            beside = np.concatenate(self.beside)
            centre, error = float(beside.mean()), float(beside.std(ddof=1)) / math.sqrt(len(beside))
        # A panel's chips are off by its residual, and the surrogate by what is known of its mean.
        return controlled_mean(residuals + controls, controls - centre, known_error=error, level=level)


def _prepared(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    time_s: float,
    calibration: Calibration | Callable[[], Dataset] | None,
    threads: int | None,
    surrogate: Surrogate | None,
) -> tuple[AnalyticNetwork, Surrogate]:
    """The analytic network and its surrogate, checked."""
    analytic = AnalyticNetwork(network, inputs, chip, time_s=time_s, calibration=calibration, threads=threads)
    if surrogate is not None and surrogate.analytic.fingerprint() != analytic.fingerprint():
        raise UserError(
            "the surrogate is that of another network, chip, time, calibration or other inputs: make one of "
            "these, Surrogate(AnalyticNetwork(...))"
        )
    if surrogate is None:
        uncertain = len(uncertain_inputs(analytic.right))
        if uncertain < _DOUBTFUL:
            raise UserError(
                f"on chips like these {uncertain} of {len(analytic.right)} inputs are uncertain, too few to "
                f"save evaluations on, {_DOUBTFUL} are needed: simulate all chips on all inputs"
            )
        surrogate = Surrogate(analytic)
    analytic = surrogate.analytic
    for name, own in analytic.layers.items():
        telegraph, places = own.crossbar.settings.telegraph, own.crossbar.places
        assert telegraph is not None
        shares = {telegraph.frozen_share(n * places) for n in (1, len(analytic.labels))}
        if telegraph.is_on and shares not in ({0.0}, {1.0}):
            raise UserError(
                f"layer {name!r} has telegraph noise that is partly frozen, so that what a chip is depends "
                f"on how many inputs it is evaluated on; simulate all of them"
            )
    return analytic, surrogate


def _row(estimand: str, found: Controlled, method: str, level: float) -> dict[str, Any]:
    return {
        "estimand": estimand,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "level": level,
        "method": method,
        "varies": CHIPS,
        "error": found.error,
    }


def _seconds_a_chip(simulation: Simulation) -> float:
    """What plain Monte Carlo takes for a chip on all inputs."""
    simulation.evaluate(0, np.arange(2))
    start = time.perf_counter()
    simulation.evaluate(0, np.arange(_TIMED))
    return (time.perf_counter() - start) / _TIMED


def _against(
    own: dict[str, Any],
    found: Controlled,
    plain: dict[str, Any],
    variance: float,
    total: int,
    seen: int,
    seconds_a_chip: float,
) -> pd.DataFrame:
    """Both rows, with what plain Monte Carlo would have evaluated for an interval as wide."""
    plain = plain | {"chips": seen, "evaluations": seen * total, "inputs_per_chip": total}
    chips = variance / found.error**2 if found.error > 0 else math.inf
    gain = chips * total / own["evaluations"]
    # Both variances are estimates.
    ratio = fdtri(seen - 1, max(found.df, 1), [0.5 + own["level"] / 2, 0.5 - own["level"] / 2])
    own = own | {"gain": gain, "gain_low": gain / ratio[0], "gain_high": gain / ratio[1]}
    apart, joint = own["value"] - plain["value"], math.hypot(own["error"], plain["error"])
    own["agrees"] = abs(apart) <= _AGREES * joint
    own["gain_seconds"] = chips * seconds_a_chip / own["seconds"]
    return pd.DataFrame([own, plain])
