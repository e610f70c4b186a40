"""Derivatives of a network's logits, by reverse accumulation in plain NumPy.

Everything here works on a batch of N inputs and, for each of them, on S upstream derivatives at once: the
derivatives of S scalar functions (a loss; every class's logit) with respect to the output of a node. They are
pulled back node by node. What a kind of layer does to them is one entry of :data:`RULES`.

Arrays keep the type of the activations: float32, or float64 where ``Network.activations`` was given float64.
ReLU has derivative 0 at 0, a window with several largest values passes its derivative to the first one.
"""

from reliability.derivatives.loss import cross_entropy
from reliability.derivatives.own import Own
from reliability.derivatives.reverse import (
    Activations,
    Derivatives,
    LayerDerivatives,
    derivatives,
    logits_node,
    pull_back,
    weight_derivatives,
)
from reliability.derivatives.rules import RULES
from reliability.derivatives.workspace import chunks

__all__ = [
    "RULES",
    "Activations",
    "Derivatives",
    "LayerDerivatives",
    "Own",
    "chunks",
    "cross_entropy",
    "derivatives",
    "logits_node",
    "pull_back",
    "weight_derivatives",
]
