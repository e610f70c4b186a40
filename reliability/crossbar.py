"""The layers of a network that crossbars hold, each with its matrix, its window and its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reliability.chip import Chip, LayerChip
from reliability.errors import UserError
from reliability.layers import Conv2d, Linear
from reliability.lowering import Window, source_shapes, unrolled, window_of
from reliability.mapping import Mapped, map_matrix
from reliability.network import Network, fold_batch_norms


@dataclass(frozen=True, eq=False)
class Crossbar:
    """One layer with weights on a chip; digital where its settings say so.

    Attributes
    ----------
    name : str
    matrix : ndarray of float32, shape (columns, rows)
        Rows in the order (y, x, channel), the bias last where devices hold it.
    bias_row : bool
    window : Window
        How the layer reads its source.
    source : (int, int, int)
        Channels, height and width of the image that it reads.
    places : int
        Positions of its output: multiplications of one input.
    settings : LayerChip
        With every field filled in.
    """

    name: str
    matrix: np.ndarray
    bias_row: bool
    window: Window
    source: tuple[int, int, int]
    places: int
    settings: LayerChip

    @cached_property
    def mapped(self) -> Mapped:
        """The matrix as conductances."""
        mapping, tile = self.settings.mapping, self.settings.tile
        assert mapping is not None and tile is not None
        return map_matrix(self.matrix, mapping, groups=self.window.groups, tile_columns=tile.columns)

    @property
    def lines(self) -> int:
        """Physical columns."""
        return self.mapped.shares.shape[1] if self.settings.analog else len(self.matrix)

    @property
    def factors(self) -> np.ndarray:
        """Digital factor of each column, float64."""
        return self.mapped.factors if self.settings.analog else np.ones(len(self.matrix))

    @property
    def copies(self) -> int:
        """Devices of one weight: those of a slice times the slices."""
        mapping = self.settings.mapping
        assert mapping is not None
        return (2 if mapping.scheme == "pair" else 1) * mapping.slices.count

    @property
    def devices(self) -> int:
        """Memory cells; none of a digital layer."""
        if not self.settings.analog:
            return 0
        of_slice = self.copies // len(self.mapped.significance)
        return of_slice * int(self.mapped.held.sum()) * self.matrix.shape[1]

    @property
    def tile_rows(self) -> int:
        """Rows of a tile; a digital layer is one piece."""
        rows, tile = self.matrix.shape[1], self.settings.tile
        assert tile is not None
        return min(tile.rows, rows) if self.settings.analog and tile.rows != "layer" else rows

    def pulses(self, signed: bool) -> int:
        """Pulses of one multiplication, of inputs that can be negative or cannot."""
        tile = self.settings.tile
        return tile.dac.pulses(signed) if tile is not None and tile.dac is not None else 1

    def redraws(self, observation_s: float | None, inputs: int) -> bool:
        """Whether single reads redraw part of what the cells conduct, in an evaluation of ``inputs``."""
        device, telegraph = self.settings.device, self.settings.telegraph
        assert device is not None and telegraph is not None
        jumps = telegraph.is_on and telegraph.frozen_share(inputs * self.places) < 1
        return jumps or device.redraws(observation_s)

    @property
    def votes(self) -> bool:
        """Whether columns give the median of several slices."""
        mapping = self.settings.mapping
        assert mapping is not None
        return self.settings.analog and mapping.slices.combine == "median" and mapping.slices.count > 1

    @property
    def sets(self) -> int:
        """Sets of cells that one array holds, whose currents add up."""
        mapping = self.settings.mapping
        assert mapping is not None
        return mapping.slices.sets

    @property
    def read_significance(self) -> np.ndarray:
        """Digital factor of each slice that is read by itself, float64."""
        significance = self.mapped.significance
        return significance if self.sets == 1 else significance.sum(keepdims=True)

    @property
    def is_tiled(self) -> bool:
        """Whether sums of tiles, slices or pulses are taken one by one, and not as one sum."""
        mapping, tile = self.settings.mapping, self.settings.tile
        assert mapping is not None and tile is not None
        split = mapping.slices.count > self.sets or mapping.scheme == "offset"
        return self.settings.analog and (split or tile.dac is not None or tile.adc is not None)

    @property
    def converts(self) -> bool:
        """Whether inputs or sums pass converters."""
        tile = self.settings.tile
        return self.settings.analog and tile is not None and (tile.dac is not None or tile.adc is not None)

    @property
    def range_us(self) -> float:
        """From the smallest to the largest conductance of a device, microsiemens."""
        device = self.settings.device
        assert device is not None
        return device.g_max_us - device.g_min_us

    @property
    def _smallest_us(self) -> float:
        """What a share of zero conducts: the smallest conductance, unless a pair cancels it."""
        device, mapping = self.settings.device, self.settings.mapping
        assert device is not None and mapping is not None
        return 0.0 if mapping.scheme == "pair" else device.g_min_us

    @property
    def targets_us(self) -> np.ndarray:
        """Target conductance of each slice's lines, of a pair signed: shape (slices, lines, rows)."""
        return self.targets_of(self.mapped.shares)

    def targets_of(self, shares: np.ndarray) -> np.ndarray:
        """Shares of the conductance range as targets in microsiemens."""
        return shares * self.range_us + self._smallest_us

    @property
    def slice_weights(self) -> np.ndarray:
        """Weights of each slice's lines, were all devices exact: shape (slices, lines, rows).

        Before the columns' digital factors.
        """
        return (self.mapped.shares + self._smallest_us / self.range_us) * self.mapped.weight_scale


