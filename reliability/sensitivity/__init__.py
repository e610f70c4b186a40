"""Which layer, and which effect, is to blame: what groups of a chip's noise do alone, together and in turns.

A chip is a number, and the draws of a layer belong to the layer: the same chips can be simulated with any set
of layers noisy and the others digital, with any set of effects, or with the draws of some groups taken from
other chips. All measures are made of such runs on the same chips (common random numbers), so that they are
compared chip by chip.

Two questions are kept apart. What a group costs: the drop of accuracy from the digital network, on average
over chips (:data:`MEASURES` ``one_noisy`` to ``shapley``). What a group makes chips differ by: its share of
the variance between chips (``sobol_first`` to ``shapley_effects``), which decides on yield.
"""

from reliability.sensitivity.estimate import Estimate
from reliability.sensitivity.measure import DROP, LOSS, SHARE, Measure
from reliability.sensitivity.measures import MEASURES, chosen_measures, runs_of
from reliability.sensitivity.question import Question, Run, question_of
from reliability.sensitivity.table import MOST, measure_sensitivity

__all__ = [
    "DROP",
    "LOSS",
    "MEASURES",
    "MOST",
    "SHARE",
    "Estimate",
    "Measure",
    "Question",
    "Run",
    "chosen_measures",
    "measure_sensitivity",
    "question_of",
    "runs_of",
]
