"""What attacks descend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reliability.derivatives import cross_entropy
from reliability.layers import Softmax

Objective = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Given logits (n, classes) and labels (n,): slopes of each input's objective, shape (n, classes)."""


def margin(logits: np.ndarray, labels: np.ndarray, kappa: float = 0.0) -> np.ndarray:
    """Slope of ``max(z_y - max of the others, -kappa)``: inputs that are wrong by ``kappa`` do not count.

    N. Carlini, D. Wagner, Towards evaluating the robustness of neural networks, IEEE S&P 2017.
    """
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(axis=1)
    counts = logits[rows, labels] - others[rows, best] > -kappa
    slope = np.zeros_like(logits)
    slope[rows, labels] = counts
    slope[rows, best] = np.where(counts, -1, 0)
    return slope


def _right_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Slope of the softmax probability of the right class."""
    p = Softmax().forward(logits)
    rows = np.arange(len(labels))
    own = p[rows, labels]
    slope = -own[:, None] * p
    slope[rows, labels] += own
    return slope


def _sharp_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same of logits four times as far apart: inputs near a boundary count more."""
    return _right_probability(4 * logits, labels)


def _minus_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -cross_entropy(logits, labels)[1]


OBJECTIVES: dict[str, Objective] = {
    "cross-entropy": _minus_cross_entropy,
    "probability": _right_probability,
    "sharp probability": _sharp_probability,
    "margin": margin,
}
"""What attacks descend, by name. None wins everywhere: on LeNet the probability of the right class does
within small bounds, the cross-entropy within middle ones, and the margin within large ones, where the
cross-entropy ends with every input in one class."""
