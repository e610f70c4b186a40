"""From description to plain arrays: what the kernels simulate for one chip description.

A :class:`Compiled` plan covers one network, one set of inputs, one chip description and all
its evaluation times and compensations ("variants"), so that one chip's trajectory reuses its
programming and its variants share what they have in common.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reliability.calibration import Ranges, conversions
from reliability.cell_records import EFFECT_KERNELS, OF_CHIP, draws_of, effect_kernels, record_of
from reliability.chip import Chip
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.devices.device import NORMAL as NORMAL_KIND
from reliability.errors import UserError
from reliability.kernels import layout
from reliability.kernels.latent import BLOCK, NORMAL, UNIFORM
from reliability.kernels.law import law_address
from reliability.kernels.pointer import address_of
from reliability.kernels.product import MULTIPLY, multiply
from reliability.kernels.simd import VECTOR, VECTORS
from reliability.kernels.wires import WIRES, work_size
from reliability.latents import Role, Supplied, key
from reliability.layers import Linear
from reliability.lowering import Graph, Held, image_shape
from reliability.network import Network
from reliability.packing import aligned, append, convert_images, flat, joined, pack_images, padded
from reliability.sharing import Span, spans_of
from reliability.tile import Converter

# Blocks of deviations that wait for the ends of their lines.
_AHEAD = 8
_DTYPES: dict[str, type] = {
    "readout": np.float64,
    "deltas": np.int8,
    "starts": np.int32,
    "shared": np.int64,
    "lanes": np.int32,
}


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
    layers : tuple of str
        Names of the layers with weights.
    conversions : ndarray of int64, shape (layers, 2)
        Inputs and column sums that go through a converter, of all inputs.
    inputs_clipped : ndarray of int64, shape (layers,)
        Of the network's own inputs, which are converted once for all chips.
    """

    arrays: layout.Plan
    sizes: dict[str, int]
    times: tuple[float, ...]
    variants: tuple[str, ...]
    layers: tuple[str, ...]
    conversions: np.ndarray
    inputs_clipped: np.ndarray

    def workspaces(self, workers: int) -> layout.Workspace:
        """Scratch arrays, one row a worker."""
        arrays = {}
        for name, size in self.sizes.items():
            arrays[name] = aligned(workers, max(size, 1), _DTYPES.get(name, np.float32))
        step = self.arrays.weights_step or self.arrays.weights.size
        for first in range(0, self.sizes["weights"], step):
            arrays["weights"][:, first : first + step] = self.arrays.weights[:step]
        shape = (workers, len(self.arrays.layers), len(self.variants))
        arrays["factors"] = np.ones(shape, np.float32)
        arrays["clipped"] = np.zeros((*shape, 2), np.int64)
        return layout.Workspace(**arrays)


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
    ranges: Mapping[str, Ranges] | None = None,
    share: bool = False,
    levels: Sequence[float] | None = None,
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
        Latents to use instead of the counter's: shape (chips, copies, lines, rows) for those drawn
        once per chip, (chips, times, copies, lines, rows) for those of each time; see
        :func:`reliability.draw_latents`.
    ranges : mapping of str to Ranges, optional
        Converter ranges (:func:`reliability.calibration.find_ranges`) of every layer with converters.
    share : bool
        Compute a first layer's exact sums once for all chips, and what a chip adds in 8-bit integers.
    levels : sequence of float, optional
        Share of the devices' deviations that each variant has (default: all of them).

    Raises
    ------
    UserError
        If the chip names layers that the network does not have, or a latent does not fit.
    """
    network = chip_network(network, chip)
    crossbars = crossbars_of(network, chip)
    ranges = ranges or {}
    reference = "global" in variants
    all_times = ((0.0, *times)) if reference else tuple(times)
    levels = tuple(levels or (1.0,) * len(variants))
    apart = any(level != 1 for level in levels)
    held = {name: _held(c, ranges.get(name)) for name, c in crossbars.items()}
    graph = Graph(network, held, len(variants), apart)
    images = pack_images(x.reshape(len(x), *image_shape(network.input_shape)), graph.input_padding)
    builder = _Builder(chip, len(x), all_times, reference, seed, role, dict(supplied or {}))
    dense = {node.name for node in network.weighted if isinstance(node.layer, Linear)}
    for crossbar in crossbars.values():
        builder.add_layer(crossbar, graph, ranges.get(crossbar.name))
        # Levels of one noise share these sums also where their deviations are not rounded.
        if (share or apart) and crossbar.settings.analog and crossbar.name in dense & graph.on_inputs:
            own = ranges.get(crossbar.name)
            builder.add_spans(spans_of(crossbar, x, own, chip.frozen_below_s))
    builder.check_supplied()
    inputs, inputs_clipped = [images], np.zeros(len(crossbars), np.int64)
    for i, name in enumerate(crossbars):
        record = builder.layers[i]
        if record["dac_at"] >= 0 and name in graph.on_inputs:
            record["inputs_at"] = sum(a.size for a in inputs)
            converter = builder.converters[record["dac_at"]]
            pulses, clipped = convert_images(
                images,
                len(x),
                record["pulses"],
                record["pulse_base"],
                np.array([converter], layout.CONVERTER)[0],
            )
            inputs.append(pulses)
            inputs_clipped[i] = clipped
    used = effect_kernels(crossbars.values())
    count = len(x)
    lanes = VECTOR * math.ceil(count / VECTOR)
    arrays = layout.Plan(
        inputs=flat(inputs),
        count=count,
        group=graph.group,
        labels=np.concatenate([labels, np.zeros(lanes - count)]).astype(np.int64),
        classes=network.classes,
        layers=_records(builder.layers, layout.LAYER),
        tiles=np.array(graph.tiles, layout.TILE),
        offsets=np.array(graph.offsets, np.int64),
        runs=np.array(graph.runs, np.int64),
        latents=np.array(builder.latents or [_no_latent()], layout.LATENT),
        operations=np.array(graph.operations, layout.OPERATION),
        buffers=np.array(graph.buffers, layout.BUFFER),
        scales=flat(graph.scales),
        shifts=flat(graph.shifts),
        weights=flat(builder.weights),
        weights_step=sum(a.size for a in builder.weights) if apart else 0,
        rounds=share,
        levels=np.array(levels, np.float32),
        spans=_records(builder.spans or [dict.fromkeys(layout.SPAN.names or (), 0)], layout.SPAN),
        codes=joined(builder.codes, np.uint8),
        base=flat(builder.base),
        converters=np.array(builder.converters or [(0, 0, 0, 0)], layout.CONVERTER),
        targets=flat(builder.targets),
        parameters=flat(builder.parameters),
        supplied=flat(builder.supplied),
        effects=_records(builder.effects or [dict.fromkeys(layout.EFFECTS.names or (), 0)], layout.EFFECTS),
        wires=_records(builder.wires or [dict.fromkeys(WIRES.names or (), 0)], WIRES),
        seconds=np.array(all_times, np.float64),
        times=len(all_times),
        reference=reference,
        multiply=address_of(multiply, MULTIPLY),
        **{name: address_of(*EFFECT_KERNELS[name]) if name in used else 0 for name in EFFECT_KERNELS},
        compensated=np.array([variant == "global" for variant in variants], np.int64),
    )
    redraws = builder.variance_size > 0
    tiled = any(record["tiled"] for record in builder.layers)
    sizes = {
        "weights": sum(a.size for a in builder.weights) * (len(levels) if apart else 1),
        "variance": max(builder.variance_size, BLOCK),
        "state": builder.state_size,
        "arena": graph.size,
        "cells": (2 * layout.PAIR + 3 + max(builder.most_latents, 1)) * BLOCK,
        "sums": graph.sums,
        "converted": graph.converted,
        "gains": builder.gains_size,
        "stuck": builder.stuck_size,
        "field": builder.field_size,
        "before": builder.before_size,
        "traps": 5 * BLOCK if any(own["amplitude"] > 0 for own in builder.effects) else 1,
        "conductances": builder.wired_size,
        "spreads": builder.wired_size if redraws else 1,
        "tile": builder.tile_size,
        "wiring": builder.wiring_size,
        "squares": graph.squares if redraws else 1,
        "response": builder.response_size if apart else 1,
        "part": graph.sums if tiled else 1,
        "noise": graph.noise if redraws else 1,
        "readout": len(crossbars),
        "deviations": builder.longest_line + _AHEAD * BLOCK if builder.spans else 1,
        "deltas": sum(4 * span["quads"] * span["lines"] for span in builder.spans),
        "starts": sum(span["lines"] for span in builder.spans),
        "scales": sum(span["lines"] for span in builder.spans),
        "shared": len(crossbars),
        "lanes": VECTORS * VECTOR,
    }
    converted = np.zeros((len(crossbars), 2), np.int64)
    for i, (name, crossbar) in enumerate(crossbars.items()):
        tile, own = crossbar.settings.tile, ranges.get(name)
        if crossbar.settings.analog and tile is not None and own is not None:
            slices = len(crossbar.mapped.significance)
            per_input = slices * conversions(crossbar, own.signed)
            converted[i] = (
                len(x) * int(np.prod(crossbar.source)) if tile.dac else 0,
                len(x) * per_input if tile.adc else 0,
            )
    return Compiled(arrays, sizes, tuple(times), tuple(variants), tuple(crossbars), converted, inputs_clipped)


def _held(crossbar: Crossbar, ranges: Ranges | None) -> Held:
    pulses = _pulses(crossbar, ranges)
    converts = ranges is not None and ranges.inputs is not None
    return Held(crossbar.tile_rows, crossbar.bias_row, crossbar.lines, pulses, converts)


def _pulses(crossbar: Crossbar, ranges: Ranges | None) -> int:
    """Pulses of one multiplication."""
    tile = crossbar.settings.tile
    if ranges is None or tile is None or tile.dac is None or ranges.inputs is None:
        return 1
    return tile.dac.pulses(ranges.signed)


def _records(rows: list[dict], dtype: np.dtype) -> np.ndarray:
    return np.array([tuple(row[name] for name in dtype.names or ()) for row in rows], dtype)


class _Builder:
    """Collects the layers' records and the flat arrays that they point into."""

    def __init__(
        self,
        chip: Chip,
        inputs: int,
        times: tuple[float, ...],
        reference: bool,
        seed: int,
        role: Role,
        supplied: dict[tuple[str, str], np.ndarray],
    ) -> None:
        self.chip, self.times, self.reference, self.seed, self.role = chip, times, reference, seed, role
        self.inputs, self.given = inputs, supplied
        self.used: set[tuple[str, str]] = set()
        self.layers: list[dict[str, Any]] = []
        self.spans: list[dict[str, Any]] = []
        self.longest_line = self.response_size = 0
        self.codes: list[np.ndarray] = []
        self.base: list[np.ndarray] = []
        self.converters: list[tuple[float, float, float, float]] = []
        self.latents: list[tuple] = []
        self.weights: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []
        self.parameters: list[np.ndarray] = []
        self.supplied: list[np.ndarray] = []
        self.effects: list[dict[str, Any]] = []
        self.wires: list[dict[str, Any]] = []
        self.wired_size = self.tile_size = self.wiring_size = 0
        self.variance_size = self.state_size = self.most_latents = 0
        self.gains_size = self.stuck_size = self.field_size = self.before_size = 0

    def add_layer(self, layer: Crossbar, graph: Graph, ranges: Ranges | None) -> None:
        columns, rows = layer.matrix.shape
        blocks = math.ceil(layer.lines * rows / BLOCK)
        record: dict[str, Any] = dict.fromkeys(layout.LAYER.names or (), 0)
        record |= {"rows": rows, "columns": columns, "blocks": blocks, "analog": int(layer.settings.analog)}
        record |= {"lines": layer.lines, "tile_columns": columns, "slices": 1, "pulses": 1, "pulse_base": 1}
        record |= {"groups": layer.window.groups, "group_channels": layer.window.channels}
        record |= {"bias_row": int(layer.bias_row), "readings": 1, "slice_step": blocks * BLOCK}
        record["tiles_at"], record["tiles"] = graph.windows[layer.name]
        record |= {"dac_at": -1, "inputs_at": -1, "adc_at": -1, "variance_at": -1, "wires_at": -1}
        if layer.settings.analog:
            self._add_converters(layer, record, ranges)
            self._add_devices(layer, record, graph)
        else:
            record["weights_at"] = append(self.weights, padded(layer.matrix, blocks))
        self.layers.append(record)

    def add_spans(self, spans: list[Span]) -> None:
        """Let the layer that was added last start from sums that all chips share."""
        self.layers[-1] |= {"spans": len(spans), "spans_at": len(self.spans)}
        lines = self.layers[-1]["lines"]
        self.longest_line = max(self.longest_line, self.layers[-1]["rows"])
        self.response_size = max(self.response_size, len(spans) * VECTORS * lines * VECTOR)
        for span in spans:
            quads = math.ceil(span.rows / 4)
            before = [(4 * s["quads"] * s["lines"], s["lines"]) for s in self.spans]
            record = {"row": span.row, "rows": span.rows, "quads": quads, "lines": lines}
            record |= {"zero": span.zero, "step": span.step}
            record["codes_at"] = sum(a.size for a in self.codes)
            record["base_at"] = sum(a.size for a in self.base)
            record["deltas_at"] = sum(size for size, _ in before)
            record["scales_at"] = sum(count for _, count in before)
            self.codes.append(span.codes)
            self.base.append(span.base)
            self.spans.append(record)

    def _add_converters(self, layer: Crossbar, record: dict[str, Any], ranges: Ranges | None) -> None:
        tile = layer.settings.tile
        if ranges is None or tile is None:
            return
        if tile.dac is not None and ranges.inputs is not None:
            record["dac_at"] = self._add_converter(tile.dac, ranges.inputs, ranges.signed)
            record["pulses"] = _pulses(layer, ranges)
            record["pulse_base"] = tile.dac.base
        if tile.adc is not None:
            record["adc_at"] = len(self.converters)
            # A single device conducts one way: without negative inputs its sums have one sign.
            signed = ranges.signed or layer.mapped.references == 0
            for largest in ranges.sums:
                self._add_converter(tile.adc, largest, signed)

    def _add_converter(self, converter: Converter, largest: float, signed: bool) -> int:
        code = converter.largest_code(signed)
        step = np.float32(largest / code)
        self.converters.append((float(np.float32(1) / step), float(step), -code if signed else 0, code))
        return len(self.converters) - 1

    def _add_devices(self, layer: Crossbar, record: dict[str, Any], graph: Graph) -> None:
        device, mapping, mapped = layer.settings.device, layer.settings.mapping, layer.mapped
        assert device is not None and mapping is not None
        blocks, slices = record["blocks"], len(mapped.significance)
        devices = layer.copies // slices
        record |= {"references": mapped.references, "tile_columns": mapped.tile_columns, "slices": slices}
        record["devices"] = devices
        record["significance_at"] = append(self.parameters, mapped.significance)
        record["tiled"] = int(layer.is_tiled)
        record["weights_at"] = sum(a.size for a in self.weights)
        for weights in layer.slice_weights:
            append(self.weights, padded(weights, blocks))
        targets = list(layer.targets_us)
        if mapping.slices.fill == "corrected" and slices > 1:
            record["corrected"] = 1
            targets = [targets[0], mapped.wanted * layer.range_us]
        record["targets_at"] = sum(a.size for a in self.targets)
        for target in targets:
            append(self.targets, padded(target, blocks))
        record["scale"] = mapped.weight_scale / layer.range_us
        record["g_min"], record["g_range"] = device.g_min_us, layer.range_us
        record["program"] = law_address(device.program)
        record["conductance"] = law_address(device.conductance)
        record["states"] = device.states
        record["state_at"] = self.state_size
        # A chip seen at one time only needs no memory of its devices beyond the block at hand.
        size = devices * device.states * BLOCK
        record["state_step"] = size if len(self.times) > 1 else 0
        self.state_size += size * (blocks * slices if len(self.times) > 1 else 1)
        record["program_parameters"] = len(device.program_parameters())
        record["program_parameters_at"] = append(self.parameters, np.array(device.program_parameters()))
        per_time = [device.time_parameters(t, self.chip.frozen_below_s) for t in self.times]
        record["time_parameters"] = len(per_time[0])
        record["time_parameters_at"] = append(self.parameters, np.array(per_time).ravel())
        verify = device.time_parameters(0.0, self.chip.frozen_below_s)
        record["verify_at"] = append(self.parameters, np.array(verify))
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
        self._add_effects(layer, record)
        if layer.redraws(self.chip.frozen_below_s, self.inputs):
            self._add_readings(layer, record, graph)

    def _add_effects(self, layer: Crossbar, record: dict[str, Any]) -> None:
        """What happens to the layer's cells beyond their law."""
        record |= {"tile_rows": layer.tile_rows, "effects_at": len(self.effects)}
        effects, draws = record_of(layer, self.inputs), draws_of(layer)
        for field, (quantity, kind) in draws.items():
            effects[field] = len(self.latents)
            words = key(self.seed, quantity, "" if quantity in OF_CHIP else layer.name, self.role)
            self.latents.append((kind, *words, -1, 0))
        copies, size = layer.copies, record["blocks"] * BLOCK
        if "cell_latent" in draws:
            effects["gains_at"] = self.gains_size
            self.gains_size += copies * size
            self.before_size = max(self.before_size, layer.tile_rows + 1)
        if "stuck_latent" in draws:
            effects["stuck_at"] = self.stuck_size
            self.stuck_size += copies * size
        if effects["field"] or effects["cluster_rate"]:
            self.field_size = max(self.field_size, size)
        if "trap" in draws:
            effects["held_at"] = len(self.latents)
            for t in self.times:
                words = key(self.seed, "telegraph_frozen", layer.name, self.role, t)
                self.latents.append((UNIFORM, *words, -1, 0))
        self.effects.append(effects)
        self._add_wires(layer, record)

    def _add_wires(self, layer: Crossbar, record: dict[str, Any]) -> None:
        """The wires of a layer's tiles, and what solving them needs."""
        tile = layer.settings.tile
        assert tile is not None
        if not tile.wires.is_on:
            return
        record["wires_at"] = len(self.wires)
        wires = {"word_ohm": tile.wires.word_ohm, "bit_ohm": tile.wires.bit_segment_ohm}
        wires |= {"driver_ohm": tile.wires.driver_ohm, "sense_ohm": tile.wires.sense_ohm}
        self.wires.append({**wires, "both": int(tile.wires.driven == "both")})
        # A row of biases stands in the last tile, a reference line behind the others of its tile.
        rows = layer.tile_rows + int(layer.bias_row)
        lines = record["tile_columns"] + (record["references"] > 0)
        self.wired_size = max(self.wired_size, layer.copies * record["blocks"] * BLOCK)
        self.tile_size = max(self.tile_size, rows * lines)
        self.wiring_size = max(self.wiring_size, int(work_size(rows, lines)))

    def _add_readings(self, layer: Crossbar, record: dict[str, Any], graph: Graph) -> None:
        """What every read redraws: a set of normals for each tile, slice and pulse that is read by itself."""
        record["variance_at"] = self.variance_size
        self.variance_size += record["slices"] * record["slice_step"]
        first, count = graph.windows[layer.name]
        reads: list[tuple[int, ...]] = [()]
        if record["tiled"]:
            rows = [tile[0] for tile in graph.tiles[first : first + count] if not tile[1]]
            reads = list(itertools.product(rows, range(record["slices"]), range(record["pulses"])))
        record["readings"] = len(reads)
        record["readings_at"] = len(self.latents)
        for t in self.times:
            for read in reads:
                words = key(self.seed, "readings", layer.name, self.role, t, read)
                self.latents.append((NORMAL, *words, -1, 0))
        record["readout_at"] = len(self.latents)
        for t in self.times:
            words = key(self.seed, "readout", layer.name, self.role, t)
            self.latents.append((NORMAL, *words, -1, 0))

    def _add_latent(self, layer: Crossbar, name: str, kind: str, blocks: int, time: int | None) -> None:
        kind_number = NORMAL if kind == NORMAL_KIND else UNIFORM
        words = key(self.seed, name, layer.name, self.role, None if time is None else self.times[time])
        given = self.given.get((layer.name, name))
        # The reference read keeps the counter's draws: what is supplied belongs to the times asked for.
        if given is None or (time is not None and self.reference and time == 0):
            self.latents.append((kind_number, *words, -1, 0))
            return
        self.used.add((layer.name, name))
        lines, rows, copies = layer.lines, layer.matrix.shape[1], layer.copies
        per_time = () if time is None else (len(self.times) - int(self.reference),)
        wanted = (*per_time, copies, lines, rows)
        given = np.asarray(given)
        if given.shape[1:] != wanted or given.dtype != np.float32:
            raise UserError(
                f"latents of layer {layer.name!r}, {name!r}, must be float32 of shape "
                f"(chips, {', '.join(map(str, wanted))}), have {given.dtype} {given.shape}"
            )
        if time is not None:
            given = given[:, time - int(self.reference)]
        chips = len(given)
        flat = np.zeros((chips, copies, blocks * BLOCK), np.float32)
        flat[:, :, : lines * rows] = given.reshape(chips, copies, -1)
        at = append(self.supplied, flat.ravel())
        self.latents.append((kind_number, *words, at, copies * blocks * BLOCK))

    def check_supplied(self) -> None:
        for name in self.given:
            if name not in self.used:
                raise UserError(f"the chip draws no latent {name[1]!r} in a layer {name[0]!r}")


def _no_latent() -> tuple:
    return (NORMAL, 0, 0, -1, 0)
