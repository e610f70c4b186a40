"""The weights that one chip really has."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.kernels.cells import realise
from reliability.kernels.layout import Workspace
from reliability.kernels.realised import realise_chips
from reliability.latents import Role
from reliability.moments import check_mean
from reliability.network import Network
from reliability.plan import compile_plan
from reliability.refresh import programming_at
from reliability.settings import whole

_ONE_FACTOR = ("none", "global", "exact")


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
    their significance, references subtracted, columns multiplied by their digital factors, wires included,
    before any compensation; digital corrections of a repair are added.

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
    chip, time_s, refresh = programming_at(resolved(chip), time_s)
    x = np.zeros((inputs, *network.input_shape), np.float32)
    labels = np.zeros(inputs, np.int64)
    plan = compile_plan(network, x, labels, chip, times=(time_s,), seed=seed, role=role, refresh=refresh)
    work = Workspace(*(array[0] for array in plan.workspaces(1)))
    if plan.prepare is not None:
        plan.prepare(number, work)
    found = {}
    for index, crossbar in enumerate(crossbars_of(chip_network(network, chip), chip).values()):
        if not crossbar.settings.analog:
            continue
        check_mean(crossbar)
        realise(plan.arrays, work, index, 0, True, False, False, number, number)
        layer, mapped = plan.arrays.layers[index], crossbar.mapped
        slices = work.weights[layer["weights_at"] :][: layer["slices"] * layer["slice_step"]]
        slices = slices.reshape(layer["slices"], -1)[:, : layer["lines"] * layer["rows"]]
        lines = np.tensordot(crossbar.read_significance.astype(np.float32), slices, 1)
        by_group = lines.reshape(layer["groups"], -1, layer["rows"])
        own = by_group.shape[1] - mapped.references
        weights = by_group[:, :own].copy()
        if mapped.references:
            weights -= by_group[:, own + np.arange(own) // mapped.tile_columns]
        weights = weights.reshape(crossbar.matrix.shape) * mapped.factors[:, None].astype(np.float32)
        if layer["words_at"] >= 0:
            words = work.words[layer["words_at"] :][: crossbar.matrix.size]
            weights += words.reshape(crossbar.matrix.shape)
        found[crossbar.name] = weights
    return found


class RealisedWeights:
    """The weights of many chips at one time, drift compensation included, as sums along given directions.

    Parameters
    ----------
    network : Network
    chip : Chip
    time_s : float
    inputs : int
        Of the evaluation; see :func:`chip_weights`.
    seed, role
        As in :func:`reliability.simulate`.
    threads : int

    Raises
    ------
    UserError
        If the chip's compensation is more than one factor a layer.
    """

    _BATCH = 64

    def __init__(
        self,
        network: Network,
        chip: Chip,
        *,
        time_s: float = 0.0,
        inputs: int = 1,
        seed: int = 0,
        role: Role = "certify",
        threads: int = 1,
    ) -> None:
        chip, time_s, refresh = programming_at(resolved(chip), time_s)
        if chip.compensation not in _ONE_FACTOR:
            raise UserError(
                f'compensation "{chip.compensation}" is no factor of a whole layer: sums of weights know '
                f"only {', '.join(_ONE_FACTOR)}"
            )
        x, labels = np.zeros((inputs, *network.input_shape), np.float32), np.zeros(inputs, np.int64)
        variants = (chip.compensation,)
        self.plan = compile_plan(
            network,
            x,
            labels,
            chip,
            times=(time_s,),
            variants=variants,
            seed=seed,
            role=role,
            refresh=refresh,
        )
        self.crossbars = crossbars_of(chip_network(network, chip), chip)
        self.threads = threads

    def along(self, directions: Mapping[str, np.ndarray], first: int, count: int) -> np.ndarray:
        """Sums of the weights of neighbouring chips, each weight times its part of a direction.

        Parameters
        ----------
        directions : mapping of str to ndarray, shape (directions, columns, rows)
            By layer; the bias last where devices hold it.
        first, count : int
            Chips ``first`` to ``first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, directions)
        """
        lines = self._of_lines(directions)
        work = self.plan.workspaces(self.threads)
        free = list(range(self.threads))

        def batch(at: int) -> np.ndarray:
            worker = free.pop()
            weights = np.zeros((min(self._BATCH, first + count - at), len(lines)), np.float32)
            self._realise(at, weights, Workspace(*(array[worker] for array in work)))
            free.append(worker)
            return weights @ lines

        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(batch, range(first, first + count, self._BATCH)))
        return np.concatenate(found).astype(np.float64)

    def _realise(self, first: int, weights: np.ndarray, work: Workspace) -> None:
        """Weights of neighbouring chips, (chips, held)."""
        if self.plan.prepare is None:
            realise_chips(self.plan.arrays, work, first, weights)
            return
        for i in range(len(weights)):
            self.plan.prepare(first + i, work)
            realise_chips(self.plan.arrays, work, first + i, weights[i : i + 1])

    def _of_lines(self, directions: Mapping[str, np.ndarray]) -> np.ndarray:
        """The directions in terms of what slices and lines hold, references included: (held, directions)."""
        count = len(next(iter(directions.values())))
        layers = self.plan.arrays.layers
        held = np.zeros((count, int((layers["slices"] * layers["slice_step"]).sum())), np.float32)
        for record, name in zip(layers, self.plan.layers, strict=True):
            if name not in directions:
                continue
            crossbar = self.crossbars[name]
            mapped, groups = crossbar.mapped, crossbar.window.groups
            own = directions[name] * mapped.factors[:, None]
            own = own.reshape(count, groups, -1, record["rows"])
            each = own.shape[2]
            lines = np.zeros((count, groups, each + mapped.references, record["rows"]), np.float32)
            lines[:, :, :each] = own
            for k in range(mapped.references):
                columns = slice(k * mapped.tile_columns, (k + 1) * mapped.tile_columns)
                lines[:, :, each + k] = -own[:, :, columns].sum(axis=2)
            flat = lines.reshape(count, -1)
            for s, significance in enumerate(crossbar.read_significance):
                at = record["weights_at"] + s * record["slice_step"]
                held[:, at : at + flat.shape[1]] = flat * significance
        return np.ascontiguousarray(held.T)
