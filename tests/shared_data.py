"""Finds data that the tests use where it is present and that the project does not ship."""

from __future__ import annotations

import os
from pathlib import Path

WHERE = "set RELIABILITY_DATA to a folder with mnist/, or put it at ../shared/data beside the checkout"


def mnist_folder() -> Path | None:
    """Folder with the four IDX files of MNIST, or None where they are absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RELIABILITY_DATA", beside)) / "mnist"
    return folder if folder.is_dir() else None
