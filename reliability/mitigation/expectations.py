"""What the analytic network expects of many designs: exactly of a few, by its derivatives of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip
from reliability.compensation import is_adapted
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.mitigation.space import Design
from reliability.moments import LayerMoments, weight_moments
from reliability.network import Network
from reliability.simulation import Calibration

# Designs of which the analytic network is computed: of chains, and of networks where that takes long.
_BASES, _FEW_BASES = 3, 1
# Inputs by which networks of the latter kind find derivatives.
_FEW_INPUTS = 200
_REACH = 4.0


class Expectations:
    """Of all designs of a space, at one time.

    Parameters
    ----------
    network : Network
    designs : sequence of Design
    time_s : float
    inputs : int
        Of an evaluation; see :func:`reliability.moments.weight_moments`.
    calibration, threads
        As in :func:`reliability.simulate`.
    """

    def __init__(
        self,
        network: Network,
        designs: Sequence[Design],
        *,
        time_s: float,
        inputs: int,
        calibration: Calibration | Callable[[], Dataset] | None = None,
        threads: int | None = None,
    ) -> None:
        self.network, self.designs, self.time_s, self.inputs = network, designs, time_s, inputs
        # The last inputs for which bases were computed.
        self._networks: tuple[Dataset, dict[int, AnalyticNetwork]] | None = None
        self._options: dict[str, Any] = {"time_s": time_s, "calibration": calibration, "threads": threads}

    @cached_property
    def moments(self) -> list[dict[str, LayerMoments] | None]:
        """Of every design's weights; None where the analytic network refuses them."""
        found: list[dict[str, LayerMoments] | None] = []
        for design in self.designs:
            try:
                chip = _known(design.chip)
                found.append(weight_moments(self.network, chip, time_s=self.time_s, inputs=self.inputs))
            except UserError:
                found.append(None)
        return found

    @cached_property
    def bases(self) -> list[int]:
        """Numbers of designs from the least to the most noise, of which everything is computed."""
        known = [n for n, own in enumerate(self.moments) if own is not None]
        if not known:
            return []
        order = sorted(known, key=lambda n: (_relative_noise(self.moments[n]), n))
        is_chain = AnalyticNetwork.is_chain(self.network)
        places = np.linspace(0, len(order) - 1, (_BASES if is_chain else _FEW_BASES) + 2)[1:-1]
        return [order[int(place)] for place in np.unique(places.round())]

    def often(self, dataset: Dataset) -> np.ndarray:
        """How often each input is expected to be right, of every base: shape (bases, N)."""
        found = [self._analytic(number, dataset).right for number in self.bases]
        return np.array(found).reshape(len(found), len(dataset))

    def log_errors(self, dataset: Dataset, accuracy: float) -> np.ndarray | None:
        """Logarithm of the error that is expected of every design, to first order in its weights' moments.

        Parameters
        ----------
        dataset : Dataset
        accuracy : float
            The base that is nearest to it gives the derivatives.

        Returns
        -------
        ndarray, shape (designs,), or None
            None where the analytic network refuses all designs.
        """
        if not self.bases:
            return None
        if self._networks is None or self._networks[0] is not dataset:
            self._networks = dataset, {number: self._analytic(number, dataset) for number in self.bases}
        networks = self._networks[1]
        number = min(networks, key=lambda n: abs(networks[n].accuracy - accuracy))
        base, start = networks[number], self.moments[number]
        assert start is not None
        error = max(1 - base.accuracy, 1e-3)
        found = np.full(len(self.designs), np.nan)
        for n, own in enumerate(self.moments):
            if own is not None:
                gained = sum(_gained(base, name, own[name], start[name]) for name in own if name in start)
                found[n] = np.log(error) + np.clip(-gained / error, -_REACH, _REACH)
        found[np.isnan(found)] = np.nanmean(found)
        return found

    def inputs_for_slopes(self, dataset: Dataset) -> Dataset:
        """As many inputs as derivatives are found with."""
        is_chain = AnalyticNetwork.is_chain(self.network)
        return dataset if is_chain else dataset.head(min(_FEW_INPUTS, len(dataset)))

    def _analytic(self, number: int, dataset: Dataset) -> AnalyticNetwork:
        return AnalyticNetwork(self.network, dataset, _known(self.designs[number].chip), **self._options)


def _known(chip: Chip) -> Chip:
    """The chip with a factor of drift in place of what it fits to its outputs: much the same for a hint."""
    return replace(chip, compensation="global") if is_adapted(chip.compensation) else chip


def _gained(base: AnalyticNetwork, name: str, own: LayerMoments, start: LayerMoments) -> float:
    """Accuracy that the change of one layer's moments brings, to first order."""
    slopes = base.slopes[name]
    if own.mean.shape != start.mean.shape:
        return 0.0
    rows = slopes.variance.shape[1]
    mean, variance = (own.mean - start.mean)[:, :rows], (own.variance - start.variance)[:, :rows]
    return float((slopes.mean * mean).sum() + (slopes.variance * variance).sum())


def _relative_noise(moments: dict[str, LayerMoments] | None) -> float:
    """Mean over the layers of noise over signal."""
    assert moments is not None
    shares = [own.variance.mean() / max(np.square(own.mean).mean(), 1e-30) for own in moments.values()]
    return float(np.mean(shares)) if shares else 0.0
