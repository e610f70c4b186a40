"""From the moments of the states to curves, and their simultaneous bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reliability.devices.measured import curve_weights
from reliability.devices.residual import Residual
from reliability.fitting.robust import FREE
from reliability.fitting.states import Moments, filled

_BETWEEN = 8
# A standard error that counts as none.
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False)
class LawValues:
    """Values of a measured law's curves at the states, each of shape (resamples, states)."""

    mean_us: np.ndarray
    sigma_us: np.ndarray
    fluctuation_us: np.ndarray


def law_values(found: Moments, residual: Residual) -> LawValues:
    """What a device law must hold so that its conductance at the reference read has these moments.

    The fluctuation is at most the whole spread; programming has the rest.
    """
    spread = np.sqrt(np.maximum(found.variance - found.foreign, 0.0))
    mean = np.maximum(found.mean_us, 0.0)
    square = mean**2 + spread**2
    observed = np.sqrt(filled(found.fluctuation))
    observed = np.where(observed * mean > spread, spread / np.where(mean > 0, mean, 1.0), observed)
    # The fluctuation, too, is held at zero: a normal factor about one with the measured ratio of its moments.
    factor_mean, factor_sd = Residual().before_clamp(np.ones_like(observed), observed)
    relative = np.divide(factor_sd, factor_mean, out=np.zeros_like(observed), where=factor_mean > 0)
    lifted, widened = Residual().rectified(np.ones_like(relative), relative)
    programmed_square = square / (lifted**2 + widened**2)
    programmed_mean = found.mean_us / lifted
    programmed_sd = np.sqrt(np.maximum(programmed_square - np.maximum(programmed_mean, 0.0) ** 2, 0.0))
    before_mean, before_sd = residual.before_clamp(programmed_mean, programmed_sd)
    return LawValues(before_mean, before_sd, relative * np.sqrt(programmed_square))


def smoothed_law(state_us: np.ndarray, law: LawValues) -> LawValues:
    """One row of values, each curve smoothed over the states.

    Of the spreads the whole and the fluctuation are smoothed: the whole is known best, and what the
    fluctuation leaves of it is programming.
    """
    offset = smoothed(state_us, law.mean_us - state_us)
    total = np.maximum(smoothed(state_us, np.hypot(law.sigma_us, law.fluctuation_us)), 0.0)
    fluctuation = np.clip(smoothed(state_us, law.fluctuation_us), 0.0, total)
    sigma = np.sqrt(total**2 - fluctuation**2)
    return LawValues((state_us + offset)[None], sigma[None], fluctuation[None])


