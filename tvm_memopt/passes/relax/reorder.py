"""Reorder calls only. Storage is left to later passes in the pipeline."""

from __future__ import annotations

from dataclasses import replace

import tvm
from tvm import relax

from tvm_memopt.passes.relax.apply import emit_reordered
from tvm_memopt.passes.relax.planning import PlanOptions, solve_module


def reorder_module(mod: tvm.IRModule, target: tvm.target.Target, options: PlanOptions) -> tvm.IRModule:
    """Put the calls of each function in the best order found."""
    planned = solve_module(mod, target, replace(options, budget=None, plan=None))
    for name, function in planned.functions.items():
        others = {v: f for v, f in mod.functions_items() if v.name_hint != name}
        builder = relax.BlockBuilder(tvm.IRModule(others, attrs=mod.attrs))
        reordered = emit_reordered(builder, function.extraction, function.plan.schedule)
        mod = tvm.IRModule({**others, mod.get_global_var(name): reordered}, attrs=mod.attrs)
    return mod
