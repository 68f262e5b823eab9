"""All methods under one deadline. The given order is a candidate, so the answer is never worse than it."""

from __future__ import annotations

from typing import Any

from tvm_memopt.graph import Graph, Plan, check, given_order
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.interrupts import noted_interrupts
from tvm_memopt.solvers.layout import Placement
from tvm_memopt.solvers.portfolio.address_stages import better_addresses, joint_search
from tvm_memopt.solvers.portfolio.fixed_order import assemble
from tvm_memopt.solvers.portfolio.order_stages import aligned_orders, better_orders, constructive_orders, refute_orders
from tvm_memopt.solvers.portfolio.remat_stage import recompute
from tvm_memopt.solvers.portfolio.state import Candidate, Search, evaluate, place
from tvm_memopt.solvers.request import Request

_CHECK_SECONDS = 5e-8  # for the final check, per buffer and step
_FINISH_SECONDS = 7e-5  # to assemble the plan and check its schedule, per op
_STAGES = (constructive_orders, better_orders, aligned_orders, better_addresses, joint_search)


def solve(graph: Graph, request: Request | None = None) -> Plan:
    """Return the best plan found in the time limit. Ctrl-C returns the best plan so far.

    Without a budget, the plan minimises the arena and runs every op once. With a budget, it has the least cost among
    plans within it; ops are recomputed only if no order and placement without repeats fits.
    """
    with noted_interrupts() as pressed:
        search = Search(graph, request or Request())
        _place_given(search)
    try:
        if pressed:
            raise KeyboardInterrupt
        _run(search)
    except KeyboardInterrupt:
        search.interrupted = True
    with noted_interrupts():
        return _finish(search)


def _place_given(search: Search) -> None:
    """Place the given order, so that there is always a plan from here on."""
    search.stage("given order")
    given = evaluate(search, "given", given_order(search.graph))
    reserve = _FINISH_SECONDS * len(search.graph.ops)
    reserve += _CHECK_SECONDS * sum(b.last - b.first + 1 for b in given.lives.buffers)
    search.deadline = search.clock.within(max(search.clock.remaining - reserve, search.clock.remaining / 2))
    place(search, given)


def _run(search: Search) -> None:
    whole = search.deadline
    if search.missed:
        refute_orders(search)
        search.deadline = whole.within(time_shares.PLAIN * whole.remaining)
    for stage in _STAGES:
        if search.done or search.deadline.passed:
            break
        stage(search)
    search.deadline = whole
    recompute(search)
    search.stage("done")


def _finish(search: Search) -> Plan:
    assert search.best is not None
    candidate, placement = search.best
    plan = assemble(
        search.graph,
        candidate.order,
        candidate.lives,
        placement,
        budget=search.request.budget_nbytes,
        bound=search.order_bound,
        any_plan_bound=search.bound,
        cost_bound=search.cost_bound,
        solver=_explanation(search, candidate, placement),
    )
    check(search.graph, plan)
    return plan


def _explanation(search: Search, candidate: Candidate, placement: Placement) -> dict[str, Any]:
    """The entries of the plan's ``solver`` field. Bounds state which plans they hold for."""
    return {
        "name": "portfolio",
        "seconds": search.clock.elapsed,
        "order_method": candidate.method,
        "layout_method": placement.method,
        "order_peak_nbytes": candidate.peak,
        "given_order_peak_nbytes": search.candidates[0].peak,
        "order_peak_bound_nbytes": min(search.peak, search.peak_bound),
        "order_bound_nbytes": search.order_bound,
        "proved_order": search.proved_order,
        "bound_holds_for": _scope(search),
        "placement_bound_nbytes": placement.lower_bound_nbytes,
        "working_set_nbytes": search.bound,
        "working_set_op": search.bound_op,
        "evaluated": [(c.method, c.peak) for c in search.candidates],
        "interrupted": search.interrupted,
        "seed": search.request.seed,
    }


def _scope(search: Search) -> str:
    plain = search.request.budget_nbytes is None and search.order_bound > search.bound
    return "schedules without recomputation" if plain else "every schedule"
