"""Name the kernels between narrow tensors, and fold the conversions into their loops."""

from __future__ import annotations

import tvm
from tvm import tirx

from tvm_memopt.passes.relax.narrow.rewrite import NAME_PREFIX
from tvm_memopt.passes.tir.narrow import fold_conversions
from tvm_memopt.passes.tir.rounding import fuses_multiply_add


def fold_narrow_kernels(target: tvm.target.Target) -> tvm.transform.Pass:
    """A module pass that folds the stages of each narrow kernel into one loop nest. Runs after FuseTIR.

    A kernel with several reductions, such as a softmax, keeps TVM's stages.
    """
    fused = fuses_multiply_add(target)

    @tvm.transform.module_pass(opt_level=0, name="FoldNarrowKernels")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        functions = dict(mod.functions_items())
        for variable, function in functions.items():
            if isinstance(function, tirx.PrimFunc) and variable.name_hint.startswith(NAME_PREFIX):
                folded = fold_conversions(function, fused=fused)
                functions[variable] = function if folded is None else folded
        return tvm.IRModule(functions, attrs=mod.attrs)

    return run
