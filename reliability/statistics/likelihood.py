"""Maximum likelihood for many samples of one family at once: scoring steps that only ever climb."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Terms = Callable[[Array, Array], tuple[Array, Sequence[Array]]]

_STEPS = 200
# Twice what a further step could still add to a log likelihood: a thousandth of a standard error.
_CLOSE = 1e-6


def climb(
    terms: Terms, samples: Array, start: Array, low: Array, high: Array, counts: Array | None = None
) -> tuple[Array, Array]:
    """Maximise the log likelihood of each sample by damped scoring steps.

    The curvature is the sum of outer products of the scores of single values (Berndt, Hall, Hall and
    Hausman), which needs no second derivatives and is close where the family is the right one, as it is for
    bootstrap samples. Levenberg and Marquardt's damping keeps each step uphill.

    Parameters
    ----------
    terms : callable
        From samples (samples, values) and parameters (samples, k) the log density of every value and its
        derivative by each parameter, all of shape (samples, values). Impossible values have -inf.
    samples : ndarray, shape (samples, values)
    start : ndarray, shape (samples, k)
        Parameters under which each sample is possible.
    low, high : ndarray, shape (k,)
        Bounds of the parameters.
    counts : ndarray, shape (samples, values), optional
        How often each value occurs; once otherwise.

    Returns
    -------
    tuple of two ndarrays
        Parameters (samples, k) and log likelihoods (samples,).

    References
    ----------
    Berndt, Hall, Hall and Hausman, Annals of Economic and Social Measurement 3:653 (1974).
    """
    theta = np.clip(start, low, high)
    reached, slope, curvature = _sums(terms, samples, theta, counts)
    found, heights = theta.copy(), reached.copy()
    left = np.arange(len(samples))
    damping = np.full(len(samples), 1e-3)
    for _ in range(_STEPS):
        step, gain = _step(theta, slope, curvature, damping, low, high)
        going = (gain > _CLOSE) & (damping < 1e8)
        if not going.any():
            break
        left, samples, theta, reached = left[going], samples[going], theta[going], reached[going]
        slope, curvature, damping, step = slope[going], curvature[going], damping[going], step[going]
        counts = None if counts is None else counts[going]
        tried = np.clip(theta + step, low, high)
        height, new_slope, new_curvature = _sums(terms, samples, tried, counts)
        up = height > reached
        with np.errstate(invalid="ignore"):
            kept = (height - reached) / _promise(slope, curvature, step)
        theta[up], reached[up], slope[up], curvature[up] = (
            tried[up],
            height[up],
            new_slope[up],
            new_curvature[up],
        )
        # Less than promised: the curvature is too small and would overshoot again.
        change = np.select([~up, kept < 0.25, kept < 0.75], [8.0, 3.0, 1.0], 0.2)
        damping = np.maximum(damping * change, 1e-3)
        found[left], heights[left] = theta, reached
    return found, heights


def _sums(terms: Terms, samples: Array, theta: Array, counts: Array | None) -> tuple[Array, Array, Array]:
    """Log likelihood, its gradient and the outer products of the scores, a sample a row."""
    with np.errstate(all="ignore"):
        density, scores = terms(samples, theta)
        by_value = np.stack(list(scores), axis=1)
        counted = by_value
        if counts is not None:
            # A value that does not occur may be impossible.
            density = np.where(counts > 0, density * counts, 0.0)
            by_value = np.where(counts[:, None] > 0, by_value, 0.0)
            counted = by_value * counts[:, None]
        height = density.sum(axis=1)
        slope: Array = counted.sum(axis=2)
        curvature: Array = counted @ by_value.transpose(0, 2, 1)
    fine = np.isfinite(height) & np.isfinite(slope).all(axis=1) & np.isfinite(curvature).all(axis=(1, 2))
    slope[~fine], curvature[~fine] = 0.0, 0.0
    return np.where(fine, height, -np.inf), slope, curvature


def _promise(slope: Array, curvature: Array, step: Array) -> Array:
    """What a step would gain if the curvature were the true one."""
    return ((slope - 0.5 * (curvature @ step[:, :, None])[:, :, 0]) * step).sum(axis=1)


def _step(
    theta: Array, slope: Array, curvature: Array, damping: Array, low: Array, high: Array
) -> tuple[Array, Array]:
    """The damped step and twice the gain that it promises; a bound that stops the ascent is left alone."""
    held = ((theta <= low) & (slope < 0)) | ((theta >= high) & (slope > 0))
    slope = np.where(held, 0.0, slope)
    matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, curvature)
    diagonal = np.arange(theta.shape[1])
    own = matrix[:, diagonal, diagonal]
    matrix[:, diagonal, diagonal] = own * (1.0 + damping[:, None]) + np.where(own > 0, 1e-12 * own, 1.0)
    step = np.asarray(np.linalg.solve(matrix, slope[:, :, None])[:, :, 0], np.float64)
    # Damping makes the step small, not the distance that is left: the promise is told without it.
    return step, np.abs((slope * step).sum(axis=1)) * (1.0 + damping)
