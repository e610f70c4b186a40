"""What is counted for each input: top-1, top-5, per class, or the user's own function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reliability.errors import UserError

NAMES = ("top-1", "top-5", "per-class")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name : str
        ``"top-1"``, ``"top-5"``, ``"per-class"`` (top-1 within each class), or a name of the user's.
    score : callable, optional
        The user's own: ``score(logits, labels)`` of float32 (N, classes) and int (N,) gives one value
        an input, shape (N,): booleans (right or wrong) or real numbers.
    """

    name: str = "top-1"
    score: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.score is None and self.name not in NAMES:
            raise UserError(
                f"metric = {self.name!r} must be {', '.join(NAMES)}, or a function of logits and labels"
            )

    @property
    def by_class(self) -> bool:
        """Whether each class is a condition of its own."""
        return self.score is None and self.name == "per-class"

    def outcomes(self, ranks: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One value per input.

        Parameters
        ----------
        ranks : ndarray of uint8, shape (..., N)
            Classes that score above the right one.
        logits : ndarray of float32, shape (..., N, classes)
            Used by the user's own function only.
        labels : ndarray of int, shape (N,)

        Returns
        -------
        ndarray of bool or float64, shape (..., N)
        """
        if self.score is None:
            return ranks < (5 if self.name == "top-5" else 1)
        shape = ranks.shape
        values = []
        for one in logits.reshape(-1, *logits.shape[-2:]):
            value = np.asarray(self.score(one, labels))
            if value.shape != labels.shape or value.dtype.kind not in "bif":
                raise UserError(
                    f"metric {self.name!r} must give one number or truth value for each of the {len(labels)} "
                    f"inputs, gave {value.dtype} of shape {value.shape}"
                )
            values.append(value)
        stacked = np.array(values).reshape(shape)
        return stacked if stacked.dtype == bool else stacked.astype(np.float64)


def ranks_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Classes that score above the right one, as the kernels count them: uint8, shape (N,)."""
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    classes = np.arange(logits.shape[1])
    above = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    # A high rank must not wrap round to a right answer.
    return np.minimum(above.sum(axis=1), 255).astype(np.uint8)


def as_metric(metric: str | Metric | Callable) -> Metric:
    """A metric by its name, or the user's own function."""
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return Metric(getattr(metric, "__name__", "own"), metric)
    return Metric(str(metric))
