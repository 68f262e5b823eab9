"""Linkers: the host's own, or a cross compiler for the target's triple."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.catalogue import builtin_devices
from tvm_memopt.targets.profile import Compiler

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.targets.profile import DeviceProfile

_GENERIC_ARM = ("arm", "armv6", "armv7", "armv7a", "armv8a")


def linker_for(
    target: tvm.target.Target, cc: str | None = None, device: DeviceProfile | None = None
) -> Callable[..., Any] | None:
    """A linker for ``Executable.export_library``, or None for the host's default.

    ``cc``: a compiler to use whatever the target. ``device``: the device whose compilers come first. Raises MemoptError
    if no shared library can be made for ``target``, or if no cross compiler for it is installed.
    """
    if cc is not None:
        if shutil.which(cc) is None:
            raise MemoptError(f"compiler {cc!r} is not installed: name one that links for {target}")
        return _linker(cc)
    _require_machine_code(target)
    triple = str(target.attrs.get("mtriple", "") or "")
    if not triple or triple.split("-", maxsplit=1)[0] == os.uname().machine:
        return None
    if is_bare_metal(triple):
        raise MemoptError(
            f"{triple} has no operating system that could load a shared library: `tvm-memopt plan` writes its memory "
            "plan; if yours can load one, name a compiler that links it with --cc"
        )
    return _linker(find_compiler(triple, device.compilers if device is not None else ()))


def find_compiler(triple: str, first: Sequence[Compiler] = ()) -> str:
    """The command of an installed compiler for ``triple``. ``first``: those to try before the usual ones.

    Raises MemoptError that names the best one and the package that has it.
    """
    wanted = [*first, *compilers_for(triple)]
    found = next((one.command for one in wanted if shutil.which(one.command)), None)
    if found is None:
        names = ", ".join(dict.fromkeys(one.command for one in wanted))
        raise MemoptError(
            f"no cross compiler for {triple} is installed: expected one of {names}; install {wanted[0].package}, or "
            "name another one with --cc"
        )
    return found


def compilers_for(triple: str) -> list[Compiler]:
    """Compilers that link for ``triple``, by Debian's names, those of the built-in devices, and by the triple's own."""
    known = [one for device in builtin_devices().values() if device.triple == triple for one in device.compilers]
    debian = debian_triple(triple)
    if "-linux-gnu" in debian:
        known += [Compiler(f"{debian}-{tool}", f"the Debian package {tool}-{debian}") for tool in ("g++", "gcc")]
    return known + [Compiler(f"{triple}-{tool}", f"a compiler for {triple}") for tool in ("g++", "gcc")]


def debian_triple(triple: str) -> str:
    """The triple by which Debian names its cross compilers: no vendor, and one name for all 32-bit ARM."""
    parts = triple.split("-")
    machine, rest = parts[0], parts[1:]
    if len(rest) > 1 and rest[0] in ("unknown", "pc", "none"):
        rest = rest[1:]
    return "-".join(["arm" if machine in _GENERIC_ARM else machine, *rest])


def is_bare_metal(triple: str) -> bool:
    """Whether a triple names no operating system."""
    return triple.endswith(("-eabi", "-eabihf", "-elf")) and "linux" not in triple


def _require_machine_code(target: tvm.target.Target) -> None:
    """Raise MemoptError for kinds of target of which TVM makes no shared library for the device that is meant."""
    kind = target.kind.name
    if kind == "c":
        raise MemoptError(
            "target c makes C source, which TVM would compile for this machine, whatever device is meant: give "
            "--target llvm for this machine, or --device for another one; `tvm-memopt devices` lists them"
        )
    if kind == "hexagon":
        raise MemoptError(
            "target kind hexagon needs a TVM built with Qualcomm's SDK; without it TVM compiles for this machine: give "
            "--device hexagon-v68, which compiles through LLVM"
        )


def _linker(compiler: str) -> Callable[..., object]:
    try:
        from tvm.support import cc as tvm_cc
    except ImportError:  # TVM 0.19 and earlier
        from tvm.contrib import cc as tvm_cc

    linker: Callable[..., object] = tvm_cc.cross_compiler(compiler)
    return linker


def link_error(error: RuntimeError) -> str:
    """Why a link failed, from what TVM raises: the linker's own message, without paths of tools and the command."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.lower().startswith(("command line", "collect2:", "compilation error:"))]
    first = next((line for line in said if "error:" in line), said[-1] if said else "no reason given")
    cause = first.rpartition("error:")[2].strip() or first
    if "VFP register arguments" in cause:
        cause += ' (the compiler passes floats in registers: add "mfloat-abi": "hard" to the target)'
    return cause


def with_float_abi(target: dict[str, Any]) -> dict[str, Any]:
    """A target as a dictionary, with the hard float ABI where its triple asks for it and nothing else is given."""
    hard = str(target.get("mtriple", "")).endswith("eabihf") and target.get("kind") == "llvm"
    return {"mfloat-abi": "hard", **target} if hard else target


def c_compiler_for(machine: str, cc: str | None = None) -> list[str]:
    """The command of a C compiler for ``machine``, as targets.elf names it: ``cc``, a cross compiler or the host's.

    Raises MemoptError that names the package if there is none.
    """
    triples = {"arm": ("arm-linux-gnueabihf", "arm-linux-gnueabi")}.get(machine, (f"{machine}-linux-gnu",))
    names = [cc.removesuffix("g++") + "gcc" if cc.endswith("g++") else cc] if cc is not None else []
    names += [f"{triple}-gcc" for triple in triples]
    if machine == os.uname().machine:
        names += [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    found = next((name for name in names if name and shutil.which(name)), None)
    if found is None:
        raise MemoptError(f"no C compiler for {machine} is installed: apt-get install gcc-{triples[0]}")
    return [found]
