"""The errors within a bound."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Norm = Literal["max", "l2"]


def euclidean(values: np.ndarray) -> float:
    """Root of the sum of squares."""
    return float(np.sqrt(np.square(values, dtype=np.float64).sum()))


def distance(errors: np.ndarray, norm: Norm) -> float:
    """Norm of the errors."""
    return float(np.abs(errors).max()) if norm == "max" else euclidean(errors)


def of_ones(n: int, norm: Norm) -> float:
    """Norm of errors of one in each of ``n`` weights."""
    return 1.0 if norm == "max" else math.sqrt(n)


def projected(errors: np.ndarray, norm: Norm, bound: float) -> np.ndarray:
    """The nearest errors within the bound."""
    if norm == "max":
        # The largest float32 that does not exceed the bound.
        limit = np.float32(bound)
        limit = np.nextafter(limit, np.float32(0)) if float(limit) > bound else limit
        return np.clip(errors, -limit, limit)
    length = euclidean(errors)
    return errors if length <= bound else errors * np.float32(bound / length * (1 - 1e-6))


def anywhere(n: int, norm: Norm, bound: float, generator: np.random.Generator) -> np.ndarray:
    """Errors of shape (n,), uniform over the ball."""
    if norm == "max":
        return generator.uniform(-bound, bound, n).astype(np.float32)
    direction = generator.normal(size=n)
    return (direction * (bound * generator.uniform() ** (1 / n) / euclidean(direction))).astype(np.float32)
