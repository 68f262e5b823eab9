"""Build a compiled module with its memory plan, or TVM's unmodified build of the same model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm import relax

from tvm_memopt.atomic import atomic_path
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import graph_to_json, plan_to_json
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.compile import compile_module
from tvm_memopt.passes.relax.lowering import passes_after_plan, unmodified_pipeline
from tvm_memopt.passes.relax.planning import PlannedModule, PlanOptions
from tvm_memopt.passes.schedules import Scheduler
from tvm_memopt.targets import DeviceProfile
from tvm_memopt.targets.toolchain import link_error, linker_for

METADATA_FUNCTION = "memopt_metadata"
METADATA_FORMAT = "memopt-module/1"


@dataclass(frozen=True)
class Build:
    """A compiled module, its plans, and the seconds of each stage. ``executable``: None if it was not asked for."""

    executable: Any
    target: tvm.target.Target
    planned: PlannedModule
    lowered: tvm.IRModule
    seconds: Mapping[str, float]


def build_planned(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    options: PlanOptions,
    *,
    exec_mode: str = "bytecode",
    inputs: Sequence[Mapping[str, Any]] = (),
    schedules: Scheduler | None = None,
    executable: bool = True,
) -> Build:
    """Lower, plan and compile ``mod``.

    ``inputs``: name, shape and dtype of each input, stored in the module's metadata. ``schedules``: where
    schedules of the kernels come from. ``executable``: make one for TVM's virtual machine.

    Raises InfeasibleBudgetError or NoPlanError if the budget is not met.
    """
    found = compile_module(mod, target, options, schedules=schedules)
    planned, clock = found.planned, found.clock
    if not executable:
        return Build(None, target, planned, found.lowered, clock.seconds)
    emitted = _with_metadata(planned.mod, metadata(planned, target, options, inputs))
    with target:
        final = tvm.transform.Sequential(passes_after_plan(target, planned=bool(planned.functions)))(emitted)
    compiled = relax.build(final, target, relax_pipeline=None, exec_mode=exec_mode)
    clock.lap("compile")
    return Build(compiled, target, planned, found.lowered, clock.seconds)


def build_unmodified(mod: tvm.IRModule, target: tvm.target.Target, *, exec_mode: str = "bytecode") -> Any:
    """Compile ``mod`` with TVM's own fusing pipeline."""
    return relax.build(mod, target, relax_pipeline=unmodified_pipeline(target), exec_mode=exec_mode)


def metadata(
    planned: PlannedModule, target: tvm.target.Target, options: PlanOptions, inputs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The metadata of a compiled module that ``tvm-memopt run`` needs."""
    from tvm_memopt import __version__

    functions = {
        name: {
            "graph": json.loads(graph_to_json(function.graph)),
            "plan": json.loads(plan_to_json(function.plan)),
            "notes": list(function.notes),
            "beside_arena": function.beside_arena,
            "arena_position": function.arena_position,
        }
        for name, function in planned.functions.items()
    }
    return {
        "format": METADATA_FORMAT,
        "target": str(target),
        "caller_arena": options.caller_arena,
        "inputs": [dict(value) for value in inputs],
        "functions": functions,
        "versions": {"tvm-memopt": __version__, "apache-tvm": tvm.__version__},
    }


def _with_metadata(mod: tvm.IRModule, document: Mapping[str, Any]) -> tvm.IRModule:
    text = tvm.ir.StringImm(json.dumps(document, separators=(",", ":")))
    function = relax.Function([], relax.SeqExpr([], text), relax.AnyType()).with_attr(
        "global_symbol", METADATA_FUNCTION
    )
    builder = relax.BlockBuilder(mod)
    builder.add_func(function, METADATA_FUNCTION)
    return relax.transform.Normalize()(builder.get())


def export_module(
    executable: Any,
    path: str | os.PathLike[str],
    target: tvm.target.Target,
    cc: str | None = None,
    device: DeviceProfile | None = None,
) -> None:
    """Link ``executable`` into a shared library and move it to ``path`` by atomic rename.

    ``cc``: the cross compiler that links for ``target``. ``device``: the one whose compilers come first without ``cc``.
    Raises MemoptError if no compiler is found or it fails.
    """
    if Path(path).suffix != ".so":
        raise MemoptError(f"{os.fspath(path)}: a compiled module is a shared library, expected a name that ends in .so")
    linker = linker_for(target, cc, device)
    with atomic_path(path) as temporary:
        try:
            with native_stderr_discarded():  # TVM prints a line for each string it saves
                executable.export_library(str(temporary), fcompile=linker)
        except RuntimeError as error:
            raise MemoptError(f"{os.fspath(path)}: linking failed: {link_error(error)}") from None


def read_metadata(machine: Any, path: str) -> dict[str, Any]:
    """The metadata of a loaded module. Raises MemoptError if the module was not built by this package."""
    try:
        document = json.loads(machine[METADATA_FUNCTION]())
    except (AttributeError, KeyError, ValueError, RuntimeError):
        raise MemoptError(
            f"{path}: is not a module made by `tvm-memopt optimize`: it has no {METADATA_FUNCTION}"
        ) from None
    if document.get("format") != METADATA_FORMAT:
        raise MemoptError(f"{path}: metadata format is {document.get('format')!r}, expected {METADATA_FORMAT!r}")
    return dict(document)
