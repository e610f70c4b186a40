"""Compiled kernels are never out of date: the stamp of each covers the sources of all."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reliability.kernels import cache, philox

FOLDER = Path(cache.__file__).parent


def stamp_of(folder: Path) -> str:
    """The stamp that the kernels of a copy would carry."""
    spec = importlib.util.spec_from_file_location("copied_cache", folder / "cache.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.kernel_stamp()


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_an_edit_of_any_kernel_file_changes_the_stamp(tmp_path, name):
    copy = tmp_path / "kernels"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert stamp_of(copy) == cache.kernel_stamp()
    with open(copy / name, "a") as file:
        file.write("# edited\n")
    assert stamp_of(copy) != cache.kernel_stamp()


def test_compiled_kernels_carry_the_stamp():
    philox.philox_words(np.zeros((1, 4), np.uint32), np.zeros(2, np.uint32))
    assert cache.is_cached(philox.philox_words)
    index = philox.philox_words._cache._cache_file
    assert cache.kernel_stamp() in index._source_stamp


HELPER = """
from numba import njit


@njit
def helper():
    return {}
"""

KERNEL = """
from .cache import compiled, is_cached
from .helper import helper


@compiled()
def kernel():
    return helper()
"""


def test_an_edited_helper_in_another_file_is_compiled_anew(tmp_path):
    """The reason for the stamp: Numba itself looks only at the file of the kernel."""
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(FOLDER / "cache.py", package)
    (package / "__init__.py").touch()
    (package / "kernel.py").write_text(KERNEL)
    program = "from package.kernel import *; print(is_cached(kernel), kernel())"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    found = []
    for value in (1, 1, 2):
        (package / "helper.py").write_text(HELPER.format(value))
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.split())
    assert found == [["False", "1"], ["True", "1"], ["False", "2"]]
