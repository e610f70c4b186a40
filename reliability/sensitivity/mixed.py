"""Measures of what groups make chips differ by: shares of the variance, from mixed draws."""

from __future__ import annotations

import numpy as np

from reliability.sensitivity.drops import Drops
from reliability.sensitivity.estimate import Estimate, exact, of_blocks, of_shares
from reliability.sensitivity.measure import SHARE, Find, Measure
from reliability.sensitivity.question import Question, Run
from reliability.statistics.shapley import effects_of_order, joined, shapley_effects
from reliability.statistics.shares import shares_of
from reliability.statistics.sobol import first_order, total


def _unless_alone(find: Find) -> Find:
    """A single source has all of the variance, whatever an estimator says."""

    def found(question: Question, drops: Drops) -> Estimate:
        if len(question.sources) > 1:
            return find(question, drops)
        return exact(question.sources, [1.0], "by definition: the only source of chance")

    return found


def _sobol_arrays(question: Question, drops: Drops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mixed = [drops.mixed(1 << g) for g in range(len(question.sources))]
    return drops.mixed(0), drops.mixed(question.every_source), np.stack(mixed)


@_unless_alone
def _sobol_first(question: Question, drops: Drops) -> Estimate:
    shares = first_order(*_sobol_arrays(question, drops), question.level)
    return of_shares(question.sources, shares, "Saltelli, centred")


@_unless_alone
def _sobol_total(question: Question, drops: Drops) -> Estimate:
    shares = total(*_sobol_arrays(question, drops), question.level)
    return of_shares(question.sources, shares, "Jansen")


def _run_sobol(question: Question) -> list[Run]:
    if len(question.sources) == 1:
        return []
    sets = dict.fromkeys([0, question.every_source, *(1 << g for g in range(len(question.sources)))])
    return [question.mixed(groups) for groups in sets]


@_unless_alone
def _shapley_effects(question: Question, drops: Drops) -> Estimate:
    if question.source_orders is None:
        mixed = np.stack([drops.mixed(groups) for groups in range(question.every_source + 1)])
        return of_shares(question.sources, shapley_effects(mixed, question.level), "all sets")
    parts, wholes = [], []
    for pair, first, count in question.blocks(question.source_orders):
        mixed = np.stack([drops.mixed(groups, first, count) for groups in joined(pair[0])])
        part, variance = effects_of_order(pair[0], mixed)
        parts.append(part.mean(axis=1))
        wholes.append(variance.mean())
    estimate = of_shares(question.sources, shares_of(np.array(parts), wholes, question.level), "")
    return of_blocks(estimate, question.source_orders, count, "Fieller")


def _run_shapley_effects(question: Question) -> list[Run]:
    if len(question.sources) == 1:
        return []
    if question.source_orders is None:
        return [question.mixed(groups) for groups in range(question.every_source + 1)]
    inner = [
        Run("mixed", groups, first, count)
        for pair, first, count in question.blocks(question.source_orders)
        for groups in joined(pair[0])[1:-1]
    ]
    return [question.mixed(0), question.mixed(question.every_source), *inner]


def _refuses(question: Question) -> str | None:
    if not question.sources:
        return "nothing is drawn for these chips, so that they do not differ: no variance to share"
    return None


MIXED: dict[str, Measure] = {
    "sobol_first": Measure("first-order Sobol index", SHARE, _sobol_first, _run_sobol, _refuses),
    "sobol_total": Measure("total Sobol index, with interactions", SHARE, _sobol_total, _run_sobol, _refuses),
    "shapley_effects": Measure(
        "Shapley effect: adds up to 1", SHARE, _shapley_effects, _run_shapley_effects, _refuses
    ),
}
