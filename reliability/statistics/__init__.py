"""Intervals, tests of stopping and summaries: arrays and tables in, tables out.

Every interval states what varies in it. Two questions are kept apart throughout: the mean over chips on these
very inputs, and the mean over chips and over inputs like these.
"""

from reliability.statistics.binomial import clopper_pearson, clopper_pearson_lower, wilson
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
from reliability.statistics.distributions import DistributionFit, FamilyFit, fit_error_distribution
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
    one_sided_index,
    quantile_indices,
    quantile_interval,
    quantile_rank,
)
from reliability.statistics.outcomes import Outcomes
from reliability.statistics.ranking import ranking
from reliability.statistics.sequential import (
    chips_needed,
    confidence_sequence,
    look_counts,
    narrowest_width,
    proportion_sequence,
    sequence_width,
)
from reliability.statistics.shapley import shapley_effects, shapley_values
from reliability.statistics.shares import Shares, fieller_interval, shares_of
from reliability.statistics.sobol import first_order, total
from reliability.statistics.spread import spread_interval
from reliability.statistics.summary import failure_table, summarize
from reliability.statistics.tail import Tail, fit_tail
from reliability.statistics.unanimous import unanimous_interval

__all__ = [
    "DIFFERENCE",
    "FRACTION",
    "REAL",
    "CrossedMean",
    "CrossedSums",
    "DistributionFit",
    "FailureQuantile",
    "FamilyFit",
    "Interval",
    "Outcomes",
    "QuantileInterval",
    "Shares",
    "Tail",
    "chips_interval",
    "chips_needed",
    "clopper_pearson",
    "clopper_pearson_lower",
    "confidence_sequence",
    "crossed_mean",
    "failure_distribution",
    "failure_quantile",
    "failure_table",
    "fieller_interval",
    "first_failure",
    "first_order",
    "fit_error_distribution",
    "fit_tail",
    "input_floor",
    "look_counts",
    "minimum_chips",
    "narrowest_width",
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
    "spread_interval",
    "summarize",
    "sums_of_difference",
    "sums_of_drop",
    "sums_of_outcomes",
    "sums_of_values",
    "total",
    "unanimous_interval",
    "wilson",
]
