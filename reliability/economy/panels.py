"""Samples of inputs, each seen by chips of its own."""

from __future__ import annotations

import math

import numpy as np

from reliability.analytic import AnalyticNetwork
from reliability.economy.subject import MOST_CHIPS
from reliability.simulation import Simulation
from reliability.statistics.controlled import (
    Controlled,
    controlled_mean,
    inclusion_probabilities,
    systematic_sample,
)
from reliability.surrogate import Surrogate

PANELS = 32
"""Independent samples of inputs, each seen by chips of its own."""

# Chips realised, but not evaluated, for one that is evaluated, where the surrogate's mean is not known.
_REALISED = 4
# Smallest standard deviation of an outcome that an input is given when it is sampled.
_FLOOR = 0.02


class Panels:
    """Samples of inputs, each seen by chips of its own, and what they show.

    Parameters
    ----------
    analytic : AnalyticNetwork
    surrogate : Surrogate
    simulation : Simulation
        Of fresh chips on all inputs.
    each : int
        Inputs of a sample.
    seed : int
        Of the samples and the chips.
    """

    def __init__(
        self, analytic: AnalyticNetwork, surrogate: Surrogate, simulation: Simulation, each: int, seed: int
    ) -> None:
        self.analytic, self.surrogate, self.simulation, self.seed = analytic, surrogate, simulation, seed
        right = analytic.right
        doubt = np.maximum(np.sqrt(right * (1 - right)), _FLOOR)
        self.probabilities = inclusion_probabilities(doubt, each)
        self.panels = [
            systematic_sample(self.probabilities, np.random.default_rng([seed, panel]))
            for panel in range(PANELS)
        ]
        self.simulations = [simulation.subset(panel) for panel in self.panels]
        # Where each input stands among the uncertain ones, or -1.
        self.place = np.full(len(right), -1)
        self.place[surrogate.inputs] = np.arange(len(surrogate.inputs))
        self.residuals: list[list[np.ndarray]] = [[] for _ in range(PANELS)]
        self.controls: list[list[np.ndarray]] = [[] for _ in range(PANELS)]
        self.beside: list[np.ndarray] = []
        self.chips = 0

    @property
    def realised(self) -> int:
        """Chips that were realised and not evaluated."""
        return sum(len(part) for part in self.beside)

    def add(self, per_panel: int) -> None:
        """Evaluate so many further chips on each panel."""
        first, count = self.chips, per_panel * PANELS
        coordinates = self.surrogate.coordinates(first, count, seed=self.seed, role="certify")
        told = self.surrogate.accuracies(coordinates)
        if not self.surrogate.is_normal:
            # Chips far from those that are evaluated tell the surrogate's mean.
            more, at = _REALISED * count, MOST_CHIPS + self.realised
            beside = self.surrogate.coordinates(at, more, seed=self.seed, role="certify")
            self.beside.append(self.surrogate.accuracies(beside))
        for k, panel in enumerate(self.panels):
            own = slice(k * per_panel, (k + 1) * per_panel)
            right = self.simulations[k].outcomes(first + own.start, per_panel)[:, 0, 0]
            expected = np.tile(self.analytic.right[panel], (per_panel, 1))
            doubtful = self.place[panel] >= 0
            places = self.place[panel[doubtful]]
            expected[:, doubtful] = 1 - self.surrogate.losses(coordinates[own], places)
            weight = 1 / (self.probabilities[panel] * len(self.place))
            self.residuals[k].append((right - expected) @ weight)
            self.controls[k].append(told[own])
        self.chips += count

    def estimate(self, level: float) -> Controlled:
        """The mean accuracy so far, over panels."""
        residuals = np.array([np.concatenate(own).mean() for own in self.residuals])
        controls = np.array([np.concatenate(own).mean() for own in self.controls])
        centre, error = self.surrogate.mean, 0.0
        if self.beside:
            beside = np.concatenate(self.beside)
            centre, error = float(beside.mean()), float(beside.std(ddof=1)) / math.sqrt(len(beside))
        # A panel's chips are off by its residual, and the surrogate by what is known of its mean.
        return controlled_mean(residuals + controls, controls - centre, known_error=error, level=level)
