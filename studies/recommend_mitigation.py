"""What is the cheapest cure?

Designs of the chip (which cures, how strong, on which layers) are searched on one half of the test inputs, on
common chips, poor designs on few of them. The cheapest that is likely to meet the goal is then tried on fresh
chips and the other half of the inputs, and certified if an exact binomial test says so: with 95 % confidence
at least 95 % of chips stay above the target at every time of the grid.
"""

from reliability import Chip, Study, devices
from reliability.analyses.recommendation import Recommendation

study = Study(
    question="What is the cheapest cure?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.pcm()),
    chips=200,
    analysis=Recommendation(),
)
