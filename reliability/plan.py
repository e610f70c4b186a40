"""From description to plain arrays: what the kernels simulate for one chip description.

A :class:`Compiled` plan covers one network, one set of inputs, one chip description and all
its evaluation times and compensations ("variants"), so that one chip's trajectory reuses its
programming and its variants share what they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reliability.chip import Chip, LayerChip
from reliability.devices.device import NORMAL as NORMAL_KIND
from reliability.errors import UserError
from reliability.kernels import layout
from reliability.kernels.latent import BLOCK, NORMAL, UNIFORM
from reliability.kernels.law import address_of
from reliability.kernels.simd import VECTOR
from reliability.latents import Role, Supplied, key
from reliability.layers import Conv2d, Linear
from reliability.lowering import Graph, image_shape, source_shapes, unrolled, window_of
from reliability.network import Network, fold_batch_norms
from reliability.packing import aligned, append, flat, pack_images, padded


@dataclass(frozen=True, eq=False)
class Compiled:
    """A plan, and what its workspaces need.

    Attributes
    ----------
    arrays : layout.Plan
    sizes : dict of str to int
        Floats of each array of a workspace.
    times : tuple of float
        Evaluation times, seconds.
    variants : tuple of str
        Compensations.
    """

    arrays: layout.Plan
    sizes: dict[str, int]
    times: tuple[float, ...]
    variants: tuple[str, ...]

    def workspaces(self, workers: int) -> layout.Workspace:
        """Scratch arrays, one row a worker."""
        arrays = {}
        for name, size in self.sizes.items():
            dtype = np.float64 if name == "readout" else np.float32
            arrays[name] = aligned(workers, max(size, 1), dtype)
        arrays["weights"][:, : self.arrays.weights.size] = self.arrays.weights
        shape = (workers, len(self.arrays.layers), len(self.variants))
        arrays["factors"] = np.ones(shape, np.float32)
        return layout.Workspace(**arrays)


@dataclass(frozen=True)
class _AnalogLayer:
    name: str
    matrix: (
        np.ndarray
    )  # columns x rows, rows in the order (y, x, channel), the bias last where devices hold it
    bias_row: bool
    groups: int
    group_channels: int
    settings: LayerChip


def _layers(network: Network, chip: Chip) -> dict[str, _AnalogLayer]:
    nodes = network.weighted
    chip.check_layers([node.name for node in nodes])
    sources = source_shapes(network)
    layers = {}
    for position, node in enumerate(nodes):
        assert isinstance(node.layer, Linear | Conv2d)
        settings = chip.layer(node.name, position, len(nodes))
        assert settings.mapping is not None
        matrix, bias = unrolled(node.layer, sources[node.name]), node.layer.bias
        bias_row = settings.analog and settings.mapping.bias == "devices" and bias is not None
        if bias_row and bias is not None:
            matrix = np.column_stack([matrix, bias])
        window = window_of(node.layer, sources[node.name])
        layers[node.name] = _AnalogLayer(
            node.name, matrix, bool(bias_row), window.groups, window.channels, settings
        )
    return layers


def chip_network(network: Network, chip: Chip) -> Network:
    """The network whose layers a chip holds: with batch norms folded where the mapping says so."""
    return fold_batch_norms(network) if chip.mapping.batch_norm == "folded" else network


def mapped_network(network: Network, chip: Chip) -> Network:
    """The digital network with the weights that the mapping represents (clipped where it clips)."""
    network = chip_network(network, chip)
    nodes = []
    layers = _layers(network, chip)
    for node in network.nodes:
        found = layers.get(node.name)
        if found is not None and found.settings.analog:
            assert isinstance(node.layer, Linear | Conv2d)
            w_max = _weight_max(found)
            bias = node.layer.bias
            if bias is not None and found.bias_row:
                bias = np.clip(bias, -w_max, w_max)
            layer = replace(node.layer, weight=np.clip(node.layer.weight, -w_max, w_max), bias=bias)
            node = replace(node, layer=layer)
        nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def _weight_max(layer: _AnalogLayer) -> float:
    assert layer.settings.mapping is not None
    wanted = layer.settings.mapping.weight_max
    largest = float(np.abs(layer.matrix).max())
    return float(wanted) if wanted != "layer" else (largest or 1.0)


def compile_plan(
    network: Network,
    x: np.ndarray,
    labels: np.ndarray,
    chip: Chip,
    *,
    times: Sequence[float] = (0.0,),
    variants: Sequence[str] = ("none",),
    seed: int = 0,
    role: Role = "certify",
    supplied: Supplied | None = None,
) -> Compiled:
    """Lower a description to the arrays that the kernels run on.

    Parameters
    ----------
    network : Network
    x : ndarray of float32, shape (N, *input_shape)
        Prepared inputs (:meth:`Network.prepare`).
    labels : ndarray of int, shape (N,)
    chip : Chip
    times : sequence of float
        Evaluation times since the reference read, seconds.
    variants : sequence of {"none", "global"}
        Compensations to evaluate at each time.
    seed : int
    role : {"search", "certify"}
    supplied : mapping of (layer, latent) to ndarray, optional
        Latents to use instead of the counter's: shape (chips, 2, columns, rows) for those drawn
        once per chip, (chips, times, 2, columns, rows) for those of each time; the first copy is
        the positive device of a pair.

    Raises
    ------
    UserError
        If the chip names layers that the network does not have, or a latent does not fit.
    """
    network = chip_network(network, chip)
    layers = _layers(network, chip)
    reference = "global" in variants
    all_times = ((0.0, *times)) if reference else tuple(times)
    graph = Graph(
        network,
        {name: _tile_rows(layer) for name, layer in layers.items()},
        {name: layer.bias_row for name, layer in layers.items()},
        len(variants),
    )
    builder = _Builder(chip, all_times, reference, seed, role, dict(supplied or {}))
    for layer in layers.values():
        builder.add_layer(layer, graph.windows[layer.name])
    builder.check_supplied()
    count = len(x)
    lanes = VECTOR * math.ceil(count / VECTOR)
    images = x.reshape(count, *image_shape(network.input_shape))
    arrays = layout.Plan(
        inputs=pack_images(images, graph.input_padding),
        count=count,
        group=graph.group,
        labels=np.concatenate([labels, np.zeros(lanes - count)]).astype(np.int64),
        classes=network.classes,
        layers=np.array(builder.layers, layout.LAYER),
        tiles=np.array(graph.tiles, layout.TILE),
        offsets=np.array(graph.offsets, np.int64),
        runs=np.array(graph.runs, np.int64),
        latents=np.array(builder.latents or [_no_latent()], layout.LATENT),
        operations=np.array(graph.operations, layout.OPERATION),
        buffers=np.array(graph.buffers, layout.BUFFER),
        scales=flat(graph.scales),
        shifts=flat(graph.shifts),
        weights=flat(builder.weights),
        targets=flat(builder.targets),
        parameters=flat(builder.parameters),
        supplied=flat(builder.supplied),
        times=len(all_times),
        reference=reference,
        compensated=np.array([variant == "global" for variant in variants], np.int64),
    )
    pair = layout.COPIES * BLOCK
    redraws = builder.variance_size > 0
    sizes = {
        "weights": sum(a.size for a in builder.weights),
        "variance": builder.variance_size,
        "state": builder.state_size,
        "arena": graph.size,
        "cells": 2 * pair + BLOCK + max(builder.most_latents, 1) * BLOCK,
        "sums": graph.sums,
        "squares": graph.squares if redraws else 1,
        "noise": graph.noise if redraws else 1,
        "readout": len(layers),
    }
    return Compiled(arrays, sizes, tuple(times), tuple(variants))


def _tile_rows(layer: _AnalogLayer) -> int:
    """Rows of the layer's tiles; a digital layer is one piece."""
    rows = layer.matrix.shape[1]
    tile = layer.settings.tile
    assert tile is not None
    return min(tile.rows, rows) if layer.settings.analog and tile.rows != "layer" else rows


