"""The public API: plan a whole module, or run single stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.graph import Graph, Plan

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.passes.relax.planning import KernelCosts


def optimize(
    mod: tvm.IRModule,
    target: str | tvm.target.Target,
    budget: str | int | None = None,
    time_limit: float = 10.0,
    *,
    seed: int = 0,
    threads: int | None = None,
    caller_arena: bool = False,
    fold_data_movement: str = "auto",
    narrow: str = "auto",
    io_in_arena: str = "",
    inplace: bool = True,
    measure_costs: bool = False,
    kernel_costs: KernelCosts | None = None,
    plan: Plan | None = None,
    strict: bool = False,
) -> tuple[tvm.IRModule, Plan | None]:
    """Lower ``mod`` for ``target`` and plan its memory.

    ``budget``: upper limit on the arena, as bytes, ``"192KiB"``, or ``"80%"`` of the peak of the given order.
    ``time_limit``: search time for each function, in seconds. ``plan``: follow this plan of the main function instead
    of searching. The other arguments are those of PlanOptions.

    Returns (the planned module, the plan of its main function). The module compiles with
    ``tvm.compile(planned, target)``. ``plan.notes`` lists what the plan does not cover. If no function can be planned,
    the plan is None, the module is as lowered by TVM, and a warning gives the reason; with ``strict``, MemoptError is
    raised instead. Raises InfeasibleBudgetError or NoPlanError if the budget is not met.
    """
    from tvm_memopt.passes.compile import compile_module, make_target
    from tvm_memopt.passes.relax.planning import PlanOptions

    options = PlanOptions(
        budget=budget,
        time_limit=time_limit,
        seed=seed,
        threads=threads,
        caller_arena=caller_arena,
        fold_data_movement=fold_data_movement,
        narrow=narrow,
        io_in_arena=io_in_arena,
        inplace=inplace,
        measure_costs=measure_costs,
        kernel_costs=kernel_costs,
        plan=plan,
        strict=strict,
    )
    found = compile_module(mod, make_target(target), options)
    return found.planned.mod, found.plan


def extract(mod: tvm.IRModule, target: str | tvm.target.Target = "llvm", function: str | None = None) -> Graph:
    """Extract the operator graph of ``mod`` after TVM's own fusion and lowering for ``target``.

    ``function``: name of the function; by default ``main``, or the only function.
    """
    from tvm_memopt.passes.compile import lower, main_function
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    lowered, chosen = lower(mod, target)
    with chosen:
        functions = extract_module(lowered, chosen, PlanOptions()).functions
    graph: Graph = functions[function or main_function(functions)].graph
    return graph
