"""Alternating timings: every contender once a round, so that slow changes of the machine meet all.

Other work on the cores does not disturb all alike: it hurts threads that wait for each other most.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

# Idle threads of BLAS and OpenMP go on spinning for a while and would slow the next contender.
_REST_S = 0.2


@contextmanager
def math_threads(count: int):
    """Hold BLAS, OpenMP and PyTorch at ``count`` threads."""
    try:
        import torch
    except ImportError:
        torch = None
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


def alternate(
    contenders: dict[tuple[str, int], tuple[Callable[[], object], int]], rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Wall seconds of one piece of work, a list of rounds for each contender.

    Parameters
    ----------
    contenders : dict
        (name, threads) to (function, pieces of work in one call).
    rounds : int
    """
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in contenders}
    for turn in range(-1, rounds):
        for (name, threads), (work, pieces) in contenders.items():
            with math_threads(threads):
                time.sleep(_REST_S)
                start = time.perf_counter()
                work()
                passed = time.perf_counter() - start
            if turn >= 0:  # the first round warms up
                seconds[name, threads].append(passed / pieces)
    return seconds


def medians(seconds: dict[tuple[str, int], list[float]]) -> dict[tuple[str, int], float]:
    """Median of each contender."""
    return {key: statistics.median(values) for key, values in seconds.items()}


def thread_counts(cores: int) -> list[int]:
    """One thread and all cores."""
    return sorted({1, cores})
