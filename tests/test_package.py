"""The package as users meet it: from a checkout, from a wheel, and beside another package of its name."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import reliability as rl

ROOT = Path(rl.__file__).resolve().parent.parent

NO_FILE_TWICE = """
import sys
import reliability, reliability.study, reliability.kernels.engine, reliability.data, reliability.studies
assert reliability.study.main(["--list"]) == 0
reliability.load_network("digits-mlp"), reliability.load_dataset("digits")
root = reliability.__file__.rpartition("reliability")[0]
files = {}
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and file.startswith(root) and name != "__main__":
        assert files.setdefault(file, name) == name, (file, name, files[file])
        if name.startswith("reliability."):
            print(name, file)
"""


def python(code: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds the package only in ``cwd`` or on ``path``."""
    command = [sys.executable, "-c", code]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)} | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package's wheel, built from a copy of the checkout."""
    pytest.importorskip("setuptools", minversion="77", reason="building the wheel needs setuptools 77")
    source = tmp_path_factory.mktemp("source") / "checkout"
    kept = shutil.ignore_patterns(".git", "__pycache__", "build", "*.egg-info", "results", ".venv", "venv")
    shutil.copytree(ROOT, source, ignore=kept)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True, timeout=300)
    return next(out.glob("*.whl"))


def test_a_bare_checkout_runs_and_imports_no_file_under_two_names():
    done = python(NO_FILE_TWICE, ROOT)
    assert done.returncode == 0, done.stderr
    assert f"reliability.kernels.engine {ROOT / 'kernels' / 'engine.py'}" in done.stdout


def test_only_three_folders_are_found_beside_the_package():
    code = (
        "import importlib.util as util, reliability\n"
        "print([util.find_spec('reliability.' + name) for name in ('tests', 'benchmarks')])"
    )
    done = python(code, ROOT)
    assert done.stdout.strip() == "[None, None]", done.stderr


def test_the_wheel_holds_one_package_with_its_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"reliability"}
    wanted = (
        "kernels/engine.py",
        "studies/drift_vs_time.py",
        "data/digits.npz",
        "data/mnist_mlp.npz",
        "py.typed",
    )
    for name in wanted:
        assert f"reliability/{name}" in names
    assert not [name for name in names if "tests" in name or "__pycache__" in name]


def test_the_wheel_works_from_any_folder(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    code = (
        NO_FILE_TWICE
        + """
options = ["--quiet", "--chips", "2", "--inputs", "10", "--set", "vary.time_s=[1, 3600]", "--out", "out"]
assert reliability.study.main(["drift_vs_time", *options]) == 0
"""
    )
    done = python(code, tmp_path / "elsewhere", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert f"{ROOT}{os.sep}" not in done.stdout
    assert (tmp_path / "elsewhere" / "out" / "trials.parquet").is_file()


def test_the_other_package_of_this_name_is_told_in_one_sentence(tmp_path):
    shutil.copytree(ROOT / "reliability", tmp_path / "reliability")
    (tmp_path / "reliability" / "Fitters.py").write_text("")
    done = python("import reliability", tmp_path)
    assert done.returncode == 1
    assert "another package of that name" in done.stderr.splitlines()[-1]


def test_importing_does_not_load_what_only_figures_and_tests_need():
    code = (
        "import sys, reliability\n"
        "print([name for name in ('seaborn', 'matplotlib', 'scipy.stats') if name in sys.modules])"
    )
    assert python(code, ROOT).stdout.strip() == "[]"


def test_everything_public_is_documented():
    for name in rl.__all__:
        found = getattr(rl, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert found.__doc__, name
            assert len(found.__doc__.splitlines()) > 2 or name.endswith("Error"), name


def test_the_version_is_stated_once():
    assert f'version = "{rl.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"version: {rl.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"[{rl.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
