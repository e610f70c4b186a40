"""The cheapest design that meets a goal, sought on common chips; poor designs get few of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from reliability.mitigation.common_chips import CommonChips
from reliability.mitigation.response import Observation, Response
from reliability.mitigation.space import Design, Knob
from reliability.statistics.acceptance import AcceptancePlan

# Designs spread over the space that are tried first, and chips of each.
_SCOUTS = 24
_FEW = 8
# Chips of each round, and the chance of a certificate from which on dearer designs are left out.
_ROUNDS = {16: 0.7, 48: 0.8, 144: 0.85, 432: 0.9, 1296: 0.9}
# The least saving that a design is thought to bring, of the price that it would save from.
_SAVED = 1e-3
# A design whose chance is below this is passed over.
_HOPELESS = 0.03
# Chips whose worth in evidence the response has beside a design's own chips.
_TRUST = 12.0
# Chips that a choice needs, and from which on a design speaks for itself.
_MANY, _OWN = 432, 144
# The least chance that an attempt is made with.
_FAIR = 0.5
_QUANTILES = (np.arange(16) + 0.5) / 16


@dataclass(eq=False)
class Search:
    """A race of designs in rounds.

    In every round designs are tried on the same chips, three times as many as in the round before: those that
    may be cheaper than the cheapest one whose certificate is nearly sure. Designs without a chance are passed
    over, by what their own chips did or, before any is tried, by the response of others. Whatever the race
    gets wrong costs money, not truth: the certificate is found on other chips.

    Parameters
    ----------
    designs : sequence of Design
    prices : ndarray, shape (designs,)
    knobs : sequence of Knob
    chips : CommonChips
    hints : ndarray, shape (designs,), optional
        Of :class:`Response`.
    most : int
        Chips that may be evaluated.
    progress : callable, optional
        Told (chips so far, the most, what is going on).
    """

    designs: Sequence[Design]
    prices: np.ndarray
    knobs: Sequence[Knob]
    chips: CommonChips
    hints: np.ndarray | None
    most: int
    progress: Callable[[int, int, str], None] | None = None
    refused: dict[int, np.ndarray] = field(default_factory=dict)
    harder: float = 0.0
    response: Response = field(init=False)

    def __post_init__(self) -> None:
        choices = np.array([design.choice for design in self.designs])
        self.order = np.argsort(self.prices, kind="stable")
        self.response = Response(self.knobs, choices, self.chips.inputs, self.chips.required, self.hints)

    def scout(self) -> None:
        """Try a few chips of designs that are spread over the space."""
        count = min(_SCOUTS, len(self.designs), max(self.most // (4 * _FEW), 2))
        ranked = self.order if self.hints is None else np.argsort(-np.asarray(self.hints), kind="stable")
        places = np.unique(np.linspace(0, len(self.designs) - 1, count).round().astype(int))
        for number in dict.fromkeys([self.order[0], self.order[-1], *ranked[places]]):
            self._try(int(number), _FEW)
        self._learn()

    def cheapest(self, plan: AcceptancePlan, retry: float) -> int | None:
        """Number of the cheapest design that the plan's certificate is likely to be found for.

        Parameters
        ----------
        plan : AcceptancePlan
        retry : float
            What a failed attempt costs, in prices of its design: few are left, and they share the risk.

        Returns
        -------
        int or None
            None where no design has a fair chance.
        """
        for place, (chips, sure) in enumerate(_ROUNDS.items()):
            # What is left is shared out evenly over the rounds to come.
            left = (self.most - self.chips.evaluated) // (len(_ROUNDS) - place)
            self._round(plan, chips, sure, self.chips.evaluated + left)
        chances = self.chances(plan)
        tried = np.array([self.chips.tried(n) for n in range(len(self.designs))])
        # The luckiest of many designs with few chips looks better than it is.
        enough = tried >= min(tried.max(), _MANY)
        worth = self.prices * (1 + retry * (1 - chances))
        fair = [n for n in range(len(self.designs)) if enough[n] and chances[n] >= _FAIR]
        return min(fair, key=lambda n: (worth[n], n), default=None)

    def chances(self, plan: AcceptancePlan) -> np.ndarray:
        """Probability that each design would be certified, shape (designs,); zero for those refused."""
        found = self.response.mean_of(lambda yields: plan.power(self._of_fresh(yields)))
        expected = self.response.expected()
        for number in self.tried:
            passed, tried = self.observed_yield(number)
            trust = _TRUST if tried < _OWN else 2.0
            if tried >= _FEW:
                good = passed + trust * expected[number] + 0.5
                bad = tried - passed + trust * (1 - expected[number]) + 0.5
                own = float(plan.power(self._of_fresh(betaincinv(good, bad, _QUANTILES))).mean())
                # Few chips say little of a tail; their margins, from which the response learns, say more.
                weight = tried / (tried + 4 * _FEW)
                found[number] = weight * own + (1 - weight) * found[number]
        found[list(self.refused)] = 0.0
        return found

    def refuse(self, number: int, margins: np.ndarray) -> None:
        """Take out a design whose certificate failed, and learn from its fresh chips what others may do.

        Parameters
        ----------
        number : int
        margins : ndarray, shape (chips,)
            Of the fresh chips, on fresh inputs. As much as these failed more often than the search's chips
            (in standard deviations of a normal), all designs are taken to.
        """
        self.refused[number] = margins
        passed, tried = self.observed_yield(number)
        seen = ndtri((passed + 0.5) / (tried + 1))
        fresh = ndtri(((margins >= 0).sum() + 0.5) / (len(margins) + 1))
        self.harder = max(self.harder, float(seen - fresh))
        self._learn()

    def _of_fresh(self, yields: np.ndarray) -> np.ndarray:
        """Yields on fresh inputs, of those on the search's."""
        return ndtr(ndtri(yields) - self.harder) if self.harder else yields

    def estimate(self, numbers: Sequence[int], chips: int, most: int) -> None:
        """Try designs on at least so many chips, as long as all together have no more than ``most``."""
        for number in numbers:
            if self.chips.evaluated + max(chips - self.chips.tried(number), 0) <= most:
                self._try(number, chips)
        self._learn()

    def observed_yield(self, number: int) -> tuple[int, int]:
        """Chips of a design that passed, and that were tried."""
        margins = self.chips.known(number)
        return int((margins >= 0).sum()), len(margins)

    def expected_yields(self) -> np.ndarray:
        """Of every design: what was seen where chips were tried, drawn towards what is predicted."""
        expected = self.response.expected()
        for number in self.tried:
            passed, tried = self.observed_yield(number)
            expected[number] = (passed + _TRUST * expected[number]) / (tried + _TRUST)
        return expected

    @property
    def tried(self) -> list[int]:
        """Numbers of the designs that were tried on any chip."""
        return [n for n in range(len(self.designs)) if self.chips.tried(n)]

    def _round(self, plan: AcceptancePlan, chips: int, sure: float, most: int) -> None:
        """Try on so many chips whatever may be cheaper than the cheapest design that is nearly sure."""
        while self.chips.evaluated + chips <= most:
            chances = self.chances(plan)
            surest = next((int(n) for n in self.order if chances[n] >= sure), None)
            limit = np.inf if surest is None else self.prices[surest]
            waiting = [
                n
                for n in range(len(self.designs))
                if chances[n] >= _HOPELESS and self.prices[n] <= limit and self.chips.tried(n) < chips
            ]
            if not waiting:
                return
            # The one that ends the search is tried first; then what may be expected to save most.
            top = self.prices.max() if surest is None else limit
            saved = chances * np.maximum(top - self.prices, _SAVED * top)
            number = surest if surest in waiting else max(waiting, key=lambda n: saved[n])
            self._try(number, chips)
            self._learn()

    def _try(self, number: int, chips: int) -> np.ndarray:
        margins = self.chips.margins(number, self.designs[number].chip, chips)
        if self.progress:
            share = (margins >= 0).mean()
            note = f"{len(self.tried)} of {len(self.designs)} designs tried; {share:.0%} of chips pass"
            self.progress(min(self.chips.evaluated, self.most), self.most, note)
        return margins

    def _learn(self) -> None:
        self.response.learn([Observation(n, self.refused.get(n, self.chips.known(n))) for n in self.tried])
