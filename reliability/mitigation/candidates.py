"""The designs of a space, with all that is known of them before any chip is simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from reliability.analysis import Setting
from reliability.chip import Chip
from reliability.crossbar import chip_network
from reliability.datasets import Dataset, as_dataset
from reliability.latents import Role
from reliability.mitigation.common_chips import CommonChips
from reliability.mitigation.cost_model import CostModel
from reliability.mitigation.costs import count_costs, relative_price, total_costs
from reliability.mitigation.expectations import Expectations
from reliability.mitigation.goal import Goal, is_steady
from reliability.mitigation.halves import cut, halves
from reliability.mitigation.space import Design, Space, layer_keys
from reliability.network import Network
from reliability.refresh import worst_times
from reliability.self_checks import check_ideal
from reliability.simulation import Simulation
from reliability.training_inputs import Calibration

PRICES: Mapping[str, float] = {"area_mm2": 1.0, "energy_j": 1.0, "program_s": 0.1}
"""Weights of the costs where nobody says otherwise."""


class Candidates:
    """Designs with their prices, their expectations and the inputs on which they are looked at.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Cut into halves, one for a search, one for its certificate, unless ``fresh_inputs`` are given.
    space : Space
    times : sequence of float
        At which chips must meet a goal, seconds.
    prices, costs, fresh_inputs, calibration, threads
        As in :func:`.recommend.recommend`.

    Attributes
    ----------
    designs : list of Design
    table : DataFrame
        One row a design: its words, the option of each knob, ``price`` and every cost.
    looks : tuple of float
        The times, and the moments just before a refresh; the first alone if no design changes with time.
    seen, fresh : Dataset
        Inputs of the search and of the certificate.
    searched_on : ndarray of bool, shape (N,), or None
        Which of the inputs are the search's half; None where the certificate has inputs of its own.
    """

    def __init__(
        self,
        network: Network,
        inputs: Dataset | tuple[Any, Any],
        space: Space,
        times: Sequence[float],
        *,
        prices: Mapping[str, float] = PRICES,
        costs: CostModel | None = None,
        fresh_inputs: Dataset | tuple[Any, Any] | None = None,
        calibration: Calibration | Callable[[], Dataset] | None = None,
        threads: int | None = None,
    ) -> None:
        self.network, self.space, self.designs = network, space, space.designs()
        self.calibration, self.threads = calibration, threads
        self.are_steady = are_steady(self.designs, network)
        self.looks = looks_at(self.designs, times, self.are_steady)
        self.table = self._priced(prices, costs, times[-1])
        whole_set = as_dataset("inputs", inputs)
        self.expectations = Expectations(
            network,
            self.designs,
            times=self.looks,
            inputs=len(whole_set),
            calibration=calibration,
            threads=threads,
        )
        # Digital, and checked to be what the chip without any effect computes.
        self.base = Simulation(network, whole_set, space.chip, threads=threads, calibration=calibration)
        check_ideal(self.base)
        self.searched_on: np.ndarray | None = None
        if fresh_inputs is None:
            self.searched_on = halves(whole_set, network, self.expectations.often(whole_set))
            self.seen, self.fresh = cut(whole_set, self.searched_on)
        else:
            self.seen = whole_set
            self.fresh = as_dataset("fresh_inputs", fresh_inputs)

    def asked_of_halves(self, goal: Goal) -> Goal:
        """The goal with one accuracy for both halves: a digital right answer more or less is luck."""
        return goal.on(self.base.reference) if self.searched_on is not None else goal

    def chips(self, goal: Goal, role: Role, seed: int) -> CommonChips:
        """Chips on the inputs of their role."""
        return CommonChips(
            self.network,
            self.seen if role == "search" else self.fresh,
            self.space.chip,
            goal,
            self.looks,
            is_steady=self.are_steady,
            seed=seed,
            role=role,
            threads=self.threads,
            calibration=self.calibration,
        )

    def hints(self, accuracy: float) -> np.ndarray | None:
        """Logarithm of the error that the analytic network expects of every design, if it does."""
        return self.expectations.log_errors(self._seen_few, accuracy) if len(self.designs) > 1 else None

    def setting(self, chip: Chip, seed: int, chips: int, time_s: float) -> Setting:
        """One design on the inputs of the search."""
        return Setting(
            self.network,
            self.seen,
            chip,
            time_s=time_s,
            chips=chips,
            seed=seed,
            threads=self.threads,
            calibration=self.calibration,
        )

    @cached_property
    def _seen_few(self) -> Dataset:
        return self.expectations.inputs_for_slopes(self.seen)

    def _priced(self, prices: Mapping[str, float], model: CostModel | None, horizon_s: float) -> pd.DataFrame:
        """Costs and price of every design; what descriptions say alike of a layer is counted once."""
        names = [node.name for node in chip_network(self.network, self.space.chip).weighted]
        known: dict[str, dict[str, Any]] = {}

        def counted(chip: Chip) -> dict[str, float]:
            keys = dict(zip(layer_keys(chip, names), names, strict=True))
            missing = {name: key for key, name in keys.items() if key not in known}
            if missing:
                found = count_costs(self.network, chip, model, horizon_s=horizon_s, layers=missing)
                known.update({missing[row["layer"]]: row for row in found.to_dict("records")})
            return total_costs(pd.DataFrame([known[key] for key in keys]))

        base, rows = counted(self.space.chip), []
        for design in self.designs:
            own = counted(design.chip)
            price = relative_price(own, base, prices)
            rows.append({"design": design.describe(), **design.labels, "price": price, **own})
        return pd.DataFrame(rows)


def are_steady(designs: Sequence[Design], network: Network) -> bool:
    """Whether no design changes with time, so that one time stands for all."""
    names = [node.name for node in network.weighted]
    return all(is_steady(design.chip, names) for design in designs)


def looks_at(designs: Sequence[Design], times: Sequence[float], steady: bool) -> tuple[float, ...]:
    """The times and the moments just before a refresh; the first time alone where designs are steady."""
    if steady:
        return tuple(times[:1])
    return tuple(sorted({t for design in designs for t in worst_times(times, design.chip.refresh_s)}))
