"""TVM's own memory plan of the same module: the baseline of all comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as cpu

from tvm_memopt.passes.relax.sizes import static_nbytes


@dataclass(frozen=True, slots=True)
class BaselinePlan:
    """Bytes that TVM's fusing pipeline allocates for ``main``.

    ``storage_nbytes``: planned by StaticPlanBlockMemory. ``tensor_nbytes``: tensors that it leaves out, such as
    returned ones.
    """

    storage_nbytes: int
    tensor_nbytes: int

    @property
    def total_nbytes(self) -> int:
        """Sum of both."""
        return self.storage_nbytes + self.tensor_nbytes


def baseline_plan(lowered: tvm.IRModule, target: tvm.target.Target, function: str = "main") -> BaselinePlan:
    """TVM's plan of a module that is lowered up to and including CallTIRRewrite."""
    with target:
        planned = cpu.finalize_passes(target)[0](lowered)
    storage, tensors = 0, 0

    def visit(expr: relax.Expr) -> None:
        nonlocal storage, tensors
        if not isinstance(expr, relax.Call) or not isinstance(expr.op, tvm.ir.Op):
            return
        if expr.op.name == "relax.memory.alloc_storage":
            storage += static_nbytes(expr.args[0].values, "uint8", {}) or 0
        elif expr.op.name == "relax.builtin.alloc_tensor":
            tensors += static_nbytes(expr.args[0].values, expr.args[1].value, {}) or 0

    relax.analysis.post_order_visit(planned[function], visit)
    return BaselinePlan(storage, tensors)
