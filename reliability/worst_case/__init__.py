"""The worst weights within a bound: how low accuracy can fall where every error is guaranteed to be small.

Write-verify guarantees that no weight misses by more than a bound. Random errors within it average out;
errors chosen against the network do not. They are found here by following the derivatives of the chip's own
layers: with batch norms folded and weights clipped and rounded as the mapping does it. Digital layers and
digital biases are left alone. Converters, wires and what is redrawn at every read stay out: attacked are the
weights.

What an attack reaches bounds the lowest accuracy from above: other weights within the bound may be worse.
It is no probability. Z. Yan, X. S. Hu, Y. Shi, Computing-in-memory neural network accelerators for
safety-critical systems: can small device variations be disastrous?, ICCAD 2022, arXiv 2207.07626.
"""

from reliability.worst_case.attack import Attack
from reliability.worst_case.carlini import carlini_wagner
from reliability.worst_case.gradient import attack_curve, projected_gradient
from reliability.worst_case.objectives import OBJECTIVES, margin
from reliability.worst_case.random_errors import uniform_noise, weight_deviations
from reliability.worst_case.surface import Surface, Unit

__all__ = [
    "OBJECTIVES",
    "Attack",
    "Surface",
    "Unit",
    "attack_curve",
    "carlini_wagner",
    "margin",
    "projected_gradient",
    "uniform_noise",
    "weight_deviations",
]
