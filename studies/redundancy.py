"""How much do several devices a weight gain?

Every weight stands on k pairs of devices, whose mean counts: of all layers, of the most sensitive layers, or
of the most sensitive columns of all layers. These are found on training inputs, by what the analytic network
says their errors cost for each cell. The devices here cannot conduct less than nothing, so that a weight is
off on average too, and that does not average out: a multiplication's error falls as the root of
b^2 + s^2 / k. Accuracies are compared on the same chips and test inputs.
"""

from reliability import Chip, Study, devices
from reliability.analyses.redundancy import Copies

study = Study(
    question="How much do several devices a weight gain?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.12, clamp=True)),
    chips=500,
    analysis=Copies(),
)
