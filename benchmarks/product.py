"""What the machine can do: NumPy's own float32 matrix product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

NAME = "sgemm 2048"


def matrix_product(size: int = 2048, repeats: int = 2) -> tuple[Callable[[], None], float]:
    """A product of two square matrices, done so often, and its floating-point operations in all."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size), np.float32) for _ in range(2))

    def work() -> None:
        for _ in range(repeats):
            a @ b

    return work, 2.0 * size**3 * repeats
