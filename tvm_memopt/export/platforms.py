"""How programs for a target are compiled from C and linked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.toolchain import c_compiler_for, is_bare_metal

if TYPE_CHECKING:
    import tvm

PROGRAM_SUFFIX = ".elf"
RUNTIME = Path(__file__).with_name("runtime")
_PORTABLE = ("harness.c", "backend.c")
_OLDEST_LLVM, _NEWEST_LLVM = 14, 30
_HEXAGON_TRIPLE = "hexagon-unknown-linux-musl"
# The support code is compiled for a processor that every clang with Hexagon knows; later ones run it.
_HEXAGON_FLAGS = (
    f"--target={_HEXAGON_TRIPLE}",
    "-mcpu=hexagonv66",
    "-ffreestanding",
    "-fno-builtin",
    "-G0",
    "-fno-pic",
)


@dataclass(frozen=True)
class Platform:
    """Commands for one kind of machine.

    ``compiler``: compiles ``-c FILE -o OBJECT``. ``linker``: links objects with ``-o FILE``. ``libraries``: what it
    needs after the objects. ``sources``: the files of the runtime folder that every program of the platform holds.
    """

    compiler: tuple[str, ...]
    linker: tuple[str, ...]
    libraries: tuple[str, ...]
    sources: tuple[str, ...]


def platform_for(target: tvm.target.Target, cc: str | None = None) -> Platform:
    """The platform of ``target``. ``cc``: the C compiler to use.

    Raises MemoptError that names the packages if a tool is missing, and for targets without an operating system.
    """
    triple = triple_of(target)
    machine = triple.split("-", maxsplit=1)[0] or os.uname().machine
    if machine == "hexagon":
        return _hexagon(cc)
    if is_bare_metal(triple):
        raise MemoptError(
            f"{triple} has no operating system through which a program could get its inputs: `tvm-memopt plan` writes "
            "its memory plan"
        )
    compiler = tuple(c_compiler_for("arm" if machine.startswith("arm") else machine, cc))
    flags = ("-O2", "-std=gnu11", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
    static = () if machine == os.uname().machine else ("-static",)
    linker = (*compiler, *static, "-Wl,--gc-sections")
    return Platform((*compiler, *flags), linker, ("-lm",), (*_PORTABLE, "posix.c"))


def is_program_target(target: tvm.target.Target) -> bool:
    """Whether modules for ``target`` are programs, since TVM has no runtime for it that could load a library."""
    return triple_of(target).startswith("hexagon")


def triple_of(target: tvm.target.Target) -> str:
    """The LLVM triple of a target, empty for this machine."""
    return str(target.attrs.get("mtriple", "") or "")


def _hexagon(cc: str | None) -> Platform:
    compiler = cc if cc is not None else _first(_versions("clang"), "clang")
    if shutil.which(compiler) is None:
        raise MemoptError(f"compiler {compiler!r} is not installed: name a clang that compiles for Hexagon")
    linker = _first(_versions("ld.lld"), "lld")
    flags = ("-O2", "-std=gnu11", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
    sources = (*_PORTABLE, "hexagon.c", "memory.c", "arithmetic.c", "math.c")
    return Platform((compiler, *_HEXAGON_FLAGS, *flags), (linker, "-static", "--gc-sections"), (), sources)


def _versions(command: str) -> list[str]:
    return [command, *(f"{command}-{version}" for version in range(_NEWEST_LLVM, _OLDEST_LLVM - 1, -1))]


def _first(commands: Iterable[str], package: str) -> str:
    found = next((command for command in commands if shutil.which(command)), None)
    if found is None:
        raise MemoptError(
            f"programs for Hexagon are made with clang and LLVM's linker, and {package} is not installed: "
            "apt-get install clang lld"
        )
    return found
