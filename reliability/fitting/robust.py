"""Medians and scales that gross outliers leave alone, along the last axis and past missing values."""

from __future__ import annotations

import numpy as np

_NORMAL_90 = 1.2815515655446004
FAR = 4.5
"""Scales from the median at which a value counts as an outlier of its state."""


def median_of_rows(values: np.ndarray) -> np.ndarray:
    """Median of each row of a matrix, NaN left out; NaN for rows that hold nothing else."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)
    return np.where(count > 0, 0.5 * (ordered[rows, low] + ordered[rows, high]), np.nan)


def window(values: np.ndarray, smallest: float) -> tuple[float, float]:
    """The range outside which values are outliers, with a scale of its own on either side of the median.

    The scales come from the 10 % and the 90 % quantile. A skewed distribution, such as one cut at zero, so
    keeps its long tail, and up to a tenth of outliers on a side moves no scale far.
    """
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    below = max((middle - low) / _NORMAL_90, smallest)
    above = max((high - middle) / _NORMAL_90, smallest)
    return middle - FAR * below, middle + FAR * above
