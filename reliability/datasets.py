"""Datasets: labelled inputs, built in, from the files of a public dataset, or from arrays.

A dataset holds raw inputs: the network brings its own preprocessing. Adding a
dataset is one reader in :data:`READERS`.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from reliability.checks import check_kind, kind_of
from reliability.cifar import read_cifar10
from reliability.errors import UserError
from reliability.npz import read_npz

SPLITS = ("test", "train")

# An IDX file starts with two zero bytes, the type of its entries (8: unsigned byte) and its number of axes;
# then follows the length of each axis, four bytes each, most significant first. Source: Y. LeCun, C. Cortes,
# C. J. C. Burges, "The MNIST database of handwritten digits".
IDX_UNSIGNED_BYTE = 8
IDX_LARGEST = 2 * 10**9  # bytes; the largest published IDX file of the MNIST family has 5.5e8
GZIP_START = b"\x1f\x8b"
CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled inputs. The arrays are read-only.

    Parameters
    ----------
    name : str
    x : ndarray of numbers, shape (N, ...)
        Raw inputs, as stored: for images uint8, not yet scaled.
    y : ndarray of int64, shape (N,)
        Labels, 0 or larger.
    source : str
        Where the inputs come from, for the record of a study.

    Raises
    ------
    UserError
        If there is no input, an input is not numbers, or the labels are not one whole number an input.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    source: str

    def __post_init__(self) -> None:
        try:
            x, y = np.asarray(self.x), np.asarray(self.y)
        except ValueError:  # nested lists of unequal lengths
            raise UserError(f"dataset {self.name!r}: x and y must be arrays") from None
        if x.dtype.kind not in "buif" or x.ndim < 2 or x.size == 0:
            raise UserError(
                f"dataset {self.name!r}: x must hold numbers in at least two axes (inputs, features), "
                f"has shape {x.shape} of {x.dtype}"
            )
        if y.shape != x.shape[:1]:
            raise UserError(
                f"dataset {self.name!r}: y must hold one label an input, shape {x.shape[:1]}, "
                f"has shape {y.shape}"
            )
        # Labels read from a text file are often floats; whole ones are taken. The upper bound keeps the
        # conversion to int64 exact.
        if y.dtype.kind not in "uif" or not ((y >= 0) & (y <= 2**31) & (y == np.floor(y))).all():
            raise UserError(f"dataset {self.name!r}: the labels y must be whole numbers from 0 up")
        object.__setattr__(self, "x", _read_only(x))
        object.__setattr__(self, "y", _read_only(y.astype(np.int64)))

    def __len__(self) -> int:
        return len(self.y)

    def head(self, n: int) -> Dataset:
        """Take the first ``n`` inputs.

        Raises
        ------
        UserError
            If ``n`` is not a whole number from 1 to the number of inputs.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= len(self):
            raise UserError(f"dataset {self.name!r} has {len(self)} inputs: cannot take the first {n!r}")
        return replace(self, x=self.x[:n], y=self.y[:n], source=f"{self.source}, first {n}")


def load_dataset(name: str, folder: str | Path | None = None, split: str = "test") -> Dataset:
    """Load a dataset by name.

    Parameters
    ----------
    name : str
        ``"digits"`` (built in), ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"``, or ``"npz"``.
    folder : str or Path, optional
        Folder with the dataset's original files, or the NPZ file; not for a built-in dataset.
    split : {"test", "train"}

    Raises
    ------
    UserError
        If the name or split is unknown, the folder is missing, or a file cannot be read.
    """
    check_kind("name", name, str)
    if folder is not None:
        check_kind("folder", folder, str, Path)
    reader = READERS.get(name)
    if reader is None:
        own, colon, place = name.partition(":")
        if colon and own in READERS:
            # As the command line names it.
            apart = f'"{own}", "{place}"' if place else f'"{own}"'
            raise UserError(f"there is no dataset {name!r}: write load_dataset({apart})")
        raise UserError(f"there is no dataset {name!r}: known are {', '.join(READERS)}")
    if split not in SPLITS:
        raise UserError(f"dataset {name!r} has no split {split!r}: known are {', '.join(SPLITS)}")
    return reader(name, None if folder is None else Path(os.path.expanduser(folder)), split)


def parse_dataset(text: str, split: str = "test") -> Dataset:
    r"""Load a dataset as the command line names it: ``NAME`` or ``NAME:FOLDER``.

    Parameters
    ----------
    text : str
        For example ``"digits"``, ``"mnist:/path/to/folder"``, ``"mnist:C:\data"`` or ``"npz:mine.npz"``.
    split : {"test", "train"}
    """
    # Only the first colon separates: a Windows path brings its own.
    name, _, folder = text.partition(":")
    return load_dataset(name, folder or None, split)


def from_arrays(x: np.ndarray, y: np.ndarray) -> Dataset:
    """Make a dataset of inputs ``x``, shape (N, ...), and labels ``y``, shape (N,)."""
    return Dataset("arrays", x, y, "arrays given in Python")


def as_dataset(name: str, inputs: Dataset | tuple[Any, Any]) -> Dataset:
    """Inputs in either form in which they are given, as a dataset.

    Raises
    ------
    UserError
        If they are neither a dataset nor a pair of arrays; ``name`` is what the caller calls them.
    """
    if isinstance(inputs, Dataset):
        return inputs
    if not isinstance(inputs, tuple | list) or len(inputs) != 2:
        raise UserError(
            f"{name} holds {kind_of(inputs)}; it must be a Dataset (load_dataset makes one of its name) or a "
            f"pair of arrays (x, y)"
        )
    return from_arrays(*inputs)


