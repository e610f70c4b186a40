"""The arrays that an ONNX file holds, read only after their declared sizes were checked."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from reliability.errors import UserError
from reliability.onnx_reader.operation import printable

MOST_BYTES = 1 << 30
"""Largest file, and largest array in a file beside it."""

# Number in the standard: type, field that holds the numbers where they are not raw bytes.
_TYPES: dict[int, tuple[np.dtype, str]] = {
    1: (np.dtype("<f4"), "float_data"),
    2: (np.dtype("u1"), "int32_data"),
    3: (np.dtype("i1"), "int32_data"),
    4: (np.dtype("<u2"), "int32_data"),
    5: (np.dtype("<i2"), "int32_data"),
    6: (np.dtype("<i4"), "int32_data"),
    7: (np.dtype("<i8"), "int64_data"),
    9: (np.dtype("?"), "int32_data"),
    10: (np.dtype("<f2"), "int32_data"),
    11: (np.dtype("<f8"), "double_data"),
    12: (np.dtype("<u4"), "uint64_data"),
    13: (np.dtype("<u8"), "uint64_data"),
}
_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def type_of(number: int) -> np.dtype | None:
    """NumPy's type for a type of the standard; None if it is not supported."""
    return _TYPES[number][0] if number in _TYPES else None


def array_of(tensor: Any, folder: Path | None) -> np.ndarray:
    """The array in a tensor of a file.

    Parameters
    ----------
    tensor : onnx.TensorProto
    folder : Path or None
        Where the file lies: arrays in files beside it are read from there and from nowhere else.

    Raises
    ------
    UserError
        If its type is not supported, or its data are not of the declared size.
    """
    name = f"array {printable(tensor.name)!r}" if tensor.name else "an array"
    if tensor.data_type not in _TYPES:
        raise UserError(f"{name} has element type {tensor.data_type} of the standard, which is not supported")
    dtype, field = _TYPES[tensor.data_type]
    shape = tuple(int(n) for n in tensor.dims)
    # Python's whole numbers: a product of false lengths cannot wrap around.
    count = math.prod(shape)
    if len(shape) > 8 or any(n < 0 for n in shape) or count * dtype.itemsize > MOST_BYTES:
        raise UserError(f"{name} declares shape {shape[:9]}, more than this program reads")
    if tensor.HasField("segment"):
        raise UserError(f"{name} is stored in segments, which is not supported")
    given = [f for f in _FIELDS if len(getattr(tensor, f))]
    if tensor.data_location == tensor.EXTERNAL:
        if given or tensor.raw_data:
            raise UserError(f"{name} is stored both inside and outside the file")
        data = _read_beside(name, tensor, folder, count * dtype.itemsize)
    elif tensor.HasField("raw_data"):
        if given:
            raise UserError(f"{name} is stored twice")
        data = tensor.raw_data
    else:
        if any(f != field for f in given) or len(getattr(tensor, field)) != count:
            raise UserError(f"{name} declares shape {shape} but does not hold so many numbers")
        numbers = np.array(getattr(tensor, field), np.uint16 if dtype == np.float16 else None)
        numbers = numbers.view(np.float16) if dtype == np.float16 else numbers.astype(dtype)
        return numbers.reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise UserError(f"{name} declares shape {shape} but holds {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape)


def _read_beside(name: str, tensor: Any, folder: Path | None, size: int) -> bytes:
    """The bytes of an array that lies in a file of its own, within the folder of the ONNX file."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    shown = printable(location)
    if folder is None:
        raise UserError(f"{name} is stored in another file {shown!r}, and this network has no folder")
    windows = PureWindowsPath(shown)
    if (
        not isinstance(location, str)
        or not location
        or not location.isprintable()
        or PurePosixPath(location).is_absolute()
        or windows.drive
        or windows.root
        or ".." in windows.parts
    ):
        raise UserError(f"{name} is stored in {shown!r}, outside the folder of the ONNX file: refused")
    home = folder.resolve()
    path = (home / location).resolve()
    if not path.is_relative_to(home):
        raise UserError(f"{name} is stored in {shown!r}, a link out of the folder of the ONNX file: refused")
    if not path.is_file():
        raise UserError(f"{name} is stored in {shown!r}, which is not a file")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except ValueError:
        raise UserError(f"{name} is stored in {shown!r} at a place that is not a number") from None
    if length != size or offset < 0 or offset + length > path.stat().st_size:
        raise UserError(
            f"{name} needs {size} bytes, its file {shown!r} has {path.stat().st_size} bytes and the entry "
            f"says {length} from {offset} on"
        )
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
