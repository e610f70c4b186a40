"""The worst weights within a bound: how low accuracy can fall where every error is guaranteed to be small.

Write-verify guarantees that no weight misses by more than a bound. Random errors within it average out;
errors chosen against the network do not. They are found here by following the derivatives of the chip's own
layers: with batch norms folded and weights clipped and rounded as the mapping does it. Digital layers and
digital biases are left alone. Converters, wires and what is redrawn at every read stay out: attacked are the
weights.

What an attack reaches bounds the lowest accuracy from above: other weights within the bound may be worse.
It is no probability. Z. Yan, X. S. Hu, Y. Shi, Computing-in-memory neural network accelerators for
safety-critical systems: can small device variations be disastrous?, ICCAD 2022, arXiv 2207.07626.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from reliability.chip import Chip, LayerChip
from reliability.chip import Mapping as ChipMapping
from reliability.crossbar import Crossbar, chip_network, crossbars_of, mapped_network, rolled
from reliability.datasets import Dataset, check_labels, from_arrays
from reliability.derivatives import chunks, cross_entropy, weight_derivatives
from reliability.devices.gaussian import Gaussian
from reliability.devices.generic import Generic
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.latents import draw_latents
from reliability.layers import Softmax
from reliability.mapping import weight_max
from reliability.montecarlo import simulate
from reliability.network import Network
from reliability.settings import whole

Norm = Literal["max", "l2"]
Unit = Literal["weight", "relative"]
Deviations = Mapping[str, float | np.ndarray]
"""Of each analog layer by name, the standard deviation of its weights' errors: one number, or a matrix as
:func:`reliability.chip_weights` gives it, (columns, rows), the bias last where devices hold it."""
Objective = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Given logits (n, classes) and labels (n,): slopes of each input's objective, shape (n, classes)."""
Inputs = Dataset | tuple[Any, Any]

GRADIENT, CARLINI_WAGNER = "projected gradient", "Carlini-Wagner"
"""Kinds of attacks, as tables and figures name them."""

# Adam as D. Kingma and J. Ba set it, ICLR 2015.
_MEMORY, _SQUARE_MEMORY, _TINY = 0.9, 0.999, 1e-12
# An attack's steps add up to so many times the bound, so that the far side of the ball is within reach.
_PATH = 2.5
# Carlini and Wagner's distance may exceed the bound by so much before margins weigh too heavily; what exceeds
# the bound is cut off in any case.
_SLACK = 1.05
# Factor between weights of the margins while none is known to be too large, or none small enough.
_STRIDE = 4.0


class _Part(NamedTuple):
    """One array of weights in an attack's vector."""

    name: str
    field: str
    place: slice


class Surface:
    """The weights of a chip that an attack may move, as one vector, and the inputs that it is about.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Raw inputs and labels.
    chip : Chip
    unit : {"weight", "relative"} or mapping of str to float or ndarray
        What an error of one is: one in the network's own numbers; the layer's largest weight, which has the
        largest conductance; or the standard deviations given.

    Attributes
    ----------
    network : Network
        The network that the chip maps (:func:`reliability.crossbar.mapped_network`).
    units : ndarray of float32, shape (weights,)
    x, labels : ndarray
        Prepared.

    Raises
    ------
    UserError
        If no layer is analog, standard deviations are missing or do not fit, or the inputs do not fit.
    """

    def __init__(
        self, network: Network, inputs: Inputs, chip: Chip, unit: Unit | Deviations = "weight"
    ) -> None:
        if isinstance(unit, str) and unit not in get_args(Unit):
            raise UserError(f'unit = {unit!r} must be "weight", "relative", or standard deviations by layer')
        dataset = inputs if isinstance(inputs, Dataset) else from_arrays(*inputs)
        check_labels(dataset, network.classes)
        self.x, self.labels = network.prepare(dataset.x), np.asarray(dataset.y)
        self.network = mapped_network(network, chip)
        analog = _analog_crossbars(network, chip)
        if not isinstance(unit, str) and set(unit) != set(analog):
            raise UserError(
                f"standard deviations are given for layers {', '.join(unit) or 'none'}; "
                f"analog layers are {', '.join(analog)}"
            )
        self._parts: list[_Part] = []
        units: list[np.ndarray] = []
        start = 0
        for node in self.network.weighted:
            if node.name in analog:
                for field, values in _units(node.layer, analog[node.name], unit).items():
                    self._parts.append(_Part(node.name, field, slice(start, start + values.size)))
                    units.append(values.ravel())
                    start += values.size
        self.units = np.concatenate(units)

    def attacked(self, errors: np.ndarray) -> Network:
        """The network with errors of shape (weights,), in their units, in its weights."""
        moved = errors * self.units
        layers = {node.name: node.layer for node in self.network.nodes}
        for part in self._parts:
            array = getattr(layers[part.name], part.field)
            values: Any = {part.field: array + moved[part.place].reshape(array.shape)}
            layers[part.name] = replace(layers[part.name], **values)
        nodes = tuple(replace(node, layer=layers[node.name]) for node in self.network.nodes)
        return replace(self.network, nodes=nodes)

    def slope(self, errors: np.ndarray, which: np.ndarray, objective: Objective) -> np.ndarray:
        """Derivative of an objective's mean over some inputs with respect to the errors, shape (weights,)."""
        labels = self.labels[which]
        _, found = weight_derivatives(
            self.attacked(errors),
            self.x[which],
            lambda logits, part: objective(logits, labels[part]) / np.float32(len(which)),
        )
        return np.concatenate([found[part.name][part.field].ravel() for part in self._parts]) * self.units

    @cached_property
    def clean_accuracy(self) -> float:
        """Share of the inputs that the network without errors gets right."""
        return self.accuracy(np.zeros_like(self.units))

    def accuracy(self, errors: np.ndarray) -> float:
        """Share of the inputs that the network with these errors gets right."""
        network = self.attacked(errors)
        right = 0
        for part in chunks(network, len(self.x)):
            right += int((network.forward(self.x[part]).argmax(axis=1) == self.labels[part]).sum())
        return right / len(self.x)


