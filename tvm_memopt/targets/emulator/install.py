"""Set up the emulated device in the user's cache: QEMU, TVM's runtime for AArch64, the servers, a Python."""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from tvm_memopt.targets.cache import cache_directory
from tvm_memopt.targets.emulator.debian import install_command, python_of_debian, unpack_files, unpack_foreign
from tvm_memopt.targets.emulator.stages import Say, Stages, locked, run_quietly

TRIPLE = "aarch64-linux-gnu"
SERVER_SOURCE = Path(__file__).with_name("rpc_server.cc")
_QEMU = ("qemu-aarch64-static", "qemu-hexagon-static")
_LEFT_OUT = ("tvm/lib/libtvm_compiler.so", "tvm/lib/libtvm_runtime_cuda.so", "tvm/3rdparty/*")  # the device only runs
_GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17")
# An RPC server whose session ended by a signal raises in a thread and stays, deaf. It must end, to be started again.
_END_WITH_THREAD = """
import os, sys, threading

def _end(failure):
    sys.__excepthook__(failure.exc_type, failure.exc_value, failure.exc_traceback)
    sys.stderr.flush()
    os._exit(70)

threading.excepthook = _end
"""


@dataclass(frozen=True)
class Emulator:
    """The set-up in ``folder``."""

    folder: Path

    @property
    def qemu(self) -> Path:
        """QEMU's user mode for AArch64."""
        return self.folder / "qemu" / _QEMU[0]

    @property
    def hexagon(self) -> Path:
        """QEMU's user mode for Hexagon."""
        return self.folder / "qemu" / _QEMU[1]

    @property
    def packages(self) -> Path:
        """The device's Python packages, with TVM's runtime libraries in them."""
        return self.folder / "packages"

    @property
    def root(self) -> Path:
        """The root of the emulated Debian, for the Python server only."""
        return self.folder / "root"

    @property
    def python(self) -> Path:
        """A script that runs the device's Python."""
        return self.folder / "python"

    def server_command(self, light: bool) -> list[str]:
        """The command of a server, in C++ or Python, without its options."""
        return self.light_command() if light else self.python_command()

    def light_command(self) -> list[str]:
        """The command of the server in C++, without its options."""
        extra = self.packages / "tvm/lib/libtvm_runtime_extra.so"
        return [
            str(self.qemu), "-L", f"/usr/{TRIPLE}", str(self.folder / "rpc_server"), "--load-library", str(extra),
        ]  # fmt: skip

    def python_command(self) -> list[str]:
        """The command of TVM's server in Python, without its options."""
        extra = self.packages / "tvm/lib/libtvm_runtime_extra.so"
        return [str(self.python), "-m", "tvm.exec.rpc_server", "--load-library", str(extra)]


def emulator() -> Emulator:
    """The emulator in the user's cache, set up or not."""
    return Emulator(cache_directory() / "emulator")


def set_up(light: bool, say: Say) -> Emulator:
    """Set up what is missing: about 70 MB, and 240 MB with the Python. Raises MemoptError with the step that failed."""
    found = emulator()
    with locked(found.folder):
        install_command(f"{TRIPLE}-g++", f"g++-{TRIPLE}", say)
        stages = Stages(found.folder, say)
        _set_up_qemu(found, stages)
        runtime = [f"{name}=={version(name)}" for name in ("apache-tvm", "apache-tvm-ffi")]
        stages.once(
            "runtime", " ".join(runtime), lambda: _unpack_wheels(runtime, found.packages, None),
            "downloading TVM for AArch64 (100 MB)",
        )  # fmt: skip
        source = hashlib.sha256(SERVER_SOURCE.read_bytes()).hexdigest()
        stages.once("server", f"{source} {runtime}", lambda: _compile_server(found), "compiling the RPC server")
        if not light:
            _set_up_python(found, stages)
    return found


def set_up_hexagon(say: Say) -> Emulator:
    """Set up what programs for Hexagon need: QEMU in the cache, clang and lld on this machine.

    Raises MemoptError with the step that failed.
    """
    found = emulator()
    with locked(found.folder):
        for command, package in (("clang", "clang"), ("ld.lld", "lld")):
            install_command(command, package, say)
        _set_up_qemu(found, Stages(found.folder, say))
    return found


