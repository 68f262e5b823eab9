"""The kernels of a static program as one object file, made by TVM's LLVM."""

from __future__ import annotations

from pathlib import Path

import tvm
import tvm_ffi
from tvm import tirx

from tvm_memopt.errors import MemoptError
from tvm_memopt.export.program import StaticProgram
from tvm_memopt.native_output import native_stderr_discarded

SYMBOL_PREFIX = "__tvm_ffi_"
"""What TVM puts before the name of a kernel in an object file."""


def compile_kernels(mod: tvm.IRModule, program: StaticProgram, target: tvm.target.Target) -> tvm.runtime.Module:
    """The kernels that ``program`` calls, compiled for ``target``. Raises MemoptError for other kinds than llvm."""
    require_llvm(target)
    functions = {}
    for name in program.kernels:
        variable = mod.get_global_var(name)
        _require_own_code(name, mod[variable])
        functions[variable] = mod[variable].with_attr("global_symbol", name)
    return tirx.build(tvm.IRModule(functions), target=with_itself_as_host(target))


def _require_own_code(name: str, function: tirx.PrimFunc) -> None:
    """Raise MemoptError if a kernel calls a function of TVM's runtime, such as a sort."""

    called: list[object] = []  # an exception would lose its class on the way through native code

    def note(call: tvm.ir.Call) -> None:
        if "packed" in getattr(call.op, "name", ""):
            called.append(call.args[0])

    tvm_ffi.structural_walk(function.body, (tvm.ir.Call, note))
    if called:
        raise MemoptError(
            f"kernel {name} calls the library function {called[0]}, which programs without TVM's runtime lack: "
            "a shared library for TVM's virtual machine can do it (-o MODULE.so)"
        )


def write_object(kernels: tvm.runtime.Module, path: Path) -> None:
    """Write compiled kernels as an object file."""
    if not path.name.endswith(".o"):
        raise ValueError(f"{path}: an object file is named .o")
    with native_stderr_discarded():
        kernels.write_to_file(str(path), "o")


def with_itself_as_host(target: tvm.target.Target) -> tvm.target.Target:
    """The target with itself as its host: otherwise TVM would compile the entry points for this machine."""
    return tvm.target.Target(target, host=target)


def require_llvm(target: tvm.target.Target) -> None:
    """Raise MemoptError if TVM makes no object files for ``target`` by itself."""
    if target.kind.name != "llvm":
        raise MemoptError(
            f"a static program is made of LLVM's object files, which target kind {target.kind.name!r} has not: give "
            'kind "llvm" with the triple of the device, or --device'
        )
