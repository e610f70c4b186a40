"""The latent draws that fix a chip: where they come from, and what they are.

A draw's address is (key, counter). The key comes from the study's seed, the quantity
drawn, the layer and the role; the counter from the device, its copy in the pair and the chip
(:mod:`reliability.kernels.latent`). Nothing else enters: not the tile, the thread, the condition
or the place in memory. So a chip is a number, and the same chips stand under every condition.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.devices.device import NORMAL
from reliability.errors import UserError
from reliability.kernels.latent import BLOCK, fill_normals, fill_uniforms
from reliability.network import Network
from reliability.settings import whole

Role = Literal["search", "certify"]
Supplied = Mapping[tuple[str, str], np.ndarray]
Seeds = Mapping[tuple[str, str], int]
"""Seeds by (layer, quantity) of draws that another seed than the study's gives; ``"*"`` stands for every one.

Layer ``""`` has the draws that all layers of a chip share."""


def key(
    seed: int,
    quantity: str,
    layer: str,
    role: Role,
    time_s: float | None = None,
    read: tuple[int, ...] = (),
) -> tuple[int, int]:
    """The two 32-bit words of a Philox key.

    Parameters
    ----------
    seed : int
    quantity : str
        What is drawn: ``"programming"``, ``"drift"``, ``"read_1f"``, ...
    layer : str
    role : {"search", "certify"}
        Chips that a search has seen never certify what it found.
    time_s : float, optional
        For what is drawn anew at each time: the time itself, not its place in a list, so that
        adding a time changes no other.
    read : tuple of int
        Where one multiplication takes several reads, which of them: first row of the tile, slice, pulse.
    """
    if role not in get_args(Role):
        raise UserError(f'role = {role!r} must be "search" or "certify"')
    name = json.dumps([seed, quantity, layer, role, None if time_s is None else float(time_s), *read])
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"reliability/1").digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def seed_of(layer: str, quantity: str, seed: int, seeds: Seeds) -> int:
    """The seed of a quantity's draws in a layer: its own where one is named, else the study's."""
    for at in ((layer, quantity), (layer, "*"), ("*", quantity), ("*", "*")):
        if at in seeds:
            return seeds[at]
    return seed


def check_supplied(latents: Supplied) -> None:
    """Raise :class:`UserError` where supplied latents are no arrays of numbers under their names."""
    for at, given in latents.items():
        pair = isinstance(at, tuple) and len(at) == 2
        if not pair or not isinstance(given, np.ndarray) or given.ndim < 4 or not np.isfinite(given).all():
            raise UserError(
                f"latents[{at!r}] must be an array of finite numbers under a pair (layer, latent), one "
                f"entry a chip; draw_latents gives such arrays"
            )


def check_chips(latents: Supplied, chips: int) -> None:
    """Raise :class:`UserError` where latents are supplied for fewer chips."""
    for (layer, name), given in latents.items():
        if len(given) < chips:
            raise UserError(
                f"latents of layer {layer!r}, {name!r}, are supplied for {len(given)} chips, "
                f"{chips} are asked for"
            )


def check_seeds(seeds: Seeds, network: Network) -> None:
    """Raise :class:`UserError` where seeds are given for a layer that a network does not have."""
    names = [node.name for node in network.weighted]
    for at, own in seeds.items():
        if at[0] not in ("", "*", *names):
            raise UserError(f"seeds[{at!r}] names no layer with weights: these are {', '.join(names)}")
        whole(f"seeds[{at!r}]", own, 0, 2**63 - 1)


def draw_latents(
    network: Network,
    chip: Chip,
    *,
    chips: int,
    first_chip: int = 0,
    times: Sequence[float] = (0.0,),
    seed: int = 0,
    role: Role = "certify",
) -> dict[tuple[str, str], np.ndarray]:
    """The latents that the counter gives, as arrays that :func:`simulate` takes.

    Parameters
    ----------
    network, chip
    chips, first_chip : int
        Chips ``first_chip`` to ``first_chip + chips - 1``.
    times : sequence of float
        Evaluation times, for latents that are drawn anew at each time.
    seed, role
        As in :func:`simulate`.

    Returns
    -------
    dict of (layer, latent) to ndarray of float32
        Shape (chips, copies, lines, rows), or (chips, times, copies, lines, rows) for those of each time.
        Copies are the positive and the negative device of a pair, slice after slice, or the one device of an
        offset mapping; lines are the weight columns, behind which an offset mapping has its references. Rows
        include the bias where devices hold it.
    """
    whole("chips", chips, 1, 2**31)
    whole("first_chip", first_chip, 0, 2**31)
    found = {}
    for name, crossbar in crossbars_of(chip_network(network, chip), chip).items():
        device = crossbar.settings.device
        if not crossbar.settings.analog or device is None:
            continue
        shape = (crossbar.copies, crossbar.lines, crossbar.matrix.shape[1])
        for latent in device.program_latents:
            words = key(seed, latent.name, name, role)
            found[name, latent.name] = np.stack(
                [_draw(latent.kind, words, c, shape) for c in range(first_chip, first_chip + chips)]
            )
        for latent in device.time_latents:
            keys = [key(seed, latent.name, name, role, t) for t in times]
            found[name, latent.name] = np.stack(
                [
                    np.stack([_draw(latent.kind, words, c, shape) for words in keys])
                    for c in range(first_chip, first_chip + chips)
                ]
            )
    return found


def _draw(kind: str, words: tuple[int, int], chip: int, shape: tuple[int, int, int]) -> np.ndarray:
    copies, lines, rows = shape
    blocks = math.ceil(lines * rows / BLOCK)
    out = np.empty((copies, blocks * BLOCK), np.float32)
    fill = fill_normals if kind == NORMAL else fill_uniforms
    for copy in range(copies):
        for block in range(blocks):
            address = (
                np.uint32(chip),
                np.uint32(copy),
                np.uint32(0),
                np.uint32(words[0]),
                np.uint32(words[1]),
            )
            fill(out[copy], block * BLOCK, block, *address)
    return out[:, : lines * rows].reshape(shape)
