"""Correlated variation: what each cell's conductance is multiplied by on one chip."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK, fill_normals
from .layout import EFFECTS, LATENT, LAYER
from .place import line_of_tile, lines_of_tile, rows_of_tile, tiles_of
from .pointer import caller

_F = np.float32


@compiled()
def _draw(latents, latent, chip, copy, block, z):
    own = latents[latent]
    fill_normals(z, 0, block, np.uint32(chip), np.uint32(copy), np.uint32(0), own.key0, own.key1)


@compiled()
def _correlate(layer, field, memory, sigma, across, down, before, gains):
    """Filter one tile's white noise along its rows, then along its lines, and add it to the gains."""
    first, lines, reference = lines_of_tile(layer, across)
    row, rows = rows_of_tile(layer, down)
    fresh = np.sqrt(_F(1) - memory * memory)
    for k in range(lines + (reference >= 0)):
        at = line_of_tile(first, lines, reference, k) * layer.rows + row
        value = field[at]
        for i in range(rows):
            if i > 0:
                value = memory * value + fresh * field[at + i]
            filtered = value
            if k > 0:
                filtered = memory * before[i] + fresh * value
            before[i] = filtered
            gains[at + i] += sigma * filtered


@compiled()
def find_gains(layer, effects, latents, chip, gains, field, before, z):
    """Write what each cell of a layer is multiplied by.

    Parameters
    ----------
    layer : record of layout.LAYER
    effects : record of layout.EFFECTS
    latents : ndarray of layout.LATENT
    chip : int
    gains : ndarray of float32
        Written: all copies of the layer's cells.
    field, before, z : ndarray of float32
        Scratch: one array's cells, one line of a tile, and one block.
    """
    prefer_wide_vectors()
    size = layer.blocks * BLOCK
    _draw(latents, effects.wafer_latent, chip if effects.own_wafer else 0, 0, 0, z)
    common = _F(1) + effects.wafer * z[0]
    _draw(latents, effects.die_latent, chip, 0, 0, z)
    common += effects.die * z[0]
    across, down = tiles_of(layer)
    for copy in range(layer.slices * layer.sets * layer.devices):
        own_gains = gains[copy * size : (copy + 1) * size]
        for i in range(size):
            own_gains[i] = common
        if effects.cell > _F(0):
            for block in range(layer.blocks):
                _draw(latents, effects.cell_latent, chip, copy, block, z)
                for i in range(BLOCK):
                    own_gains[block * BLOCK + i] += effects.cell * z[i]
        if effects.field > _F(0):
            for block in range(layer.blocks):
                _draw(
                    latents,
                    effects.field_latent,
                    chip,
                    copy,
                    block,
                    field[block * BLOCK : (block + 1) * BLOCK],
                )
        for tile in range(across * down):
            if effects.field > _F(0):
                _correlate(
                    layer, field, effects.memory, effects.field, tile // down, tile % down, before, own_gains
                )
            if effects.tile > _F(0):
                if tile % BLOCK == 0:
                    _draw(latents, effects.tile_latent, chip, copy, tile // BLOCK, z)
                own = effects.tile * z[tile % BLOCK]
                first, lines, reference = lines_of_tile(layer, tile // down)
                row, rows = rows_of_tile(layer, tile % down)
                for k in range(lines + (reference >= 0)):
                    at = line_of_tile(first, lines, reference, k) * layer.rows + row
                    for i in range(rows):
                        own_gains[at + i] += own
        for i in range(size):
            own_gains[i] = max(own_gains[i], _F(0))


@compiled()
def vary(gains, g, variance):
    """Multiply the conductances of one block of cells."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        g[i] *= gains[i]
        variance[i] *= gains[i] * gains[i]


_FLOATS = types.float32[::1]
GAINS = types.void(
    from_dtype(LAYER), from_dtype(EFFECTS), types.Array(from_dtype(LATENT), 1, "C"), types.int64,
    _FLOATS, _FLOATS, _FLOATS, _FLOATS,
)  # fmt: skip


@intrinsic
def call_gains(typingctx, address, layer, effects, latents, chip, gains, field, before, z):
    """Call :func:`find_gains` at ``address``."""
    return caller(GAINS)
