"""Which weights of a chip write-verify takes, and what its loops need to know of a device."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from reliability.chip import Chip, LayerChip
from reliability.crossbar import Crossbar, analog_crossbars
from reliability.devices.device import NORMAL as NORMAL_KIND
from reliability.devices.device import Device, Latent
from reliability.errors import UserError
from reliability.kernels.latent import BLOCK, NORMAL, UNIFORM
from reliability.kernels.law import law_address
from reliability.kernels.layout import EFFECTS, LATENT, LAYER, LOOP
from reliability.kernels.moments import verified_moments as law_verified_moments
from reliability.mapping import weight_max
from reliability.network import Network
from reliability.npz import read_npz
from reliability.telegraph import Telegraph
from reliability.write_verify import WriteVerify

_DEVICES = 1 << 16
"""Pseudo-devices of each target, from whose loops moments are taken."""

_TARGETS = 65
"""Targets between which expected writes are interpolated."""

VERIFIED_ALREADY = (
    "is that of devices that write-verify had programmed: verify.share must be 0; for write-verify of "
    "phase-change memory there is a law of single pulses, 'pcm_pulses'"
)


def verified_crossbars(network: Network, chip: Chip) -> dict[str, Crossbar]:
    """The layers of a chip that have verified devices, by name."""
    found = analog_crossbars(network, chip)
    return {name: crossbar for name, crossbar in found.items() if is_verified(crossbar.settings)}


def is_verified(settings: LayerChip) -> bool:
    """Whether a layer has devices that are verified."""
    return settings.analog and settings.verify is not None and settings.verify.is_on


def chosen_weights(crossbars: Mapping[str, Crossbar]) -> dict[str, np.ndarray]:
    """The weights whose devices are verified.

    Parameters
    ----------
    crossbars : mapping of str to Crossbar
        All layers of a chip.

    Returns
    -------
    dict of str to ndarray of bool, shape (columns, rows)
        Of every layer with verified weights; empty where there is none.

    Raises
    ------
    UserError
        If a file of scores does not fit, or a layer's devices cannot be verified.
    """
    found: dict[str, np.ndarray] = {}
    pools: dict[tuple, list[Crossbar]] = {}
    for crossbar in crossbars.values():
        if not is_verified(crossbar.settings):
            continue
        verify = crossbar.settings.verify
        assert verify is not None
        check_loop(crossbar.name, crossbar.settings)
        pool = verify.order, verify.scope, crossbar.name if verify.scope == "layer" else ""
        pools.setdefault(pool, []).append(crossbar)
    for (order, _, _), members in pools.items():
        scores = [scores_of(crossbar, order).ravel() for crossbar in members]
        joined = np.concatenate(scores)
        # The first of equal scores goes first.
        place = np.empty(len(joined), np.int64)
        place[np.argsort(-joined, kind="stable")] = np.arange(len(joined))
        ends = np.cumsum([len(own) for own in scores])
        for crossbar, own in zip(members, np.split(place, ends[:-1]), strict=True):
            assert crossbar.settings.verify is not None
            count = math.floor(crossbar.settings.verify.share * len(joined) + 0.5)
            found[crossbar.name] = (own < count).reshape(crossbar.matrix.shape)
    return found


def chosen_cells(crossbar: Crossbar, weights: np.ndarray) -> np.ndarray:
    """The cells that are verified, shape (slices, lines, rows): reference lines where any weight is."""
    columns, rows = weights.shape
    groups, references = crossbar.window.groups, crossbar.mapped.references
    lines = np.zeros((groups, columns // groups + references, rows), bool)
    lines[:, : columns // groups] = weights.reshape(groups, -1, rows)
    lines[:, columns // groups :] = weights.any()
    count, verify = len(crossbar.mapped.significance), crossbar.settings.verify
    assert verify is not None
    verified = count if verify.slices == "all" else verify.slices
    return lines.reshape(-1, rows) & (np.arange(count) < verified)[:, None, None]


def scores_of(crossbar: Crossbar, order: str) -> np.ndarray:
    """A layer's scores, the first to verify the highest, shape (columns, rows)."""
    shape = crossbar.matrix.shape
    if order == "magnitude":
        mapping = crossbar.settings.mapping
        assert mapping is not None
        return np.abs(crossbar.matrix) / weight_max(crossbar.matrix, mapping)
    if order == "random":
        return random_scores(crossbar.name, shape)
    path = Path(order)
    scores = _scores(path, path.stat().st_mtime_ns if path.is_file() else 0)
    own = scores.get(crossbar.name)
    if own is None or own.shape != shape:
        held = "none" if own is None else str(own.shape)
        raise UserError(
            f"file of scores {order} must hold an array of shape {shape} (columns, rows) for layer "
            f"{crossbar.name!r}, holds {held}"
        )
    if not np.isfinite(own).all():
        raise UserError(
            f"file of scores {order} holds values that are no numbers, in layer {crossbar.name!r}"
        )
    return own


