"""Times in seconds; times and shares in words."""

import math
from collections.abc import Sequence

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
WEEK = 7 * DAY
MONTH = 30 * DAY
YEAR = 365 * DAY
_UNITS = ((YEAR, "year"), (MONTH, "month"), (DAY, "day"), (HOUR, "h"), (MINUTE, "min"), (1.0, "s"))


def percent(share: float) -> str:
    """A share in per cent, with as many digits as it has: 0.999 is 99.9%, and never 100%."""
    return f"{100 * share:.10g}%"


def time_in_words(seconds: float) -> str:
    """A time with the largest unit that it holds at least once."""
    for length, unit in _UNITS:
        if seconds >= length:
            number = seconds / length
            plural = "s" if unit in ("day", "month", "year") and not math.isclose(number, 1) else ""
            return f"{number:.3g} {unit}{plural}"
    return f"{seconds:.3g} s"


def grid_in_words(times_s: Sequence[float]) -> list[str]:
    """Rising times, of which one that is next to nothing before the following is told as just before it."""
    found = []
    for i, seconds in enumerate(times_s):
        after = times_s[i + 1] if i + 1 < len(times_s) else math.inf
        last = seconds < after <= seconds * (1 + 1e-6)
        found.append(f"just before {time_in_words(after)}" if last else time_in_words(seconds))
    return found
