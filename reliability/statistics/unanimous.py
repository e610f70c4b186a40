"""The interval of a mean when every observation was the same.

A sample without spread is not a population without spread: a variance estimated
as zero would give an interval of no width. What the sample does show is that
observations with another value are rare, and how rare is a binomial question.
"""

from reliability.statistics.binomial import clopper_pearson
from reliability.statistics.interval import Interval


def unanimous_interval(value: float, repeats: int, level: float, bounds: tuple[float, float]) -> Interval:
    """Interval of the mean of a bounded quantity of which all independent observations were equal.

    The first observation shows the value and `repeats` further ones confirmed it, so another value has at
    most the probability p whose Clopper-Pearson bound for 0 of `repeats` is reached; the mean then lies
    between value - p (value - bounds[0]) and value + p (bounds[1] - value), whatever the other values are.

    Parameters
    ----------
    value : float
        What every observation showed.
    repeats : int
        Independent observations beyond the first; 0 gives the bounds themselves.
    level : float
        Confidence; the interval covers with at least this probability.
    bounds : tuple of two floats
        The least and the greatest value possible; infinite ones give an infinite interval.
    """
    rare = clopper_pearson(0, repeats, level).high
    return Interval(value - rare * (value - bounds[0]), value + rare * (bounds[1] - value))
