"""The methods by which a plan can be computed: the portfolio, and the formulations of published papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tvm_memopt.errors import BudgetError, MemoptError
from tvm_memopt.graph import Graph, Plan, check
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.portfolio.fixed_order import plan_for_order
from tvm_memopt.solvers.portfolio.solve import solve as solve_portfolio
from tvm_memopt.solvers.remat.result import EVERY_SCHEDULE, RematResult
from tvm_memopt.solvers.request import Deadline, Request
from tvm_memopt.solvers.switches import SWITCHES


def solve(graph: Graph, request: Request | None = None) -> Plan:
    """Return a checked plan computed by ``request.method``. Ctrl-C returns the best plan so far.

    Without a budget, the plan minimises the arena and runs every op once. With a budget, it has the least cost among
    plans within it.

    Raises MemoptError for an unknown method or switch, and BudgetError if the method needs a budget or does not take
    one.
    """
    request = request or Request()
    if request.method not in METHODS:
        raise MemoptError(f"method {request.method!r} is unknown: expected one of {', '.join(METHODS)}")
    unknown = sorted(request.disabled - _switches(request.method))
    if unknown:
        known = ", ".join(sorted(_switches(request.method)))
        raise MemoptError(f"switch {unknown[0]!r} is unknown to method {request.method!r}: expected one of {known}")
    return METHODS[request.method](graph, request)


def _moccasin(graph: Graph, request: Request) -> Plan:
    """MOCCASIN (arXiv 2304.14463): constraint programming over retention intervals, first runs in the given order."""
    from tvm_memopt.solvers.published.moccasin import solve_moccasin

    deadline = Deadline(request.time_limit)
    found = solve_moccasin(
        graph,
        _budget(request),
        time_limit=time_shares.SCHEDULE * request.time_limit,
        threads=request.threads,
        seed=request.seed,
        progress=request.progress,
    )
    return _placed(graph, request, deadline, found)


def _checkmate(graph: Graph, request: Request) -> Plan:
    """Checkmate (arXiv 1910.02653): a mixed-integer programme over stages, solved with HiGHS."""
    from tvm_memopt.solvers.published.checkmate import solve_checkmate

    deadline = Deadline(request.time_limit)
    limit = time_shares.SCHEDULE * request.time_limit
    found = solve_checkmate(graph, _budget(request), time_limit=limit, threads=request.threads, seed=request.seed)
    return _placed(graph, request, deadline, found)


def _olla(graph: Graph, request: Request) -> Plan:
    """OLLA (arXiv 2210.12924): order and addresses as one integer programme, without rematerialisation."""
    from tvm_memopt.solvers.published.olla import solve_olla

    if request.budget_nbytes is not None:
        raise BudgetError("method 'olla' runs every op once and takes no budget: leave it out")
    return solve_olla(graph, request)


def _budget(request: Request) -> int:
    if request.budget_nbytes is None:
        raise BudgetError(f"method {request.method!r} recomputes ops, so it needs a budget")
    return request.budget_nbytes


def _placed(graph: Graph, request: Request, deadline: Deadline, found: RematResult) -> Plan:
    """Place the schedule. Live bytes within the budget do not guarantee an arena within it."""
    inner = replace(request, disabled=frozenset(), method="portfolio")
    plan = plan_for_order(graph, found.schedule, inner, deadline)
    solver = {
        **plan.solver,
        "name": request.method,
        "schedule_status": found.status,
        "schedule_scope": found.scope,
        "interrupted": found.interrupted,
        "seed": request.seed,
    }
    bound = plan.cost_bound
    if found.scope == EVERY_SCHEDULE and found.cost_bound is not None and bound is not None:
        bound = max(bound, min(found.cost_bound, plan.cost))
    plan = replace(plan, solver=solver, cost_bound=bound)
    check(graph, plan)
    return plan


def _switches(method: str) -> frozenset[str]:
    """The names that ``Request.disabled`` may contain."""
    if method == "portfolio":
        return frozenset(SWITCHES)
    if method == "olla":
        from tvm_memopt.solvers.published.olla import OLLA_SWITCHES

        return frozenset(OLLA_SWITCHES)
    return frozenset()


METHODS: Mapping[str, Callable[[Graph, Request], Plan]] = {
    "portfolio": solve_portfolio,
    "moccasin": _moccasin,
    "checkmate": _checkmate,
    "olla": _olla,
}
