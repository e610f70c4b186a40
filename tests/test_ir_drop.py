"""The position-quadratic approximation of IR drop: a worked example, its limits, and the exact circuit."""

from __future__ import annotations

import naive_wires
import numpy as np
import pytest

from reliability.errors import UserError
from reliability.ir_drop import WIRE_RATIO, quadratic_ir_drop

WEIGHTS = np.array([[0.5, -0.25, 1.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
INPUTS = np.array([1.0, 0.5, -1.0, 0.25])


def test_worked_example():
    """a = (0.065, 0.024), of which the cubic makes (0.031669, 0.011885)."""
    found = quadratic_ir_drop(WEIGHTS, INPUTS, wire_ratio=100)
    np.testing.assert_allclose(found, [-0.599517, 0.001040], atol=5e-7)


def test_default_wires_change_little():
    assert pytest.approx(571_429, abs=0.5) == WIRE_RATIO
    change = quadratic_ir_drop(WEIGHTS, INPUTS) - WEIGHTS @ INPUTS
    assert np.abs(change).max() == pytest.approx(5e-6, rel=0.1)


def test_without_scale_it_is_the_product():
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    np.testing.assert_allclose(quadratic_ir_drop(WEIGHTS, x, scale=0.0), x @ WEIGHTS.T, rtol=1e-14)


def test_a_batch_is_its_inputs_one_by_one():
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    found = quadratic_ir_drop(WEIGHTS, x, wire_ratio=50, scale=0.7)
    assert found.shape == (3, 5, 2)
    for place in np.ndindex(3, 5):
        np.testing.assert_allclose(
            found[place], quadratic_ir_drop(WEIGHTS, x[place], wire_ratio=50, scale=0.7)
        )


def test_small_drops_of_equal_cells_are_near_the_exact_ones():
    """For what it is made for, one bit line of equal cells, it finds the drop to 2 % of it."""
    rows, g_us, ohm = 100, 5.0, 0.35
    exact = naive_wires.effective_conductance(np.full((rows, 1), g_us), 0.0, ohm).sum() / g_us
    found = quadratic_ir_drop(np.ones((1, rows)), np.ones(rows), wire_ratio=1e6 / ohm / g_us)[0]
    assert (rows - found) / (rows - exact) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "weights, inputs, options, sentence",
    [
        (np.ones(4), np.ones(4), {}, r"weights have shape \(4,\), must have two axes"),
        (np.ones((0, 4)), np.ones(4), {}, r"weights have shape \(0, 4\)"),
        (np.ones((2, 4)), np.ones(3), {}, r"inputs have shape \(3,\), their last axis must be the 4 rows"),
        (np.ones((2, 4)), np.float64(1), {}, r"inputs have shape \(\)"),
        (np.ones((2, 4)), np.ones(4), {"wire_ratio": 0.0}, "wire_ratio = 0.0 must be a positive number"),
        (np.ones((2, 4)), np.ones(4), {"wire_ratio": np.nan}, "wire_ratio = nan must be"),
        (np.ones((2, 4)), np.ones(4), {"scale": -1.0}, "scale = -1.0 must be a number of at least 0"),
    ],
)
def test_wrong_values(weights, inputs, options, sentence):
    with pytest.raises(UserError, match=sentence):
        quadratic_ir_drop(weights, inputs, **options)
