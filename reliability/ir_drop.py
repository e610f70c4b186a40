"""A fast approximation of what wires take from column sums.

The library's own wires are solved exactly (``kernels.wires``); this formula stands beside them for comparison
with other simulators and is used nowhere in their place.
"""

from __future__ import annotations

import numpy as np

from reliability.errors import UserError

WIRE_RATIO = 1 / (0.35 * 5e-6)
"""Conductance of a segment of 0.35 ohm over a largest cell conductance of 5 uS."""


def quadratic_ir_drop(
    weights: np.ndarray, inputs: np.ndarray, *, wire_ratio: float = WIRE_RATIO, scale: float = 1.0
) -> np.ndarray:
    """Column sums with the position-quadratic approximation of IR drop.

    This is an approximation, not a solution of the circuit. It sees the bit lines only; the voltage along one
    is taken for a parabola, whose height follows from the sum of all the column's currents, wherever they
    enter; and a cell is taken to lose in proportion to its own input, while in the circuit the voltage that
    the other cells leave on the bit line takes the same from it whatever its input. With ``n`` rows and
    ``a = n / wire_ratio * sum over i of |w[i] x[i]|``, a column's sum loses
    ``scale * a * (a * (0.05 a - 0.2) + 0.5) * sum over i of w[i] x[i] (1 - (1 - i / n)**2)``.

    It is near the circuit for columns of like cells whose inputs are all full, and finds about half of the
    drop where inputs are uniform between 0 and 1 (``benchmarks/wires.py`` measures it).

    Parameters
    ----------
    weights : array_like, shape (columns, rows)
        Over the largest cell conductance, negative where a pair's negative cell conducts. Row 0 is next to
        where the column's current is sensed.
    inputs : array_like, shape (..., rows)
        Over the largest voltage.
    wire_ratio : float
        Conductance of the wire between two cells over the largest cell conductance, positive.
    scale : float
        Factor of the drop, not negative.

    Returns
    -------
    ndarray of float64, shape (..., columns)

    Raises
    ------
    UserError
        If shapes do not fit each other or a value is not allowed.

    References
    ----------
    The formula is that of aihwkit's analog forward pass (``ir_drop`` and ``ir_drop_g_ratio``); Rasch et al.,
    "A flexible and fast PyTorch toolkit for simulating training and inference on analog crossbar arrays",
    AICAS 2021.
    """
    w, x = np.asarray(weights, np.float64), np.asarray(inputs, np.float64)
    if w.ndim != 2 or w.size == 0:
        raise UserError(f"weights have shape {w.shape}, must have two axes (columns, rows), neither empty")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise UserError(f"inputs have shape {x.shape}, their last axis must be the {w.shape[1]} rows")
    if not 0 < wire_ratio < np.inf:
        raise UserError(f"wire_ratio = {wire_ratio!r} must be a positive number")
    if not 0 <= scale < np.inf:
        raise UserError(f"scale = {scale!r} must be a number of at least 0")
    rows = w.shape[1]
    position = 1 - (1 - np.arange(rows) / rows) ** 2
    a = rows / wire_ratio * (np.abs(x) @ np.abs(w).T)
    drop = a * (a * (0.05 * a - 0.2) + 0.5)
    return x @ w.T - scale * drop * (x @ (w * position).T)
