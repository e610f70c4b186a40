"""The trials table of a simulation: one row a chip and condition."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reliability.block import Block, unpacked
from reliability.simulation import Simulation
from reliability.verified import verified_crossbars


def trials_table(simulation: Simulation, blocks: Sequence[Sequence[Block]], chips: int) -> pd.DataFrame:
    """The trials table of blocks; its columns are those of :func:`reliability.simulate`.

    Parameters
    ----------
    simulation : Simulation
    blocks : sequence of sequences of Block
        In the order of chips, one sequence a group of the sweep.
    chips : int
        Of all blocks of a group together.
    """
    return _Trials(simulation, [Block.joined(own) for own in blocks], chips).table()


class _Trials:
    def __init__(self, simulation: Simulation, blocks: Sequence[Block], chips: int) -> None:
        self.simulation, self.blocks, self.chips = simulation, blocks, chips
        sweep = simulation.sweep
        ranges = [own for group in sweep.groups for own in simulation.ranges(group.chip).values()]
        # Whether any chip of the sweep has DACs, and ADCs, and verified devices.
        self.converts = any(own.inputs is not None for own in ranges), any(own.sums for own in ranges)
        self.verifies = any(verified_crossbars(simulation.network, group.chip) for group in sweep.groups)

    def table(self) -> pd.DataFrame:
        simulation = self.simulation
        by_class = simulation.metric.by_class
        classes = [int(c) for c in np.unique(simulation.labels)] if by_class else [None]
        parts = []
        for condition, place in zip(simulation.sweep.conditions, simulation.sweep.places, strict=True):
            here = (slice(None), place.time, place.variant)
            for own_class in classes:
                of_class = {} if own_class is None else {"class": own_class}
                parts.append(self._rows(condition | of_class, here, own_class, place.group))
        trials = pd.concat(parts, ignore_index=True)
        trials.attrs = self._attributes()
        if converters := self._converters():
            trials.attrs["converters"] = converters
        return trials

    def _rows(
        self, condition: dict[str, Any], here: tuple, own_class: int | None, group: int
    ) -> pd.DataFrame:
        simulation, block, chips = self.simulation, self.blocks[group], self.chips
        bits, scores = block.bits[here], block.scores[here]
        inputs = len(simulation.labels)
        if own_class is not None:
            mask = simulation.labels == own_class
            right = unpacked(bits, inputs)[:, mask]
            bits, scores, inputs = np.packbits(right, axis=-1), right.mean(axis=-1), int(mask.sum())
        columns: dict[str, Any] = dict(condition)
        columns.setdefault("read_noise", simulation.sweep.groups[group].chip.read_noise)
        columns |= {"chip": np.arange(chips), "inputs": np.full(chips, inputs)}
        if bits.shape[-1]:
            columns["correct"] = np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
            columns["accuracy"] = columns["correct"] / inputs
        else:
            columns["accuracy"] = scores
        for i, name in enumerate(("dac_clipped", "adc_clipped")):
            if self.converts[i]:
                conversions = simulation.compiled(group).conversions[:, i].sum()
                columns[name] = block.clipped[here].sum(axis=1)[:, i] / max(conversions, 1)
        if self.verifies:
            taken, whole = block.cycles.sum(axis=1).T
            columns["write_cycles"] = taken
            columns["nwc"] = taken / np.maximum(whole, 1)
        columns["first_layer"] = np.where(block.shared[:, here[1]] > 0, "int8", "float32")
        columns["checksum"] = block.checksums[here]
        if bits.shape[-1]:
            columns["correct_bits"] = [row.tobytes() for row in bits]
        return pd.DataFrame(columns, index=range(chips))

    def _converters(self) -> list[dict[str, Any]]:
        """One row a condition and layer with converters: their ranges, and the share that they clipped."""
        simulation = self.simulation
        rows = []
        for condition, place in zip(simulation.sweep.conditions, simulation.sweep.places, strict=True):
            ranges = simulation.ranges(simulation.sweep.groups[place.group].chip)
            if not ranges:
                continue
            plan = simulation.compiled(place.group)
            clipped = self.blocks[place.group].clipped[:, place.time, place.variant].mean(axis=0)
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

    def _attributes(self) -> dict[str, Any]:
        simulation = self.simulation
        by_class, reference = simulation.metric.by_class, simulation.reference
        attributes: dict[str, Any] = {
            "conditions": list(simulation.sweep.fields) + (["class"] if by_class else []),
            "metric": simulation.metric.name,
            "seed": simulation.seed,
            "network": simulation.network.name,
            "dataset": simulation.dataset.name,
        }
        if reference.dtype == bool:
            attributes["reference_bits"] = _base64(reference)
        if by_class:
            labels = simulation.labels
            attributes["reference_bits"] = {
                str(c): _base64(reference[labels == c]) for c in np.unique(labels)
            }
        return attributes


def _base64(outcomes: np.ndarray) -> str:
    return base64.b64encode(np.packbits(outcomes).tobytes()).decode()
