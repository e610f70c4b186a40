"""Errors of simulated chips: of weights, of a layer's outputs, of logits, of decisions.

Each chip gives one error, of a weight or an output taken by chance, so that errors are independent: errors of
one chip share its devices, and a thousand of them say less than a thousand chips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reliability.checks import check_kind
from reliability.chip import Chip, LayerChip
from reliability.crossbar import chip_network
from reliability.datasets import Dataset, as_dataset
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.latents import Role
from reliability.layers import Flatten, Linear
from reliability.metrics import Metric
from reliability.montecarlo import Progress, simulate
from reliability.network import INPUT, Network, Node
from reliability.realisation import chip_weights
from reliability.settings import whole
from reliability.simulation import Arithmetic
from reliability.statistics.interval import CHIPS, CHIPS_AND_INPUTS
from reliability.training_inputs import Calibration

LOGITS, WEIGHTS, ACCURACY = "logits", "weights", "accuracy"
# Of an image's pixels so many, taken by chance, can give a chip's error.
_PIXELS = 64
# A smaller share of the largest value is the rounding of float32 sums.
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class OutputErrors:
    """Errors, one a chip.

    Attributes
    ----------
    values : ndarray of float64, shape (chips,)
    name : str
        What they are errors of, in words.
    varies : str
        What differs from one error to the next.
    step : float or None
        Distance of neighbouring possible values; None where they are continuous.
    """

    values: np.ndarray
    name: str
    varies: str
    step: float | None = None


def output_errors(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    *,
    of: str = LOGITS,
    alone: bool = False,
    chips: int = 1000,
    time_s: float = 0.0,
    seed: int = 0,
    role: Role = "certify",
    threads: int | None = None,
    arithmetic: Arithmetic = "auto",
    calibration: Calibration | Callable[[], Dataset] | None = None,
    progress: Progress | None = None,
) -> OutputErrors:
    """Simulate chips and take one error of each.

    Parameters
    ----------
    network, inputs, chip
        As in :func:`reliability.simulate`.
    of : str
        ``"logits"``: a chip's logit minus the digital network's, of one input and one class. The name of a
        node of the network: the same of one of its outputs. ``"weights"``: a weight as the chip's devices
        hold it minus that of the chip without effects, over the largest weight of its layer; before
        compensation.
        ``"accuracy"``: the share of the inputs that a chip gets wrong.
    alone : bool
        Of a layer with weights only: every other layer is digital, so that what is left is the error of this
        layer's own multiplications, of exact inputs, its converters and reads included.
    chips : int
        As many errors.
    time_s, seed, role, threads, arithmetic, calibration, progress
        As in :func:`reliability.simulate`.

    Returns
    -------
    OutputErrors

    Raises
    ------
    UserError
        If the network has no such node, ``alone`` is asked of one without weights, the chip has no errors but
        rounding, or a setting is not allowed.
    """
    whole("chips", chips, 1, 2**31)
    check_kind("network", network, Network)
    check_kind("chip", chip, Chip)
    inputs = as_dataset("inputs", inputs)
    if of == WEIGHTS and not alone:
        return _of_weights(network, chip, chips, time_s, seed, role)
    options: dict[str, Any] = {
        "chips": chips,
        "time_s": time_s,
        "seed": seed,
        "role": role,
        "threads": threads,
        "arithmetic": arithmetic,
        "calibration": calibration,
        "progress": progress,
    }
    if of == ACCURACY and not alone:
        wrong = len(inputs) - simulate(network, inputs, chip, **options)["correct"].to_numpy()
        return OutputErrors(wrong / len(inputs), "share of wrong decisions", CHIPS, 1 / len(inputs))
    random = np.random.default_rng(seed)
    if of == LOGITS and not alone:
        part, own, name = network, chip, "error of a logit"
    else:
        part, own = _up_to(network, chip, of, alone, random)
        name = f"error of an output of {of}"
    # Labels of classes may be more than a layer has outputs.
    unlabelled = replace(inputs, y=np.zeros(len(inputs), np.int64))
    metric = _OneOutput(random)
    trials = simulate(part, unlabelled, own, metric=Metric("error", metric), **options)
    errors = trials["accuracy"].to_numpy()
    _check_real(errors, float(np.abs(metric.digital).max()), of)
    return OutputErrors(errors, name, CHIPS_AND_INPUTS)


class _OneOutput:
    """A metric: the error of one output of a chip, taken by chance, as the score of every input."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.digital = np.empty(0)

    def __call__(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if not self.digital.size:
            # A simulation scores the digital network before any chip.
            self.digital = logits.astype(np.float64)
            return np.zeros(len(labels))
        at = tuple(self.random.integers(logits.shape))
        return np.full(len(labels), logits[at] - self.digital[at])


def _check_real(errors: np.ndarray, largest: float, of: str) -> None:
    """Refuse to take the rounding of float32 numbers for errors of a chip."""
    if np.abs(errors).max() <= _ROUNDING * largest:
        raise UserError(
            f"errors of {of!r} are at most {np.abs(errors).max():.1e}, rounding alone: this chip has no "
            f"effect on them"
        )


def _up_to(
    network: Network, chip: Chip, name: str, alone: bool, random: np.random.Generator
) -> tuple[Network, Chip]:
    """The network that ends in a node, its outputs as logits, and the chip that holds it."""
    network = chip_network(network, chip)
    weighted = [node.name for node in network.weighted]
    if alone and name not in weighted:
        raise UserError(
            f"errors of {name!r} alone: only a layer with weights has them; they are {', '.join(weighted)}"
        )
    if name not in [node.name for node in network.nodes]:
        known = ", ".join([LOGITS, WEIGHTS, ACCURACY, *(node.name for node in network.nodes)])
        raise UserError(f"errors of {name!r}: a network has errors of {known}")
    nodes = _leading_to(network, name)
    # "first" and "last" mean the whole network's layers.
    layers = {own: chip.layer(own, i, len(weighted)) for i, own in enumerate(weighted)}
    if alone:
        layers = {own: said if own == name else LayerChip(analog=False) for own, said in layers.items()}
    held = {node.name for node in nodes}
    layers = {own: said for own, said in layers.items() if own in held}
    if len(network.shapes[name]) > 1:
        # Logits are a vector; a digital layer takes some pixels of the image, exactly.
        count = int(np.prod(network.shapes[name]))
        pixels = random.permutation(count)[:_PIXELS]
        taken = np.zeros((pixels.size, count), np.float32)
        taken[np.arange(pixels.size), pixels] = 1.0
        flat, ending = f"{name}, flat", f"{name}, pixels"
        nodes += [Node(flat, Flatten(), (name,)), Node(ending, Linear(taken), (flat,))]
        layers[ending] = LayerChip(analog=False)
    return replace(network, nodes=tuple(nodes)), replace(chip, layers=layers)


def _leading_to(network: Network, name: str) -> list[Node]:
    """The nodes that a node is computed from, and itself, in order."""
    needed = {name}
    for node in reversed(network.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return [node for node in network.nodes if node.name in needed - {INPUT}]


def _of_weights(
    network: Network, chip: Chip, chips: int, time_s: float, seed: int, role: Role
) -> OutputErrors:
    """One weight of each chip, all weights with equal chances, in units of the largest of its layer."""
    ideal = chip_weights(network, resolved(chip).without_effects())
    exact = np.concatenate([weights.ravel() for weights in ideal.values()])
    largest = np.concatenate([np.full(w.size, np.abs(w).max() or 1.0) for w in ideal.values()])
    places = np.random.default_rng(seed).integers(exact.size, size=chips)
    held = np.empty(chips)
    for number, place in enumerate(places):
        own = chip_weights(network, chip, number=number, time_s=time_s, seed=seed, role=role)
        held[number] = np.concatenate([weights.ravel() for weights in own.values()])[place]
    errors = (held - exact[places]) / largest[places]
    _check_real(errors, 1.0, WEIGHTS)
    return OutputErrors(errors, "error of a weight / largest weight", "chips and weights")
