"""Where every random number comes from: keys from the seed and names.

A draw's address is (key, counter). The key comes from the study's seed, the quantity
drawn, the layer and the role; the counter from the device, its copy in the pair and the chip
(:mod:`reliability.kernels.latent`). Nothing else enters: not the tile, the thread, the condition
or the place in memory. So a chip is a number, and the same chips stand under every condition.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

Role = Literal["search", "certify"]


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
    name = json.dumps([seed, quantity, layer, role, None if time_s is None else float(time_s)])
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"reliability/1").digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
