"""The wires of a layer's tiles: each array's conductances become the effective ones."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types
from numba.extending import intrinsic

from .cache import compiled
from .latent import BLOCK
from .layout import LAYER
from .place import line_of_tile, lines_of_tile, rows_of_tile, tiles_of
from .pointer import caller
from .wires import WIRES, attenuate

_F = np.float32
_FLOATS = types.float32[::1]


@compiled()
def attenuate_layer(layer, wires, conductances, spreads, tile, work):
    """Put effective conductances in the place of those of one chip's layer.

    Parameters
    ----------
    layer : record of layout.LAYER
    wires : record of wires.WIRES
    conductances, spreads : ndarray of float32
        Of all copies of the layer's cells; changed. A cell's fluctuation about its mean, of which ``spreads``
        holds the variance, is taken to reach the sums as weakly as the cell itself does. That leaves out what
        other cells' currents take off its voltage, and so overstates the variance: by 3, 8, 17 and 41 % where
        wires take 5, 10, 20 and 40 % off the sums (``benchmarks/wires.py``).
    tile, work : ndarray of float32
        Scratch: one tile, and what :func:`wires.attenuate` needs.
    """
    size = layer.blocks * BLOCK
    across, down = tiles_of(layer)
    for copy in range(layer.slices * layer.sets * layer.devices):
        g = conductances[copy * size : (copy + 1) * size]
        for number in range(across * down):
            first, neighbours, reference = lines_of_tile(layer, number // down)
            row, rows = rows_of_tile(layer, number % down)
            lines = neighbours + (reference >= 0)
            for k in range(lines):
                at = line_of_tile(first, neighbours, reference, k) * layer.rows + row
                for i in range(rows):
                    tile[k * rows + i] = g[at + i]
            attenuate(tile, 0, rows, rows, lines, wires, work)
            for k in range(lines):
                at = line_of_tile(first, neighbours, reference, k) * layer.rows + row
                if layer.variance_at >= 0:
                    for i in range(rows):
                        share = tile[k * rows + i] / g[at + i] if g[at + i] > _F(0) else _F(0)
                        spreads[copy * size + at + i] *= share * share
                for i in range(rows):
                    g[at + i] = tile[k * rows + i]


ATTENUATE = types.void(from_dtype(LAYER), from_dtype(WIRES), _FLOATS, _FLOATS, _FLOATS, _FLOATS)


@intrinsic
def call_attenuate(typingctx, address, layer, wires, conductances, spreads, tile, work):
    """Call :func:`attenuate_layer` at ``address``."""
    return caller(ATTENUATE)
