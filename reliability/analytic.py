"""The analytic network: the accuracy of a chip's network in closed form, with its derivatives.

Mean and covariance of every layer's activations over chips are propagated from each input to the logits
(:mod:`reliability.propagation`), for any device law by the mean and variance of its weights
(:mod:`reliability.moments`), and then to the probability that the input is classified right. The result is
deterministic and differentiable: a predictor, a surrogate for search, a measure of sensitivity and a control
variate. It is an approximation, so that it is checked against simulated chips and refused where they
disagree.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from reliability.chip import Chip
from reliability.crossbar import chip_network
from reliability.datasets import Dataset
from reliability.effects import resolved
from reliability.errors import RunError
from reliability.fingerprint import arrays_sha256, chip_files, code_sha256, law_sources, network_sha256
from reliability.kept import kept
from reliability.kernels.orthant import POINTS, probability_of_label
from reliability.network import Network
from reliability.propagation.adjoint import variance_slopes
from reliability.propagation.dense import Chain, LayerSlopes
from reliability.propagation.ensemble import MEMBERS, Ensemble
from reliability.propagation.noisy import NoisyLayer, noisy_layers
from reliability.propagation.powers import Powers
from reliability.settings import as_table, whole
from reliability.simulation import Simulation
from reliability.training_inputs import Calibration

CHECK_CHIPS = 200
"""Chips that the analytic network is compared with."""

_TOLERANCE = 0.005
_ERRORS = 3.0
# Numbers of a chunk of dense covariances.
_HELD = 1 << 24
# Derivatives by covariance below this share of an input's largest one are left out.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, eq=False)
class Check:
    """The analytic mean accuracy beside that of simulated chips, on the same inputs.

    Attributes
    ----------
    analytic : float
        Mean accuracy.
    scores : ndarray of float64, shape (chips,)
        Accuracies of simulated chips, from number 0 on, of seed 0 and role ``"search"``.
    """

    analytic: float
    scores: np.ndarray

    @property
    def chips(self) -> int:
        """Number of simulated chips."""
        return len(self.scores)

    @property
    def simulated(self) -> float:
        """Their mean accuracy."""
        return float(self.scores.mean())

    @property
    def error(self) -> float:
        """Standard error of that mean, over chips."""
        return float(self.scores.std(ddof=1)) / math.sqrt(self.chips)

    @property
    def agrees(self) -> bool:
        """Whether the two differ by at most three standard errors and half a point."""
        return abs(self.analytic - self.simulated) <= _ERRORS * self.error + _TOLERANCE

    def describe(self) -> str:
        """The comparison in words."""
        return (
            f"analytic mean accuracy {self.analytic:.2%}, {self.chips} simulated chips {self.simulated:.2%} "
            f"+- {self.error:.2%} (standard error over chips): {'agrees' if self.agrees else 'DISAGREES'}"
        )


class AnalyticNetwork:
    """A network on a chip, in closed form.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Raw inputs and labels.
    chip : Chip
    time_s : float
        Evaluation time since the reference read, seconds.
    calibration : Dataset, arrays or callable, optional
        Training inputs, where converters take their ranges from them.
    threads : int, optional
    members : int
        Of the ensemble that represents covariances of large layers.

    Raises
    ------
    UserError
        If the chip has an effect that ties its weights to each other (:mod:`reliability.moments`).
    """

    def __init__(
        self,
        network: Network,
        inputs: Dataset | tuple[Any, Any],
        chip: Chip,
        *,
        time_s: float = 0.0,
        calibration: Calibration | Callable[[], Dataset] | None = None,
        threads: int | None = None,
        members: int = MEMBERS,
    ) -> None:
        self.simulation = Simulation(
            network,
            inputs,
            chip,
            time_s=time_s,
            role="search",
            threads=threads,
            calibration=calibration,
        )
        self.threads = self.simulation.threads
        self.chip, self.time_s = resolved(chip), time_s
        self.network = chip_network(network, self.chip)
        self.x, self.labels = self.simulation.inputs, self.simulation.labels.astype(np.int64)
        self.members = members

    @cached_property
    def layers(self) -> dict[str, NoisyLayer]:
        """Moments of every layer's weights."""
        ranges = self.simulation.ranges(self.chip)
        return noisy_layers(self.network, self.chip, time_s=self.time_s, inputs=len(self.x), ranges=ranges)

    @staticmethod
    def is_chain(network: Network) -> bool:
        """Whether full covariances are kept: a chain of fully connected layers."""
        return Chain.holds(network)

    @cached_property
    def chain(self) -> Chain | None:
        """The network as a chain with full covariances, where it is one."""
        return Chain(self.network, self.layers) if self.is_chain(self.network) else None

    @cached_property
    def ensemble(self) -> Ensemble:
        """The network with covariances represented by an ensemble."""
        return Ensemble(self.network, self.layers, self.members)

    @cached_property
    def logits(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance over chips of every input's logits: (N, classes), (N, classes, classes)."""
        if self.chain is None:
            return self.ensemble.logits(self.x, self.threads)
        means, covariances = [], []
        for part in self._chunks():
            spread, _ = self.chain.forward(self.x[part])
            means.append(spread.mean)
            covariances.append(spread.whole())
        return np.concatenate(means), np.concatenate(covariances)

    @cached_property
    def right(self) -> np.ndarray:
        """Probability over chips that each input is classified right, shape (N,)."""
        return self._orthants(derive=False)[0]

    def _orthants(self, derive: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probability of each input's class, and its derivatives by mean and covariance of its logits."""
        mean, covariance = self.logits
        right = np.empty(len(mean))
        bars = (np.empty_like(mean), np.empty_like(covariance)) if derive else (mean, covariance)
        lattice = _lattice(mean.shape[1])
        step = math.ceil(len(mean) / self.threads)

        def part(first: int) -> None:
            own = slice(first, first + step)
            given = mean[own], covariance[own], self.labels[own], lattice, derive
            probability_of_label(*given, right[own], bars[0][own], bars[1][own])

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(part, range(0, len(mean), step)))
        return right, *bars

    @property
    def accuracy(self) -> float:
        """Mean accuracy over chips, on these inputs."""
        return float(self.right.mean())

    @cached_property
    def slopes(self) -> dict[str, LayerSlopes]:
        """Derivatives of the mean accuracy by mean and variance of every weight, by layer.

        Of a chain they are exact. Of other networks those by means are, too, and so is what those by
        variances add up to over a layer; single weights' are estimates
        (:mod:`reliability.propagation.adjoint`).
        """
        _, mean_bar, covariance_bar = self._orthants(derive=True)
        mean_bar, covariance_bar = mean_bar / len(self.x), covariance_bar / len(self.x)
        found: dict[str, LayerSlopes] = {}
        if self.chain is not None:
            for part in self._chunks():
                _, tape = self.chain.forward(self.x[part])
                self.chain.backward(tape, mean_bar[part], covariance_bar[part], found)
            return found
        largest = np.abs(np.linalg.eigvalsh(covariance_bar)).max(axis=1)
        # Inputs that are certain have no slope.
        uncertain = largest > _NEGLIGIBLE * largest.mean()
        return variance_slopes(self.ensemble, self.x, mean_bar, covariance_bar, uncertain, self.threads)

    def layer_table(self) -> pd.DataFrame:
        """One row a layer: signal-to-noise ratio of its outputs, and what its noise costs at the margin.

        Returns
        -------
        DataFrame
            ``layer``, ``devices``, ``snr_db`` (mean square of expected outputs over their mean variance,
            chips), ``slope`` (d accuracy / d ln variance of the layer's weights: what the accuracy changes
            by, to first order, if all its variances grow by a share).
        """
        powers, rows = self._powers, []
        for name, own in self.layers.items():
            slopes, noise = self.slopes[name], powers.noise(name)
            slope = (own.variance * slopes.variance).sum() + (own.bias_variance * slopes.bias_variance).sum()
            slope += (own.reference_variance * slopes.reference_variance).sum()
            signal = powers.signal(name)
            decibels = math.inf
            if noise > 0:
                decibels = 10 * math.log10(signal / noise) if signal > 0 else -math.inf
            row = {"layer": name, "devices": own.crossbar.devices, "snr_db": decibels}
            rows.append(row | {"slope": float(slope)})
        return pd.DataFrame(rows)

    @property
    def _powers(self) -> Powers:
        _ = self.logits
        return self.ensemble.powers if self.chain is None else self.chain.powers

    def check(self, chips: int = CHECK_CHIPS) -> Check:
        """Compare with simulated chips, two or more, kept (:mod:`reliability.kept`) for each operating point.

        Raises
        ------
        UserError
            If there are too few chips.
        RunError
            If the two disagree by more than three standard errors and half a point.
        """
        whole("chips", chips, 2, 2**31)

        def simulate() -> np.ndarray:
            return self.simulation.observe(0, chips).scores.ravel()

        def holds(scores: np.ndarray) -> bool:
            good = scores.dtype == np.float64 and scores.shape == (chips,)
            return good and bool(((scores >= 0) & (scores <= 1)).all())

        found = Check(self.accuracy, kept("checks", self.fingerprint(chips), simulate, holds))
        if not found.agrees:
            raise RunError(
                f"the analytic network does not describe this chip: {found.describe()}; it is not used here"
            )
        return found

    def fingerprint(self, chips: int = 0) -> str:
        """Digest of network, inputs and operating point, and of so many simulated chips."""
        # Arithmetic and code, since what is kept outlives the machine and the version.
        chip = as_table(replace(self.chip, name=""))
        laws = chip_files(chip) | law_sources(self.chip)
        operating = [chip, laws, self.time_s, chips, self.simulation.converter_ranges]
        operating += [network_sha256(self.network), self.simulation.arithmetic, code_sha256()]
        return arrays_sha256([self.x, self.labels], json.dumps(operating, default=str))

    def _chunks(self) -> list[slice]:
        widest = max(len(own.bias) for own in self.layers.values())
        step = max(_HELD // widest**2, 1)
        return [slice(first, first + step) for first in range(0, len(self.x), step)]


def predict(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    *,
    time_s: float = 0.0,
    calibration: Calibration | Callable[[], Dataset] | None = None,
    threads: int | None = None,
) -> AnalyticNetwork:
    """The analytic network of a chip, checked against simulated chips.

    Parameters are those of :class:`AnalyticNetwork`. The check is printed.

    Raises
    ------
    UserError
        If the chip has an effect that the analytic network does not know.
    RunError
        If it disagrees with 200 simulated chips.
    """
    found = AnalyticNetwork(network, inputs, chip, time_s=time_s, calibration=calibration, threads=threads)
    print(found.check().describe())
    return found


@functools.lru_cache
def _lattice(classes: int) -> np.ndarray:
    """Points of the unit cube, away from its faces."""
    from scipy.stats import qmc

    points = qmc.Sobol(classes, scramble=True, rng=0).random(POINTS)
    return np.clip(points, 1e-12, 1 - 1e-12)
