"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable

# The test workers share the cores: threads of BLAS in each of them would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from shared_data import WHERE, mnist_folder

import reliability as rl


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """Nothing is kept from an earlier run, nor left in the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELIABILITY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def float32(monkeypatch):
    """First layers computed as on a CPU without 8-bit dot products, for comparisons to the last digit."""
    monkeypatch.setattr("reliability.simulation.HAS_DOT", False)


@pytest.fixture(scope="session")
def inputs_of() -> Callable[[str, int], tuple[np.ndarray, np.ndarray]]:
    """The first inputs of a test set: ``inputs_of("mnist", 300)``; skips where the data is absent."""

    def load(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        folder = mnist_folder() if name == "mnist" else None
        if name == "mnist" and folder is None:
            pytest.skip(WHERE)
        data = rl.load_dataset(name, folder)
        return data.x[:count], data.y[:count]

    return load
