"""Distributions of programming errors, as what each makes of a standard normal.

The quantile function of a distribution at the probability of a normal: so every law draws the same normal,
and a chip with a small error under one law has a small one under all. The set is that of Z. Yan et al.'s
studies of variation (SWIM, DAC 2022; the worst case, ICCAD 2022; TRICE, ICCAD 2023), and any of
``scipy.stats``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from reliability.errors import UserError

CELLS = 1024
"""Cells of a table."""

REACH = 6.75
"""Normals from minus this to this; the generator's own end at 6.7."""

_Shape = tuple[float, ...]


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _bias(c: float) -> float:
    """Mean of a standard normal censored above ``c``."""
    return float(c * ndtr(-c) - _density(c))


def _central(xi: np.ndarray) -> np.ndarray:
    """Uniform on -1 to 1."""
    return np.where(xi < 0, 2 * ndtr(xi) - 1, 1 - 2 * ndtr(-xi))


def _snapped(xi: np.ndarray, ends: float, zero: float) -> np.ndarray:
    uniform = _central(xi)
    return np.sign(uniform) * np.clip((np.abs(uniform) - zero) / (1 - ends - zero), 0, 1)


NAMED: dict[str, tuple[int, Callable[..., np.ndarray]]] = {
    "normal": (0, lambda xi: xi),
    "uniform": (0, _central),
    "power": (1, lambda xi, a: np.sign(xi) * np.abs(_central(xi)) ** (1 / a)),
    "su": (1, lambda xi, ends: _snapped(xi, ends, 0.0)),
    "spu": (2, _snapped),
    "right_censored": (1, np.minimum),
    "left_censored": (1, lambda xi, c: np.maximum(xi, -c)),
    "two_sided_censored": (1, lambda xi, c: np.clip(xi, -c, c)),
    "unbiased_right_censored": (1, lambda xi, c: np.minimum(xi, c) - _bias(c)),
    "truncated": (1, lambda xi, c: ndtri(0.5 + _central(xi) * (ndtr(c) - 0.5))),
    "folded": (0, np.abs),
}
"""Of each distribution by name, its number of shape parameters and its function of a normal.

``normal``; ``uniform`` on -1 to 1; ``power(a)``: random sign, magnitude of density ``a x**(a - 1)`` up to 1;
``su(r)`` and ``spu(r, p)``: uniform, of which a share ``r`` is snapped to -1 or 1 and a share ``p`` to 0;
``right_censored(c)``: ``min(xi, c)``; ``left_censored(c)``: ``max(xi, -c)``; ``two_sided_censored(c)``: both;
``unbiased_right_censored(c)``: less its mean ``c Phi(-c) - phi(c)``; ``truncated(c)``: a normal given that it
lies within ``c``; ``folded``: ``|xi|``.
"""

PEPPER = "pepper"
LOGNORMAL = "lognormal"

_RANGES: dict[str, tuple[Callable[[_Shape], bool], str]] = {
    "power": (lambda s: s[0] > 0, "a > 0"),
    "su": (lambda s: 0 <= s[0] < 1, "a share r from 0 to below 1"),
    "spu": (lambda s: min(s) >= 0 and sum(s) < 1, "two shares r, p with r + p below 1"),
    PEPPER: (lambda s: 0 <= s[0] <= 1, "a share r from 0 to 1"),
    "truncated": (lambda s: 0 < s[0] <= 8, "c from above 0 to 8"),
    "two_sided_censored": (lambda s: s[0] >= 0, "c >= 0"),
}


@functools.lru_cache(maxsize=32)
def table_of(distribution: str, shape: _Shape, sigma: float) -> tuple[tuple[float, ...], float]:
    """What a distribution makes of normals on an even grid from ``-REACH`` to ``REACH``.

    Parameters
    ----------
    distribution : str
        ``"pepper"``, ``"lognormal"``, one of :data:`NAMED`, or a continuous distribution of ``scipy.stats``.
    shape : tuple of float
        Its shape parameters; for one of SciPy's, those of its constructor, with place and scale behind them.
    sigma : float
        Scale of a lognormal's exponent; others do not use it.

    Returns
    -------
    table : tuple of float, length CELLS + 1
        Between them the function is linear.
    threshold : float
        A pepper steps from 0 to 1 where the normal exceeds it, and to -1 below its negative; others never.

    Raises
    ------
    UserError
        If there is no such distribution or its shape is not one of it.
    """
    xi = np.linspace(-REACH, REACH, CELLS + 1)
    if distribution == PEPPER:
        _check_shape(distribution, shape, 1)
        return (0.0,) * (CELLS + 1), float(min(-ndtri(shape[0] / 2), 1e30))
    if distribution == LOGNORMAL:
        _check_shape(distribution, shape, 0)
        values = np.expm1(sigma * xi)
    elif distribution in NAMED:
        count, function = NAMED[distribution]
        _check_shape(distribution, shape, count)
        values = function(xi, *shape)
    else:
        values = _of_scipy(distribution, shape, xi)
    return tuple(float(value) for value in values), 1e30


def _check_shape(distribution: str, shape: _Shape, count: int) -> None:
    holds, allowed = _RANGES.get(distribution, (lambda s: True, f"{count} numbers"))
    if len(shape) != count or not holds(shape):
        raise UserError(
            f"device.shape = {list(shape)!r} of distribution {distribution!r} must hold "
            f"{allowed if count else 'nothing'}"
        )


def _of_scipy(name: str, shape: _Shape, xi: np.ndarray) -> np.ndarray:
    # Imported here because it takes longer than all else that a start loads.
    from scipy import stats

    family = getattr(stats, name, None)
    if not isinstance(family, stats.rv_continuous):
        known = ", ".join((*NAMED, PEPPER, LOGNORMAL))
        raise UserError(f"device.distribution = {name!r} must be {known}, or a continuous one of scipy.stats")
    try:
        # From the nearer tail, where probabilities are exact.
        values = np.where(xi < 0, family.ppf(ndtr(xi), *shape), family.isf(ndtr(-xi), *shape))
    except (TypeError, ValueError) as error:
        raise UserError(f"device.shape = {list(shape)!r} does not fit scipy.stats.{name}: {error}") from None
    if not np.isfinite(values).all() or np.abs(values).max() > 1e30:
        raise UserError(
            f"device.shape = {list(shape)!r} of scipy.stats.{name} must give finite values up to 1e30"
        )
    return values
