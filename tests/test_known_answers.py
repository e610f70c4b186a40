"""Small problems whose answers are known to seven digits: votes, maxima, a quantile, ladders, writes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from scipy.stats import qmc
from small_networks import chain, chip_logits
from test_wires import effective

import reliability as rl
from reliability.kernels.members import CHUNK, largest_members
from reliability.kernels.orthant import normal_quantile
from reliability.kernels.simd import VECTOR
from reliability.layers import Linear
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.vote import Vote
from reliability.mitigation.write_verify import acceptance, mean_cycles, residual_sigma
from reliability.propagation.activations import Clamp


def half_a_unit(digits: int) -> float:
    """How far a number may be from one that is printed with so many decimals."""
    return 0.5001 * 10.0**-digits


@pytest.mark.parametrize(("cure", "flip"), [(Redundancy(4), 0.1619699), (Vote(3), 0.2299212)])
def test_copies_keep_the_sign_of_a_neuron(cure, flip):
    """w.x = 0.15 of one copy flips with q = Phi(-0.15 / (s |x|)), most of three with 3 q**2 - 2 q**3."""
    w, x = np.array([0.3, -0.5, 0.8, 0.1], np.float32), np.array([[1, 0.5, 0.25, -1]], np.float32)
    margin = -0.15 / (0.2 * np.linalg.norm(x[0].astype(np.float64)))
    q = special.ndtr(margin)
    exact = special.ndtr(2 * margin) if isinstance(cure, Redundancy) else 3 * q**2 - 2 * q**3
    assert exact == pytest.approx(flip, abs=half_a_unit(7))
    # A weight is the difference of two devices. Equal columns err independently: each is a neuron.
    columns, chips = 64, 10_000
    chip = rl.Chip(rl.devices.gaussian(sigma=0.2 / np.sqrt(2)), rl.Mapping(weight_max=1.0))
    logits = chip_logits(chain((4,), Linear(np.tile(w, (columns, 1)))), x, cure.apply(chip), chips)
    error = np.sqrt(flip * (1 - flip) / (columns * chips))
    assert abs((logits < 0).mean() - flip) < 4 * error


# Of normals with means 0.2 and -0.1, variances 1 and 0.5 (C. E. Clark, Oper. Res. 9:145, 1961).
MAXIMA = [(0.0, 0.5531877, 0.5676781), (0.3, 0.4809630, 0.6436728)]


@pytest.mark.parametrize(("rho", "mean", "variance"), MAXIMA)
def test_a_maximum_from_moments_of_a_rectified_difference(rho, mean, variance):
    """max(a, b) = b + relu(a - b), and Cov(b, relu(d)) = Cov(b, d) P(d > 0) by Stein's lemma."""
    joint = rho * np.sqrt(0.5)
    found = Clamp().forward(np.array([0.3]), np.array([1.5 - 2 * joint]))
    assert found.mean[0] - 0.1 == pytest.approx(mean, abs=half_a_unit(7))
    total = found.variance[0] + 0.5 + 2 * found.gain[0] * (joint - 0.5)
    assert total == pytest.approx(variance, abs=half_a_unit(7))


@pytest.mark.parametrize(("rho", "_", "variance"), MAXIMA)
def test_members_vary_as_the_maximum_of_two_normals(rho, _, variance):
    members = 1 << 15
    u, v = special.ndtri(qmc.Sobol(2, scramble=False).random(members) + 0.5 / members).T
    deviations = np.stack([u, np.sqrt(0.5) * (rho * u + np.sqrt(1 - rho**2) * v)], axis=1)
    deviations = np.repeat(deviations[:, :, None].astype(np.float32), VECTOR, axis=2)
    y_mean, shares = np.empty(VECTOR, np.float32), np.zeros(2 * VECTOR, np.float32)
    y = np.empty((members, VECTOR), np.float32)
    largest_members(
        np.repeat(np.array([0.2, -0.1], np.float32), VECTOR), deviations.reshape(-1), 1, 1, 2, VECTOR, (1, 2),
        (1, 2), (0, 0), 1, 1, np.empty(2 * CHUNK, np.float32), y_mean, shares, y.reshape(-1),
    )  # fmt: skip
    np.testing.assert_allclose((y.astype(np.float64) ** 2).mean(axis=0), variance, atol=5e-4)


