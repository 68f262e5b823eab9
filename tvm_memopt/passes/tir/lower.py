"""TVM's own kernel lowering, run early and stopped where the scratch buffers have their final size.

What the default TIR pipeline does up to StorageRewrite decides how much scratch memory a kernel
needs. Run on the finished kernels it is cheap, and the pipeline's second pass over them changes
nothing: a test holds the machine code of both ways against each other.
"""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx


def lower_to_flat_buffers(kernels: tvm.IRModule) -> tvm.IRModule:
    """The passes of TVM's default TIR pipeline up to and including StorageRewrite."""
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
        s_tir.transform.LoopPartition(),
        tirx.transform.VectorizeLoop(not _config("tirx.disable_vectorize")),
        s_tir.transform.InjectVirtualThread(),
        s_tir.transform.InjectDoubleBuffer(),
    ]
    if not _config("tirx.disable_storage_rewrite"):
        passes.append(tirx.transform.StorageRewrite())
    return tvm.transform.Sequential(passes)(kernels)


def _config(key: str) -> bool:
    return bool(tvm.transform.PassContext.current().config.get(key, False))
