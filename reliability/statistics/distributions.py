"""Which distribution errors have: nine families, their ranking, tests of fit, intervals and the tail.

A continuous law of discrete values, such as accuracies, which are whole multiples of 1/N, describes the
values before they were rounded to their grid. With ``step`` given it is fitted by the probabilities of the
grid's cells, and resamples are rounded to it too: a test for continuous values rejects even the true law, for
the ties alone.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from reliability.errors import UserError
from reliability.statistics.distribution_fit import DistributionFit
from reliability.statistics.families import FAMILIES
from reliability.statistics.family_fit import FamilyFit, fit_family
from reliability.statistics.interval import check_finite, check_level
from reliability.statistics.likelihood import Array

_FEWEST = 20
FEWEST_RESAMPLES = 99
_MOST_RESAMPLED = 10_000

_TIED = 0.05
_REJECTED = 0.05


def fit_error_distribution(
    errors: ArrayLike,
    *,
    families: Sequence[str] | None = None,
    name: str = "error",
    step: float | None = None,
    level: float = 0.95,
    resamples: int = 399,
    seed: int = 0,
) -> DistributionFit:
    """Fit families of distributions to errors, rank them, and test whether any can be believed.

    On the whole line: ``normal``, ``student_t``, ``skew_normal``, ``logistic``, ``generalised_extreme_value``
    (of maxima; its shape, positive for heavy upper tails, is held above -1/2, where maximum likelihood is
    regular, and at most 1) and ``normal_mixture`` (two components, none narrower than 2 % of the spread).
    Three of them have three parameters, the mixture five, the others two. ``lognormal``, ``gamma`` and
    ``weibull`` have two parameters and location zero, since a free location makes their likelihoods
    unbounded: they are offered only where all errors are positive, or zero by rounding. For values below a
    bound, such as accuracies, whose lower tail is the long one, fit ``1 - accuracy``.

    Every resample is drawn from a fitted family and refitted, beginning at the parameters that it was drawn
    under; from the refits come both the p-values of the tests and the intervals (bias-corrected percentiles).
    The intervals therefore hold for a family that is the right one. All errors count as independent: errors
    of one chip that share its devices are not, and p-values are then too small. With very many errors every
    family is rejected, and ``wasserstein`` and ``quantile_deviation`` say whether it matters.

    Beyond 10 000 errors the families are fitted to all, but tests are of 10 000 chosen by chance, and
    intervals are those of 10 000 narrowed by the square root of the ratio; a note says so.

    Parameters
    ----------
    errors : array_like
        Any shape, at least 20 finite values, not all equal: errors of multiplications, layer outputs or
        logits, or accuracies over chips.
    families : sequence of str, optional
        Only these; None takes all that can be offered.
    name : str
        What the errors are, for the figure.
    step : float, optional
        Distance of neighbouring possible values where they are discrete, such as 1/N for accuracies on N
        inputs. The likelihood is then that of the cells of this grid, and resamples are rounded to it.
    level : float
        Confidence of intervals.
    resamples : int
        Bootstrap resamples of each family, at least 99.
    seed : int

    Returns
    -------
    DistributionFit

    Raises
    ------
    UserError
        When the errors are too few, not finite or all equal, a family is unknown or cannot be offered, or a
        number is not allowed.

    References
    ----------
    Stute, Gonzales Manteiga and Presedo Quindimil, Metrika 40:243 (1993), for the bootstrap of the tests;
    Burnham and Anderson, Model Selection and Multimodel Inference, 2nd ed. (2002), for AICc.
    """
    check_level(level)
    values = _checked(errors, step)
    if not isinstance(resamples, numbers.Integral) or resamples < FEWEST_RESAMPLES:
        raise UserError(f"resamples = {resamples!r} must be a whole number, at least {FEWEST_RESAMPLES}")
    chosen = _offered(values, families, step)
    resampled = values
    if values.size > _MOST_RESAMPLED:
        random = np.random.default_rng([seed, len(FAMILIES)])
        resampled = np.sort(random.choice(values, _MOST_RESAMPLED, replace=False))
    order = list(FAMILIES)
    fits = [
        fit_family(FAMILIES[family], values, resampled, step, level, resamples, [seed, order.index(family)])
        for family in chosen
    ]
    fits.sort(key=lambda fit: fit.aicc)
    left_out = families is None and len(chosen) < len(order)
    notes = _notes(values, step, chosen if left_out else None, fits[0])
    return DistributionFit(values, tuple(fits), name, step, level, resamples, resampled.size, notes)


def _checked(errors: ArrayLike, step: float | None) -> Array:
    try:
        given = np.asarray(errors)
    except ValueError:  # nested lists of unequal lengths
        raise UserError(
            "The errors are lists of unequal lengths; they must be an array of numbers."
        ) from None
    if given.dtype.kind not in "iuf":
        raise UserError(f"The errors hold {given.dtype} values; all must be finite numbers.")
    values = given.ravel().astype(np.float64)
    if values.size < _FEWEST:
        raise UserError(f"The errors hold {values.size} values; at least {_FEWEST} are needed.")
    check_finite(values, "errors")
    # A spread of rounding alone is no spread.
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise UserError(f"The errors all hold {values[0]:g}; a distribution needs values that differ.")
    if step is not None:
        if not 0.0 < step < math.inf:
            raise UserError(f"step = {step!r} must be above 0, such as 0.001 for accuracies on 1000 inputs")
        off = np.abs(values / step - np.round(values / step))
        if off.max() > 1e-3:
            raise UserError(
                f"The errors hold {values[off.argmax()]:.9g}; with step = {step:g} all must be its multiples."
            )
    return np.sort(values)


def _offered(values: Array, families: Sequence[str] | None, step: float | None) -> list[str]:
    # What was rounded to zero may have been positive.
    positive = values[0] > 0.0 if step is None else values[0] > -0.5 * step
    if families is None:
        return [name for name, family in FAMILIES.items() if positive or not family.positive]
    if isinstance(families, str) or not families:
        raise UserError(f"families = {families!r} must list at least one of {', '.join(FAMILIES)}")
    for name in families:
        if name not in FAMILIES:
            raise UserError(f"families holds {name!r}; each must be one of {', '.join(FAMILIES)}")
        if FAMILIES[name].positive and not positive:
            raise UserError(
                f"families holds {name!r}, which needs positive errors; the least is {values[0]:g}"
            )
    return list(dict.fromkeys(families))


def _notes(
    values: Array, step: float | None, offered: Sequence[str] | None, best: FamilyFit
) -> tuple[str, ...]:
    notes = []
    distinct = np.unique(values).size
    if step is None and distinct < (1.0 - _TIED) * values.size:
        notes.append(
            f"{values.size} errors hold {distinct} different values: tests without a step reject every "
            f"continuous law for the ties alone"
        )
    if step is not None:
        notes.append(
            f"errors are multiples of {step:g}, {values.std() / step:.3g} to a standard deviation: a law "
            f"describes them before rounding, and resamples were rounded likewise"
        )
    if offered is not None:
        missing = [name for name in FAMILIES if name not in offered]
        notes.append(f"not offered, since not all errors are positive: {', '.join(missing)}")
    if values.size > _MOST_RESAMPLED:
        notes.append(f"tests are of {_MOST_RESAMPLED} of {values.size} errors, chosen by chance")
    if best.anderson_darling_p < _REJECTED:
        notes.append(
            f"even the best family, {best.family}, is rejected (p = {best.anderson_darling_p:.3g}); it is "
            f"{best.wasserstein:.2g} standard deviations off on average"
        )
    return tuple(notes)
