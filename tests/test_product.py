"""The product kernel against NumPy, and bit for bit against the order of summation it promises."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliability.kernels import layout
from reliability.kernels.intrinsics import HAS_FMA
from reliability.kernels.product import multiply
from reliability.kernels.scores import checksum, rank
from reliability.kernels.simd import OUTPUTS, VECTOR, End

SENTINEL = np.float32(-12345)
_ONE, _NOTHING = np.float32(1), np.zeros(1, np.float32)
NO_END = End(_NOTHING, 0, 0, False, _NOTHING, 0, 0, _NOTHING, _NOTHING, 0, _ONE, _ONE, _ONE)


def multiplied(
    w: np.ndarray,
    x: np.ndarray,
    tile_rows: int,
    *,
    w_at: int = 0,
    x_at: int = 0,
    c_at: int = 0,
    end: End | None = None,
):
    """``w @ x`` by the kernel, with each array at an offset; nothing beside the result may be touched.

    The columns of ``x``, a whole number of vectors, stand one vector behind the other; a tile's rows come in
    two segments where it has two.
    """
    columns, rows = w.shape
    vectors = x.shape[1] // VECTOR
    packed = x.reshape(rows, vectors, VECTOR).transpose(1, 0, 2)
    flat_w = np.concatenate([np.full(w_at, np.nan), w.ravel(), [np.nan]]).astype(np.float32)
    flat_x = np.concatenate([np.full(x_at, np.nan), packed.ravel(), np.full(VECTOR, np.nan)]).astype(
        np.float32
    )
    c = np.full(c_at + columns * x.shape[1] + VECTOR, SENTINEL, np.float32)
    tiles, segments = [], []
    for row in range(0, rows, tile_rows):
        last = min(row + tile_rows, rows)
        middle = (row + last + 1) // 2
        own = [(first, end - first) for first, end in ((row, middle), (middle, last)) if end > first]
        tiles.append((row, 0, len(segments), len(own)))
        segments += [(first * VECTOR, run) for first, run in own]
    layer = np.zeros(1, layout.LAYER)
    layer[["rows", "lines", "groups", "group_channels", "tiles"]] = (rows, columns, 1, rows, len(tiles))
    multiply(
        layer[0],
        np.array(tiles, layout.TILE),
        0,
        len(tiles),
        np.array([offset for offset, _ in segments], np.int64),
        np.array([run for _, run in segments], np.int64),
        columns,
        flat_w,
        w_at,
        flat_x,
        x_at,
        rows * VECTOR,
        c,
        c_at,
        vectors,
        end is not None,
        end or NO_END,
    )
    assert (c[:c_at] == SENTINEL).all()
    assert (c[c_at + columns * x.shape[1] :] == SENTINEL).all()
    sums = c[c_at : c_at + columns * x.shape[1]].reshape(vectors, columns, VECTOR)
    return sums.transpose(1, 0, 2).reshape(columns, -1)


def operands(columns: int, rows: int, vectors: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng((seed, columns, rows))
    w = random.normal(size=(columns, rows)).astype(np.float32)
    return w, random.normal(size=(rows, vectors * VECTOR)).astype(np.float32)


def check_rounding(found: np.ndarray, w: np.ndarray, x: np.ndarray) -> None:
    """Every entry within the bound of a sum in float32: n u times the sum of magnitudes."""
    wide_w, wide_x = w.astype(np.float64), x.astype(np.float64)
    bound = (w.shape[1] + 1) * 2.0**-24 * (np.abs(wide_w) @ np.abs(wide_x))
    assert (np.abs(found - wide_w @ wide_x) <= bound).all()


@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("columns", range(1, 34))
def test_product_for_every_number_of_columns_and_vectors(columns, vectors):
    w, x = operands(columns, 37, vectors)
    check_rounding(multiplied(w, x, 16), w, x)


@given(
    columns=st.integers(1, 33),
    rows=st.integers(1, 300),
    tile_rows=st.integers(1, 310),
    vectors=st.integers(1, 7),
    offsets=st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_product_for_any_shape_tile_and_place(columns, rows, tile_rows, vectors, offsets):
    w, x = operands(columns, rows, vectors)
    w_at, x_at, c_at = offsets
    check_rounding(multiplied(w, x, tile_rows, w_at=w_at, x_at=x_at, c_at=c_at), w, x)


@pytest.mark.skipif(not HAS_FMA, reason="this CPU rounds products and sums apart")
@pytest.mark.parametrize("tile_rows", [1, 3, 16, 50, 64])
@pytest.mark.parametrize("columns", [1, 2, 3, OUTPUTS - 1, OUTPUTS, 2 * OUTPUTS + 7])
def test_product_sums_rows_in_order_and_tiles_afterwards(columns, tile_rows):
    w, x = operands(columns, 50, seed=1)
    np.testing.assert_array_equal(multiplied(w, x, tile_rows), naive.product(w, x, tile_rows))


@pytest.mark.skipif(not HAS_FMA, reason="this CPU rounds products and sums apart")
def test_order_of_summation_shows_in_the_bits():
    """Otherwise the test above could not fail."""
    w, x = operands(8, 50, seed=1)
    whole = multiplied(w, x, 50)
    assert (whole != multiplied(w, x, 25)).any()
    assert (whole != multiplied(w[:, ::-1], x[::-1], 50)).any()


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("tile_rows", [16, 50])
@pytest.mark.parametrize("vectors", [1, 2, 3, 7])
@pytest.mark.parametrize("columns", [1, 2, 3, OUTPUTS - 1, OUTPUTS, 2 * OUTPUTS + 7])
def test_product_ends_as_sums_that_were_written_first(columns, vectors, tile_rows, adds):
    """Scale, offset, another input and bounds, with every array at an offset and steps wider than needed."""
    random = np.random.default_rng((columns, vectors))
    w, x = operands(columns, 50, vectors, seed=2)
    w[0, 0] = np.nan if columns > 2 else w[0, 0]
    at, y_at, y_step, other_at, other_step = 3, 5, (columns + 1) * VECTOR, 2, (columns + 3) * VECTOR
    scales, shifts = random.normal(size=(2, at + columns)).astype(np.float32)
    y = np.full(y_at + vectors * y_step, SENTINEL, np.float32)
    other = random.normal(size=other_at + vectors * other_step).astype(np.float32)
    factor, lowest, highest = np.float32(1.25), np.float32(-4), np.float32(6)
    end = End(
        y, y_at, y_step, adds, other, other_at, other_step, scales, shifts, at, factor, lowest, highest
    )  # fmt: skip
    multiplied(w, x, tile_rows, end=end)
    sums = multiplied(w, x, tile_rows).reshape(columns, vectors, VECTOR).transpose(1, 0, 2)
    times, plus = (np.broadcast_to(a[at:, None], sums.shape) for a in (factor * scales, shifts))
    expected = naive.fma(times, sums, plus) if HAS_FMA else times * sums + plus
    places = other[other_at:].reshape(vectors, -1)[:, : columns * VECTOR].reshape(sums.shape)
    expected = np.clip(expected + places if adds else expected, lowest, highest)
    assert (expected == lowest).any() or (expected == highest).any() or columns == 1
    found = y[y_at:].reshape(vectors, -1)
    np.testing.assert_array_equal(found[:, : columns * VECTOR].reshape(sums.shape), expected)
    assert (found[:, columns * VECTOR :] == SENTINEL).all()
    assert (y[:y_at] == SENTINEL).all()


def test_naive_fused_multiply_add_rounds_once():
    random = np.random.default_rng(3)
    x, y, z = random.normal(size=(3, 2000)).astype(np.float32)
    z[::2] = -(x * y)[::2]  # cancellation: what the rounding of the product alone would lose
    z[1::4] *= np.float32(2.0**-24)  # near ties
    expected = [naive.exact_fma(*map(float, terms)) for terms in zip(x, y, z, strict=True)]
    np.testing.assert_array_equal(naive.fma(x, y, z), np.array(expected))


def test_naive_fused_multiply_add_at_a_false_tie():
    # The sum is a tie of float32 plus 2**-60: rounded to float64 first, the tie would go to even, down.
    x, y, z = np.float32([[1 + 2.0**-12], [2.0**-24 * (1 - 2.0**-12)], [1]])
    assert naive.exact_fma(float(x[0]), float(y[0]), 1.0) == 1
    assert naive.fma(x, y, z)[0] == 1
    x, y = np.float32([[1 + 2.0**-20], [2.0**-24 * (1 + 2.0**-20)]])
    assert naive.fma(x, y, z)[0] == naive.exact_fma(float(x[0]), float(y[0]), 1.0) == 1 + 2.0**-23
    x, y = np.float32([[1 + 2.0**-23], [2.0**-24]])
    assert naive.fma(x, y, z)[0] == naive.exact_fma(float(x[0]), float(y[0]), 1.0) == 1 + 2.0**-23


# What becomes of the logits.


def ranks_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The kernel's ranks of logits, shape (N, classes), N up to VECTOR."""
    count, classes = logits.shape
    packed = np.zeros((classes, VECTOR), np.float32)
    packed[:, :count] = logits.T
    ranks = np.full(count, 77, np.uint8)
    padded = np.zeros(VECTOR, np.int64)
    padded[:count] = labels
    rank(packed.ravel(), classes, padded, ranks, count)
    return ranks


