"""Mean and variance of every weight that a chip's devices hold, by quadrature of their laws.

A law is integrated over its latents with the very kernels that simulate it, on a grid of targets, so that
clamping, drift and whatever a user's own law does are in its moments. Weights of one chip are independent
but for the references of an offset mapping, which a tile's columns share.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from reliability.chip import Chip
from reliability.compensation import is_adapted
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.devices.device import NORMAL, Device
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.fault_maps import is_repaired
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import law_address
from reliability.kernels.moments import law_moments, look_up
from reliability.network import Network
from reliability.refresh import programming_at
from reliability.telegraph import Telegraph
from reliability.verified import chosen_cells, chosen_weights, verified_moments
from reliability.write_verify import WriteVerify

_POINTS = 1 << 12
"""Points in the space of a device's latents: a scrambled Sobol sequence with moments put right."""

_TARGETS = 129
"""Targets of a device's table, which others are interpolated from. They stand closer near the smallest."""


class CellMoments(NamedTuple):
    """Moments of cells by target, arrays of one shape.

    ``mean`` (uS) and ``variance`` (uS**2) are over chips, ``read_variance`` (uS**2) is what every read
    redraws.
    """

    mean: np.ndarray
    variance: np.ndarray
    read_variance: np.ndarray


@dataclass(frozen=True, eq=False)
class LayerMoments:
    """Moments of one layer's weights, in units of weight.

    Attributes
    ----------
    mean, variance, read_variance : ndarray of float64, shape (columns, rows)
        Rows in the order (y, x, channel), the bias last where devices hold it. ``variance`` is over chips,
        of the columns' own devices; ``read_variance`` is what every read redraws, with its reference's.
    reference_variance : ndarray of float64, shape (references, rows)
        Over chips, of what groups of columns share; no rows without references.
    reference_of : ndarray of int, shape (columns,)
        The reference of each column.
    factor : float, or ndarray of float64, shape (columns,)
        Expected factor of the drift compensation, which the moments have in them.
    """

    mean: np.ndarray
    variance: np.ndarray
    read_variance: np.ndarray
    reference_variance: np.ndarray
    reference_of: np.ndarray
    factor: float | np.ndarray = 1.0


def weight_moments(
    network: Network,
    chip: Chip,
    *,
    time_s: float = 0.0,
    inputs: int = 1,
    layers: Collection[str] | None = None,
) -> dict[str, LayerMoments]:
    """Moments of the weights of every layer on devices.

    Drift compensation is in them as its expected factor.

    Parameters
    ----------
    network : Network
    chip : Chip
    time_s : float
        Since the reference read, seconds.
    inputs : int
        Of the evaluation, on which it depends how much of telegraph noise is frozen.
    layers : collection of str, optional
        Names of layers; by default all of them.

    Raises
    ------
    UserError
        If the chip has an effect that makes its weights depend on each other or on the whole array:
        correlated variation, wires, clusters of faults, open lines, slices that correct each other or vote,
        columns of different factors that share references, or a repair other than in-pair correction of
        pairs without slices; or if its compensation is fitted to calibration inputs.
    """
    chip, time_s, _ = programming_at(resolved(chip), time_s)
    if is_adapted(chip.compensation):
        raise UserError(
            f'compensation "{chip.compensation}" is fitted by every chip to its own outputs: the analytic '
            f"network knows only factors of drift compensation; simulate, or take another"
        )
    found = {}
    crossbars = crossbars_of(chip_network(network, chip), chip)
    chosen = chosen_weights(crossbars)
    for crossbar in crossbars.values():
        if not crossbar.settings.analog or (layers is not None and crossbar.name not in layers):
            continue
        check_independent(crossbar)
        verified = chosen.get(crossbar.name)
        moments, readout = _layer(crossbar, chip, time_s, inputs, verified)
        if chip.compensation == "exact":
            reference = crossbar.mapped.line_significance[:, :, None] * np.abs(crossbar.slice_weights)
            moments = _scaled(moments, float(reference.sum() / readout.sum()))
        elif chip.compensation != "none":
            reference = _layer(crossbar, chip, 0.0, inputs, verified)[1]
            if chip.compensation == "column":
                reference, readout = (_of_columns(crossbar, lines) for lines in (reference, readout))
                # A column that conducts nothing has no factor.
                works = reference > 0
                moments = _scaled(moments, np.where(works, reference, 1) / np.where(works, readout, 1))
            else:
                moments = _scaled(moments, float(reference.sum() / readout.sum()))
        found[crossbar.name] = moments
    return found


