"""Effective conductances of tiles with resistive wires: closed forms, the nodal equations, and symmetries."""

from __future__ import annotations

import itertools

import naive_wires
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliability.kernels.mesh import eliminate, keep_ports, links_size, padded, row_at
from reliability.kernels.wires import WIRES, attenuate, work_size

SENTINEL = -12345.0
AT, GAP = 7, 3
OHMS = ("word_ohm", "bit_ohm", "driver_ohm", "sense_ohm")


def effective(g_us: np.ndarray, *ohm: float, both: bool = False, dtype: type = np.float64) -> np.ndarray:
    """The kernel's effective conductances, in float64; it may touch nothing but the cells and its scratch."""
    rows, columns = g_us.shape
    lines = np.full((columns, rows + GAP), SENTINEL, dtype)
    lines[:, :rows] = g_us.T
    g = np.concatenate([np.full(AT, SENTINEL, dtype), lines.ravel()])
    size = work_size(rows, columns)
    work = np.concatenate([np.full(size, np.nan, dtype), np.full(99, SENTINEL, dtype)])
    wires = np.zeros(1, WIRES)
    wires[0] = (*ohm, both)
    attenuate(g, AT, rows + GAP, rows, columns, wires[0], work)
    lines = g[AT:].reshape(columns, -1)
    for beside in (g[:AT], lines[:, rows:], work[size:]):
        assert (beside == SENTINEL).all()
    return lines[:, :rows].T.astype(np.float64)


def conductances(rows: int, columns: int, on_off: float, seed: int = 0) -> np.ndarray:
    """Between 100 uS / ``on_off`` and 100 uS, uniform in the logarithm, representable in float32."""
    random = np.random.default_rng((seed, rows, columns))
    g_us = 100 * on_off ** -random.random((rows, columns))
    return g_us.astype(np.float32).astype(np.float64)


def check(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    """Every entry, small ones too, has its own relative accuracy."""
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=0)


def check_nodal(g_us: np.ndarray, ohms: tuple[float, ...], both: bool, columns: list[int] | None = None):
    """Every entry that the rounding of the nodal equations' own solution leaves to compare."""
    wanted = naive_wires.effective_conductance(g_us, *ohms, both, columns)
    found = effective(g_us, *ohms, both=both)[:, columns or slice(None)]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-15 * wanted.max())


def ladder(cells: int, series: float, shunt: float, head: float) -> np.ndarray:
    """Voltages along a uniform ladder per volt at its source, from the difference equation's solution.

    ``series`` ohm between neighbouring nodes, ``shunt`` siemens from each to ground, ``head`` ohm between
    source and first node. ``v[k + 1] - 2 v[k] + v[k - 1] = series * shunt * v[k]`` and an open end give
    ``v[k] ~ cosh((cells - 1/2 - k) * angle)`` with ``cosh(angle) = 1 + series * shunt / 2``.
    """
    angle = 2 * np.arcsinh(np.sqrt(series * shunt) / 2)
    v = np.cosh((cells - 0.5 - np.arange(cells)) * angle)
    v /= v[0]
    return v / (1 + head * shunt * v.sum())


LENGTHS = [1, 2, 7, 8, 9, 16, 17, 100, 256, 300]
SEGMENTS = [0.01, 3.0, 200.0]


@pytest.mark.parametrize("cells", LENGTHS)
@pytest.mark.parametrize("word", SEGMENTS)
def test_one_word_line_is_a_ladder(cells, word):
    """At 200 ohm its end sees 1e-12 of the voltage."""
    g_us, driver, sense = 64.0, 50.0, 20.0
    shunt = 1 / (1e6 / g_us + sense)
    wanted = 1e6 * shunt * ladder(cells, word, shunt, driver)
    check(effective(np.full((1, cells), g_us), word, 1e3, driver, sense)[0], wanted, 1e-12)
    found = effective(np.full((1, cells), g_us), word, 1e3, driver, sense, dtype=np.float32)
    check(found[0], wanted, 3e-6)


@pytest.mark.parametrize("cells", LENGTHS)
@pytest.mark.parametrize("bit", SEGMENTS)
def test_one_bit_line_is_a_ladder(cells, bit):
    """By reciprocity: with the volt at its lower end, and the sources as grounds."""
    g_us, driver, sense = 64.0, 50.0, 20.0
    shunt = 1 / (1e6 / g_us + driver)
    wanted = 1e6 * shunt * ladder(cells, bit, shunt, sense)
    check(effective(np.full((cells, 1), g_us), 1e3, bit, driver, sense)[::-1, 0], wanted, 1e-12)
    found = effective(np.full((cells, 1), g_us), 1e3, bit, driver, sense, dtype=np.float32)
    check(found[::-1, 0], wanted, 3e-6)


