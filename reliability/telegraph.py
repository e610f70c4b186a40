"""Random telegraph noise: cells whose conductance jumps between two levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reliability.checks import check, is_number


@dataclass(frozen=True)
class Telegraph:
    """A two-state Markov trap in every cell, on top of any device law.

    ``G(t) = G (1 + A(G) (s(t) - p))`` with ``A(G) = min(amplitude (G / g_ref)**-exponent, 1)``: the trap's
    state s is 1 or 0, each stay is exponential, and p is the share of time at 1, so that the mean stays G.
    One cell's state at two moments is correlated by ``exp(-|t - t'| / correlation_s)``; between evaluation
    times it is sampled with just that correlation.

    A layer is read once for every input and output position, every ``read_interval_s``. Traps much slower
    than one evaluation of all inputs are frozen in it, traps much faster than the interval are redrawn at
    every read. In between, so many cells are frozen, and the rest redrawn, that the correlation of two
    reads, averaged over all pairs of an evaluation, is that of the Markov chain. What is redrawn enters with
    its mean and variance.

    The two-state model is S. Machlup, J. Appl. Phys. 25, 341 (1954).

    Parameters
    ----------
    amplitude : float
        From the lower level to the upper one, relative to the conductance, at ``g_ref_us``; 0 is no noise.
    g_ref_us : float
        Microsiemens.
    exponent : float
        How the relative amplitude falls with conductance: 1 makes the jump the same in microsiemens for all.
    occupancy : float
        p, above 0 and below 1.
    correlation_s : float
        Time in which a cell forgets its state, seconds: of mean stays ``high_s`` and ``low_s`` at the two
        levels it is ``1 / (1 / high_s + 1 / low_s)``.
    read_interval_s : float
        From one read of a layer to the next, seconds.
    """

    amplitude: float = 0.0
    g_ref_us: float = 25.0
    exponent: float = 0.5
    occupancy: float = 0.5
    correlation_s: float = 1e-3
    read_interval_s: float = 1e-6

    def __post_init__(self) -> None:
        good = is_number(self.amplitude, 0, 1)
        check(good, "telegraph.amplitude", self.amplitude, "between 0 and 1 (of the conductance)")
        good = is_number(self.exponent, 0, 2)
        check(good, "telegraph.exponent", self.exponent, "between 0 and 2")
        good = is_number(self.g_ref_us, 1e-6, 1e6)
        check(good, "telegraph.g_ref_us", self.g_ref_us, "between 1e-6 and 1e6 (microsiemens)")
        good = is_number(self.occupancy, 1e-6, 1 - 1e-6)
        check(good, "telegraph.occupancy", self.occupancy, "above 0 and below 1")
        for name in ("correlation_s", "read_interval_s"):
            value = getattr(self, name)
            check(is_number(value, 1e-12, 1e15), f"telegraph.{name}", value, "from 1e-12 to 1e15 seconds")

    @property
    def is_on(self) -> bool:
        """Whether there is any noise."""
        return self.amplitude > 0

    @property
    def high_s(self) -> float:
        """Mean stay at the upper level, seconds."""
        return self.correlation_s / (1 - self.occupancy)

    @property
    def low_s(self) -> float:
        """Mean stay at the lower level, seconds."""
        return self.correlation_s / self.occupancy

    def frozen_share(self, reads: int) -> float:
        """Correlation of two reads, averaged over all pairs of an evaluation of ``reads`` reads."""
        step = self.read_interval_s / self.correlation_s
        if reads < 2 or step * reads < 1e-5:
            return 1.0
        # The sum of (reads - k) exp(-k step) over k from 1 on, in a form that keeps its digits.
        forgotten = -math.expm1(-step)
        total = math.exp(-step) * (reads * forgotten + math.expm1(-step * reads)) / forgotten**2
        share = min(2 * total / (reads * (reads - 1.0)), 1.0)
        return share if share > 1e-6 else 0.0

    def describe(self) -> str:
        """What the noise does, in words."""
        return (
            f"telegraph noise of {self.amplitude:g} of the conductance at {self.g_ref_us:g} uS (~ G^-"
            f"{self.exponent:g}), mean stays {self.high_s:g} s up and {self.low_s:g} s down, a read every "
            f"{self.read_interval_s:g} s"
        )


def fluctuating_cell(
    a0: float = 0.1,
    *,
    g_ref_us: float = 25.0,
    exponent: float = 1.0,
    occupancy: float = 0.5,
    read_interval_s: float = 1e-6,
) -> Telegraph:
    """The fluctuating cell of Wang et al. 2021 (arXiv 2112.00324): independent at every read.

    ``r = w (1 + a u)``, ``a = a0 (G / g_ref)**-exponent``, where u takes ``sqrt((1 - p) / p)`` with
    probability p and ``-sqrt(p / (1 - p))`` otherwise: mean 0, variance 1. The paper says that the cells
    fluctuate from read to read; this law and its numbers are a reconstruction and not verified.

    Parameters
    ----------
    a0 : float
        Standard deviation of a read relative to the conductance, at ``g_ref_us``.
    g_ref_us, exponent, read_interval_s : float
        As for :class:`Telegraph`.
    occupancy : float
        p, above 0 and below 1.
    """
    check(is_number(occupancy, 1e-6, 1 - 1e-6), "occupancy", occupancy, "above 0 and below 1")
    return Telegraph(
        amplitude=a0 / math.sqrt(occupancy * (1 - occupancy)),
        g_ref_us=g_ref_us,
        exponent=exponent,
        occupancy=occupancy,
        # So short that nothing is left of a state at the next read.
        correlation_s=1e-3 * read_interval_s,
        read_interval_s=read_interval_s,
    )
