"""Files of users: CIFAR-10 and NPZ are read without trust, and a damaged one is told in one sentence."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from shared_data import WHERE, shared_folder

import reliability as rl
from reliability.cifar import PIXELS
from reliability.npz import read_npz


def python_batch(path: Path, count: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """A batch in the layout of the published pickles, protocol 2 written by Python 2."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, PIXELS), np.uint8)
    labels = rng.integers(0, 10, count, np.uint8)
    runs = b"".join(
        b"(" + b"".join(b"K" + bytes([v]) for v in labels[i : i + 1000]) + b"e" for i in range(0, count, 1000)
    )
    before = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15".ljust(58, b".")
    between = b"." * (20_159 - len(runs))
    path.write_bytes(before + runs + between + pixels.tobytes() + b"u.")
    return pixels, labels


def binary_batch(path: Path, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (count, PIXELS), np.uint8)
    labels = rng.integers(0, 10, count, np.uint8)
    path.write_bytes(np.column_stack([labels, pixels]).tobytes())
    return pixels, labels


def test_python_and_binary_batches_hold_what_was_written(tmp_path):
    for name, write in (("test_batch", python_batch), ("data_batch_2.bin", binary_batch)):
        pixels, labels = write(tmp_path / name)
        dataset = rl.load_dataset("cifar10", tmp_path, "test" if name == "test_batch" else "train")
        np.testing.assert_array_equal(dataset.x.reshape(len(pixels), -1), pixels)
        np.testing.assert_array_equal(dataset.y, labels)
        assert dataset.x.shape[1:] == (3, 32, 32)


@pytest.mark.skipif(shared_folder("cifar10") is None, reason=WHERE)
def test_the_published_batches_hold_a_thousand_images_of_each_class():
    folder = shared_folder("cifar10")
    test = rl.load_dataset("cifar10", folder)
    assert test.x.shape == (10_000, 3, 32, 32)
    assert (np.bincount(test.y) == 1000).all()
    assert test.y[:6].tolist() == [3, 8, 8, 0, 6, 6], "cat, ship, ship, airplane, frog, frog"
    assert len(rl.load_dataset("cifar10", folder, "train")) % 10_000 == 0


@pytest.mark.parametrize("name", ["test_batch", "test_batch.bin"])
def test_a_damaged_batch_is_told_or_read_right(tmp_path, name):
    path = tmp_path / name
    (python_batch if name == "test_batch" else binary_batch)(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(2)
    for turn in range(40):
        damaged = bytearray(whole)
        if turn % 2:
            del damaged[int(rng.integers(0, len(damaged))) :]
        else:
            for place in rng.integers(0, min(len(damaged), 21_000), 20):
                damaged[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        try:
            dataset = rl.load_dataset("cifar10", tmp_path)
        except rl.UserError as error:
            assert "\n" not in str(error)
        else:
            assert dataset.x.shape[1:] == (3, 32, 32)
            assert dataset.y.max() <= 9


def test_a_pickle_that_runs_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "test_batch").write_bytes(pickle.dumps(Trap()) + bytes(31_000_000))
    with pytest.raises(rl.UserError, match="truncated or not a python batch"):
        rl.load_dataset("cifar10", tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_missing_batches_are_told(tmp_path):
    with pytest.raises(rl.UserError, match=r"has none of test_batch, test_batch\.bin"):
        rl.load_dataset("cifar10", tmp_path)
    with pytest.raises(rl.UserError, match="there is no folder"):
        rl.load_dataset("cifar10", tmp_path / "no")


def test_arrays_of_the_users_own(tmp_path):
    x, y = np.random.default_rng(0).random((7, 3)), np.arange(7) % 2
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    dataset = rl.datasets.parse_dataset(f"npz:{tmp_path / 'mine.npz'}")
    np.testing.assert_array_equal(dataset.x, x)
    np.testing.assert_array_equal(dataset.y, y)
    np.savez(tmp_path / "wrong.npz", images=x)
    with pytest.raises(rl.UserError, match="must hold arrays x and y, holds images"):
        rl.load_dataset("npz", tmp_path / "wrong.npz")


def test_a_false_declaration_takes_no_memory(tmp_path):
    path = tmp_path / "false.npz"
    np.savez(path, x=np.zeros((4, 4), np.float32))
    content = path.read_bytes()
    assert b"(4, 4), }" in content
    path.write_bytes(content.replace(b"(4, 4), }   ", b"(9999, 99999"[:8] + b"), }"))
    tracemalloc.start()
    with pytest.raises(rl.UserError):
        read_npz(path, "file")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("turns", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_npz_files_are_told_or_read_right(tmp_path, turns):
    path = tmp_path / "mutated.npz"
    x, y = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20)
    np.savez_compressed(path, x=x, y=y)
    whole = path.read_bytes()
    rng = np.random.default_rng(turns)
    for turn in range(turns):
        damaged = bytearray(whole)
        if turn % 3 == 0:
            del damaged[int(rng.integers(0, len(damaged))) :]
        else:
            for place in rng.integers(0, len(damaged), 1 + turn % 4):
                damaged[place] = int(rng.integers(0, 256))
        path.write_bytes(damaged)
        try:
            dataset = rl.load_dataset("npz", path)
        except rl.UserError as error:
            assert "\n" not in str(error)
        else:
            assert dataset.x.shape[0] == len(dataset.y)
