"""How low can accuracy fall although every weight is guaranteed to be nearly right?

Write-verify holds every weight within a bound. Errors drawn within it average out. Errors chosen against
the network, by following its derivatives to the weights of the chip's own layers, do not: what such attacks
reach within rising bounds stands beside chips with uniform errors within the same bounds. The second panel
asks how far a chip of Gaussian devices must lie from its targets, in standard deviations of its weights, to
be as bad.
"""

from reliability import Chip, Study, devices
from reliability.analyses.worst_case import WorstCase

study = Study(
    question="How low can accuracy fall although every weight is guaranteed to be nearly right?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.03)),
    chips=300,
    analysis=WorstCase(bounds=(0.005, 0.01, 0.02, 0.03, 0.05, 0.1)),
)
