"""Simulated studies with a known truth in which every chip is evaluated several times.

The probit model of `crossed_probit` with what reads redraw: read r of chip i adds read_sd c_ir on all inputs
and single_sd d_ijr on each input by itself to the sum whose sign makes the outcome.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, owens_t

from reliability.statistics import Outcomes


@dataclass(frozen=True)
class ReadProbit:
    """The model and the size of one study."""

    chips: int
    inputs: int
    reads: int = 2
    margin: float = 1.8
    chip_sd: float = 0.6
    input_sd: float = 1.0
    both_sd: float = 0.8
    read_sd: float = 0.4
    single_sd: float = 0.7

    def components(self) -> tuple[float, float, float, float, float]:
        """Variances of chips, inputs, both, reads, and reads of single inputs, by Owen's T function."""
        chip, inputs, both = self.chip_sd**2, self.input_sd**2, self.both_sd**2
        read, single = self.read_sd**2, self.single_sd**2
        total = chip + inputs + both + read + single
        height = self.margin / np.sqrt(total)
        mean = float(ndtr(height))

        def shared(part: float) -> float:
            correlation = part / total
            slope = np.sqrt((1.0 - correlation) / (1.0 + correlation))
            return float(mean - 2.0 * owens_t(height, slope) - mean**2)

        of_chip, of_input, of_cell = shared(chip), shared(inputs), shared(chip + inputs + both)
        of_read = shared(chip + read) - of_chip
        rest = mean * (1.0 - mean) - of_cell - of_read
        return of_chip, of_input, of_cell - of_chip - of_input, of_read, rest

    def draw(self, rng: np.random.Generator) -> list[Outcomes]:
        """One study: the outcomes of each read."""
        size = (self.chips, self.inputs)
        cells = self.margin + self.both_sd * rng.standard_normal(size)
        cells += self.chip_sd * rng.standard_normal((self.chips, 1))
        cells += self.input_sd * rng.standard_normal(self.inputs)
        found = []
        for _ in range(self.reads):
            noise = self.single_sd * rng.standard_normal(size)
            noise += self.read_sd * rng.standard_normal((self.chips, 1))
            found.append(Outcomes.from_array(cells + noise > 0))
        return found
