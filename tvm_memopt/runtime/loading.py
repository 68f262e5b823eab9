"""Load a compiled module, from a file or from memory, for execution."""

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
from tvm_memopt.targets.elf import require_native

if TYPE_CHECKING:
    import tvm
    from tvm.runtime.vm import VirtualMachine

Allocator: TypeAlias = Literal["naive", "pooled"]
CompiledModule: TypeAlias = "str | os.PathLike[str] | tvm.runtime.Executable"
"""The path of an exported module (.so), or the result of ``relax.build`` or ``tvm.compile``."""

_loaded: dict[Path, tuple[int, ...]] = {}


def load_machine(module: CompiledModule, allocator: Allocator = "pooled") -> VirtualMachine:
    """Make a virtual machine on the CPU for a file or executable. Raises MemoptError if it cannot be loaded."""
    import tvm
    from tvm.runtime.vm import VirtualMachine

    try:
        loaded = _load_file(native_file(module)) if is_path(module) else module
        return VirtualMachine(loaded, tvm.cpu(), memory_cfg=allocator)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        what = module if is_path(module) else type(module).__name__
        raise MemoptError(f"{what}: not a compiled Relax module for this machine: {last_line(error)}") from error


def entry(machine: VirtualMachine, function: str) -> Callable[..., object]:
    """The callable named ``function``. Raises MemoptError if the module has none."""
    try:
        found: Callable[..., object] = machine[function]
    except AttributeError as error:
        raise MemoptError(f"the compiled module has no function {function!r}") from error
    return found


@contextmanager
def module_file(module: CompiledModule) -> Iterator[Path]:
    """Provide the module as a file: the given path, or a temporary export of the executable."""
    if isinstance(module, str | os.PathLike):
        yield native_file(module)
        return
    if not hasattr(module, "export_library"):
        raise MemoptError(f"expected a path or an executable of relax.build, not {type(module).__name__}")
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        path = Path(folder) / "module.so"
        with native_stderr_discarded():  # TVM prints a line for each string it saves
            module.export_library(str(path))
        yield path


def is_path(module: CompiledModule) -> TypeGuard[str | os.PathLike[str]]:
    """Whether the module is given as a path."""
    return isinstance(module, str | os.PathLike)


def existing_file(module: str | os.PathLike[str]) -> Path:
    """The absolute path. Raises MemoptError if there is no such file."""
    if not Path(module).is_file():
        raise MemoptError(f"{os.fspath(module)}: no such file; expected a compiled module (.so)")
    return Path(module).resolve()


def native_file(module: str | os.PathLike[str]) -> Path:
    """The absolute path. Raises MemoptError if there is no such file, or if its code is for another architecture."""
    path = existing_file(module)
    require_native(path)
    return path


def last_line(error: BaseException) -> str:
    """The line of a TVM error that states the cause, which follows the stack frames."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _load_file(path: Path) -> tvm.runtime.Module:
    """Load a library, or a copy of it if this process has already loaded another with the same name.

    The dynamic loader compares names, so it would return the old library even after an atomic replacement.
    """
    import tvm

    status = path.stat()
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    if _loaded.setdefault(path, stamp) == stamp:
        return tvm.runtime.load_module(str(path))
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        return tvm.runtime.load_module(shutil.copy(path, folder))