@pytest.mark.parametrize("classes", [1, 2, 10, 300])
def test_ranks_count_the_classes_above_the_right_one(classes):
    random = np.random.default_rng(classes)
    # Few distinct values, so that ties are common.
    logits = random.integers(-3, 3, (VECTOR - 1, classes)).astype(np.float32)
    labels = random.integers(0, classes, VECTOR - 1)
    order = np.argsort(-logits, axis=1, kind="stable")  # ties go to the smaller class
    expected = (order == labels[:, None]).argmax(axis=1)
    np.testing.assert_array_equal(ranks_of(logits, labels), np.minimum(expected, 255))


def test_a_logit_that_is_not_a_number_never_counts_as_right():
    nan = np.nan
    logits = np.float32([[3, nan, 1], [nan, 2, 1], [nan, nan, nan], [1, 2, np.inf]])
    assert ranks_of(logits, np.array([0, 0, 0, 2])).tolist() == [1, 2, 2, 0]


def test_checksum_sees_every_bit_of_the_wanted_inputs_only():
    random = np.random.default_rng(1)
    logits = random.normal(size=(5, VECTOR)).astype(np.float32)
    count = VECTOR - 3
    whole = checksum(logits.ravel(), 5, count)
    assert whole == int(logits[:, :count].copy().view(np.uint32).sum(dtype=np.uint64))
    beyond = logits.copy()
    beyond[:, count:] = 9
    assert checksum(beyond.ravel(), 5, count) == whole
    changed = logits.copy()
    changed[4, count - 1] = np.nextafter(changed[4, count - 1], np.float32(9))
    assert checksum(changed.ravel(), 5, count) != whole
