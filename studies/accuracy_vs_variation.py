"""How much programming error does a network bear?

Every device misses its target conductance by a normal error whose standard deviation is a given
fraction of the largest conductance. The same chips, scaled, stand under every condition.
"""

from reliability import Chip, Curve, Study, devices

study = Study(
    question="How much programming error does a network bear?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(), name="gaussian"),
    vary={"device.sigma": [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3]},
    figure=Curve(x="device.sigma", label="Programming error, $\\sigma / G_{\\mathrm{max}}$"),
    chips=1000,
)
