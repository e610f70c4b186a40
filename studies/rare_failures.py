"""How probable is a chip below the target, when none or few of those simulated are?

An accuracy of 91 %, Gaussian programming errors of 6 % of the largest conductance, all test inputs. Twenty
thousand chips are simulated plainly: they say which accuracy 1 % and 5 % of chips fall below, and how often
chips fail as far as so few can tell. Subset simulation then goes on from the worst tenth of ten thousand
chips to the worst tenth of those, and so forth, each time moving the chips' latents a little without letting
them get better again, until a tenth of them fail. The interval counts how many of the first, independent
chips the failing ones descend from, and how unequally.
"""

from reliability import Chip, Study, devices
from reliability.analyses.rare_failures import Tail

study = Study(
    question="How probable is a chip below the target, when none or few of those simulated are?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.06)),
    chips=20_000,
    target=0.91,
    analysis=Tail(chips_of_stage=10_000),
)
