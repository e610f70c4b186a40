"""Results kept from one run to the next: found once, read by other processes, never relied on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from reliability.kept import kept


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RELIABILITY_CACHE", str(tmp_path))
    return tmp_path


def never():
    raise AssertionError("found again")


def numbers(found):
    return found.dtype.kind == "f"


def test_found_once(folder):
    first = kept("kind", "a", lambda: np.arange(3.0), numbers)
    assert kept("kind", "a", never, numbers) is first
    assert not first.flags.writeable
    assert kept("kind", "b", lambda: np.zeros(1), numbers) == [0]
    assert sorted(path.name for path in (folder / "kind").iterdir()) == ["a.npy", "b.npy"]


def test_other_processes_read_it(folder):
    code = "from reliability.kept import kept; print(kept('kind', 'a', None, lambda found: True).tolist())"
    kept("kind", "a", lambda: np.array([0.1, 0.7]), numbers)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[0.1, 0.7]"


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"nothing of ours", b"PK nothing"])
def test_a_damaged_file_is_found_again(folder, damage):
    path = folder / "kind" / "a.npy"
    path.parent.mkdir()
    path.write_bytes(damage)
    np.testing.assert_array_equal(kept("kind", "a", lambda: np.ones(2), numbers), [1, 1])
    np.testing.assert_array_equal(np.load(path), [1, 1])


def test_what_cannot_be_a_result_is_found_again(folder):
    path = folder / "kind" / "a.npy"
    path.parent.mkdir()
    np.save(path, np.array(["words"]))
    np.testing.assert_array_equal(kept("kind", "a", lambda: np.ones(2), numbers), [1, 1])


def test_a_folder_that_cannot_be_made_keeps_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RELIABILITY_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(kept("kind", "a", lambda: np.ones(2), numbers), [1, 1])


@pytest.mark.parametrize(
    ("own", "general", "expected"),
    [
        ("/own", "/general", "/own"),
        ("~/own", "", "/home/own"),
        ("", "/general", "/general/reliability"),
        ("", "", "/home/.cache/reliability"),
    ],
)
def test_where_it_is_kept(monkeypatch, own, general, expected):
    from reliability.kept import _folder

    monkeypatch.setenv("RELIABILITY_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", general)
    monkeypatch.setenv("HOME", "/home")
    assert _folder().as_posix() == expected
