"""The stages of the portfolio that search for orders with a lower peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.order import ORDERINGS, beam_search
from tvm_memopt.solvers.order.aligned import aligned_graph, largest_padding
from tvm_memopt.solvers.order.downsets import downset_space
from tvm_memopt.solvers.portfolio.state import Search, evaluate, place, promising

if TYPE_CHECKING:
    import numpy as np

    from tvm_memopt.solvers.order.search import OrderResult

_BEAM_WIDTHS = (8, 32, 128, 512, 2048, 8192)
_PLACED_AT_ONCE = 2  # constructive orders that are placed before the search starts
_FEW_OPS = 64  # up to this many, a narrow beam is tried before the native search is loaded
_LEARNED_OPS = 1000  # measured to help from this size on; at 500 ops the search alone is as good
_LEARNED_SAMPLES = 16
_MANY_OPS = 2000  # from this many, the native search computes the constructive orders itself


def constructive_orders(search: Search) -> None:
    """Compute the constructive orders. The most promising are placed at once."""
    if "constructive" in search.request.disabled or (len(search.graph.ops) > _MANY_OPS and uses_native(search)):
        return
    search.stage("constructive orders")
    for method, ordering in ORDERINGS.items():
        if method != "given" and not search.deadline.passed:
            evaluate(search, method, ordering(search.graph))
    for candidate in list(promising(search))[:_PLACED_AT_ONCE]:
        if search.done or search.deadline.passed:
            return
        place(search, candidate)


def refute_orders(search: Search) -> None:
    """Check first whether any order can be within the budget. If none can, all the time goes to rematerialisation."""
    if len(search.graph.ops) <= _FEW_OPS or search.proved_order or not uses_native(search):
        return
    search.stage("order bound")
    if _needs_repeats(search):
        return
    _search_further(search, time_shares.REFUTE_ORDERS * search.deadline.remaining)


def _needs_repeats(search: Search) -> bool:
    """Whether minimum cuts prove that every plan within the budget repeats some op. If so, raise the order bound."""
    budget = search.request.budget_nbytes
    if budget is None or {"cut-bound", "remat"} & search.request.disabled:
        return False
    from tvm_memopt.solvers.remat.cuts.bound import bound_by_cuts

    limit = search.deadline.within(time_shares.REFUTE_ORDERS * search.deadline.remaining)
    least = bound_by_cuts(search.graph, search.candidates[0].order, budget, limit)
    if least <= 0:
        return False
    search.cost_bound = max(search.cost_bound, search.graph.base_cost + least)
    search.order_bound = max(search.order_bound, budget + 1)
    search.peak_bound = max(search.peak_bound, budget + 1)
    return True


def better_orders(search: Search) -> None:
    """Search for orders with a lower peak, in C++ if the library is built."""
    if search.proved_order:
        return
    if len(search.graph.ops) <= _FEW_OPS and _beams(search, _BEAM_WIDTHS[:1]):
        return
    if uses_native(search):
        _native_orders(search)
    else:
        _beams(search, _BEAM_WIDTHS)


def uses_native(search: Search) -> bool:
    """Whether native search is enabled. If so, the library is loaded."""
    from tvm_memopt.solvers import native  # this imports numpy, which easy graphs do not need

    if "native" in search.request.disabled:
        return False
    native.library()  # the first search of a process waits for it, so the time left is computed afterwards
    return True


def _order_seconds(search: Search) -> float:
    """Seconds left for order search, which is a part of the time if the placement also leaves a gap."""
    gap = search.arena is None or search.arena > search.peak
    share = time_shares.ORDER * search.request.time_limit - search.clock.elapsed if gap else search.deadline.remaining
    return min(share, search.deadline.remaining)


def _native_orders(search: Search) -> None:
    """The order search in C++. Under a budget it ends as soon as an order's peak is within it."""
    _learned_start(search)
    seconds = _order_seconds(search)
    if seconds <= 0:
        return
    search.stage("order search")
    _search_further(search, seconds)


