"""Object files → a program: the kernels, the tables of its source, and the runtime of its platform."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tvm

from tvm_memopt.atomic import atomic_path
from tvm_memopt.errors import MemoptError
from tvm_memopt.export.kernels import write_object
from tvm_memopt.export.platforms import RUNTIME, Platform
from tvm_memopt.export.program import StaticProgram
from tvm_memopt.export.source import CONSTANTS_FILE, DOCUMENT_FILE, constant_bytes, program_source
from tvm_memopt.targets.cache import cache_directory


def link_program(
    program: StaticProgram,
    kernels: tvm.runtime.Module,
    document: Mapping[str, Any],
    platform: Platform,
    path: str | os.PathLike[str],
) -> None:
    """Write the program to ``path`` by atomic rename.

    ``kernels``: all kernels that it calls, compiled. ``document``: JSON to keep in the file. Raises MemoptError with
    the tool's own message, or with the name of a function that the kernels need and the platform lacks.
    """
    runtime = runtime_objects(platform)
    with TemporaryDirectory(prefix="tvm-memopt-") as name, atomic_path(path) as temporary:
        folder = Path(name)
        write_object(kernels, folder / "kernels.o")
        (folder / CONSTANTS_FILE).write_bytes(constant_bytes(program))
        (folder / DOCUMENT_FILE).write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        (folder / "program.c").write_text(program_source(program), encoding="utf-8")
        _tool(_compilation(platform, Path("program.c"), Path("program.o")), folder, path)
        objects = ["program.o", "kernels.o", *map(str, runtime)]
        _tool([*platform.linker, "-o", str(temporary), *objects, *platform.libraries], folder, path)
    Path(path).chmod(Path(path).stat().st_mode | 0o111)


def runtime_objects(platform: Platform) -> list[Path]:
    """The compiled runtime of a platform, made once and kept in the user's cache."""
    digest = hashlib.sha256(repr(platform.compiler).encode())
    for name in ("memopt.h", *platform.sources):
        digest.update((RUNTIME / name).read_bytes())
    folder = cache_directory() / f"program-{digest.hexdigest()[:16]}"
    objects = [folder / Path(name).with_suffix(".o") for name in platform.sources]
    missing = [pair for pair in zip(platform.sources, objects, strict=True) if not pair[1].is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    for source, target in missing:
        with atomic_path(target) as temporary:
            _tool(_compilation(platform, RUNTIME / source, temporary), folder, target)
    return objects


def _compilation(platform: Platform, source: Path, target: Path) -> list[str]:
    return [*platform.compiler, "-I", str(RUNTIME), "-c", str(source), "-o", str(target)]


def _tool(command: Sequence[str], folder: Path, path: str | os.PathLike[str]) -> None:
    """Run a compiler or linker in ``folder``. ``path``: what is being made."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MemoptError(f"{command[0]}: cannot be run: {error.strerror or error}") from None
    if done.returncode:
        raise MemoptError(f"{os.fspath(path)}: linking failed: {_cause(done.stderr)}")


def _cause(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if "undefined" in line), None)
    if line is not None:
        name = line.rpartition(" ")[2].strip("`'")
        return f"a kernel calls {name}, which programs without TVM's runtime lack"
    return next(
        (line.rpartition("error:")[2].strip() for line in lines if "error:" in line), (lines or ["no reason"])[-1]
    )
