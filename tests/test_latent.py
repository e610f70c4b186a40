"""Latent draws: the documented words at the documented addresses, and the laws they follow."""

from __future__ import annotations

import itertools

import naive
import numpy as np
import pytest
from numba import njit
from scipy import special, stats

from reliability.kernels.latent import BLOCK, fill_normals, fill_readings, fill_uniforms, normals_of_words
from reliability.latents import key

KEY = (0x12345678, 0x9ABCDEF0)
LARGE = 2**32 - 1


def draw(fill, blocks: int, *, first: int = 0, chip: int = 0, copy: int = 0, words=KEY) -> np.ndarray:
    """Latents of ``blocks`` blocks of devices from block ``first`` on."""
    out = np.empty(blocks * BLOCK, np.float32)
    address = [np.uint32(word) for word in (chip, copy, 0, *words)]
    for block in range(blocks):
        fill(out, block * BLOCK, first + block, *address)
    return out


def readings(count: int, first: int, group: int, chip: int) -> np.ndarray:
    out = np.full(4 * count, np.nan, np.float32)
    fill_readings(out, count, first, group, 0, chip, *map(np.uint32, KEY))
    return out.reshape(4, count)


@njit(error_model="numpy")
def _transform(words, out):
    out[0], out[1] = normals_of_words(words[0], words[1])


def transform(a: int, b: int) -> tuple[float, float]:
    """The two normals that the kernels make of two words."""
    out = np.empty(2, np.float32)
    _transform(np.array([a, b], np.uint32), out)
    return float(out[0]), float(out[1])


ADDRESSES = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (77, 123_456, 1), (2**24, LARGE, 1)]


@pytest.mark.parametrize(("block", "chip", "copy"), ADDRESSES)
def test_uniforms_are_the_documented_words(block, chip, copy):
    found = draw(fill_uniforms, 1, first=block, chip=chip, copy=copy)
    devices = range(block * BLOCK, (block + 1) * BLOCK)
    expected = [naive.device_uniform(device, chip, copy, KEY) for device in devices]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@pytest.mark.parametrize(("block", "chip", "copy"), ADDRESSES)
def test_normals_are_those_of_the_documented_words(block, chip, copy):
    found = draw(fill_normals, 1, first=block, chip=chip, copy=copy)
    devices = range(block * BLOCK, (block + 1) * BLOCK)
    expected = [naive.device_normal(device, chip, copy, KEY) for device in devices]
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("first", [0, 48, 10_000])
@pytest.mark.parametrize("group", [0, 3])
def test_readings_are_those_of_the_documented_words(first, group):
    found = readings(48, first, group, chip=9)
    expected = [
        [naive.reading(n, c, 9, KEY) for n in range(first, first + 48)]
        for c in range(4 * group, 4 * group + 4)
    ]
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=1e-7)


def test_a_readings_normal_does_not_depend_on_the_block_it_is_drawn_in():
    whole = readings(96, 0, 2, chip=5)
    np.testing.assert_array_equal(np.hstack([readings(48, 0, 2, 5), readings(48, 48, 2, 5)]), whole)


def test_normals_of_the_zero_counter_against_published_digits():
    # Words 6627e8d5 and e169c58d: u = 0.3990464708, Box-Muller pair 0.991137679930, -0.924662587666.
    z = draw(fill_normals, 1, words=(0, 0))
    assert draw(fill_uniforms, 1, words=(0, 0))[0] == pytest.approx(0.3990464708, rel=1e-7)
    assert (z[0], z[128]) == pytest.approx((-0.924662587666, 0.991137679930), rel=4e-7)


def test_the_key_of_a_quantity_never_changes():
    # Stored values: another key would silently draw other chips than earlier versions did.
    assert key(0, "programming", "fc1", "certify") == (2687616861, 1682285888)
    assert key(7, "read_1f", "fc2", "search", 3600) == (3474278772, 2329862997)


def test_keys_differ_in_everything_that_they_are_made_of():
    everything = itertools.product(
        (0, 1), ("programming", "drift"), ("fc1", "fc2"), ("search", "certify"), (None, 0.0, 1.0)
    )
    keys = [key(*parts) for parts in everything]
    assert len(set(keys)) == len(keys) == 48
    assert key(0, "read_1f", "fc1", "certify", 1) == key(0, "read_1f", "fc1", "certify", 1.0)


def test_the_smallest_uniform_reaches_beyond_six_and_a_half_sigma():
    largest = np.sqrt(-2 * np.log(2.0**-33))
    assert largest > 6.6
    assert transform(0, 0) == pytest.approx((0, largest), rel=2e-7)
    assert transform(0, 1 << 30) == pytest.approx((largest, 0), rel=2e-7)
    assert transform(0, 3 << 30) == pytest.approx((-largest, 0), rel=2e-7)


@pytest.mark.parametrize("word", [1, 2, 10, 1000, 2**20, 2**31, 2**32 - 256, 2**32 - 1])
def test_the_transform_is_right_from_the_far_tail_to_the_middle(word):
    for angle in (0, 12345, 2**28, 2**31 + 2**29, 2**32 - 1):
        assert transform(word, angle) == pytest.approx(naive.normal_pair(word, angle), rel=4e-7, abs=4e-7)


