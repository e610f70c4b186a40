"""Scales that gross outliers leave alone."""

from __future__ import annotations

import numpy as np
from scipy import special

_NORMAL_90 = 1.2815515655446004
_BETWEEN_QUARTILES = 1.3489795003921634
FAR = 4.5
"""Scales from the median at which a value counts as an outlier of its state."""

FREE = 3.5
"""Standard deviations between a state's mean and zero from which the clamp plays no part."""


def scale_of_middle(values: np.ndarray) -> float:
    """Standard deviation of normal values by their quartiles, of which a quarter a side may be outliers."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / _BETWEEN_QUARTILES


def scale_of_squares(squares: np.ndarray, freedom: np.ndarray) -> float:
    """Variance behind sums of squares of normal values, from the upper quartile of the sums.

    Parameters
    ----------
    squares, freedom : ndarray, shape (sums,)
        Sums of squares, and their degrees of freedom; those without any are passed over.

    Returns
    -------
    float
        Zero where nothing is known.
    """
    known = freedom > 0
    if not known.any():
        return 0.0
    return float(np.quantile(squares[known] / special.chdtri(freedom[known], 0.25), 0.75))


def window(values: np.ndarray, smallest: float) -> tuple[float, float]:
    """The range outside which values are outliers, with a scale of its own on either side of the median.

    The scales come from the 10 % and the 90 % quantile. A skewed distribution, such as one cut at zero, so
    keeps its long tail, and up to a tenth of outliers on a side moves no scale far.
    """
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    below = max((middle - low) / _NORMAL_90, smallest)
    above = max((high - middle) / _NORMAL_90, smallest)
    return middle - FAR * below, middle + FAR * above
