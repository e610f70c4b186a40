"""Training inputs: the forms in which they are given, and what is taken of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reliability.datasets import Dataset, from_arrays
from reliability.errors import UserError
from reliability.network import Network

Calibration = Dataset | tuple[Any, Any] | np.ndarray
"""Training inputs: a dataset, a pair of arrays (x, y), or x alone."""


def first_inputs(
    calibration: Calibration | Callable[[], Dataset] | None, network: Network, count: int
) -> np.ndarray:
    """The first training inputs, prepared; fewer than ``count`` where there are no more."""
    given = _loaded(calibration)
    x = given.x if isinstance(given, Dataset) else given[0] if isinstance(given, tuple) else given
    return network.prepare(np.asarray(x)[:count])


def enough_inputs(x: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` training inputs.

    Raises
    ------
    UserError
        If there are fewer.
    """
    if len(x) < count:
        raise UserError(f"chip.calibration_inputs = {count}, but there are only {len(x)} training inputs")
    return x[:count]


def labelled_inputs(calibration: Calibration | Callable[[], Dataset] | None) -> Dataset | None:
    """Training inputs with their labels; None where there are none, or no labels."""
    given = _loaded(calibration)
    if isinstance(given, tuple):
        return from_arrays(*given)
    return given if isinstance(given, Dataset) else None


def _loaded(calibration: Calibration | Callable[[], Dataset] | None) -> Calibration | None:
    return calibration() if callable(calibration) else calibration
