"""A measured device: curves over the programmed state, as :func:`reliability.fit_device` makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from reliability.devices.device import Device, Latent
from reliability.devices.residual import DISTRIBUTIONS, Residual
from reliability.kernels.float32 import exp32
from reliability.kernels.intrinsics import float_of_int, fma32, nearest_int, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel

_F = np.float32
# Values of each curve, at evenly spaced targets from 0 to g_max_us.
_NODES = 257
# Values of the residual, at evenly spaced normals that reach beyond those drawn.
_REACH = 7
_QUANTILES = 561
_PER_NORMAL = (_QUANTILES - 1) // (2 * _REACH)
_CURVES = ("offset_us", "sigma_us", "drift", "drift_spread", "fluctuation")
# Where the curves, side by side, and the residual stand in the parameters.
_CURVE = 1
_RESIDUAL = _CURVE + len(_CURVES) * _NODES


@njit(inline="always")
def _place(x, last):
    """The entry at or below ``x`` of a table, not its last one, and how far ``x`` lies beyond it."""
    x = min(max(x, _F(0)), _F(last))
    k = nearest_int(min(max(x - _F(0.5), _F(0)), _F(last - 1)))
    # Unsigned, because Numba tests the signs of indices.
    return np.uint64(k), x - float_of_int(k)


@njit(inline="always")
def _between(parameters, at, step, part):
    low, high = parameters[at], parameters[at + np.uint64(step)]
    return fma32(part, high - low, low)


@program_kernel
def _program(target, latents, state, parameters):
    per_us = parameters[0]
    # No vectors here: for all that LLVM knows, a state written may be a number of the tables.
    for i in range(BLOCK):
        k, part = _place(target[i] * per_us, _NODES - 1)
        at = np.uint64(_CURVE) + np.uint64(len(_CURVES)) * k
        mean = target[i] + _between(parameters, at + np.uint64(0), len(_CURVES), part)
        sigma = _between(parameters, at + np.uint64(1), len(_CURVES), part)
        exponent = _between(parameters, at + np.uint64(2), len(_CURVES), part)
        spread = _between(parameters, at + np.uint64(3), len(_CURVES), part)
        fluctuation = _between(parameters, at + np.uint64(4), len(_CURVES), part)
        k, part = _place((latents[i] + _F(_REACH)) * _F(_PER_NORMAL), _QUANTILES - 1)
        residual = _between(parameters, np.uint64(_RESIDUAL) + k, 1, part)
        state[i] = max(fma32(sigma, residual, mean), _F(0))
        state[BLOCK + i] = fma32(spread, latents[BLOCK + i], exponent)
        state[2 * BLOCK + i] = fluctuation


@conductance_kernel
def _conductance(state, latents, g, variance, parameters):
    prefer_wide_vectors()
    log_time = parameters[0]
    for i in range(BLOCK):
        drifted = state[i] * exp32(-state[BLOCK + i] * log_time)
        g[i] = max(fma32(drifted * state[2 * BLOCK + i], latents[i], drifted), _F(0))
        variance[i] = 0


def curve_weights(state_us: np.ndarray, at_us: np.ndarray) -> np.ndarray:
    """Matrix from values at the states to the natural cubic spline through them, held beyond its ends."""
    from scipy.interpolate import CubicSpline

    state_us = np.asarray(state_us, float)
    at_us = np.clip(at_us, state_us[0], state_us[-1])
    return CubicSpline(state_us, np.eye(state_us.size), bc_type="natural")(at_us)


@dataclass(frozen=True)
class Measured(Device):
    """A device whose curves were measured.

    With ``L = ln((time_s + t0_s) / t0_s)`` and each curve a natural cubic spline through its values at
    ``state_us`` (held beyond the outermost ones):

    - programming: ``G_p = max(0, mean(G_target) + sigma(G_target) Z)``, ``Z`` a standardised residual
    - drift: ``G_d = G_p exp(-nu L)``, ``nu = drift(G_target) + drift_spread(G_target) xi``
    - fluctuation: ``G = max(0, G_d (1 + r(G_target) xi'))``, where ``r`` is ``fluctuation_us`` over the root
      mean square of ``G_p``

    Residual and exponent are drawn once per device and chip, the fluctuation once per device, chip and
    evaluation time. Curves between states are evaluated on a fine even grid and linear between its points.

    Parameters
    ----------
    g_max_us : float
        Conductance of the largest weight, microsiemens; at most the largest state.
    state_us : tuple of float
        Target conductances at which the curves are given, rising, microsiemens.
    mean_us, sigma_us : tuple of float
        Mean and standard deviation of programming, before conductances below zero are held at zero.
    drift, drift_spread : tuple of float
        Mean and standard deviation over devices of the drift exponent.
    fluctuation_us : tuple of float
        Root mean square of the fluctuation at the reference read, microsiemens.
    distribution, shape : str and float
        Of the residual: see :class:`reliability.devices.residual.Residual`.
    t0_s : float
        From programming to the reference read, seconds.
    systematic_scale, programming_scale, drift_scale, fluctuation_scale : float
        Factors on the offset of the mean from its target, on the spread of programming, on the exponents and
        on the fluctuation; 0 switches one off.
    verified : bool
        Whether write-verify had programmed the measured devices.
    """

    law: ClassVar[str] = "measured"
    states: ClassVar[int] = 3
    program_latents: ClassVar[tuple[Latent, ...]] = (Latent("programming"), Latent("drift"))
    time_latents: ClassVar[tuple[Latent, ...]] = (Latent("fluctuation"),)
    program = _program
    conductance = _conductance

    g_max_us: float = 25.0
    state_us: tuple[float, ...] = (0.0, 25.0)
    mean_us: tuple[float, ...] = (0.0, 25.0)
    sigma_us: tuple[float, ...] = (0.0, 0.0)
    drift: tuple[float, ...] = (0.0, 0.0)
    drift_spread: tuple[float, ...] = (0.0, 0.0)
    fluctuation_us: tuple[float, ...] = (0.0, 0.0)
    distribution: str = "normal"
    shape: float = 0.0
    t0_s: float = 20.0
    systematic_scale: float = 1.0
    programming_scale: float = 1.0
    drift_scale: float = 1.0
    fluctuation_scale: float = 1.0
    verified: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.state_us)
        self.check("state_us", count >= 2, "two or more rising conductances")
        for name in ("state_us", "mean_us", "sigma_us", "drift", "drift_spread", "fluctuation_us"):
            values = getattr(self, name)
            self.check(name, len(values) == count, f"{count} numbers, one for each of state_us")
            self.check(name, all(math.isfinite(value) for value in values), "finite numbers")
            # A table file gives lists, which could be changed later.
            object.__setattr__(self, name, tuple(float(value) for value in values))
        rising = all(low < high for low, high in zip(self.state_us, self.state_us[1:], strict=False))
        self.check("state_us", rising and self.state_us[0] >= 0, "rising numbers of 0 or more")
        for name in ("sigma_us", "drift_spread", "fluctuation_us"):
            self.check(name, min(getattr(self, name)) >= 0, "numbers of 0 or more")
        inside = self.g_max_us <= self.state_us[-1] * (1 + 1e-9)
        self.check("g_max_us", inside, f"at most the largest measured state, {self.state_us[-1]:g} uS")
        self.check("distribution", self.distribution in DISTRIBUTIONS, f"one of {', '.join(DISTRIBUTIONS)}")
        limits = DISTRIBUTIONS[self.distribution]
        if limits is not None:
            low, high = limits
            self.check("shape", low <= self.shape <= high, f"between {low:g} and {high:g}")
        self.check("t0_s", 0 < self.t0_s < math.inf, "above 0 seconds")
        for name in ("systematic_scale", "programming_scale", "drift_scale", "fluctuation_scale"):
            self.check(name, 0 <= getattr(self, name) <= 100, "between 0 and 100")

    def curves(self, target_us: np.ndarray) -> dict[str, np.ndarray]:
        """The law's curves at any targets.

        Parameters
        ----------
        target_us : ndarray

        Returns
        -------
        dict
            ``offset_us`` (of the mean from the target), ``sigma_us``, ``drift``, ``drift_spread``, and
            ``fluctuation``, relative to the conductance that a device has then.
        """
        target_us = np.asarray(target_us, float)
        state, weights = np.array(self.state_us), curve_weights(np.array(self.state_us), target_us)
        # Beyond the outermost states the mean keeps its distance from the target.
        offset = weights @ (np.array(self.mean_us) - state) * self.systematic_scale
        mean = target_us + offset
        sigma = np.maximum(weights @ np.array(self.sigma_us), 0.0)
        programmed = np.hypot(*Residual(self.distribution, self.shape).rectified(mean, sigma))
        fluctuation = np.maximum(weights @ np.array(self.fluctuation_us), 0.0)
        relative = np.divide(fluctuation, programmed, out=np.zeros_like(mean), where=programmed > 0)
        return {
            "offset_us": offset,
            "sigma_us": sigma * self.programming_scale,
            "drift": weights @ np.array(self.drift) * self.drift_scale,
            "drift_spread": np.maximum(weights @ np.array(self.drift_spread), 0.0) * self.drift_scale,
            "fluctuation": relative * self.fluctuation_scale,
        }

    def program_parameters(self) -> tuple[float, ...]:
        """Grid points per uS, the five curves at each point of the grid, and the residual on its own."""
        curves = self.curves(np.linspace(0, self.g_max_us, _NODES))
        side_by_side = np.stack([curves[name] for name in _CURVES], axis=1).ravel()
        xi = np.linspace(-_REACH, _REACH, _QUANTILES)
        residual = Residual(self.distribution, self.shape).quantile(xi)
        return ((_NODES - 1) / self.g_max_us, *side_by_side.tolist(), *residual.tolist())

    def time_parameters(self, time_s: float, observation_s: float | None) -> tuple[float, ...]:
        """``ln((time_s + t0) / t0)``."""
        return (math.log1p(time_s / self.t0_s),)

    def effects(self) -> dict[str, Device]:
        """``systematic``, ``programming``, ``drift`` and ``fluctuation``."""
        offsets = [mean - state for mean, state in zip(self.mean_us, self.state_us, strict=True)]
        sizes = {
            "systematic": (*offsets,),
            "programming": self.sigma_us,
            "drift": self.drift + self.drift_spread,
            "fluctuation": self.fluctuation_us,
        }
        present = [name for name, size in sizes.items() if any(size)]
        return self._without({name: f"{name}_scale" for name in present})

    def describe(self) -> str:
        """What the law does."""
        residual = self.distribution.replace("_", " ")
        if DISTRIBUTIONS[self.distribution] is not None:
            residual += f" of shape {self.shape:g}"
        return (
            f"measured devices, {self.g_min_us:g} to {self.g_max_us:g} uS, by curves over "
            f"{len(self.state_us)} states, reference read {self.t0_s:g} s after programming: programming "
            f"with the measured offset (x{self.systematic_scale:g}) and a {residual} residual "
            f"(x{self.programming_scale:g}), drift with an exponent of its own for each device "
            f"(x{self.drift_scale:g}), fluctuation drawn at each time "
            f"(x{self.fluctuation_scale:g}); conductances never below 0"
        )