def random_scores(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Uniforms of a layer, the same on all chips and under all conditions."""
    words = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(words, "little")]).random(shape)


@lru_cache(8)
def _scores(path: Path, changed: int) -> dict[str, np.ndarray]:
    """A file's scores; ``changed`` is when it was written."""
    return read_npz(path, "file of scores")


def check_loop(name: str, settings: LayerChip) -> None:
    """Raise :class:`UserError` where a layer's devices cannot be verified, or not by steps."""
    device, verify = settings.device, settings.verify
    assert device is not None and verify is not None
    if device.verified:
        raise UserError(f"layer {name!r}: the law {device.law!r} {VERIFIED_ALREADY}")
    if verify.pulse == "step" and not holds_conductance(device):
        raise UserError(
            f"layer {name!r}: verify.pulse = 'step' moves what a device holds, and needs a law whose single "
            f"state is the conductance that was programmed; {device.law!r} is none: use 'redraw'"
        )


def loop_numbers(device: Device, verify: WriteVerify, noisy: bool) -> dict[str, float]:
    """The numbers of a loop as the kernels take them; ``noisy`` where cells redraw something of their own."""
    noise = verify.noise * device.g_max_us
    lowest, highest = device.bounds_us
    return {
        "tolerance": verify.tolerance * device.g_max_us,
        "most": verify.max_cycles,
        "noisy": int(noise > 0 or noisy),
        "noise": noise**2,
        "step": verify.step if verify.pulse == "step" else 0.0,
        "step_sigma": verify.step_sigma * device.g_max_us,
        "lowest": lowest,
        "highest": highest,
    }


def verified_moments(
    device: Device,
    verify: WriteVerify,
    targets_us: np.ndarray,
    *,
    time_s: float = 0.0,
    frozen_below_s: float | None = None,
    telegraph: Telegraph | None = None,
) -> np.ndarray:
    """Moments of verified devices by target, from the very loops that simulate them.

    Parameters
    ----------
    device : Device
    verify : WriteVerify
    targets_us : ndarray, shape (targets,)
        Microsiemens.
    time_s : float
        Since the reference read, seconds.
    frozen_below_s : float, optional
        As in :meth:`Device.time_parameters`.
    telegraph : Telegraph, optional

    Returns
    -------
    ndarray of float64, shape (targets, 5)
        Mean (uS), variance over chips, mean variance of a read, mean squared jump of telegraph noise (uS**2),
        and mean writes of a device; of 65,536 pseudo-devices a target, the same for all targets.
    """
    noise = telegraph if telegraph is not None and telegraph.is_on else None
    jumps = (0.0, 0.0, 0.0, 0.0)
    if noise is not None:
        jumps = noise.amplitude, noise.exponent, math.log(noise.g_ref_us), noise.occupancy
    loop = loop_numbers(device, verify, device.redraws(frozen_below_s) or noise is not None)
    return _moments_of_loops(
        law_address(device.program),
        law_address(device.conductance),
        tuple(np.asarray(targets_us, np.float64).tolist()),
        tuple(device.program_latents),
        tuple(device.time_latents),
        tuple(device.program_parameters()),
        tuple(device.time_parameters(0.0, frozen_below_s)),
        tuple(device.time_parameters(time_s, frozen_below_s)),
        device.states,
        jumps,
        tuple(loop.items()),
    )


@lru_cache(64)
def _moments_of_loops(
    program: int,
    conductance: int,
    targets: tuple[float, ...],
    program_latents: tuple[Latent, ...],
    time_latents: tuple[Latent, ...],
    program_parameters: tuple[float, ...],
    verify_parameters: tuple[float, ...],
    time_parameters: tuple[float, ...],
    states: int,
    telegraph: tuple[float, ...],
    loop_items: tuple[tuple[str, float], ...],
) -> np.ndarray:
    layer, effects, loop = (np.zeros(1, kind)[0] for kind in (LAYER, EFFECTS, LOOP))
    kinds = [latent.kind for latent in (*program_latents, *time_latents, *time_latents)]
    keys = np.array(
        [(NORMAL if kind == NORMAL_KIND else UNIFORM, i, 0, -1, 0) for i, kind in enumerate(kinds)]
        + [(NORMAL, len(kinds), 0, -1, 0), (NORMAL, len(kinds) + 1, 0, -1, 0)],
        LATENT,
    )
    held_at = len(program_latents)
    numbers: dict[str, float] = {
        "program": program,
        "conductance": conductance,
        "states": states,
        "rows": _DEVICES,
        "lines": 1,
        "program_latents": held_at,
        "time_latents": len(time_latents),
        "time_latents_at": held_at + len(time_latents),
        "program_parameters": len(program_parameters),
        "verify_at": len(program_parameters),
        "time_parameters": len(verify_parameters),
    }
    jumps = zip(("amplitude", "exponent", "log_g_ref", "occupancy"), telegraph, strict=True)
    for record, items in ((layer, numbers.items()), (effects, jumps), (loop, loop_items)):
        for name, value in items:
            record[name] = value
    loop["held_at"], loop["read_at"], loop["step_at"] = held_at, len(kinds), len(kinds) + 1
    latents = max(len(program_latents), len(time_latents), 1)
    moments = np.empty((len(targets), 5))
    parameters = np.array((*program_parameters, *verify_parameters), np.float32)
    law_verified_moments(
        layer,
        effects,
        loop,
        keys,
        parameters,
        np.array(targets, np.float32),
        _DEVICES // BLOCK,
        np.array(time_parameters, np.float32),
        np.array(telegraph[:3], np.float32),
        np.empty((4 + states + latents) * BLOCK + loop_size(states, latents), np.float32),
        np.zeros(BLOCK, np.int32),
        moments,
    )
    return moments


def expected_writes(
    crossbar: Crossbar, chosen: np.ndarray, frozen_below_s: float | None = None
) -> tuple[float, int]:
    """Expected writes of a layer's verified devices, the first included, and how many devices these are.

    Parameters
    ----------
    crossbar : Crossbar
    chosen : ndarray of bool, shape (columns, rows)
        From :func:`chosen_weights`.
    frozen_below_s : float, optional
        As in :meth:`Device.time_parameters`.

    Notes
    -----
    Of cells that work: a broken cell far from its target takes ``max_cycles``.
    """
    cells = chosen_cells(crossbar, chosen)
    mapping = crossbar.settings.mapping
    assert mapping is not None
    devices = int(cells.sum()) * (2 if mapping.scheme == "pair" else 1)
    return float(_writes_of_cells(crossbar, frozen_below_s)[cells].sum()) if devices else 0.0, devices


def expected_nwc(
    crossbars: Mapping[str, Crossbar], scores: Mapping[str, np.ndarray], frozen_below_s: float | None = None
) -> np.ndarray:
    """Normalised write cycles that verifying the first weights takes, as :func:`expected_writes` has them.

    Parameters
    ----------
    crossbars : mapping of str to Crossbar
        Of :func:`verified_crossbars`.
    scores : mapping of str to ndarray, shape (columns, rows)
        Of the same layers; weights of all layers are verified in the one order of these, the highest first.
    frozen_below_s : float, optional

    Returns
    -------
    ndarray, shape (weights + 1,)
        Of the first 0, 1, ... weights: expected writes over those of all slices of all weights.
    """
    of_weights, of_references, whole = [], 0.0, 0.0
    for name, crossbar in crossbars.items():
        writes = _writes_of_cells(crossbar, frozen_below_s)
        chosen = chosen_cells(crossbar, np.ones_like(scores[name], bool))
        whole += writes.sum()
        groups, references = crossbar.window.groups, crossbar.mapped.references
        taken = np.where(chosen, writes, 0.0).sum(axis=0).reshape(groups, -1, writes.shape[-1])
        columns = taken.shape[1] - references
        of_weights.append(taken[:, :columns].ravel())
        of_references += taken[:, columns:].sum()
    order = np.argsort(-np.concatenate([scores[name].ravel() for name in crossbars]), kind="stable")
    return np.concatenate([[0.0], of_references + np.cumsum(np.concatenate(of_weights)[order])]) / whole


def _writes_of_cells(crossbar: Crossbar, frozen_below_s: float | None) -> np.ndarray:
    """Expected writes of each cell, of both devices of a pair, shape (slices, lines, rows)."""
    own = crossbar.settings
    assert own.device is not None and own.mapping is not None and own.verify is not None
    is_pair, lowest = own.mapping.scheme == "pair", own.device.g_min_us
    targets = crossbar.targets_us
    if is_pair:
        targets = np.abs(targets) + lowest
    points, places = np.unique(np.append(targets.ravel(), lowest), return_inverse=True)
    steps = points if len(points) <= _TARGETS else np.linspace(points[0], points[-1], _TARGETS)
    cycles = verified_moments(
        own.device, own.verify, steps, frozen_below_s=frozen_below_s, telegraph=own.telegraph
    )[:, 4]
    writes = np.interp(points, steps, cycles)[places]
    # The other device of a pair holds the least.
    return writes[:-1].reshape(targets.shape) + (writes[-1] if is_pair else 0.0)


def loop_size(states: int, latents: int) -> int:
    """Floats that verifying one block needs, of a law with so many states, and latents drawn at once."""
    return (7 + 2 * states + max(latents, 1)) * BLOCK


def holds_conductance(device: Device) -> bool:
    """Whether a device's single state is what it conducts at the reference read, but for what is redrawn."""
    if device.states != 1:
        return False
    # What it conducts is looked at, since a user's own law may keep anything in its state.
    span = device.g_max_us - device.g_min_us
    state = (device.g_min_us + span * np.linspace(0, 1, BLOCK)).astype(np.float32)
    latents = np.zeros(max(len(device.time_latents), 1) * BLOCK, np.float32)
    g, variance = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    parameters = np.array(device.time_parameters(0.0, None), np.float32)
    type(device).conductance(state, latents, g, variance, parameters)
    return bool(np.allclose(g, state, rtol=1e-5, atol=1e-5 * device.g_max_us))
