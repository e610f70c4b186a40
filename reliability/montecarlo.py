"""Monte Carlo over chips: conditions in, trials table out.

The chips are cut into blocks at fixed numbers. A block holds what was observed on its chips under
all conditions of one group; it can be stored and met again (:mod:`reliability.results`). The
result depends on nothing but the description and the seed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from reliability.block import Block
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.latents import Role, Supplied
from reliability.metrics import Metric
from reliability.network import Network
from reliability.self_checks import check_effects, check_ideal
from reliability.settings import whole
from reliability.simulation import Arithmetic, Simulation
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import FRACTION, REAL, Interval
from reliability.statistics.sequential import FIRST_LOOK, look_counts
from reliability.statistics.stopping import expected_widths, mean_sequence
from reliability.training_inputs import Calibration
from reliability.trials import trials_table

PILOT = 32
"""Chips tried before a run that must reach a wanted interval."""

# The true spread is rarely below this share of the pilot's.
_PILOT_LOW = 0.75

MAXIMUM = 20_000
"""Chips that such a run may use, unless it is told otherwise."""


class Store(Protocol):
    """Where finished blocks are kept."""

    def get(self, group: int, first: int, count: int) -> Block | None:
        """The block if it is there and whole."""

    def put(self, group: int, first: int, count: int, block: Block) -> None:
        """Keep a finished block."""


class Progress(Protocol):
    """Who hears how far a run has come."""

    def __call__(self, done: int, total: int, note: str) -> None:
        """``done`` of ``total`` chips; ``note`` holds the running interval."""


def simulate(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    time_s: float = 0.0,
    chips: int | None = None,
    ci_width: float | None = None,
    max_chips: int = MAXIMUM,
    seed: int = 0,
    role: Role = "certify",
    metric: str | Metric | Callable = "top-1",
    threads: int | None = None,
    latents: Supplied | None = None,
    arithmetic: Arithmetic = "auto",
    calibration: Calibration | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Simulate chips and return the trials table.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Raw test inputs and labels; the network brings its own preprocessing.
    chip : Chip
    vary : mapping of str to sequence, optional
        Values of ``"time_s"`` (seconds since the reference read) and of chip fields by path, such as
        ``"compensation"`` or ``"device.sigma"``; every combination is a condition. Values of ``"read"``, such
        as ``[0, 1]``, evaluate the same chips again with other read noise.
    time_s : float
        Evaluation time where it is not varied, seconds.
    chips : int, optional
        Number of chips (1,000 unless ``ci_width`` is given).
    ci_width : float, optional
        Go on until the interval of each condition's mean over chips (these inputs) has full width below
        this: a confidence sequence by betting (Waudby-Smith and Ramdas 2024), which holds at all looks
        together, whatever the chips. It is at least some 9 over the number of chips wide. Of a metric without
        bounds it is an asymptotic one.
    max_chips : int
        The most chips that ``ci_width`` may take.
    seed : int
    role : {"search", "certify"}
        Chips of one role never occur in the other.
    metric : {"top-1", "top-5", "per-class"} or callable
        A callable takes logits (N, classes) and labels (N,) and gives one value an input.
    threads : int, optional
        Default: all cores that the process may use. The result does not depend on it.
    latents : mapping of (layer, latent) to ndarray, optional
        Latent draws to use instead of the counter's, from chip 0 on (see :func:`draw_latents`). The
        reference read of the compensation keeps the counter's draws.
    arithmetic : {"auto", "int8", "float32"}
        Of a fully connected first layer. ``"int8"`` computes its exact sums once for all chips, and what each
        chip's deviations add in 8-bit integers, wherever rounding them adds at most 0.1 % to their variance;
        ``"auto"`` does so where the CPU has instructions for it.
    calibration : Dataset, pair of arrays (x, y), or array x, optional
        Raw training inputs, of which the first ``chip.calibration_inputs`` set the ranges of converters that
        are to be calibrated. Never the inputs on which accuracy is measured.
    store : Store, optional
        Keeps finished blocks, for runs that can be resumed.
    progress : callable, optional

    Returns
    -------
    DataFrame
        One row a trial, conditions in order, chips within: the varied fields, ``read_noise``, ``chip``,
        ``inputs``, ``correct``, ``accuracy`` (a fraction), ``dac_clipped`` and ``adc_clipped`` (of chips with
        converters: the share of conversions beyond the range), ``first_layer`` (how it was computed,
        ``"int8"`` or ``"float32"``), ``checksum`` of the logits and
        ``correct_bits`` (right or wrong for each input, packed by ``numpy.packbits``).
        ``attrs["reference_bits"]`` holds the digital network's, in base 64, ``attrs["converters"]`` the
        range of each layer's converters and the share that they clipped.

    Raises
    ------
    UserError
        If a setting is not allowed, or ``ci_width`` is out of reach within ``max_chips``.
    RunError
        If the chip without effects is not the digital network, or a swept field changes nothing.
    """
    simulation = Simulation(
        network,
        inputs,
        chip,
        vary,
        time_s=time_s,
        seed=seed,
        role=role,
        metric=metric,
        threads=threads,
        latents=latents,
        arithmetic=arithmetic,
        calibration=calibration,
    )
    return run(
        simulation, chips=chips, ci_width=ci_width, max_chips=max_chips, store=store, progress=progress
    )


