"""``tvm-memopt optimize --measure``: the written module beside the unmodified build, here or on a device."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tvm_memopt.cli.console import stage
from tvm_memopt.cli.programs.output import is_program

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.cli.measured import Comparison, Measured
    from tvm_memopt.cli.optimize_arguments import Arguments
    from tvm_memopt.targets.rpc import Device


def measured(
    given: Arguments,
    device: Device | None,
    mod: tvm.IRModule,
    target: tvm.target.Target,
    arena: int | None,
    position: int | None,
) -> Measured:
    """Compare ``given.output`` with the unmodified build of ``mod``.

    ``arena``: bytes of the plan's arena. ``position``: index of the arena among the call's storages, if there may be
    others.
    """
    from tvm_memopt.frontends import random_inputs

    if is_program(given.output):
        from tvm_memopt.cli.programs.compare import compare_programs

        with stage("building the unmodified module and running both"):
            return compare_programs(given.output, mod, target, random_inputs(mod, given.seed), device, given.cc)
    if device is not None:
        return _on_device(given, device, mod, target, arena, position)
    return _here(given, mod, target, arena, position)


def _here(
    given: Arguments, mod: tvm.IRModule, target: tvm.target.Target, arena: int | None, position: int | None
) -> Comparison:
    from tvm_memopt.cli.measured import compare
    from tvm_memopt.frontends import random_inputs
    from tvm_memopt.passes.build import build_unmodified, export_module

    with stage("building the unmodified module and measuring both"), TemporaryDirectory() as folder:
        # Both are linked: in memory, some calls, such as float16 conversions, resolve to other libraries.
        other = str(Path(folder, "unmodified.so"))
        unmodified = build_unmodified(mod, target, exec_mode=given.exec_mode)
        export_module(unmodified, other, target, given.cc, given.device)
        return compare(
            given.output, other, random_inputs(mod, given.seed), arena,
            caller_arena=given.caller_arena and arena is not None, repeats=10, arena_position=position,
        )  # fmt: skip


def _on_device(
    given: Arguments,
    device: Device,
    mod: tvm.IRModule,
    target: tvm.target.Target,
    arena: int | None,
    position: int | None,
) -> Comparison:
    from tvm_memopt.cli.measured_remote import compare_remote
    from tvm_memopt.frontends import random_inputs
    from tvm_memopt.passes.build import build_unmodified

    with stage("building the unmodified module and measuring both on the device"):
        return compare_remote(
            device, given.output, build_unmodified(mod, target, exec_mode=given.exec_mode), target,
            random_inputs(mod, given.seed), arena, caller_arena=given.caller_arena and arena is not None, repeats=10,
            arena_position=position, cc=given.cc,
        ).comparison  # fmt: skip