def _set_up_qemu(found: Emulator, stages: Stages) -> None:
    files = {f"usr/bin/{name}": found.folder / "qemu" / name for name in _QEMU}
    stages.once("qemu", " ".join(_QEMU), lambda: unpack_files("qemu-user-static", files), "downloading QEMU (60 MB)")


def _set_up_python(found: Emulator, stages: Stages) -> None:
    python = python_of_debian()
    packages = [f"python{python}-minimal", f"libpython{python}-stdlib", "libstdc++6", "zlib1g", "libc6", "libgcc-s1"]
    stages.once(
        "python", python, lambda: unpack_foreign(packages, "arm64", found.root), "downloading an AArch64 Python (16 MB)"
    )
    needed = [f"numpy=={version('numpy')}", "ml_dtypes", "typing_extensions", "psutil", "cloudpickle", "tornado"]
    stages.once(
        "modules", f"{python} {needed}", lambda: _unpack_wheels(needed, found.packages, python),
        "downloading Python packages for AArch64 (20 MB)",
    )  # fmt: skip
    script = _python_script(found, python)
    stages.once("script", script + _END_WITH_THREAD, lambda: _write_python(found, python, script), "byte code")


def _unpack_wheels(requirements: list[str], target: Path, python: str | None) -> None:
    """Download wheels for AArch64 with pip and unpack them into ``target``."""
    with tempfile.TemporaryDirectory(prefix="tvm-memopt-") as name:
        platforms = [f"--platform=manylinux_{glibc}_aarch64" for glibc in _GLIBC]
        chosen = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", name, "--only-binary=:all:"]
        run_quietly(
            [*download, "--python-version", chosen, *platforms, "--platform=manylinux2014_aarch64", *requirements],
            "downloading wheels for AArch64",
        )
        target.mkdir(parents=True, exist_ok=True)
        for wheel in sorted(Path(name).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                kept = [n for n in archive.namelist() if not any(fnmatch(n, pattern) for pattern in _LEFT_OUT)]
                archive.extractall(target, kept)


def _compile_server(found: Emulator) -> None:
    """Link the server with the runtime of the wheel, in the folder where it will find it."""
    libraries = [found.packages / "tvm/lib", found.packages / "tvm_ffi/lib"]
    command = [f"{TRIPLE}-g++", "-std=c++17", "-O1", "-s", "-I", str(found.packages / "tvm_ffi/include")]
    command += [str(SERVER_SOURCE), "-o", str(found.folder / "rpc_server"), "-Wl,--no-as-needed"]
    command += [f"-L{path}" for path in libraries] + ["-ltvm_runtime", "-ltvm_ffi", "-ldl"]
    command += ["-Wl,--allow-shlib-undefined", *(f"-Wl,-rpath,{path}" for path in libraries)]
    run_quietly(command, "compiling the RPC server for AArch64")


def _python_script(found: Emulator, python: str) -> str:
    """A script that is the device's Python. QEMU's -0 makes it sys.executable, so that child processes use it too."""
    return f"""#!/bin/sh
unset LD_LIBRARY_PATH LD_PRELOAD
export PYTHONHOME='{found.root}/usr' PYTHONPATH='{found.packages}' TVM_USE_RUNTIME_LIB=1
export CXX="${{CXX:-{TRIPLE}-g++}}"
exec '{found.qemu}' -L '{found.root}' -0 '{found.python}' '{found.root}/usr/bin/python{python}' "$@"
"""


def _write_python(found: Emulator, python: str, script: str) -> None:
    found.python.write_text(script, encoding="utf-8")
    found.python.chmod(0o755)
    (found.packages / "sitecustomize.py").write_text(_END_WITH_THREAD, encoding="utf-8")
    same = shutil.which(f"python{python}") or (sys.executable if sys.version.startswith(f"{python}.") else None)
    compiler = [same or str(found.python)]  # byte code is the same on every processor
    folders = [str(found.root / "usr/lib" / f"python{python}"), str(found.packages)]
    options = ["-q", "-j", str(os.cpu_count() or 1), "--invalidation-mode", "unchecked-hash", "-x", "lib2to3|/test/"]
    run_quietly(
        [*compiler, "-m", compileall.__name__, *options, *folders], "compiling byte code",
        environment={"PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
