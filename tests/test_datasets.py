"""Datasets: every reader's good path, and one sentence for every bad file."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest
from shared_data import WHERE, mnist_folder

from reliability.datasets import (
    IDX_LARGEST,
    Dataset,
    check_labels,
    from_arrays,
    load_dataset,
    parse_dataset,
    read_idx,
)
from reliability.errors import UserError

X = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
Y = np.array([3, 1, 4, 1, 5, 9], np.uint8)


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def gzipped(content: bytes, level: int = 9) -> bytes:
    """Without the time: parameters of a test must be the same in all test workers."""
    return gzip.compress(content, level, mtime=0)


@pytest.fixture
def folder(tmp_path):
    """A small dataset in MNIST's format; the test split."""
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(X))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(Y))
    return tmp_path


def sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


# --- built in, arrays, and what a dataset is


def test_digits_need_no_folder():
    test, train = load_dataset("digits"), load_dataset("digits", split="train")
    assert (len(test), len(train)) == (450, 1347)
    assert test.x.shape == (450, 8, 8)
    assert test.y.dtype == np.int64
    assert "UCI" in test.source
    with pytest.raises(UserError, match="takes no folder, was given some"):
        load_dataset("digits", "some")


def test_unknown_name_and_split_list_the_known():
    with pytest.raises(UserError, match=r"no dataset 'digit': known are digits, mnist, fashion-mnist"):
        load_dataset("digit")
    with pytest.raises(UserError, match=r"no split 'validation': known are test, train"):
        load_dataset("digits", split="validation")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("npz:x.npz",), r"no dataset 'npz:x.npz': write load_dataset\(\"npz\", \"x.npz\"\)$"),
        (("digits:",), r"write load_dataset\(\"digits\"\)$"),
        (("none:x",), "no dataset 'none:x': known are digits"),
        ((None,), "name holds None; it must be a str"),
        (("npz", 5), "folder holds an int; it must be a str or a Path"),
    ],
)
def test_names_that_are_none_are_told(arguments, told):
    with pytest.raises(UserError, match=told) as error:
        load_dataset(*arguments)
    sentence(error)


def test_arrays_are_taken_as_they_are_and_protected():
    x, y = X.astype(np.float64), Y.copy()
    dataset = from_arrays(x, y)
    assert dataset.x.dtype == np.float64
    np.testing.assert_array_equal(dataset.x, x)
    np.testing.assert_array_equal(dataset.y, y)
    with pytest.raises(ValueError, match="read-only"):
        dataset.x[0] = 1
    x[0] = 1  # the caller's own array stays writable
    assert from_arrays([[1.0], [2.0]], [0.0, 1.0]).y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (X, Y[:5], "one label an input"),
        (X, Y[:, None], "one label an input"),
        (X, -Y.astype(int), "whole numbers"),
        (X, Y + 0.5, "whole numbers"),
        (X, np.full(6, np.nan), "whole numbers"),
        (X, np.full(6, 2**63, np.uint64), "whole numbers"),
        (X, list("abcdef"), "whole numbers"),
        (Y, Y, "two axes"),
        (X[:0], Y[:0], "two axes"),
        (X.astype(complex), Y, "numbers"),
        (X.astype(object), Y, "numbers"),
        ([[1], [2, 3]], [0, 1], "must be arrays"),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(x, y, told):
    with pytest.raises(UserError, match=told) as error:
        from_arrays(x, y)
    sentence(error)


def test_head_takes_the_first_inputs():
    dataset = from_arrays(X, Y)
    head = dataset.head(2)
    np.testing.assert_array_equal(head.x, X[:2])
    np.testing.assert_array_equal(head.y, Y[:2])
    assert head.source.endswith("first 2")
    assert len(dataset.head(6)) == 6
    for n in (0, -1, 7, 2.0, True, "2"):
        with pytest.raises(UserError, match="has 6 inputs"):
            dataset.head(n)


def test_check_labels_names_the_first_label_that_is_too_large():
    dataset = from_arrays(X, Y)
    check_labels(dataset, 10)
    with pytest.raises(UserError, match=r"input 2 has label 4, the network knows 0 to 3 \(3 of 6"):
        check_labels(dataset, 4)


# --- IDX files


@pytest.mark.parametrize("separator", ["-", "."])
@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_both_file_names_and_packings_are_read(tmp_path, separator, packing, name):
    pack = gzipped if packing else bytes
    for split, stem in (("test", "t10k"), ("train", "train")):
        (tmp_path / f"{stem}-images{separator}idx3-ubyte{packing}").write_bytes(pack(idx(X)))
        (tmp_path / f"{stem}-labels{separator}idx1-ubyte{packing}").write_bytes(pack(idx(Y)))
        dataset = load_dataset(name, str(tmp_path), split)
        assert dataset.name == name
        assert dataset.x.dtype == np.uint8
        assert dataset.y.dtype == np.int64
        np.testing.assert_array_equal(dataset.x, X)
        np.testing.assert_array_equal(dataset.y, Y)
        assert str(tmp_path) in dataset.source


def test_content_tells_whether_a_file_is_packed(folder):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(gzipped(idx(X)))
    np.testing.assert_array_equal(read_idx(path, 3), X)
    path = path.rename(folder / "t10k-images-idx3-ubyte.gz")
    path.write_bytes(idx(X))
    np.testing.assert_array_equal(read_idx(path, 3), X)


