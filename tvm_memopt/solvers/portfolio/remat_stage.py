"""The rematerialisation stage of the portfolio. The budget limits the arena, so placement is part of the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.graph import Graph
from tvm_memopt.graph.bounds import align_up
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.order.aligned import aligned_graph, largest_padding
from tvm_memopt.solvers.portfolio.order_stages import uses_native
from tvm_memopt.solvers.portfolio.state import Candidate, Search, evaluate, place, refine_order
from tvm_memopt.solvers.remat.result import EVERY_SCHEDULE

if TYPE_CHECKING:
    import numpy as np

    from tvm_memopt.solvers.remat import RematResult

_FIRST_SECONDS, _GROWTH = 3.0, 1.5  # of the first search, short so that placement is tried early; factor to the next
_OPS_A_SECOND = 400  # for a large graph, in the first search: the time its cuts need
_LEAST_SECONDS = 0.05
_OP_SECONDS = 1e-4  # per op: nothing is found in less time than this for all ops
_MANY_OPS, _SPARED = 1000, 0.998  # above this size, the first search gets this much of the budget, to leave room
_FEW_OPS = 60  # up to this size, exact search is used too: the first search gets its whole share at once
_STARTS = 3  # orders to start from


def recompute(search: Search) -> None:
    """Search for the cheapest schedule whose buffers can be placed within the budget.

    The search counts bytes rounded up as in an aligned arena. If the placement then exceeds the budget, the search is
    repeated with the budget cut by the overshoot. If it fits, the search is repeated for less cost, closer to the
    budget, until time runs out.
    """
    if not search.missed or "remat" in search.request.disabled or not uses_native(search):
        return
    budget = search.request.budget_nbytes
    assert budget is not None
    # With padding, the search rounds up every size, including that of the topmost buffer of the arena.
    most = align_up(budget, search.graph.alignment) if largest_padding(search.graph) else budget
    large = len(search.graph.ops) > _MANY_OPS
    target = max(search.bound, int(_SPARED * most)) if large else most
    attempt, growth, latest = 0, 1.0, search.candidates[0].order
    few = len(search.graph.ops) <= _FEW_OPS and "exact-remat" not in search.request.disabled
    least_seconds = max(_LEAST_SECONDS, _OP_SECONDS * len(search.graph.ops))
    while search.deadline.remaining > least_seconds and search.bound <= budget:
        search.stage("recomputation" if target == most else f"recomputation within {target}")
        share = search.deadline.remaining * time_shares.REMAT
        first = max(_FIRST_SECONDS, len(search.graph.ops) / _OPS_A_SECOND)
        seconds = share if few and attempt == 0 else min(share, first * growth)
        found = _search(search, target, attempt, seconds, latest)
        attempt += 1
        if target == most:
            _learn(search, found, budget)
            if found.status == "infeasible":
                return
        candidate = evaluate(search, "recomputation", found.schedule)
        place(search, candidate)
        latest = candidate.order
        if found.peak_nbytes > target:
            growth *= _GROWTH
            target = min(most, target + (most - target + 1) // 2)
            continue
        over = _overshoot(search, candidate, budget, seconds)
        growth *= _GROWTH if over <= 0 else 1.0
        if over <= 0 and found.status == "optimal" and target == most:
            return
        upwards = max(target - over // 2, target + (most - target + 1) // 2)
        lower = over + over // 2 if large else over  # a large graph has time for few searches: the next one should fit
        target = max(search.bound, target - lower if over > 0 else min(most, upwards))


def _learn(search: Search, found: RematResult, budget: int) -> None:
    """Record what is proved of every schedule. With padding, an arena may hold slightly more than the live bytes."""
    if found.scope != EVERY_SCHEDULE or largest_padding(search.graph):
        return
    if found.cost_bound is not None:
        search.cost_bound = max(search.cost_bound, found.cost_bound)
    if found.status == "infeasible":
        search.bound = max(search.bound, budget + 1)


def _overshoot(search: Search, candidate: Candidate, budget: int, seconds: float) -> int:
    """Bytes by which the best placement found for the schedule exceeds the budget; negative if it has room to spare."""
    if search.placed[candidate.order].arena_nbytes > budget:
        refine_order(search, candidate, seconds)
    return search.placed[candidate.order].arena_nbytes - budget


def _search(search: Search, target: int, attempt: int, seconds: float, latest: tuple[int, ...]) -> RematResult:
    from tvm_memopt.solvers.native import call_interruptibly
    from tvm_memopt.solvers.remat.search import search_remat

    request, graph = search.request, search.graph
    disabled = request.disabled
    if attempt and any(c.order == latest and c.peak <= target for c in search.candidates):
        disabled |= {"keep-cut"}  # it has already run for this target or a larger one
    starts = [c.order for c in sorted(search.candidates, key=lambda c: c.peak)[:_STARTS]]
    if search.best is not None:
        starts.append(search.best[0].order)
    starts += [latest, *request.start_schedules]

    def call(flag: np.ndarray) -> RematResult:
        return search_remat(
            _as_laid_out(graph),
            target,
            seconds=seconds,
            seed=request.seed + attempt,
            threads=request.threads,
            flag=flag,
            start_schedules=starts,
            disabled=disabled,
            cost_bound=search.cost_bound,
            repeating=search.order_bound > target,
        )

    found, interrupted = call_interruptibly(call)
    if interrupted:
        place(search, evaluate(search, "recomputation", found.schedule))
        raise KeyboardInterrupt
    return found


def _as_laid_out(graph: Graph) -> Graph:
    return aligned_graph(graph) if graph.alignment > 1 else graph
