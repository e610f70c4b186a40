"""Logits of the digital network, and of a chip whose numbers nothing is drawn for."""

from __future__ import annotations

import numpy as np

from reliability.chip import Chip, LayerChip
from reliability.devices import ideal as ideal_device
from reliability.network import Network
from reliability.plan import compile_plan

# Multiply-adds from which on the digital network is computed by the kernels.
_LONG = 1e10


def digital_logits(network: Network, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logits of the digital network; by the kernels where plain NumPy would take long.

    Parameters
    ----------
    network : Network
    x : ndarray of float32, shape (N, *input_shape)
        Prepared inputs.
    y : ndarray of int, shape (N,)
        Labels.

    Returns
    -------
    ndarray of float32, shape (N, classes)
    """
    if network.products_per_input * len(y) < _LONG:
        return network.forward(x)
    return chip_logits(network, Chip(device=ideal_device(), layers={"*": LayerChip(analog=False)}), x, y)


def chip_logits(network: Network, chip: Chip, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logits of chip 0 of seed 0 right after programming, by the kernels; parameters as above."""
    plan = compile_plan(network, x, y, chip)
    ranks = np.empty((1, 1, 1, len(x)), np.uint8)
    logits = np.empty((*ranks.shape, network.classes), np.float32)
    sums, clipped = np.zeros((1, 1, 1), np.uint64), np.zeros((1, 1, 1, len(plan.layers), 2), np.int64)
    shared, cycles = np.zeros((1, 1), np.uint8), np.zeros((1, len(plan.layers), 2), np.int64)
    plan.run(plan.scratch(1), 0, np.arange(1), 1, ranks, sums, clipped, shared, cycles, logits)
    return logits[0, 0, 0]
