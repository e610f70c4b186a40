"""Cross-entropy, and its derivative."""

from __future__ import annotations

import numpy as np


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of each input, and its derivative with respect to the logits.

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
    labels : ndarray of int, shape (N,)

    Returns
    -------
    ndarray, shape (N,)
        In nats.
    ndarray, shape (N, classes)
        ``softmax(logits) - one_hot(labels)``.
    """
    rows = np.arange(len(labels))
    below = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(below)
    sums = powers.sum(axis=1, keepdims=True)
    loss = np.log(sums[:, 0]) - below[rows, labels]
    slope = powers / sums
    slope[rows, labels] -= 1
    return loss, slope
