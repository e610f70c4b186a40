"""The same answers from fewer chips and inputs: mean accuracy and yield with controls and thinned inputs.

Plain Monte Carlo evaluates every chip on every input. Most inputs are certain, so that few evaluations tell
of them; and how good a chip is can largely be told from its weights (:mod:`reliability.surrogate`). Both are
used without bias: inputs are sampled with known probabilities and weighed by their inverses, and what the
surrogate says is corrected by what evaluated chips show.
"""

from reliability.economy.comparison import Economy
from reliability.economy.mean import estimate_mean
from reliability.economy.panels import PANELS, Panels
from reliability.economy.tail import estimate_tail

__all__ = ["PANELS", "Economy", "Panels", "estimate_mean", "estimate_tail"]
