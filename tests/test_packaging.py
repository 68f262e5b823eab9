"""The wheel that is built from these sources holds what the package needs when it runs."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = ("*.py", "*.j2", "*.toml", "*.c", "*.npz", "MODEL_CARD.md", "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    for package in ("pip", "setuptools"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"building a wheel without a network needs {package} in this environment")
    sources, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, sources)
    environment = {**os.environ, "CXX": _quick_compiler(sources)}
    ignore = shutil.ignore_patterns("__pycache__", "*.so", ".*")
    shutil.copytree(ROOT / "tvm_memopt", sources / "tvm_memopt", ignore=ignore)
    command = [sys.executable, "-m", "pip", "wheel", str(sources), "-w", str(folder)]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment)
    if done.returncode and "bdist_wheel" in done.stderr:
        pytest.skip("building a wheel needs setuptools >= 70.1, or the package wheel")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("tvm_memopt-*.whl")
    return path


def _quick_compiler(folder):
    """g++ without optimisation: what is inside the wheel is the question here, not how fast it runs."""
    if shutil.which("g++") is None:
        pytest.skip("building the native core needs g++")
    script = folder / "quick-g++"
    script.write_text('#!/bin/sh\nexec g++ "$@" -O0\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.slow
def test_sources_templates_and_the_type_marker_are_inside(wheel):
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in NEEDED
        for path in (ROOT / "tvm_memopt").rglob(pattern)
        if "__pycache__" not in path.parts
    }
    assert {"tvm_memopt/runtime/interposer.c", "tvm_memopt/report/report.html.j2", "tvm_memopt/py.typed"} <= wanted
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert not wanted - names
    assert "tvm_memopt/solvers/native/libmemopt_native.so" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "examples/"))]


@pytest.mark.slow
def test_the_command_of_the_unpacked_wheel_starts(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "tvm-memopt = tvm_memopt.cli.main:main" in (tmp_path / entry).read_text().replace("=tvm", "= tvm")
    code = (
        "import sys; sys.path.insert(0, '.'); import tvm_memopt.cli.main as m; print(m.__file__); m.main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).resolve().is_relative_to(tmp_path.resolve())
