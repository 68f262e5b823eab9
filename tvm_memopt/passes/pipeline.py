"""TVM integration: a Relax pipeline, its entry in TVM's registry, and a module pass for each stage."""

from __future__ import annotations

import os
from collections.abc import Callable

import tvm
import tvm_ffi

from tvm_memopt.errors import (
    BudgetError,
    FrontendError,
    GraphError,
    InfeasibleBudgetError,
    MemoptError,
    NoPlanError,
    PlanError,
)
from tvm_memopt.graph import Plan, graph_to_json
from tvm_memopt.passes.compile import compile_module, plan_lowered
from tvm_memopt.passes.relax.documents import GRAPH_ATTR, compact, with_attributes
from tvm_memopt.passes.relax.lowering import current_target, passes_after_plan
from tvm_memopt.passes.relax.planning import KernelCosts, PlannedModule, PlanOptions, extract_module
from tvm_memopt.passes.relax.reorder import reorder_module
from tvm_memopt.passes.schedules import Scheduler
from tvm_memopt.targets import DeviceProfile, device_profile

# Errors raised by a pass cross native code, which preserves only registered classes. Others become RuntimeError.
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
    split: str = "auto",
    narrow: str = "auto",
    integer: bool | None = None,
    overlap: str = "auto",
    io_in_arena: str = "",
    inplace: bool = True,
    measure_costs: bool = False,
    kernel_costs: KernelCosts | None = None,
    plan: Plan | None = None,
    strict: bool = False,
    device: str | os.PathLike[str] | DeviceProfile | None = None,
    schedules: Scheduler | None = None,
    on_planned: Callable[[PlannedModule], None] | None = None,
) -> tvm.transform.Pass:
    """A Relax pipeline for ``tvm.compile(mod, target, relax_pipeline=...)``.

    It is TVM's fusing CPU pipeline with the memory planner in place of StaticPlanBlockMemory.

    ``budget``: upper limit on the arena, as bytes, ``"192KiB"``, or ``"80%"`` of the peak of the given order.
    ``time_limit``: search time for each function, in seconds. ``plan``: follow this plan for ``main`` instead of
    searching. ``device``: name, TOML file or profile of the device whose memory the plans are checked against and by
    whose rates kernel times are estimated. ``schedules``: where schedules of the kernels come from. ``on_planned``:
    called with the graphs and plans. The other arguments are those of PlanOptions.

    Raises InfeasibleBudgetError or NoPlanError if the budget is not met.
    """
    options = PlanOptions(
        budget=budget, time_limit=time_limit, seed=seed, threads=threads, caller_arena=caller_arena,
        fold_data_movement=fold_data_movement, split=split, narrow=narrow, integer=integer, overlap=overlap,
        io_in_arena=io_in_arena, inplace=inplace, measure_costs=measure_costs, kernel_costs=kernel_costs, plan=plan,
        strict=strict, device=None if device is None else device_profile(device),
    )  # fmt: skip

    @tvm.transform.module_pass(opt_level=0, name="MemoryPlannedPipeline")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        target = current_target()
        with target:
            planned = compile_module(mod, target, options, schedules=schedules, on_planned=on_planned).planned
            return tvm.transform.Sequential(passes_after_plan(target, planned=bool(planned.functions)))(planned.mod)

    return run


def extract_graphs(options: PlanOptions | None = None) -> tvm.transform.Pass:
    """A module pass that stores each function's graph, as JSON, in its attribute ``memopt.graph``.

    It changes no code. Runs after CallTIRRewrite.
    """
    chosen = options or PlanOptions()

    @tvm.transform.module_pass(opt_level=0, name="ExtractGraphs")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        functions = extract_module(mod, current_target(), chosen).functions
        documents = {name: {GRAPH_ATTR: compact(graph_to_json(e.graph))} for name, e in functions.items()}
        return with_attributes(mod, documents)

    return run


def reorder_calls(options: PlanOptions | None = None) -> tvm.transform.Pass:
    """A module pass that reorders the calls of each function for the least peak memory found.

    It changes nothing else. Runs after CallTIRRewrite.
    """
    chosen = options or PlanOptions()

    @tvm.transform.module_pass(opt_level=0, name="ReorderCalls")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        return reorder_module(mod, current_target(), chosen)

    return run


def plan_arena(options: PlanOptions | None = None, *, search_order: bool = False) -> tvm.transform.Pass:
    """A module pass that places the tensors and workspaces of each function in one arena.

    Calls keep their order, or take the best order found with ``search_order``. Runs after CallTIRRewrite, in place
    of StaticPlanBlockMemory.
    """
    chosen = options or PlanOptions()

    @tvm.transform.module_pass(opt_level=0, name="PlanArena")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        return plan_lowered(mod, current_target(), chosen, keep_order=not search_order).mod

    return run
