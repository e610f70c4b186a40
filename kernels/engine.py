"""The one parallel region: thousands of chips, each through all its times and inputs.

Threads are Python's own: each runs one compiled function that lets go of Python's lock. Numba's parallel
loops would compile all that they hold several times over.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from .cache import compiled
from .cells import realise, scale_deviations
from .compensation import compensate, refer
from .forward import forward
from .intrinsics import take_next
from .layout import LAYERED, Workspace
from .scores import checksum, rank
from .simd import VECTOR


@njit(inline="always")
def read_devices(plan, work, time, slot, chip, cycles):
    """Every layer's weights at one time, programmed first at the first one, and the factors against drift."""
    is_reference = plan.reference and time == 0
    for index in range(len(plan.layers)):
        if plan.layers[index].analog == 0:
            continue
        share = plan.rounds and plan.layers[index].spans > 0 and not is_reference
        if time == 0:
            work.cycles[2 * index + 1] = cycles[index, 1]
        total = realise(plan, work, index, time, time == 0, plan.reads_out, share, slot, chip)
        if share and work.shared[index] == 0:
            realise(plan, work, index, time, time == 0, False, False, slot, chip)
        if time == 0:
            cycles[index, 0], cycles[index, 1] = work.cycles[2 * index], work.cycles[2 * index + 1]
        if plan.weights_step > 0 and plan.layers[index].spans == 0:
            scale_deviations(plan, work, plan.layers[index])
        if is_reference:
            refer(plan, work, index, total)
        elif plan.reads_out:
            compensate(plan, work, index, total)


@njit(inline="always")
def classify(plan, work, time, chip, ranks, checksums, clipped, shared, logits):
    """All inputs through the network at one time; arguments as :func:`_run_chip`, without their times."""
    variants = len(plan.compensated)
    last = plan.operations[len(plan.operations) - 1]
    buffer = plan.buffers[last.target]
    for index in range(len(plan.layers)):
        for variant in range(variants):
            work.clipped[index, variant, 0] = 0
            work.clipped[index, variant, 1] = 0
    blocks = (plan.count + VECTOR - 1) // VECTOR
    for first_block in range(0, blocks, plan.group):
        forward(plan, work, time, chip, first_block, min(plan.group, blocks - first_block))
        for block in range(first_block, min(first_block + plan.group, blocks)):
            first = block * VECTOR
            count = min(VECTOR, plan.count - first)
            labels = plan.labels[first : first + VECTOR]
            for variant in range(variants):
                at = buffer.at + variant * buffer.variant_step + (block - first_block) * buffer.block_step
                scores = work.arena[at : at + plan.classes * VECTOR]
                rank(scores, plan.classes, labels, ranks[variant, first : first + count], count)
                checksums[variant] += checksum(scores, plan.classes, count)
                if logits.size > 0:
                    for i in range(count):
                        for c in range(plan.classes):
                            logits[variant, first + i, c] = scores[c * VECTOR + i]
    shared[0] = work.shared.sum()
    for k in range(len(plan.operations)):
        op = plan.operations[k]
        if op.kind == LAYERED:
            for variant in range(variants):
                source = 0 if op.shared else variant
                for i in range(2):
                    clipped[variant, op.layer, i] = work.clipped[op.layer, source, i]


@njit(inline="always")
def _run_chip(plan, work, slot, chip, ranks, checksums, clipped, shared, cycles, logits):
    """One chip: program, then for each time read the devices, compensate, classify all inputs.

    ``ranks`` is uint8 (times, variants, inputs), ``checksums`` uint64 (times, variants), ``clipped`` int64
    (times, variants, layers, 2), ``shared`` uint8 (times,), ``cycles`` int64 (layers, 2), ``logits``
    float32 (times, variants, inputs, classes) or empty where not wanted.
    """
    offset = 1 if plan.reference else 0
    for time in range(plan.times):
        read_devices(plan, work, time, slot, chip, cycles)
        row = time - offset
        if row >= 0:
            wanted = row if logits.size > 0 else 0
            classify(
                plan, work, time, chip, ranks[row], checksums[row], clipped[row], shared[row : row + 1],
                logits[wanted],
            )  # fmt: skip


