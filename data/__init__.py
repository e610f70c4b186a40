"""Built-in data: the digits, two small trained networks, and the scripts that made them."""

from __future__ import annotations

from pathlib import Path

NETWORKS = ("digits-mlp", "mnist-mlp")


def folder() -> Path:
    """Folder that holds the built-in data files, in a checkout and where the package is installed."""
    return Path(__file__).resolve().parent
