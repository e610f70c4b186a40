"""Digital ends fitted to calibration inputs, chip by chip: what the kernels are told about them.

The mean and the spread that a layer's outputs have on one chip at one time differ from those of the digital
network. Both are measured on training inputs, which go through that chip layer by layer, and put right in the
factor and the offset that each channel has anyway, or in the batch norm behind it (AdaBS: Joshi et al. 2020,
Nat. Commun. 11:2473).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reliability.kernels import layout
from reliability.kernels.adapt import run_adapted_chips
from reliability.kernels.simd import VECTOR
from reliability.lowering import Graph

if TYPE_CHECKING:
    from reliability.plan import Compiled

# Arrays of a workspace that programming and reading devices needs, and variances, which are borrowed.
_OF_DEVICES: tuple[str, ...] = (
    "variance",
    "state",
    "cells",
    "gains",
    "stuck",
    "field",
    "before",
    "traps",
    "conductances",
)
_OF_DEVICES += ("spreads", "tile", "wiring")


@dataclass(frozen=True, eq=False)
class Adapted:
    """A plan of the calibration inputs, and how the digital ends of its operations are fitted.

    Attributes
    ----------
    plan : Compiled
    arrays : layout.Adaptation
    """

    plan: Compiled
    arrays: layout.Adaptation

    def workspaces(self, workers: int) -> layout.Workspace:
        """Scratch arrays, one row a worker, without those of devices and weights."""
        channels = int(self.plan.arrays.buffers["channels"].max())
        sizes = self.plan.sizes | dict.fromkeys(_OF_DEVICES, 1)
        sizes |= {"moments": 2 * len(self.arrays.gains), "lane_sums": channels * VECTOR}
        return replace(self.plan, sizes=sizes).workspaces(workers)

    def run(self, plan: Compiled, scratch: tuple[layout.Workspace, layout.Workspace], *chips) -> None:
        """Simulate chips of a plan; further arguments as :func:`reliability.kernels.engine.run_chips`."""
        workspaces, own = scratch
        run_adapted_chips(
            plan.arrays, workspaces, self.plan.arrays, own, self.arrays, *chips, prepare=plan.prepare
        )


def adapted(
    own: Compiled, graph: Graph, digital: tuple[Compiled, Compiled], biases: Mapping[str, np.ndarray]
) -> Adapted:
    """How a chip's digital ends are fitted to what the digital network does with calibration inputs.

    Parameters
    ----------
    own : Compiled
        The chip's plan of the calibration inputs.
    graph : Graph
        Its operations, stopped before each digital end.
    digital : (Compiled, Compiled)
        Plans of any one input and of the calibration inputs on a chip of digital layers.
    biases : mapping of str to ndarray
        Of layers whose devices hold them: the digital network's sums are without.
    """
    size = sum(len(scale) for scale in graph.scales) - graph.skipped
    means, variances = _measured(digital, _arrays_of(graph, np.zeros((2, size))))
    for end in graph.ends:
        if end.layer is not None and end.layer in biases:
            at = end.at - graph.skipped
            means[at : at + len(end.bias)] += biases[end.layer]
    return Adapted(own, _arrays_of(graph, np.stack([means, np.sqrt(variances)])))


def _measured(digital: tuple[Compiled, Compiled], arrays: layout.Adaptation) -> np.ndarray:
    """Means and variances of the digital network's sums, one a coefficient."""
    plan, found = digital[0], Adapted(digital[1], arrays)
    measured = np.array([layout.MEASURED], np.int64)
    plan = replace(plan, arrays=plan.arrays._replace(adapted=measured), adaptation=found)
    scratch = plan.scratch(1)
    shape = (1, 1, 1)
    observed = (
        np.zeros((*shape, 1), np.uint8),
        np.zeros(shape, np.uint64),
        np.zeros((*shape, len(plan.layers), 2), np.int64),
        np.zeros((1, 1), np.uint8),
        np.zeros((1, len(plan.layers), 2), np.int64),
        np.empty((1, 1, 0, 0, 0), np.float32),
    )
    plan.run(scratch, 0, np.zeros(1, np.int64), 1, *observed)
    size = len(arrays.gains)
    return scratch[1].moments[0, : 2 * size].reshape(2, size).copy()


def _arrays_of(graph: Graph, wanted: np.ndarray) -> layout.Adaptation:
    """The kernels' view of a graph's digital ends, with the means and spreads that are wanted of them."""
    measured, normed = (np.zeros(len(graph.operations), np.int64) for _ in range(2))
    held = np.full(len(graph.operations), -1, np.int64)
    gains, offsets, epsilons = np.zeros((3, wanted.shape[1]))
    wanted = wanted.copy()
    for end in graph.ends:
        measured[end.operation] = 1
        at = end.at - graph.skipped
        here = slice(at, at + len(end.factors))
        # Sums are measured before their columns' factors. A column of zeros has none.
        factors = np.where(end.factors > 0, end.factors, 1)
        wanted[:, here] /= factors
        if end.layer is not None:
            held[end.operation] = graph.layer_names.index(end.layer)
        if end.norm is not None:
            normed[end.operation] = 1
            factor, offset = end.after
            gains[here] = end.norm.scale * factor
            offsets[here] = end.norm.shift * factor + offset
            epsilons[here] = end.norm.epsilon / factors**2
    return layout.Adaptation(measured, held, normed, graph.skipped, gains, offsets, epsilons, *wanted)