def check_mean(crossbar: Crossbar) -> None:
    """Raise :class:`UserError` for columns that give no mean of their slices, and so have no weights."""
    if crossbar.votes:
        raise UserError(
            f"layer {crossbar.name!r} gives the medians of its slices' sums "
            f'(mapping.slices.combine = "median"), which no weights describe: simulate, or take the mean'
        )


def _of_columns(crossbar: Crossbar, lines: np.ndarray) -> np.ndarray:
    """Read-outs of a layer's columns from those of its slices, (slices, lines, rows)."""
    own = len(crossbar.matrix) // crossbar.window.groups
    return lines.sum(axis=(0, 2)).reshape(crossbar.window.groups, -1)[:, :own].ravel()


def _scaled(moments: LayerMoments, factor: float | np.ndarray) -> LayerMoments:
    """The moments with a factor of the whole layer, or of each column."""
    by_column = np.asarray(factor).reshape(-1, 1)
    variance, read = moments.variance * by_column**2, moments.read_variance * by_column**2
    shared = moments.reference_variance
    if isinstance(factor, float):
        shared = shared * factor**2
    elif len(shared):
        raise UserError(
            'compensation "column" gives columns that share a reference factors of their own: the analytic '
            "network knows one factor of a reference; simulate, or use pairs"
        )
    return LayerMoments(moments.mean * by_column, variance, read, shared, moments.reference_of, factor)


def check_independent(crossbar: Crossbar) -> None:
    """Raise :class:`UserError` for effects that tie a layer's weights to each other."""
    check_mean(crossbar)
    own = crossbar.settings
    assert own.variation and own.faults and own.tile and own.mapping
    tied = {
        "correlated variation": own.variation.is_on,
        "wire resistance": own.tile.wires.is_on,
        "clusters of faults": own.faults.cluster_share > 0,
        "open lines": own.faults.open_rows + own.faults.open_columns > 0,
        "slices that correct each other": own.mapping.slices.fill == "corrected",
        "columns of different scales that share references": own.mapping.scheme == "offset"
        and own.mapping.weight_max == "column",
    }
    for what, present in tied.items():
        if present:
            raise UserError(
                f"layer {crossbar.name!r} has {what}, and so weights that depend on each other: the analytic "
                f"network knows only independent ones; simulate, or take that effect away"
            )
    repair, alone = own.repair, own.mapping.scheme == "pair" and own.mapping.slices.count == 1
    if is_repaired(crossbar) and repair and (repair.moves or repair.is_digital or not alone):
        raise UserError(
            f"layer {crossbar.name!r}: of repairs the analytic network knows repair.in_pair of pairs without "
            f"slices, because all others depend on the fault map of a whole tile: simulate, or take them away"
        )


def cell_moments(
    device: Device,
    targets_us: np.ndarray,
    *,
    time_s: float = 0.0,
    frozen_below_s: float | None = None,
    telegraph: Telegraph | None = None,
    frozen_share: float = 1.0,
    verify: WriteVerify | None = None,
) -> CellMoments:
    """Moments of a device's conductance by target, of its law and telegraph noise.

    Parameters
    ----------
    device : Device
    targets_us : ndarray
        Any shape, microsiemens.
    time_s : float
        Since the reference read, seconds.
    frozen_below_s : float, optional
        As in :meth:`Device.time_parameters`.
    telegraph : Telegraph, optional
    frozen_share : float
        Share of telegraph noise that is frozen during an evaluation.
    verify : WriteVerify, optional
        How all of these devices are verified.
    """
    targets = np.asarray(targets_us, np.float64)
    noise = telegraph if telegraph is not None and telegraph.is_on else None
    points = targets.reshape(-1)
    if len(np.unique(points[: 2 * _TARGETS])) <= _TARGETS and len(np.unique(points)) <= _TARGETS:
        points, back = np.unique(points, return_inverse=True)
        found = _moments_at(device, points, time_s, frozen_below_s, noise, verify).T[:, back]
    else:
        low, high = min(points.min(), device.g_min_us), max(points.max(), device.g_max_us)
        steps = low + (high - low) * np.linspace(0, 1, _TARGETS) ** 2
        table = _moments_at(device, steps, time_s, frozen_below_s, noise, verify)
        found = np.empty((4, len(points)))
        look_up(points, low, high, table, found)
    mean, variance, read, jumps = found.reshape(4, *targets.shape)
    if noise is not None:
        jumps = jumps * noise.occupancy * (1 - noise.occupancy)
        variance, read = variance + frozen_share * jumps, read + (1 - frozen_share) * jumps
    return CellMoments(mean, np.maximum(variance, 0), read)


