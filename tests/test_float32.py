"""Elementary functions in float32 against float64, over the whole range that the laws use."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from scipy import special

from reliability.kernels.float32 import exp32, log32, normal_cdf32, normal_density32, sincos_turns32
from reliability.kernels.latent import uniform_of_word

ULP = 2.0**-24  # largest relative error of rounding to float32


def elementwise(function):
    """The function over an array, in one loop that LLVM vectorises as it does in the kernels."""

    @njit(error_model="numpy")
    def run(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    def over(x):
        out = np.empty(x.size, np.float32)
        run(x, out)
        return out

    return over


@njit(error_model="numpy")
def _sincos(words, sine, cosine):
    for i in range(words.size):
        sine[i], cosine[i] = sincos_turns32(words[i])


def sincos(words):
    sine, cosine = np.empty((2, words.size), np.float32)
    _sincos(words, sine, cosine)
    return sine, cosine


log = elementwise(log32)
exp = elementwise(exp32)
density = elementwise(normal_density32)
cdf = elementwise(normal_cdf32)
uniform = elementwise(uniform_of_word)


def relative_error(found, exact):
    return np.max(np.abs(found - exact) / np.maximum(np.abs(exact), np.finfo(np.float32).tiny))


def test_log_of_every_float_from_a_half_to_two():
    x = np.arange(0x3F000000, 0x40000000, dtype=np.uint32).view(np.float32)
    assert relative_error(log(x), np.log(x.astype(np.float64))) < 2.5 * ULP


def test_log_of_every_exponent():
    mantissas = np.random.default_rng(1).integers(0, 1 << 23, 8192, dtype=np.uint32)
    exponents = np.arange(1, 255, dtype=np.uint32)[:, None] << np.uint32(23)
    x = (exponents | mantissas).ravel().view(np.float32)
    assert relative_error(log(x), np.log(x.astype(np.float64))) < 2.5 * ULP


def test_log_at_its_edges():
    x = np.array([1, 2.0**-33, np.finfo(np.float32).tiny, np.finfo(np.float32).max], np.float32)
    found = log(x)
    assert found[0] == 0
    np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=2 * ULP)


def test_exp_over_its_range():
    x = np.linspace(-87, 88, 4_000_001).astype(np.float32)
    assert relative_error(exp(x), np.exp(x.astype(np.float64))) < 3 * ULP


def test_exp_near_zero():
    x = np.concatenate([np.geomspace(1e-30, 1, 100_001), -np.geomspace(1e-30, 1, 100_001)]).astype(np.float32)
    assert relative_error(exp(x), np.exp(x.astype(np.float64))) < 3 * ULP
    assert exp(np.zeros(1, np.float32))[0] == 1


def test_exp_holds_arguments_beyond_its_range():
    found = exp(np.array([-1e30, -87, 88, 1e30, -np.inf, np.inf], np.float32))
    assert found[0] == found[1] == found[4] > 0
    assert found[2] == found[3] == found[5] < np.inf


def test_sine_and_cosine_of_all_angles():
    near = np.arange(-500, 501, dtype=np.int64)
    eighths = np.arange(0, 2**32, 2**29)
    words = [(eighths[:, None] + near).ravel() % 2**32, np.arange(0, 2**32, 1021)]
    words = np.concatenate(words).astype(np.uint32)
    angle = 2 * np.pi * (words / 2**32)
    sine, cosine = sincos(words)
    assert np.abs(sine - np.sin(angle)).max() < 2.5 * ULP
    assert np.abs(cosine - np.cos(angle)).max() < 2.5 * ULP
    # A small angle's sine keeps its relative accuracy: the normals near zero do.
    small = np.arange(1, 1000, dtype=np.uint32)
    assert relative_error(sincos(small)[0], np.sin(2 * np.pi * (small / 2**32))) < 3 * ULP


@pytest.mark.parametrize(("quarter", "sine", "cosine"), [(0, 0, 1), (1, 1, 0), (2, 0, -1), (3, -1, 0)])
def test_sine_and_cosine_of_quarter_turns_are_exact(quarter, sine, cosine):
    found = sincos(np.array([quarter << 30], np.uint32))
    assert (found[0][0], found[1][0]) == (sine, cosine)


def test_density_and_distribution_of_the_normal_law():
    x = np.linspace(-12, 12, 2_000_001).astype(np.float32)
    wide = x.astype(np.float64)
    exact = np.exp(-(wide**2) / 2) / np.sqrt(2 * np.pi)
    # exp32 of -x**2/2 carries the rounding of x**2/2, up to 72 here.
    assert relative_error(density(x), exact) < 80 * ULP
    assert np.abs(density(x) - exact).max() < 2 * ULP
    assert np.abs(cdf(x) - special.ndtr(wide)).max() < 3e-7
    assert cdf(np.array([-12], np.float32))[0] < 1e-30
    assert cdf(np.array([12], np.float32))[0] == 1


def test_distribution_function_is_symmetric_and_never_leaves_zero_to_one():
    x = np.linspace(0, 12, 100_001).astype(np.float32)
    below, above = cdf(-x), cdf(x)
    assert ((below >= 0) & (above <= 1)).all()
    assert np.abs(below + above - 1).max() <= 4 * ULP


def test_uniforms_of_the_extreme_words():
    words = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)
    assert uniform(words).tolist() == [2.0**-33, 3 * 2.0**-33, 0.5, 1.0]
