"""Chips of one layer whose weights show what each cell conducts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import reliability as rl
from reliability.layers import Linear
from reliability.network import Network, Node

G_US = 10.0
IDEAL = rl.devices.ideal(g_max_us=G_US)


def network_of(weight: np.ndarray) -> Network:
    """One fully connected layer without biases."""
    bias = np.zeros(len(weight), np.float32)
    return Network((Node("fc", Linear(weight.astype(np.float32), bias), ("input",)),), (weight.shape[1],))


def layer_of(columns: int, rows: int, value: float = 1.0) -> Network:
    """One fully connected layer whose weights are all ``value``."""
    return network_of(np.full((columns, rows), value))


def cells(
    chip: rl.Chip, columns: int = 1000, rows: int = 1000, *, value: float = 1.0, **options
) -> np.ndarray:
    """Conductance of each cell (columns, rows), microsiemens: the positive device of a pair, the other empty.

    Where the chip changes empty cells too, this is the difference of both.
    """
    chip = replace(chip, mapping=rl.Mapping(weight_max=1.0))
    own = rl.chip_weights(layer_of(columns, rows, value), chip, **options)["fc"]
    return own * (chip.device.g_max_us - chip.device.g_min_us)
