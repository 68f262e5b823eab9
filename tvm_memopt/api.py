"""The public face: the whole job, and its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.graph import Graph, Plan

if TYPE_CHECKING:
    import tvm


def optimize(
    mod: tvm.IRModule,
    target: str | tvm.target.Target,
    budget: str | int | None = None,
    time_limit: float = 10.0,
    **options: object,
) -> tuple[tvm.IRModule, Plan | None]:
    """Lower ``mod`` for ``target`` and plan its memory: (the planned module, the plan of its main function).

    The module compiles with ``tvm.compile(planned, target)`` as it is. ``options`` are those of PlanOptions.
    The plan is None where no function can be planned: the module is then as TVM lowers it, and a warning names the
    reason; with ``strict=True`` that is a MemoptError. Raises InfeasibleBudgetError or NoPlanError when the budget is
    not met.
    """
    from tvm_memopt.passes.compile import lower, main_function
    from tvm_memopt.passes.relax.pipeline import require_budget, with_documents
    from tvm_memopt.passes.relax.planning import PlanOptions, plan_module

    lowered, chosen = lower(mod, target)
    with chosen:
        planned = plan_module(lowered, chosen, PlanOptions(budget, time_limit, **options))  # type: ignore[arg-type]
    require_budget(planned)
    if not planned.functions:
        return planned.mod, None
    plan = planned.functions[main_function(planned.functions)].plan
    return with_documents(planned.mod, planned.functions), plan


def extract(mod: tvm.IRModule, target: str | tvm.target.Target = "llvm", function: str | None = None) -> Graph:
    """The operator graph of ``mod`` after TVM's own fusion and lowering for ``target``.

    ``function``: which one, where there are several; otherwise ``main``, or the only one.
    """
    from tvm_memopt.passes.compile import lower, main_function
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    lowered, chosen = lower(mod, target)
    with chosen:
        functions = extract_module(lowered, chosen, PlanOptions()).functions
    graph: Graph = functions[function or main_function(functions)].graph
    return graph
