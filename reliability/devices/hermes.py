"""Phase-change memory in 14 nm technology: IBM's HERMES core.

Fits as in the ``hermes`` noise model of IBM's aihwkit (MIT licence), to the chip of M. Le Gallo et al., "A
64-core mixed-signal in-memory compute chip based on phase-change memory for deep neural network inference",
Nat. Electron. 6, 680 (2023). Written anew from its equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reliability.devices.pcm import PCM
from reliability.kernels.float32 import log32
from reliability.kernels.intrinsics import fma32, prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import program_kernel

_F = np.float32


@program_kernel
def _program(target, latents, state, parameters):
    prefer_wide_vectors()
    g_max, error, drift = parameters[0], parameters[1], parameters[2]
    s0, s1, s2, s3 = parameters[3], parameters[4], parameters[5], parameters[6]
    m_split, m_slope, m_0 = parameters[7], parameters[8], parameters[9]
    m_low, m_high = parameters[10], parameters[11]
    m0, m1, m2 = parameters[12], parameters[13], parameters[14]
    per_g_max = _F(1) / g_max
    for i in range(BLOCK):
        g = target[i] * per_g_max
        sigma = max(fma32(fma32(fma32(s3, g, s2), g, s1), g, s0), _F(0)) * error
        state[i] = max(fma32(sigma, latents[i], target[i]), _F(0))
    for i in range(BLOCK):
        g = target[i] * per_g_max
        logarithmic = min(max(fma32(m_slope, log32(max(g, _F(1e-7))), m_0), m_low), m_high)
        state[BLOCK + i] = logarithmic if g < m_split else fma32(fma32(m2, g, m1), g, m0)
    v_split, v_slope, v_0 = parameters[15], parameters[16], parameters[17]
    v_low, v_high = parameters[18], parameters[19]
    v0, v1, v2 = parameters[20], parameters[21], parameters[22]
    for i in range(BLOCK):
        g = target[i] * per_g_max
        logarithmic = min(max(fma32(v_slope, log32(max(g, _F(1e-7))), v_0), v_low), v_high)
        spread = logarithmic if g < v_split else fma32(fma32(v2, g, v1), g, v0)
        state[BLOCK + i] = abs(fma32(spread, latents[BLOCK + i], state[BLOCK + i])) * drift
    q_split, q_slope, q_0 = parameters[23], parameters[24], parameters[25]
    q_low, q_high = parameters[26], parameters[27]
    q0, q1, q2, q3 = parameters[28], parameters[29], parameters[30], parameters[31]
    for i in range(BLOCK):
        g = state[i] * per_g_max
        logarithmic = min(max(fma32(q_slope, log32(max(g, _F(1e-7))), q_0), q_low), q_high)
        cubic = max(fma32(fma32(fma32(q3, g, q2), g, q1), g, q0), _F(0))
        state[2 * BLOCK + i] = logarithmic if g < q_split else cubic


@dataclass(frozen=True)
class Hermes(PCM):
    """Phase-change memory after aihwkit's HERMES noise model.

    As :class:`~reliability.devices.pcm.PCM`, with other fits of ``g = G_target / G_max``: the programming
    error ``(G_max / G_fit) (c0 + c1 g + c2 g**2 + c3 g**3)``, and mean and standard deviation of the drift
    exponent and the 1/f amplitude, each ``clip(a ln g + b, low, high)`` below ``g = split`` and a polynomial
    from there on. As there, the exponent follows the conductance that was wanted and the 1/f amplitude the
    one that was reached. The default numbers are those of two devices in parallel.

    Parameters
    ----------
    g_max_us, t0_s, t_read_s, programming_scale, drift_scale, read_scale, g_fit_us, projected_share
        As in :class:`~reliability.devices.pcm.PCM`.
    programming_us : tuple of float
        Coefficients ``c0`` to ``c3`` of the programming error, microsiemens.
    exponent_mean, exponent_sd : tuple of float
        ``split, a, b, low, high`` and three coefficients of the polynomial, from the constant on.
    read_amplitude : tuple of float
        The same with four coefficients.
    """

    law: ClassVar[str] = "hermes"
    program = _program
    _coefficients: ClassVar[int] = 4

    g_max_us: float = 20.7
    t0_s: float = 300.0
    t_read_s: float = 512e-9
    g_fit_us: float = 20.7
    programming_us: tuple[float, ...] = (0.16603222, 4.71806468, -8.48101252, 4.68961419)
    exponent_mean: tuple[float, ...] = (0.0945, -0.0387, -0.0182, 0.0720, 0.13, 0.0736, -0.0126, -0.0436)
    exponent_sd: tuple[float, ...] = (0.3055, -0.0117, -0.0057, 0.0091, 0.04, 0.0073, 0.0093, -0.0118)
    read_amplitude: tuple[float, ...] = (
        *(0.16, -0.0117, -0.0069, 0.015, 0.04),
        *(0.0123, 0.0211, -0.0280, 0.0069),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_numbers("exponent_mean", 8)
        self.check_numbers("exponent_sd", 8)
        self.check_numbers("read_amplitude", 9)

    def program_parameters(self) -> tuple[float, ...]:
        """Those of PCM, then the fits of exponent and 1/f amplitude."""
        return (*super().program_parameters(), *self.exponent_mean, *self.exponent_sd, *self.read_amplitude)

    def describe(self) -> str:
        """What the law does."""
        return self._described("phase-change memory in 14 nm (aihwkit's HERMES law)")
