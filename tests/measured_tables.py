"""Tables of measurements of devices whose law is known, and the true curves of those laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import naive
import numpy as np
import pandas as pd

import reliability as rl

TIMES = (0.0, 30.0, 300.0, 3000.0, 30_000.0, 86_400.0)
T0_S, T_READ_S = 20.0, 250e-9


@dataclass(frozen=True)
class Law:
    """One law in plain NumPy.

    ``program(target, xi, xi_drift)`` gives the programmed conductance, the drift exponent and the amplitude
    of the 1/f noise of every device. ``fluctuation``, if given, is a relative standard deviation, the same at
    all times, in place of 1/f noise.
    """

    g_max_us: float
    program: Callable
    fluctuation: float | None = None

    def _state(self, target: np.ndarray, xi: np.ndarray, xi_drift: np.ndarray, time_s: float):
        """Conductance after drift, and its relative fluctuation."""
        programmed, exponent, amplitude = self.program(target, xi, xi_drift)
        relative = amplitude * np.sqrt(np.log((time_s + T0_S + T_READ_S) / (2 * T_READ_S)))
        if self.fluctuation is not None:
            relative = np.full(programmed.shape, self.fluctuation)
        return programmed * ((time_s + T0_S) / T0_S) ** -exponent, relative

    def read(
        self, target: np.ndarray, xi: np.ndarray, xi_drift: np.ndarray, time_s: float, xi_time: np.ndarray
    ) -> np.ndarray:
        drifted, relative = self._state(target, xi, xi_drift, time_s)
        return np.maximum(drifted * (1 + relative * xi_time), 0)

    def curves(self, target_us: np.ndarray, time_s: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation at a time, by quadrature over programming error and drift exponent."""
        xi = np.linspace(-8, 8, 20_001 if time_s == 0 else 2001)
        xi_drift = np.zeros(1) if time_s == 0 else np.linspace(-6, 6, 49)
        weights = np.exp(-(xi**2)[:, None] / 2 - xi_drift**2 / 2).ravel()
        weights /= weights.sum()
        xi, xi_drift = np.repeat(xi, xi_drift.size), np.tile(xi_drift, xi.size)
        found = []
        for target in target_us:
            drifted, relative = self._state(np.full(xi.size, target), xi, xi_drift, time_s)
            mean, variance = naive.rectified_normal(drifted, np.maximum(drifted * relative, 1e-12))
            average = weights @ mean
            found.append((average, np.sqrt(weights @ (variance + mean**2) - average**2)))
        means, sigmas = np.array(found).T
        return means, sigmas


def _gaussian(target, xi, xi_drift):
    return np.maximum(target + 1.25 * xi, 0), 0 * xi, 0 * xi


def _hermes(target, xi, xi_drift):
    """The polynomials of aihwkit's HERMES law with two devices a weight."""
    g = np.maximum(target / 20.7, 1e-7)
    log = np.log(g)
    sigma = 0.16603222 + 4.71806468 * g - 8.48101252 * g**2 + 4.68961419 * g**3
    mean = np.where(
        g < 0.0945, np.clip(-0.0387 * log - 0.0182, 0.072, 0.13), -0.0436 * g**2 - 0.0126 * g + 0.0736
    )
    spread = np.where(
        g < 0.3055, np.clip(-0.0117 * log - 0.0057, 0.0091, 0.04), -0.0118 * g**2 + 0.0093 * g + 0.0073
    )
    low = np.clip(-0.0117 * log - 0.0069, 0.015, 0.04)
    amplitude = np.where(g < 0.16, low, 0.0069 * g**3 - 0.0280 * g**2 + 0.0211 * g + 0.0123)
    return np.maximum(target + sigma * xi, 0), np.abs(mean + spread * xi_drift), amplitude


def _lognormal(target, xi, xi_drift):
    """A fifth of multiplicative error about an affine mean: skewed, and off its targets."""
    return (1 + 0.96 * target) * np.exp(0.2 * xi - 0.02), 0.03 + 0.01 * xi_drift, np.full(xi.shape, 0.003)


def _pcm(target, xi, xi_drift):
    return naive.pcm_program(rl.devices.pcm(), target, xi, xi_drift)


LAWS = {
    "pcm": Law(25.0, _pcm),
    "gaussian": Law(25.0, _gaussian),
    "hermes": Law(20.7, _hermes),
    "lognormal": Law(25.0, _lognormal),
}


def measure(
    law: Law,
    seed: int,
    states: int | np.ndarray = 11,
    devices: int = 200,
    times: Sequence[float] = TIMES,
    noise_us: float = 0.1,
    outliers: float = 0.02,
    repeats: int = 1,
    numbered: bool = True,
) -> pd.DataFrame:
    """A table of readings; outliers lie anywhere between zero and one and a half times the range."""
    random = np.random.default_rng(seed)
    levels = np.linspace(0, law.g_max_us, states) if isinstance(states, int) else states
    target = np.repeat(levels, devices)
    latents = random.normal(size=(2, target.size))
    rows = []
    for time_s in times:
        g = law.read(target, *latents, time_s, random.normal(size=target.size))
        rows += [g + noise_us * random.normal(size=g.size) for _ in range(repeats)]
    read = np.stack(rows, axis=1)
    wrong = random.random(read.shape) < outliers
    read = np.where(wrong, random.uniform(0, 1.5 * law.g_max_us, read.shape), read)
    columns = {
        "device": np.repeat(np.arange(target.size), read.shape[1]),
        "g_target_us": np.repeat(target, read.shape[1]),
        "time_s": np.tile(np.repeat(times, repeats), target.size),
        "g_us": read.ravel(),
    }
    table = pd.DataFrame(columns)
    return table if numbered else table.drop(columns="device")
