"""Draws from the library's generator, and comparisons of moments within four standard errors."""

from __future__ import annotations

import functools

import numpy as np

from reliability.devices import UNIFORM, Device, Latent
from reliability.kernels.latent import BLOCK, fill_normals, fill_uniforms
from reliability.latents import key

DEVICES = 2048 * BLOCK  # a million


@functools.cache
def draws(latent: Latent, count: int = DEVICES, seed: int = 12) -> np.ndarray:
    """Independent draws of a latent; read-only, because all tests share them."""
    out = np.empty(-(-count // BLOCK) * BLOCK, np.float32)
    fill = fill_uniforms if latent.kind == UNIFORM else fill_normals
    words = map(np.uint32, key(seed, latent.name, "layer", "certify"))
    address = (np.uint32(0), np.uint32(0), np.uint32(0), *words)
    for block in range(out.size // BLOCK):
        fill(out, block * BLOCK, block, *address)
    out.flags.writeable = False
    return out[:count]


def drawn(device: Device, which: str, count: int = DEVICES) -> list[np.ndarray]:
    """All ``program_latents`` or ``time_latents`` of a device."""
    return [draws(latent, count) for latent in getattr(device, which)]


def check_moments(sample: np.ndarray, mean: float, variance: float) -> None:
    """Mean and variance of a sample, each within 4 standard errors (that of the variance from the sample)."""
    sample = np.asarray(sample, np.float64)
    rounding = 1e-6 * max(abs(mean), 1e-3)
    assert abs(sample.mean() - mean) < 4 * np.sqrt(variance / sample.size) + rounding
    squares = (sample - sample.mean()) ** 2
    assert abs(squares.mean() - variance) < 4 * squares.std() / np.sqrt(sample.size) + rounding**2
