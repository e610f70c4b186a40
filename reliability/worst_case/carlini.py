"""Attacks that let margins and distance compete, after Carlini and Wagner."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from reliability.errors import UserError
from reliability.settings import whole
from reliability.worst_case.attack import (
    CARLINI_WAGNER,
    PATH,
    TINY,
    Attack,
    attack_of,
    batches_of,
    begin,
    worse,
)
from reliability.worst_case.ball import Norm, distance, euclidean, of_ones, projected
from reliability.worst_case.objectives import Objective, margin
from reliability.worst_case.surface import Surface

# Adam as D. Kingma and J. Ba set it, ICLR 2015.
_MEMORY, _SQUARE_MEMORY = 0.9, 0.999
# Carlini and Wagner's distance may exceed the bound by so much before margins weigh too heavily; what exceeds
# the bound is cut off in any case.
_SLACK = 1.05
# Factor between weights of the margins while none is known to be too large, or none small enough.
_STRIDE = 4.0


def carlini_wagner(
    surface: Surface,
    bound: float,
    *,
    norm: Norm = "max",
    steps: int = 60,
    rounds: int = 6,
    kappa: float = 0.0,
    batch: int = 512,
    seed: int = 0,
) -> Attack:
    """Let margins and distance compete, with the weight of the margins searched for the bound.

    Adam minimises ``c * mean of max(z_y - max of the others, -kappa) + distance``; the largest ``c`` whose
    result stays within the bound is found by bisection of its logarithm. Yan, Hu and Shi 2022, after Carlini
    and Wagner 2017. The distance is that of Carlini and Wagner: for ``norm="l2"`` the square
    ``|e|_2**2 / (2 bound sqrt(n))``, since the norm itself pulls back equally hard at every distance, and for
    ``norm="max"`` the mean of what single errors exceed the bound by, since the largest error itself pushes
    back one weight at a time.

    Parameters
    ----------
    surface, bound, norm, batch, seed
        As in :func:`projected_gradient`.
    steps : int
        Of Adam in each round, its rate falling to zero.
    rounds : int
        Values of ``c``.
    kappa : float
        Margin beyond which a wrong input counts no more.

    Returns
    -------
    Attack
        The worst of all rounds, what exceeds the bound cut off.

    Raises
    ------
    UserError
        If a setting is not allowed.
    """
    whole("rounds", rounds, 1, 100)
    if not (math.isfinite(kappa) and kappa >= 0):
        raise UserError(f"kappa = {kappa!r} must be a number from 0 up")
    generator, best = begin(surface, norm, bound, batch, steps, seed, CARLINI_WAGNER)
    objective = partial(margin, kappa=kappa)
    n = surface.units.size
    slope = surface.slope(
        np.zeros_like(surface.units), next(batches_of(surface, batch, generator)), objective
    )
    # Where the slope stays as it is at the start, this weight leads just to the bound.
    steep = math.sqrt(n) * euclidean(slope) if norm == "l2" else float(np.abs(slope).sum())
    weight, held, exceeded = 1 / max(steep, TINY), 0.0, math.inf
    for _ in range(rounds):
        errors = _adam(surface, norm, bound, objective, weight, steps, batches_of(surface, batch, generator))
        if distance(errors, norm) <= _SLACK * bound:
            held = weight
        else:
            exceeded = weight
        errors = projected(errors, norm, bound)
        method = f"the worst of {rounds} rounds of {steps} steps"
        best = worse(best, attack_of(surface, errors, norm, bound, CARLINI_WAGNER, method))
        if held and exceeded < math.inf:
            weight = math.sqrt(held * exceeded)
        else:
            weight = held * _STRIDE if held else exceeded / _STRIDE
    return best


def _adam(
    surface: Surface,
    norm: Norm,
    bound: float,
    objective: Objective,
    weight: float,
    steps: int,
    batches: Iterator[np.ndarray],
) -> np.ndarray:
    """What one weight of the margins leads to, not yet held to the bound."""
    n = surface.units.size
    # The same path as of projected gradients: in every weight, or in a typical one.
    rate = 2 * PATH * bound / steps / of_ones(n, norm)
    errors, mean, square = (np.zeros_like(surface.units) for _ in range(3))
    for step in range(1, steps + 1):
        slope = np.float32(weight) * surface.slope(errors, next(batches), objective)
        if norm == "max":
            slope += np.sign(errors) * (np.abs(errors) > bound) / np.float32(n)
        else:
            slope += errors / np.float32(bound * math.sqrt(n))
        mean += np.float32(1 - _MEMORY) * (slope - mean)
        square += np.float32(1 - _SQUARE_MEMORY) * (slope**2 - square)
        moment, size = mean / (1 - _MEMORY**step), np.sqrt(square / (1 - _SQUARE_MEMORY**step))
        errors = errors - (rate * (1 - (step - 1) / steps) * moment / (size + TINY)).astype(np.float32)
    return errors
