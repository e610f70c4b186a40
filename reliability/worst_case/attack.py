"""The worst weights that an attack found, and what all attacks share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np

from reliability.errors import UserError
from reliability.network import Network
from reliability.settings import whole
from reliability.worst_case.ball import Norm, distance
from reliability.worst_case.surface import Surface

GRADIENT, CARLINI_WAGNER = "projected gradient", "Carlini-Wagner"
"""Kinds of attacks, as tables and figures name them."""

# An attack's steps add up to so many times the bound, so that the far side of the ball is within reach.
PATH = 2.5
# Keeps from zero what is divided by.
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Attack:
    """The worst weights that an attack found.

    Attributes
    ----------
    network : Network
        With these weights: the chip's own layers, batch norms folded where the chip folds them.
    errors : ndarray of float32, shape (weights,)
        In the units of the attack, of the analog layers one after the other.
    accuracy : float
        Of all inputs: an upper bound of the lowest accuracy within the bound.
    distance : float
        Norm of the errors.
    norm : {"max", "l2"}
    bound : float
        What the distance was held to.
    inputs : int
    kind : {"projected gradient", "Carlini-Wagner"}
    method : str
        How the weights were found.
    """

    network: Network
    errors: np.ndarray
    accuracy: float
    distance: float
    norm: Norm
    bound: float
    inputs: int
    kind: str
    method: str


def worse(best: Attack, attack: Attack) -> Attack:
    """The attack that harms more, the first one of two that harm alike."""
    return attack if attack.accuracy < best.accuracy else best


def no_error(surface: Surface, norm: Norm, bound: float, kind: str) -> Attack:
    """What every ball holds, and the worst found where no attack does harm."""
    none = np.zeros_like(surface.units)
    inputs = len(surface.x)
    return Attack(
        surface.network, none, surface.clean_accuracy, 0.0, norm, bound, inputs, kind, "no error was worse"
    )


def begin(
    surface: Surface, norm: Norm, bound: float, batch: int, steps: int, seed: int, kind: str
) -> tuple[np.random.Generator, Attack]:
    """What every attack begins with: the source of its draws, and no error as the worst so far.

    Raises
    ------
    UserError
        If a setting is not allowed.
    """
    check_attack(norm, bound, batch, steps)
    return np.random.default_rng(seed), no_error(surface, norm, bound, kind)


def attack_of(
    surface: Surface, errors: np.ndarray, norm: Norm, bound: float, kind: str, method: str
) -> Attack:
    """What errors reach on all inputs."""
    return Attack(
        surface.attacked(errors),
        errors,
        surface.accuracy(errors),
        distance(errors, norm),
        norm,
        bound,
        len(surface.x),
        kind,
        method,
    )


def batches_of(surface: Surface, batch: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Inputs of one step after the other: all of them in random order, then again in another."""
    while True:
        order = generator.permutation(len(surface.x))
        for start in range(0, max(len(order) - batch, 0) + 1, batch):
            yield order[start : start + batch]


def check_attack(norm: Norm, bound: float, batch: int, steps: int) -> None:
    """Refuse settings that no attack can have."""
    if norm not in get_args(Norm):
        raise UserError(f'norm = {norm!r} must be "max" or "l2"')
    if not (math.isfinite(bound) and bound > 0):
        raise UserError(f"bound = {bound!r} must be a number above 0")
    whole("batch", batch, 1, 1 << 30)
    whole("steps", steps, 1, 1 << 20)
