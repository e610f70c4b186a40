"""1/f noise: how much of it has accumulated by a time, and how it splits at the duration of an evaluation."""

from __future__ import annotations

import math

from reliability.errors import UserError


def accumulated_1f(
    t_s: float, t_read_s: float, t0_s: float, observation_s: float | None
) -> tuple[float, float]:
    """Amplitudes of a 1/f process integrated from two read times to ``t_s``, in units of its own amplitude.

    Together they have the variance ``ln((t + t_read) / (2 t_read))``.

    Parameters
    ----------
    t_s : float
        Since programming, seconds.
    t_read_s : float
        Duration of one read, seconds.
    t0_s : float
        From programming to the reference read, seconds.
    observation_s : float or None
        Duration of one evaluation, seconds: what is slower is frozen in it. None freezes all.

    Returns
    -------
    frozen, redrawn : float

    Raises
    ------
    UserError
        If the evaluation is shorter than two reads or longer than the time to the reference read.
    """
    if observation_s is None:
        return math.sqrt(math.log((t_s + t_read_s) / (2 * t_read_s))), 0.0
    low, high = 2 * t_read_s, t0_s
    if not low <= observation_s <= high:
        raise UserError(
            f"chip.observation_s = {observation_s!r} must lie between two read times of the device "
            f"({low:g} s) and the time from programming to the reference read ({high:g} s)"
        )
    return math.sqrt(math.log((t_s + t_read_s) / observation_s)), math.sqrt(math.log(observation_s / low))
