"""Means with a control variate."""

import numpy as np

from coverage_cases import Coverage, case
from reliability.statistics import controlled_mean


@case(repeats=4000)
def controlled(rng, repeats):
    """A quadratic of normals with its linear part as control, in groups of values."""
    slope, curve = np.array([0.5, 0.3, 0.2, 0.1]), np.array([0.2, -0.1, 0.1, 0.05])
    for panels, each in ((32, 8), (100, 1), (300, 1)):
        covered = 0
        for _ in range(repeats):
            e = rng.normal(size=(panels, each, 4))
            controls = (e @ slope).mean(axis=1)
            values = 1 + controls + 0.5 * ((e**2 - 1) @ curve).mean(axis=1)
            found = controlled_mean(values, controls)
            covered += found.low <= 1 <= found.high
        name = f"mean with a control variate, {panels} groups of {each}"
        yield Coverage(name, "approximate", covered / repeats, repeats)
