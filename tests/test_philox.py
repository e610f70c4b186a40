"""Philox4x32-10 gives the published words, and addresses that differ give words that differ."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from reliability.kernels.philox import philox_words

# Random123, file kat_vectors, commit 9545ff6: counter, key, words.
KNOWN_ANSWERS = {
    "zeros": (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    "ones": (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    "pi": ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
}


def words(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize("name", KNOWN_ANSWERS)
def test_the_published_words(name):
    counter, key, answer = map(words, KNOWN_ANSWERS[name])
    found = philox_words(np.array([counter], np.uint32), np.array(key, np.uint32))
    assert tuple(found[0]) == answer
    assert naive.philox(counter, key) == answer


def test_many_counters_and_keys_equal_the_naive_twin():
    random = np.random.default_rng(1)
    for _ in range(20):
        counters = random.integers(0, 2**32, (50, 4), dtype=np.uint32)
        key = random.integers(0, 2**32, 2, dtype=np.uint32)
        expected = [naive.philox(tuple(map(int, c)), tuple(map(int, key))) for c in counters]
        np.testing.assert_array_equal(philox_words(counters, key), np.array(expected, np.uint32))


@pytest.mark.parametrize("word", range(6))
def test_one_bit_of_counter_or_key_flips_half_of_the_words_bits(word):
    random = np.random.default_rng(2)
    counters = random.integers(0, 2**32, (2000, 4), dtype=np.uint32)
    key = random.integers(0, 2**32, 2, dtype=np.uint32)
    before = philox_words(counters, key)
    for bit in (0, 13, 31):
        other_counters, other_key = counters.copy(), key.copy()
        if word < 4:
            other_counters[:, word] ^= np.uint32(1 << bit)
        else:
            other_key[word - 4] ^= np.uint32(1 << bit)
        flipped = np.bitwise_count(before ^ philox_words(other_counters, other_key)).mean()
        # 2000 x 128 fair bits: the mean of 32 has a standard error of 32 * 0.5 / sqrt(256000) = 0.032.
        assert abs(flipped - 16) < 4 * 0.032
