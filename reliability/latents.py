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
from reliability.devices.device import NORMAL
from reliability.errors import UserError
from reliability.kernels.latent import BLOCK, fill_normals, fill_uniforms
from reliability.layers import Conv2d, Linear
from reliability.network import Network
from reliability.settings import whole

Role = Literal["search", "certify"]
Supplied = Mapping[tuple[str, str], np.ndarray]


def key(seed: int, quantity: str, layer: str, role: Role, time_s: float | None = None) -> tuple[int, int]:
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
    """
    if role not in get_args(Role):
        raise UserError(f'role = {role!r} must be "search" or "certify"')
    name = json.dumps([seed, quantity, layer, role, None if time_s is None else float(time_s)])
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"reliability/1").digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


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
        Shape (chips, 2, columns, rows), or (chips, times, 2, columns, rows) for those of each time; the
        first copy is the positive device of a pair. Rows include the bias where devices hold it.
    """
    whole("chips", chips, 1, 2**31)
    whole("first_chip", first_chip, 0, 2**31)
    found = {}
    nodes = network.weighted
    chip.check_layers([node.name for node in nodes])
    for position, node in enumerate(nodes):
        own = chip.layer(node.name, position, len(nodes))
        if not own.analog:
            continue
        assert isinstance(node.layer, Linear | Conv2d) and own.device is not None and own.mapping is not None
        columns, rows = len(node.layer.weight), node.layer.weight[0].size
        rows += own.mapping.bias == "devices" and node.layer.bias is not None
        for latent in own.device.program_latents:
            words = key(seed, latent.name, node.name, role)
            found[node.name, latent.name] = np.stack(
                [_draw(latent.kind, words, c, columns, rows) for c in range(first_chip, first_chip + chips)]
            )
        for latent in own.device.time_latents:
            keys = [key(seed, latent.name, node.name, role, t) for t in times]
            found[node.name, latent.name] = np.stack(
                [
                    np.stack([_draw(latent.kind, words, c, columns, rows) for words in keys])
                    for c in range(first_chip, first_chip + chips)
                ]
            )
    return found


def _draw(kind: str, words: tuple[int, int], chip: int, columns: int, rows: int) -> np.ndarray:
    blocks = math.ceil(columns * rows / BLOCK)
    out = np.empty((2, blocks * BLOCK), np.float32)
    fill = fill_normals if kind == NORMAL else fill_uniforms
    for copy in range(2):
        for block in range(blocks):
            address = (
                np.uint32(chip),
                np.uint32(copy),
                np.uint32(0),
                np.uint32(words[0]),
                np.uint32(words[1]),
            )
            fill(out[copy], block * BLOCK, block, *address)
    return out[:, : columns * rows].reshape(2, columns, rows)