def check_labels(dataset: Dataset, classes: int) -> None:
    """Make sure that every label is one of a network's classes.

    Raises
    ------
    UserError
        If a label is ``classes`` or larger.
    """
    bad = np.flatnonzero(dataset.y >= classes)
    if len(bad):
        raise UserError(
            f"dataset {dataset.name!r}: input {bad[0]} has label {dataset.y[bad[0]]}, "
            f"the network knows 0 to {classes - 1} ({len(bad)} of {len(dataset)} labels are too large)"
        )


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Read the array in an IDX file of unsigned bytes, gzipped or not.

    Never takes more memory than the file really holds, whatever its header declares.

    Parameters
    ----------
    path : Path
    axes : int
        Number of axes that the array must have: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    UserError
        If the file cannot be read, is not such a file, is truncated or has bytes left over.
    """
    try:
        with open(path, "rb") as raw:
            # The content, not the name, tells: downloads are often unpacked without being renamed.
            packed = raw.read(2) == GZIP_START
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            start = _read_at_most(file, 4 + 4 * axes)
            if len(start) < 4 + 4 * axes:
                raise UserError(
                    f"IDX file {path} ends after {len(start)} bytes, its header needs {4 + 4 * axes}"
                )
            if start[:4] != bytes([0, 0, IDX_UNSIGNED_BYTE, axes]):
                raise UserError(
                    f"IDX file {path} starts with {start[:4].hex()}, "
                    f"an IDX file of unsigned bytes with {axes} axes starts with 000008{axes:02x}"
                )
            shape = tuple(int(n) for n in np.frombuffer(start, ">u4", offset=4))
            declared = prod(shape)
            if not 0 < declared <= IDX_LARGEST:
                raise UserError(
                    f"IDX file {path} declares shape {shape}, which is {declared} bytes: "
                    f"allowed are 1 to {IDX_LARGEST}"
                )
            # One byte more than declared tells whether any is left over, and a gzip bomb goes no further.
            body = _read_at_most(file, declared + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"IDX file {path} cannot be read: {error}") from None
    if len(body) != declared:
        held = "more" if len(body) > declared else f"{len(body)}"
        raise UserError(f"IDX file {path} declares shape {shape}, {declared} bytes, and holds {held}")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_at_most(file, size: int) -> bytearray:
    """Up to ``size`` bytes, in chunks: asking for all at once would allocate what a false header declares."""
    held = bytearray()
    while len(held) < size and (chunk := file.read(min(CHUNK, size - len(held)))):
        held += chunk
    return held


def _read_only(array: np.ndarray) -> np.ndarray:
    """Make a view, so that the array of the caller stays as it was."""
    view = array.view()
    view.setflags(write=False)
    return view


def _digits(name: str, folder: Path | None, split: str) -> Dataset:
    import reliability.data as data

    if folder is not None:
        raise UserError(f"dataset {name!r} is built in and takes no folder, was given {folder}")
    with np.load(data.folder() / "digits.npz", allow_pickle=False) as file:
        chosen = file[split]
        source = f"UCI Optical Recognition of Handwritten Digits, {split} split ({len(chosen)} inputs)"
        return Dataset(name, file["x"][chosen], file["y"][chosen], source)


def _mnist(name: str, folder: Path | None, split: str) -> Dataset:
    """MNIST, or a dataset published in its format under its file names."""
    if folder is None:
        raise UserError(f"dataset {name!r} needs the folder of its files: {name}:FOLDER")
    if not os.path.isdir(folder):
        raise UserError(f"dataset {name!r}: there is no folder {folder}")
    stem = {"test": "t10k", "train": "train"}[split]
    images = _idx_file(name, folder, f"{stem}-images", "idx3-ubyte")
    labels = _idx_file(name, folder, f"{stem}-labels", "idx1-ubyte")
    x, y = read_idx(images, axes=3), read_idx(labels, axes=1)
    if len(x) != len(y):
        raise UserError(f"dataset {name!r}: {images} holds {len(x)} images and {labels} {len(y)} labels")
    return Dataset(name, x, y, f"{name}, {split} split ({len(x)} inputs), {images}")


def _cifar10(name: str, folder: Path | None, split: str) -> Dataset:
    if folder is None:
        raise UserError(f"dataset {name!r} needs the folder of its files: {name}:FOLDER")
    x, y = read_cifar10(folder, split)
    return Dataset(name, x, y, f"CIFAR-10, {split} split ({len(x)} inputs), {folder}")


def _npz(name: str, path: Path | None, split: str) -> Dataset:
    """Arrays x and y of a file of the user's; x_train and y_train where it holds training inputs too."""
    x, y = ("x", "y") if split == "test" else ("x_train", "y_train")
    if path is None:
        raise UserError(f"dataset {name!r} needs a file with arrays {x} and {y}: {name}:FILE.npz")
    arrays = read_npz(path, "dataset file")
    if not {x, y} <= arrays.keys():
        raise UserError(
            f"dataset file {path} must hold arrays {x} and {y}, holds {', '.join(arrays) or 'none'}"
        )
    return Dataset(path.stem, arrays[x], arrays[y], f"arrays {x} and {y} of {path}")


def _idx_file(name: str, folder: Path, stem: str, kind: str) -> Path:
    # Both separators and both packings are in circulation.
    names = [f"{stem}{separator}{kind}{packing}" for separator in "-." for packing in ("", ".gz")]
    for candidate in names:
        # Not Path.is_file, which raises where the folder may not be searched.
        if os.path.isfile(folder / candidate):
            return folder / candidate
    raise UserError(f"dataset {name!r}: folder {folder} has none of {', '.join(names)}")


Reader = Callable[[str, Path | None, str], Dataset]
READERS: dict[str, Reader] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion-mnist": _mnist,
    "cifar10": _cifar10,
    "npz": _npz,
}
