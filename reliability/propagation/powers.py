"""Signal and noise of every layer's outputs."""

from __future__ import annotations

import numpy as np


class Powers:
    """Collects, layer by layer, the mean square of expected outputs and the mean of their variances."""

    def __init__(self) -> None:
        self.sums: dict[str, np.ndarray] = {}

    def count(self, name: str, mean: np.ndarray, variance: np.ndarray) -> None:
        """Add outputs of a layer."""
        own = np.array([np.square(mean, dtype=np.float64).sum(), variance.sum(dtype=np.float64), mean.size])
        self.sums[name] = self.sums.get(name, 0) + own

    def add(self, other: Powers) -> None:
        """Add what another one has collected."""
        for name, own in other.sums.items():
            self.sums[name] = self.sums.get(name, 0) + own

    def signal(self, name: str) -> float:
        """Mean square of a layer's expected outputs."""
        return float(self.sums[name][0] / self.sums[name][2])

    def noise(self, name: str) -> float:
        """Mean variance of a layer's outputs over chips."""
        return float(self.sums[name][1] / self.sums[name][2])
