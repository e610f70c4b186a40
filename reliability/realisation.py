"""The weights that one chip really has."""

from __future__ import annotations

import numpy as np

from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.effects import resolved
from reliability.kernels.cells import realise
from reliability.kernels.layout import Workspace
from reliability.latents import Role
from reliability.network import Network
from reliability.plan import compile_plan
from reliability.settings import whole


def chip_weights(
    network: Network,
    chip: Chip,
    *,
    number: int = 0,
    time_s: float = 0.0,
    inputs: int = 1,
    seed: int = 0,
    role: Role = "certify",
) -> dict[str, np.ndarray]:
    """The weights that a chip's devices hold at one time, by layer.

    What the crossbars multiply by, without the converters and what single reads redraw: slices added up by
    their significance, references subtracted, wires included, before any compensation.

    Parameters
    ----------
    network, chip
    number : int
        Of the chip.
    time_s : float
        Since the reference read, seconds.
    inputs : int
        Of the evaluation, on which it depends how much of telegraph noise is frozen.
    seed, role
        As in :func:`reliability.simulate`.

    Returns
    -------
    dict of str to ndarray of float32, shape (columns, rows)
        Rows in the order (y, x, channel), the bias last where devices hold it. Digital layers are left out.
    """
    whole("number", number, 0, 2**31)
    chip = resolved(chip)
    x = np.zeros((inputs, *network.input_shape), np.float32)
    labels = np.zeros(inputs, np.int64)
    plan = compile_plan(network, x, labels, chip, times=(time_s,), seed=seed, role=role)
    work = Workspace(*(array[0] for array in plan.workspaces(1)))
    found = {}
    for index, crossbar in enumerate(crossbars_of(chip_network(network, chip), chip).values()):
        if not crossbar.settings.analog:
            continue
        realise(plan.arrays, work, index, 0, True, False, False, number)
        layer, mapped = plan.arrays.layers[index], crossbar.mapped
        slices = work.weights[layer["weights_at"] :][: layer["slices"] * layer["slice_step"]]
        slices = slices.reshape(layer["slices"], -1)[:, : layer["lines"] * layer["rows"]]
        lines = np.tensordot(mapped.significance.astype(np.float32), slices, 1)
        by_group = lines.reshape(layer["groups"], -1, layer["rows"])
        own = by_group.shape[1] - mapped.references
        weights = by_group[:, :own].copy()
        if mapped.references:
            weights -= by_group[:, own + np.arange(own) // mapped.tile_columns]
        found[crossbar.name] = weights.reshape(crossbar.matrix.shape)
    return found