def _analog_crossbars(network: Network, chip: Chip) -> dict[str, Crossbar]:
    crossbars = crossbars_of(chip_network(network, chip), chip)
    analog = {name: own for name, own in crossbars.items() if own.settings.analog}
    if not analog:
        raise UserError(f"chip {chip.name!r} has no analog layer: there is no weight that can err")
    return analog


def _units(layer: Any, own: Crossbar, unit: Unit | Deviations) -> dict[str, np.ndarray]:
    """Units of a layer's weights, and of its bias where devices hold it."""
    matrix = np.full(own.matrix.shape, _largest(own) if unit == "relative" else 1.0, np.float32)
    if not isinstance(unit, str):
        given = np.asarray(unit[own.name], np.float32)
        if given.shape not in ((), matrix.shape) or not np.isfinite(given).all() or (given < 0).any():
            raise UserError(
                f"standard deviations of layer {own.name!r} have shape {given.shape}: they must be one "
                f"number or an array of shape {matrix.shape}, finite and not negative"
            )
        matrix *= given
    if not own.bias_row:
        return {"weight": rolled(matrix, layer, own.source)}
    return {"weight": rolled(matrix[:, :-1], layer, own.source), "bias": matrix[:, -1]}


def _largest(own: Crossbar) -> float:
    """The weight that has the largest conductance."""
    assert own.settings.mapping is not None
    return weight_max(own.matrix, own.settings.mapping)


def margin(logits: np.ndarray, labels: np.ndarray, kappa: float = 0.0) -> np.ndarray:
    """Slope of ``max(z_y - max of the others, -kappa)``: inputs that are wrong by ``kappa`` do not count.

    N. Carlini, D. Wagner, Towards evaluating the robustness of neural networks, IEEE S&P 2017.
    """
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(axis=1)
    counts = logits[rows, labels] - others[rows, best] > -kappa
    slope = np.zeros_like(logits)
    slope[rows, labels] = counts
    slope[rows, best] = np.where(counts, -1, 0)
    return slope


def _right_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Slope of the softmax probability of the right class."""
    p = Softmax().forward(logits)
    rows = np.arange(len(labels))
    own = p[rows, labels]
    slope = -own[:, None] * p
    slope[rows, labels] += own
    return slope


def _sharp_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same of logits four times as far apart: inputs near a boundary count more."""
    return _right_probability(4 * logits, labels)


def _minus_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -cross_entropy(logits, labels)[1]


