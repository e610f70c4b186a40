"""Training inputs: the forms in which they are given, and what is taken of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reliability.checks import kind_of
from reliability.datasets import Dataset, as_dataset
from reliability.errors import UserError
from reliability.network import Network

Calibration = Dataset | tuple[Any, Any] | np.ndarray
"""Training inputs: a dataset, a pair of arrays (x, y), or x alone."""


def check_calibration(calibration: Calibration | Callable[[], Dataset] | None) -> None:
    """Raise :class:`UserError` for what is none of the forms; what a function loads is not known yet."""
    if calibration is not None and not callable(calibration):
        _raw(calibration)


def first_inputs(
    calibration: Calibration | Callable[[], Dataset] | None, network: Network, count: int
) -> np.ndarray:
    """The first training inputs, prepared; fewer than ``count`` where there are no more."""
    return network.prepare(_raw(_loaded(calibration))[:count])


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
    return as_dataset("calibration", given) if isinstance(given, Dataset | tuple) else None


def _raw(given: Calibration | None) -> np.ndarray:
    """The raw inputs alone."""
    x: Any = given
    if isinstance(given, Dataset):
        x = given.x
    elif isinstance(given, tuple):
        x = given[0] if len(given) == 2 else None
    try:
        x = np.asarray(x)
    except ValueError:  # nested lists of unequal lengths
        x = np.empty(0)
    if x.ndim < 2 or x.dtype.kind not in "buif":
        raise UserError(
            f"calibration holds {kind_of(given)}; it must be a Dataset (load_dataset makes one of its name), "
            f"a pair of arrays (x, y), or an array x of numbers in at least two axes (inputs, features)"
        )
    return x


def _loaded(calibration: Calibration | Callable[[], Dataset] | None) -> Calibration | None:
    return calibration() if callable(calibration) else calibration
