"""What becomes of the logits: ranks of the right classes, and a checksum."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .intrinsics import bits_of, prefer_wide_vectors
from .simd import VECTOR


@compiled(allocates=True)
def rank(logits, classes, labels, ranks, count):
    """How many classes score above each input's own one (ties go to the smaller class).

    Rank 0 is a right answer, rank below 5 a right one among the first five. A logit that is
    not a number counts as above, so that no broken chip passes as a good one.
    """
    prefer_wide_vectors()
    own = np.empty(VECTOR, np.float32)
    above = np.empty(VECTOR, np.int32)
    own_class = np.empty(VECTOR, np.int32)
    for i in range(VECTOR):
        own[i] = logits[labels[i] * VECTOR + i]
        own_class[i] = labels[i]
        above[i] = -1
    for c in range(classes):
        row = logits[c * VECTOR : (c + 1) * VECTOR]
        for i in range(VECTOR):
            below = row[i] < own[i] or (row[i] == own[i] and np.int32(c) > own_class[i])
            above[i] += np.int32(0) if below else np.int32(1)
    for i in range(count):
        ranks[i] = min(above[i], 255)


@compiled()
def checksum(logits, classes, count):
    """Sum of the logits' bits: equal for equal logits, whatever the lanes."""
    total = np.uint64(0)
    for c in range(classes):
        for i in range(count):
            total += np.uint64(bits_of(logits[c * VECTOR + i]))
    return total
