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
    """Plans for the budgets, the largest first; ``request.time_limit`` is for each.

    A search starts from the schedules of the larger budgets. What a smaller budget found cheaper, or at all, holds
    for the larger ones too, so along the result the cost never falls. Ctrl-C ends the sweep: the plans so far, the
    interrupted one included, are returned. ``listen`` is told each plan as it is found.
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
    return _carried_over(graph, plans)


def _carried_over(graph: Graph, plans: Sequence[Plan]) -> list[Plan]:
    """From the smallest budget up: a plan that keeps a smaller budget and costs less, or keeps it at all, is taken."""
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
    """``plan`` as the answer to the request that ``other`` answered."""
    lives = lifetimes(graph, plan.schedule)
    offsets = tuple(allocation.offset for allocation in plan.allocations)
    bound = other.lower_bound_nbytes or 0
    return assemble(
        graph,
        plan.schedule,
        lives,
        Placement(offsets, plan.arena_nbytes, 0, "that of a smaller budget"),
        budget=other.budget_nbytes,
        bound=bound,
        any_plan_bound=bound,
        cost_bound=other.cost_bound,
        solver={**other.solver, "order_method": f"found for a budget of {plan.budget_nbytes} bytes"},
    )
