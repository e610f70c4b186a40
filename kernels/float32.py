"""Elementary functions in float32 that LLVM vectorises: no call leaves the loop.

The polynomials are the single-precision minimax sets of the Cephes library
(S. L. Moshier), public domain; relative errors stay within a few units in the
last place, which the tests check against float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .intrinsics import (
    add32,
    and32,
    bits_of,
    flip_sign,
    float_of_bits,
    float_of_int,
    fma32,
    shl32,
    shr32,
    sub32,
)

_F = np.float32
_U = np.uint32


@njit(inline="always")
def log32(x):
    """Natural logarithm of a positive normal float32."""
    i = bits_of(x)
    # Split x = m 2**e with m in [sqrt(1/2), sqrt(2)), where the polynomial converges fastest.
    exponent = and32(sub32(i, _U(0x3F3504F3)), _U(0xFF800000))
    m = float_of_bits(sub32(i, exponent)) - _F(1)
    p = _F(7.0376836292e-2)
    p = fma32(p, m, _F(-1.1514610310e-1))
    p = fma32(p, m, _F(1.1676998740e-1))
    p = fma32(p, m, _F(-1.2420140846e-1))
    p = fma32(p, m, _F(1.4249322787e-1))
    p = fma32(p, m, _F(-1.6668057665e-1))
    p = fma32(p, m, _F(2.0000714765e-1))
    p = fma32(p, m, _F(-2.4999993993e-1))
    p = fma32(p, m, _F(3.3333331174e-1))
    z = m * m
    y = fma32(p * m, z, fma32(_F(-0.5), z, m))
    # ln 2 in two parts, so that the product with e is exact. The exponent's bits stand for e 2**23.
    e = float_of_int(exponent)
    return fma32(e, _F(0.693359375 * 2**-23), fma32(e, _F(-2.12194440e-4 * 2**-23), y))


@njit(inline="always")
def exp32(x):
    """``e**x`` in float32; arguments are held to [-87, 88], where results stay normal numbers."""
    x = min(max(x, _F(-87.0)), _F(88.0))
    # Adding 1.5 * 2**23 rounds to an integer and leaves it in the low bits.
    t = fma32(x, _F(1.44269504088896341), _F(12582912.0))
    n = t - _F(12582912.0)
    r = fma32(n, _F(-0.693359375), x)
    r = fma32(n, _F(2.12194440e-4), r)
    p = _F(1.9875691500e-4)
    p = fma32(p, r, _F(1.3981999507e-3))
    p = fma32(p, r, _F(8.3334519073e-3))
    p = fma32(p, r, _F(4.1665795894e-2))
    p = fma32(p, r, _F(1.6666665459e-1))
    p = fma32(p, r, _F(5.0000001201e-1))
    y = fma32(p, r * r, r) + _F(1)
    return float_of_bits(add32(bits_of(y), shl32(bits_of(t), _U(23))))


@njit(inline="always")
def sincos_turns32(v):
    """(sin, cos) of the angle ``2 pi v / 2**32`` of a 32-bit word ``v``."""
    # Quadrant from the top bits after an eighth of a turn; the rest lies in [-pi/4, pi/4].
    quadrant = shr32(add32(v, _U(0x20000000)), _U(30))
    t = float_of_int(shl32(v, _U(2))) * _F(1.4629180792671596e-09 / 4)
    z = t * t
    s = fma32(fma32(fma32(_F(-1.9515295891e-4), z, _F(8.3321608736e-3)), z, _F(-1.6666654611e-1)), z * t, t)
    c = fma32(
        fma32(fma32(_F(2.443315711809948e-5), z, _F(-1.388731625493765e-3)), z, _F(4.166664568298827e-2)),
        z * z,
        fma32(_F(-0.5), z, _F(1)),
    )
    odd = and32(quadrant, _U(1)) != _U(0)
    sine = c if odd else s
    cosine = s if odd else c
    sine = flip_sign(sine, shl32(and32(quadrant, _U(2)), _U(30)))
    cosine = flip_sign(cosine, shl32(and32(add32(quadrant, _U(1)), _U(2)), _U(30)))
    return sine, cosine


@njit(inline="always")
def normal_density32(x):
    """Density of the standard normal law."""
    return _F(0.3989422804014327) * exp32(_F(-0.5) * x * x)


@njit(inline="always")
def normal_cdf32(x):
    """Standard normal distribution function, to 3e-7 absolute (Abramowitz and Stegun 7.1.26)."""
    a = abs(x) * _F(0.7071067811865476)
    t = _F(1) / fma32(_F(0.3275911), a, _F(1))
    p = fma32(_F(1.061405429), t, _F(-1.453152027))
    p = fma32(p, t, _F(1.421413741))
    p = fma32(p, t, _F(-0.284496736))
    p = fma32(p, t, _F(0.254829592))
    # The exponential as in the density, so that a caller of both computes it once.
    tail = _F(0.5) * p * t * exp32(_F(-0.5) * x * x)
    return tail if x < _F(0) else _F(1) - tail
