"""From description to plain arrays: what the kernels simulate for one chip description.

A :class:`Compiled` plan covers one network, one set of inputs, one chip description and all
its evaluation times and compensations ("variants"), so that one chip's trajectory reuses its
programming and its variants share what they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reliability.adaptation import Adapted, adapted
from reliability.calibration import Ranges, conversions
from reliability.cell_records import EFFECT_KERNELS, effect_kernels
from reliability.chip import Chip, LayerChip
from reliability.compensation import adaptation_of, factor_of, is_adapted, needs_reference
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.errors import UserError
from reliability.fault_maps import FaultMaps, LayerRepair
from reliability.kernels import layout
from reliability.kernels.engine import run_chips
from reliability.kernels.latent import BLOCK
from reliability.kernels.pointer import address_of
from reliability.kernels.product import MULTIPLY, multiply
from reliability.kernels.simd import VECTOR, VECTORS
from reliability.kernels.wires import WIRES
from reliability.latents import Role, Seeds, Supplied
from reliability.layer_records import LayerRecords, as_records, held_by, no_latent
from reliability.layers import Linear
from reliability.lowering import Graph, image_shape
from reliability.network import Network
from reliability.packing import aligned, convert_images, flat, joined, pack_images
from reliability.sharing import spans_of
from reliability.verified import chosen_cells, chosen_weights

# Blocks of deviations that wait for the ends of their lines.
_AHEAD = 8
_DTYPES: dict[str, type] = {
    "readout": np.float64,
    "line_readout": np.float64,
    "line_reference": np.float64,
    "moments": np.float64,
    "lane_sums": np.float64,
    "deltas": np.int8,
    "starts": np.int32,
    "shared": np.int64,
    "lanes": np.int32,
    "places": np.int32,
    "cycles": np.int64,
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
    verifies_some : bool
        Whether write-verify takes some weights of a layer and leaves others.
    conversions : ndarray of int64, shape (layers, 2)
        Inputs and column sums that go through a converter, of all inputs.
    inputs_clipped : ndarray of int64, shape (layers,)
        Of the network's own inputs, which are converted once for all chips.
    maps : FaultMaps, optional
        What has to be prepared of every chip before it is simulated; None where nothing has.
    adaptation : Adapted, optional
        What fits the chips' digital ends to calibration inputs.
    """

    arrays: layout.Plan
    sizes: dict[str, int]
    times: tuple[float, ...]
    variants: tuple[str, ...]
    layers: tuple[str, ...]
    verifies_some: bool
    conversions: np.ndarray
    inputs_clipped: np.ndarray
    maps: FaultMaps | None = None
    adaptation: Adapted | None = None

    @property
    def prepare(self) -> Callable[[int, layout.Workspace], None] | None:
        """What :func:`run_chips` calls with every chip."""
        return None if self.maps is None else self.maps.prepare

    def scratch(self, workers: int) -> tuple[layout.Workspace, ...]:
        """What :meth:`run` needs for so many workers."""
        found = (self.workspaces(workers),)
        return found if self.adaptation is None else (*found, self.adaptation.workspaces(workers))

    def run(self, scratch: tuple[layout.Workspace, ...], *chips) -> None:
        """Simulate chips; further arguments as :func:`reliability.kernels.engine.run_chips`."""
        if self.adaptation is None:
            run_chips(self.arrays, scratch[0], *chips, prepare=self.prepare)
        else:
            self.adaptation.run(self, (scratch[0], scratch[1]), *chips)

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
        for name, given in (("end_scales", self.arrays.scales), ("end_shifts", self.arrays.shifts)):
            step = self.arrays.coefficients_step or self.sizes[name]
            for first in range(0, self.sizes[name], step):
                arrays[name][:, first : first + step] = given[:step]
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
    seeds: Seeds | None = None,
    ranges: Mapping[str, Ranges] | None = None,
    share: bool = False,
    levels: Sequence[float] | None = None,
    read: int = 0,
    powers: Mapping[str, np.ndarray] | None = None,
    refresh: int = 0,
    calibration: np.ndarray | None = None,
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
    variants : sequence of str
        Compensations to evaluate at each time (:data:`reliability.compensation.COMPENSATIONS`).
    seed : int
    role : {"search", "certify"}
    supplied : mapping of (layer, latent) to ndarray, optional
        Latents to use instead of the counter's: shape (chips, copies, lines, rows) for those drawn
        once per chip, (chips, times, copies, lines, rows) for those of each time; see
        :func:`reliability.draw_latents`.
    seeds : mapping of (layer, quantity) to int, optional
        Draws that come from another seed; see :data:`reliability.latents.Seeds`.
    ranges : mapping of str to Ranges, optional
        Converter ranges (:func:`reliability.calibration.find_ranges`) of every layer with converters.
    share : bool
        Compute a first layer's exact sums once for all chips, and what a chip adds in 8-bit integers.
    levels : sequence of float, optional
        Share of the devices' deviations that each variant has (default: all of them).
    read : int
        Which evaluation of the same chips; it keys what single reads redraw.
    powers : mapping of str to ndarray, optional
        Mean squares of every row's input, for layers whose repair weighs errors by them.
    refresh : int
        How often the chip was programmed anew before; times count from the latest time.
    calibration : ndarray of float32, shape (M, *input_shape), optional
        Prepared training inputs, for compensations that are fitted to them.

    Raises
    ------
    UserError
        If the chip names layers that the network does not have, a latent does not fit, or a compensation has
        no calibration inputs.
    """
    draws: dict[str, Any] = {"seed": seed, "role": role, "seeds": seeds, "read": read, "refresh": refresh}
    draws |= {"ranges": ranges, "powers": powers}
    plan, _ = _lowered(
        network, x, labels, chip, times, variants, supplied=supplied, share=share, levels=levels, **draws
    )
    fitted = [variant for variant in variants if is_adapted(variant)]
    if not fitted:
        return plan
    if calibration is None or not len(calibration):
        raise UserError(
            f'compensation "{fitted[0]}" is fitted to training inputs (chip.calibration_inputs): give '
            f"calibration inputs"
        )
    # The reference read is one of the kernels' times.
    all_times = plan.arrays.seconds.tolist()
    draws |= {"stops": True, "evaluated": len(x), "reads": "calibration"}
    own, graph = _lowered(network, calibration, None, chip, all_times, ("none",), **draws)
    digital = replace(chip, layers={"*": LayerChip(analog=False)})
    one, _ = _lowered(network, calibration[:1], None, digital, (0.0,), ("none",))
    all_digital, _ = _lowered(network, calibration, None, digital, (0.0,), ("none",), stops=True)
    held = crossbars_of(chip_network(network, chip), chip).values()
    biases = {crossbar.name: crossbar.matrix[:, -1] for crossbar in held if crossbar.bias_row}
    return replace(plan, adaptation=adapted(own, graph, (one, all_digital), biases))


def _lowered(
    network: Network,
    x: np.ndarray,
    labels: np.ndarray | None,
    chip: Chip,
    times: Sequence[float],
    variants: Sequence[str],
    *,
    seed: int = 0,
    role: Role = "certify",
    supplied: Supplied | None = None,
    seeds: Seeds | None = None,
    ranges: Mapping[str, Ranges] | None = None,
    share: bool = False,
    levels: Sequence[float] | None = None,
    read: int = 0,
    powers: Mapping[str, np.ndarray] | None = None,
    refresh: int = 0,
    stops: bool = False,
    evaluated: int | None = None,
    reads: str = "readings",
) -> tuple[Compiled, Graph]:
    """A plan without what is fitted to calibration inputs, and its operations.

    Parameters
    ----------
    stops : bool
        Whether all inputs go through the network together and stop before each digital end.
    evaluated : int, optional
        Inputs of the evaluation, where ``x`` are others.
    reads : str
        Under which name single reads draw.
    """
    labels = np.zeros(len(x), np.int64) if labels is None else labels
    network = chip_network(network, chip)
    crossbars = crossbars_of(network, chip)
    ranges = ranges or {}
    reference = any(needs_reference(variant) for variant in variants)
    all_times = ((0.0, *times)) if reference else tuple(times)
    levels = tuple(levels or (1.0,) * len(variants))
    apart = any(level != 1 for level in levels)
    held = {name: held_by(c, ranges.get(name)) for name, c in crossbars.items()}
    compensated = np.array([factor_of(variant) for variant in variants], np.int64)
    # Variants have digital ends of their own where a chip's columns have.
    own_ends = (compensated == layout.COLUMN).any() or any(is_adapted(variant) for variant in variants)
    graph = Graph(network, held, len(variants), apart, math.ceil(len(x) / VECTOR) if stops else None)
    images = pack_images(x.reshape(len(x), *image_shape(network.input_shape)), graph.input_padding)
    given = dict(supplied or {})
    count = len(x)
    records = LayerRecords(
        chip, evaluated or count, all_times, reference, seed, role, given, seeds or {}, read, refresh, reads
    )
    chosen = chosen_weights(crossbars)
    dense = {node.name for node in network.weighted if isinstance(node.layer, Linear)}
    for crossbar in crossbars.values():
        records.add_layer(crossbar, graph, ranges.get(crossbar.name), chosen.get(crossbar.name))
        # Levels of one noise share these sums also where their deviations are not rounded.
        if (share or apart) and crossbar.settings.analog and crossbar.name in dense & graph.on_inputs:
            own = ranges.get(crossbar.name)
            records.add_spans(spans_of(crossbar, x, own, chip.frozen_below_s))
    records.check_supplied()
    inputs, inputs_clipped = [images], np.zeros(len(crossbars), np.int64)
    for i, name in enumerate(crossbars):
        record = records.layers[i]
        if record["dac_at"] >= 0 and name in graph.on_inputs:
            record["inputs_at"] = sum(a.size for a in inputs)
            converter = records.converters[record["dac_at"]]
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
    coefficients = sum(len(scale) for scale in graph.scales)
    lanes = VECTOR * math.ceil(count / VECTOR)
    arrays = layout.Plan(
        inputs=flat(inputs),
        count=count,
        group=graph.group,
        labels=np.concatenate([labels, np.zeros(lanes - count)]).astype(np.int64),
        classes=network.classes,
        layers=as_records(records.layers, layout.LAYER),
        tiles=np.array(graph.tiles, layout.TILE),
        offsets=np.array(graph.offsets, np.int64),
        runs=np.array(graph.runs, np.int64),
        latents=np.array(records.latents or [no_latent()], layout.LATENT),
        operations=np.array(graph.operations, layout.OPERATION),
        buffers=np.array(graph.buffers, layout.BUFFER),
        scales=flat(graph.scales),
        shifts=flat(graph.shifts),
        coefficients_step=coefficients if own_ends else 0,
        weights=flat(records.weights),
        weights_step=sum(a.size for a in records.weights) if apart else 0,
        rounds=share,
        levels=np.array(levels, np.float32),
        spans=as_records(records.spans or [dict.fromkeys(layout.SPAN.names or (), 0)], layout.SPAN),
        codes=joined(records.codes, np.uint8),
        base=flat(records.base),
        converters=np.array(records.converters or [(0, 0, 0, 0)], layout.CONVERTER),
        targets=flat(records.targets),
        parameters=flat(records.parameters),
        supplied=flat(records.supplied),
        effects=as_records(records.effects or [dict.fromkeys(layout.EFFECTS.names or (), 0)], layout.EFFECTS),
        wires=as_records(records.wires or [dict.fromkeys(WIRES.names or (), 0)], WIRES),
        loops=as_records(records.loops or [dict.fromkeys(layout.LOOP.names or (), 0)], layout.LOOP),
        chosen=flat(records.chosen),
        seconds=np.array(all_times, np.float64),
        times=len(all_times),
        reference=reference,
        multiply=address_of(multiply, MULTIPLY),
        **{name: address_of(*EFFECT_KERNELS[name]) if name in used else 0 for name in EFFECT_KERNELS},
        reads_out=bool((compensated != layout.PLAIN).any()),
        reads_lines=bool((compensated == layout.COLUMN).any()),
        exact=np.array([_exact_readout(crossbar) for crossbar in crossbars.values()], np.float64),
        compensated=compensated,
        adapted=np.array([adaptation_of(variant) for variant in variants], np.int64),
    )
    redraws = records.variance_size > 0
    tiled = any(record["tiled"] for record in records.layers)
    sizes = {
        "weights": sum(a.size for a in records.weights) * (len(levels) if apart else 1),
        "variance": max(records.variance_size, BLOCK),
        "state": records.state_size,
        "arena": graph.size,
        "cells": (2 * layout.PAIR + 3 + max(records.most_latents, 1)) * BLOCK,
        "currents": 2 * layout.PAIR * BLOCK if any(r["sets"] > 1 for r in records.layers) else 1,
        "sums": graph.sums,
        "votes": graph.sums * max((r["slices"] for r in records.layers if r["votes"]), default=0),
        "converted": graph.converted,
        "gains": records.gains_size,
        "stuck": records.stuck_size,
        "aims": records.aims_size,
        "words": records.words_size,
        "field": records.field_size,
        "before": records.before_size,
        "traps": 5 * BLOCK if any(own["amplitude"] > 0 for own in records.effects) else 1,
        "conductances": records.wired_size,
        "spreads": records.wired_size if redraws else 1,
        "tile": records.tile_size,
        "wiring": records.wiring_size,
        "squares": graph.squares if redraws else 1,
        "response": records.response_size if apart else 1,
        "part": graph.sums if tiled or records.words_size else 1,
        "noise": graph.noise if redraws else 1,
        "readout": len(crossbars),
        "line_readout": records.lines,
        "line_reference": records.lines,
        "end_scales": coefficients * (len(variants) if own_ends else 1),
        "end_shifts": coefficients * (len(variants) if own_ends else 1),
        "moments": 1,
        "lane_sums": 1,
        "deviations": records.longest_line + _AHEAD * BLOCK if records.spans else 1,
        "deltas": sum(4 * span["quads"] * span["lines"] for span in records.spans),
        "starts": sum(span["lines"] for span in records.spans),
        "scales": sum(span["lines"] for span in records.spans),
        "shared": len(crossbars),
        "lanes": VECTORS * VECTOR,
        "loop": records.loop_size,
        "places": BLOCK,
        "cycles": 2 * len(crossbars) + 2,
    }
    converted = np.zeros((len(crossbars), 2), np.int64)
    for i, (name, crossbar) in enumerate(crossbars.items()):
        tile, own = crossbar.settings.tile, ranges.get(name)
        if crossbar.settings.analog and tile is not None and own is not None:
            per_input = int(conversions(crossbar, own.signed).sum())
            converted[i] = (
                len(x) * int(np.prod(crossbar.source)) if tile.dac else 0,
                len(x) * per_input if tile.adc else 0,
            )
    if records.words_size and (len(variants) > 1 or variants[0] not in ("none", "global")):
        raise UserError(
            f"repair.digital adds its corrections before one factor a layer at most: compensation "
            f"{', '.join(variants)} cannot go with it, 'none' or 'global' can"
        )
    repairs = {
        name: LayerRepair(
            crossbars[name],
            records.layers[i],
            records.repairs[i],
            arrays.latents,
            _power(crossbars[name], powers),
        )
        for i, name in enumerate(crossbars)
        if i in records.repairs
    }
    maps = FaultMaps(repairs) if repairs else None
    compiled = Compiled(
        arrays,
        sizes,
        tuple(times),
        tuple(variants),
        tuple(crossbars),
        not all(chosen_cells(crossbars[name], weights).all() for name, weights in chosen.items()),
        converted,
        inputs_clipped,
        maps,
    )
    return compiled, graph


def _power(crossbar: Crossbar, powers: Mapping[str, np.ndarray] | None) -> np.ndarray | None:
    """Mean squares of a layer's inputs, where its repair weighs errors by them."""
    repair = crossbar.settings.repair
    if repair is None or not repair.needs_inputs:
        return None
    if powers is None or crossbar.name not in powers:
        raise UserError(
            f"layer {crossbar.name!r}: repair.weigh_inputs takes the mean squares of inputs from training "
            f"inputs, and here are none: simulate with calibration inputs, or set repair.weigh_inputs = false"
        )
    return powers[crossbar.name]


def _exact_readout(crossbar: Crossbar) -> float:
    """What a layer's array reads out if every device holds what it was asked to."""
    if not crossbar.settings.analog:
        return 0.0
    mapped = crossbar.mapped
    return float((mapped.line_significance[:, :, None] * np.abs(crossbar.slice_weights)).sum())
