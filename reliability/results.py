"""A study's folder: its settings, its finished blocks, and what is written at the end.

``settings.json`` is written first and names what the folder belongs to. Finished blocks follow, each
with its checksum, each put in place in one step, so that a run killed at any moment can go on. The
end of a run writes the tables, the figure and ``provenance.json``, and removes the blocks.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reliability.block import Block
from reliability.errors import UserError
from reliability.files import sha256_of, write_atomically

SETTINGS = "settings.json"
TRIALS = "trials.parquet"
SUMMARY = "summary.csv"
FAILURES = "failure_times.csv"
CONVERTERS = "converters.csv"
ANSWER = "answer.txt"
PROVENANCE = "provenance.json"
_BLOCKS = "blocks"
_FIGURES = ("figure.pdf", "figure.png")
_PACKAGES = ("numba", "llvmlite", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "matplotlib")


class Folder:
    """The output folder of one study; keeps its blocks (:class:`reliability.montecarlo.Store`).

    Parameters
    ----------
    path : Path
    settings : dict
        From :func:`reliability.fingerprint.study_fingerprint`.
    resume : bool
        Go on with what is there; otherwise an earlier run of a study in the folder is replaced.
    warn : callable
        Takes one sentence about a block that has to be simulated again.

    Raises
    ------
    UserError
        If the folder cannot be written, is not a study's, or, with ``resume``, belongs to other
        settings.
    """

    def __init__(
        self, path: Path, settings: dict[str, Any], *, resume: bool, warn: Callable[[str], None]
    ) -> None:
        self.path, self.warn = path, warn
        settings = json.loads(json.dumps(settings))
        try:
            path.mkdir(parents=True, exist_ok=True)
            ours = (path / SETTINGS).is_file()
            if not ours and any(path.iterdir()):
                raise UserError(f"folder {path} is not empty and holds no study: choose another with --out")
            if ours and resume:
                self._check_same(settings)
            elif ours:
                self._clear()
            (path / _BLOCKS).mkdir(exist_ok=True)
            _write_json(path / SETTINGS, settings)
        except OSError as error:
            raise UserError(f"folder {path} cannot be written: {error.strerror or error}") from None

    def get(self, group: int, first: int, count: int) -> Block | None:
        """A finished block, or None if it is missing or not what was written."""
        path = self._block(group, first, count)
        seal = path.with_suffix(".sha256")
        if not path.is_file() or not seal.is_file():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != seal.read_text().strip():
            self.warn(f"block {path} is damaged and is simulated again")
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return Block(**{name: arrays[name] for name in Block.__annotations__})

    def put(self, group: int, first: int, count: int, block: Block) -> None:
        """Keep a finished block; its checksum comes last, so that a block without one is unfinished."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: getattr(block, name) for name in Block.__annotations__})
        content = buffer.getvalue()
        path = self._block(group, first, count)
        seal = path.with_suffix(".sha256")
        seal.unlink(missing_ok=True)
        write_atomically(path, lambda p: p.write_bytes(content))
        digest = hashlib.sha256(content).hexdigest()
        write_atomically(seal, lambda p: p.write_text(digest))

    def finished(self) -> pd.DataFrame | None:
        """The trials table of a finished run, or None if there is none or it was altered."""
        try:
            provenance = json.loads((self.path / PROVENANCE).read_text())
            if sha256_of(self.path / TRIALS) != provenance["tables_sha256"][TRIALS]:
                self.warn(f"table {self.path / TRIALS} was altered and is made again")
                return None
        except (OSError, ValueError, KeyError):
            return None
        return pd.read_parquet(self.path / TRIALS)

    def write(
        self,
        tables: Mapping[str, pd.DataFrame],
        draw: Callable[[list[Path]], None],
        provenance: dict[str, Any],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write the tables, the figure, other files and the provenance, then remove the blocks.

        ``tables`` go by file name, as Parquet or CSV by its ending; ``draw`` takes the paths of the figures
        and writes them.
        """
        for name, table in tables.items():
            as_file = table.to_parquet if name.endswith(".parquet") else table.to_csv
            write_atomically(self.path / name, partial(as_file, index=False))
        draw([self.path / name for name in _FIGURES])
        for name, content in (files or {}).items():
            write_atomically(self.path / name, partial(Path.write_bytes, data=content))
        digests = {
            group: {name: sha256_of(self.path / name) for name in names}
            for group, names in (("tables_sha256", tables), ("files_sha256", files or {}))
        }
        _write_json(self.path / PROVENANCE, provenance | digests)
        shutil.rmtree(self.path / _BLOCKS, ignore_errors=True)

    def _block(self, group: int, first: int, count: int) -> Path:
        return self.path / _BLOCKS / f"group{group:04d}-chips{first:08d}-{first + count:08d}.npz"

    def _check_same(self, settings: dict[str, Any]) -> None:
        try:
            found = json.loads((self.path / SETTINGS).read_text())
        except ValueError:
            raise UserError(f"{self.path / SETTINGS} is damaged: run without --resume") from None
        difference = _first_difference(found, settings)
        if difference:
            raise UserError(
                f"folder {self.path} belongs to other settings: {difference}; run without --resume to "
                f"replace it, or choose another folder with --out"
            )

    def _clear(self) -> None:
        shutil.rmtree(self.path / _BLOCKS, ignore_errors=True)
        try:
            found = json.loads((self.path / PROVENANCE).read_text())
            written = [*found["tables_sha256"], *found.get("files_sha256", {})]
        except (OSError, ValueError, KeyError, TypeError):
            written = [TRIALS, SUMMARY, FAILURES, CONVERTERS]
        for name in (*written, *_FIGURES, PROVENANCE):
            # A name from a file that someone may have edited must not lead out of the folder.
            (self.path / Path(name).name).unlink(missing_ok=True)


def provenance(command: list[str], settings: dict[str, Any], wall_s: float) -> dict[str, Any]:
    """Where a result comes from: command, settings, versions, machine, code."""
    return {
        "command": command,
        "settings": settings,
        "versions": {name: metadata.version(name) for name in _PACKAGES} | {"python": sys.version.split()[0]},
        "platform": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
        },
        "git_revision": _git_revision(),
        "wall_s": round(wall_s, 3),
    }


def _first_difference(found: Any, wanted: Any, path: str = "") -> str | None:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(k for k in found if k not in wanted)]:
            here = f"{path}.{key}" if path else key
            if key not in found or key not in wanted:
                return f"{here} is only in {'the new' if key in wanted else 'the old'} settings"
            difference = _first_difference(found[key], wanted[key], here)
            if difference:
                return difference
        return None
    return None if found == wanted else f"{path} was {found!r} and is now {wanted!r}"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda p: p.write_text(text))


def _git_revision() -> str | None:
    """Revision of the checkout that the code runs from, or None outside one."""
    folder = Path(__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
