"""Faults: which cells of one chip do not work, and what they conduct instead."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK, fill_uniforms
from .place import line_of_tile, lines_of_tile, rows_of_tile, tiles_of

_F = np.float32
WORKS = _F(-1)
"""Stands for the conductance of a cell without a fault."""


@compiled()
def _draw(plan, latent, chip, copy, block, u):
    own = plan.latents[latent]
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
def _open_lines(plan, layer, effects, chip, copy, across, down, u, stuck):
    """Word lines and bit lines of one tile that carry no current."""
    tile = across * tiles_of(layer)[1] + down
    first, lines, reference = lines_of_tile(layer, across)
    row, rows = rows_of_tile(layer, down)
    lines += reference >= 0
    for i in range(rows):
        if i % BLOCK == 0:
            block = tile * ((layer.tile_rows + BLOCK - 1) // BLOCK) + i // BLOCK
            _draw(plan, effects.row_latent, chip, copy, block, u)
        if u[i % BLOCK] <= effects.open_rows:
            for k in range(lines):
                line = line_of_tile(first, lines - (reference >= 0), reference, k)
                stuck[line * layer.rows + row + i] = _F(0)
    for k in range(lines):
        if k % BLOCK == 0:
            block = tile * ((layer.tile_columns + BLOCK) // BLOCK) + k // BLOCK
            _draw(plan, effects.column_latent, chip, copy, block, u)
        if u[k % BLOCK] <= effects.open_columns:
            line = line_of_tile(first, lines - (reference >= 0), reference, k)
            for i in range(rows):
                stuck[line * layer.rows + row + i] = _F(0)


@compiled()
def find_faults(plan, work, layer, effects, chip):
    """Write what each broken cell of a layer conducts to ``work.stuck``, and ``WORKS`` for the others.

    Parameters
    ----------
    plan : layout.Plan
    work : layout.Workspace
    layer : record of layout.LAYER
    effects : record of layout.EFFECTS
    chip : int
    """
    prefer_wide_vectors()
    size = layer.blocks * BLOCK
    u, worn, state = work.cells[:BLOCK], work.cells[BLOCK : 2 * BLOCK], work.cells[2 * BLOCK : 3 * BLOCK]
    for i in range(BLOCK):
        worn[i], state[i] = _F(2), _F(2)
    across, down = tiles_of(layer)
    for copy in range(layer.slices * layer.devices):
        stuck = work.stuck[effects.stuck_at + copy * size : effects.stuck_at + (copy + 1) * size]
        for block in range(layer.blocks):
            _draw(plan, effects.stuck_latent, chip, copy, block, u)
            if effects.worn > _F(0):
                _draw(plan, effects.worn_latent, chip, copy, block, worn)
                _draw(plan, effects.state_latent, chip, copy, block, state)
            _break_cells(effects, u, worn, state, stuck[block * BLOCK : (block + 1) * BLOCK])
        if effects.cluster_rate > _F(0):
            centres = work.field[:size]
            for block in range(layer.blocks):
                own = centres[block * BLOCK : (block + 1) * BLOCK]
                _draw(plan, effects.cluster_latent, chip, copy, block, own)
            for tile in range(across * down):
                _break_clusters(layer, effects, centres, tile // down, tile % down, stuck)
        if effects.open_rows > _F(0) or effects.open_columns > _F(0):
            for tile in range(across * down):
                _open_lines(plan, layer, effects, chip, copy, tile // down, tile % down, u, stuck)


@compiled()
def stick(stuck, g, variance):
    """Put the broken cells of one block at what they conduct."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        works = stuck[i] < _F(0)
        g[i] = g[i] if works else stuck[i]
        variance[i] = variance[i] if works else _F(0)
