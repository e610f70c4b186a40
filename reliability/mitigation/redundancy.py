"""Redundancy: several devices a weight, averaged; of whole layers or of the most sensitive columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip, Slices
from reliability.chip import Mapping as ChipMapping
from reliability.crossbar import chip_network, crossbars_of
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import by_name, changed
from reliability.mitigation.tuning import Found
from reliability.network import Network


@dataclass(frozen=True)
class Redundancy(Cure):
    """Each weight of some columns stands on ``count`` cells or pairs, whose mean counts.

    Independent errors fall with the root of ``count``; what all copies share, such as the bias of devices
    that are cut at zero, stays. Simulated as equal ``mapping.slices``: ``count`` times the cells and write
    cycles of the columns that are copied.

    Parameters
    ----------
    count : int
    columns : float or tuple of int
        A share of a layer's columns, those of largest norm, or their numbers.
    one_array : bool
        Whether the copies stand in one array, where their currents add up before one conversion. Otherwise
        each stands in an array of its own, and they are averaged digitally: ``count`` times the conversions
        and digital sums too, of which each has its own rounding.
    """

    count: int = 2
    columns: float | tuple[int, ...] = 1.0
    one_array: bool = False

    def __post_init__(self) -> None:
        _ = self._slices

    @property
    def _slices(self) -> Slices:
        combine: Literal["mean", "current"] = "current" if self.one_array else "mean"
        return Slices(count=self.count, columns=self.columns, combine=combine)

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """The chip with copies on the named layers, all by default.

        Raises
        ------
        UserError
            If a layer's weights are cut into slices of another kind, or some columns alone are to be copied
            in one array.
        """
        return in_copies(chip, self._slices, layers)

    def describe(self) -> str:
        """What is copied."""
        which = "all columns"
        if isinstance(self.columns, tuple):
            which = f"{len(self.columns)} columns"
        elif self.columns < 1:
            which = f"{self.columns:.0%} of the columns"
        where = " in one array" if self.one_array else ""
        return f"{self.count} copies of {which}{where}"


def in_copies(chip: Chip, slices: Slices, layers: Sequence[str] | None) -> Chip:
    """The chip with weights of the named layers, all by default, in these equal slices.

    Raises
    ------
    UserError
        If a layer's weights are cut into slices that copies would have to be of.
    """
    return changed(chip, "mapping", lambda own: replace(_uncut(own), slices=slices), layers)


def _uncut(mapping: ChipMapping) -> ChipMapping:
    slices = mapping.slices
    if slices.count > 1 and (slices.fill != "equal" or slices.base != 1):
        raise UserError(
            f"mapping.slices.fill = {slices.fill!r} with base {slices.base:g} cuts weights into "
            f"{slices.count} slices: copies are made only of weights that stand in one array"
        )
    return mapping


def copies(chip: Chip, count: int, columns: Mapping[str, Sequence[int]]) -> Chip:
    """The chip with ``count`` copies of the given columns of the named layers, and of no others there."""
    for layer, chosen in columns.items():
        chip = Redundancy(count, tuple(int(c) for c in chosen)).apply(chip, [layer])
    return chip


def column_gains(
    network: Network,
    inputs: Dataset,
    chip: Chip,
    *,
    time_s: float = 0.0,
    threads: int | None = None,
    calibration: Dataset | None = None,
) -> dict[str, np.ndarray]:
    """What the errors of each column cost at the margin: -d accuracy / d ln variance of its weights.

    Parameters
    ----------
    network : Network
    inputs : Dataset
        Training inputs.
    chip : Chip
    time_s : float
    threads : int, optional
    calibration : Dataset, optional
        Training inputs from which converters take their ranges, where these are others.

    Returns
    -------
    dict of str to ndarray of float64, shape (columns,)
        By analog layer. Two copies gain half of it, to first order.

    Raises
    ------
    UserError
        If the analytic network does not know the chip.
    """
    ranging = inputs if calibration is None else calibration
    analytic = AnalyticNetwork(network, inputs, chip, time_s=time_s, calibration=ranging, threads=threads)
    found = {}
    for name, own in analytic.layers.items():
        if not own.crossbar.settings.analog:
            continue
        slopes = analytic.slopes[name]
        cost = (own.variance * slopes.variance).sum(axis=1) + own.bias_variance * slopes.bias_variance
        found[name] = -cost
    return found


def find_redundancy(
    network: Network,
    inputs: Dataset,
    chip: Chip,
    *,
    count: int = 2,
    share: float = 0.25,
    of: Literal["columns", "layers"] = "columns",
    gains: Mapping[str, np.ndarray] | None = None,
    time_s: float = 0.0,
    threads: int | None = None,
    calibration: Dataset | None = None,
) -> Found:
    """Copies where they gain most for each cell: of columns of all layers, or of whole layers.

    Parameters
    ----------
    network, inputs, chip, time_s, threads, calibration
        As of :func:`column_gains`.
    count : int
        Copies of what is chosen.
    share : float
        Of the chip's cells that may be chosen to be copied, above 0 and at most 1; the one that gains most is
        copied in any case.
    of : {"columns", "layers"}
    gains : mapping of str to ndarray, optional
        From :func:`column_gains`, where they are known.

    Returns
    -------
    Found
        Its table has one row a column, or layer, in the order of what it gains for each cell: ``layer``,
        ``column``, ``cells``, ``value`` (-d accuracy / d ln variance), ``low``, ``high``, ``level``,
        ``method``, ``varies``, ``chosen``.

    Raises
    ------
    UserError
        If the analytic network does not know the chip, or weights cannot be copied.
    """
    if not 0 < share <= 1:
        raise UserError(f"share = {share!r} must be a number above 0 and at most 1")
    chip = by_name(chip, network)
    if gains is None:
        gains = column_gains(network, inputs, chip, time_s=time_s, threads=threads, calibration=calibration)
    table = _ranked(network, chip, gains, of)
    # The most sensitive one is copied even where it is larger than the share.
    table["chosen"] = (table["cells"].cumsum() <= share * table["cells"].sum()) | (table.index == 0)
    chosen = table[table["chosen"]]
    if of == "layers":
        return Found(Redundancy(count).apply(chip, list(chosen["layer"])), table)
    columns = {str(name): sorted(own["column"]) for name, own in chosen.groupby("layer", sort=False)}
    return Found(copies(chip, count, columns), table)


def _ranked(network: Network, chip: Chip, gains: Mapping[str, np.ndarray], of: str) -> pd.DataFrame:
    crossbars = crossbars_of(chip_network(network, chip), chip)
    rows = []
    for layer, own in gains.items():
        cells = crossbars[layer].devices // len(own)
        if of == "layers":
            rows.append({"layer": layer, "column": None, "cells": cells * len(own), "value": own.sum()})
        else:
            rows += [
                {"layer": layer, "column": j, "cells": cells, "value": gain} for j, gain in enumerate(own)
            ]
    table = pd.DataFrame(rows)
    for name in ("low", "high"):
        table[name] = table["value"]
    table = table.assign(level=0.95, method="analytic network", varies="nothing: computed")
    order = (table["value"] / table["cells"]).sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
