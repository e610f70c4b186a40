"""Chips evaluated on uncertain inputs alone, and few of them on the others too."""

from __future__ import annotations

import math

import numpy as np

from reliability.block import unpacked
from reliability.simulation import Simulation

# Answers of all sure inputs together that chips turn round, on average, as the analytic network tells.
_TURNED = 1e-4
# Share of the chips that is evaluated on sure inputs too.
_WHOLE = 0.05


class Thinned:
    """Which chips fail, with sure inputs counted as the analytic network has them, and that corrected.

    Parameters
    ----------
    simulation : Simulation
        On all inputs.
    right : ndarray of float64, shape (N,)
        Probability over chips that each input is answered right.

    Attributes
    ----------
    uncertain, sure : ndarray of int
        Places of the inputs. The sure ones are as many as are, all together, turned round by one chip in
        10,000.
    """

    def __init__(self, simulation: Simulation, right: np.ndarray) -> None:
        turned = np.minimum(right, 1 - right)
        order = np.argsort(turned, kind="stable")
        count = int(np.searchsorted(np.cumsum(turned[order]), _TURNED, side="right"))
        self.sure, self.uncertain = np.sort(order[:count]), np.sort(order[count:])
        self._counted = int((right[self.sure] > 0.5).sum())
        self._some = simulation.subset(self.uncertain)
        # Uncertain inputs first: a read's noise belongs to its place, the same with the others and without.
        self._all = simulation.subset(np.concatenate([self.uncertain, self.sure]))

    @property
    def each(self) -> float:
        """Inputs that a chip is evaluated on, on average."""
        return len(self.uncertain) + _WHOLE * len(self.sure)

    def evaluations(self, chips: int) -> int:
        """Chips times inputs that so many chips take."""
        return chips * len(self.uncertain) + self._whole(chips) * len(self.sure)

    def failures(
        self, chips: np.ndarray, needed: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which chips have fewer right answers than needed.

        Parameters
        ----------
        chips : ndarray of int, shape (count,)
            Their numbers.
        needed : int
        rng : Generator
            Chooses those that are evaluated on all inputs.

        Returns
        -------
        failed : ndarray of bool, shape (count,)
            With sure inputs counted.
        turned : ndarray of float64, shape (count,)
            What is to be added so that the sum is right on average: of chips evaluated on all inputs, what
            these change, times how many chips each stands for.
        """
        whole = np.zeros(len(chips), bool)
        whole[rng.permutation(len(chips))[: self._whole(len(chips))]] = True
        failed, turned = np.empty(len(chips), bool), np.zeros(len(chips))
        failed[~whole] = self._outcomes(self._some, chips[~whole]).sum(axis=1) + self._counted < needed
        if whole.any():
            seen = self._outcomes(self._all, chips[whole])
            failed[whole] = seen[:, : len(self.uncertain)].sum(axis=1) + self._counted < needed
            turned[whole] = (seen.sum(axis=1) < needed) - failed[whole].astype(float)
            turned /= whole.mean()
        return failed, turned

    def _whole(self, chips: int) -> int:
        """Of so many chips, how many are evaluated on all inputs."""
        return math.ceil(_WHOLE * chips) if len(self.sure) else 0

    def _outcomes(self, simulation: Simulation, chips: np.ndarray) -> np.ndarray:
        """Which inputs each chip gets right: bool, shape (chips, inputs)."""
        count, step = len(simulation.labels), simulation.block_chips
        found = np.empty((len(chips), count), bool)
        for at in range(0, len(chips), step):
            part = slice(at, at + step)
            found[part] = unpacked(simulation.evaluate(0, chips[part]).bits, count)[:, 0, 0]
        return found
