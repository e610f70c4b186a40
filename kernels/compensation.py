"""Global drift compensation: one read-out of all devices of a layer tells by how much it has drifted."""

from __future__ import annotations

import numpy as np
from numba import njit

# A read-out below this share of the reference is taken for a dead layer (aihwkit's floor).
_FLOOR = 1e-4


@njit(inline="always")
def drift_factor(reference, total):
    """What a layer's outputs are multiplied by, given its read-out at the reference time and now."""
    # A layer that conducts nothing has no factor.
    return np.float32(reference / max(total, _FLOOR * reference) if reference > 0 else 1.0)
