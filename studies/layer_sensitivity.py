"""Which layer is to blame?

Each layer is made noisy alone while the others are digital, each is made digital while the others are noisy,
and the layers become noisy one after another in all orders (Shapley values, which add up to what all cost
together). The variance between chips is shared out by drawing one layer's devices anew while all others stay
(Sobol indices, Shapley effects). All of it happens on the same chips and inputs, so that layers are compared
chip by chip, and a rank is told only where these chips tell it.
"""

from reliability import Chip, Study, devices
from reliability.analyses.layer_sensitivity import LayerSensitivity

study = Study(
    question="Which layer is to blame?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.08)),
    chips=1000,
    analysis=LayerSensitivity(),
)
