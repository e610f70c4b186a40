"""What was observed on consecutive chips: one block of trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Block:
    """What was observed on consecutive chips under all conditions of one group.

    Attributes
    ----------
    bits : ndarray of uint8, shape (chips, times, variants, ceil(N / 8))
        Right or wrong for each input, packed; empty where the metric is not right or wrong.
    scores : ndarray of float64, shape (chips, times, variants)
        Mean of the metric over the inputs.
    checksums : ndarray of uint64, shape (chips, times, variants)
        Of the logits.
    clipped : ndarray of int64, shape (chips, times, variants, layers, 2)
        Inputs and column sums of each layer beyond their converter's range.
    shared : ndarray of uint8, shape (chips, times)
        Layers computed from sums that all chips share.
    cycles : ndarray of int64, shape (chips, layers, 2)
        Writes of each layer's verified devices, the first included, and what verifying the devices of all
        its weights would have taken; zero where there is no write-verify.
    """

    bits: np.ndarray
    scores: np.ndarray
    checksums: np.ndarray
    clipped: np.ndarray
    shared: np.ndarray
    cycles: np.ndarray

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """One block of neighbouring ones, in the order of chips."""
        return cls(*(np.concatenate([getattr(b, name) for b in blocks]) for name in cls.__annotations__))


def unpacked(bits: np.ndarray, inputs: int) -> np.ndarray:
    """Outcomes of a block's packed ones: bool, shape (..., inputs), or (..., 0) where there are none."""
    return np.unpackbits(bits, axis=-1, count=inputs if bits.shape[-1] else 0).astype(bool)
