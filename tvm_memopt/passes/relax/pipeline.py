"""The plan as TVM sees it: a Relax pipeline, a name in TVM's registry, and module passes for each stage."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

import tvm
import tvm_ffi
from tvm import relax

from tvm_memopt.errors import (
    BudgetError,
    FrontendError,
    GraphError,
    InfeasibleBudgetError,
    MemoptError,
    NoPlanError,
    PlanError,
)
from tvm_memopt.graph import Plan, graph_to_json, plan_to_json
from tvm_memopt.passes.relax.lowering import current_target, passes_after_plan, passes_before_plan
from tvm_memopt.passes.relax.plan_function import FunctionPlan
from tvm_memopt.passes.relax.planning import PlannedModule, PlanOptions, extract_module, plan_module
from tvm_memopt.passes.relax.reorder import reorder_module
from tvm_memopt.solvers.portfolio.verdict import budget_message

GRAPH_ATTR = "memopt.graph"
PLAN_ATTR = "memopt.plan"
_log = logging.getLogger("tvm_memopt")

# What a pass raises goes through native code, which knows only registered classes: others become RuntimeError.
for _error in (MemoptError, GraphError, FrontendError, BudgetError, InfeasibleBudgetError, NoPlanError, PlanError):
    tvm_ffi.register_error(_error.__name__, _error)


def pipeline(
    budget: str | int | None = None,
    time_limit: float = 10.0,
    *,
    seed: int = 0,
    threads: int | None = None,
    caller_arena: bool = False,
    fold_data_movement: str = "auto",
    inplace: bool = True,
    measure_costs: bool = False,
    plan: Plan | None = None,
    strict: bool = False,
    on_planned: Callable[[PlannedModule], None] | None = None,
) -> tvm.transform.Pass:
    """A Relax pipeline for ``tvm.compile(mod, target, relax_pipeline=...)``: TVM's fusing CPU pipeline
    with the memory plan in the place of StaticPlanBlockMemory.

    ``budget``: largest arena, ``"192KiB"``, bytes, or ``"80%"`` of the given order's peak. ``time_limit``:
    seconds for the search of each function. ``plan``: follow this plan of ``main`` instead of searching.
    ``on_planned`` receives the graphs and plans. Raises InfeasibleBudgetError or NoPlanError when the
    budget is not met; the other arguments are those of PlanOptions.
    """
    options = PlanOptions(
        budget, time_limit, seed, threads, caller_arena, fold_data_movement, inplace, measure_costs, plan, strict=strict
    )

    @tvm.transform.module_pass(opt_level=0, name="MemoryPlannedPipeline")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        target = current_target()
        with target:
            lowered = tvm.transform.Sequential(passes_before_plan(target))(mod)
            planned = plan_module(lowered, target, options)
            log_plans(planned)
            if on_planned is not None:
                on_planned(planned)
            require_budget(planned)
            return tvm.transform.Sequential(passes_after_plan(target, planned=bool(planned.functions)))(planned.mod)

    return run


def log_plans(planned: PlannedModule) -> None:
    """One line for each function on the package's logger."""
    for name, function in planned.functions.items():
        plan = function.plan
        _log.info(
            "%s: %d ops, arena %d bytes, bound %s, %s", name, len(function.graph.ops), plan.arena_nbytes,
            plan.lower_bound_nbytes, plan.status,
        )  # fmt: skip
        for note in function.notes:
            _log.info("%s: %s", name, note)
    for name, reason in planned.skipped.items():
        _log.info("%s: left as it is: %s", name, reason)


def require_budget(planned: PlannedModule) -> None:
    """Raises InfeasibleBudgetError or NoPlanError for the first function whose plan is over its budget."""
    for name, function in planned.functions.items():
        message = f"function {name!r}: {budget_message(function.graph, function.plan)}"
        if function.plan.status == "infeasible":
            raise InfeasibleBudgetError(message)
        if function.plan.status == "unknown":
            raise NoPlanError(message)


def register_pipeline() -> None:
    """Make ``relax_pipeline="memopt"`` known to TVM; once is enough, again does no harm."""
    if "memopt" not in relax.pipeline.PIPELINE_MAP:
        relax.register_pipeline("memopt")(pipeline)


def extract_graphs(options: PlanOptions | None = None) -> tvm.transform.Pass:
    """A module pass that leaves the code alone and writes each function's graph, as JSON, into its attribute
    ``memopt.graph``. Runs after CallTIRRewrite."""
    chosen = options or PlanOptions()

    @tvm.transform.module_pass(opt_level=0, name="ExtractGraphs")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        functions = extract_module(mod, current_target(), chosen).functions
        documents = {name: {GRAPH_ATTR: _compact(graph_to_json(e.graph))} for name, e in functions.items()}
        return _with_attributes(mod, documents)

    return run


def reorder_calls(options: PlanOptions | None = None) -> tvm.transform.Pass:
    """A module pass that puts the calls of each function into the order of least peak memory and changes
    nothing else. Runs after CallTIRRewrite."""
    chosen = options or PlanOptions()

    @tvm.transform.module_pass(opt_level=0, name="ReorderCalls")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        return reorder_module(mod, current_target(), chosen)

    return run


def plan_arena(options: PlanOptions | None = None, *, search_order: bool = False) -> tvm.transform.Pass:
    """A module pass that puts the tensors and workspaces of each function into one arena, calls in the
    order in which they stand, or in the best one found with ``search_order``. Runs after CallTIRRewrite,
    in the place of StaticPlanBlockMemory."""
    chosen = options or PlanOptions()

    @tvm.transform.module_pass(opt_level=0, name="PlanArena")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        planned = plan_module(mod, current_target(), chosen, keep_order=not search_order)
        require_budget(planned)
        return with_documents(planned.mod, planned.functions)

    return run


def with_documents(mod: tvm.IRModule, functions: Mapping[str, FunctionPlan]) -> tvm.IRModule:
    """``mod`` with each planned function's graph and plan, as JSON, in its attributes."""
    documents = {
        name: {GRAPH_ATTR: _compact(graph_to_json(f.graph)), PLAN_ATTR: _compact(plan_to_json(f.plan))}
        for name, f in functions.items()
    }
    return _with_attributes(mod, documents)


def _with_attributes(mod: tvm.IRModule, attributes: Mapping[str, Mapping[str, str]]) -> tvm.IRModule:
    functions = {
        variable: function.with_attrs(dict(attributes[variable.name_hint]))
        if variable.name_hint in attributes
        else function
        for variable, function in mod.functions_items()
    }
    return tvm.IRModule(functions, attrs=mod.attrs)


def _compact(document: str) -> str:
    return json.dumps(json.loads(document), separators=(",", ":"))