def _moments_at(
    device: Device,
    targets_us: np.ndarray,
    time_s: float,
    frozen_below_s: float | None,
    telegraph: Telegraph | None,
    verify: WriteVerify | None,
) -> np.ndarray:
    """Moments of a law as :func:`law_moments` writes them, shape (targets, 4)."""
    if verify is not None:
        return verified_moments(
            device,
            verify,
            targets_us,
            time_s=time_s,
            frozen_below_s=frozen_below_s,
            telegraph=telegraph,
        )[:, :4]
    numbers = (0.0, 0.0, 0.0)
    if telegraph is not None:
        numbers = telegraph.amplitude, telegraph.exponent, math.log(telegraph.g_ref_us)
    return _integrated(
        law_address(device.program),
        law_address(device.conductance),
        tuple(targets_us.tolist()),
        tuple(latent.kind for latent in device.program_latents),
        tuple(latent.kind for latent in device.time_latents),
        tuple(device.program_parameters()),
        tuple(device.time_parameters(time_s, frozen_below_s)),
        device.states,
        numbers,
    )


@functools.lru_cache(64)
def _integrated(
    program: int,
    conductance: int,
    targets: tuple[float, ...],
    program_kinds: tuple[str, ...],
    time_kinds: tuple[str, ...],
    program_parameters: tuple[float, ...],
    time_parameters: tuple[float, ...],
    states: int,
    telegraph: tuple[float, ...],
) -> np.ndarray:
    moments = np.empty((len(targets), 4))
    law_moments(
        program,
        conductance,
        np.array(targets, np.float32),
        *_latents(program_kinds, time_kinds),
        np.array(program_parameters, np.float32),
        np.array(time_parameters, np.float32),
        np.array(telegraph, np.float32),
        np.empty((3 + max(states, 1)) * BLOCK, np.float32),
        moments,
    )
    return moments


