"""Shapley values: the fair shares of what groups do together.

A set function v says what a set of groups does. The Shapley value of a group is what it adds when the groups
join one after another, averaged over all orders; the values add up to v(all) - v(none) whatever the groups do
to each other. It is linear in v, so every sample has Shapley values of its own and their mean has an ordinary
t interval.

A set is a whole number whose bit g says whether group g is in it: 0 is the empty set.

References
----------
Shapley, in: Contributions to the Theory of Games II (1953); Owen, SIAM/ASA Journal on Uncertainty
Quantification 2:245 (2014), and Song, Nelson and Staum, the same 4:1060 (2016), for shares of a variance.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reliability.errors import UserError
from reliability.statistics.shares import Shares, shares_of


def shapley_values(values: ArrayLike) -> NDArray[np.float64]:
    """Shapley values of every sample, from the values of all sets.

    Parameters
    ----------
    values : array_like, shape (2**groups, ...)
        v of every set, the sets in the order of their numbers.

    Returns
    -------
    ndarray, shape (groups, ...)
        They add up to ``values[-1] - values[0]``.

    Raises
    ------
    UserError
        When the number of sets is not a power of two.
    """
    v = np.asarray(values, np.float64)
    groups = len(v).bit_length() - 1
    if len(v) != 1 << groups:
        raise UserError(f"Shapley values were asked of {len(v)} sets; a power of two is needed.")
    sets = np.arange(1 << groups)
    sizes = np.bitwise_count(sets).astype(np.int64)
    found = np.empty((groups, *v.shape[1:]))
    # All orders in which the same groups came before.
    orders = [math.factorial(k) * math.factorial(groups - k - 1) for k in range(groups)]
    weights = np.array(orders, np.float64) / math.factorial(groups)
    for g in range(groups):
        without = sets[(sets >> g) & 1 == 0]
        found[g] = np.tensordot(weights[sizes[without]], v[without | 1 << g] - v[without], 1)
    return found


def order_pairs(groups: int, pairs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random orders of the groups, each with its reverse: shape (pairs, 2, groups).

    An order and its reverse together vary less than two orders: who comes first in one comes last in the
    other.
    """
    orders = np.array([rng.permutation(groups) for _ in range(pairs)], np.int64)
    return np.stack([orders, orders[:, ::-1]], axis=1)


def joined(order: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """The sets that groups make as they join in an order, from the empty set to that of all."""
    sets = [0]
    for g in order:
        sets.append(sets[-1] | 1 << int(g))
    return sets


def shares_of_order(order: Sequence[int] | NDArray[np.int64], values: ArrayLike) -> NDArray[np.float64]:
    """What each group adds as it joins.

    Averaged over random orders these estimate the Shapley values without bias.

    Parameters
    ----------
    order : sequence of int
        The groups.
    values : array_like, shape (groups + 1, ...)
        v of the sets of `joined`.

    Returns
    -------
    ndarray, shape (groups, ...)
    """
    steps = np.diff(np.asarray(values, np.float64), axis=0)
    found = np.empty_like(steps)
    found[np.asarray(order)] = steps
    return found


def unexplained(mixed: ArrayLike) -> NDArray[np.float64]:
    """The variance that a set of groups makes while all others are fixed, for all sets.

    Parameters
    ----------
    mixed : array_like, shape (2**groups, samples)
        f where the groups of each set have the inputs B and all others the inputs A.

    Returns
    -------
    ndarray, shape (2**groups, samples)
        Means over the samples estimate E Var(f | all groups but the set) without bias. Any two runs whose
        sets differ by S have inputs that are independent in S and equal elsewhere, so half the squared
        difference, averaged over all such pairs, is used.
    """
    f = np.asarray(mixed, np.float64)
    sets = np.arange(len(f))
    return np.stack([np.square(f - f[sets ^ s]).mean(axis=0) / 2.0 for s in sets])


def shapley_effects(mixed: ArrayLike, level: float = 0.95) -> Shares:
    """Shapley effects: shares of a variance that add up to 1 where groups interact.

    The Shapley values of `unexplained`, over the variance. Each lies between the first-order and the total
    Sobol index of its group.

    Parameters
    ----------
    mixed : array_like, shape (2**groups, samples)
        As in `unexplained`.
    level : float
        Confidence of each interval by itself.
    """
    variances = unexplained(mixed)
    return shares_of(shapley_values(variances).T, variances[-1], level)


def effects_of_order(
    order: Sequence[int] | NDArray[np.int64], mixed: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each group adds to the variance as it joins, in an order and its reverse.

    Parameters
    ----------
    order : sequence of int
        The groups.
    mixed : array_like, shape (groups + 1, samples)
        f of the sets of `joined`, as in `unexplained`.

    Returns
    -------
    ndarray, shape (groups, samples)
        Mean over the two orders: the sets of the reverse are the complements of these, and differ from the
        set of all groups as these do from the empty set.
    ndarray, shape (samples,)
        The variance: what the groups add up to.
    """
    f = np.asarray(mixed, np.float64)
    forward, backward = np.square(f - f[0]) / 2.0, np.square(f - f[-1])[::-1] / 2.0
    reverse = np.asarray(order)[::-1]
    parts = (shares_of_order(order, forward) + shares_of_order(reverse, backward)) / 2.0
    return parts, forward[-1]
