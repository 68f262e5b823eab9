"""The stages of the portfolio that look for orders of smaller peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph
from tvm_memopt.solvers.order import ORDERINGS, beam_search
from tvm_memopt.solvers.order.aligned import aligned_graph, largest_padding
from tvm_memopt.solvers.order.downsets import downset_space
from tvm_memopt.solvers.portfolio.state import Search, evaluate, place, promising

if TYPE_CHECKING:
    import numpy as np

    from tvm_memopt.solvers.order.search import OrderResult

_BEAM_WIDTHS = (8, 32, 128, 512, 2048, 8192)
_PLACED_AT_ONCE = 2  # constructive orders that get addresses before the search starts
_FEW_OPS = 64  # so few are tried by a narrow beam before the native search is loaded
_LEARNED_OPS = 1000  # measured to help there and above; at 500 ops the search alone is as good
_LEARNED_SAMPLES = 16
_LEARNED_SHARE = 0.4  # of the time that orders may take
_REFUTE_SHARE = 0.05  # of the time, to show at once that no order keeps the budget
_MANY_OPS = 2000  # the native search makes the classical orders of so many itself
_ORDER_SHARE = 0.6  # of the time limit, while the best order's addresses leave a gap


def constructive_orders(search: Search) -> None:
    """The classical orders; the most promising get addresses at once."""
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
    """Ask first whether any order can keep the budget: where none does, all of the time is for recomputation."""
    if len(search.graph.ops) <= _FEW_OPS or search.proved_order or not uses_native(search):
        return
    search.stage("order bound")
    if _needs_repeats(search):
        return
    _search_further(search, _REFUTE_SHARE * search.deadline.remaining)


def _needs_repeats(search: Search) -> bool:
    """Whether minimum cuts prove that every plan within the budget runs some op again; that bounds every order."""
    budget = search.request.budget_nbytes
    if budget is None or {"cut-bound", "remat"} & search.request.disabled:
        return False
    from tvm_memopt.solvers.remat.cut_bound import bound_by_cuts

    limit = search.deadline.within(_REFUTE_SHARE * search.deadline.remaining)
    least = bound_by_cuts(search.graph, search.candidates[0].order, budget, limit)
    if least <= 0:
        return False
    search.cost_bound = max(search.cost_bound, search.graph.base_cost + least)
    search.order_bound = max(search.order_bound, budget + 1)
    search.peak_bound = max(search.peak_bound, budget + 1)
    return True


def better_orders(search: Search) -> None:
    """Search for orders of smaller peak, in C++ where that was built."""
    if search.proved_order:
        return
    if len(search.graph.ops) <= _FEW_OPS and _beams(search, _BEAM_WIDTHS[:1]):
        return
    if uses_native(search):
        _native_orders(search)
    else:
        _beams(search, _BEAM_WIDTHS)


def uses_native(search: Search) -> bool:
    """Whether the library is wanted; it is loaded then."""
    from tvm_memopt.solvers import native  # numpy comes along: easy graphs do without

    if "native" in search.request.disabled:
        return False
    native.library()  # a process's first search waits for it: what is left of the time is asked for afterwards
    return True


def _order_seconds(search: Search) -> float:
    """What the orders may still take: a part of the time while addresses leave a gap too."""
    gap = search.arena is None or search.arena > search.peak
    share = _ORDER_SHARE * search.request.time_limit - search.clock.elapsed if gap else search.deadline.remaining
    return min(share, search.deadline.remaining)


def _native_orders(search: Search) -> None:
    """The order search in C++; under a budget it ends as soon as an order's peak is within."""
    _learned_start(search)
    seconds = _order_seconds(search)
    if seconds <= 0:
        return
    search.stage("order search")
    _search_further(search, seconds)


def _search_further(search: Search, seconds: float) -> None:
    """The order search for so long; its order gets addresses where it is better, its bound is taken over."""
    found, interrupted = _search_order(search, search.graph, seconds)
    search.peak_bound = max(search.peak_bound, found.bound)
    search.order_bound = max(search.order_bound, found.bound)
    if found.peak < search.peak:
        place(search, evaluate(search, found.method, found.order))
    if interrupted:
        raise KeyboardInterrupt


def _learned_start(search: Search) -> None:
    """One more order to start from: the network's, where it was measured to help and its checkpoint is at hand."""
    ops = len(search.graph.ops)
    expected = 2e-4 * ops + 4e-8 * ops * ops  # seconds, on a busy machine
    if "topoformer" in search.request.disabled or ops < _LEARNED_OPS:
        return
    if expected > _LEARNED_SHARE * _order_seconds(search):
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
    """Orders for the sizes as an aligned arena sees them, where padding may be what leaves the gap."""
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
    """The answer of the order search, and whether Ctrl-C ended it."""
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
    """Beams in plain Python; whether they left nothing to search."""
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
    """Peaks from here on do not interest: as good is known, or they are over the budget."""
    budget = search.request.budget_nbytes
    return search.peak if budget is None else min(search.peak, budget + 1)
