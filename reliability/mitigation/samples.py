"""What layers multiply: inputs of some of their multiplications in the digital network."""

from __future__ import annotations

import math

import numpy as np

from reliability.chip import Chip
from reliability.crossbar import Crossbar, analog_crossbars, mapped_network
from reliability.layers import windows
from reliability.network import Network

_CHUNK = 32
_VALUES = 1 << 20


class Samples:
    """What some layers see in the digital network as a chip maps it.

    Parameters
    ----------
    network : Network
    chip : Chip
    x : ndarray of float32, shape (N, *input_shape)
        Prepared inputs.
    crossbars : mapping of str to Crossbar
        The layers.
    wanted : int
        Multiplications of each layer, taken by chance: about as many, or all where there are fewer.
    seed : int

    Attributes
    ----------
    rows : dict of str to ndarray of float32, shape (multiplications, groups, rows)
        What drives the rows, in the crossbar's order, without that of a bias.
    magnitudes : dict of str to ndarray of float32
        Of the layer's inputs, ascending: all of them or about a million.
    """

    def __init__(
        self,
        network: Network,
        chip: Chip,
        x: np.ndarray,
        crossbars: dict[str, Crossbar],
        wanted: int,
        seed: int = 0,
    ) -> None:
        random = np.random.default_rng(seed)
        mapped = mapped_network(network, chip)
        sources = {node.name: node.inputs[0] for node in mapped.weighted}
        rows: dict[str, list[np.ndarray]] = {name: [] for name in crossbars}
        values: dict[str, list[np.ndarray]] = {name: [] for name in crossbars}
        for first in range(0, len(x), _CHUNK):
            found = mapped.activations(x[first : first + _CHUNK])
            for name, own in crossbars.items():
                each = min(math.ceil(wanted / len(x)), own.places)
                rows[name].append(_multiplied(own, found[sources[name]], each, random))
                flat = np.abs(found[sources[name]]).ravel()
                step = max(math.ceil(flat.size * len(x) / (_VALUES * _CHUNK)), 1)
                values[name].append(flat[random.integers(step) :: step])
        self.rows = {name: np.concatenate(own) for name, own in rows.items()}
        self.magnitudes = {name: np.sort(np.concatenate(own)) for name, own in values.items()}


def multiplied_inputs(
    network: Network, chip: Chip, x: np.ndarray, wanted: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Inputs of some multiplications of every analog layer: (multiplications, groups, rows).

    Parameters are those of :class:`Samples`; exactly ``wanted`` where there are as many.
    """
    found = Samples(network, chip, x[:wanted], analog_crossbars(network, chip), wanted, seed)
    return {name: own[:wanted] for name, own in found.rows.items()}


def _multiplied(crossbar: Crossbar, x: np.ndarray, each: int, random: np.random.Generator) -> np.ndarray:
    """Inputs of some multiplications of each input: (inputs * each, groups, rows)."""
    window = crossbar.window
    images = x.reshape(-1, *crossbar.source)
    patches = windows(images, window.kernel, window.stride, window.padding, window.dilation, 0.0)
    height, width = patches.shape[2:4]
    places = np.stack([random.choice(height * width, each, replace=False) for _ in images])
    some = patches[np.arange(len(images))[:, None], :, places // width, places % width]
    grouped = some.reshape(len(images) * each, window.groups, window.channels, *window.kernel)
    return np.ascontiguousarray(grouped.transpose(0, 1, 3, 4, 2)).reshape(len(grouped), window.groups, -1)
