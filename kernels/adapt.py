"""Digital ends fitted to calibration inputs: the chip's own means and spreads of every channel.

All calibration inputs go through one chip layer by layer. What a layer adds up is measured before its digital
end, which is fitted to it at once, so that the next layer sees what it will see afterwards.
"""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .cells import realise
from .digital import locate
from .engine import classify, in_threads, read_devices, shares_of
from .forward import operate
from .intrinsics import prefer_wide_vectors, take_next
from .layout import COLUMN, KEPT, NORMS, OFFSETS, SPREADS, Workspace
from .simd import VECTOR

# A spread below this share of the digital network's is taken for a dead column.
_FLOOR = 1e-4


@compiled()
def _add_place(sums, values, means, power, lanes):
    """Add one place's values, or their squared distances from the means, to the sums of their lanes."""
    prefer_wide_vectors()
    for c in range(len(means)):
        mean = means[c]
        for i in range(lanes):
            at = c * VECTOR + i
            value = np.float64(values[at])
            sums[at] += value if power == 1 else (value - mean) * (value - mean)


@compiled()
def _measure(plan, work, op, at, half):
    """Mean and variance of each channel of an operation's source, over all inputs and places.

    They are written to ``work.moments``, from ``at`` and from ``half + at`` on.
    """
    source = plan.buffers[op.source]
    channels = source.channels
    size = channels * VECTOR
    sums = work.lane_sums[:size]
    count = plan.count * source.height * source.width
    means = work.moments[at : at + channels]
    for power in range(1, 3):
        for i in range(size):
            sums[i] = 0.0
        for first in range(0, plan.count, VECTOR):
            lanes = min(VECTOR, plan.count - first)
            x, x_at = locate(plan, work, op.source, 0, first // VECTOR, 0)
            for row in range(source.height):
                for place in range(source.width):
                    here = x_at + row * source.row_step + place * size
                    _add_place(sums, x[here : here + size], means, power, lanes)
        for c in range(channels):
            total = 0.0
            for i in range(VECTOR):
                total += sums[c * VECTOR + i]
            work.moments[(power - 1) * half + at + c] = total / count


@compiled()
def _fit(plan, work, own_plan, own_work, adaptation, operation, variant):
    """Set the digital end of one operation on calibration inputs, and the same one of the evaluation."""
    op = own_plan.operations[operation]
    how, held = plan.adapted[variant], adaptation.held[operation]
    at = op.coefficients_at - adaptation.skipped
    half = len(adaptation.gains)
    factor = work.factors[held, variant] if held >= 0 else np.float32(1)
    by_column = held >= 0 and plan.compensated[variant] == COLUMN
    for c in range(own_plan.buffers[op.source].channels):
        here, to = at + c, variant * plan.coefficients_step + at + c
        mean, variance = factor * own_work.moments[here], own_work.moments[half + here]
        spread = factor * np.sqrt(variance)
        before, shift = np.float64(plan.scales[here]), np.float64(plan.shifts[here])
        scale = np.float64(work.end_scales[to]) if by_column else before
        wanted = adaptation.means[here]
        if adaptation.normed[operation] and how == NORMS:
            scale = adaptation.gains[here] / np.sqrt(spread * spread + adaptation.epsilons[here])
            shift = adaptation.offsets[here] - scale * mean
        elif how == OFFSETS and held >= 0:
            shift += before * wanted - scale * mean
        elif how in (SPREADS, NORMS) and held >= 0:
            lowest = _FLOOR * adaptation.spreads[here]
            ratio = adaptation.spreads[here] / max(spread, lowest) if spread > 0 else 1.0
            scale = before * ratio
            shift += before * wanted - scale * mean
        work.end_scales[to] = scale
        work.end_shifts[to] = shift
        own_work.end_scales[op.coefficients_at + c] = factor * work.end_scales[to]
        own_work.end_shifts[op.coefficients_at + c] = work.end_shifts[to]


@compiled()
def _adapt(plan, work, own_plan, own_work, adaptation, variant, time, chip):
    """All calibration inputs through one chip, whose digital ends of a variant are fitted one by one."""
    blocks = (own_plan.count + VECTOR - 1) // VECTOR
    for k in range(len(own_plan.operations)):
        if adaptation.measured[k]:
            op = own_plan.operations[k]
            at = op.coefficients_at - adaptation.skipped
            _measure(own_plan, own_work, op, at, len(adaptation.gains))
            _fit(plan, work, own_plan, own_work, adaptation, k, variant)
        operate(own_plan, own_work, own_plan.operations[k], time, chip, 0, blocks)


@compiled()
def _adapt_variants(plan, work, own_plan, own_work, adaptation, time, slot, chip):
    """Fit the digital ends of every variant that asks for it."""
    for index in range(len(plan.layers)):
        if plan.layers[index].analog and work.shared[index] > 0:
            # Of what starts from sums that all chips share, the weights have not been written yet.
            realise(plan, work, index, time, time == 0, False, False, slot, chip)
            work.shared[index] = 1
    for variant in range(len(plan.adapted)):
        if plan.adapted[variant] != KEPT:
            _adapt(plan, work, own_plan, own_work, adaptation, variant, time, chip)


@compiled(nogil=True)
def run_adapted_worker(
    plan, work, own_plan, own_work, adaptation, taken, first_slot, numbers, ranks, checksums, clipped, shared,
    cycles, logits,
):  # fmt: skip
    """As :func:`engine.run_worker`, with digital ends fitted to calibration inputs before each evaluation."""
    offset = 1 if plan.reference else 0
    i = take_next(taken)
    while i < numbers.size:
        slot, chip = first_slot + i, numbers[i]
        for time in range(plan.times):
            read_devices(plan, work, time, slot, chip, cycles[i])
            row = time - offset
            if row >= 0:
                _adapt_variants(plan, work, own_plan, own_work, adaptation, time, slot, chip)
                wanted = i if logits.size > 0 else 0
                column = row if logits.size > 0 else 0
                classify(
                    plan, work, time, chip, ranks[i, row], checksums[i, row], clipped[i, row],
                    shared[i, row : row + 1], logits[wanted, column],
                )  # fmt: skip
        i = take_next(taken)


def run_adapted_chips(
    plan,
    workspaces,
    own_plan,
    own_workspaces,
    adaptation,
    first_slot,
    numbers,
    workers,
    *observed,
    prepare=None,
):
    """Simulate chips by their numbers, each with digital ends of its own.

    Parameters
    ----------
    plan, workspaces, first_slot, numbers, workers
        As in :func:`engine.run_chips`.
    own_plan, own_workspaces : layout.Plan, layout.Workspace
        Of the calibration inputs; weights and their variances are those of ``workspaces``.
    adaptation : layout.Adaptation
    observed
        What :func:`engine.run_chips` writes.
    prepare : callable, optional
        As in :func:`engine.run_chips`.
    """

    def run(worker, taken):
        work = Workspace(*(array[worker] for array in workspaces))
        own = Workspace(*(array[worker] for array in own_workspaces))
        own = own._replace(weights=work.weights, variance=work.variance)
        for begun, first, chips, seen in shares_of(prepare, work, taken, first_slot, numbers, observed):
            run_adapted_worker(plan, work, own_plan, own, adaptation, begun, first, chips, *seen)

    in_threads(run, workers, numbers.size)