def test_normal_quantile_of_a_known_word():
    """The first word that Philox4x32-10 makes of zeros, in the middle of its step."""
    u = (0x6627E8D5 + 0.5) / 2**32
    assert u == pytest.approx(0.3990464708, abs=half_a_unit(10))
    assert normal_quantile(u) == pytest.approx(-0.2558159704, abs=half_a_unit(10))
    assert normal_quantile(1 - u) == pytest.approx(0.2558159704, abs=half_a_unit(10))


# Cells, ohm between nodes and before the first, siemens of a cell; voltage at the end and current per volt.
LADDERS = {
    "Fibonacci": (4, 1.0, 1.0, 1 / 34, 21 / 34),
    "64 cells": (64, 1.0, 1e-4, 0.8228369, 5.632997e-3),
    "256 cells": (256, 2.0, 2e-5, 0.3800923, 2.914961e-3),
}


@pytest.mark.parametrize(("cells", "ohm", "siemens", "end", "current"), LADDERS.values(), ids=LADDERS)
def test_ladders_of_wire_segments(cells, ohm, siemens, end, current):
    """v[k] = cosh((N - k + 1/2) a) / cosh((N + 1/2) a), 2 sinh(a / 2) = sqrt(ohm siemens)."""
    g_us = 1e6 * siemens
    word = effective(np.full((1, cells), g_us), ohm, 0.0, ohm, 0.0)[0]
    # By reciprocity a bit line, read at its lower end.
    bit = effective(np.full((cells, 1), g_us), 0.0, ohm, 0.0, ohm)[::-1, 0]
    for line in (word, bit):
        assert line[-1] / g_us == pytest.approx(end, abs=half_a_unit(7))
        assert line.sum() / 1e6 == pytest.approx(current, abs=half_a_unit(9))


@pytest.mark.parametrize("name", ["64 cells", "256 cells"])
def test_a_chip_with_one_word_line_is_a_ladder(name):
    """Equal weights of one input: what each output loses is the drop along the line up to its cell."""
    cells, ohm, siemens, end, current = LADDERS[name]
    wires = rl.Wires(word_ohm=ohm, bit_ohm=0.0, driver_ohm=ohm)
    device = rl.devices.ideal(g_max_us=1e6 * siemens)
    chip = rl.Chip(device, rl.Mapping(weight_max=1.0), rl.Tile(rows=1, columns=cells, wires=wires))
    net = chain((1,), Linear(np.ones((cells, 1), np.float32)))
    logits = chip_logits(net, np.ones((1, 1), np.float32), chip, 1)[0, 0]
    assert logits[-1] == pytest.approx(end, rel=3e-6)
    assert logits.sum() * siemens == pytest.approx(current, rel=3e-6)


@pytest.mark.parametrize(
    ("options", "cycles", "residual"),
    [
        ({}, 2.214870, 0.0338143),
        ({"max_cycles": 10}, 2.209410, 0.0343978),
        ({"noise": 0.02}, 2.253767, 0.0379966),
    ],
    ids=["until accepted", "ten at most", "noisy reads"],
)
def test_verified_writes(options, cycles, residual):
    """Normal errors of 0.1, drawn anew until they are within 0.06."""
    assert acceptance(0.1, 0.06) == pytest.approx(0.4514938, abs=half_a_unit(7))
    assert mean_cycles(0.1, 0.06, **options) == pytest.approx(cycles, abs=half_a_unit(6))
    assert residual_sigma(0.1, 0.06, **options) == pytest.approx(residual, abs=half_a_unit(7))
