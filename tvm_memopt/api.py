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
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    lowered, chosen = lower(mod, target)
    with chosen:
        functions = extract_module(lowered, chosen, PlanOptions()).functions
    graph: Graph = functions[function or main_function(functions)].graph
    return graph


def lower(mod: tvm.IRModule, target: str | tvm.target.Target) -> tuple[tvm.IRModule, tvm.target.Target]:
    """``mod`` after dispatch, fusion and lowering to kernels that write into allocated buffers."""
    import tvm

    from tvm_memopt.passes.relax.lowering import passes_before_plan

    chosen = make_target(target)
    with chosen:
        return tvm.transform.Sequential(passes_before_plan(chosen))(mod), chosen


def make_target(target: str | tvm.target.Target) -> tvm.target.Target:
    """A TVM target from its name or JSON. Raises MemoptError for one that TVM does not know."""
    import json

    import tvm

    from tvm_memopt.errors import MemoptError

    if isinstance(target, tvm.target.Target):
        return target
    try:
        return tvm.target.Target(json.loads(target) if target.lstrip().startswith("{") else target)
    except Exception as error:
        raise MemoptError(
            f"target {target!r} is unknown to TVM ({_last_line(error)}): expected a name such as llvm, or JSON such as "
            '{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}'
        ) from None


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__


def main_function(functions: object) -> str:
    """``main``, or the only function there is. Raises MemoptError when that is not clear."""
    from tvm_memopt.errors import MemoptError

    names = list(functions)  # type: ignore[call-overload]
    if "main" in names:
        return "main"
    if len(names) == 1:
        return str(names[0])
    if not names:
        raise MemoptError(
            "the module has no function that can be planned; optimize compiles it as TVM does and says why"
        )
    raise MemoptError(f"the module has no function 'main' to plan, but {', '.join(map(str, names))}: name one")
