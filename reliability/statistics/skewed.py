"""Student's t for the mean of a skewed sample: Hall's transformation takes the skewness out of it.

Few chips much worse than the rest, or few inputs that chips get wrong, pull a mean and its standard error
down together, so that Student's t covers too little and misses on one side.

References
----------
Hall, Journal of the Royal Statistical Society B 54:221 (1992).
"""

import numpy as np
from numpy.typing import NDArray

from reliability.statistics.interval import Interval


def third_of_mean(sample: NDArray) -> float:
    """Third central moment of the mean of a sample, without bias; 0 for fewer than three values."""
    count = sample.size
    if count < 3:
        return 0.0
    third = float(np.power(sample - sample.mean(), 3).sum())
    return third / (count * (count - 1) * (count - 2))


def skewed_interval(mean: float, se: float, third: float, t: float) -> Interval:
    """Interval of a mean from its standard error, corrected for skewness.

    Parameters
    ----------
    mean, se : float
        Estimate and its standard error, not 0.
    third : float
        Third central moment of the estimate.
    t : float
        Two-sided quantile of Student's t; without skewness the interval is mean -+ t se.
    """
    skewness = third / se**3

    def untransformed(quantile: float) -> float:
        """Solve x + g x^2 / 3 + g^2 x^3 / 27 + g / 6 = quantile for x = (mean - truth) / se."""
        shifted = quantile - skewness / 6.0
        if abs(skewness) < 1e-6:
            return shifted
        return 3.0 * (float(np.cbrt(1.0 + skewness * shifted)) - 1.0) / skewness

    # At a very low level the correction may pass the estimate itself.
    return Interval(min(mean, mean - se * untransformed(t)), max(mean, mean - se * untransformed(-t)))
