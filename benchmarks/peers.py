"""The plain ways to do the same work: a NumPy loop, a PyTorch loop, and one matrix product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def product(size: int = 2048, repeats: int = 2) -> tuple[Callable[[], None], float]:
    """NumPy's own float32 product of two square matrices, and its floating-point operations."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size), np.float32) for _ in range(2))

    def work() -> None:
        for _ in range(repeats):
            a @ b

    return work, 2.0 * size**3 * repeats


def numpy_loop(
    weights: list[np.ndarray], x: np.ndarray, labels: np.ndarray, sigma: float, trials: int
) -> Callable[[], None]:
    """Gaussian-programmed differential pairs, the obvious float32 NumPy code."""
    rng = np.random.Generator(np.random.SFC64(0))
    pairs = [_pair(w) for w in weights]

    def work() -> None:
        for _ in range(trials):
            h = x
            for i, (plus, minus, scale) in enumerate(pairs):
                noise = np.float32(sigma)
                g = plus + noise * rng.standard_normal(plus.shape, np.float32)
                g -= minus + noise * rng.standard_normal(plus.shape, np.float32)
                h = h @ (g * scale).T
                if i + 1 < len(pairs):
                    h = np.maximum(h, np.float32(0))
            (h.argmax(axis=1) == labels).mean()

    return work


def torch_loop(
    weights: list[np.ndarray], x: np.ndarray, labels: np.ndarray, sigma: float, trials: int
) -> Callable[[], None]:
    """Gaussian-programmed differential pairs, the obvious PyTorch code."""
    import torch

    pairs = [(torch.from_numpy(p), torch.from_numpy(m), s) for p, m, s in map(_pair, weights)]
    inputs, wanted = torch.from_numpy(x), torch.from_numpy(labels)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(trials):
                h = inputs
                for i, (plus, minus, scale) in enumerate(pairs):
                    g = plus + sigma * torch.randn_like(plus)
                    g -= minus + sigma * torch.randn_like(minus)
                    h = h @ (g * float(scale)).T
                    if i + 1 < len(pairs):
                        h = torch.relu(h)
                (h.argmax(dim=1) == wanted).float().mean().item()

    return work


def _pair(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.float32]:
    scale = np.float32(np.abs(w).max())
    return np.maximum(w, 0) / scale, np.maximum(-w, 0) / scale, scale
