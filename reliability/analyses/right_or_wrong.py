"""Which inputs the chips of an analysis get right."""

from __future__ import annotations

from collections.abc import Callable

from reliability.analysis import Setting
from reliability.errors import UserError
from reliability.simulation import Simulation
from reliability.statistics.outcomes import Outcomes


def outcomes_of(
    simulation: Simulation, setting: Setting, use: str, watch: Callable[[int], object]
) -> Outcomes:
    """Outcomes of the setting's chips under the simulation's one condition.

    Parameters
    ----------
    simulation : Simulation
    setting : Setting
    use : str
        What is done with outcomes, as an error begins that says that there are none.
    watch : callable
        Is given the number of chips done.

    Raises
    ------
    UserError
        If the metric is not right or wrong on each input.
    """
    if simulation.reference.dtype != bool or simulation.metric.by_class:
        raise UserError(
            f"metric = {setting.metric!r}: {use} metrics that are right or wrong on each input, such as "
            f'"top-1"'
        )
    seen = simulation.observe(0, setting.chips, watch=watch)
    return Outcomes(seen.bits[:, 0, 0], len(simulation.labels))
