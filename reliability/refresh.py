"""Chips that are programmed anew from time to time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from reliability.chip import Chip
from reliability.faults import Faults


class Programming(NamedTuple):
    """A chip at one time, as its latest programming left it.

    ``chip`` has the wear of all refreshes and no more of them, ``time_s`` counts from the latest one, and
    ``refresh`` is its number; 0 is the first programming.
    """

    chip: Chip
    time_s: float
    refresh: int


def programming_at(chip: Chip, time_s: float) -> Programming:
    """Which programming of a chip holds at a time, and how long ago it was.

    Parameters
    ----------
    chip : Chip
        With its effects resolved.
    time_s : float
        Since the first reference read, seconds. At a multiple of ``chip.refresh_s`` the chip is fresh.
    """
    if math.isinf(chip.refresh_s):
        return Programming(chip, time_s, 0)
    # Exact for floats: both the whole part and the rest come from fmod.
    count, rest = divmod(time_s, chip.refresh_s)
    cycles = count * chip.refresh_cycles
    layers = {
        name: replace(own, faults=own.faults and _worn(own.faults, cycles))
        for name, own in chip.layers.items()
    }
    chip = replace(chip, faults=_worn(chip.faults, cycles), layers=layers, refresh_s=math.inf)
    return Programming(chip, rest, int(count))


def _worn(faults: Faults, cycles: float) -> Faults:
    return replace(faults, cycles=faults.cycles + cycles)


def worst_times(times_s: Sequence[float], refresh_s: float) -> tuple[float, ...]:
    """Times at which a chip that is refreshed must be looked at, for all of a grid to be covered.

    A chip is worst just before a refresh, which a grid of round times misses: refreshed once a year and seen
    after 1, 2 and 3 years, it is always fresh. The moment just before the first refresh is added, where the
    grid goes so far, and for every later time of the grid that just before the latest refresh.

    Parameters
    ----------
    times_s : sequence of float
        The grid, seconds.
    refresh_s : float
        Time between refreshes, seconds; ``inf`` for none.

    Returns
    -------
    tuple of float
        Rising, without repeats.
    """
    found = set(map(float, times_s))
    if not math.isinf(refresh_s):
        for time in times_s:
            count = divmod(time, refresh_s)[0]
            if count >= 1:
                found |= {_before(n * refresh_s, refresh_s) for n in (1, count)}
    return tuple(sorted(found))


def _before(time_s: float, refresh_s: float) -> float:
    """The last number before a refresh at ``time_s``."""
    found = math.nextafter(time_s, 0.0)
    # Where the product was rounded up, the refresh is earlier than it.
    while found % refresh_s < refresh_s / 2:
        found = math.nextafter(found, 0.0)
    return found
