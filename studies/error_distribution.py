"""Which distribution do the errors of a chip have?

Every chip gives one error: the logit that it computes minus that of the digital network, of one test input
and one class taken by chance. So errors are independent, and the tests of fit hold. Nine families are fitted
by maximum likelihood and ranked by AICc; parametric bootstrap tells whether any can be believed. The far
errors are told without any family, by a generalised Pareto law of the tenth of the errors at each end.

Other errors: `--set analysis.of=weights`, `accuracy`, or a node such as `fc1`; with
`--set analysis.alone=true` those of one layer's own multiplications.
"""

from reliability import DAY, Chip, Study, devices
from reliability.analyses.error_distribution import ErrorDistribution

study = Study(
    question="Which distribution do the errors of a chip have?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.pcm(), compensation="global", name="pcm"),
    time_s=DAY,
    chips=2000,
    analysis=ErrorDistribution(),
)
