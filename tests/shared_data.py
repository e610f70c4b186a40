"""Finds data that the tests use where it is present and that the project does not ship."""

from __future__ import annotations

import os
from pathlib import Path

WHERE = "set RELIABILITY_DATA to a folder with mnist/ and cifar10/, or put it at ../shared/data nearby"


def shared_folder(name: str) -> Path | None:
    """The folder of that name in the shared data, or None where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RELIABILITY_DATA", beside)) / name
    return folder if folder.is_dir() else None


def mnist_folder() -> Path | None:
    """Folder with the four IDX files of MNIST, or None where they are absent."""
    return shared_folder("mnist")
