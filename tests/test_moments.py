"""Mean and variance of weights: closed forms of the laws, and what realised chips hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from small_networks import chip_logits, inputs_of, mlp

import reliability as rl
from reliability.devices import gaussian, generic, ideal, pcm
from reliability.errors import UserError
from reliability.moments import cell_moments, weight_moments
from reliability.realisation import chip_weights

DAY = 86400.0
TARGETS = np.array([0.0, 0.5, 3.0, 12.5, 25.0])


def rectified(mean, sigma):
    """Mean and variance of a normal that is held at or above zero."""
    a = mean / sigma
    first = mean * stats.norm.cdf(a) + sigma * stats.norm.pdf(a)
    second = (mean**2 + sigma**2) * stats.norm.cdf(a) + mean * sigma * stats.norm.pdf(a)
    return first, second - first**2


def agree(found, mean, variance, tolerance=2e-3):
    np.testing.assert_allclose(found.mean, mean, rtol=tolerance, atol=1e-5)
    np.testing.assert_allclose(found.variance, variance, rtol=tolerance, atol=1e-5)


def test_gaussian():
    found = cell_moments(gaussian(sigma=0.08, read_sigma=0.02), TARGETS)
    agree(found, TARGETS, 4.0, 1e-5)
    np.testing.assert_allclose(found.read_variance, 0.25, rtol=1e-5)


def test_clamped_at_zero():
    sigma = 0.08 * 25
    found = cell_moments(gaussian(sigma=0.08, clamp=True), TARGETS)
    agree(found, *rectified(TARGETS, sigma))
    assert found.mean[0] == pytest.approx(sigma / np.sqrt(2 * np.pi), rel=1e-3)
    assert found.variance[0] == pytest.approx(sigma**2 * (0.5 - 0.5 / np.pi), rel=2e-3)


def test_pcm_programming():
    found = cell_moments(pcm(drift_scale=0, read_scale=0), TARGETS)
    g = TARGETS / 25
    agree(found, *rectified(TARGETS, 0.26348 + 1.9650 * g - 1.1731 * g**2))


def test_pcm_drift():
    found = cell_moments(pcm(programming_scale=0, read_scale=0), TARGETS[2:], time_s=DAY)
    log_time = np.log((DAY + 20) / 20)
    for g, mean, variance in zip(TARGETS[2:] / 25, found.mean, found.variance, strict=True):
        mu = np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1)
        s = np.clip(-0.0125 * np.log(g) - 0.0059, 0.008, 0.045)

        def moment(power, mu=mu, s=s):
            def shrunk(xi):
                return np.exp(-power * abs(mu + s * xi) * log_time) * stats.norm.pdf(xi)

            return integrate.quad(shrunk, -9, 9)[0]

        assert mean == pytest.approx(25 * g * moment(1), rel=1e-4)
        assert variance == pytest.approx((25 * g) ** 2 * (moment(2) - moment(1) ** 2), rel=2e-3)


def test_multiplicative():
    found = cell_moments(generic(sigma=0.2, unit="own"), TARGETS)
    agree(found, TARGETS, (0.2 * TARGETS) ** 2)


def test_lognormal():
    found = cell_moments(generic(sigma=0.3, unit="own", distribution="lognormal"), TARGETS)
    growth = np.exp(0.3**2)
    agree(found, TARGETS * np.sqrt(growth), TARGETS**2 * growth * (growth - 1), 5e-3)


def test_any_targets_are_between_those_of_a_table():
    targets = np.sort(np.random.default_rng(0).uniform(0, 25, (40, 25)))
    found = cell_moments(pcm(), targets, time_s=DAY)
    for i in range(0, 40, 13):
        exact = cell_moments(pcm(), targets[i], time_s=DAY)
        np.testing.assert_allclose(found.mean[i], exact.mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.variance[i], exact.variance, rtol=5e-3, atol=1e-5)


def test_telegraph_noise_is_frozen_in_part():
    noise = rl.Telegraph(amplitude=0.2, exponent=0.5, occupancy=0.3)
    whole = cell_moments(ideal(), TARGETS[1:], telegraph=noise)
    jump = np.minimum(0.2 * (25 / TARGETS[1:]) ** 0.5, 1) * TARGETS[1:]
    np.testing.assert_allclose(whole.variance, jump**2 * 0.3 * 0.7, rtol=1e-4)
    assert not whole.read_variance.any()
    part = cell_moments(ideal(), TARGETS[1:], telegraph=noise, frozen_share=0.25)
    np.testing.assert_allclose(part.variance, 0.25 * whole.variance)
    np.testing.assert_allclose(part.read_variance, 0.75 * whole.variance)


CHIPS = {
    "Gaussian": (rl.Chip(device=gaussian(sigma=0.08)), 0.0),
    "PCM": (rl.Chip(), DAY),
    "clamped": (rl.Chip(device=gaussian(sigma=0.1, clamp=True)), 0.0),
    "offset": (
        rl.Chip(device=gaussian(sigma=0.05), mapping=rl.Mapping(scheme="offset"), tile=rl.Tile(columns=7)),
        0.0,
    ),
    "offset PCM": (rl.Chip(mapping=rl.Mapping(scheme="offset", bias="devices")), 3600.0),
    "digits": (rl.Chip(mapping=rl.Mapping(slices=rl.Slices(count=3, fill="digits", bits=2))), DAY),
    "equal": (rl.Chip(mapping=rl.Mapping(slices=rl.Slices(count=2, fill="equal"))), DAY),
    "max": (
        rl.Chip(
            device=gaussian(sigma=0.05), mapping=rl.Mapping(slices=rl.Slices(count=2, fill="max", base=4))
        ),
        0.0,
    ),
    "stuck": (rl.Chip(device=gaussian(sigma=0.05), faults=rl.Faults(stuck_low=0.02, stuck_high=0.05)), 0.0),
    "worn": (rl.Chip(device=ideal(), faults=rl.Faults(cycles=3e7, worn_low=0.3)), 0.0),
    "telegraph": (rl.Chip(telegraph=rl.Telegraph(amplitude=0.3)), 10.0),
    "split": (rl.Chip(read_noise="split", observation_s=1e-3), DAY),
    "clipped": (rl.Chip(device=gaussian(sigma=0.05), mapping=rl.Mapping(weight_max=0.2)), 0.0),
}


@pytest.mark.parametrize("case", CHIPS)
def test_what_realised_chips_hold(case):
    chip, time_s = CHIPS[case]
    net, count = mlp(30, 24, 6), 240
    moments = weight_moments(net, chip, time_s=time_s)
    drawn = [chip_weights(net, chip, number=i, time_s=time_s) for i in range(count)]
    for name, own in moments.items():
        weights = np.stack([one[name] for one in drawn]).astype(np.float64)
        variance = own.variance.copy()
        if len(own.reference_variance):
            variance += own.reference_variance[own.reference_of]
        varies = variance > 1e-12 * variance.max()
        error = np.sqrt(variance[varies] / count)
        z = (weights.mean(axis=0) - own.mean)[varies] / error
        if not len(own.reference_variance):
            # Independent, so that what the means err by together is known.
            assert abs(z.mean()) < 4 / np.sqrt(z.size)
            assert abs(z.std() - 1) < 0.12
        assert np.abs(z).max() < 8
        spread = weights.var(axis=0, ddof=1)
        large = variance >= np.median(variance[varies])
        for part in (large, varies & ~large):
            if part.any():
                assert spread[part].mean() == pytest.approx(variance[part].mean(), rel=0.08)
        np.testing.assert_allclose(
            weights[:, ~varies], np.broadcast_to(own.mean[~varies], weights[:, ~varies].shape), atol=1e-5
        )


def test_columns_of_a_tile_share_a_reference():
    chip, _ = CHIPS["offset"]
    net = mlp(30, 24, 6)
    own = weight_moments(net, chip)["layer0"]
    np.testing.assert_array_equal(own.reference_of, np.arange(24) // 7)
    assert own.reference_variance.shape == (4, 30)
    weights = np.stack([chip_weights(net, chip, number=i)["layer0"] for i in range(400)])
    errors = weights - own.mean
    together = (errors[:, 0] * errors[:, 3]).mean()
    assert together == pytest.approx(own.reference_variance[0].mean(), rel=0.1)
    apart = (errors[:, 0] * errors[:, 8]).mean()
    assert abs(apart) < 0.1 * together


@pytest.mark.parametrize(
    "chip",
    [
        rl.Chip(device=gaussian(sigma=0.05, read_sigma=0.1)),
        rl.Chip(device=gaussian(sigma=0.05, read_sigma=0.1), mapping=rl.Mapping(scheme="offset")),
        rl.Chip(device=gaussian(sigma=0.05, read_sigma=0.1), mapping=rl.Mapping(bias="devices")),
    ],
    ids=["pair", "offset", "bias"],
)
def test_reads_add_their_variance_to_every_sum(chip):
    net = mlp(30, 12)
    x, _ = inputs_of(net, 40)
    own = weight_moments(net, chip)["layer0"]
    seen = chip_logits(net, x, chip, 300)
    lines = np.column_stack([x, np.ones(40)]) if own.mean.shape[1] == 31 else x
    variance = lines.astype(np.float64) ** 2 @ (own.variance + own.read_variance).T
    if len(own.reference_variance):
        variance += (lines.astype(np.float64) ** 2 @ own.reference_variance.T)[:, own.reference_of]
    assert seen.var(axis=0, ddof=1).mean() == pytest.approx(variance.mean(), rel=0.05)


def test_drift_compensation_is_in_the_moments_as_its_expected_factor():
    net, month = mlp(30, 24, 6), 30 * DAY
    plain = weight_moments(net, rl.Chip(), time_s=month)
    whole = weight_moments(net, rl.Chip(compensation="global"), time_s=month)
    for name, own in whole.items():
        assert own.factor > 1.2
        np.testing.assert_allclose(own.mean, own.factor * plain[name].mean)
        np.testing.assert_allclose(own.variance, own.factor**2 * plain[name].variance)
    single = mlp(30, 12)
    x, _ = inputs_of(single, 40)
    own = weight_moments(single, rl.Chip(compensation="global"), time_s=month)["layer0"]
    seen = chip_logits(single, x, rl.Chip(compensation="global"), 200, time_s=month)
    expected = x @ own.mean.T + single.nodes[0].layer.bias
    off = (seen.mean(axis=0) - expected) / np.sqrt(seen.var(axis=0) / 200)
    assert np.sqrt((off**2).mean()) < 1.3


@pytest.mark.parametrize(
    ("chip", "what"),
    [
        (rl.Chip(variation=rl.Variation(cell=0.05)), "correlated variation"),
        (rl.Chip(tile=rl.Tile(wires=rl.Wires(word_ohm=1.0))), "wire resistance"),
        (rl.Chip(faults=rl.Faults(cluster_share=0.01)), "clusters of faults"),
        (rl.Chip(faults=rl.Faults(open_rows=0.01)), "open lines"),
        (
            rl.Chip(mapping=rl.Mapping(slices=rl.Slices(count=2, fill="corrected"))),
            "slices that correct each other",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_effects_that_tie_weights_together_are_refused(chip, what):
    with pytest.raises(UserError, match=what) as caught:
        weight_moments(mlp(8, 4), chip)
    assert "layer 'layer0'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_digital_layers_have_no_moments():
    chip = rl.Chip(layers={"last": rl.LayerChip(analog=False)})
    assert list(weight_moments(mlp(8, 6, 4), chip)) == ["layer0"]
