"""Sobol indices of groups of inputs: which share of a variance a group makes.

Of a function f of independent groups of inputs, the first-order index of group g is the share of f's variance
that is left when all other groups are averaged out, Var E(f | g) / Var f. The total index is the share that
is there as long as all others are fixed, E Var(f | all but g) / Var f: it counts every interaction in which g
takes part. Without interactions the two are equal and add up to 1.

They are estimated from three runs on the same samples: f_A and f_B with independent inputs A and B, and f_AB
with A's inputs but for those of group g, which are B's. What the inputs are does not matter: a group can be a
million numbers.

References
----------
Saltelli et al., Computer Physics Communications 181:259 (2010), table 2; Jansen, Computer Physics
Communications 117:35 (1999).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reliability.errors import UserError
from reliability.statistics.shares import Shares, shares_of


def first_order(f_a: ArrayLike, f_b: ArrayLike, f_ab: ArrayLike, level: float = 0.95) -> Shares:
    """First-order indices: Saltelli's estimator, mean of f_B (f_AB - f_A) over the variance.

    The mean of all f_A and f_B is taken off first. Without that the estimator is as unbiased and, where the
    mean is large against the spread, as it is for accuracies, useless.

    Parameters
    ----------
    f_a, f_b : array_like, shape (samples,)
    f_ab : array_like, shape (groups, samples)
    level : float
        Confidence of each interval by itself.

    Raises
    ------
    UserError
        When the shapes do not fit, there are fewer than 3 samples, or nothing varies.
    """
    a, b, ab = _centred(f_a, f_b, f_ab)
    return shares_of((b * (ab - a)).T, _squares(a, b), level)


def total(f_a: ArrayLike, f_b: ArrayLike, f_ab: ArrayLike, level: float = 0.95) -> Shares:
    """Total indices: Jansen's estimator, mean of (f_A - f_AB)^2 / 2 over the variance.

    Parameters and errors as `first_order`.
    """
    a, b, ab = _centred(f_a, f_b, f_ab)
    return shares_of(np.square(a - ab).T / 2.0, _squares(a, b), level)


def _centred(
    f_a: ArrayLike, f_b: ArrayLike, f_ab: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    a, b, ab = (np.asarray(f, np.float64) for f in (f_a, f_b, f_ab))
    if a.ndim != 1 or b.shape != a.shape or ab.shape[1:] != a.shape or ab.ndim != 2:
        raise UserError(
            f"Sobol indices were given f_A, f_B and f_AB of shapes {a.shape}, {b.shape} and {ab.shape}; "
            f"(samples,), (samples,) and (groups, samples) are needed."
        )
    mean = (a.mean() + b.mean()) / 2.0
    return a - mean, b - mean, ab - mean


def _squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each sample adds to the variance."""
    return (np.square(a) + np.square(b)) / 2.0