@compiled(nogil=True)
def run_worker(plan, work, taken, first_slot, numbers, ranks, checksums, clipped, shared, cycles, logits):
    """Simulate chips until all are ``taken``, which counts them; other arguments as :func:`run_chips`."""
    # Whoever is free takes the next chip: a core that others use too does not hold up the rest.
    i = take_next(taken)
    while i < numbers.size:
        wanted = i if logits.size > 0 else 0
        _run_chip(
            plan, work, first_slot + i, numbers[i], ranks[i], checksums[i], clipped[i], shared[i],
            cycles[i], logits[wanted],
        )  # fmt: skip
        i = take_next(taken)


@compiled()
def _take(taken):
    """Number of the next chip."""
    return take_next(taken)


def run_chips(
    plan,
    workspaces,
    first_slot,
    numbers,
    workers,
    ranks,
    checksums,
    clipped,
    shared,
    cycles,
    logits,
    prepare=None,
):
    """Simulate chips by their numbers.

    Parameters
    ----------
    plan : layout.Plan
    workspaces : layout.Workspace
        Each array with one row a worker.
    first_slot : int
        Where the first chip's supplied latents stand; the other chips' follow.
    numbers : ndarray of int64, shape (chips,)
        By which the counter draws what is not supplied.
    workers : int
    ranks : ndarray of uint8, shape (chips, times, variants, inputs)
        Written: see :func:`forward.rank`.
    checksums : ndarray of uint64, shape (chips, times, variants)
        Written; zero on entry.
    clipped : ndarray of int64, shape (chips, times, variants, layers, 2)
        Written: a layer's inputs and column sums beyond their converter's range.
    shared : ndarray of uint8, shape (chips, times)
        Written: layers that were computed from sums that all chips share.
    cycles : ndarray of int64, shape (chips, layers, 2)
        Written: writes of each layer's verified devices. What verifying all of its weights would take is
        found out where it is -1 on entry, and left as it is elsewhere.
    logits : ndarray of float32, shape (chips, times, variants, inputs, classes)
        Written; with no elements where logits are not wanted.
    prepare : callable, optional
        Takes a chip's number and its worker's workspace, into which it writes what the plan leaves to it.
    """

    def run(worker, taken):
        work = Workspace(*(array[worker] for array in workspaces))
        observed = (ranks, checksums, clipped, shared, cycles, logits)
        for own, first, chips, seen in shares_of(prepare, work, taken, first_slot, numbers, observed):
            run_worker(plan, work, own, first, chips, *seen)

    in_threads(run, workers, numbers.size)


def shares_of(prepare, work, taken, first_slot, numbers, observed):
    """What one worker is called with: all chips at once, or one by one where each must be prepared.

    Parameters
    ----------
    prepare : callable or None
        As in :func:`run_chips`.
    work : layout.Workspace
        The worker's.
    taken : ndarray
        Counts the chips that have begun.
    first_slot : int
    numbers : ndarray
    observed : tuple of ndarray
        What is written of each chip, logits last.
    """
    if prepare is None:
        yield taken, first_slot, numbers, observed
        return
    while (i := _take(taken)) < numbers.size:
        prepare(numbers[i], work)
        one = slice(i, i + 1)
        *seen, logits = observed
        own = (*(array[one] for array in seen), logits[one] if logits.size else logits)
        yield np.zeros(1, np.int64), first_slot + i, numbers[one], own


def in_threads(run, workers, chips):
    """Call ``run(worker, taken)`` in a thread for each worker; ``taken`` counts chips that have begun."""
    taken = np.zeros(1, np.int64)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for _ in pool.map(lambda worker: run(worker, taken), range(workers)):
                pass
        finally:
            # Whoever interrupts waits for the chips that have begun, and for no others.
            taken[0] = chips
