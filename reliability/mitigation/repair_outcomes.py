"""What repairs come to on given chips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reliability.chip import Chip
from reliability.effects import resolved
from reliability.kernels.layout import Workspace
from reliability.latents import Role
from reliability.mitigation.repair_counts import repaired_crossbars
from reliability.network import Network
from reliability.plan import compile_plan
from reliability.settings import whole


def repair_outcomes(
    network: Network,
    chip: Chip,
    *,
    chips: int,
    first_chip: int = 0,
    seed: int = 0,
    role: Role = "certify",
    powers: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """What the repair comes to on given chips, without any input.

    Parameters
    ----------
    network, chip
    chips, first_chip : int
        Chips ``first_chip`` to ``first_chip + chips - 1``.
    seed, role
        As in :func:`reliability.simulate`.
    powers : mapping of str to ndarray, optional
        From :func:`reliability.calibration.input_powers`, where errors are weighed by the inputs.

    Returns
    -------
    DataFrame
        One row a chip and repaired layer: ``chip``, ``layer``, ``weights``, ``faulty`` (weights with a broken
        cell), ``before`` and ``after`` (sum of squared errors of the weights, in units of weight**2, times
        the mean squares of their inputs where these count), ``words`` stored, ``operations`` (multiply-adds
        with them of one input), ``moved_rows`` and ``moved_columns`` (in spare places).
    """
    whole("chips", chips, 1, 2**31)
    whole("first_chip", first_chip, 0, 2**31)
    chip = resolved(chip)
    x, labels = np.zeros((1, *network.input_shape), np.float32), np.zeros(1, np.int64)
    plan = compile_plan(network, x, labels, chip, seed=seed, role=role, powers=powers)
    crossbars = {crossbar.name: crossbar for crossbar in repaired_crossbars(network, chip)}
    if plan.maps is None:
        return pd.DataFrame()
    work = Workspace(*(array[0] for array in plan.workspaces(1)))
    rows = []
    for number in range(first_chip, first_chip + chips):
        for name, found in plan.maps.outcomes(number, work).items():
            rows.append(
                {
                    "chip": number,
                    "layer": name,
                    "weights": crossbars[name].matrix.size,
                    "faulty": found.faulty,
                    "before": found.before,
                    "after": found.after,
                    "words": found.words,
                    "operations": found.words * crossbars[name].places,
                    "moved_rows": found.moved_rows,
                    "moved_columns": found.moved_columns,
                }
            )
    return pd.DataFrame(rows)
