"""From a schedule to a plan: lifetimes, addresses and lower bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tvm_memopt.graph import Allocation, Graph, Lifetimes, Plan, PlanStatus, lifetimes, working_set_bound
from tvm_memopt.graph.liveness import profile_of
from tvm_memopt.solvers.layout import Placement, held_peak, place
from tvm_memopt.solvers.request import Deadline, Request


def plan_for_order(graph: Graph, schedule: Sequence[int], request: Request, deadline: Deadline) -> Plan:
    """Place the buffers of ``schedule``, which may repeat ops. The schedule itself is not changed.

    Raises PlanError if the schedule reads a tensor before its producer has run.
    """
    lives = lifetimes(graph, schedule)
    placement = place(
        lives,
        graph.alignment,
        deadline,
        request.seed,
        request.budget_nbytes,
        threads=request.threads,
        disabled=request.disabled,
    )
    bound, op = working_set_bound(graph)
    solver = {
        "name": "fixed-order",
        "seconds": deadline.elapsed,
        "layout_method": placement.method,
        "order_peak_nbytes": max(profile_of(lives), default=0),
        "placement_bound_nbytes": placement.lower_bound_nbytes,
        "working_set_op": op,
    }
    return assemble(
        graph,
        schedule,
        lives,
        placement,
        budget=request.budget_nbytes,
        bound=bound,
        any_plan_bound=bound,
        solver=solver,
    )


def assemble(
    graph: Graph,
    schedule: Sequence[int],
    lives: Lifetimes,
    placement: Placement,
    *,
    budget: int | None,
    bound: int,
    any_plan_bound: int,
    cost_bound: float | None = None,
    solver: Mapping[str, Any],
) -> Plan:
    """Assemble the plan and determine its status.

    ``bound`` holds for the arena of every plan without rematerialisation, ``any_plan_bound`` for that of every plan.
    Under a budget only the second is reported, so that rematerialisation can never refute "infeasible".
    ``cost_bound`` holds for the cost of every plan within the budget; the base cost is always a lower bound.
    """
    cost, base_cost = math.fsum(graph.ops[op].cost for op in schedule), graph.base_cost
    least = base_cost if cost_bound is None else max(base_cost, min(cost_bound, cost))
    claimed = any_plan_bound if budget is not None else max(bound, any_plan_bound)
    return Plan(
        graph=graph.name,
        schedule=tuple(schedule),
        allocations=tuple(
            Allocation(b.tensor, b.first, b.last, offset, b.nbytes)
            for b, offset in zip(lives.buffers, placement.offsets, strict=True)
        ),
        alignment=graph.alignment,
        arena_nbytes=placement.arena_nbytes,
        peak_live_nbytes=held_peak(lives, placement.offsets),
        cost=cost,
        base_cost=base_cost,
        status=_status(placement.arena_nbytes, claimed, budget, dearer=cost > least),
        lower_bound_nbytes=claimed,
        cost_bound=least,
        budget_nbytes=budget,
        solver=dict(solver),
    )


def _status(arena: int, bound: int, budget: int | None, dearer: bool) -> PlanStatus:
    if budget is None:
        return "optimal" if arena == bound else "feasible"
    if bound > budget:
        return "infeasible"
    if arena > budget:
        return "unknown"
    return "feasible" if dearer else "optimal"
