"""Measures of what groups cost: drops of accuracy with some groups noisy and the others not."""

from __future__ import annotations

import numpy as np

from reliability.sensitivity.drops import Drops
from reliability.sensitivity.estimate import Estimate, exact, of_blocks, of_chips
from reliability.sensitivity.measure import DROP, Measure
from reliability.sensitivity.question import ALL, Question, Run
from reliability.statistics.shapley import joined, shapley_values, shares_of_order


def _together(question: Question, drops: Drops) -> Estimate:
    return of_chips(drops, [ALL], drops.noisy(question.everything)[np.newaxis])


def _run_together(question: Question) -> list[Run]:
    return [*question.noisy(0), *question.noisy(question.everything)]


def _one_noisy(question: Question, drops: Drops) -> Estimate:
    return of_chips(drops, list(question.groups), _each_alone(question, drops))


def _each_alone(question: Question, drops: Drops) -> np.ndarray:
    return np.stack([drops.noisy(1 << g) for g in range(len(question.groups))])


def _run_one_noisy(question: Question) -> list[Run]:
    return [
        *question.noisy(0),
        *(run for g in range(len(question.groups)) for run in question.noisy(1 << g)),
    ]


def _interaction(question: Question, drops: Drops) -> Estimate:
    if len(question.groups) == 1:
        return exact([ALL], [0.0], "by definition: nothing to interact with")
    more = drops.noisy(question.everything) - _each_alone(question, drops).sum(axis=0)
    return of_chips(drops, [ALL], more[np.newaxis], reach=1.0 + len(question.groups))


def _run_interaction(question: Question) -> list[Run]:
    if len(question.groups) == 1:
        return []
    return [*_run_one_noisy(question), *_run_together(question)]


def _all_but_one(question: Question, drops: Drops) -> Estimate:
    every = drops.noisy(question.everything)
    values = [every - drops.noisy(question.everything & ~(1 << g)) for g in range(len(question.groups))]
    return of_chips(drops, list(question.groups), np.stack(values))


def _run_all_but_one(question: Question) -> list[Run]:
    sets = [question.everything & ~(1 << g) for g in range(len(question.groups))]
    return [*_run_together(question), *(run for groups in sets for run in question.noisy(groups))]


def _shapley(question: Question, drops: Drops) -> Estimate:
    if question.orders is None:
        values = np.stack([drops.noisy(groups) for groups in range(question.everything + 1)])
        return of_chips(drops, list(question.groups), shapley_values(values))
    found = []
    for pair, first, count in question.blocks(question.orders):
        gains = [
            shares_of_order(order, np.stack([drops.noisy(groups, first, count) for groups in joined(order)]))
            for order in pair
        ]
        # Orders and chips are drawn anew in each block, so that both vary between the blocks.
        found.append(np.mean(gains, axis=(0, 2)))
    estimate = of_chips(drops, list(question.groups), np.array(found).T)
    return of_blocks(estimate, question.orders, count, "Student t")


def _run_shapley(question: Question) -> list[Run]:
    if question.orders is None:
        return [run for groups in range(question.everything + 1) for run in question.noisy(groups)]
    inner = [
        Run("noisy", groups, first, count)
        for pair, first, count in question.blocks(question.orders)
        for order in pair
        for groups in joined(order)[1:-1]
    ]
    return [*_run_together(question), *inner]


NOISY: dict[str, Measure] = {
    "together": Measure("all groups noisy", DROP, _together, _run_together),
    "one_noisy": Measure("one group noisy", DROP, _one_noisy, _run_one_noisy),
    "interaction": Measure(
        "all groups noisy, less the sum of one group noisy",
        DROP,
        _interaction,
        _run_interaction,
    ),
    "all_but_one": Measure("what one group adds to all others", DROP, _all_but_one, _run_all_but_one),
    "shapley": Measure("Shapley value: what a group adds, over all orders", DROP, _shapley, _run_shapley),
}
