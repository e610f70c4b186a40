"""Attacks that follow a slope and go back to the ball after every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reliability.settings import whole
from reliability.worst_case.attack import (
    GRADIENT,
    PATH,
    TINY,
    Attack,
    attack_of,
    batches_of,
    begin,
    no_error,
    worse,
)
from reliability.worst_case.ball import Norm, anywhere, euclidean, of_ones, projected
from reliability.worst_case.objectives import OBJECTIVES
from reliability.worst_case.surface import Surface


def projected_gradient(
    surface: Surface,
    bound: float,
    *,
    norm: Norm = "max",
    steps: int = 40,
    restarts: int = 4,
    batch: int = 512,
    seed: int = 0,
    start: np.ndarray | None = None,
) -> Attack:
    """Follow the slope of an objective and go back to the ball after every step.

    Steps have one length in every weight (sign of the slope) for ``norm="max"``, the slope's direction for
    ``norm="l2"``, and shorten to zero. A. Madry et al., Towards deep learning models resistant to adversarial
    attacks, ICLR 2018.

    Parameters
    ----------
    surface : Surface
    bound : float
        Radius of the ball, in the units of the surface.
    norm : {"max", "l2"}
        ``"max"`` bounds every weight's error; ``"l2"`` the root of the sum of squares over all weights.
    steps : int
        Of each restart.
    restarts : int
        Each takes the next of :data:`OBJECTIVES`; the first four begin without errors, the others anywhere
        in the ball.
    batch : int
        Inputs of a step. The accuracy reached is that of all inputs.
    seed : int
    start : ndarray, optional
        Errors from which one more attack begins with every objective.

    Returns
    -------
    Attack
        The worst of all restarts.

    Raises
    ------
    UserError
        If a setting is not allowed.
    """
    whole("restarts", restarts, 1, 1000)
    generator, best = begin(surface, norm, bound, batch, steps, seed, GRADIENT)
    names = list(OBJECTIVES)
    begun = [(names[i % len(names)], i < len(names)) for i in range(restarts)]
    n = surface.units.size
    starts = [
        (name, np.zeros_like(surface.units) if still else anywhere(n, norm, bound, generator))
        for name, still in begun
    ]
    if start is not None:
        starts += [(name, start) for name in names[:restarts]]
    scale = of_ones(n, norm)
    for name, errors in starts:
        batches = batches_of(surface, batch, generator)
        for step in range(steps):
            slope = surface.slope(errors, next(batches), OBJECTIVES[name])
            direction = np.sign(slope) if norm == "max" else slope * (scale / max(euclidean(slope), TINY))
            length = bound / scale * PATH * 2 * (steps - step) / (steps * (steps + 1))
            errors = projected(errors - np.float32(length) * direction, norm, bound)
        method = f"gradient of the {name}, the worst of {len(starts)} attacks of {steps} steps"
        best = worse(best, attack_of(surface, errors, norm, bound, GRADIENT, method))
    return best


def attack_curve(
    surface: Surface,
    bounds: Sequence[float],
    *,
    norm: Norm = "max",
    seen: Callable[[Attack], object] | None = None,
    **options: Any,
) -> list[Attack]:
    """Projected-gradient attacks within rising bounds, each also begun from the one before.

    Parameters
    ----------
    surface : Surface
    bounds : sequence of float
        Any order. At 0 stands the network that the chip maps.
    norm : {"max", "l2"}
    seen : callable, optional
        Is given each attack when it is done.
    **options
        Of :func:`projected_gradient`.

    Returns
    -------
    list of Attack
        In rising order of the bounds. Accuracy never rises: an attack within a bound is one within every
        larger bound.
    """
    found: list[Attack] = []
    for bound in sorted(float(bound) for bound in bounds):
        last = found[-1] if found else None
        if bound == 0:
            attack = no_error(surface, norm, bound, GRADIENT)
        else:
            start = None
            if last is not None and last.distance > 0:
                start = projected(last.errors * np.float32(bound / last.distance), norm, bound)
            attack = projected_gradient(surface, bound, norm=norm, start=start, **options)
            if last is not None and last.accuracy <= attack.accuracy:
                attack = replace(last, bound=bound)
        found.append(attack)
        if seen is not None:
            seen(attack)
    return found