def chip_network(network: Network, chip: Chip) -> Network:
    """The network whose layers a chip holds: with batch norms folded where the mapping says so."""
    return fold_batch_norms(network) if chip.mapping.batch_norm == "folded" else network


def crossbars_of(network: Network, chip: Chip) -> dict[str, Crossbar]:
    """All layers with weights of a :func:`chip_network`, by name.

    Raises
    ------
    UserError
        If the chip names layers that the network does not have.
    """
    nodes = network.weighted
    chip.check_layers([node.name for node in nodes])
    sources = source_shapes(network)
    crossbars = {}
    for position, node in enumerate(nodes):
        assert isinstance(node.layer, Linear | Conv2d)
        settings = chip.layer(node.name, position, len(nodes))
        assert settings.mapping is not None
        _check_levels(settings)
        source = sources[node.name]
        matrix, bias = unrolled(node.layer, source), node.layer.bias
        bias_row = settings.analog and settings.mapping.bias == "devices" and bias is not None
        if bias_row and bias is not None:
            matrix = np.column_stack([matrix, bias])
        if settings.analog:
            _check_columns(node.name, settings, len(matrix))
            _check_places(node.name, settings)
        window, places = window_of(node.layer, source), int(np.prod(network.shapes[node.name][1:]))
        crossbars[node.name] = Crossbar(node.name, matrix, bool(bias_row), window, source, places, settings)
    return crossbars


def analog_crossbars(network: Network, chip: Chip) -> dict[str, Crossbar]:
    """The layers of a chip that stand on devices, by name."""
    found = crossbars_of(chip_network(network, chip), chip)
    return {name: crossbar for name, crossbar in found.items() if crossbar.settings.analog}


def _check_levels(settings: LayerChip) -> None:
    """Raise :class:`UserError` where a mapping asks for more conductances than the device holds."""
    device, mapping = settings.device, settings.mapping
    assert device is not None and mapping is not None
    levels, slices = device.levels, mapping.slices
    if settings.analog and levels is not None and (slices.fill != "digits" or 2**slices.bits > levels):
        bits = levels.bit_length() - 1
        raise UserError(
            f"a device of law {device.law!r} holds {levels} levels: the mapping must cut weights into digits "
            f'of at most {bits} bit{"s" if bits > 1 else ""} (mapping.slices.fill = "digits", '
            f"mapping.slices.bits = {bits}, mapping.slices.count = the bits of a weight over these)"
        )


def _check_columns(name: str, settings: LayerChip, count: int) -> None:
    """Raise :class:`UserError` where slices are to hold columns that a layer does not have."""
    assert settings.mapping is not None
    columns = settings.mapping.slices.columns
    if isinstance(columns, tuple) and max(columns) >= count:
        raise UserError(
            f"mapping.slices.columns of layer {name!r} names column {max(columns)}: it has columns 0 to "
            f"{count - 1}"
        )


def _check_places(name: str, settings: LayerChip) -> None:
    """Raise :class:`UserError` where cells share an array and it matters where each stands."""
    assert settings.mapping and settings.tile and settings.variation and settings.faults and settings.repair
    faults = settings.faults
    places = {
        "tile.wires": settings.tile.wires.is_on,
        "variation.tile or .field": settings.variation.tile > 0 or settings.variation.field > 0,
        "faults.cluster_rate": faults.cluster_rate > 0,
        "faults.open_rows or .open_columns": faults.open_rows > 0 or faults.open_columns > 0,
        "repair": settings.repair.is_on,
    }
    found = [what for what, is_on in places.items() if is_on]
    if settings.mapping.slices.combine == "current" and found:
        raise UserError(
            f"layer {name!r}: where several cells of a weight stand in one array (mapping.slices.combine = "
            f'"current") is not known, which {found[0]} asks for: let them stand in arrays of their own '
            f'("mean")'
        )


def mapped_network(network: Network, chip: Chip) -> Network:
    """The digital network with the weights that the mapping represents: clipped and rounded where it does."""
    network = chip_network(network, chip)
    crossbars = crossbars_of(network, chip)
    nodes = []
    for node in network.nodes:
        found = crossbars.get(node.name)
        if found is not None and found.settings.analog:
            assert isinstance(node.layer, Linear | Conv2d)
            matrix, bias = found.mapped.matrix, node.layer.bias
            if found.bias_row:
                matrix, bias = matrix[:, :-1], matrix[:, -1]
            weight = rolled(matrix, node.layer, found.source)
            node = replace(node, layer=replace(node.layer, weight=weight, bias=bias))
        nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def rolled(matrix: np.ndarray, layer: Linear | Conv2d, source: tuple[int, int, int]) -> np.ndarray:
    """The weights of a layer whose unrolled matrix is given."""
    if isinstance(layer, Conv2d):
        columns, channels, height, width = layer.weight.shape
        return matrix.reshape(columns, height, width, channels).transpose(0, 3, 1, 2)
    channels, height, width = source
    images = matrix.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    return images.reshape(layer.weight.shape)
