"""Two halves of a set of inputs: one for a search, one for a certificate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.network import Network

_SWEEPS = 50


def halves(dataset: Dataset, network: Network, often: np.ndarray) -> np.ndarray:
    """Which inputs make the first of two halves, equally hard as far as can be told without any chip.

    Inputs are paired by how hard they are, and of each pair one goes to either half, so that the sums of
    what is expected of the halves, and of its variances, are as equal as they can be made. So what a search
    sees on one half is near to what holds on the other, which it does not see.

    Parameters
    ----------
    dataset : Dataset
    network : Network
    often : ndarray, shape (chips, N)
        How often each input is expected to be right, of several chips; there may be none.

    Returns
    -------
    ndarray of bool, shape (N,)
        Of an odd number the first half has one more.

    Raises
    ------
    UserError
        If there are fewer than two inputs.
    """
    if len(dataset) < 2:
        raise UserError(
            f"{len(dataset)} inputs have no two halves, one for the search and one for the certificate: take "
            f"more, or give fresh inputs"
        )
    logits = network.forward(network.prepare(dataset.x))
    right = np.take_along_axis(logits, np.asarray(dataset.y)[:, None], axis=1)[:, 0]
    others = logits.copy()
    others[np.arange(len(others)), dataset.y] = -np.inf
    margin = right - others.max(axis=1)
    order = np.lexsort((margin, *often, margin > 0))
    pairs = order[: 2 * (len(order) // 2)].reshape(-1, 2)
    features = np.concatenate([often, often * (1 - often), (margin > 0)[None].astype(float)])
    differences = (features[:, pairs[:, 0]] - features[:, pairs[:, 1]]).T
    chosen = pairs[np.arange(len(pairs)), (_balanced(differences) < 0).astype(int)]
    first = np.zeros(len(order), bool)
    first[chosen] = True
    first[order[2 * len(pairs) :]] = True
    return first


def cut(dataset: Dataset, first: np.ndarray) -> tuple[Dataset, Dataset]:
    """The two halves, each in the order of the whole."""
    parts = []
    for mine, name in ((first, "first half"), (~first, "second half")):
        rows = np.flatnonzero(mine)
        parts.append(replace(dataset, name=f"{dataset.name} ({name})", x=dataset.x[rows], y=dataset.y[rows]))
    return parts[0], parts[1]


def _balanced(differences: np.ndarray) -> np.ndarray:
    """Signs of vectors whose signed sum is small: the longest first, then one by one as long as it helps.

    Parameters
    ----------
    differences : ndarray, shape (vectors, dimensions)
    """
    signs = np.ones(len(differences))
    total = np.zeros(differences.shape[1])
    for i in np.argsort(-np.square(differences).sum(axis=1), kind="stable"):
        signs[i] = -1.0 if total @ differences[i] > 0 else 1.0
        total += signs[i] * differences[i]
    lengths = np.square(differences).sum(axis=1)
    for _ in range(_SWEEPS):
        # What turning each vector round takes off the squared sum.
        gains = 4 * (signs * (differences @ total) - lengths)
        best = int(np.argmax(gains))
        if gains[best] <= 1e-12:
            # No single turn helps; perhaps two do.
            turned = -2 * signs[:, None] * differences
            best, other = _best_pair(turned, total)
            if other < 0:
                break
            signs[other] *= -1
            total += 2 * signs[other] * differences[other]
        signs[best] *= -1
        total += 2 * signs[best] * differences[best]
    return signs


def _best_pair(turned: np.ndarray, total: np.ndarray) -> tuple[int, int]:
    """Two vectors whose turning makes the sum smallest; (-1, -1) where none makes it smaller."""
    rows = np.flatnonzero(np.abs(turned).sum(axis=1) > 1e-9)[:400]
    own = turned[rows]
    after = np.square(total[None, None] + own[:, None] + own[None]).sum(axis=2)
    np.fill_diagonal(after, np.inf)
    if after.size == 0 or after.min() >= np.square(total).sum() - 1e-12:
        return -1, -1
    first, second = np.unravel_index(int(after.argmin()), after.shape)
    return int(rows[first]), int(rows[second])
