"""A law of skewed, discrete chip accuracies with exact answers, for several tests.

A chip has a severity |z|, z standard normal, and gets floor(200 (0.02 + 0.09 |z|)) of 200 inputs wrong: an
input is wrong as soon as the severity passes its threshold. The 5 % quantile is exactly 0.805.
"""

import numpy as np
from scipy.special import ndtr

INPUTS = 200
QUANTILE_05 = 0.805


def draw_accuracies(rng: np.random.Generator, size) -> np.ndarray:
    """Accuracies of chips, in shape `size`."""
    severity = np.abs(rng.standard_normal(size))
    wrong = np.minimum(np.floor(INPUTS * (0.02 + 0.09 * severity)), INPUTS)
    return (INPUTS - wrong) / INPUTS


def law() -> tuple[np.ndarray, np.ndarray]:
    """Every accuracy possible, rising, and its probability."""
    wrong = np.arange(INPUTS + 1)
    # At least w are wrong where the severity reaches (w / 200 - 0.02) / 0.09; its tail is 2 (1 - Phi).
    reached = 2.0 * ndtr(-np.maximum((wrong / INPUTS - 0.02) / 0.09, 0.0))
    probability = reached - np.append(reached[1:], 0.0)
    return (INPUTS - wrong[::-1]) / INPUTS, probability[::-1]


def mean_and_spread() -> tuple[float, float]:
    """Mean and standard deviation over all chips."""
    accuracy, probability = law()
    mean = float(accuracy @ probability)
    return mean, float(np.sqrt((accuracy - mean) ** 2 @ probability))
