"""Images as networks are often trained on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reliability.datasets import Dataset
from reliability.errors import UserError


def augmented(dataset: Dataset, margin: int, seed: int = 0) -> Dataset:
    """Images as networks are often trained on them: shifted at random, half of them mirrored.

    Parameters
    ----------
    dataset : Dataset
        Images, (N, channels, height, width) or (N, height, width).
    margin : int
        Largest shift, in pixels; what comes in is zero, as black is.
    seed : int

    Raises
    ------
    UserError
        If the dataset does not hold images.
    """
    x = dataset.x
    if x.ndim not in (3, 4):
        raise UserError(f"dataset {dataset.name!r} holds inputs of shape {x.shape[1:]}, which are no images")
    rng = np.random.default_rng(seed)
    height, width = x.shape[-2:]
    still = ((0, 0),) * (x.ndim - 2)
    wide = np.pad(x, (*still, (margin, margin), (margin, margin)))
    shifted = np.empty_like(x)
    for i in range(len(x)):
        down, right = rng.integers(2 * margin + 1, size=2)
        part = wide[i, ..., down : down + height, right : right + width]
        shifted[i] = part[..., ::-1] if rng.random() < 0.5 else part
    return replace(dataset, x=shifted)
