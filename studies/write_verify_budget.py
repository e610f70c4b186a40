"""Which weights are worth a write-verify, and how many of them are enough?

Weights are ranked by training inputs only: by what verifying each adds to the mean accuracy, from the
analytic network's derivatives at the noise of unverified devices; by the second derivative of the loss
(SWIM); by magnitude; at random. Each ranking verifies as many weights, in one order across layers, as are
expected to take the same write cycles, on the same chips, whose first writes are the same in every condition.
Write cycles are counted device by device and told as normalised write cycles, over what the same chip takes
to verify everything. The smallest budget for a given drop of mean accuracy is proposed by the chips of a
search and decided on fresh ones.
"""

from reliability import Chip, Study, devices
from reliability.analyses.write_verify_budget import WriteVerifyBudget
from reliability.write_verify import WriteVerify

study = Study(
    question="Which weights are worth a write-verify, and how many of them are enough?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(
        device=devices.gaussian(sigma=0.15),
        verify=WriteVerify(share=1.0, tolerance=0.077, max_cycles=100),
    ),
    chips=500,
    analysis=WriteVerifyBudget(),
)
