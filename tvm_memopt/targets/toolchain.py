"""Linkers: the host's own, or a cross compiler for the target's triple."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm


def linker_for(target: tvm.target.Target, cc: str | None = None) -> Callable[..., Any] | None:
    """A linker for ``Executable.export_library``, or None for the host's default.

    Raises MemoptError if ``target`` is another machine and no cross compiler for it is installed.
    """
    if cc is not None:
        if shutil.which(cc) is None:
            raise MemoptError(f"compiler {cc!r} is not installed: name one that links for {target}")
        return _linker(cc)
    triple = str(target.attrs.get("mtriple", ""))
    if not triple or triple.split("-", maxsplit=1)[0] == os.uname().machine:
        return None
    found = next((c for c in (f"{triple}-g++", f"{triple}-gcc") if shutil.which(c)), None)
    if found is None:
        raise MemoptError(f"no cross compiler for {triple} is installed: expected {triple}-g++, or name one with --cc")
    return _linker(found)


def _linker(compiler: str) -> Callable[..., object]:
    try:
        from tvm.support import cc as tvm_cc
    except ImportError:  # TVM 0.19 and earlier
        from tvm.contrib import cc as tvm_cc

    linker: Callable[..., object] = tvm_cc.cross_compiler(compiler)
    return linker


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
