"""Telegraph noise against the closed form of the two-state Markov chain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from effects_chip import G_US, IDEAL, cells, layer_of
from naive import philox, uniform

import reliability as rl
from reliability.errors import UserError
from reliability.kernels.cells import realise
from reliability.kernels.latent import BLOCK
from reliability.kernels.layout import Workspace
from reliability.kernels.telegraph import trap_states
from reliability.plan import compile_plan

KEY = (np.uint32(11), np.uint32(12))


def states(moment: float, occupancy: float, blocks: int, chip: int = 0) -> np.ndarray:
    """Trap states of many cells at one moment, in units of the mean interval between events."""
    found = np.empty((blocks, BLOCK), np.float32)
    scratch = np.empty(3 * BLOCK, np.float32)
    for block in range(blocks):
        trap_states(moment, np.float32(occupancy), chip, 0, block, *KEY, found[block], scratch)
    return found.ravel()


def twin(moment: float, occupancy: float, device: int, chip: int = 0) -> int:
    """One cell's state, by going back from event to event."""
    window, until = math.floor(moment), np.float32(moment - math.floor(moment))
    counter = (device // 512) * 128 + device % 128
    while True:
        elapsed, last, event = np.float32(0), None, 1
        while True:
            words = philox((counter, chip, 64 * event, window % 2**32), tuple(int(k) for k in KEY))
            u = np.float32(uniform(words[device % 512 // 128]))
            elapsed = np.float32(elapsed - np.float32(math.log(u)))
            if elapsed > until:
                break
            last = int(math.fmod(float(u) * 4096, 1.0) < occupancy)
            event += 1
        if last is not None:
            return last
        window, until = window - 1, np.float32(1)


@pytest.mark.parametrize("moment", [0.0, 0.37, 12.9, 1e9 + 0.25])
def test_the_kernel_equals_its_twin(moment):
    fast = states(moment, 0.3, 1)
    assert [twin(moment, 0.3, d) for d in range(0, 512, 7)] == list(fast[::7])


def test_occupancy_and_autocorrelation_of_a_million_reads():
    """Reads at growing distances; each pair of moments is a million cells of one history each."""
    p, blocks = 0.3, 1954
    first = states(3.2, p, blocks)
    cells_read = first.size
    error = 4 / np.sqrt(cells_read)
    assert first.mean() == pytest.approx(p, abs=error * np.sqrt(p * (1 - p)))
    for distance in (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0):
        later = states(3.2 + distance, p, blocks)
        assert later.mean() == pytest.approx(p, abs=error * np.sqrt(p * (1 - p)))
        correlation = np.mean((first - p) * (later - p)) / (p * (1 - p))
        assert correlation == pytest.approx(np.exp(-distance), abs=1.5 * error), distance


def test_one_history_whichever_moments_are_looked_at():
    """Three moments in one window: the chain has no memory beyond its state."""
    p, blocks = 0.5, 400
    a, b, c = (states(7 + m, p, blocks) for m in (0.1, 0.4, 0.8))
    rise = np.exp(-0.4)
    stays = p + (1 - p) * rise
    for before in (0, 1):
        chosen = (b == 1) & (a == before)
        assert c[chosen].mean() == pytest.approx(stays, abs=4 * 0.5 / np.sqrt(chosen.sum()))


def test_a_long_record_of_one_cell():
    """A million reads in a row: of each of 512 cells, 2,000 moments at a quarter of the correlation time."""
    p, step = 0.4, 0.25
    record = np.array([states(k * step, p, 1) for k in range(2000)])
    # The reads of one cell are correlated: (1 + r) / (1 - r) of them count as one.
    r = np.exp(-step)
    error = np.sqrt(p * (1 - p) * (1 + r) / (1 - r) / record.size)
    assert record.mean() == pytest.approx(p, abs=4 * error)
    centred = record - p
    for lag in (1, 2, 4, 8):
        found = np.mean(centred[lag:] * centred[:-lag]) / (p * (1 - p))
        assert found == pytest.approx(r**lag, abs=0.012), lag
    # Stays at the upper level are geometric in steps: the chance to be up again after one step.
    up = record[:-1] == 1
    assert record[1:][up].mean() == pytest.approx(p + (1 - p) * r, abs=0.004)


@pytest.mark.parametrize("g", [1.0, 2.5, 10.0])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_amplitude_of_frozen_states_follows_its_law(g, exponent):
    telegraph = rl.Telegraph(amplitude=0.2, g_ref_us=5.0, exponent=exponent, occupancy=0.3, correlation_s=1e9)
    chip = rl.Chip(device=IDEAL, telegraph=telegraph)
    found = cells(chip, value=g / G_US).astype(np.float64)
    jump = min(0.2 * (g / 5.0) ** -exponent, 1.0) * g
    assert np.allclose(np.unique(found.round(4)), [g - 0.3 * jump, g + 0.7 * jump], rtol=2e-4)
    assert found.mean() == pytest.approx(g, abs=4 * jump * np.sqrt(0.21) / 1e3)
    assert found.var() == pytest.approx(0.21 * jump**2, rel=0.01)


def variance_of(telegraph: rl.Telegraph, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of 250,000 cells and the variance of what a read redraws of each."""
    network = layer_of(500, 500)
    x, labels = np.zeros((inputs, 500), np.float32), np.zeros(inputs, np.int64)
    chip = rl.Chip(device=IDEAL, mapping=rl.Mapping(weight_max=1.0), telegraph=telegraph)
    plan = compile_plan(network, x, labels, chip)
    work = Workspace(*(array[0] for array in plan.workspaces(1)))
    realise(plan.arrays, work, 0, 0, True, False, False, 0, 0)
    layer = plan.arrays.layers[0]
    variance = np.zeros(250_000, np.float32)
    if layer["variance_at"] >= 0:
        variance = work.variance[layer["variance_at"] :][:250_000]
    return work.weights[:250_000], variance


def test_the_limits_of_frozen_and_independent_reads():
    options = {"amplitude": 0.2, "g_ref_us": G_US, "occupancy": 0.5, "read_interval_s": 1e-3}
    slow, fast = (rl.Telegraph(correlation_s=t, **options) for t in (1e6, 1e-6))
    w, variance = variance_of(slow, 100)
    assert np.allclose(np.abs(w - 1), 0.1, rtol=1e-5) and not variance.any()
    w, variance = variance_of(fast, 100)
    assert np.allclose(w, 1) and np.allclose(variance, 0.01, rtol=1e-5)


def test_between_the_limits_frozen_cells_give_the_mean_correlation_of_pairs():
    telegraph = rl.Telegraph(
        amplitude=0.2, g_ref_us=G_US, occupancy=0.5, correlation_s=10e-6, read_interval_s=1e-6
    )
    share = telegraph.frozen_share(50)
    k = np.arange(1, 50)
    assert share == pytest.approx(2 * np.sum((50 - k) * np.exp(-k / 10)) / (50 * 49), rel=1e-12)
    w, variance = variance_of(telegraph, 50)
    frozen = variance == 0
    assert frozen.mean() == pytest.approx(share, abs=4 * 0.5 / 500)
    assert np.allclose(np.abs(w[frozen] - 1), 0.1, rtol=1e-5) and np.allclose(w[~frozen], 1)
    # Whatever is frozen, one read of one cell has the same mean and variance.
    assert np.var(w) + variance.mean() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("reads", [2, 3, 100, 10**6])
@pytest.mark.parametrize("step", [1e-9, 1e-4, 0.1, 3.0, 50.0])
def test_the_frozen_share_is_the_mean_over_pairs(reads, step):
    share = rl.Telegraph(amplitude=0.1, correlation_s=1.0, read_interval_s=step).frozen_share(reads)
    k = np.arange(1, reads, dtype=np.float64)
    exact = 2 * np.sum((reads - k) * np.exp(-k * step)) / (reads * (reads - 1.0))
    assert share == pytest.approx(exact, abs=2e-6)


def test_evaluation_times_see_one_history():
    telegraph = rl.Telegraph(amplitude=0.2, g_ref_us=G_US, exponent=0.0, occupancy=0.5, correlation_s=100.0)
    chip = rl.Chip(device=IDEAL, telegraph=telegraph)
    at = {t: np.sign(cells(chip, time_s=t) - G_US) for t in (0.0, 10.0, 200.0)}
    assert np.mean(at[0.0] * at[10.0]) == pytest.approx(np.exp(-0.1), abs=5e-3)
    assert np.mean(at[0.0] * at[200.0]) == pytest.approx(np.exp(-2), abs=5e-3)


def test_the_fluctuating_cell_has_unit_variance_states():
    cell = rl.fluctuating_cell(0.1, occupancy=0.2, g_ref_us=G_US)
    assert cell.frozen_share(1000) == 0
    w, variance = variance_of(cell, 10)
    assert np.allclose(w, 1) and np.allclose(variance, 0.01, rtol=1e-5)


def test_reads_redraw_noise_of_that_variance():
    """The margin of one output over many inputs: mean and variance of the sum over a column."""
    network = layer_of(4, 64)
    cell = rl.fluctuating_cell(0.1, g_ref_us=G_US)
    chip = rl.Chip(device=IDEAL, telegraph=cell, mapping=rl.Mapping(weight_max=1.0))
    x = np.ones((4000, 64), np.float32)
    seen = []
    rl.simulate(
        network, (x, np.zeros(4000, np.int64)), chip, chips=2, metric=lambda z, y: seen.append(z) or z[:, 0]
    )
    sums = np.concatenate([z[:, 0] for z in seen[1:]])
    assert sums.mean() == pytest.approx(64, abs=4 * 0.8 / np.sqrt(sums.size))
    assert sums.std() == pytest.approx(0.1 * 8, rel=4 / np.sqrt(2 * sums.size))


@pytest.mark.parametrize(
    ("field", "value"),
    [("amplitude", 1.5), ("occupancy", 0.0), ("correlation_s", 0.0), ("exponent", 3.0), ("g_ref_us", -1.0)],
)
def test_wrong_fields_are_named(field, value):
    with pytest.raises(UserError, match=f"telegraph.{field}"):
        rl.Telegraph(**{field: value})