def _search_further(search: Search, seconds: float) -> None:
    """Run the order search for ``seconds``. A better order is placed, and the lower bound is recorded."""
    found, interrupted = _search_order(search, search.graph, seconds)
    search.peak_bound = max(search.peak_bound, found.bound)
    search.order_bound = max(search.order_bound, found.bound)
    if found.peak < search.peak:
        place(search, evaluate(search, found.method, found.order))
    if interrupted:
        raise KeyboardInterrupt


def _learned_start(search: Search) -> None:
    """Add the learned order as a start, if it was measured to help at this size and its checkpoint is available."""
    ops = len(search.graph.ops)
    expected = 2e-4 * ops + 4e-8 * ops * ops  # seconds, on a loaded machine
    if "topoformer" in search.request.disabled or ops < _LEARNED_OPS:
        return
    if expected > time_shares.LEARNED_ORDER * _order_seconds(search):
        return
    from tvm_memopt.solvers.order.learned import learned_order

    search.stage("learned order")
    try:
        found = learned_order(search.graph, "sample", samples=_LEARNED_SAMPLES, seed=search.request.seed)
    except MemoptError:
        return
    if found.peak < search.peak:
        evaluate(search, found.method, found.order)


def aligned_orders(search: Search) -> None:
    """Search for orders with sizes rounded up to the alignment, if padding may cause the gap."""
    graph, seconds = search.graph, _order_seconds(search)
    padding = largest_padding(graph)
    if padding == 0 or seconds <= 0 or not uses_native(search):
        return
    search.stage("order search, aligned")
    found, interrupted = _search_order(search, aligned_graph(graph), seconds)
    search.order_bound = max(search.order_bound, found.bound - padding)
    candidate = evaluate(search, f"{found.method}, aligned", found.order)
    if candidate.order not in search.placed:
        place(search, candidate)
    if interrupted:
        raise KeyboardInterrupt


def _search_order(search: Search, graph: Graph, seconds: float) -> tuple[OrderResult, bool]:
    """The result of the order search, and whether Ctrl-C ended it."""
    from tvm_memopt.solvers.native import call_interruptibly
    from tvm_memopt.solvers.order.search import search_order

    request, budget, peak_before = search.request, search.request.budget_nbytes, search.peak

    def call(flag: np.ndarray) -> OrderResult:
        def listen(peak: int, bound: int, method: str) -> None:
            search.stage(f"order search: peak {peak} by {method}")
            if budget is not None and (bound > budget or peak <= budget < peak_before):
                flag[0] = 1

        return search_order(
            graph,
            seconds=seconds,
            seed=request.seed,
            threads=request.threads,
            flag=flag,
            start_orders=[candidate.order for candidate in search.candidates],
            disabled=request.disabled,
            progress=listen,
        )

    return call_interruptibly(call)


def _beams(search: Search, widths: tuple[int, ...]) -> bool:
    """Run beam searches in plain Python. Returns whether they left nothing to search."""
    if "beam" in search.request.disabled:
        return False
    space = downset_space(search.graph)
    for width in widths:
        share = _order_seconds(search)
        if search.done or search.proved_order or share <= 0:
            break
        search.stage(f"beam of width {width}")
        found = beam_search(
            search.graph,
            width,
            search.deadline.within(share),
            _incumbent(search),
            safe_moves="safe-moves" not in search.request.disabled,
            space=space,
        )
        if found.order is not None:
            place(search, evaluate(search, f"beam of width {width}", found.order))
        if found.proved:
            search.peak_bound = max(search.peak_bound, found.peak_nbytes)
            search.order_bound = max(search.order_bound, found.peak_nbytes)
    return search.done or search.proved_order


def _incumbent(search: Search) -> int:
    """Peaks to prune, from this value up: as good a plan is known, or they exceed the budget."""
    budget = search.request.budget_nbytes
    return search.peak if budget is None else min(search.peak, budget + 1)
