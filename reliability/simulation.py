"""One sweep, ready to simulate any range of chips: from the description to blocks and the table."""

from __future__ import annotations

import base64
import copy
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from reliability.calibration import Ranges, find_ranges, input_powers, is_needed
from reliability.cell_records import EFFECT_KERNELS, effect_kernels
from reliability.chip import Chip, LayerChip
from reliability.compensation import is_adapted
from reliability.conditions import Sweep, expand, join_levels
from reliability.crossbar import chip_network, crossbars_of, mapped_network
from reliability.datasets import Dataset, check_labels, from_arrays
from reliability.devices import ideal as ideal_device
from reliability.effects import effect_names, resolved
from reliability.errors import RunError, UserError
from reliability.kernels.adapt import run_adapted_worker
from reliability.kernels.engine import run_worker
from reliability.kernels.intrinsics import HAS_DOT
from reliability.latents import Role, Seeds, Supplied
from reliability.layers import arrays_of
from reliability.metrics import Metric, as_metric
from reliability.network import Network
from reliability.plan import Compiled, compile_plan
from reliability.settings import whole
from reliability.tile import Tile
from reliability.verified import is_verified

# Rounding of float32 products allows this much; more is a wrong mapping, not arithmetic.
_IDEAL_TOLERANCE = 1e-5
# Multiply-adds from which on the digital network is computed by the kernels, and how many inputs are
# compared with plain NumPy.
_LONG = 1e10
_COMPARED = 64
# Weights of all variants of a chip that a thread keeps (256 MiB).
_MOST_WEIGHTS = 1 << 26

Arithmetic = Literal["auto", "int8", "float32"]
Calibration = Dataset | tuple[Any, Any] | np.ndarray
"""Training inputs: a dataset, a pair of arrays (x, y), or x alone."""


@dataclass(frozen=True, eq=False)
class Block:
    """What was observed on consecutive chips under all conditions of one group.

    Attributes
    ----------
    bits : ndarray of uint8, shape (chips, times, variants, ceil(N / 8))
        Right or wrong for each input, packed; empty where the metric is not right or wrong.
    scores : ndarray of float64, shape (chips, times, variants)
        Mean of the metric over the inputs.
    checksums : ndarray of uint64, shape (chips, times, variants)
        Of the logits.
    clipped : ndarray of int64, shape (chips, times, variants, layers, 2)
        Inputs and column sums of each layer beyond their converter's range.
    shared : ndarray of uint8, shape (chips, times)
        Layers computed from sums that all chips share.
    cycles : ndarray of int64, shape (chips, layers, 2)
        Writes of each layer's verified devices, the first included, and what verifying the devices of all
        its weights would have taken; zero where there is no write-verify.
    """

    bits: np.ndarray
    scores: np.ndarray
    checksums: np.ndarray
    clipped: np.ndarray
    shared: np.ndarray
    cycles: np.ndarray

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """One block of neighbouring ones, in the order of chips."""
        return cls(*(np.concatenate([getattr(b, name) for b in blocks]) for name in cls.__annotations__))


