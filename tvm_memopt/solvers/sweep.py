"""Memory against time: one plan for each of several budgets, each started from its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tvm_memopt.graph import Graph, Plan, lifetimes
from tvm_memopt.solvers.layout import Placement
from tvm_memopt.solvers.methods import solve
from tvm_memopt.solvers.portfolio.fixed_order import assemble
from tvm_memopt.solvers.request import Request

Listener = Callable[[Plan], None]


def sweep(
    graph: Graph, budgets_nbytes: Sequence[int], request: Request | None = None, listen: Listener | None = None
) -> list[Plan]:
    """Compute a plan for each budget, largest first. ``request.time_limit`` applies to each.

    Each search starts from the schedules of the larger budgets. A plan for a smaller budget is also valid for larger
    ones and replaces theirs if it is cheaper or if they have none. The cost therefore never falls along the result.
    Ctrl-C ends the sweep and returns the plans so far, including the interrupted one. ``listen`` is called with each
    plan as found.
    """
    request = request or Request()
    plans: list[Plan] = []
    for budget in sorted(set(budgets_nbytes), reverse=True):
        starts = tuple(dict.fromkeys(plan.schedule for plan in reversed(plans)))
        plan = solve(graph, replace(request, budget_nbytes=budget, start_schedules=starts))
        plans.append(plan)
        if listen:
            listen(plan)
        if plan.solver.get("interrupted"):
            break
    return carried_over(graph, plans)


def carried_over(graph: Graph, plans: Sequence[Plan]) -> list[Plan]:
    """From the smallest budget up, reuse the plan of a smaller budget if it is cheaper, or if there is no other."""
    found: list[Plan] = []
    best: Plan | None = None
    for plan in reversed(plans):
        dearer = best is not None and not (_keeps(plan) and plan.cost <= best.cost)
        chosen = _under(graph, best, plan) if best is not None and dearer else plan
        if _keeps(chosen):
            best = chosen
        found.append(chosen)
    return found[::-1]


def _keeps(plan: Plan) -> bool:
    return plan.status in ("optimal", "feasible")


def _under(graph: Graph, plan: Plan, other: Plan) -> Plan:
    """``plan`` as the answer to the request of ``other``."""
    lives = lifetimes(graph, plan.schedule)
    offsets = tuple(allocation.offset for allocation in plan.allocations)
    bound = other.lower_bound_nbytes or 0
    return assemble(
        graph,
        plan.schedule,
        lives,
        Placement(offsets, plan.arena_nbytes, 0, "reused from a smaller budget"),
        budget=other.budget_nbytes,
        bound=bound,
        any_plan_bound=bound,
        cost_bound=other.cost_bound,
        solver={**other.solver, "order_method": f"found for a budget of {plan.budget_nbytes} bytes"},
    )
