"""TVM's own kernel lowering, run early, up to the point where scratch buffers have their final size.

The passes of the default TIR pipeline up to StorageRewrite decide how much scratch memory a kernel
needs. Running them on fused kernels is cheap. When the pipeline runs them again later, they change
nothing: a test compares the machine code of both builds.

StorageRewrite itself is the one exception. Where buffers reuse one allocation it leaves views, and a
second StorageRewrite ignores views: it treats the memory as free while a view is still read. Views of
scratch buffers are therefore replaced by the buffers they view.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Var

from tvm_memopt.passes.tir.statements import data_source, dtype_of


def lower_to_flat_buffers(kernels: tvm.IRModule, *, partition: bool = False) -> tvm.IRModule:
    """Run TVM's default TIR pipeline up to and including StorageRewrite.

    ``partition``: split loops where a condition marked as likely changes its value (LoopPartition).
    """
    passes = [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerCrossThreadReduction(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.LiftThreadBinding(),
        s_tir.transform.ManifestSharedMemoryLocalStage(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerAutoCopy(),
        s_tir.transform.UnifyThreadBinding(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.InjectPermutedLayout(),
        s_tir.transform.AnnotateIrregularLoop(),
        s_tir.transform.InjectSoftwarePipeline(),
        s_tir.transform.TransformMmaBufferLayout(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.BF16ComputeLegalize(),
        tirx.transform.NarrowDataType(32),
        *(_partition_passes() if partition else [s_tir.transform.LoopPartition()]),
        tirx.transform.VectorizeLoop(not _config("tirx.disable_vectorize")),
        s_tir.transform.InjectVirtualThread(),
        s_tir.transform.InjectDoubleBuffer(),
    ]
    if not _config("tirx.disable_storage_rewrite"):
        passes.append(tirx.transform.StorageRewrite())
    lowered = tvm.transform.Sequential(passes)(kernels)
    return tvm.IRModule({v: _without_views(f) for v, f in lowered.functions_items()}, attrs=lowered.attrs)


def _partition_passes() -> list[tvm.transform.Pass]:
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        config = {**_all_config(), "s_tir.LoopPartition": {"partition_const_loop": True}}
        with tvm.transform.PassContext(config=config):
            return s_tir.transform.LoopPartition()(mod)

    simplify = s_tir.transform.StmtSimplify()
    constant_loops = tvm.transform.module_pass(run, opt_level=0, name="PartitionConstantLoops")
    return [tirx.transform.UnrollLoop(), simplify, constant_loops, simplify]


def _all_config() -> dict[str, object]:
    return dict(tvm.transform.PassContext.current().config.items())


def _without_views(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Redirect accesses to views of scratch buffers to the buffers themselves."""
    replaced = {view: root for view, root in _scratch_views(func).items() if _same_addresses(view, root)}
    if not replaced:
        return func
    nothing = tirx.Evaluate(tirx.IntImm("int32", 0))

    def without(declaration: tirx.DeclBuffer) -> tirx.Stmt:
        return nothing if declaration.buffer in replaced else declaration

    body = tvm_ffi.structural_map(func.body, (tirx.DeclBuffer, without))
    body = tvm_ffi.structural_map(body, (Var, lambda v: replaced.get(v, v)))
    if isinstance(body, tirx.SeqStmt):
        body = tirx.SeqStmt([s for s in body.seq if not s.same_as(nothing)])
    return tirx.PrimFunc(list(func.params), body, func.ret_type, func.attrs)  # type: ignore[call-overload]


def _scratch_views(func: tirx.PrimFunc) -> dict[Var, Var]:
    """Map each view of a scratch buffer to that buffer."""
    allocated: set[Var] = set()
    root: dict[Var, Var] = {}

    def on_view(view: tirx.DeclBuffer) -> None:
        source = data_source(view.data)
        found = root.get(source, source)
        if found is not None and found in allocated:
            root[view.buffer] = found

    callbacks = ((tirx.AllocBuffer, lambda node: allocated.add(node.buffer)), (tirx.DeclBuffer, on_view))
    tvm_ffi.structural_walk(func.body, callbacks, order="pre")
    return root


def _same_addresses(view: Var, root: Var) -> bool:
    return len(view.shape) == len(root.shape) == 1 and dtype_of(view) == dtype_of(root)


def has_scratch_views(func: tirx.PrimFunc) -> bool:
    """Whether views of scratch buffers remain, which TVM's second StorageRewrite would ignore."""
    return bool(_scratch_views(func))


def _config(key: str) -> bool:
    return bool(tvm.transform.PassContext.current().config.get(key, False))
