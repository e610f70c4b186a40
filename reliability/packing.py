"""Arrays in the layout that the kernels read."""

from __future__ import annotations

import numpy as np

from reliability.kernels.latent import BLOCK
from reliability.kernels.simd import WIDTH


def append(arrays: list[np.ndarray], new: np.ndarray) -> int:
    """Add an array to those that :func:`flat` will join; returns where it will start."""
    at = sum(a.size for a in arrays)
    arrays.append(np.ravel(new).astype(np.float32))
    return at


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    """All arrays as one flat, aligned float32 array, of at least one element."""
    joined = np.concatenate(arrays) if arrays else np.zeros(0, np.float32)
    placed = aligned(1, max(joined.size, 1), np.float32)[0]
    placed[: joined.size] = joined
    return placed


def padded(matrix: np.ndarray, blocks: int) -> np.ndarray:
    """A matrix as a flat array of whole blocks of devices, zeros at its end."""
    flat = np.zeros(blocks * BLOCK, np.float32)
    flat[: matrix.size] = matrix.ravel()
    return flat


def pack_inputs(x: np.ndarray, blocks: int) -> np.ndarray:
    """Inputs as blocks x features x WIDTH, flat, each with a last feature of ones."""
    features = x.shape[1]
    packed = aligned(1, blocks * (features + 1) * WIDTH, np.float32)[0]
    view = packed.reshape(blocks, features + 1, WIDTH)
    for block in range(blocks):
        part = x[block * WIDTH : (block + 1) * WIDTH]
        view[block, :features, : len(part)] = part.T
    view[:, features] = 1
    return packed


def aligned(rows: int, size: int, dtype: type) -> np.ndarray:
    """Zeros of shape (rows, size), each row starting on a cache line of its own."""
    per_line = 64 // np.dtype(dtype).itemsize
    step = -(-size // per_line) * per_line
    raw: np.ndarray = np.zeros(rows * step + per_line, dtype)
    skip = (-raw.ctypes.data % 64) // np.dtype(dtype).itemsize
    return raw[skip : skip + rows * step].reshape(rows, step)
