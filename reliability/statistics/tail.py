"""Far quantiles by peaks over a threshold: a generalised Pareto law above a high quantile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import chdtri, exprel, logit

from reliability.errors import UserError
from reliability.statistics.interval import Interval, check_level
from reliability.statistics.likelihood import Array

_FEWEST = 50
# Maximum likelihood is regular only above -1/2.
_SHAPES = (-0.5, 2.0)
# Extrapolation ends where a tenth of a value is expected beyond.
_BEYOND = 0.1
_VARIES = "values"


@dataclass(frozen=True, eq=False)
class Tail:
    """A generalised Pareto law fitted to the values beyond a threshold, from :func:`fit_tail`.

    Attributes
    ----------
    side : str
        ``"upper"`` or ``"lower"``.
    threshold : float
        In the unit of the values.
    values, exceedances : int
        How many values there are, and how many of them lie beyond.
    shape, scale : float
        The shape is positive for tails heavier than exponential (SciPy's sign).
    level : float
        Confidence of each interval by itself.
    """

    side: str
    threshold: float
    values: int
    exceedances: int
    shape: float
    scale: float
    level: float
    _sizes: Array
    _half_step: float
    _unit: float

    @property
    def farthest(self) -> float:
        """The largest probability of which :meth:`quantile` tells a quantile."""
        return 1.0 - _BEYOND / self.values

    @cached_property
    def shape_interval(self) -> Interval:
        """Profile likelihood interval of the shape; the shape is held between -1/2 and 2."""
        excess = self._excess
        least = excess.height(self.shape, self.scale / self._unit) - self._allowed

        def above(shape: float) -> float:
            return excess.height(shape, excess.scale(shape)) - least

        low, high = _SHAPES
        return Interval(_crossing(above, self.shape, low, -0.1), _crossing(above, self.shape, high, 0.1))

    def quantile(self, q: float) -> tuple[float, Interval]:
        """A far quantile and its profile likelihood interval.

        The interval includes that the share of values beyond the threshold is itself an estimate, not that
        the threshold was chosen.

        Parameters
        ----------
        q : float
            Probability, counted from the other side: 0.999 leaves one in a thousand beyond. The quantile is
            what one in 1 / (1 - q) values exceeds, the return level of that period.

        Raises
        ------
        UserError
            When q lies before the threshold or beyond :attr:`farthest`.
        """
        share = self.exceedances / self.values
        if not 1.0 - share < q <= self.farthest:
            raise UserError(
                f"q = {q!r} must lie above {1.0 - share:.6g}, the threshold, and reach at most "
                f"{self.farthest:.8g} with {self.values} values"
            )
        far = _reach(share / (1.0 - q), self.shape) * self.scale / self._unit
        low, high = self._profile(q, far)
        ends = sorted(self._at(excess) for excess in (low, high))
        return self._at(far), Interval(*ends)

    def table(self, q: Sequence[float] = (0.99, 0.999)) -> pd.DataFrame:
        """A row each for the shape and for the quantiles that can be told.

        Parameters
        ----------
        q : sequence of float
            Probabilities; those before the threshold or too far out are left out.

        Returns
        -------
        DataFrame
            ``side``, ``threshold``, ``values``, ``exceedances``, ``parameter``, ``q`` (NaN for the shape),
            ``period`` (one in so many values lies beyond), ``value``, ``low``, ``high``, ``level``,
            ``method``, ``varies``.
        """
        share = self.exceedances / self.values
        rows = [("shape", math.nan, math.nan, self.shape, *self.shape_interval)]
        for each in q:
            if 1.0 - share < each <= self.farthest:
                value, interval = self.quantile(each)
                rows.append(("quantile", each, 1.0 / (1.0 - each), value, *interval))
        table = pd.DataFrame(rows, columns=["parameter", "q", "period", "value", "low", "high"])
        for name in ("exceedances", "values", "threshold", "side"):
            table.insert(0, name, getattr(self, name))
        return table.assign(level=self.level, method="generalised Pareto, profile likelihood", varies=_VARIES)

    def _at(self, excess: float) -> float:
        sign = 1.0 if self.side == "upper" else -1.0
        return self.threshold + sign * self._unit * excess

    @property
    def _excess(self) -> _Excess:
        return _Excess(self._sizes, self._half_step)

    @property
    def _allowed(self) -> float:
        """How far below its maximum a log likelihood may lie within the interval."""
        return 0.5 * float(chdtri(1, 1.0 - self.level))

    def _profile(self, q: float, far: float) -> tuple[float, float]:
        """Ends of the profile likelihood interval of a far quantile, as excesses."""
        from scipy.optimize import minimize
        from scipy.special import expit

        excess, n, k = self._excess, self.values, self.exceedances
        best = [self.shape, float(logit(k / n))]
        counted = k * math.log(k / n) + (n - k) * math.log1p(-k / n)
        least = excess.height(self.shape, self.scale / self._unit) + counted - self._allowed

        def above(logs: float) -> float:
            quantile = math.exp(logs)

            def cost(tried: Array) -> float:
                p = float(expit(tried[1]))
                if p <= 1.0 - q or not _SHAPES[0] <= tried[0] <= _SHAPES[1]:
                    return math.inf
                found = excess.height(tried[0], quantile / _reach(p / (1.0 - q), tried[0]))
                return -(found + k * math.log(p) + (n - k) * math.log1p(-p))

            # A quantile far from the estimate is possible only with other shapes than the best one.
            starts = [[tried, best[1]] for tried in (self.shape, *np.linspace(*_SHAPES, 9)[:-1])]
            start = min(starts, key=lambda tried: cost(np.array(tried)))
            near = np.array([start, [start[0] + 0.05, start[1]], [start[0], start[1] + 0.05]])
            options = {"xatol": 1e-4, "fatol": 1e-4, "initial_simplex": near}
            return -minimize(cost, start, method="Nelder-Mead", options=options).fun - least

        logs = math.log(far)
        ends = (_crossing(above, logs, logs + side, math.copysign(0.1, side)) for side in (-10.0, 10.0))
        low, high = (math.exp(end) for end in ends)
        return low, high


def fit_tail(
    values: ArrayLike,
    *,
    above: float = 0.9,
    side: str = "upper",
    step: float | None = None,
    level: float = 0.95,
) -> Tail:
    """Fit a generalised Pareto law to the values above a quantile by maximum likelihood.

    An intermediate threshold biases: compare a higher one.

    Parameters
    ----------
    values : array_like
        Finite, independent values of any shape.
    above : float
        Quantile that is the threshold; at least 50 values must lie beyond.
    side : str
        ``"upper"`` or ``"lower"``; for the lower tail probabilities count from above.
    step : float, optional
        Distance of neighbouring possible values where they are discrete. The likelihood is then that of the
        cells of this grid, and the threshold lies half a step before the quantile, between two cells.
    level : float
        Confidence of intervals.

    Returns
    -------
    Tail

    Raises
    ------
    UserError
        When the values are not finite, too few lie beyond the threshold, or a number is not allowed.

    References
    ----------
    Pickands, Annals of Statistics 3:119 (1975); Coles, An Introduction to Statistical Modeling of Extreme
    Values (2001), chapter 4.
    """
    check_level(level)
    if side not in ("upper", "lower"):
        raise UserError(f"side = {side!r} must be 'upper' or 'lower'")
    if step is not None and not 0.0 < step < math.inf:
        raise UserError(f"step = {step!r} must be above 0")
    if not 0.0 < above < 1.0:
        raise UserError(f"above = {above!r} must lie between 0 and 1, such as 0.9")
    sample = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(sample).all():
        raise UserError("The values of the tail hold NaN or infinity; all must be finite.")
    n, sign = sample.size, 1.0 if side == "upper" else -1.0
    signed = sign * sample
    threshold = float(np.quantile(signed, above, method="inverted_cdf")) if n else 0.0
    threshold -= (step or 0.0) / 2.0
    sizes = signed[signed > threshold] - threshold
    if sizes.size < _FEWEST:
        raise UserError(
            f"The tail beyond {sign * threshold:.6g} holds {sizes.size} of {n} values; it needs {_FEWEST}: "
            f"take more values (in a study more chips), or in Python an 'above' below {above:g}."
        )
    # In units in which the mean excess is one.
    unit = float(sizes.mean())
    excess = _Excess(sizes / unit, 0.5 * (step or 0.0) / unit)
    shape = excess.best_shape()
    return Tail(
        side=side,
        threshold=sign * threshold,
        values=n,
        exceedances=sizes.size,
        shape=shape,
        scale=excess.scale(shape) * unit,
        level=level,
        _sizes=excess.sizes,
        _half_step=excess.half_step,
        _unit=unit,
    )


@dataclass(frozen=True, eq=False)
class _Excess:
    """Excesses over the threshold, and half the distance of possible values (0 where they are continuous)."""

    sizes: Array
    half_step: float

    def height(self, shape: float, scale: float) -> float:
        """Log likelihood: of densities, or of the cells' probabilities."""
        if scale <= 0.0:
            return -math.inf
        if not self.half_step:
            exponent = _exponent(self.sizes, shape, scale)
            return -self.sizes.size * math.log(scale) - (1.0 + shape) * float(exponent.sum())
        low = _exponent(self.sizes - self.half_step, shape, scale)
        if not np.isfinite(low).all():
            return -math.inf
        wide = _exponent(self.sizes + self.half_step, shape, scale) - low
        return float((np.log(-np.expm1(-wide)) - low).sum())

    def scale(self, shape: float) -> float:
        """The scale of greatest likelihood for a shape."""
        from scipy.optimize import minimize_scalar

        least = max(-shape * float(self.sizes.max()) * (1.0 + 1e-9), 1e-6)
        found = minimize_scalar(
            lambda logs: -self.height(shape, math.exp(logs)),
            bounds=(math.log(least), math.log(least + 20.0)),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return math.exp(found.x)

    def best_shape(self) -> float:
        """The shape of greatest likelihood: the best of a grid, then a search in its cell."""
        from scipy.optimize import minimize_scalar

        def cost(shape: float) -> float:
            return -self.height(shape, self.scale(shape))

        grid = np.linspace(*_SHAPES, 26)
        costs = [cost(shape) for shape in grid]
        k = int(np.argmin(costs))
        ends = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
        found = minimize_scalar(cost, bounds=ends, method="bounded", options={"xatol": 1e-7})
        return float(found.x if found.fun < costs[k] else grid[k])


def _exponent(sizes: Array, shape: float, scale: float) -> Array:
    """Minus the logarithm of the probability beyond; infinite beyond the end of a short tail."""
    if abs(shape) < 1e-9:
        return sizes / scale
    inner = shape * sizes / scale
    possible = inner > -1.0
    return np.where(possible, np.log1p(np.where(possible, inner, 0.0)) / shape, math.inf)


def _reach(ratio: float, shape: float) -> float:
    """The far quantile beyond the threshold, in scales: (ratio^shape - 1) / shape."""
    logs = math.log(ratio)
    return logs * float(exprel(shape * logs))


def _crossing(above: Callable[[float], float], start: float, end: float, step: float) -> float:
    """Where a function, positive at ``start``, first falls to zero on the way to ``end``, or the end."""
    from scipy.optimize import brentq

    inner = start
    while inner != end:
        outer = inner + step if abs(inner + step - start) < abs(end - start) else end
        if above(outer) < 0.0:
            return float(brentq(above, inner, outer, xtol=1e-5)) if above(inner) > 0.0 else inner
        inner, step = outer, 1.5 * step
    return end