def smoothed(state_us: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The smoothing spline through values at the states that predicts best, given how sure each value is.

    A natural cubic spline; its roughness is the one with the lowest unbiased estimate of risk (Craven and
    Wahba, Numer. Math. 31:377, 1979), the variance of every value being known from the resamples.

    Parameters
    ----------
    state_us : ndarray, shape (states,)
    values : ndarray, shape (resamples, states)
        The first row is the estimate.

    Returns
    -------
    ndarray, shape (states,)
    """
    count = state_us.size
    error = values[1:].std(axis=0)
    sure = error <= _NOTHING
    if count < 3 or sure.all():
        return values[0]
    # A value that no resample moves is one at the edge of what can be (a spread of zero), not a certain one.
    error = np.where(sure, np.median(error[~sure]), error)
    steps = np.diff(state_us) / (state_us[-1] - state_us[0])
    second = np.zeros((count - 2, count))
    inner = np.arange(count - 2)
    second[inner, inner], second[inner, inner + 2] = 1 / steps[:-1], 1 / steps[1:]
    second[inner, inner + 1] = -1 / steps[:-1] - 1 / steps[1:]
    gram = np.diag((steps[:-1] + steps[1:]) / 3) + np.diag(steps[1:-1] / 6, 1) + np.diag(steps[1:-1] / 6, -1)
    rough = second.T @ np.linalg.solve(gram, second)
    scaled = error[:, None] * rough * error
    strengths, directions = np.linalg.eigh(scaled)
    along = directions.T @ (values[0] / error)
    penalties = np.logspace(-9, 9, 181) / max(float(strengths.max()), 1e-300) * 1e3
    kept = 1 / (1 + penalties[:, None] * np.maximum(strengths, 0.0))
    risk = ((1 - kept) ** 2 * along**2).sum(axis=1) + 2 * kept.sum(axis=1)
    return error * (directions @ (kept[int(risk.argmin())] * along))


def _at_reference(
    mean: np.ndarray, sigma: np.ndarray, fluctuation: np.ndarray, residual: Residual
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the conductance at the reference read."""
    programmed_mean, programmed_sd = residual.rectified(mean, sigma)
    size = np.hypot(programmed_mean, programmed_sd)
    relative = np.divide(fluctuation, size, out=np.zeros_like(size), where=size > 0)
    lifted, widened = Residual().rectified(np.ones_like(relative), relative)
    total = programmed_mean * lifted
    square = size**2 * (lifted**2 + widened**2)
    return total, np.sqrt(np.maximum(square - total**2, 0.0))


def curves(
    state_us: np.ndarray,
    found: Moments,
    law: LawValues,
    smooth: LawValues,
    residual: Residual,
    level: float,
    smallest: float,
) -> pd.DataFrame:
    """Mean and sigma of the conductance at the reference read, with bands that hold for all states at once.

    At the states the bands are the studentised maximum over them of the bootstrap's deviations: absolute for
    the mean, of the logarithm of the measured variance for sigma. Between two states, where nothing was
    measured, mean and spread before the clamp at zero are taken for straight, and the half width goes
    straight from one state's to the next: a band for a straight line would be narrower there, by 30 % in the
    middle. The band is wider still by what could be hidden there: as much as the law's spline lies off its
    chord, as much as the clamp bends the mean and, next to a state that the clamp reaches, where spreads
    bend hardest, as much as a curve would that leaves the state twice as steeply as the chord of the law.

    Parameters
    ----------
    state_us : ndarray, shape (states,)
    found : Moments
    law : LawValues
        That belong to the moments.
    smooth : LawValues
        What the fitted law holds.
    residual : Residual
    level : float
        Of confidence.
    smallest : float
        A conductance that counts as nothing, uS.

    Returns
    -------
    DataFrame
        ``g_target_us``, ``mean_us``, ``mean_low_us``, ``mean_high_us``, ``sigma_us``, ``sigma_low_us``,
        ``sigma_high_us``, ``measured``, whether the row is a state, and ``law_mean_us``, ``law_sigma_us``,
        the same of the fitted law.
    """
    steps = np.arange(_BETWEEN) / _BETWEEN
    at_us = np.r_[(state_us[:-1, None] + np.diff(state_us)[:, None] * steps).ravel(), state_us[-1]]
    measured = np.arange(at_us.size) % _BETWEEN == 0
    straight = np.stack([np.interp(at_us, state_us, unit) for unit in np.eye(state_us.size)], axis=1)
    mean, sigma = _interpolated(straight, at_us, state_us, law, residual)
    # At a state nothing is interpolated.
    mean[measured] = found.mean_us[0]
    sigma[measured] = np.sqrt(np.maximum(found.variance - found.foreign, 0.0)[0])
    log = np.log(np.maximum(found.variance, smallest**2))
    mean_error, mean_t = _deviations(found.mean_us, found.mean_error, smallest)
    log_error, log_t = _deviations(log, found.log_variance_error, _NOTHING)
    # One critical value, so that mean and sigma lie within their bands together.
    critical = float(np.quantile(np.maximum(mean_t, log_t), level))

    spline = curve_weights(state_us, at_us)
    offset = smooth.mean_us[0] - state_us
    sigma_of_law, fluctuation = smooth.sigma_us[0], smooth.fluctuation_us[0]
    before = np.maximum(spline @ sigma_of_law, 0.0), np.maximum(spline @ fluctuation, 0.0)
    law_mean, law_sigma = _at_reference(at_us + spline @ offset, *before, residual)
    bent_mean = np.abs((spline - straight) @ offset)
    bent_sigma = np.abs(np.hypot(*before) - straight @ np.hypot(sigma_of_law, fluctuation))

    clamped = (law_mean < FREE * law_sigma)[measured][:-1]
    parabola = np.where(clamped, 1.0, 0.0)[:, None] * steps * (1 - steps)
    for bent, curve in ((bent_mean, law_mean - at_us), (bent_sigma, law_sigma)):
        bent[:-1] += (parabola * np.abs(np.diff(curve[measured]))[:, None]).ravel()

    bent_mean += np.abs(mean - at_us - straight @ (found.mean_us[0] - state_us))

    half = critical * (straight @ mean_error) + bent_mean
    foreign = straight @ found.foreign[0]
    value, factor = sigma**2 + foreign, np.exp(critical * (straight @ log_error))
    return pd.DataFrame(
        {
            "g_target_us": at_us,
            "mean_us": mean,
            "mean_low_us": np.maximum(mean - half, 0.0),
            "mean_high_us": mean + half,
            "sigma_us": sigma,
            "sigma_low_us": np.maximum(np.sqrt(np.maximum(value / factor - foreign, 0.0)) - bent_sigma, 0.0),
            "sigma_high_us": np.sqrt(np.maximum(value * factor - foreign, 0.0)) + bent_sigma,
            "measured": measured,
            "law_mean_us": law_mean,
            "law_sigma_us": law_sigma,
        }
    )


def _interpolated(
    straight: np.ndarray, at_us: np.ndarray, state_us: np.ndarray, law: LawValues, residual: Residual
) -> tuple[np.ndarray, np.ndarray]:
    """Moments between the states, mean, whole spread and the share that fluctuates being straight."""
    mean = at_us + straight @ (law.mean_us[0] - state_us)
    whole = np.hypot(law.sigma_us[0], law.fluctuation_us[0])
    share = np.divide(law.fluctuation_us[0], whole, out=np.zeros_like(whole), where=whole > 0) ** 2
    whole, share = straight @ whole, np.clip(straight @ share, 0.0, 1.0)
    return _at_reference(mean, whole * np.sqrt(1 - share), whole * np.sqrt(share), residual)


def _deviations(values: np.ndarray, errors: np.ndarray, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of each state, and the largest studentised deviation of each resample.

    Parameters
    ----------
    values : ndarray, shape (resamples, states)
        The first row is the estimate.
    errors : ndarray, shape (resamples, states)
        Standard errors; each resample is studentised by its own.
    smallest : float
        States whose standard error is no larger say nothing.
    """
    deviation = values[1:] - values[0]
    error = deviation.std(axis=0)
    own = np.divide(errors[1:], errors[0], out=np.ones_like(deviation), where=errors[0] > 0)
    moved = error > smallest
    t = np.abs(deviation[:, moved]) / (error * np.maximum(own, 0.1))[:, moved]
    return error, t.max(axis=1, initial=0.0)
