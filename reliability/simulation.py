"""One sweep, ready to simulate any range of chips: from the description to blocks of trials."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from reliability.block import Block, unpacked
from reliability.by_design import ByDesign
from reliability.calibration import Ranges
from reliability.calibrator import Calibrator
from reliability.cell_records import EFFECT_KERNELS, effect_kernels
from reliability.checks import check_kind
from reliability.chip import Chip
from reliability.compensation import is_adapted
from reliability.conditions import Sweep, expand, join_levels
from reliability.cores import available_cores
from reliability.crossbar import chip_network, crossbars_of
from reliability.datasets import Dataset, as_dataset, check_labels
from reliability.errors import UserError
from reliability.kernels.adapt import run_adapted_worker
from reliability.kernels.engine import run_worker
from reliability.kernels.intrinsics import HAS_DOT
from reliability.latents import Role, Seeds, Supplied, check_chips, check_seeds, check_supplied
from reliability.logits import digital_logits
from reliability.metrics import Metric, as_metric, ranks_of
from reliability.network import Network
from reliability.plan import Compiled, compile_plan
from reliability.settings import whole
from reliability.training_inputs import Calibration, check_calibration

# Weights of all variants of a chip that a thread keeps (256 MiB).
_MOST_WEIGHTS = 1 << 26

Arithmetic = Literal["auto", "int8", "float32"]


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
        check_kind("network", network, Network)
        check_kind("chip", chip, Chip)
        check_calibration(calibration)
        self.network, self.chip = network, chip
        self.dataset = as_dataset("inputs", dataset)
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
        self.calibrator = Calibrator(network, self.inputs, calibration)
        if arithmetic not in get_args(Arithmetic):
            raise UserError(f'arithmetic = {arithmetic!r} must be "auto", "int8" or "float32"')
        self.arithmetic: Arithmetic = arithmetic
        if arithmetic == "auto":
            self.arithmetic = "int8" if HAS_DOT else "float32"
        check_supplied(latents or {})
        check_seeds(seeds or {}, network)
        self.role: Role = role
        self._options: dict[str, Any] = {
            "seed": self.seed,
            "role": role,
            "supplied": latents,
            "seeds": seeds,
        }
        self._plans: dict[int, Compiled] = {}
        self._cycles: ByDesign[dict[int, np.ndarray]] = ByDesign()
        self._workspaces: dict[int, Any] = {}
        self._workspaces_in_use = threading.Lock()
        if self.metric.score is not None:
            # A user's own metric that fails does so here, on the digital network.
            _ = self.reference

    @cached_property
    def reference(self) -> np.ndarray:
        """The metric of the digital network, one value an input."""
        ranks = ranks_of(self.digital_logits, self.labels)
        return self.metric.outcomes(ranks, self.digital_logits, self.labels)

    @cached_property
    def digital_logits(self) -> np.ndarray:
        """The digital network's logits."""
        return digital_logits(self.network, self.inputs, self.labels)

    @property
    def block_chips(self) -> int:
        """Chips of a block: a power of two from 4 to 256 that keeps it short and its arrays small."""
        per_chip = max(len(g.times) * len(g.variants) for g in self.sweep.groups) * len(self.labels)
        work = 2 * self.network.products_per_input * per_chip
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

    def block(self, group: int, first: int, count: int) -> Block:
        """Simulate chips ``first`` to ``first + count - 1`` under the conditions of one group."""
        check_chips(self.latents or {}, first + count)
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
        return unpacked(self.observe(first, count, group).bits, len(self.labels))

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
        known = self._cycles.get(self.sweep.groups[group].chip.verified_whole(), dict)
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
        return other

    def _unplanned(self) -> Simulation:
        """A copy without plans and workspaces."""
        other = copy.copy(self)
        other._plans, other._workspaces, other._workspaces_in_use = {}, {}, threading.Lock()
        other._cycles = ByDesign()
        return other

    def ranges(self, chip: Chip) -> dict[str, Ranges]:
        """Converter ranges of a chip's layers, calibrated on training inputs where it says so."""
        return self.calibrator.ranges(chip)

    @property
    def converter_ranges(self) -> list[dict[str, Any]]:
        """Ranges of the converters of each group's layers, as plain tables; empty where there are none."""
        found = [self.ranges(group.chip) for group in self.sweep.groups]
        return [{name: asdict(own) for name, own in ranges.items()} for ranges in found if ranges]

    def compiled(self, group: int) -> Compiled:
        """What the kernels simulate for one group of conditions."""
        if group not in self._plans:
            described = self.sweep.groups[group]
            if described.refresh and self.latents:
                raise UserError("latents are supplied for one programming: set chip.refresh_s to inf")
            x = None
            if any(is_adapted(variant) for variant in described.variants):
                x = self.calibrator.fitting_inputs(described.chip)
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
                powers=self.calibrator.row_powers(described.chip),
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
