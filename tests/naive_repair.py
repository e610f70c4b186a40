"""Slow, obvious twin of a repair: fault maps cell by cell, all permutations, one weight at a time.

Pairs of devices without slices, whose cells break by themselves. Nothing here uses the kernels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from naive import device_uniform

from reliability.chip import Chip
from reliability.latents import key


def fault_map(
    chip: Chip, layer: str, shape: tuple[int, int], number: int, seed: int, of: str = ""
) -> np.ndarray:
    """What the cells conduct, NaN for one that works, shape (2, columns, rows)."""
    faults, device = chip.faults, chip.device
    words = key(seed, f"stuck {of}".strip(), layer, "certify")
    found = np.full((2, *shape), np.nan)
    for copy, column, row in np.ndindex(found.shape):
        u = device_uniform(column * shape[1] + row, number, copy, words)
        if u <= faults.stuck_low:
            found[copy, column, row] = device.g_max_us
        elif u > 1 - np.float32(faults.stuck_high):
            found[copy, column, row] = device.g_min_us
    return found


def held(weight_us: float, plus: float, minus: float, device, in_pair: bool) -> float:
    """What a pair holds of a wanted difference, uS, if its cells conduct so much or work (NaN)."""
    wanted_plus = device.g_min_us + max(weight_us, 0)
    wanted_minus = device.g_min_us + max(-weight_us, 0)
    if in_pair and np.isnan(plus) and not np.isnan(minus):
        wanted_plus = min(max(minus + weight_us, device.g_min_us), device.g_max_us)
    if in_pair and np.isnan(minus) and not np.isnan(plus):
        wanted_minus = min(max(plus - weight_us, device.g_min_us), device.g_max_us)
    return (wanted_plus if np.isnan(plus) else plus) - (wanted_minus if np.isnan(minus) else minus)


def tile_weights(weights: np.ndarray, cells: np.ndarray, device, in_pair: bool) -> np.ndarray:
    """What the cells (2, columns, rows) hold of wanted differences (columns, rows)."""
    out = np.empty(weights.shape)
    for at in np.ndindex(weights.shape):
        out[at] = held(weights[at], cells[0][at], cells[1][at], device, in_pair)
    return out


def placements(count: int, spares: int, remap: bool) -> Iterator[tuple[int, ...]]:
    """Where rows, or columns, can stand: any order, or their own places and spare ones."""
    for places in itertools.permutations(range(count + spares), count):
        if remap or all(place in (i, *range(count, count + spares)) for i, place in enumerate(places)):
            yield places


def tile_errors(
    weights: np.ndarray, cells: np.ndarray, device, *, in_pair: bool, power: np.ndarray
) -> np.ndarray:
    """Weighted squared error of each row's weights in each word line of (2, columns, word lines)."""
    rows, lines = weights.shape[1], cells.shape[2]
    cost = np.empty((rows, lines))
    for row, line in np.ndindex(cost.shape):
        own = tile_weights(weights[:, [row]], cells[:, :, [line]], device, in_pair)
        cost[row, line] = power[row] * ((own - weights[:, [row]]) ** 2).sum()
    return cost


def least_error(cost: np.ndarray, remap: bool) -> float:
    """The smallest total of all placements of rows."""
    rows = range(len(cost))
    return min(
        cost[list(rows), list(places)].sum()
        for places in placements(len(cost), cost.shape[1] - len(cost), remap)
    )