def test_ideal_sources_make_a_ladder_of_every_bit_line():
    """Without resistance in word lines and drivers, sources hold all nodes of a word line."""
    g_us, bit, sense = 64.0, 200.0, 500.0
    wanted = g_us * ladder(256, bit, g_us * 1e-6, sense)[::-1, None]
    check(effective(np.full((256, 50), g_us), 0.0, bit, 0.0, sense), np.tile(wanted, 50), 1e-9)


@pytest.mark.parametrize("half", [1, 4, 8, 50, 128])
def test_a_line_driven_from_both_ends_is_two_ladders(half):
    """Nothing flows across its middle."""
    g_us, word, driver = 40.0, 3.0, 50.0
    found = effective(np.full((1, 2 * half), g_us), word, 0.0, driver, 0.0, both=True)
    one = g_us * ladder(half, word, g_us * 1e-6, driver)
    check(found[0], np.concatenate([one, one[::-1]]), 1e-9)


def test_one_cell_is_a_series_connection():
    found = effective(np.array([[50.0]]), 1e9, 1e9, 300.0, 700.0)
    check(found, np.array([[1e6 / (2e4 + 1000)]]), 1e-14)
    found = effective(np.array([[50.0]]), 1e9, 1e9, 300.0, 700.0, both=True)
    check(found, np.array([[1e6 / (2e4 + 850)]]), 1e-14)


