"""Cures of a chip: what each changes in its description, what it costs, and which to take."""

from reliability.mitigation.adabs import AdaptiveStatistics
from reliability.mitigation.advice import Advice
from reliability.mitigation.bias import BiasCorrection
from reliability.mitigation.bit_slices import CorrectingSlices
from reliability.mitigation.candidates import Candidates
from reliability.mitigation.certificate import Certificate
from reliability.mitigation.clipping import Clipping, find_clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.compensation import DriftCompensation
from reliability.mitigation.converter_ranges import ConverterRanges, find_converter_ranges
from reliability.mitigation.cost_model import CostModel, cost_model, cost_sources
from reliability.mitigation.costs import count_costs, total_costs
from reliability.mitigation.cure import Cure
from reliability.mitigation.default_space import default_space
from reliability.mitigation.digital_correction import DigitalCorrection
from reliability.mitigation.goal import Goal
from reliability.mitigation.in_pair import InPairCorrection
from reliability.mitigation.multi_device import MultiDevice
from reliability.mitigation.overrides import by_name
from reliability.mitigation.projected_pcm import ProjectedPCM
from reliability.mitigation.recommend import recommend, recommend_from
from reliability.mitigation.redundancy import Redundancy, find_redundancy
from reliability.mitigation.refresh import Refresh
from reliability.mitigation.remapping import RowRemapping
from reliability.mitigation.selection import rank_weights, save_scores, select
from reliability.mitigation.space import Design, Knob, Option, Space
from reliability.mitigation.spares import Spares
from reliability.mitigation.vote import Vote
from reliability.mitigation.write_verify import VerifyWeights, smallest_budget

__all__ = [
    "AdaptiveStatistics",
    "Advice",
    "BiasCorrection",
    "Candidates",
    "Certificate",
    "Clipping",
    "ColumnScale",
    "ConverterRanges",
    "CorrectingSlices",
    "CostModel",
    "Cure",
    "Design",
    "DigitalCorrection",
    "DriftCompensation",
    "Goal",
    "InPairCorrection",
    "Knob",
    "MultiDevice",
    "Option",
    "ProjectedPCM",
    "Redundancy",
    "Refresh",
    "RowRemapping",
    "Space",
    "Spares",
    "VerifyWeights",
    "Vote",
    "by_name",
    "cost_model",
    "cost_sources",
    "count_costs",
    "default_space",
    "find_clipping",
    "find_converter_ranges",
    "find_redundancy",
    "rank_weights",
    "recommend",
    "recommend_from",
    "save_scores",
    "select",
    "smallest_budget",
    "total_costs",
]