def moments(z: np.ndarray) -> np.ndarray:
    """Sums of the first four powers, in float64."""
    z = z.astype(np.float64)
    square = z * z
    return np.array([z.sum(), square.sum(), (square * z).sum(), (square * square).sum()])


def check_moments(sums: np.ndarray, n: int) -> None:
    """Mean, variance, skewness and kurtosis of a standard normal within 4 standard errors."""
    m1, m2, m3, m4 = sums / n
    variance = m2 - m1**2
    skewness = (m3 - 3 * m1 * m2 + 2 * m1**3) / variance**1.5
    kurtosis = (m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4) / variance**2
    assert abs(m1) < 4 / np.sqrt(n)
    assert abs(variance - 1) < 4 * np.sqrt(2 / n)
    assert abs(skewness) < 4 * np.sqrt(6 / n)
    assert abs(kurtosis - 3) < 4 * np.sqrt(24 / n)


def check_tail(count: int, n: int, beyond: float) -> None:
    """Draws with a magnitude beyond a bound, within the central 1 - 1e-4 of their binomial law."""
    low, high = stats.binom.ppf([0.5e-4, 1 - 0.5e-4], n, 2 * special.ndtr(-beyond))
    assert low <= count <= high, f"{count} of {n} beyond {beyond}: expected {low:.0f} to {high:.0f}"


def check_distribution(counts: np.ndarray) -> None:
    """Counts of equally probable bins: chi-square, and the Kolmogorov distance at their edges."""
    n = counts.sum()
    assert stats.chisquare(counts).pvalue > 1e-3
    edges = np.arange(1, len(counts) + 1) / len(counts)
    distance = np.abs(np.cumsum(counts) / n - edges).max()
    assert special.kolmogorov(distance * np.sqrt(n)) > 1e-3


def test_a_million_normals():
    z = draw(fill_normals, 2048, chip=3)
    check_moments(moments(z), z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for beyond in (3, 4, 4.5):
        check_tail(int((np.abs(z) > beyond).sum()), z.size, beyond)


def test_a_million_uniforms():
    u = draw(fill_uniforms, 2048, chip=3)
    assert 0 < u.min() < u.max() <= 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(u.mean(dtype=np.float64) - 1 / 2) < 4 / np.sqrt(12 * u.size)
    assert abs(u.var(dtype=np.float64) - 1 / 12) < 4 / np.sqrt(180 * u.size)


def test_a_hundred_million_normals():
    bins, n = 1 << 12, 0
    counts, sums = np.zeros(bins, np.int64), np.zeros(4)
    beyond = {4: 0, 5: 0, 5.5: 0}
    for chip in range(96):
        z = draw(fill_normals, 2048, chip=chip, copy=chip % 2)
        n += z.size
        sums += moments(z)
        places = (special.ndtr(z.astype(np.float64)) * bins).astype(np.int64)
        counts += np.bincount(places, minlength=bins)
        magnitude = np.abs(z)
        for bound in beyond:
            beyond[bound] += int(np.count_nonzero(magnitude > bound))
    assert n > 1e8
    check_moments(sums, n)
    check_distribution(counts)
    for bound, count in beyond.items():
        check_tail(count, n, bound)


def test_a_hundred_million_uniforms():
    bins = 1 << 12
    counts = np.zeros(bins, np.int64)
    for chip in range(96):
        u = draw(fill_uniforms, 2048, chip=chip, copy=chip % 2)
        # Uniforms lie in (0, 1]: the last bin holds its upper edge.
        counts += np.bincount(np.minimum((u * bins).astype(np.int64), bins - 1), minlength=bins)
    check_distribution(counts)


def neighbours() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of a million draws that must know nothing of each other."""
    z = draw(fill_normals, 2049)
    here = z[: 2048 * BLOCK]
    pairs = {
        f"devices {step} apart": (here, z[step : step + here.size]) for step in (1, 2, 128, 256, 384, 512)
    }
    pairs["the two copies"] = (here, draw(fill_normals, 2048, copy=1))
    pairs["neighbouring chips"] = (here, draw(fill_normals, 2048, chip=1))
    pairs["keys one bit apart"] = (here, draw(fill_normals, 2048, words=(KEY[0] ^ 1, KEY[1])))
    pairs["other keys"] = (here, draw(fill_normals, 2048, words=key(0, "drift", "fc1", "certify")))
    pairs["uniforms of neighbouring chips"] = (
        special.ndtri(draw(fill_uniforms, 2048, chip=7).astype(np.float64).clip(1e-9, 1 - 1e-9)),
        special.ndtri(draw(fill_uniforms, 2048, chip=8).astype(np.float64).clip(1e-9, 1 - 1e-9)),
    )
    pairs["neighbouring inputs' readings"] = (
        np.concatenate([readings(2048, 0, group, 1).ravel() for group in range(128)]),
        np.concatenate([readings(2048, 1, group, 1).ravel() for group in range(128)]),
    )
    return pairs


def test_draws_at_neighbouring_addresses_are_uncorrelated():
    for name, (x, y) in neighbours().items():
        n = x.size
        for power in (1, 2):
            # Squares too: Box and Muller's pairs share a radius, and only right words hide it.
            correlation = np.corrcoef(x.astype(np.float64) ** power, y.astype(np.float64) ** power)[0, 1]
            assert abs(correlation) < 4 / np.sqrt(n), f"{name}, power {power}: {correlation:.5f}"
