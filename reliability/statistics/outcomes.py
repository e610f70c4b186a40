"""Right/wrong outcomes of chips on inputs, packed eight to a byte.

A thousand chips on a thousand inputs are 125 kB here and would be 8 MB as floats.
Everything the statistics need of them are counts, taken in blocks of chips.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reliability.errors import UserError

# Up to 255 ones add up in one byte, so a block of this many chips is summed without widening.
_BLOCK_CHIPS = 255
_ONES_IN_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(
    axis=1, dtype=np.uint8
)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which inputs each chip got right.

    Attributes
    ----------
    packed : ndarray of uint8, shape (chips, ceil(inputs / 8))
        One row a chip, as `numpy.packbits` packs it: first input in the highest bit, zeros as padding.
    inputs : int
        Number of inputs.
    """

    packed: NDArray[np.uint8]
    inputs: int

    def __post_init__(self) -> None:
        expected = -(-self.inputs // 8)
        if self.packed.ndim != 2 or self.packed.shape[1] != expected:
            raise UserError(
                f"The packed outcomes hold an array of shape {self.packed.shape}; "
                f"{self.inputs} inputs need {expected} bytes for each chip."
            )

    @classmethod
    def from_array(cls, correct: NDArray) -> "Outcomes":
        """Pack an array of booleans (or zeros and ones), shape (chips, inputs)."""
        return cls(np.packbits(np.asarray(correct, dtype=bool), axis=1), correct.shape[1])

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.packed.shape[0]

    @cached_property
    def correct_by_chip(self) -> NDArray[np.int64]:
        """Inputs each chip got right; shape (chips,)."""
        return _ones(self.packed)

    @cached_property
    def chips_by_input(self) -> NDArray[np.int64]:
        """Chips that got each input right; shape (inputs,)."""
        total = np.zeros(self.inputs, dtype=np.int64)
        for start in range(0, self.chips, _BLOCK_CHIPS):
            block = np.unpackbits(self.packed[start : start + _BLOCK_CHIPS], axis=1, count=self.inputs)
            total += block.sum(axis=0, dtype=np.uint8)
        return total

    def disagreements(self, other: "Outcomes") -> int:
        """Number of (chip, input) pairs right in one and wrong in the other, which may have a single row."""
        count = 0
        for start in range(0, self.chips, _BLOCK_CHIPS):
            block = slice(start, start + _BLOCK_CHIPS)
            second = other.packed if other.chips == 1 else other.packed[block]
            count += int(_ones(self.packed[block] ^ second).sum())
        return count

    def of_chips(self, rows: NDArray[np.int64]) -> "Outcomes":
        """The outcomes of the chips in these rows, in this order."""
        return Outcomes(self.packed[rows], self.inputs)


def _ones(packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of ones in each row."""
    counts = np.empty(packed.shape[0], dtype=np.int64)
    for start in range(0, packed.shape[0], _BLOCK_CHIPS):
        block = slice(start, start + _BLOCK_CHIPS)
        counts[block] = _ONES_IN_BYTE[packed[block]].sum(axis=1, dtype=np.int64)
    return counts
