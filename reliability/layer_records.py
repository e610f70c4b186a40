"""The kernels' records of a chip's layers, and the flat arrays that they point into."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from reliability.calibration import Ranges
from reliability.cell_records import FAULT_DRAWS, OF_CHIP, draws_of, record_of
from reliability.chip import Chip
from reliability.crossbar import Crossbar
from reliability.devices.device import NORMAL as NORMAL_KIND
from reliability.errors import UserError
from reliability.fault_maps import is_repaired
from reliability.kernels import layout
from reliability.kernels.latent import BLOCK, NORMAL, UNIFORM
from reliability.kernels.law import law_address
from reliability.kernels.simd import VECTOR, VECTORS
from reliability.kernels.wires import work_size
from reliability.latents import Role, Seeds, key, seed_of
from reliability.lowering import Graph, Held
from reliability.packing import append, padded
from reliability.sharing import Span
from reliability.tile import Converter
from reliability.verified import chosen_cells, loop_numbers, loop_size


def held_by(crossbar: Crossbar, ranges: Ranges | None) -> Held:
    """What the lowering of a network asks of one layer."""
    pulses = _pulses(crossbar, ranges)
    converts = ranges is not None and ranges.inputs is not None
    return Held(crossbar.tile_rows, crossbar.bias_row, crossbar.lines, pulses, converts, crossbar.factors)


def _pulses(crossbar: Crossbar, ranges: Ranges | None) -> int:
    """Pulses of one multiplication; one where nothing converts the inputs."""
    return crossbar.pulses(ranges.signed) if ranges is not None and ranges.inputs is not None else 1


def as_records(rows: list[dict], dtype: np.dtype) -> np.ndarray:
    """Rows of named values as an array of records."""
    return np.array([tuple(row[name] for name in dtype.names or ()) for row in rows], dtype)


class LayerRecords:
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
        seeds: Seeds,
        read: int = 0,
        refresh: int = 0,
        reads: str = "readings",
    ) -> None:
        self.chip, self.times, self.reference, self.seed, self.role = chip, times, reference, seed, role
        self.seeds = seeds
        self.inputs, self.given = inputs, supplied
        # The first evaluation's draws have the name that they have where there is no other.
        self.again = f" {read}" if read else ""
        # So have those of the first programming.
        self.anew = f" refresh {refresh}" if refresh else ""
        self.reads = reads
        self.lines = 0
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
        self.loops: list[dict[str, Any]] = []
        self.chosen: list[np.ndarray] = []
        self.wired_size = self.tile_size = self.wiring_size = 0
        self.variance_size = self.state_size = self.most_latents = 0
        self.loop_size = 0
        # By number of the layer: the effects of its own cells and of its spare ones.
        self.repairs: dict[int, list[dict[str, Any]]] = {}
        self.aims_size = self.words_size = 0
        self.gains_size = self.stuck_size = self.field_size = self.before_size = 0

    def add_layer(
        self, layer: Crossbar, graph: Graph, ranges: Ranges | None, chosen: np.ndarray | None = None
    ) -> None:
        """Add the record of the next layer, with all that it points to; ``chosen`` weights are verified."""
        columns, rows = layer.matrix.shape
        blocks = math.ceil(layer.lines * rows / BLOCK)
        record: dict[str, Any] = dict.fromkeys(layout.LAYER.names or (), 0)
        record |= {"rows": rows, "columns": columns, "blocks": blocks, "analog": int(layer.settings.analog)}
        record |= {"lines": layer.lines, "tile_columns": columns, "slices": 1, "sets": 1}
        record |= {"pulses": 1, "pulse_base": 1}
        record |= {"groups": layer.window.groups, "group_channels": layer.window.channels}
        record |= {"bias_row": int(layer.bias_row), "readings": 1, "slice_step": blocks * BLOCK}
        record["tiles_at"], record["tiles"] = graph.windows[layer.name]
        record |= {"dac_at": -1, "inputs_at": -1, "adc_at": -1, "variance_at": -1, "wires_at": -1}
        record |= {"held_at": -1, "loop_at": -1, "words_at": -1}
        record |= {"lines_at": self.lines, "coefficients_at": graph.coefficients_of(layer.name)}
        self.lines += layer.lines
        if layer.settings.analog:
            self._add_converters(layer, record, ranges)
            self._add_devices(layer, record, graph)
            if chosen is not None:
                self._add_loop(layer, record, chosen)
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
        blocks, slices = record["blocks"], len(layer.read_significance)
        devices = layer.copies // (slices * layer.sets)
        record |= {"references": mapped.references, "tile_columns": mapped.tile_columns, "slices": slices}
        record |= {"devices": devices, "sets": layer.sets}
        record["significance_at"] = append(self.parameters, layer.read_significance)
        if not mapped.held.all():
            record["held_at"] = append(self.parameters, mapped.held)
            record["shares_at"] = append(self.parameters, mapped.line_significance)
        record["votes"] = int(layer.votes)
        record["tiled"] = int(layer.is_tiled)
        record["weights_at"] = sum(a.size for a in self.weights)
        for weights in layer.slice_weights[:slices]:
            append(self.weights, padded(weights, blocks))
        targets = list(layer.targets_us)
        if mapping.slices.fill == "corrected" and slices > 1:
            record["corrected"] = 1
            targets = [targets[0], mapped.wanted * layer.range_us]
        record["targets_at"] = sum(a.size for a in self.targets)
        for target in targets:
            append(self.targets, padded(target, blocks))
        record["scale"] = mapped.weight_scale / (layer.range_us * layer.sets)
        record["g_min"], record["g_range"] = device.g_min_us, layer.range_us
        record["program"] = law_address(device.program)
        record["conductance"] = law_address(device.conductance)
        record["states"] = device.states
        record["state_at"] = self.state_size
        # A chip seen at one time only needs no memory of its devices beyond the block at hand.
        size = devices * device.states * BLOCK
        record["state_step"] = size if len(self.times) > 1 else 0
        self.state_size += size * (blocks * slices * layer.sets if len(self.times) > 1 else 1)
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

    def _add_loop(self, layer: Crossbar, record: dict[str, Any], chosen: np.ndarray) -> None:
        """How the layer's devices are verified, and which."""
        device, verify = layer.settings.device, layer.settings.verify
        assert device is not None and verify is not None
        record["loop_at"] = len(self.loops)
        telegraph = layer.settings.telegraph
        blurs = telegraph is not None and telegraph.is_on
        loop: dict[str, Any] = dict(
            loop_numbers(device, verify, device.redraws(self.chip.frozen_below_s) or blurs)
        )
        loop["chosen_at"] = sum(a.size for a in self.chosen)
        for cells, lines in zip(chosen_cells(layer, chosen), layer.mapped.held, strict=True):
            append(self.chosen, padded(np.where(lines[:, None], cells, -1.0), record["blocks"]))
        loop["held_at"] = len(self.latents)
        for latent in device.time_latents:
            kind = NORMAL if latent.kind == NORMAL_KIND else UNIFORM
            self.latents.append((kind, *self._key(f"verify_{latent.name}", layer.name), -1, 0))
        for field in ("read", "step"):
            loop[f"{field}_at"] = len(self.latents)
            self.latents.append((NORMAL, *self._key(f"verify_{field}", layer.name), -1, 0))
        latents = max(len(device.program_latents), len(device.time_latents))
        self.loop_size = max(self.loop_size, loop_size(device.states, latents))
        self.loops.append(loop)

    def _add_effects(self, layer: Crossbar, record: dict[str, Any]) -> None:
        """What happens to the layer's cells beyond their law."""
        record |= {"tile_rows": layer.tile_rows, "effects_at": len(self.effects)}
        effects, draws = record_of(layer, self.inputs), draws_of(layer)
        for field, (quantity, kind) in draws.items():
            effects[field] = len(self.latents)
            words = self._key(quantity, "" if quantity in OF_CHIP else layer.name)
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
                words = self._key("telegraph_frozen", layer.name, t, again=self.anew)
                self.latents.append((UNIFORM, *words, -1, 0))
        if is_repaired(layer):
            self._add_repair(layer, record, effects)
        self.effects.append(effects)
        self._add_wires(layer, record)

    def _add_repair(self, layer: Crossbar, record: dict[str, Any], effects: dict[str, Any]) -> None:
        """Room for what the repair of the layer's broken cells comes to, and the draws of its spare cells."""
        settings = layer.settings
        assert settings.repair and settings.mapping and settings.tile
        settings.repair.check_fits(
            layer.name,
            scheme=settings.mapping.scheme,
            fill=settings.mapping.slices.fill,
            wires=settings.tile.wires.is_on,
            uneven=settings.mapping.weight_max == "column" or not layer.mapped.held.all() or layer.votes,
        )
        effects["repaired"] = 1
        if settings.repair.in_pair:
            effects["aims_at"] = self.aims_size
            self.aims_size += layer.copies * record["blocks"] * BLOCK
        if settings.repair.is_digital:
            record["words_at"] = self.words_size
            self.words_size += record["columns"] * record["rows"]
        # Spare rows are crossed by the tile's own bit lines, spare columns by its word lines.
        rows = self._spare_effects(layer, effects, "spare_rows", column_latent=effects["column_latent"])
        columns = self._spare_effects(layer, effects, "spare_columns", row_latent=effects["row_latent"])
        crossed = {"row_latent": rows["row_latent"], "column_latent": columns["column_latent"]}
        corner = self._spare_effects(layer, effects, "spare_corner", **crossed)
        self.repairs[len(self.layers)] = [effects, rows, columns, corner]

    def _spare_effects(
        self, layer: Crossbar, effects: dict[str, Any], name: str, **crossing: int
    ) -> dict[str, Any]:
        """Effects of spare cells, with faults of their own but for the lines that cross them."""
        found = effects | crossing
        for field, (quantity, kind) in FAULT_DRAWS.items():
            if field not in crossing:
                found[field] = len(self.latents)
                words = self._key(quantity, layer.name, again=f" {name}")
                self.latents.append((kind, *words, -1, 0))
        return found

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
                words = self._key(self.reads, layer.name, t, read, again=self.anew + self.again)
                self.latents.append((NORMAL, *words, -1, 0))
        record["readout_at"] = len(self.latents)
        for i, t in enumerate(self.times):
            # The reference read was before all evaluations.
            again = "" if self.reference and i == 0 else self.again
            words = self._key("readout", layer.name, t, again=self.anew + again)
            self.latents.append((NORMAL, *words, -1, 0))

    def _key(
        self,
        quantity: str,
        layer: str,
        time_s: float | None = None,
        read: tuple[int, ...] = (),
        again: str = "",
    ) -> tuple[int, int]:
        """The key of a quantity's draws in a layer."""
        seed = seed_of(layer, quantity, self.seed, self.seeds)
        return key(seed, quantity + again, layer, self.role, time_s, read)

    def _add_latent(self, layer: Crossbar, name: str, kind: str, blocks: int, time: int | None) -> None:
        kind_number = NORMAL if kind == NORMAL_KIND else UNIFORM
        words = self._key(name, layer.name, None if time is None else self.times[time], again=self.anew)
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
        """Raise :class:`UserError` if latents were supplied that no layer draws."""
        for name in self.given:
            if name not in self.used:
                raise UserError(f"the chip draws no latent {name[1]!r} in a layer {name[0]!r}")


def no_latent() -> tuple:
    """Stands for a latent where a chip has none."""
    return (NORMAL, 0, 0, -1, 0)
