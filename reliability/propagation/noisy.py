"""The layers of a chip as propagation sees them: mean weights, and the variances of what is added to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from reliability.calibration import Ranges, conversions
from reliability.chip import Chip
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.moments import weight_moments
from reliability.network import Network


@dataclass(frozen=True)
class Quantiser:
    """What a DAC does to a layer's inputs: its step, and the range beyond which it clips."""

    step: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class NoisyLayer:
    """A layer with weights on a chip; a digital one has no variance.

    Attributes
    ----------
    crossbar : Crossbar
        How the layer reads its source.
    weight, variance, read_variance : ndarray of float64, shape (columns, rows)
        Means, variances over chips, and variances of what every read redraws; rows in the order
        (y, x, channel).
    bias, bias_variance, bias_read_variance : ndarray of float64, shape (columns,)
    reference_variance : ndarray of float64, shape (references, rows)
        Over chips, of what groups of columns share; no rows without references.
    reference_bias_variance : ndarray of float64, shape (references,)
    reference_of : ndarray of int, shape (columns,)
    output_variance : float or ndarray of float64, shape (columns,)
        What the rounding of ADCs adds to every output.
    dac : Quantiser, optional
    """

    crossbar: Crossbar
    weight: np.ndarray
    variance: np.ndarray
    read_variance: np.ndarray
    bias: np.ndarray
    bias_variance: np.ndarray
    bias_read_variance: np.ndarray
    reference_variance: np.ndarray
    reference_bias_variance: np.ndarray
    reference_of: np.ndarray
    output_variance: float | np.ndarray = 0.0
    dac: Quantiser | None = None

    @property
    def shares(self) -> np.ndarray | None:
        """Ones where a column, (references, columns), shares a reference; None without references."""
        if not len(self.reference_variance):
            return None
        return np.eye(len(self.reference_variance))[self.reference_of].T

    @property
    def redrawn(self) -> bool:
        """Whether single reads or converters add anything of their own."""
        reads = self.read_variance.any() or self.bias_read_variance.any()
        return bool(reads or np.any(self.output_variance))


def noisy_layers(
    network: Network,
    chip: Chip,
    *,
    time_s: float = 0.0,
    inputs: int = 1,
    ranges: Mapping[str, Ranges] | None = None,
) -> dict[str, NoisyLayer]:
    """Every layer with weights, by name.

    Parameters
    ----------
    network : Network
    chip : Chip
        With its effects resolved.
    time_s : float
    inputs : int
        Of the evaluation, as in :func:`reliability.moments.weight_moments`.
    ranges : mapping of str to Ranges, optional
        Of the layers with converters.
    """
    moments = weight_moments(network, chip, time_s=time_s, inputs=inputs)
    held = chip_network(network, chip)
    biases: dict[str, np.ndarray | None] = {n.name: getattr(n.layer, "bias", None) for n in held.weighted}
    found = {}
    for name, crossbar in crossbars_of(held, chip).items():
        columns = len(crossbar.matrix)
        given = biases[name]
        bias = np.zeros(columns) if given is None else given.astype(np.float64)
        if name not in moments:
            weight, none = crossbar.matrix.astype(np.float64), np.zeros(columns)
            zero, no_references = np.zeros_like(weight), np.zeros((0, weight.shape[1]))
            found[name] = NoisyLayer(
                crossbar, weight, zero, zero, bias, none, none, no_references, none[:0], none.astype(np.int64)
            )
            continue
        own = moments[name]
        parts = [own.mean, own.variance, own.read_variance, own.reference_variance]
        last = [np.zeros(len(part)) for part in parts]
        last[0] = bias
        if crossbar.bias_row:
            parts, last = [p[:, :-1] for p in parts], [p[:, -1] for p in parts]
        layer = NoisyLayer(
            crossbar,
            parts[0],
            parts[1],
            parts[2],
            last[0],
            last[1],
            last[2],
            parts[3],
            last[3],
            own.reference_of,
        )
        found[name] = _with_converters(layer, (ranges or {}).get(name), own.factor)
    return found


def _with_converters(layer: NoisyLayer, ranges: Ranges | None, factor: float | np.ndarray) -> NoisyLayer:
    crossbar = layer.crossbar
    tile, mapped = crossbar.settings.tile, crossbar.mapped
    if ranges is None or tile is None:
        return layer
    if tile.dac is not None and ranges.inputs is not None:
        step = ranges.inputs / tile.dac.largest_code(ranges.signed)
        # What cannot be negative needs no edge there, and a normal with its moments would run into one.
        low = -ranges.inputs if ranges.signed else -math.inf
        layer = replace(layer, dac=Quantiser(step, low, ranges.inputs))
    if tile.adc is not None and ranges.sums:
        steps = np.array(ranges.sums) / tile.adc.largest_code(ranges.signed or mapped.references == 0)
        pulses = crossbar.pulses(ranges.signed)
        tiles = conversions(crossbar, ranges.signed)[0] / (crossbar.places * crossbar.lines * pulses)
        base = 1.0 if tile.dac is None else float(tile.dac.base)
        # Every sum is rounded by itself; that of an offset's reference is subtracted.
        sums = tiles * (base ** (2.0 * np.arange(pulses))).sum() * (2 if mapped.references else 1)
        significance = crossbar.read_significance
        held = mapped.held[: len(significance), : len(mapped.factors)]
        of_column = held * (significance * steps)[:, None]
        rounding = sums * (of_column**2).sum(axis=0) / 12
        layer = replace(layer, output_variance=rounding * (factor * mapped.factors) ** 2)
    return layer
