"""From the moments of the states to curves, and their simultaneous bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reliability.devices.measured import curve_weights
from reliability.devices.residual import Residual
from reliability.fitting.states import Moments, filled

_BETWEEN = 4
# A standard error that counts as none.
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False)
class LawValues:
    """Values of a measured law's curves at the states, each of shape (resamples, states)."""

    mean_us: np.ndarray
    sigma_us: np.ndarray
    fluctuation_us: np.ndarray


def law_values(found: Moments, residual: Residual) -> LawValues:
    """What a device law must hold so that its conductance at the reference read has these moments."""
    spread = np.sqrt(np.maximum(found.variance - found.foreign, 0.0))
    mean = np.maximum(found.mean_us, 0.0)
    square = mean**2 + spread**2
    # The fluctuation, too, is held at zero: a normal factor about one with the measured ratio of its moments.
    observed = np.sqrt(filled(found.fluctuation))
    factor_mean, factor_sd = Residual().before_clamp(np.ones_like(observed), observed)
    relative = np.divide(factor_sd, factor_mean, out=np.zeros_like(observed), where=factor_mean > 0)
    lifted, widened = Residual().rectified(np.ones_like(relative), relative)
    programmed_square = square / (lifted**2 + widened**2)
    programmed_mean = found.mean_us / lifted
    programmed_sd = np.sqrt(np.maximum(programmed_square - np.maximum(programmed_mean, 0.0) ** 2, 0.0))
    before_mean, before_sd = residual.before_clamp(programmed_mean, programmed_sd)
    return LawValues(before_mean, before_sd, relative * np.sqrt(programmed_square))


def smoothed_law(state_us: np.ndarray, law: LawValues) -> LawValues:
    """One row of values, each curve smoothed over the states."""
    offset = smoothed(state_us, law.mean_us - state_us)
    sigma, fluctuation = smoothed(state_us, law.sigma_us), smoothed(state_us, law.fluctuation_us)
    return LawValues(
        (state_us + offset)[None], np.maximum(sigma, 0.0)[None], np.maximum(fluctuation, 0.0)[None]
    )


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


def _moments_at(
    weights: np.ndarray, state_us: np.ndarray, at_us: np.ndarray, law: LawValues, residual: Residual
):
    """Mean and standard deviation of the conductance at the reference read, between the states as well."""
    mean = at_us + (law.mean_us - state_us) @ weights.T
    sigma = np.maximum(law.sigma_us @ weights.T, 0.0)
    fluctuation = np.maximum(law.fluctuation_us @ weights.T, 0.0)
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

    The bands are the studentised maximum over the curve of the bootstrap's deviations: absolute for the mean,
    of the logarithm of the measured variance for sigma. Between states, where nothing was measured, they are
    wider (:func:`_unmeasured`).

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
    weights = curve_weights(state_us, at_us)
    straight = np.stack([np.interp(at_us, state_us, unit) for unit in np.eye(state_us.size)], axis=1)
    mean, sigma = _moments_at(weights, state_us, at_us, law, residual)
    # At a state nothing is interpolated.
    mean[:, measured] = found.mean_us
    foreign = straight @ found.foreign[0]
    own = sigma**2
    own[:, measured] = found.variance - found.foreign
    log = np.log(np.maximum(own + foreign, smallest**2))
    mean_error, mean_t = _deviations(mean, found.mean_error, weights, smallest)
    log_error, log_t = _deviations(log, found.log_variance_error, weights, _NOTHING)
    # One critical value, so that mean and sigma lie within their bands together.
    critical = float(np.quantile(np.maximum(mean_t, log_t), level))
    half = critical * mean_error
    between = _unmeasured(found.mean_us[0] - state_us, mean[0] - at_us, straight)
    table = {
        "g_target_us": at_us,
        "mean_us": mean[0],
        "mean_low_us": np.maximum(mean[0] - half - between, 0.0),
        "mean_high_us": mean[0] + half + between,
    }
    half = critical * log_error
    between = _unmeasured(
        np.sqrt(np.maximum(own[0, measured], 0.0)), np.sqrt(np.maximum(own[0], 0.0)), straight
    )
    value = np.exp(log[0])
    table["sigma_us"] = np.sqrt(np.maximum(own[0], 0.0))
    low = np.sqrt(np.maximum(value * np.exp(-half) - foreign, 0.0)) - between
    table["sigma_low_us"] = np.maximum(low, 0.0)
    table["sigma_high_us"] = np.sqrt(np.maximum(value * np.exp(half) - foreign, 0.0)) + between
    table["measured"] = measured
    of_law = _moments_at(weights, state_us, at_us, smooth, residual)
    table["law_mean_us"], table["law_sigma_us"] = (values[0] for values in of_law)
    return pd.DataFrame(table)


def _unmeasured(at_states: np.ndarray, curve: np.ndarray, straight: np.ndarray) -> np.ndarray:
    """How far a curve may lie off its spline between states, where nothing was measured.

    The larger of two: how far the spline lies off the chord from state to state, and how far a curve would
    that leaves a state twice as steeply as the chord.
    """
    chord = straight @ at_states
    square = np.maximum(straight @ at_states**2 - chord**2, 0.0)
    # Between two states the variance of the weights is w (1 - w) (difference)**2.
    product = np.maximum(1 - (straight**2).sum(axis=1), 0.0) / 2
    return np.maximum(np.abs(curve - chord), np.sqrt(square * product))


def _deviations(
    values: np.ndarray, errors: np.ndarray, weights: np.ndarray, smallest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of each point of a curve, and the largest studentised deviation of each resample.

    Parameters
    ----------
    values : ndarray, shape (resamples, points)
        The first row is the estimate.
    errors : ndarray, shape (resamples, states)
        Standard errors at the states; each resample is studentised by its own.
    weights : ndarray, shape (points, states)
    smallest : float
        Points whose standard error is no larger say nothing.
    """
    deviation = values[1:] - values[0]
    error = deviation.std(axis=0)
    share = weights**2 * errors[0] ** 2
    total = share.sum(axis=1)
    relative = np.divide(errors[1:], errors[0], out=np.ones_like(errors[1:]), where=errors[0] > 0)
    own = np.sqrt(relative**2 @ (share / np.where(total > 0, total, 1.0)[:, None]).T)
    moved = error > smallest
    t = np.abs(deviation[:, moved]) / (error * np.maximum(own, 0.1))[:, moved]
    return error, t.max(axis=1, initial=0.0)
