"""Arrays in the layout that the kernels read."""

from __future__ import annotations

import numpy as np

from reliability.kernels.convert import drive
from reliability.kernels.latent import BLOCK
from reliability.kernels.simd import VECTOR


def append(arrays: list[np.ndarray], new: np.ndarray) -> int:
    """Add an array to those that :func:`flat` will join; returns where it will start."""
    at = sum(a.size for a in arrays)
    arrays.append(np.ravel(new).astype(np.float32))
    return at


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    """All arrays as one flat, aligned float32 array, of at least one element."""
    return joined(arrays, np.float32)


def joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    """All arrays as one flat, aligned array of a type, of at least one element."""
    placed = aligned(1, max(sum(a.size for a in arrays), 1), dtype)[0]
    at = 0
    for array in arrays:
        placed[at : at + array.size] = array
        at += array.size
    return placed


def padded(matrix: np.ndarray, blocks: int) -> np.ndarray:
    """A matrix as a flat array of whole blocks of devices, zeros at its end."""
    flat = np.zeros(blocks * BLOCK, np.float32)
    flat[: matrix.size] = matrix.ravel()
    return flat


def pack_images(x: np.ndarray, padding: tuple[int, int, int, int]) -> np.ndarray:
    """Images as [block][row][column][channel][VECTOR], flat, with a border of zeros.

    Parameters
    ----------
    x : ndarray of float32, shape (N, channels, height, width)
    padding : four int
        Border above, left, below and right.
    """
    count, channels, height, width = x.shape
    top, left, bottom, right = padding
    blocks = -(-count // VECTOR)
    shape = (blocks, top + height + bottom, left + width + right, channels, VECTOR)
    packed = aligned(1, int(np.prod(shape)), np.float32)[0]
    view = packed[: np.prod(shape)].reshape(shape)
    for block in range(blocks):
        part = x[block * VECTOR : (block + 1) * VECTOR]
        view[block, top : top + height, left : left + width, :, : len(part)] = part.transpose(2, 3, 1, 0)
    return packed[: np.prod(shape)]


def convert_images(
    images: np.ndarray, count: int, pulses: int, base: float, converter: np.ndarray
) -> tuple[np.ndarray, int]:
    """Packed images through a DAC, pulse by pulse, and how many of their values it clips.

    Parameters
    ----------
    images : ndarray of float32
        From :func:`pack_images`.
    count : int
        Inputs.
    pulses : int
    base : float
        Significance of a pulse over that of the one before.
    converter : record of layout.CONVERTER
    """
    blocks = -(-count // VECTOR)
    step = images.size // blocks
    out, lanes = aligned(1, pulses * images.size, np.float32)[0], np.zeros(VECTOR, np.int32)
    clipped = 0
    for block in range(blocks):
        first, here = block * step, count - block * VECTOR
        clipped += drive(
            images, first, out, first, images.size, step // VECTOR, pulses, np.float32(base), converter,
            lanes, here,
        )  # fmt: skip
    return out[: pulses * images.size], clipped


def aligned(rows: int, size: int, dtype: type) -> np.ndarray:
    """Zeros of shape (rows, size), each row starting on a cache line of its own."""
    per_line = 64 // np.dtype(dtype).itemsize
    step = -(-size // per_line) * per_line
    raw: np.ndarray = np.zeros(rows * step + per_line, dtype)
    skip = (-raw.ctypes.data % 64) // np.dtype(dtype).itemsize
    return raw[skip : skip + rows * step].reshape(rows, step)
