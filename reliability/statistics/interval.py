"""An interval, the bounds it lives within, and the checks that every level and every value pass."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reliability.errors import UserError

FRACTION = (0.0, 1.0)
"""Bounds of right/wrong outcomes and of accuracies."""
DIFFERENCE = (-1.0, 1.0)
"""Bounds of the difference of two fractions."""
REAL = (-math.inf, math.inf)
"""Bounds of a metric of which nothing is known."""

CHIPS = "chips, these inputs"
"""What varies: other chips would be made, and tested on these very inputs."""
CHIPS_AND_INPUTS = "chips and inputs"
"""What varies: other chips would be made, and other inputs drawn."""


class Interval(NamedTuple):
    """The two ends of a confidence interval, in the unit of what it estimates."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """The full width, high minus low."""
        return self.high - self.low


def check_level(level: float) -> None:
    """Raise a `UserError` unless the level of confidence lies strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise UserError(f"The level of confidence holds {level}; it must lie between 0 and 1, such as 0.95.")


def check_finite(values: NDArray, what: str) -> None:
    """Raise a `UserError` that names ``what`` unless all its values are finite."""
    finite = np.isfinite(values)
    if not finite.all():
        bad = finite.size - int(np.count_nonzero(finite))
        raise UserError(f"The {what} hold {bad} values that are NaN or infinite; all must be finite.")