OBJECTIVES: dict[str, Objective] = {
    "cross-entropy": _minus_cross_entropy,
    "probability": _right_probability,
    "sharp probability": _sharp_probability,
    "margin": margin,
}
"""What attacks descend, by name. None wins everywhere: on LeNet the probability of the right class does
within small bounds, the cross-entropy within middle ones, and the margin within large ones, where the
cross-entropy ends with every input in one class."""


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
    _check(norm, bound, batch, steps)
    whole("restarts", restarts, 1, 1000)
    generator = np.random.default_rng(seed)
    names = list(OBJECTIVES)
    begun = [(names[i % len(names)], i < len(names)) for i in range(restarts)]
    starts = [
        (name, np.zeros_like(surface.units) if still else _anywhere(surface, norm, bound, generator))
        for name, still in begun
    ]
    if start is not None:
        starts += [(name, start) for name in names[:restarts]]
    scale = 1.0 if norm == "max" else math.sqrt(surface.units.size)
    best = _no_error(surface, norm, bound, GRADIENT)
    for name, errors in starts:
        batches = _batches(surface, batch, generator)
        for step in range(steps):
            slope = surface.slope(errors, next(batches), OBJECTIVES[name])
            direction = np.sign(slope) if norm == "max" else slope * (scale / max(_length(slope), _TINY))
            length = bound / scale * _PATH * 2 * (steps - step) / (steps * (steps + 1))
            errors = _projected(errors - np.float32(length) * direction, norm, bound)
        method = f"gradient of the {name}, the worst of {len(starts)} attacks of {steps} steps"
        best = _worse(best, _attack(surface, errors, norm, bound, GRADIENT, method))
    return best


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
    _check(norm, bound, batch, steps)
    whole("rounds", rounds, 1, 100)
    if not (math.isfinite(kappa) and kappa >= 0):
        raise UserError(f"kappa = {kappa!r} must be a number from 0 up")
    generator = np.random.default_rng(seed)
    objective = partial(margin, kappa=kappa)
    n = surface.units.size
    slope = surface.slope(np.zeros_like(surface.units), next(_batches(surface, batch, generator)), objective)
    # Where the slope stays as it is at the start, this weight leads just to the bound.
    steep = math.sqrt(n) * _length(slope) if norm == "l2" else float(np.abs(slope).sum())
    weight, held, exceeded = 1 / max(steep, _TINY), 0.0, math.inf
    best = _no_error(surface, norm, bound, CARLINI_WAGNER)
    for _ in range(rounds):
        errors = _adam(surface, norm, bound, objective, weight, steps, _batches(surface, batch, generator))
        if _distance(errors, norm) <= _SLACK * bound:
            held = weight
        else:
            exceeded = weight
        errors = _projected(errors, norm, bound)
        method = f"the worst of {rounds} rounds of {steps} steps"
        best = _worse(best, _attack(surface, errors, norm, bound, CARLINI_WAGNER, method))
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
    rate = 2 * _PATH * bound / steps / (1.0 if norm == "max" else math.sqrt(n))
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
        errors = errors - (rate * (1 - (step - 1) / steps) * moment / (size + _TINY)).astype(np.float32)
    return errors


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
            attack = _no_error(surface, norm, bound, GRADIENT)
        else:
            start = None
            if last is not None and last.distance > 0:
                start = _projected(last.errors * np.float32(bound / last.distance), norm, bound)
            attack = projected_gradient(surface, bound, norm=norm, start=start, **options)
            if last is not None and last.accuracy <= attack.accuracy:
                attack = replace(last, bound=bound)
        found.append(attack)
        if seen is not None:
            seen(attack)
    return found


def _worse(best: Attack, attack: Attack) -> Attack:
    return attack if attack.accuracy < best.accuracy else best


def _no_error(surface: Surface, norm: Norm, bound: float, kind: str) -> Attack:
    """What every ball holds, and the worst found where no attack does harm."""
    none = np.zeros_like(surface.units)
    inputs = len(surface.x)
    return Attack(
        surface.network, none, surface.clean_accuracy, 0.0, norm, bound, inputs, kind, "no error was worse"
    )


def _attack(surface: Surface, errors: np.ndarray, norm: Norm, bound: float, kind: str, method: str) -> Attack:
    return Attack(
        surface.attacked(errors),
        errors,
        surface.accuracy(errors),
        _distance(errors, norm),
        norm,
        bound,
        len(surface.x),
        kind,
        method,
    )


def _length(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).sum()))


def _distance(errors: np.ndarray, norm: Norm) -> float:
    return float(np.abs(errors).max()) if norm == "max" else _length(errors)


def _projected(errors: np.ndarray, norm: Norm, bound: float) -> np.ndarray:
    """The nearest errors within the bound."""
    if norm == "max":
        # The largest float32 that does not exceed the bound.
        limit = np.float32(bound)
        limit = np.nextafter(limit, np.float32(0)) if float(limit) > bound else limit
        return np.clip(errors, -limit, limit)
    length = _length(errors)
    return errors if length <= bound else errors * np.float32(bound / length * (1 - 1e-6))