def run(
    simulation: Simulation,
    *,
    chips: int | None = None,
    ci_width: float | None = None,
    max_chips: int = MAXIMUM,
    store: Store | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Run a prepared :class:`Simulation`; parameters as in :func:`simulate`."""
    if chips is not None and ci_width is not None:
        raise UserError("give either chips or ci_width, not both")
    check_ideal(simulation)
    if ci_width is None:
        total = whole("chips", 1000 if chips is None else chips, 1, 2**31)
        looks: tuple[int, ...] = ()
    else:
        if not 0 < float(ci_width) < 1:
            raise UserError(f"ci_width = {ci_width!r} must be a fraction between 0 and 1, such as 0.002")
        total = whole("max_chips", max_chips, 100, 2**31)
        looks = look_counts(total)
        check_reachable(simulation, float(ci_width), total)
    groups = range(len(simulation.sweep.groups))
    blocks: list[list[Block]] = [[] for _ in groups]
    done, widest, bounds = 0, math.nan, _bounds(simulation)
    for first, count in _ranges(total, simulation.block_chips, looks):
        for group in groups:
            block = store.get(group, first, count) if store is not None else None
            if block is None:
                block = simulation.block(group, first, count)
                if store is not None:
                    store.put(group, first, count, block)
            blocks[group].append(block)
        done = first + count
        if done in looks:
            widest = widest_interval(blocks, done, lambda values: mean_sequence(values, bounds=bounds))
        elif progress and not looks and done >= FIRST_LOOK:
            widest = widest_interval(blocks, done, lambda values: chips_interval(values, bounds=bounds))
        if progress:
            progress(done, total, f"widest 95 % interval of a mean over chips {widest:.4f}")
        if ci_width is not None and done in looks and widest < ci_width:
            break
    trials = trials_table(simulation, blocks, done)
    if ci_width is not None:
        trials.attrs |= {"ci_width": float(ci_width), "widest": widest}
    check_effects(simulation, trials)
    return trials


def _bounds(simulation: Simulation) -> tuple[float, float]:
    return FRACTION if simulation.reference.dtype == bool else REAL


def widest_interval(
    blocks: Sequence[Sequence[Block]], chips: int, make: Callable[[np.ndarray], Interval]
) -> float:
    """Full width of the widest interval of a condition's mean over the chips so far."""
    widest = 0.0
    for own in blocks:
        scores = np.concatenate([block.scores for block in own]).reshape(chips, -1)
        checksums = np.concatenate([block.checksums for block in own]).reshape(chips, -1)
        for score, checksum in zip(scores.T, checksums.T, strict=True):
            # Chips with the same logits to the last bit are one chip: nothing varies in this condition.
            if (checksum != checksum[0]).any():
                widest = max(widest, make(score).width)
    return widest


def check_reachable(simulation: Simulation, ci_width: float, max_chips: int) -> None:
    """Say before running whether a pilot of a few chips puts the wanted interval out of reach.

    Raises
    ------
    UserError
        If even a spread well below the pilot's needs more chips than allowed; a warning is given if
        the pilot's own spread does.
    """
    pilot = _pilot(simulation)
    if pilot is None:
        return

    def narrowest(share: float) -> float:
        like = pilot.mean() + share * (pilot - pilot.mean())
        return min(expected_widths(like, max_chips, bounds=_bounds(simulation)).values())

    width = narrowest(1.0)
    if width < ci_width:
        return
    told = (
        f"out of reach: if chips go on like the {PILOT} of a pilot, {max_chips} of them, the stated maximum, "
        f"give an interval about {width:.2g} wide"
    )
    if narrowest(_PILOT_LOW) >= ci_width:
        raise UserError(f"ci_width = {ci_width:g} is {told}; ask for a wider one or allow more chips")
    warnings.warn(f"ci_width = {ci_width:g} is probably {told}", stacklevel=2)


def _pilot(simulation: Simulation) -> np.ndarray | None:
    """Scores of a few chips under the condition that spreads most; None where nothing varies."""
    widest = None
    for group in range(len(simulation.sweep.groups)):
        block = simulation.block(group, 0, PILOT)
        scores, checksums = block.scores.reshape(PILOT, -1), block.checksums.reshape(PILOT, -1)
        for score, checksum in zip(scores.T, checksums.T, strict=True):
            if (checksum != checksum[0]).any() and (widest is None or score.std() > widest.std()):
                widest = score
    return widest


def _ranges(total: int, step: int, looks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of chips, cut at every multiple of ``step`` and at every look."""
    cuts = sorted({*range(step, total, step), *(n for n in looks if n < total), total})
    first = 0
    for cut in cuts:
        yield first, cut - first
        first = cut
