"""Wires of a tile: the time of the exact solution, and the errors of three cheaper things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu
from tables import print_table
from timing import alternate, medians

from reliability.ir_drop import quadratic_ir_drop
from reliability.kernels.wires import WIRES, attenuate, work_size

SIDES = (64, 128, 256)
G_MAX_US, G_MIN_US = 100.0, 1.0
DROPS = (0.01, 0.05, 0.1, 0.2, 0.4)
SIDE = 128
"""Rows and columns of the tiles whose errors are measured."""
NOISE = 0.02
DRAWS = 200
INPUTS = 200


def report(rounds: int) -> None:
    """Print the times, then the errors."""
    _report_times(rounds)
    _report_errors()


def effective(g_us: np.ndarray, *ohm: float, dtype: type = np.float64) -> np.ndarray:
    """The effective conductances of a tile, rows x columns, in uS."""
    rows, columns = g_us.shape
    g = g_us.T.astype(dtype).ravel()
    wires = np.zeros(1, WIRES)
    wires[0] = (*ohm, 0)
    attenuate(g, 0, rows, rows, columns, wires[0], np.empty(work_size(rows, columns), dtype))
    return g.reshape(columns, rows).T


def currents(g_us: np.ndarray, ohm: float, volts: np.ndarray) -> np.ndarray:
    """Currents of one input from the nodal equations, assembled by NumPy and factored by SuperLU, in uA.

    Of the tile with ``ohm`` everywhere: segments, drivers and sense resistances.
    """
    rows, columns = g_us.shape
    word = np.arange(rows * columns).reshape(rows, columns)
    bit = word + word.size
    us = 1e6 / ohm
    pairs = [(word, bit), (word[:, :-1], word[:, 1:]), (bit[:-1], bit[1:])]
    a, b = (np.concatenate([pair[end].ravel() for pair in pairs]) for end in range(2))
    link = np.concatenate([g_us.ravel(), np.full(a.size - g_us.size, us)])
    nodes = np.arange(2 * word.size)
    whole = np.bincount(a, link, nodes.size) + np.bincount(b, link, nodes.size)
    whole[word[:, 0]] += us
    whole[bit[-1]] += us
    places = (np.concatenate([a, b, nodes]), np.concatenate([b, a, nodes]))
    matrix = csc_matrix((np.concatenate([-link, -link, whole]), places))
    given = np.zeros(nodes.size)
    given[word[:, 0]] = us * volts
    return us * splu(matrix).solve(given)[bit[-1]]


def cells(random: np.random.Generator, side: int) -> np.ndarray:
    """Conductances uniform between the smallest and the largest, in uS."""
    return random.uniform(G_MIN_US, G_MAX_US, (side, side))


def _report_times(rounds: int) -> None:
    contenders: dict[tuple[str, int], tuple[Callable[[], object], int]] = {}
    for side in SIDES:
        random = np.random.default_rng(side)
        g_us, volts = cells(random, side), random.random(side)
        found = effective(g_us, 1.0, 1.0, 1.0, 1.0, dtype=np.float32).T @ volts
        np.testing.assert_allclose(found, currents(g_us, 1.0, volts), rtol=1e-5)
        many = 4096 // side // 8

        def ours(g_us=g_us, many=many):
            for _ in range(many):
                effective(g_us, 1.0, 1.0, 1.0, 1.0, dtype=np.float32)

        contenders[f"ours {side}", 1] = (ours, many)
        contenders[f"SciPy {side}", 1] = (lambda g=g_us, v=volts: currents(g, 1.0, v), 1)
    ms = {name: 1e3 * seconds for (name, _), seconds in medians(alternate(contenders, rounds)).items()}
    print(
        "\n## Wires: a tile's effective matrix in float32, and SciPy's currents for one input, threads: 1\n"
    )
    print_table(
        ["rows x columns", "ours, ms", "SciPy, ms", "ratio"],
        [
            [f"{n} x {n}", ms[f"ours {n}"], ms[f"SciPy {n}"], ms[f"ours {n}"] / ms[f"SciPy {n}"]]
            for n in SIDES
        ],
    )


@dataclass(frozen=True)
class Case:
    """One tile at one mean drop of the currents.

    Attributes
    ----------
    g_us : ndarray
    x : ndarray, shape (INPUTS, SIDE)
        Inputs, uniform between 0 and 1.
    ohm : tuple of float
        Of word line and bit line segments, drivers and sense resistances.
    exact : ndarray
        Effective conductances, in uS.
    """

    g_us: np.ndarray
    x: np.ndarray
    ohm: tuple[float, float, float, float]
    exact: np.ndarray


def case(drop: float, word: bool) -> Case:
    """The segments' resistance that takes this share of all currents; with or without that of word lines."""
    random = np.random.default_rng(0)
    g_us, x = cells(random, SIDE), random.random((INPUTS, SIDE))
    low, high = 1e-3, 1e3
    while high / low > 1.0001:
        middle = np.sqrt(low * high)
        exact = effective(g_us, middle * word, middle, 0.0, 0.0)
        low, high = (middle, high) if 1 - exact.sum() / g_us.sum() < drop else (low, middle)
    ohm = (middle * word, middle, 0.0, 0.0)
    return Case(g_us, x, ohm, effective(g_us, *ohm))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def mask_error(own: Case) -> float:
    """Error of ``G * M(G0) / G0`` over what programming noise does to the sums (rms)."""
    random = np.random.default_rng(1)
    mask = own.exact / own.g_us
    errors, effects = [], []
    for _ in range(DRAWS // 10):
        noisy = np.maximum(own.g_us + NOISE * G_MAX_US * random.standard_normal(own.g_us.shape), 0)
        exact = effective(noisy, *own.ohm)
        errors.append(own.x @ (mask * noisy - exact))
        effects.append(own.x @ (exact - own.exact))
    return _rms(np.array(errors)) / _rms(np.array(effects))


def read_noise(own: Case) -> tuple[float, float]:
    """Variance of the sums by ``M / G`` over that of solved tiles: of all columns, and of the farthest."""
    random = np.random.default_rng(2)
    sigma_us = NOISE * own.g_us
    sums = np.array(
        [
            own.x @ (effective(own.g_us + sigma_us * random.standard_normal(sigma_us.shape), *own.ohm))
            for _ in range(DRAWS)
        ]
    )
    exact = sums.var(axis=0, ddof=1)
    found = own.x**2 @ (own.exact / own.g_us * sigma_us) ** 2
    far = slice(-SIDE // 8, None)
    return float(found.mean() / exact.mean()), float(found[:, far].mean() / exact[:, far].mean())


def quadratic_error(own: Case) -> tuple[float, float]:
    """Error of the position-quadratic approximation over the drop (rms), and the largest over a mean sum."""
    # The formula counts rows from where currents are sensed.
    w, x = own.g_us[::-1].T / G_MAX_US, own.x[:, ::-1]
    ratio = 1e6 / own.ohm[1] / G_MAX_US
    exact, ideal = own.x @ own.exact / G_MAX_US, x @ w.T
    error = quadratic_ir_drop(w, x, wire_ratio=ratio) - exact
    return _rms(error) / _rms(ideal - exact), float(np.abs(error).max() / ideal.mean())


def _report_errors() -> None:
    rows, formula = [], []
    for drop in DROPS:
        own = case(drop, word=True)
        rows.append([f"{drop:.0%}", own.ohm[1], mask_error(own), *read_noise(own)])
        without = case(drop, word=False)
        formula.append([f"{drop:.0%}", without.ohm[1], *quadratic_error(without), *quadratic_error(own)])
    print(f"\n## Wires: what cheaper things miss, {SIDE} x {SIDE} cells of {G_MIN_US:g} to {G_MAX_US:g} uS\n")
    print_table(
        [
            "mean drop",
            "segment, ohm",
            "mask of the targets: error over the effect of programming noise",
            "read noise by M / G: variance over the exact one",
            "the same, eighth of the columns farthest from the sources",
        ],
        rows,
    )
    print("\nThe position-quadratic approximation (aihwkit):\n")
    print_table(
        [
            "mean drop",
            "segment, ohm, bit lines only",
            "error over the drop",
            "largest error over a mean sum",
            "with word lines: error over the drop",
            "largest error over a mean sum",
        ],
        formula,
    )