def _anywhere(surface: Surface, norm: Norm, bound: float, generator: np.random.Generator) -> np.ndarray:
    n = surface.units.size
    if norm == "max":
        return generator.uniform(-bound, bound, n).astype(np.float32)
    direction = generator.normal(size=n)
    return (direction * (bound * generator.uniform() ** (1 / n) / _length(direction))).astype(np.float32)


def _batches(surface: Surface, batch: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Inputs of one step after the other: all of them in random order, then again in another."""
    while True:
        order = generator.permutation(len(surface.x))
        for start in range(0, max(len(order) - batch, 0) + 1, batch):
            yield order[start : start + batch]


def _check(norm: Norm, bound: float, batch: int, steps: int) -> None:
    if norm not in get_args(Norm):
        raise UserError(f'norm = {norm!r} must be "max" or "l2"')
    if not (math.isfinite(bound) and bound > 0):
        raise UserError(f"bound = {bound!r} must be a number above 0")
    whole("batch", batch, 1, 1 << 30)
    whole("steps", steps, 1, 1 << 20)


def weight_deviations(network: Network, chip: Chip) -> dict[str, float]:
    """Standard deviation of every analog layer's weights, of a chip of Gaussian devices.

    Parameters
    ----------
    network : Network
    chip : Chip
        Differential pairs of :class:`reliability.devices.gaussian.Gaussian` devices that are not clamped.
        Only their programming errors count.

    Returns
    -------
    dict of str to float
        In the network's own numbers.

    Raises
    ------
    UserError
        If a weight's error is not the same independent normal for all weights of a layer.
    """
    found = {}
    for name, own in _analog_crossbars(network, resolved(chip)).items():
        device, mapping = own.settings.device, own.settings.mapping
        assert mapping is not None
        plain = isinstance(device, Gaussian) and not device.clamp and device.sigma > 0
        if not plain or mapping.scheme != "pair" or mapping.slices.fill == "corrected":
            raise UserError(
                f"layer {name!r}: radii count in standard deviations of weights, which are known for "
                f'differential pairs of devices of law "gaussian" with sigma above 0 that are not clamped, '
                f'in slices of any fill but "corrected"'
            )
        assert isinstance(device, Gaussian)
        error = device.sigma * device.g_max_us / own.range_us
        spread = math.sqrt(2 * float((own.mapped.significance**2).sum()))
        found[name] = error * spread * own.mapped.weight_scale
    return found


def uniform_noise(
    network: Network,
    inputs: Inputs,
    chip: Chip,
    bound: float,
    *,
    unit: Unit = "weight",
    chips: int = 100,
    seed: int = 0,
    threads: int | None = None,
) -> pd.DataFrame:
    """Chips whose weights miss by independent uniform errors within a bound, to compare an attack with.

    The weights that the chip maps stand on pairs of which one device errs, uniformly
    (:class:`reliability.devices.generic.Generic`), and the other is exact. The draws of all chips are held at
    once, 8 bytes a weight and chip.

    Parameters
    ----------
    network, inputs, chip
        As of a :class:`Surface`.
    bound : float
        Largest error of a weight.
    unit : {"weight", "relative"}
    chips, seed, threads
        As in :func:`reliability.simulate`.

    Returns
    -------
    DataFrame
        The trials table.
    """
    _check("max", bound, 1, 1)
    mapped = mapped_network(network, chip)
    crossbars = _analog_crossbars(network, chip)
    layers = {"*": LayerChip(analog=False)}
    for name, own in crossbars.items():
        assert own.settings.mapping is not None
        largest = float(np.abs(own.mapped.matrix).max()) or 1.0
        sigma = bound * (_largest(own) if unit == "relative" else 1.0) / largest
        device = Generic(sigma=sigma, distribution="uniform")
        layers[name] = LayerChip(True, device, mapping=ChipMapping(bias=own.settings.mapping.bias))
    noisy = Chip(device=Generic(distribution="uniform"), layers=layers, name="uniform noise")
    latents = draw_latents(mapped, noisy, chips=chips, seed=seed)
    for draws in latents.values():
        # The median of a uniform error on both sides of zero is none.
        draws[:, 1] = 0
    return simulate(mapped, inputs, noisy, chips=chips, seed=seed, threads=threads, latents=latents)
