"""The stages of the portfolio that search for addresses, for given orders or jointly with the order."""

from __future__ import annotations

from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.layout import Placement
from tvm_memopt.solvers.layout.placement import arena_of
from tvm_memopt.solvers.portfolio.state import Search, evaluate, keep, promising, refine_order

_REFINED = 4  # orders for which exact placement is tried


def better_addresses(search: Search) -> None:
    """Search harder for addresses of the orders that could still give a smaller arena."""
    if {"boosting", "cp-sat"} <= search.request.disabled:
        return
    for rank, candidate in enumerate(list(promising(search, again=True))[:_REFINED]):
        if search.done or search.deadline.passed:
            return
        if search.arena is not None and candidate.bound >= search.arena:
            continue
        search.stage(f"addresses of order {rank}")
        refine_order(search, candidate)


def joint_search(search: Search) -> None:
    """Search order and addresses in one model, if no placement of the best orders closes the gap."""
    if "joint" in search.request.disabled or search.arena is None or search.done:
        return
    from tvm_memopt.solvers.joint import improve_jointly

    search.stage("order and addresses together")
    found = improve_jointly(
        search.graph,
        search.arena,
        search.order_bound,
        search.deadline.within(time_shares.JOINT * search.request.time_limit),
        seed=search.request.seed,
        threads=search.request.threads,
        hint_order=search.best[0].order if search.best else None,
    )
    search.order_bound = max(search.order_bound, found.bound_nbytes)
    if found.order is not None and found.offsets is not None:
        candidate = evaluate(search, "order and addresses together", found.order)
        arena = arena_of(candidate.lives, found.offsets)
        keep(search, candidate, Placement(found.offsets, arena, candidate.bound, "order and addresses together"))
    if found.interrupted:
        raise KeyboardInterrupt