@functools.lru_cache
def _latents(program: tuple[str, ...], held: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Points of the latents of programming and of each time, block by block, from their kinds."""
    from scipy.stats import qmc

    points = qmc.Sobol(max(len(program) + len(held), 1), scramble=True, rng=0).random(_POINTS)
    for j, kind in enumerate(program + held):
        if kind == NORMAL:
            column = ndtri(points[:, j])
            points[:, j] = (column - column.mean()) / column.std()
    blocks = points.reshape(-1, BLOCK, points.shape[1]).transpose(0, 2, 1)

    def part(own: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(own.reshape(len(own), -1), np.float32)

    return part(blocks[:, : len(program)]), part(blocks[:, len(program) :])


def _layer(
    crossbar: Crossbar, chip: Chip, time_s: float, inputs: int, verified: np.ndarray | None
) -> tuple[LayerMoments, np.ndarray]:
    """Moments of a layer's weights without compensation, and the expected read-out of each slice's cells."""
    own, mapped = crossbar.settings, crossbar.mapped
    device, telegraph, mapping = own.device, own.telegraph, own.mapping
    assert device is not None and telegraph is not None and mapping is not None

    def written(targets: np.ndarray, verify: WriteVerify | None) -> CellMoments:
        share = telegraph.frozen_share(inputs * crossbar.places) if telegraph.is_on else 1.0
        return cell_moments(
            device,
            targets,
            time_s=time_s,
            frozen_below_s=chip.frozen_below_s,
            telegraph=telegraph,
            frozen_share=share,
            verify=verify,
        )

    taken = np.zeros(1, bool) if verified is None else chosen_cells(crossbar, verified)

    def healthy(targets: np.ndarray) -> CellMoments:
        if taken.all():
            return written(targets, own.verify)
        once = written(targets, None)
        if not taken.any():
            return once
        again = written(targets, own.verify)
        return CellMoments(*(np.where(taken, a, o) for a, o in zip(again, once, strict=True)))

    def cells(targets: np.ndarray) -> CellMoments:
        return _with_faults(healthy(targets), crossbar)

    signed = crossbar.targets_us
    if is_repaired(crossbar):
        if taken.any() and not taken.all():
            raise UserError(
                f"layer {crossbar.name!r} has in-pair correction and some verified weights: the analytic "
                f"network knows all of them verified, or none"
            )
        mean, variance, read = _corrected_in_pair(healthy, crossbar)
    elif mapping.scheme == "pair":
        # One device of each pair is at rest.
        active, rest = cells(np.abs(signed) + device.g_min_us), cells(np.array(device.g_min_us))
        mean, variance = np.sign(signed) * (active.mean - rest.mean), active.variance + rest.variance
        read = active.read_variance + rest.read_variance
    else:
        mean, variance, read = cells(signed)
    scale = mapped.weight_scale / crossbar.range_us
    mean, variance, read = mean * scale, variance * scale**2, read * scale**2
    significance, of_line = mapped.significance[:, None] * mapped.held, mapped.line_significance
    if crossbar.sets > 1:
        # Currents add up before anything is read.
        mean, variance, read = mean[:1], variance[:1] / crossbar.sets, read[:1] / crossbar.sets
        significance = of_line = np.ones(significance[:1].shape)
    readout = np.zeros(0)
    if chip.compensation != "none":
        readout = of_line[:, :, None] * _mean_magnitude(mean, variance + read)
    lines = [
        (significance[:, :, None] ** power * part).sum(axis=0)
        for power, part in ((1, mean), (2, variance), (2, read))
    ]
    columns, rows = crossbar.matrix.shape
    groups, references = crossbar.window.groups, mapped.references
    each = columns // groups
    by_group = [part.reshape(groups, each + references, rows) for part in lines]
    own_parts = [part[:, :each].reshape(columns, rows) for part in by_group]
    shared = [part[:, each:].reshape(groups * references, rows) for part in by_group]
    reference_of = np.zeros(columns, np.int64)
    if references:
        column = np.arange(columns)
        reference_of = column // each * references + column % each // mapped.tile_columns
        own_parts[0] = own_parts[0] - shared[0][reference_of]
        own_parts[2] = own_parts[2] + shared[2][reference_of]
    factors = mapped.factors[:, None]
    mean, variance, read = own_parts[0] * factors, own_parts[1] * factors**2, own_parts[2] * factors**2
    return LayerMoments(mean, variance, read, shared[1], reference_of), readout


def _with_faults(law: CellMoments, crossbar: Crossbar) -> CellMoments:
    """The moments with cells that are stuck."""
    if crossbar.settings.faults is None or not crossbar.settings.faults.is_on:
        return law
    (works, _), *stuck = _cell_states(crossbar)
    mean, second = works * law.mean, works * (law.variance + law.mean**2)
    for share, g_us in stuck:
        mean, second = mean + share * g_us, second + share * g_us**2
    return CellMoments(mean, np.maximum(second - mean**2, 0), works * law.read_variance)


def _cell_states(crossbar: Crossbar) -> tuple[tuple[float, float], ...]:
    """Probability of a cell to work, to be stuck at low and at high resistance, with what it conducts, uS."""
    faults, device = crossbar.settings.faults, crossbar.settings.device
    assert faults is not None and device is not None
    works = 1 - faults.stuck_low - faults.stuck_high
    worn = works * faults.worn_share
    low = faults.stuck_low + worn * faults.worn_low
    high = faults.stuck_high + worn * (1 - faults.worn_low)
    low_us = device.g_max_us if faults.low_us == "device" else float(faults.low_us)
    high_us = device.g_min_us if faults.high_us == "device" else float(faults.high_us)
    return (1 - low - high, math.nan), (low, low_us), (high, high_us)


def _corrected_in_pair(healthy: Callable[[np.ndarray], CellMoments], crossbar: Crossbar) -> CellMoments:
    """Moments of pairs whose healthy device makes up for a stuck one, over the states of both devices."""
    device, wanted = crossbar.settings.device, crossbar.targets_us
    assert device is not None
    lowest, highest = device.g_min_us, device.g_max_us
    mean, second, read = np.zeros((3, *wanted.shape))
    for (p, plus), (q, minus) in itertools.product(_cell_states(crossbar), repeat=2):
        sides = [np.maximum(wanted, 0) + lowest, np.maximum(-wanted, 0) + lowest]
        if math.isnan(plus) and not math.isnan(minus):
            sides[0] = np.clip(minus + wanted, lowest, highest)
        elif math.isnan(minus) and not math.isnan(plus):
            sides[1] = np.clip(plus - wanted, lowest, highest)
        held: list[Any] = [
            healthy(target) if math.isnan(stuck) else CellMoments(np.array(stuck), np.zeros(()), np.zeros(()))
            for stuck, target in zip((plus, minus), sides, strict=True)
        ]
        own = held[0].mean - held[1].mean
        mean += p * q * own
        second += p * q * (own**2 + held[0].variance + held[1].variance)
        read += p * q * (held[0].read_variance + held[1].read_variance)
    return CellMoments(mean, np.maximum(second - mean**2, 0), read)


def _mean_magnitude(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Mean of the magnitude of a normal."""
    spread = np.sqrt(np.maximum(variance, 1e-300))
    a = mean / spread
    return np.where(
        variance > 0,
        spread * math.sqrt(2 / math.pi) * np.exp(-a * a / 2) + mean * (1 - 2 * ndtr(-a)),
        np.abs(mean),
    )
