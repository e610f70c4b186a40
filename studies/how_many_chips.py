"""How many chips and how many inputs does a wanted interval take?

A pilot of chips on all test inputs splits the variance of the accuracy into what differs between chips,
between inputs, and what a chip does on an input, each with its interval; the simulator is timed on all and on
a quarter of the inputs. From both follow the cheapest numbers of chips and inputs for each wanted half width
of a 95 % interval: of the mean accuracy and of the drop from the digital network, over chips on these inputs
and over chips and inputs. Some intervals no number of chips can give, as the test set is too small.
"""

from reliability import Chip, Study, devices
from reliability.analyses.how_many_chips import HowManyChips

study = Study(
    question="How many chips and inputs does a wanted interval take?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.1)),
    chips=1000,
    analysis=HowManyChips(half_widths=(0.02, 0.01, 0.005, 0.002, 0.001)),
)
