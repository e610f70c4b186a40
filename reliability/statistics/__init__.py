"""Intervals, tests of stopping and summaries: arrays and tables in, tables out.

Every interval states what varies in it. Two questions are kept apart throughout: the mean over chips on these
very inputs, and the mean over chips and over inputs like these.
"""

from reliability.statistics.betting import betting_sequence, certified_yield, yield_evidence
from reliability.statistics.binomial import clopper_pearson, clopper_pearson_lower, wilson
from reliability.statistics.components import Component, variance_components
from reliability.statistics.controlled import (
    Controlled,
    controlled_mean,
    inclusion_probabilities,
    systematic_sample,
)
from reliability.statistics.crossed import (
    CrossedMean,
    CrossedSums,
    chips_interval,
    crossed_mean,
    input_floor,
    population_interval,
    population_method,
    sums_of_difference,
    sums_of_drop,
    sums_of_outcomes,
    sums_of_values,
)
from reliability.statistics.cvar import cvar_interval
from reliability.statistics.distribution_fit import DistributionFit
from reliability.statistics.distributions import fit_error_distribution
from reliability.statistics.failures import failure_table
from reliability.statistics.family_fit import FamilyFit
from reliability.statistics.interval import DIFFERENCE, FRACTION, REAL, Interval
from reliability.statistics.lifetime import (
    FailureQuantile,
    failure_distribution,
    failure_quantile,
    first_failure,
    required_correct,
)
from reliability.statistics.order import (
    QuantileInterval,
    minimum_chips,
    normal_tolerance_factor,
    one_sided_index,
    quantile_indices,
    quantile_interval,
    quantile_rank,
    tolerance_bound,
    tolerance_indices,
    tolerance_interval,
)
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.planning import (
    Cost,
    Plan,
    Split,
    cheapest,
    enough_chips,
    fewest_chips,
    half_width,
    inputs_needed,
)
from reliability.statistics.ranking import ranking
from reliability.statistics.sequential import (
    confidence_sequence,
    look_counts,
    proportion_sequence,
    sequence_width,
)
from reliability.statistics.shapley import shapley_effects, shapley_values
from reliability.statistics.shares import Shares, fieller_interval, shares_of
from reliability.statistics.simultaneous import bonferroni_level, joint_level
from reliability.statistics.sobol import first_order, total
from reliability.statistics.spread import spread_interval
from reliability.statistics.stopping import chips_needed, expected_widths, mean_sequence
from reliability.statistics.summary import simultaneous_intervals, summarize
from reliability.statistics.tail import Tail, fit_tail
from reliability.statistics.unanimous import unanimous_interval

__all__ = [
    "DIFFERENCE",
    "FRACTION",
    "REAL",
    "Component",
    "Controlled",
    "Cost",
    "CrossedMean",
    "CrossedSums",
    "DistributionFit",
    "FailureQuantile",
    "FamilyFit",
    "Interval",
    "Outcomes",
    "Plan",
    "QuantileInterval",
    "Shares",
    "Split",
    "Tail",
    "betting_sequence",
    "bonferroni_level",
    "certified_yield",
    "cheapest",
    "chips_interval",
    "chips_needed",
    "clopper_pearson",
    "clopper_pearson_lower",
    "confidence_sequence",
    "controlled_mean",
    "crossed_mean",
    "cvar_interval",
    "enough_chips",
    "expected_widths",
    "failure_distribution",
    "failure_quantile",
    "failure_table",
    "fewest_chips",
    "fieller_interval",
    "first_failure",
    "first_order",
    "fit_error_distribution",
    "fit_tail",
    "half_width",
    "inclusion_probabilities",
    "input_floor",
    "inputs_needed",
    "joint_level",
    "look_counts",
    "mean_sequence",
    "minimum_chips",
    "normal_tolerance_factor",
    "one_sided_index",
    "population_interval",
    "population_method",
    "proportion_sequence",
    "quantile_indices",
    "quantile_interval",
    "quantile_rank",
    "ranking",
    "required_correct",
    "sequence_width",
    "shapley_effects",
    "shapley_values",
    "shares_of",
    "simultaneous_intervals",
    "spread_interval",
    "summarize",
    "sums_of_difference",
    "sums_of_drop",
    "sums_of_outcomes",
    "sums_of_values",
    "systematic_sample",
    "tolerance_bound",
    "tolerance_indices",
    "tolerance_interval",
    "total",
    "unanimous_interval",
    "variance_components",
    "wilson",
    "yield_evidence",
]
