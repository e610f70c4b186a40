"""What the analytic network expects of many designs: exactly of a few, by its derivatives of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip
from reliability.compensation import is_adapted
from reliability.crossbar import chip_network
from reliability.datasets import Dataset
from reliability.errors import UserError
from reliability.mitigation.space import Design, layer_keys
from reliability.moments import LayerMoments, weight_moments
from reliability.network import Network
from reliability.refresh import programming_at
from reliability.training_inputs import Calibration

# Designs of which the analytic network is computed: of chains, and of networks where that takes long.
_BASES, _FEW_BASES = 3, 1
# Inputs by which networks of the latter kind find derivatives.
_FEW_INPUTS = 200
_REACH = 4.0


class Expectations:
    """Of all designs of a space, each when its devices are oldest.

    Parameters
    ----------
    network : Network
    designs : sequence of Design
    times : sequence of float
        At which chips are looked at, seconds; of a design that is refreshed, the latest programming counts.
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
        times: Sequence[float],
        inputs: int,
        calibration: Calibration | Callable[[], Dataset] | None = None,
        threads: int | None = None,
    ) -> None:
        self.network, self.designs, self.times, self.inputs = network, designs, tuple(times), inputs
        # The last inputs for which bases were computed.
        self._networks: tuple[Dataset, dict[int, AnalyticNetwork]] | None = None
        self._options: dict[str, Any] = {"calibration": calibration, "threads": threads}

    @cached_property
    def bases(self) -> list[int]:
        """Numbers of designs from the least to the most noise, of which everything is computed."""
        noise = self._summed(lambda name, own: _relative_noise(own))
        known = np.flatnonzero(~np.isnan(noise))
        order = known[np.argsort(noise[known], kind="stable")]
        is_chain = AnalyticNetwork.is_chain(self.network)
        places = np.linspace(0, len(order) - 1, (_BASES if is_chain else _FEW_BASES) + 2)[1:-1]
        return [int(order[int(place)]) for place in np.unique(places.round())] if len(order) else []

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
        base = networks[number]
        error = max(1 - base.accuracy, 1e-3)
        accuracies = self._summed(partial(_to_first_order, base))
        found = np.log(error) + np.clip((accuracies[number] - accuracies) / error, -_REACH, _REACH)
        found[np.isnan(found)] = np.nanmean(found)
        return found

    def inputs_for_slopes(self, dataset: Dataset) -> Dataset:
        """As many inputs as derivatives are found with."""
        is_chain = AnalyticNetwork.is_chain(self.network)
        return dataset if is_chain else dataset.head(min(_FEW_INPUTS, len(dataset)))

    def _summed(self, value: Callable[[str, LayerMoments], float]) -> np.ndarray:
        """Sum over the layers of what their moments give, of every design; nan where they are refused.

        What descriptions say alike of a layer is found once.
        """
        names = [node.name for node in chip_network(self.network, self.designs[0].chip).weighted]
        known: dict[str, float] = {}
        found = np.full(len(self.designs), np.nan)
        for n, design in enumerate(self.designs):
            chip = _known(design.chip)
            keys = dict(zip(layer_keys(chip, names), names, strict=True))
            missing = {key: name for key, name in keys.items() if key not in known}
            try:
                if missing:
                    moments = weight_moments(
                        self.network,
                        chip,
                        time_s=self._oldest(chip),
                        inputs=self.inputs,
                        layers=missing.values(),
                    )
                    known |= {
                        key: value(name, moments[name]) if name in moments else 0.0
                        for key, name in missing.items()
                    }
                found[n] = sum(known[key] for key in keys)
            except UserError:
                continue
        return found

    def _analytic(self, number: int, dataset: Dataset) -> AnalyticNetwork:
        chip = _known(self.designs[number].chip)
        return AnalyticNetwork(self.network, dataset, chip, time_s=self._oldest(chip), **self._options)

    def _oldest(self, chip: Chip) -> float:
        return max(self.times, key=lambda time: programming_at(chip, time).time_s)


def _known(chip: Chip) -> Chip:
    """The chip with a factor of drift in place of what it fits to its outputs: much the same for a hint."""
    return replace(chip, compensation="global") if is_adapted(chip.compensation) else chip


def _to_first_order(base: AnalyticNetwork, name: str, own: LayerMoments) -> float:
    """What a layer's moments add to the accuracy, up to a constant."""
    slopes = base.slopes[name]
    rows = slopes.variance.shape[1]
    return float((slopes.mean * own.mean[:, :rows]).sum() + (slopes.variance * own.variance[:, :rows]).sum())


def _relative_noise(own: LayerMoments) -> float:
    """Noise over signal."""
    return float(own.variance.mean() / max(np.square(own.mean).mean(), 1e-30))
