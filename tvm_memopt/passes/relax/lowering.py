"""TVM's own lowering around planning: the passes before extraction and the passes after emission."""

from __future__ import annotations

import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as cpu

from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.relax.narrow.lowering import narrow_passes


def passes_before_plan(
    target: tvm.target.Target, *, narrow: bool = False, integer: bool = False
) -> list[tvm.transform.Pass]:
    """Dispatch, legalisation, fusion and lowering to kernels that write into allocated buffers.

    ``narrow``: cut the kernels of quantised models at narrow tensors. ``integer``: they compute in integers.
    """
    return [*passes_until_fusion(target, narrow=narrow, integer=integer), *passes_after_fusion(target)]


def passes_after_fusion(target: tvm.target.Target) -> list[tvm.transform.Pass]:
    """Lowering of fused kernels to calls that write into allocated buffers."""
    return list(cpu.dataflow_lower_passes(target))


def passes_until_fusion(
    target: tvm.target.Target, *, narrow: bool = False, integer: bool = False
) -> list[tvm.transform.Pass]:
    """Dispatch, legalisation and fusion, which produce the kernels that a tuner works on."""
    _check_target(target)
    fusion = narrow_passes(target, integer=integer) if narrow else cpu.legalize_passes(target)
    return [*cpu.library_dispatch_passes(target), *fusion]


def passes_after_plan(target: tvm.target.Target, *, planned: bool = True) -> list[tvm.transform.Pass]:
    """TVM's final passes, without StaticPlanBlockMemory if a function is ``planned``.

    The plan replaces it. Run after planning, it would reuse storage across the branches of an If, which crashes at
    run time.
    """
    return [p for p in cpu.finalize_passes(target) if not planned or p.info.name != "StaticPlanBlockMemory"]


def unmodified_pipeline(target: tvm.target.Target) -> tvm.transform.Pass:
    """TVM's own fusing pipeline for ``target``: the baseline for plans."""
    _check_target(target)
    return relax.get_default_pipeline(target)


def _check_target(target: tvm.target.Target) -> None:
    if target.kind.name not in ("llvm", "c"):
        raise MemoptError(
            f"target kind {target.kind.name!r} is not supported, expected a CPU target of kind 'llvm' or 'c'"
        )


def current_target() -> tvm.target.Target:
    """The target that tvm.compile has put in scope. Raises MemoptError if there is none."""
    target = tvm.target.Target.current(allow_none=True)
    if target is None:
        raise MemoptError("no target is in scope: pass one to tvm.compile, or use `with tvm.target.Target(...)`")
    return target
