"""Simulated studies with a known truth: chips x inputs with right/wrong outcomes from a probit model.

Input j has margin `margin + input_sd b_j`, chip i under a noise scale s adds s (chip_sd a_i + e_ij), all
standard normals independent; the outcome is right where the sum is positive. Scale 0 is the digital
network. The same a, b and e stand under every scale, as the same chips stand under every condition.
Known answer 5 of methods.md is margin 2.2, chip variance 0.2, input variance 1.5, scale 1.

The tests and `tests/coverage_cases` import this module.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, owens_t

from reliability.statistics import Outcomes


@dataclass(frozen=True)
class CrossedProbit:
    """The model and the size of one study."""

    chips: int
    inputs: int
    margin: float = 2.2
    chip_sd: float = 0.2**0.5
    input_sd: float = 1.5**0.5

    def accuracy(self, scale: float = 1.0) -> float:
        """Mean over all chips and inputs."""
        return float(ndtr(self.margin / np.sqrt(self.total_variance(scale))))

    def total_variance(self, scale: float = 1.0) -> float:
        return self.input_sd**2 + scale**2 * (self.chip_sd**2 + 1.0)

    def components(self, scale: float = 1.0) -> tuple[float, float, float]:
        """Variances of chips, inputs and interaction, by Owen's T function."""
        total = self.total_variance(scale)
        mean = self.accuracy(scale)
        height = self.margin / np.sqrt(total)

        def shared(correlation: float) -> float:
            slope = np.sqrt((1.0 - correlation) / (1.0 + correlation))
            return float(mean - 2.0 * owens_t(height, slope) - mean**2)

        chip = shared((scale * self.chip_sd) ** 2 / total)
        inputs = shared(self.input_sd**2 / total)
        return chip, inputs, mean * (1.0 - mean) - chip - inputs

    def draw(
        self, rng: np.random.Generator, scales: tuple[float, ...] = (1.0,)
    ) -> tuple[list[Outcomes], np.ndarray]:
        """One study: the outcomes under each scale, and the margins of the inputs drawn; shape (inputs,)."""
        margins = self.margin + self.input_sd * rng.standard_normal(self.inputs, dtype=np.float32)
        noise = rng.standard_normal((self.chips, self.inputs), dtype=np.float32)
        noise += np.float32(self.chip_sd) * rng.standard_normal((self.chips, 1), dtype=np.float32)
        return [Outcomes.from_array(-np.float32(scale) * noise < margins) for scale in scales], margins

    def accuracy_on(self, margins: np.ndarray, scale: float = 1.0) -> float:
        """Mean over all chips on these very inputs."""
        return float(ndtr(margins / (scale * np.sqrt(self.chip_sd**2 + 1.0))).mean())


DESIGNS = (
    CrossedProbit(chips=200, inputs=100),
    CrossedProbit(chips=50, inputs=1000),
    CrossedProbit(chips=20, inputs=300),
    CrossedProbit(chips=100, inputs=300, margin=3.5),
)
"""The four designs of methods.md, section 1.2; the last has accuracy 0.983."""