class Simulation:
    """A sweep over conditions, ready to simulate any range of chips.

    Parameters
    ----------
    network : Network
    dataset : Dataset, or pair of arrays (x, y)
    chip : Chip
    vary, time_s
        See :func:`simulate`.
    seed, role, metric, threads, latents, arithmetic, calibration
        See :func:`simulate`; ``calibration`` may also be a function that loads the inputs once needed.
    seeds : mapping of (layer, quantity) to int, optional
        Draws that come from another seed (:data:`reliability.latents.Seeds`): chips that share all other
        draws with those of ``seed``.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset | tuple[Any, Any],
        chip: Chip,
        vary: Mapping[str, Sequence[Any]] | None = None,
        *,
        time_s: float = 0.0,
        seed: int = 0,
        role: Role = "certify",
        metric: str | Metric | Callable = "top-1",
        threads: int | None = None,
        latents: Supplied | None = None,
        seeds: Seeds | None = None,
        arithmetic: Arithmetic = "auto",
        calibration: Calibration | Callable[[], Dataset] | None = None,
    ) -> None:
        if not isinstance(chip, Chip):
            raise UserError(f"chip = {chip!r} must be a Chip; load_chip makes one of a name or a file")
        self.network, self.chip = network, chip
        self.dataset = dataset if isinstance(dataset, Dataset) else from_arrays(*dataset)
        self.inputs = network.prepare(self.dataset.x)
        check_labels(self.dataset, network.classes)
        self.labels = np.asarray(self.dataset.y)
        self.metric = as_metric(metric)
        self.sweep: Sweep = expand(chip, vary, time_s)
        if network.weights * len(self.sweep.conditions) <= _MOST_WEIGHTS:
            self.sweep = join_levels(self.sweep)
        self.seed = whole("seed", seed, 0, 2**63 - 1)
        self.threads = whole("threads", available_cores() if threads is None else threads, 1, 4096)
        self.latents = latents
        self.calibration = calibration
        if arithmetic not in get_args(Arithmetic):
            raise UserError(f'arithmetic = {arithmetic!r} must be "auto", "int8" or "float32"')
        self.arithmetic: Arithmetic = arithmetic
        if arithmetic == "auto":
            self.arithmetic = "int8" if HAS_DOT else "float32"
        for key, given in (latents or {}).items():
            pair = isinstance(key, tuple) and len(key) == 2
            if (
                not pair
                or not isinstance(given, np.ndarray)
                or given.ndim < 4
                or not np.isfinite(given).all()
            ):
                raise UserError(
                    f"latents[{key!r}] must be an array of finite numbers under a pair (layer, latent), one "
                    f"entry a chip; draw_latents gives such arrays"
                )
        known = ("", "*", *(node.name for node in network.weighted))
        for at, own in (seeds or {}).items():
            if at[0] not in known:
                raise UserError(
                    f"seeds[{at!r}] names no layer with weights: these are {', '.join(known[2:])}"
                )
            whole(f"seeds[{at!r}]", own, 0, 2**63 - 1)
        self.role: Role = role
        self._options: dict[str, Any] = {
            "seed": self.seed,
            "role": role,
            "supplied": latents,
            "seeds": seeds,
        }
        self._plans: dict[int, Compiled] = {}
        self._ranges: list[tuple[Chip, dict[str, Ranges]]] = []
        self._cycles: list[tuple[Chip, dict[int, np.ndarray]]] = []
        self._powers_of: list[tuple[Chip, dict[str, np.ndarray]]] = []
        self._workspaces: dict[int, Any] = {}
        self._workspaces_in_use = threading.Lock()
        if self.metric.score is not None:
            # A user's own metric that fails does so here, on the digital network.
            _ = self.reference

    @cached_property
    def reference(self) -> np.ndarray:
        """The metric of the digital network, one value an input."""
        return self._outcomes_of(self.digital_logits)

    @property
    def block_chips(self) -> int:
        """Chips of a block: a power of two from 4 to 256 that keeps it short and its arrays small."""
        per_chip = max(len(g.times) * len(g.variants) for g in self.sweep.groups) * len(self.labels)
        work = 2 * self.products_per_input * per_chip
        size = per_chip * (4 * self.network.classes if self.metric.score else 1)
        fitting = min(2e12 / work, 1e8 / size)
        return 1 << int(np.clip(math.floor(math.log2(max(fitting, 1))), 2, 8))

    @property
    def kernels(self) -> list[Callable]:
        """What must be compiled for the sweep, but for the devices' laws."""
        used: set[str] = set()
        fitted = any(is_adapted(variant) for group in self.sweep.groups for variant in group.variants)
        for group in self.sweep.groups:
            used |= effect_kernels(crossbars_of(chip_network(self.network, group.chip), group.chip).values())
        return [
            run_adapted_worker if fitted else run_worker,
            *(EFFECT_KERNELS[name][0] for name in sorted(used)),
        ]

    @property
    def products_per_input(self) -> int:
        """Multiply-adds of one input."""
        return sum(
            arrays_of(node.layer)["weight"].size * int(np.prod(self.network.shapes[node.name][1:]))
            for node in self.network.weighted
        )

    def block(self, group: int, first: int, count: int) -> Block:
        """Simulate chips ``first`` to ``first + count - 1`` under the conditions of one group."""
        self._check_supplied(first + count)
        return self.evaluate(group, np.arange(first, first + count))

    def observe(
        self, first: int, count: int, group: int = 0, watch: Callable[[int], object] | None = None
    ) -> Block:
        """Simulate any number of neighbouring chips, :attr:`block_chips` at a time, so that memory holds.

        Parameters
        ----------
        first, count : int
            Chips ``first`` to ``first + count - 1``, at least one.
        group : int
            Conditions under which they are simulated, by their place in ``sweep.groups``.
        watch : callable, optional
            Is given the number of chips done after each block.

        Returns
        -------
        Block
            Of all these chips: that of :meth:`block` to the last bit.

        Raises
        ------
        UserError
            If latents are supplied for fewer chips.
        """
        blocks = []
        for done in range(0, count, self.block_chips):
            part = min(self.block_chips, count - done)
            blocks.append(self.block(group, first + done, part))
            if watch is not None:
                watch(done + part)
        return Block.joined(blocks)

    def outcomes(self, first: int, count: int, group: int = 0) -> np.ndarray:
        """Which inputs neighbouring chips get right.

        Parameters
        ----------
        first, count, group
            As in :meth:`observe`.

        Returns
        -------
        ndarray of bool, shape (chips, times, variants, inputs)
            No inputs where the metric is not right or wrong.

        Raises
        ------
        UserError
            If latents are supplied for fewer chips.
        """
        return self._unpacked(self.observe(first, count, group).bits)

    def _unpacked(self, bits: np.ndarray) -> np.ndarray:
        """Outcomes of a block's packed ones."""
        inputs = len(self.labels) if bits.shape[-1] else 0
        return np.unpackbits(bits, axis=-1, count=inputs).astype(bool)

    def evaluate(self, group: int, numbers: np.ndarray) -> Block:
        """Simulate chips by their numbers; supplied latents are those of the first one and what follows."""
        first, count = int(numbers[0]), len(numbers)
        plan = self._plan(group)
        shape = (count, len(plan.times), len(plan.variants))
        ranks = np.empty((*shape, len(self.labels)), np.uint8)
        checksums = np.zeros(shape, np.uint64)
        wanted = (*shape, len(self.labels), self.network.classes) if self.metric.score else (1, 0, 0, 0, 0)
        logits = np.empty(wanted, np.float32)
        clipped = np.zeros((*shape, len(plan.layers), 2), np.int64)
        shared = np.zeros(shape[:2], np.uint8)
        cycles, known = self._known_cycles(group, numbers)
        workers = min(self.threads, count)
        with self._workspaces_in_use:
            plan.run(
                self._workspaces[group], first, numbers, workers, ranks, checksums, clipped, shared, cycles,
                logits,
            )  # fmt: skip
        if not plan.verifies_some:
            cycles[..., 1] = cycles[..., 0]
        known.update(zip(numbers.tolist(), cycles[..., 1], strict=True))
        outcomes = self.metric.outcomes(ranks, logits, self.labels)
        bits = np.packbits(outcomes, axis=-1) if outcomes.dtype == bool else np.empty((*shape, 0), np.uint8)
        clipped[..., 0] += plan.inputs_clipped
        scores = outcomes.mean(axis=-1, dtype=np.float64)
        return Block(bits, scores, checksums, clipped, shared, cycles)

    def _known_cycles(self, group: int, numbers: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Cycles of chips before they are simulated, -1 where they must be counted, and those known so far.

        What verifying all weights takes depends on neither share nor order, so that a sweep of these finds it
        out once for each chip.
        """
        plan = self.compiled(group)
        cycles = np.zeros((len(numbers), len(plan.layers), 2), np.int64)
        if (plan.arrays.layers["loop_at"] < 0).all():
            return cycles, {}
        design = self.sweep.groups[group].chip.verified_whole()
        known = next((found for chip, found in self._cycles if chip == design), None)
        if known is None:
            known = {}
            self._cycles.append((design, known))
        if plan.verifies_some:
            for i, number in enumerate(numbers.tolist()):
                cycles[i, :, 1] = known.get(number, -1)
        return cycles, known

    def subset(self, chosen: np.ndarray) -> Simulation:
        """The same sweep on some of the inputs, with the converters' ranges of the whole."""
        part = self._unplanned()
        part.inputs, part.labels = self.inputs[chosen], self.labels[chosen]
        part.dataset = replace(self.dataset, x=self.dataset.x[chosen], y=self.dataset.y[chosen])
        part.__dict__["digital_logits"] = self.digital_logits[chosen]
        part.__dict__["reference"] = self.reference[chosen]
        return part

    def redrawn(self, seed: int, role: Role) -> Simulation:
        """The same sweep on other chips; digital network and ranges are those of this one."""
        other = self._unplanned()
        other.seed, other.role = whole("seed", seed, 0, 2**63 - 1), role
        other._options = self._options | {"seed": other.seed, "role": role}
        return other

    def of_chip(self, chip: Chip, times: Sequence[float]) -> Simulation:
        """Another chip at these times on the same inputs, with the same seed."""
        other = self._unplanned()
        other.chip, other.sweep = chip, expand(chip, {"time_s": list(times)})
        other.__dict__.pop("_converts", None)
        return other

    def _unplanned(self) -> Simulation:
        """A copy without plans and workspaces."""
        other = copy.copy(self)
        other._plans, other._workspaces, other._workspaces_in_use = {}, {}, threading.Lock()
        other._cycles = []
        return other

    def table(self, blocks: Sequence[Sequence[Block]], chips: int) -> pd.DataFrame:
        """The trials table of blocks in the order of chips, one sequence a group."""
        joined = [Block.joined(own) for own in blocks]
        classes = [int(c) for c in np.unique(self.labels)] if self.metric.by_class else [None]
        parts = []
        for condition, place in zip(self.sweep.conditions, self.sweep.places, strict=True):
            block = joined[place.group]
            here = (slice(None), place.time, place.variant)
            for own_class in classes:
                of_class = {} if own_class is None else {"class": own_class}
                parts.append(self._rows(condition | of_class, block, here, chips, own_class, place.group))
        trials = pd.concat(parts, ignore_index=True)
        trials.attrs = self._attributes()
        if converters := self._converters(joined):
            trials.attrs["converters"] = converters
        return trials

    def _converters(self, joined: Sequence[Block]) -> list[dict[str, Any]]:
        """One row a condition and layer with converters: their ranges, and the share that they clipped."""
        rows = []
        for condition, place in zip(self.sweep.conditions, self.sweep.places, strict=True):
            ranges = self.ranges(self.sweep.groups[place.group].chip)
            if not ranges:
                continue
            plan = self.compiled(place.group)
            clipped = joined[place.group].clipped[:, place.time, place.variant].mean(axis=0)
            shares = clipped / np.maximum(plan.conversions, 1)
            for i, name in enumerate(plan.layers):
                if name in ranges:
                    own = ranges[name]
                    row = condition | {
                        "layer": name,
                        "dac_range": own.inputs,
                        "dac_clipped": float(shares[i, 0]),
                    }
                    row |= {"adc_range": list(own.sums), "adc_clipped": float(shares[i, 1])}
                    rows.append(row)
        return rows

    def check_ideal(self) -> None:
        """Compare the chip without effects with the digital network.

        Raises
        ------
        RunError
            If the largest difference of logits exceeds 1e-5 of the largest logit; names the layer.
        """
        x, y = self.inputs[:_COMPARED], self.labels[:_COMPARED]
        checked: list[Chip] = []
        for group in self.sweep.groups:
            chip = group.chip.without_effects().with_tiles(lambda tile: replace(tile, dac=None, adc=None))
            if chip in checked:
                # Groups that differ in their devices only are one and the same ideal chip.
                continue
            checked.append(chip)
            digital = mapped_network(self.network, chip).forward(x)
            if _largest_difference(self._logits(chip, x, y), digital) > _IDEAL_TOLERANCE:
                self._blame_layer(chip, x, y)

    def _blame_layer(self, chip: Chip, x: np.ndarray, y: np.ndarray) -> None:
        nodes = [node.name for node in self.network.weighted]
        worst, difference = "", 0.0
        for position, name in enumerate(nodes):
            own = chip.layer(name, position, len(nodes))
            alone = replace(chip, layers={"*": LayerChip(analog=False), name: own})
            digital = mapped_network(self.network, alone).forward(x)
            found = _largest_difference(self._logits(alone, x, y), digital)
            if found >= difference:
                worst, difference = name, found
        raise RunError(
            f"layer {worst!r}: without any effect the chip's logits differ from the digital "
            f"network's by {difference:.1e} of the largest logit; at most {_IDEAL_TOLERANCE:g} is rounding"
        )

    def check_effects(self, trials: pd.DataFrame) -> None:
        """Refuse a sweep whose values change nothing.

        Raises
        ------
        RunError
            If for a varied field all logits are identical under all its values.
        """
        for field in self.sweep.fields:
            others = [f for f in self.sweep.fields if f != field]
            if trials[field].nunique() < 2:
                continue
            groups = trials.groupby([*others, "chip"], sort=False, observed=True)["checksum"]
            if (groups.nunique() == 1).all():
                values = ", ".join(str(v) for v in trials[field].unique())
                names = ", ".join(effect_names(resolved(self.chip))) or "none"
                raise RunError(
                    f"sweeping {field} over {values} changed no logit of any chip; the chip's effects are "
                    f"{names}, its devices {self.chip.device.describe()}: this field has no effect here"
                )

    def ranges(self, chip: Chip) -> dict[str, Ranges]:
        """Converter ranges of a chip's layers, calibrated on training inputs where it says so."""
        # Neither what the devices do nor the bits of the ADCs moves a range.
        design = chip.without_effects().with_tiles(_with_any_adc)
        for known, found in self._ranges:
            if known == design:
                return found
        x = None
        if is_needed(self.network, chip) and self.calibration is not None:
            x = self._training_inputs(chip.calibration_inputs)
        found = find_ranges(self.network, chip, x, negative=bool((self.inputs < 0).any()))
        self._ranges.append((design, found))
        return found

    def row_powers(self, chip: Chip) -> dict[str, np.ndarray] | None:
        """Mean squares of the layers' inputs on training inputs, where a repair weighs errors by them."""
        found = crossbars_of(chip_network(self.network, chip), chip).values()
        weighs = any(c.settings.repair is not None and c.settings.repair.needs_inputs for c in found)
        if not weighs or self.calibration is None:
            return None
        design = chip.without_effects()
        for known, powers in self._powers_of:
            if known == design:
                return powers
        powers = input_powers(self.network, chip, self._training_inputs(chip.calibration_inputs))
        self._powers_of.append((design, powers))
        return powers

    @cached_property
    def _converts(self) -> tuple[bool, bool]:
        """Whether any chip of the sweep has DACs, and ADCs."""
        found = [own for group in self.sweep.groups for own in self.ranges(group.chip).values()]
        return any(own.inputs is not None for own in found), any(own.sums for own in found)

    @cached_property
    def _verifies(self) -> bool:
        """Whether any chip of the sweep has verified devices."""
        found = (crossbars_of(chip_network(self.network, g.chip), g.chip) for g in self.sweep.groups)
        return any(is_verified(crossbar.settings) for own in found for crossbar in own.values())

    @property
    def converter_ranges(self) -> list[dict[str, Any]]:
        """Ranges of the converters of each group's layers, as plain tables; empty where there are none."""
        found = [self.ranges(group.chip) for group in self.sweep.groups]
        return [{name: asdict(own) for name, own in ranges.items()} for ranges in found if ranges]

    def _training_inputs(self, count: int) -> np.ndarray:
        given = self.calibration() if callable(self.calibration) else self.calibration
        x = given.x if isinstance(given, Dataset) else given[0] if isinstance(given, tuple) else given
        return self.network.prepare(np.asarray(x)[:count])

    def _fitting_inputs(self, count: int) -> np.ndarray | None:
        """Training inputs for compensations that are fitted to them."""
        if self.calibration is None:
            return None
        x = self._training_inputs(count)
        if len(x) < count:
            raise UserError(f"chip.calibration_inputs = {count}, but there are only {len(x)} training inputs")
        return x

    def compiled(self, group: int) -> Compiled:
        """What the kernels simulate for one group of conditions."""
        if group not in self._plans:
            described = self.sweep.groups[group]
            if described.refresh and self.latents:
                raise UserError("latents are supplied for one programming: set chip.refresh_s to inf")
            x = None
            if any(is_adapted(variant) for variant in described.variants):
                x = self._fitting_inputs(described.chip.calibration_inputs)
            self._plans[group] = compile_plan(
                self.network,
                self.inputs,
                self.labels,
                described.chip,
                times=described.times,
                variants=described.variants,
                levels=described.levels,
                read=described.read,
                refresh=described.refresh,
                calibration=x,
                ranges=self.ranges(described.chip),
                share=self.arithmetic == "int8",
                powers=self.row_powers(described.chip),
                **self._options,
            )
        return self._plans[group]

    def _plan(self, group: int) -> Compiled:
        plan = self.compiled(group)
        if group not in self._workspaces:
            # Neighbouring blocks use the same group; the arrays of the others are let go.
            self._workspaces.clear()
            self._workspaces[group] = plan.scratch(self.threads)
        return plan

    @cached_property
    def digital_logits(self) -> np.ndarray:
        """The digital network's logits; by the kernels where plain NumPy would take long."""
        if self.products_per_input * len(self.labels) < _LONG:
            return self.network.forward(self.inputs)
        digital = Chip(device=ideal_device(), layers={"*": LayerChip(analog=False)})
        return self._logits(digital, self.inputs, self.labels)

    def _check_supplied(self, chips: int) -> None:
        """Refuse to read latents of chips for which the caller supplied none."""
        for (layer, name), given in (self.latents or {}).items():
            if len(given) < chips:
                raise UserError(
                    f"latents of layer {layer!r}, {name!r}, are supplied for {len(given)} chips, "
                    f"{chips} are asked for"
                )

    def _logits(self, chip: Chip, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        plan = compile_plan(self.network, x, y, chip)
        ranks = np.empty((1, 1, 1, len(x)), np.uint8)
        logits = np.empty((*ranks.shape, self.network.classes), np.float32)
        sums, clipped = np.zeros((1, 1, 1), np.uint64), np.zeros((1, 1, 1, len(plan.layers), 2), np.int64)
        shared, cycles = np.zeros((1, 1), np.uint8), np.zeros((1, len(plan.layers), 2), np.int64)
        numbers = np.arange(1)
        plan.run(plan.scratch(1), 0, numbers, 1, ranks, sums, clipped, shared, cycles, logits)
        return logits[0, 0, 0]

    def _outcomes_of(self, logits: np.ndarray) -> np.ndarray:
        own = np.take_along_axis(logits, self.labels[:, None], axis=1)
        classes = np.arange(logits.shape[1])
        above = (logits > own) | ((logits == own) & (classes < self.labels[:, None]))
        # As the kernels do: ranks are bytes, and a high one must not wrap round to a right answer.
        ranks = np.minimum(above.sum(axis=1), 255).astype(np.uint8)
        return self.metric.outcomes(ranks, logits, self.labels)

    def _rows(
        self,
        condition: dict[str, Any],
        block: Block,
        here: tuple,
        chips: int,
        own_class: int | None,
        group: int,
    ) -> pd.DataFrame:
        bits, scores = block.bits[here], block.scores[here]
        inputs = len(self.labels)
        if own_class is not None:
            mask = self.labels == own_class
            right = self._unpacked(bits)[:, mask]
            bits, scores, inputs = np.packbits(right, axis=-1), right.mean(axis=-1), int(mask.sum())
        columns: dict[str, Any] = dict(condition)
        columns.setdefault("read_noise", self.sweep.groups[group].chip.read_noise)
        columns |= {"chip": np.arange(chips), "inputs": np.full(chips, inputs)}
        if bits.shape[-1]:
            columns["correct"] = np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
            columns["accuracy"] = columns["correct"] / inputs
        else:
            columns["accuracy"] = scores
        for i, name in enumerate(("dac_clipped", "adc_clipped")):
            if self._converts[i]:
                conversions = self.compiled(group).conversions[:, i].sum()
                columns[name] = block.clipped[here].sum(axis=1)[:, i] / max(conversions, 1)
        if self._verifies:
            taken, whole = block.cycles.sum(axis=1).T
            columns["write_cycles"] = taken
            columns["nwc"] = taken / np.maximum(whole, 1)
        columns["first_layer"] = np.where(block.shared[:, here[1]] > 0, "int8", "float32")
        columns["checksum"] = block.checksums[here]
        if bits.shape[-1]:
            columns["correct_bits"] = [row.tobytes() for row in bits]
        return pd.DataFrame(columns, index=range(chips))

    def _attributes(self) -> dict[str, Any]:
        fields = list(self.sweep.fields) + (["class"] if self.metric.by_class else [])
        attributes: dict[str, Any] = {
            "conditions": fields,
            "metric": self.metric.name,
            "seed": self.seed,
            "network": self.network.name,
            "dataset": self.dataset.name,
        }
        if self.reference.dtype == bool:
            attributes["reference_bits"] = _base64(self.reference)
        if self.metric.by_class:
            attributes["reference_bits"] = {
                str(c): _base64(self.reference[self.labels == c]) for c in np.unique(self.labels)
            }
        return attributes


def _with_any_adc(tile: Tile) -> Tile:
    return tile if tile.adc is None else replace(tile, adc=replace(tile.adc, bits=8))


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _largest_difference(logits: np.ndarray, digital: np.ndarray) -> float:
    return float(np.abs(logits - digital).max() / max(np.abs(digital).max(), 1e-30))


def _base64(outcomes: np.ndarray) -> str:
    return base64.b64encode(np.packbits(outcomes).tobytes()).decode()
