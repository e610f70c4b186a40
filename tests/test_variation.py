"""Correlated variation: every level against its variance, the field against its covariance."""

from __future__ import annotations

import numpy as np
import pytest
from effects_chip import G_US, IDEAL, cells
from scipy import stats

import reliability as rl
from reliability.errors import UserError
from reliability.layers import Linear, ReLU
from reliability.network import Network, Node


def deviations(
    columns: int = 1000, rows: int = 1000, *, number: int = 0, array: rl.Tile | None = None, **sigmas
):
    """Relative deviation of each cell of one array."""
    chip = rl.Chip(device=IDEAL, variation=rl.Variation(**sigmas), tile=array or rl.Tile())
    return cells(chip, columns, rows, number=number).astype(np.float64) / G_US - 1


def test_cells_vary_by_themselves():
    d = deviations(cell=0.1)
    assert abs(d.mean()) < 4 * 0.1 / 1e3
    assert d.std() == pytest.approx(0.1, rel=4 / np.sqrt(2e6))
    assert abs((d[1:] * d[:-1]).mean()) < 4 * 0.01 / 1e3


def test_a_tile_varies_as_one():
    d = deviations(array=rl.Tile(rows=10, columns=10), tile=0.1).reshape(100, 10, 100, 10)
    assert np.ptp(d, axis=(1, 3)).max() < 1e-6
    of_tile = d[:, 0, :, 0]
    assert abs(of_tile.mean()) < 4 * 0.1 / 100
    assert of_tile.std() == pytest.approx(0.1, rel=4 / np.sqrt(2e4))


@pytest.mark.parametrize("level", ["wafer", "die"])
def test_a_chip_varies_as_one_in_all_layers(level):
    weight = np.ones((4, 4), np.float32)
    nodes = (
        Node("a", Linear(weight, None), ("input",)),
        Node("r", ReLU(), ("a",)),
        Node("b", Linear(weight, None), ("r",)),
    )
    chip = rl.Chip(device=IDEAL, variation=rl.Variation(**{level: 0.1}))
    found = [rl.chip_weights(Network(nodes, (4,)), chip, number=n) for n in range(2000)]
    assert all(np.ptp([w["a"], w["b"]]) == 0 for w in found)
    d = np.array([w["a"][0, 0] for w in found]) - 1
    assert abs(d.mean()) < 4 * 0.1 / np.sqrt(2000)
    assert d.std() == pytest.approx(0.1, rel=4 / np.sqrt(4000))


def test_chips_of_one_wafer_share_its_deviation():
    own, one = (
        [deviations(2, 2, number=n, wafer=0.1, wafers=w)[0, 0] for n in range(5)] for w in ("own", "one")
    )
    assert len(set(own)) == 5 and len(set(one)) == 1


def test_variances_of_all_levels_add_up():
    sigmas = {"wafer": 0.01, "die": 0.02, "tile": 0.03, "cell": 0.04, "field": 0.05}
    tile = rl.Tile(rows=8, columns=8)
    d = np.array([deviations(16, 16, number=n, array=tile, **sigmas)[::8, ::8] for n in range(3000)])
    assert d.var() == pytest.approx(sum(s * s for s in sigmas.values()), rel=0.1)
    # Two tiles of a chip have the wafer and the die in common.
    shared = np.mean(d[:, 0, 0] * d[:, 1, 1])
    assert shared == pytest.approx(0.01**2 + 0.02**2, abs=4 * d.var() / np.sqrt(3000))


def test_the_field_has_its_covariance_within_a_tile():
    length = 6.0
    d = np.array(
        [
            deviations(40, 40, number=n, array=rl.Tile(rows=20, columns=20), field=0.1, field_length=length)
            for n in range(2000)
        ]
    )
    assert d.var() == pytest.approx(0.01, rel=0.05)
    corner = d[:, 0, 0]
    for i, j in [(0, 1), (1, 0), (3, 2), (0, 8), (10, 10), (19, 0)]:
        expected = 0.01 * np.exp(-(i + j) / length)
        error = 4 * 0.01 * np.sqrt(2 / 2000)
        assert np.mean(corner * d[:, i, j]) == pytest.approx(expected, abs=error), (i, j)
    # The neighbour across a tile's edge belongs to another field.
    assert abs(np.mean(d[:, 19, 5] * d[:, 20, 5])) < 4 * 0.01 / np.sqrt(2000)
    assert abs(np.mean(d[:, 5, 19] * d[:, 5, 20])) < 4 * 0.01 / np.sqrt(2000)


def test_the_field_is_normal_everywhere():
    d = np.array([deviations(12, 12, number=n, field=0.1, field_length=4.0)[11, 11] for n in range(3000)])
    assert stats.kstest(d / 0.1, "norm").pvalue > 1e-3


def test_conductance_stays_above_zero():
    assert deviations(cell=2.0).min() >= -1


@pytest.mark.parametrize(
    ("field", "value"), [("die", -0.1), ("cell", "much"), ("field_length", 0.0), ("wafers", "two")]
)
def test_wrong_fields_are_named(field, value):
    with pytest.raises(UserError, match=f"variation.{field}"):
        rl.Variation(**{field: value})
