"""NPZ files: written whole or not at all, read without trust: no pickle, no more memory than they hold."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from reliability.errors import UserError
from reliability.files import write_atomically

LARGEST = 4 * 10**9
"""Bytes that all arrays of a file may take together."""


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """What a compressed NPZ file of these arrays holds."""
    entries: dict[str, Any] = dict(arrays)
    with io.BytesIO() as file:
        np.savez_compressed(file, **entries)
        return file.getvalue()


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Write arrays as a compressed NPZ file.

    Parameters
    ----------
    path : Path
    arrays : mapping of str to ndarray
    what : str
        What the file is to the user, for messages: ``"network file"``.

    Raises
    ------
    UserError
        If the folder does not exist.
    """
    if not path.parent.is_dir():
        raise UserError(f"folder {path.parent} for {what} {path.name} does not exist")
    content = npz_bytes(arrays)
    write_atomically(path, lambda beside: beside.write_bytes(content))


def read_npz(path: Path, what: str) -> dict[str, np.ndarray]:
    """All arrays of an NPZ file.

    Parameters
    ----------
    path : Path
    what : str
        What the file is to the user, for messages: ``"network file"``.

    Raises
    ------
    UserError
        If the file is missing, damaged, holds objects that only pickle could read, or declares arrays that it
        does not hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > LARGEST:
                raise UserError(f"{what} {path} declares {total} bytes of arrays: allowed are {LARGEST}")
            return {
                entry.filename.removesuffix(".npy"): _read_array(archive, entry, f"{what} {path}")
                for entry in archive.infolist()
            }
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    # A damaged archive raises any of these: zlib.error from its data, RuntimeError from its flags (encrypted,
    # unknown compression), NotImplementedError from its version, SyntaxError from an array's header.
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OverflowError,
        RuntimeError,
        SyntaxError,
        MemoryError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise UserError(f"{what} {path} cannot be read: {error}") from None


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray:
    where = f"{where}: entry {entry.filename!r}"
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if header is None:
            raise UserError(f"{where} has array format {version}, known are 1.0 and 2.0")
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise UserError(f"{where} holds Python objects, which are never unpickled")
        declared = prod(shape) * dtype.itemsize
        # What was declared is compared with what is there before anything of that size is made.
        if declared > entry.file_size:
            raise UserError(f"{where} declares shape {shape}, {declared} bytes, in {entry.file_size}")
        content = file.read(declared + 1)
        if len(content) != declared:
            raise UserError(f"{where} declares {declared} bytes, holds {len(content)}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran else "C")
