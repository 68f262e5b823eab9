"""The file of a compiled module: a shared library for TVM's virtual machine, or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.passes.build import Build
    from tvm_memopt.targets import DeviceProfile
    from tvm_memopt.targets.rpc import Device

SUFFIX = ".elf"


def is_program(path: str) -> bool:
    """Whether a file's name is that of a program."""
    return path.endswith(SUFFIX)


def check_module_name(path: str) -> None:
    """Raise MemoptError for a name that is neither that of a shared library nor that of a program."""
    if not path.endswith((".so", SUFFIX)):
        raise MemoptError(
            f"{path}: a compiled module is a shared library, expected a name that ends in .so; or a program with a "
            f"static arena, which ends in {SUFFIX}"
        )


def check_program_tools(target: tvm.target.Target, cc: str | None, device: Device | None) -> None:
    """Raise MemoptError if programs for ``target`` cannot be made here, or if ``device`` does not answer."""
    from tvm_memopt.export.kernels import require_llvm
    from tvm_memopt.export.platforms import platform_for

    require_llvm(target)
    platform_for(target, cc)
    if device is not None:
        device.count()


def write_build(
    build: Build, mod: tvm.IRModule, path: str, cc: str | None = None, device: DeviceProfile | None = None
) -> None:
    """Write a planned module to ``path``, by atomic rename. ``mod``: the model. Raises as the two exports do."""
    if not is_program(path):
        from tvm_memopt.passes.build import export_module

        export_module(build.executable, path, build.target, cc, device)
        return
    from tvm_memopt.export.build import export_program
    from tvm_memopt.frontends.inputs import integer_limits
    from tvm_memopt.passes.compile import main_function
    from tvm_memopt.passes.relax.planning import unplanned_reason

    if not build.planned.functions:
        raise MemoptError(f"{path}: {unplanned_reason(build.planned.skipped)}, so there is no arena for a program")
    name = main_function(build.planned.functions)
    export_program(
        build.planned.mod, build.target, path, function=name, metadata={"limits": integer_limits(mod)}, cc=cc
    )
