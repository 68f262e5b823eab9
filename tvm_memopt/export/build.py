"""Compile a planned module, the unmodified one, or a single kernel to a program with one arena."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from tvm_memopt.export.document import planned_documents, program_document, read_document, values
from tvm_memopt.export.kernels import compile_kernels
from tvm_memopt.export.link import link_program
from tvm_memopt.export.outcome import Outcome, outcome, request
from tvm_memopt.export.platforms import platform_for
from tvm_memopt.export.program import StaticProgram, Value, kernel_program
from tvm_memopt.export.read import read_program
from tvm_memopt.passes.relax.lowering import passes_before_plan
from tvm_memopt.targets.programs import run_program


def export_program(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    path: str | os.PathLike[str],
    *,
    function: str = "main",
    metadata: Mapping[str, Any] | None = None,
    cc: str | None = None,
) -> StaticProgram:
    """Write the program of a module that mo.optimize returned to ``path``, by atomic rename.

    Its tensors lie in one static arena at the plan's offsets, weights are constants, and it needs neither TVM's
    runtime nor, on Hexagon, a C library. ``metadata``: keys to keep in the file's document. ``cc``: the C compiler.
    Raises MemoptError for what a static program cannot do, and if a tool is missing or fails.
    """
    platform = platform_for(target, cc)
    program = read_program(mod, function)
    kernels = compile_kernels(mod, program, target)
    described = {**planned_documents(mod[function]), "target": str(target), **(metadata or {})}
    link_program(program, kernels, program_document(program, described), platform, path)
    return program


def export_kernel(
    function: tirx.PrimFunc, target: tvm.target.Target, path: str | os.PathLike[str], cc: str | None = None
) -> StaticProgram:
    """Write a program that calls one kernel on its inputs to ``path``. ``cc``, errors: as in export_program."""
    platform = platform_for(target, cc)
    shapes = [(str(p.ty.dtype), tuple(int(extent) for extent in p.ty.shape)) for p in function.params]
    program = kernel_program("main", [Value(f"input{i}", shape, dtype) for i, (dtype, shape) in enumerate(shapes)])
    kernels = compile_kernels(tvm.IRModule({"main": function}), program, target)
    link_program(program, kernels, program_document(program, {"target": str(target)}), platform, path)
    return program


def unmodified_storage(mod: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """``mod`` as TVM's own pipeline lowers it, with storage from its own planner, ready for export_program."""
    with target:
        passes = [*passes_before_plan(target), relax.transform.StaticPlanBlockMemory()]
        return tvm.transform.Sequential(passes)(mod)


def run_exported(path: str | os.PathLike[str], inputs: list[np.ndarray], seconds: float = 60.0) -> Outcome:
    """Run a program once on this machine, under QEMU if it is for another one. Raises MemoptError."""
    document = read_document(path)
    return outcome(run_program(path, request(inputs, values(document["inputs"])), seconds), document)
