"""What becomes of the logits: ranks of the right classes, and a checksum."""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .float32 import exp32
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


@compiled()
def doubts(logits, labels, width, out):
    """How close each chip's answers come to being wrong, in (0, 1): a smooth count of its wrong answers.

    The mean over inputs of the logistic function of minus the margin over ``width``, where the margin is the
    right class's logit less the highest other one. A margin that is not a number counts as wrong.

    Parameters
    ----------
    logits : ndarray of float32, shape (chips, inputs, classes)
    labels : ndarray of int64, shape (inputs,)
    width : float32
    out : ndarray of float64, shape (chips,)
        Written.
    """
    limit = np.float32(15)
    chips, inputs, classes = logits.shape
    for i in range(chips):
        total = 0.0
        for n in range(inputs):
            own, other = logits[i, n, labels[n]], np.float32(-np.inf)
            for c in range(classes):
                if c != labels[n]:
                    other = max(other, logits[i, n, c])
            far = (own - other) / width
            far = min(max(far, -limit), limit) if far == far else -limit
            total += 1.0 / (1.0 + exp32(far))
        out[i] = total / inputs
