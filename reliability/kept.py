"""Small results that cost much, kept in the user's cache folder from one run to the next.

``RELIABILITY_CACHE`` names another folder. A fingerprint that covers everything a result depends on is its
file's name: what has changed is found anew, and the folder can be deleted at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from reliability.files import write_atomically

_held: dict[Path, np.ndarray] = {}


def kept(
    kind: str, fingerprint: str, find: Callable[[], np.ndarray], holds: Callable[[np.ndarray], bool]
) -> np.ndarray:
    """What was found before under a fingerprint; otherwise it is found now and kept.

    Parameters
    ----------
    kind : str
        Name of the folder for results of this kind.
    fingerprint : str
    find : callable
        Gives the result, one array.
    holds : callable
        Whether an array can be such a result, as that of a damaged file cannot.

    Returns
    -------
    ndarray
        Read-only, since it is given again.
    """
    path = _folder() / kind / f"{fingerprint}.npy"
    if path not in _held:
        found = _read(path)
        if found is None or not holds(found):
            found = find()
            _write(path, found)
        found.setflags(write=False)
        _held[path] = found
    return _held[path]


def _folder() -> Path:
    own = os.environ.get("RELIABILITY_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "reliability"


def _read(path: Path) -> np.ndarray | None:
    """A kept array; one that cannot be read is as good as none."""
    try:
        found = np.load(path, allow_pickle=False)
    # Damage can look like any of the formats that NumPy knows, each with errors of its own.
    except Exception:
        return None
    return found if isinstance(found, np.ndarray) else None


def _write(path: Path, found: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, partial(_save, found))
    except OSError:
        # A folder that cannot be written keeps nothing for the next run; this one has its result.
        pass


def _save(found: np.ndarray, path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, found)