def test_command_line_form(folder, monkeypatch):
    assert len(parse_dataset("digits")) == 450
    assert len(parse_dataset("digits", "train")) == 1347
    assert len(parse_dataset(f"mnist:{folder}")) == 6
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert len(parse_dataset("mnist:~")) == 6
    for text in ("mnist", "mnist:"):
        with pytest.raises(UserError, match="needs the folder of its files: mnist:FOLDER"):
            parse_dataset(text)
    with pytest.raises(UserError, match=r"no folder C:\\data$"):
        parse_dataset(r"mnist:C:\data")
    with pytest.raises(UserError, match=r"no dataset ''"):
        parse_dataset(":/somewhere")


def test_missing_folder_and_files_are_named(folder):
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        load_dataset("mnist", folder / "nowhere")
    with pytest.raises(UserError, match=r"there is no folder .*t10k-images"):
        load_dataset("mnist", folder / "t10k-images-idx3-ubyte")
    with pytest.raises(UserError, match="there is no folder"):
        load_dataset("mnist", "a\0b")
    with pytest.raises(UserError, match=r"has none of train-images-idx3-ubyte, train-images-idx3-ubyte\.gz"):
        load_dataset("mnist", folder, "train")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="has none of t10k-labels-idx1-ubyte"):
        load_dataset("mnist", folder)


def test_count_mismatch_names_both_files(folder):
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(Y[:5]))
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte holds 6 images and .*labels.* 5 labels"):
        load_dataset("mnist", folder)


HUGE = bytes([0, 0, 8, 3]) + b"\xff" * 12
LARGE = bytes([0, 0, 8, 3]) + np.array([1900, 1000, 1000], ">u4").tobytes()  # 1.9e9 bytes: allowed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "ends after 0 bytes, its header needs 16"),
        (b"\0", "ends after 1 bytes"),
        (idx(X)[:15], "ends after 15 bytes"),
        (idx(X)[:-1], "72 bytes, and holds 71"),
        (idx(X)[:16], "72 bytes, and holds 0"),
        (idx(X) + b"\0", "72 bytes, and holds more"),
        (idx(Y) + bytes(20), "starts with 00000801, an IDX file .* with 3 axes starts with 00000803"),
        (b"\0\0\x0d\x03" + idx(X)[4:], "starts with 00000d03"),
        (b"PK\x03\x04" + bytes(50), "starts with 504b0304"),
        (idx(X[:0]), "declares shape .* 0 bytes"),
        (HUGE, f"allowed are 1 to {IDX_LARGEST}"),
        (LARGE, "1900000000 bytes, and holds 0"),
        (gzipped(b""), "ends after 0 bytes"),
        (gzipped(idx(X))[:-9], "cannot be read"),
        (gzipped(idx(X))[:12], "cannot be read"),
        (gzipped(idx(X))[:3], "cannot be read"),
        (gzipped(idx(X)) + b"rest", "cannot be read"),
        (gzipped(idx(X))[:10] + b"\xff" * 30, "cannot be read"),
        (gzipped(LARGE + bytes(10)), "1900000000 bytes, and holds 10"),
        (gzipped(idx(X) + bytes(50_000_000), 1), "72 bytes, and holds more"),
    ],
)
def test_bad_idx_files_get_one_sentence_and_little_memory(folder, content, told):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=told) as error:
            load_dataset("mnist", folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in sentence(error)
    assert peak < 8_000_000


def test_mutated_idx_files_are_refused_or_read_right(tmp_path):
    """300 mutations: either one sentence, or exactly the array that the bytes declare."""
    random = np.random.default_rng(8)
    path = tmp_path / "images"
    good = idx(X)
    refused = 0
    for i in range(300):
        content = bytearray(good)
        change = i % 4
        if change == 0:  # cut
            content = content[: random.integers(0, len(good))]
        elif change == 1:  # flip one to three bits of the header
            for bit in random.integers(0, 16 * 8, random.integers(1, 4)):
                content[bit // 8] ^= 1 << (bit % 8)
        elif change == 2:  # declare another size
            axis = 4 * random.integers(1, 4)
            content[axis : axis + 4] = random.bytes(4)
        else:  # move rows between the axes: the same bytes, another shape
            content[4:16] = np.array(random.permutation(X.shape), ">u4").tobytes()
        packed = bytes(content)
        if i % 2 == random.integers(0, 2):
            packed = gzipped(packed)
            if i % 3 == 0:  # damage the packing too
                at = random.integers(0, len(packed))
                packed = packed[:at] + random.bytes(1) + packed[at + 1 :]
        path.write_bytes(packed)
        try:
            array = read_idx(path, 3)
        except UserError as error:
            refused += 1
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert idx(array) == content
    assert 200 < refused < 300


@pytest.mark.skipif(mnist_folder() is None, reason=f"no MNIST files: {WHERE}")
def test_mnist_is_read_whole():
    dataset = load_dataset("mnist", mnist_folder())
    assert dataset.x.shape == (10_000, 28, 28)
    # Counts of the digits in the published test set.
    published = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.y).tolist() == published


def test_dataset_made_by_hand_carries_its_name():
    dataset = Dataset("mine", X, Y, "my lab")
    assert (dataset.name, dataset.source) == ("mine", "my lab")
    with pytest.raises(UserError, match="dataset 'mine'"):
        Dataset("mine", X, Y[:2], "my lab")
