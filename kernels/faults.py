"""Faults: which cells of one chip do not work, and what they conduct instead."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK, fill_uniforms
from .layout import EFFECTS, LATENT, LAYER
from .place import line_of_tile, lines_of_tile, rows_of_tile, tiles_of
from .pointer import caller

_F = np.float32
WORKS = _F(-1)
"""Stands for the conductance of a cell without a fault."""


@compiled()
def _draw(latents, latent, chip, copy, block, u):
    own = latents[latent]
    fill_uniforms(u, 0, block, np.uint32(chip), np.uint32(copy), np.uint32(0), own.key0, own.key1)


@compiled()
def _break_cells(effects, u, worn, state, stuck):
    """Cells that break by themselves: made so, or worn out. ``u``, ``worn`` and ``state`` are uniforms."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        failed = effects.low_us if state[i] <= effects.worn_low else effects.high_us
        found = failed if worn[i] <= effects.worn else WORKS
        found = effects.high_us if u[i] > _F(1) - effects.stuck_high else found
        stuck[i] = effects.low_us if u[i] <= effects.stuck_low else found


@compiled()
def _break_clusters(layer, effects, u, across, down, stuck):
    """Cells around the centres of one tile. ``u`` are uniforms of all cells of the layer."""
    first, lines, reference = lines_of_tile(layer, across)
    row, rows = rows_of_tile(layer, down)
    lines += reference >= 0
    reach = int(effects.cluster_radius)
    for k in range(lines):
        at = line_of_tile(first, lines - (reference >= 0), reference, k) * layer.rows + row
        for i in range(rows):
            if u[at + i] > effects.cluster_rate:
                continue
            for other in range(max(k - reach, 0), min(k + reach + 1, lines)):
                there = line_of_tile(first, lines - (reference >= 0), reference, other) * layer.rows + row
                for j in range(max(i - reach, 0), min(i + reach + 1, rows)):
                    distance = (other - k) * (other - k) + (j - i) * (j - i)
                    if distance <= effects.cluster_radius * effects.cluster_radius:
                        stuck[there + j] = effects.cluster_us


@compiled()
def _open_lines(latents, layer, effects, chip, copy, across, down, u, stuck):
    """Word lines and bit lines of one tile that carry no current."""
    tile = across * tiles_of(layer)[1] + down
    first, lines, reference = lines_of_tile(layer, across)
    row, rows = rows_of_tile(layer, down)
    lines += reference >= 0
    for i in range(rows):
        if i % BLOCK == 0:
            block = tile * ((layer.tile_rows + BLOCK - 1) // BLOCK) + i // BLOCK
            _draw(latents, effects.row_latent, chip, copy, block, u)
        if u[i % BLOCK] <= effects.open_rows:
            for k in range(lines):
                line = line_of_tile(first, lines - (reference >= 0), reference, k)
                stuck[line * layer.rows + row + i] = _F(0)
    for k in range(lines):
        if k % BLOCK == 0:
            block = tile * ((layer.tile_columns + BLOCK) // BLOCK) + k // BLOCK
            _draw(latents, effects.column_latent, chip, copy, block, u)
        if u[k % BLOCK] <= effects.open_columns:
            line = line_of_tile(first, lines - (reference >= 0), reference, k)
            for i in range(rows):
                stuck[line * layer.rows + row + i] = _F(0)


@compiled()
def find_faults(layer, effects, latents, chip, stuck, field, scratch):
    """Write what each broken cell of a layer conducts, and ``WORKS`` for the others.

    Parameters
    ----------
    layer : record of layout.LAYER
    effects : record of layout.EFFECTS
    latents : ndarray of layout.LATENT
    chip : int
    stuck : ndarray of float32
        Written: all copies of the layer's cells.
    field, scratch : ndarray of float32
        Scratch: one array's cells, and three blocks.
    """
    prefer_wide_vectors()
    size = layer.blocks * BLOCK
    u, worn, state = scratch[:BLOCK], scratch[BLOCK : 2 * BLOCK], scratch[2 * BLOCK : 3 * BLOCK]
    for i in range(BLOCK):
        worn[i], state[i] = _F(2), _F(2)
    across, down = tiles_of(layer)
    for copy in range(layer.slices * layer.sets * layer.devices):
        own_stuck = stuck[copy * size : (copy + 1) * size]
        for block in range(layer.blocks):
            _draw(latents, effects.stuck_latent, chip, copy, block, u)
            if effects.worn > _F(0):
                _draw(latents, effects.worn_latent, chip, copy, block, worn)
                _draw(latents, effects.state_latent, chip, copy, block, state)
            _break_cells(effects, u, worn, state, own_stuck[block * BLOCK : (block + 1) * BLOCK])
        if effects.cluster_rate > _F(0):
            for block in range(layer.blocks):
                own = field[block * BLOCK : (block + 1) * BLOCK]
                _draw(latents, effects.cluster_latent, chip, copy, block, own)
            for tile in range(across * down):
                _break_clusters(layer, effects, field, tile // down, tile % down, own_stuck)
        if effects.open_rows > _F(0) or effects.open_columns > _F(0):
            for tile in range(across * down):
                _open_lines(latents, layer, effects, chip, copy, tile // down, tile % down, u, own_stuck)


@compiled()
def stick(stuck, g, variance):
    """Put the broken cells of one block at what they conduct."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        works = stuck[i] < _F(0)
        g[i] = g[i] if works else stuck[i]
        variance[i] = variance[i] if works else _F(0)


_FLOATS = types.float32[::1]
FAULTS = types.void(
    from_dtype(LAYER), from_dtype(EFFECTS), types.Array(from_dtype(LATENT), 1, "C"), types.int64,
    _FLOATS, _FLOATS, _FLOATS,
)  # fmt: skip


@intrinsic
def call_faults(typingctx, address, layer, effects, latents, chip, stuck, field, scratch):
    """Call :func:`find_faults` at ``address``."""
    return caller(FAULTS)
