"""What a design's chips will do, learned from other designs: a Gaussian process over the options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr, ndtri

from reliability.mitigation.space import Knob

# Shares of the variance that options explain one by one, by likeness of whole designs, and a predictor does.
_SHARES = ((1.0, 0.1, 0.0), (1.0, 1.0, 0.0), (0.3, 0.1, 3.0), (1.0, 0.3, 10.0))
_SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
_NUGGET = 1e-4
_HALF = 0.5
_QUANTILES = (np.arange(12) + 0.5) / 12


@dataclass(frozen=True, eq=False)
class Observation:
    """Chips of one design.

    Attributes
    ----------
    design : int
    margins : ndarray, shape (chips,)
        In whole inputs, at the worst time.
    """

    design: int
    margins: np.ndarray


class Response:
    """Predicts the yield of designs from the margins of those that were tried.

    The logarithm of a design's mean error, and that of its chips' spread, are Gaussian processes of its
    options. Only the order in which designs are tried depends on them.

    Parameters
    ----------
    knobs : sequence of Knob
    choices : ndarray of int, shape (designs, knobs)
    inputs, required : int
        Inputs, and right answers of a chip that passes.
    hints : ndarray, shape (designs,), optional
        Logarithm of the error that the analytic network expects of each design.
    """

    def __init__(
        self,
        knobs: Sequence[Knob],
        choices: np.ndarray,
        inputs: int,
        required: int,
        hints: np.ndarray | None = None,
    ) -> None:
        self.inputs, self.required = inputs, required
        self.places = choices / np.array([max(len(knob.options) - 1, 1) for knob in knobs])
        self.hints = np.zeros(len(choices)) if hints is None else hints - hints.mean()
        spread = self.hints.std()
        self.hints = self.hints / spread if spread > 0 else self.hints
        self._likeness: dict[int, np.ndarray] = {}
        self.error: _Process | None = None
        self.spread: _Process | None = None

    def learn(self, observations: Sequence[Observation]) -> None:
        """Take in all observations so far."""
        rows = np.array([o.design for o in observations])
        chips = np.array([len(o.margins) for o in observations])
        wrong = np.array([self.inputs - self.required - o.margins.mean() for o in observations])
        sd = np.array([o.margins.std(ddof=1) if len(o.margins) > 1 else 1.0 for o in observations])
        # Chips that are wrong on no input have an error still, smaller than any that is seen.
        wrong, sd = wrong + _HALF, np.maximum(sd, 0.2)
        self.error = self._process(rows, np.log(wrong), (sd / wrong) ** 2 / chips + _NUGGET)
        self.spread = self._process(rows, np.log(sd), 0.5 / np.maximum(chips - 1, 1) + _NUGGET)

    def mean_of(self, value: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Expectation of a function of each design's yield, as far as that is known, shape (designs,)."""
        assert self.error is not None and self.spread is not None
        error, error_variance = self.error.predict()
        spread = self.spread.predict()[0]
        found = np.zeros(len(error))
        for z in ndtri(_QUANTILES):
            yields = self._yield_of(error + z * np.sqrt(error_variance), spread)
            found += value(yields)
        return found / len(_QUANTILES)

    def expected(self) -> np.ndarray:
        """Predicted yield of each design, shape (designs,)."""
        assert self.error is not None and self.spread is not None
        return self._yield_of(self.error.predict()[0], self.spread.predict()[0])

    def _yield_of(self, error: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Yield of normal margins, from logarithms of their mean error and spread."""
        # Counts are whole: half an input is added, as for any normal approximation of them.
        return ndtr((self.inputs - self.required + _HALF - (np.exp(error) - _HALF)) / np.exp(spread))

    def _process(self, rows: np.ndarray, values: np.ndarray, noise: np.ndarray) -> _Process:
        for row in rows:
            if int(row) not in self._likeness:
                self._likeness[int(row)] = self._likeness_to(int(row))
        parts = np.stack([self._likeness[int(row)] for row in rows], axis=2)
        own = np.stack([np.ones_like(self.hints), np.ones_like(self.hints), self.hints**2])
        best: _Process | None = None
        for shares in _SHARES:
            if shares[2] > 0 and not self.hints.any():
                continue
            kernel = np.tensordot(shares, parts[:, rows], 1)
            for scale in _SCALES:
                found = _Process(scale * kernel, values, noise)
                if best is None or found.likelihood > best.likelihood:
                    best, chosen = found, scale * np.array(shares)
        assert best is not None
        best.look_at(np.tensordot(chosen, parts, 1), chosen @ own)
        return best

    def _likeness_to(self, row: int) -> np.ndarray:
        """What makes every design like one of them, each of the shares: shape (shares, designs)."""
        apart = np.abs(self.places - self.places[row])
        alone = (1 - apart).mean(axis=1) if apart.size else np.ones(len(apart))
        return np.stack([alone, np.exp(-2 * apart.sum(axis=1)), self.hints * self.hints[row]])


class _Process:
    """A Gaussian process with known noise; the mean is estimated.

    Parameters
    ----------
    kernel : ndarray, shape (observations, observations)
    values, noise : ndarray, shape (observations,)
        What was observed, and the variance of its error.
    """

    def __init__(self, kernel: np.ndarray, values: np.ndarray, noise: np.ndarray) -> None:
        self.factor = cho_factor(kernel + np.diag(noise + 1e-10), lower=True)
        self.ones = cho_solve(self.factor, np.ones(len(values)))
        self.mean = float(self.ones @ values / self.ones.sum())
        self.weights = cho_solve(self.factor, values - self.mean)
        log_det = 2 * np.log(np.diag(self.factor[0])).sum()
        open_mean = np.log(self.ones.sum())
        self.likelihood = -0.5 * float((values - self.mean) @ self.weights + log_det + open_mean)
        self.cross, self.own = kernel, np.diag(kernel)

    def look_at(self, cross: np.ndarray, own: np.ndarray) -> None:
        """What is predicted: covariances with the observations (predicted, observations), and variances."""
        self.cross, self.own = cross, own

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of what is looked at."""
        solved = cho_solve(self.factor, self.cross.T)
        open_mean = 1 - self.cross @ self.ones
        known = np.einsum("dr,rd->d", self.cross, solved) - open_mean**2 / self.ones.sum()
        return self.mean + self.cross @ self.weights, np.maximum(self.own - known, 1e-12)