class _Builder:
    """Collects the layers' records and the flat arrays that they point into."""

    def __init__(
        self,
        chip: Chip,
        times: tuple[float, ...],
        reference: bool,
        seed: int,
        role: Role,
        supplied: dict[tuple[str, str], np.ndarray],
    ) -> None:
        self.chip, self.times, self.reference, self.seed, self.role = chip, times, reference, seed, role
        self.given = supplied
        self.used: set[tuple[str, str]] = set()
        self.layers: list[tuple] = []
        self.latents: list[tuple] = []
        self.weights: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []
        self.parameters: list[np.ndarray] = []
        self.supplied: list[np.ndarray] = []
        self.variance_size = self.state_size = self.most_latents = 0

    def add_layer(self, layer: _AnalogLayer, tiles: tuple[int, int]) -> None:
        columns, rows = layer.matrix.shape
        blocks = math.ceil(layer.matrix.size / BLOCK)
        record = dict.fromkeys(layout.LAYER.names or (), 0)
        record |= {"rows": rows, "columns": columns, "blocks": blocks, "analog": int(layer.settings.analog)}
        record |= {"groups": layer.groups, "group_channels": layer.group_channels}
        record |= {"bias_row": int(layer.bias_row), "tiles_at": tiles[0], "tiles": tiles[1]}
        record["weights_at"] = append(self.weights, padded(layer.matrix, blocks))
        record["variance_at"] = -1
        if layer.settings.analog:
            self._add_devices(layer, record, blocks)
        self.layers.append(tuple(record[name] for name in layout.LAYER.names or ()))

    def _add_devices(self, layer: _AnalogLayer, record: dict, blocks: int) -> None:
        device = layer.settings.device
        assert device is not None
        w_max = _weight_max(layer)
        target = np.clip(layer.matrix.astype(np.float64) / w_max, -1, 1) * device.g_max_us
        record["targets_at"] = append(self.targets, padded(target, blocks))
        record["scale"] = w_max / device.g_max_us
        record["program"] = address_of(device.program)
        record["conductance"] = address_of(device.conductance)
        record["states"] = device.states
        record["state_at"] = self.state_size
        # A chip seen at one time only needs no memory of its devices beyond the block at hand.
        record["state_step"] = layout.COPIES * device.states * BLOCK if len(self.times) > 1 else 0
        self.state_size += layout.COPIES * device.states * BLOCK * (blocks if len(self.times) > 1 else 1)
        record["program_parameters"] = len(device.program_parameters())
        record["program_parameters_at"] = append(self.parameters, np.array(device.program_parameters()))
        per_time = [device.time_parameters(t, self.chip.frozen_below_s) for t in self.times]
        record["time_parameters"] = len(per_time[0])
        record["time_parameters_at"] = append(self.parameters, np.array(per_time).ravel())
        record["program_latents"] = len(device.program_latents)
        record["program_latents_at"] = len(self.latents)
        for latent in device.program_latents:
            self._add_latent(layer, latent.name, latent.kind, blocks, None)
        record["time_latents"] = len(device.time_latents)
        record["time_latents_at"] = len(self.latents)
        for i in range(len(self.times)):
            for latent in device.time_latents:
                self._add_latent(layer, latent.name, latent.kind, blocks, i)
        self.most_latents = max(self.most_latents, len(device.program_latents), len(device.time_latents))
        if device.redraws(self.chip.frozen_below_s):
            record["variance_at"] = self.variance_size
            self.variance_size += blocks * BLOCK
            for quantity in ("readings", "readout"):
                record[f"{quantity}_at"] = len(self.latents)
                for t in self.times:
                    words = key(self.seed, quantity, layer.name, self.role, t)
                    self.latents.append((NORMAL, *words, -1, 0))

    def _add_latent(self, layer: _AnalogLayer, name: str, kind: str, blocks: int, time: int | None) -> None:
        kind_number = NORMAL if kind == NORMAL_KIND else UNIFORM
        words = key(self.seed, name, layer.name, self.role, None if time is None else self.times[time])
        given = self.given.get((layer.name, name))
        # The reference read keeps the counter's draws: what is supplied belongs to the times asked for.
        if given is None or (time is not None and self.reference and time == 0):
            self.latents.append((kind_number, *words, -1, 0))
            return
        self.used.add((layer.name, name))
        columns, rows = layer.matrix.shape
        per_time = () if time is None else (len(self.times) - int(self.reference),)
        wanted = (*per_time, layout.COPIES, columns, rows)
        given = np.asarray(given)
        if given.shape[1:] != wanted or given.dtype != np.float32:
            raise UserError(
                f"latents of layer {layer.name!r}, {name!r}, must be float32 of shape "
                f"(chips, {', '.join(map(str, wanted))}), have {given.dtype} {given.shape}"
            )
        if time is not None:
            given = given[:, time - int(self.reference)]
        chips = len(given)
        flat = np.zeros((chips, layout.COPIES, blocks * BLOCK), np.float32)
        flat[:, :, : columns * rows] = given.reshape(chips, layout.COPIES, -1)
        at = append(self.supplied, flat.ravel())
        self.latents.append((kind_number, *words, at, layout.COPIES * blocks * BLOCK))

    def check_supplied(self) -> None:
        for name in self.given:
            if name not in self.used:
                raise UserError(f"the chip draws no latent {name[1]!r} in a layer {name[0]!r}")


def _no_latent() -> tuple:
    return (NORMAL, 0, 0, -1, 0)
