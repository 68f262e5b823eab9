"""From a compiled module, in a file or in memory, to something that can be called."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard

from tvm_memopt.errors import MemoptError
from tvm_memopt.native_output import native_stderr_discarded

if TYPE_CHECKING:
    import tvm
    from tvm.runtime.vm import VirtualMachine

Allocator: TypeAlias = Literal["naive", "pooled"]
CompiledModule: TypeAlias = "str | os.PathLike[str] | tvm.runtime.Executable"
"""A path of an exported module (.so), or what ``relax.build`` or ``tvm.compile`` returned."""

_loaded: dict[Path, tuple[int, ...]] = {}


def load_machine(module: CompiledModule, allocator: Allocator = "pooled") -> VirtualMachine:
    """A virtual machine on the CPU for a file or an executable; raises MemoptError naming what is wrong."""
    import tvm
    from tvm.runtime.vm import VirtualMachine

    try:
        loaded = _load_file(existing_file(module)) if is_path(module) else module
        return VirtualMachine(loaded, tvm.cpu(), memory_cfg=allocator)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        what = module if is_path(module) else type(module).__name__
        raise MemoptError(f"{what}: not a compiled Relax module for this machine: {last_line(error)}") from error


def entry(machine: VirtualMachine, function: str) -> Callable[..., object]:
    """The callable of that name; raises MemoptError if the module has none."""
    try:
        found: Callable[..., object] = machine[function]
    except AttributeError as error:
        raise MemoptError(f"the compiled module has no function {function!r}") from error
    return found


@contextmanager
def module_file(module: CompiledModule) -> Iterator[Path]:
    """A file of the module: the path itself, or an export of the executable that is removed afterwards."""
    if isinstance(module, str | os.PathLike):
        yield existing_file(module)
        return
    if not hasattr(module, "export_library"):
        raise MemoptError(f"expected a path or an executable of relax.build, not {type(module).__name__}")
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        path = Path(folder) / "module.so"
        with native_stderr_discarded():  # TVM announces each string that it saves
            module.export_library(str(path))
        yield path


def is_path(module: CompiledModule) -> TypeGuard[str | os.PathLike[str]]:
    """Whether the module is given by its file name."""
    return isinstance(module, str | os.PathLike)


def existing_file(module: str | os.PathLike[str]) -> Path:
    """The absolute path; raises MemoptError if there is no such file."""
    if not Path(module).is_file():
        raise MemoptError(f"{os.fspath(module)}: no such file; expected a compiled module (.so)")
    return Path(module).resolve()


def last_line(error: BaseException) -> str:
    """The line of a TVM error that states the cause; the frames stand before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _load_file(path: Path) -> tvm.runtime.Module:
    """Load a library; a copy of it where this process has loaded another of the same name.

    The loader compares names: it would hand out the old library even after an atomic replacement.
    """
    import tvm

    status = path.stat()
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    if _loaded.setdefault(path, stamp) == stamp:
        return tvm.runtime.load_module(str(path))
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        return tvm.runtime.load_module(shutil.copy(path, folder))