def test_two_by_two_with_one_resistance():
    """Word segments only: sources of the first column are ideal, those of the second stand behind 1 kohm."""
    g_us = np.array([[100.0, 200.0], [300.0, 400.0]])
    found = effective(g_us, 1e3, 0.0, 0.0, 0.0)
    behind = 1e6 / (1e6 / g_us[:, 1] + 1e3)
    check(found, np.column_stack([g_us[:, 0], behind]), 1e-9)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("ohm", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("on_off", [1.0, 1e6])
@pytest.mark.parametrize("rows, columns", [(16, 16), (64, 64), (30, 90), (128, 5), (3, 128)])
def test_nodal_equations(rows, columns, on_off, ohm, both):
    check_nodal(conductances(rows, columns, on_off), (ohm, 0.7 * ohm, 2 * ohm, 3 * ohm), both)


@pytest.mark.parametrize("on_off, ohm, both", [(1e6, 1.0, False), (1.0, 0.01, False), (1e2, 100.0, True)])
def test_nodal_equations_of_256_rows(on_off, ohm, both):
    check_nodal(conductances(256, 256, on_off), (ohm, ohm, ohm, ohm), both, columns=[0, 100, 255])


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_nodal_equations_of_all_of_256_rows(both):
    check_nodal(conductances(256, 256, 1e6), (1.0, 2.0, 0.0, 5.0), both)


@given(
    rows=st.integers(1, 45),
    columns=st.integers(1, 45),
    ohms=st.tuples(*[st.sampled_from([0.0, 0.01, 1.0, 33.0])] * 4),
    both=st.booleans(),
    zeros=st.sampled_from([0.0, 0.5, 0.95]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_any_shape_any_resistance_zero_and_cells_that_do_not_conduct(rows, columns, ohms, both, zeros, seed):
    g_us = conductances(rows, columns, 1e6, seed)
    g_us[np.random.default_rng(seed).random(g_us.shape) < zeros] = 0
    check_nodal(g_us, ohms, both)
    exact = effective(g_us, *ohms, both=both)
    found = effective(g_us, *ohms, both=both, dtype=np.float32)
    assert np.abs(found - exact).max() <= 3e-6 * exact.max()


@pytest.mark.parametrize("zero", [z for z in itertools.product([0, 1], repeat=4) if any(z)])
@pytest.mark.parametrize("both", [False, True])
def test_any_resistance_may_be_zero(zero, both):
    g_us = conductances(70, 51, 1e4)
    ohms = tuple(2.0 * z for z in zero)
    check_nodal(g_us, ohms, both)
    check(effective(g_us, *ohms, both=both, dtype=np.float32), effective(g_us, *ohms, both=both), 3e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_resistance_nothing_changes(dtype):
    g_us = conductances(40, 30, 1e6)
    assert (effective(g_us, 0.0, 0.0, 0.0, 0.0, dtype=dtype) == g_us).all()


@pytest.mark.parametrize("both", [False, True])
def test_with_hardly_any_resistance_hardly_anything_changes(both):
    g_us = conductances(100, 120, 1e6)
    for ohm in (1e-9, 1e-12, 1e-15):
        # At most the drop that all current of a line makes in all of its wire.
        bound = 250 * ohm * 120 * 100e-6
        check(effective(g_us, ohm, ohm, ohm, ohm, both=both), g_us, bound + 1e-10)
        check(effective(g_us, ohm, ohm, ohm, ohm, both=both, dtype=np.float32), g_us, bound + 2e-6)


def test_source_and_ground_swap_places():
    """Reciprocity: the tile mirrored at its rising diagonal, with the two kinds of lines exchanged."""
    g_us = conductances(37, 61, 1e4)
    found = effective(g_us, 1.0, 2.0, 3.0, 4.0)
    mirrored = effective(g_us[::-1, ::-1].T.copy(), 2.0, 1.0, 4.0, 3.0)
    check(mirrored[::-1, ::-1].T, found, 1e-11)


def test_both_ends_are_alike():
    g_us = conductances(37, 61, 1e4)
    found = effective(g_us, 1.0, 2.0, 3.0, 4.0, both=True)
    check(effective(g_us[:, ::-1].copy(), 1.0, 2.0, 3.0, 4.0, both=True)[:, ::-1], found, 1e-11)


def test_segments_before_the_first_and_behind_the_last_cell():
    """badcrossbar's circuit is this one with its segments for driver and sense resistance."""
    g_us = conductances(20, 33, 1e2)
    wider = np.zeros((21, 34))
    wider[:20, 1:] = g_us
    found = effective(wider, 5.0, 6.0, 0.0, 0.0)[:20, 1:]
    check(found, effective(g_us, 5.0, 6.0, 5.0, 6.0), 1e-9)


def test_columns_that_do_not_conduct_carry_nothing():
    g_us = conductances(50, 40, 1e2)
    g_us[:, 7] = 0
    for dtype in (np.float32, np.float64):
        found = effective(g_us, 1.0, 1.0, 1.0, 1.0, dtype=dtype)
        assert (found[:, 7] == 0).all()
        assert (effective(np.zeros((50, 40)), 1.0, 1.0, 1.0, 1.0, dtype=dtype) == 0).all()
        others = np.delete(found, 7, axis=1)
        assert (others > 0).all()


def test_wires_only_take_away():
    """No source gives more current in all, and more resistance leaves less of it."""
    g_us = conductances(64, 64, 1e2)
    before = g_us.sum(axis=1)
    for ohm in (0.1, 1.0, 10.0, 100.0):
        given = effective(g_us, ohm, ohm, ohm, ohm).sum(axis=1)
        assert (given < before).all()
        before = given


@pytest.mark.parametrize("rows, columns", [(64, 64), (256, 256), (200, 77)])
@pytest.mark.parametrize("both", [False, True])
def test_float32(rows, columns, both):
    """Largest where all cells are equal, so that roundings repeat themselves."""
    for on_off, ohm in itertools.product((1.0, 1e2, 1e6), (0.01, 1.0, 100.0)):
        g_us = conductances(rows, columns, on_off)
        exact = effective(g_us, ohm, ohm, ohm, ohm, both=both)
        error = effective(g_us, ohm, ohm, ohm, ohm, both=both, dtype=np.float32) / exact - 1
        assert np.abs(error).max() <= (3e-6 if on_off == 1 else 2e-6)
        assert np.sqrt(np.mean(error**2)) <= 6e-7


def test_denormals_stay_what_they_are_elsewhere():
    effective(conductances(9, 9, 1e2), 1.0, 1.0, 1.0, 1.0, dtype=np.float32)
    assert np.float32(1e-30) * np.float32(1e-10) > 0


def test_scratch_is_enough_for_any_shape():
    """``effective`` checks the elements behind it."""
    for rows, columns in itertools.product([1, 8, 9, 33, 65, 130], [1, 7, 17, 64, 129]):
        effective(np.ones((rows, columns)), 1.0, 1.0, 1.0, 1.0, both=True)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 1e-5)])
@pytest.mark.parametrize("n, m", [(2, 1), (17, 5), (20, 16), (60, 16), (75, 40), (130, 33)])
def test_elimination_is_a_schur_complement(n, m, dtype, tolerance):
    random = np.random.default_rng((n, m))
    links = np.triu(random.random((n, n)), 1)
    flat = np.zeros(links_size(n), dtype)
    for a, b in zip(*np.triu_indices(n, 1), strict=True):
        flat[row_at(n, a) + b] = links[a, b]
    eliminate(flat, n, m, n, 0, np.empty(16 * padded(n), dtype))
    ports = np.empty(links_size(n - m) + 16, dtype)
    keep_ports(np.append(flat, np.zeros(16, dtype)), n, m, ports)
    laplacian = -(links + links.T)
    laplacian -= np.diag(laplacian.sum(axis=1))
    inner = np.linalg.solve(laplacian[:m, :m], laplacian[:m, m:])
    wanted = laplacian[m:, :m] @ inner - laplacian[m:, m:]
    for a, b in zip(*np.triu_indices(n - m, 1), strict=True):
        assert ports[row_at(n - m, a) + b] == pytest.approx(wanted[a, b], rel=tolerance)
