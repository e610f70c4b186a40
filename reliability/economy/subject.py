"""What is estimated: a network, inputs and a chip, with their analytic network and its surrogate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.network import Network
from reliability.surrogate import Surrogate, uncertain_inputs
from reliability.training_inputs import Calibration

MOST_CHIPS = 1 << 20
"""Chips that an estimate may realise."""

# The fewest inputs that some chips get right and others wrong.
_DOUBTFUL = 10


def prepared(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    time_s: float,
    calibration: Calibration | Callable[[], Dataset] | None,
    threads: int | None,
    surrogate: Surrogate | None,
) -> tuple[AnalyticNetwork, Surrogate]:
    """The analytic network and its surrogate, checked."""
    analytic = AnalyticNetwork(network, inputs, chip, time_s=time_s, calibration=calibration, threads=threads)
    if surrogate is not None and surrogate.analytic.fingerprint() != analytic.fingerprint():
        raise UserError(
            "the surrogate is that of another network, chip, time, calibration or other inputs: make one of "
            "these, Surrogate(AnalyticNetwork(...))"
        )
    if surrogate is None:
        uncertain = len(uncertain_inputs(analytic.right))
        if uncertain < _DOUBTFUL:
            raise UserError(
                f"on chips like these {uncertain} of {len(analytic.right)} inputs are uncertain, too few to "
                f"save evaluations on, {_DOUBTFUL} are needed: simulate all chips on all inputs"
            )
        surrogate = Surrogate(analytic)
    analytic = surrogate.analytic
    for name, own in analytic.layers.items():
        telegraph, places = own.crossbar.settings.telegraph, own.crossbar.places
        assert telegraph is not None
        shares = {telegraph.frozen_share(n * places) for n in (1, len(analytic.labels))}
        if telegraph.is_on and shares not in ({0.0}, {1.0}):
            raise UserError(
                f"layer {name!r} has telegraph noise that is partly frozen, so that what a chip is depends "
                f"on how many inputs it is evaluated on; simulate all of them"
            )
    return analytic, surrogate
