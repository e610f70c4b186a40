"""Write-verify in closed form, as a cure, and the smallest budget of it that is enough.

The closed forms are those of a device whose programming errs by a normal of standard deviation ``sigma`` and
that is programmed anew until a read finds it within ``tolerance`` of its target (memoryless writing). All
lengths are in one unit, such as the largest conductance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import erf

from reliability.analysis import Setting
from reliability.checks import check, is_number
from reliability.chip import Chip
from reliability.errors import UserError
from reliability.latents import Role
from reliability.mitigation.cure import Cure
from reliability.mitigation.overrides import changed
from reliability.statistics.crossed import chips_interval
from reliability.statistics.interval import CHIPS, DIFFERENCE, check_level
from reliability.verified import verified_crossbars
from reliability.write_verify import WriteVerify


def acceptance(sigma: float, tolerance: float, noise: float = 0.0) -> float:
    """Probability that one write is accepted: ``erf(tolerance / (sigma sqrt 2))``.

    With reads of standard deviation ``noise``, ``sigma`` is that of error and read together.

    Raises
    ------
    UserError
        If ``sigma`` and ``tolerance`` are not above 0.
    """
    for name, value in (("sigma", sigma), ("tolerance", tolerance)):
        check(is_number(value, 1e-300, 1e300), name, value, "a number above 0")
    return float(erf(tolerance / (math.hypot(sigma, noise) * math.sqrt(2))))


def mean_cycles(
    sigma: float, tolerance: float, *, noise: float = 0.0, max_cycles: int | None = None
) -> float:
    """Expected writes of a device: ``(1 - (1 - p)**K) / p``, ``p`` the :func:`acceptance`, ``K`` the most."""
    p = acceptance(sigma, tolerance, noise)
    return (1.0 if max_cycles is None or p == 1 else -math.expm1(max_cycles * math.log1p(-p))) / p


def residual_sigma(
    sigma: float, tolerance: float, *, noise: float = 0.0, max_cycles: int | None = None
) -> float:
    """Standard deviation of what verified devices still miss their targets by.

    Without noise and cap ``sigma sqrt(1 - 2 u phi(u) / p)``, ``u = tolerance / sigma``. A noisy read accepts
    by the sum of error and noise, of which the error is the share ``sigma**2 / (sigma**2 + noise**2)`` and a
    rest of its own. Devices that the cap leaves unaccepted miss by more than the tolerance.
    """
    seen = math.hypot(sigma, noise)
    p = acceptance(sigma, tolerance, noise)
    u = tolerance / seen
    inside = seen**2 * (1 - 2 * u * math.exp(-u * u / 2) / (math.sqrt(2 * math.pi) * p))
    variance = inside
    if max_cycles is not None and p < 1:
        left = math.exp(max_cycles * math.log1p(-p))
        variance += left * ((seen**2 - p * inside) / (1 - p) - inside)
    share = (sigma / seen) ** 2
    return math.sqrt(share**2 * variance + share * noise**2)


def tolerance_for(sigma: float, residual: float, *, noise: float = 0.0) -> float:
    """The tolerance that leaves devices with a given residual standard deviation.

    Raises
    ------
    UserError
        If no tolerance does: one below what the noise of reads leaves, or not below ``sigma``.
    """
    floor = sigma * noise / math.hypot(sigma, noise)
    if not floor < residual < sigma:
        raise UserError(
            f"residual = {residual:g} must lie between {floor:g}, below which reads of noise {noise:g} do "
            f"not see, and sigma = {sigma:g}"
        )
    return float(brentq(lambda t: residual_sigma(sigma, t, noise=noise) - residual, 1e-6 * sigma, 12 * sigma))


def step_spread(first: float, step: float, step_sigma: float, writes: int, *, noise: float = 0.0) -> float:
    """Standard deviation of the error after a first write and ``writes`` steps, none of them accepted.

    ``sigma_n**2 = sigma_inf**2 + rho**(2 n) (sigma_0**2 - sigma_inf**2)`` with ``rho = 1 - step`` and
    ``sigma_inf**2 = (step_sigma**2 + step**2 noise**2) / (1 - rho**2)``: converging pulses.
    """
    check(is_number(step, 1e-12, 2) and step < 2, "step", step, "above 0 and below 2, as pulses converge")
    rho = 1 - step
    last = (step_sigma**2 + (step * noise) ** 2) / (1 - rho**2)
    return math.sqrt(last + rho ** (2 * writes) * (first**2 - last))


@dataclass(frozen=True)
class VerifyWeights(Cure):
    """The cure: write-verify of all or some weights.

    Costs the writes that trials count (``write_cycles``), and a read of each device after all but its last
    possible write. It adds no cells.

    Parameters
    ----------
    verify : WriteVerify
    """

    verify: WriteVerify

    def apply(self, chip: Chip, layers: Sequence[str] | None = None) -> Chip:
        """A chip with the cure on the named layers, on all by default.

        Raises
        ------
        UserError
            If a name is a pattern, or the chip says of its first or last layer what may concern a named one.
        """
        return changed(chip, "verify", lambda _: self.verify, layers)

    def describe(self) -> str:
        """What is done, in a few words."""
        return self.verify.describe()


@dataclass(frozen=True, eq=False)
class Budget:
    """What :func:`smallest_budget` found.

    Attributes
    ----------
    chip : Chip or None
        With the smallest share that is enough; None where verifying all weights is not.
    table : DataFrame
        One row a look: ``share``, ``nwc`` (mean over chips), ``role`` of the chips, the first of them, their
        number, and the mean ``drop`` of accuracy with ``value``, ``low`` (trivial), ``high``, ``level``,
        ``method`` and ``varies``; ``met`` says whether the look was passed.
    """

    chip: Chip | None
    table: pd.DataFrame


def smallest_budget(setting: Setting, max_drop: float, *, group: float = 0.05, level: float = 0.95) -> Budget:
    """The smallest share of verified weights at which chips lose little enough accuracy on average.

    Weights are verified group by group in the order of ``chip.verify``. Each share is tried on chips of a
    search; where these drop by at most ``max_drop`` on average, it is put to the test on as many fresh chips,
    which no look has seen: the upper bound of their mean drop from the digital network must not exceed
    ``max_drop``. The first test has half of the probability of error that ``level`` leaves, each further one
    half of what is left, so that the answer is wrong with at most that probability however many shares fail.

    Parameters
    ----------
    setting : Setting
        Its chip has write-verify; ``chips`` is the number of chips of each look.
    max_drop : float
        Of mean accuracy, chips varying, on the setting's inputs.
    group : float
        Share of the weights that each step adds.
    level : float

    Raises
    ------
    UserError
        If no layer has write-verify, or a number is not allowed.
    """
    check_level(level)
    if not 0 < group <= 1:
        raise UserError(f"group = {group!r} must be above 0 and at most 1")
    if not verified_crossbars(setting.network, setting.chip):
        raise UserError("chip.verify.share is 0 in all layers: there is no write-verify to find a budget of")
    shares = [min(k * group, 1.0) for k in range(math.ceil(1 / group - 1e-9) + 1)]
    rows, error, first = [], 1 - level, 0
    for share in shares:
        chip = with_share(setting.chip, share)
        searched = _look(setting, chip, share, "search", 0, 0.5)
        searched["met"] = searched["value"] <= max_drop
        rows.append(searched)
        if not searched["met"]:
            continue
        error /= 2
        tested = _look(setting, chip, share, "certify", first, 1 - error)
        tested["met"] = tested["high"] <= max_drop
        rows.append(tested)
        first += setting.chips
        if tested["met"]:
            return Budget(chip, pd.DataFrame(rows))
    return Budget(None, pd.DataFrame(rows))


def with_share(chip: Chip, share: float) -> Chip:
    """The chip with another share of verified weights, in every layer that has any."""
    return chip.with_verify(lambda own: replace(own, share=share))


def _look(
    setting: Setting, chip: Chip, share: float, role: Role, first: int, confidence: float
) -> dict[str, Any]:
    """Mean drop of consecutive chips, with an upper bound of that confidence."""
    simulation = setting.simulation(chip=chip, role=role)
    seen = simulation.observe(first, setting.chips)
    drops, cycles = simulation.reference.mean() - seen.scores[:, 0, 0], seen.cycles.sum(axis=1)
    nwc = float((cycles[:, 0] / np.maximum(cycles[:, 1], 1)).mean())
    # One side of a two-sided interval.
    high = chips_interval(drops, max(2 * confidence - 1, 1e-9), DIFFERENCE).high
    row: dict[str, Any] = {"share": share, "nwc": nwc, "role": role, "first_chip": first, "chips": len(drops)}
    row |= {"estimand": "drop", "value": float(drops.mean()), "low": DIFFERENCE[0], "high": high}
    return row | {"level": confidence, "method": "one-sided, over chips", "varies": CHIPS}
