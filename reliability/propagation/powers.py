"""Signal and noise of every layer's outputs."""

from __future__ import annotations

import numpy as np


class Powers:
    """Collects, layer by layer, the mean square of expected outputs and the mean of their variances."""

    def __init__(self) -> None:
        self.sums: dict[str, np.ndarray] = {}

    def count(self, name: str, signal: float, noise: float, values: int) -> None:
        """Add outputs of a layer: the squares of so many means, added up, and the variances."""
        self.sums[name] = self.sums.get(name, 0) + np.array([signal, noise, values])

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
