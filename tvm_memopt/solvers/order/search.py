"""The order search: all methods under one deadline, on the segment that sets the peak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tvm_memopt.graph import Graph, given_order, peak_live
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.native import library
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order.problem import PackedProblem, packed_problem
from tvm_memopt.solvers.order import ORDERINGS
from tvm_memopt.solvers.order.order_workers import SharedSearch, Worker, bound_segments, make_workers, play_round
from tvm_memopt.solvers.order.segments import SearchState, search_state
from tvm_memopt.solvers.request import Deadline

_RANDOM_ORDERS = 100
_RANDOM_OPS_PER_SECOND = 3_000_000  # approximate

ProgressCall = Callable[[int, int, str], None]


@dataclass(frozen=True)
class OrderResult:
    """An order with its peak. ``bound`` is a lower bound on the peak of every order; ``proved`` if the two are equal.

    ``method``: the method that found the segment that sets the peak.
    """

    order: tuple[int, ...]
    peak: int
    bound: int
    proved: bool
    method: str
    stats: dict[str, Any] = field(default_factory=dict)


def search_order(
    graph: Graph,
    *,
    seconds: float,
    seed: int = 0,
    threads: int = 1,
    flag: np.ndarray | None = None,
    start_orders: Sequence[Sequence[int]] = (),
    disabled: frozenset[str] = frozenset(),
    progress: ProgressCall | None = None,
) -> OrderResult:
    """Find the order with the lowest peak in ``seconds``. Ends as soon as the peak is proved optimal.

    The result is never worse than the given order and ``start_orders``. It depends only on the seed and the thread
    count unless time runs out. Setting ``flag[0]`` ends the search soon, with the best order so far.

    ``disabled``: names from ORDER_SWITCHES.
    ``progress``: called as ``progress(peak, bound, method)``, from this thread.
    """
    library()  # loaded before the clock starts: the first search of a process waits for it
    deadline = Deadline(seconds)
    flag = native.new_flag() if flag is None else flag
    starts = [("given", given_order(graph)), *((f"start {i}", tuple(o)) for i, o in enumerate(start_orders))]
    problem = packed_problem(graph) if graph.ops else None
    if problem is None:
        return _constructed(graph, starts, deadline, disabled)
    order, method = _best_start(problem, starts, deadline, seed, flag, disabled)
    state = search_state(problem, order, method, cut="cut-points" not in disabled)
    crew = SharedSearch(state, deadline, disabled, flag)
    if "step-bounds" not in disabled:
        bound_segments(crew)
    _work(make_workers(crew, seed, threads), crew, progress)
    return _result(state, deadline, crew)


def _constructed(
    graph: Graph, starts: list[tuple[str, tuple[int, ...]]], deadline: Deadline, disabled: frozenset[str]
) -> OrderResult:
    """The best constructive order, in plain Python. It proves nothing except for a peak of zero."""
    candidates = [(peak_live(graph, order), order, name) for name, order in starts]
    for name, ordering in ORDERINGS.items():
        if "constructive-orders" not in disabled and not deadline.passed:
            made = ordering(graph)
            candidates.append((peak_live(graph, made), made, name))
    peak, order, name = min(candidates, key=lambda c: c[0])
    return OrderResult(order, peak, 0, peak == 0, name, {"seconds": deadline.elapsed, "native": False})


def _best_start(
    problem: PackedProblem,
    starts: list[tuple[str, tuple[int, ...]]],
    deadline: Deadline,
    seed: int,
    flag: np.ndarray,
    disabled: frozenset[str],
) -> tuple[np.ndarray, str]:
    orders = [(native.order_vector(order), name) for name, order in starts]
    most = int(time_shares.RANDOM_ORDERS * _RANDOM_OPS_PER_SECOND * (deadline.ends - deadline.started))
    candidates = [(int(native.profile(problem, order).max()), order, name) for order, name in orders]
    if "constructive-orders" not in disabled:
        for how in native.Construction:
            if deadline.passed or flag[0]:
                break
            many = how is native.Construction.RANDOM
            repeats = max(1, min(_RANDOM_ORDERS, most // problem.ops)) if many else 1
            order, peak = native.construct(
                problem, how, seed=seed, repeats=repeats, seconds=deadline.remaining, flag=flag
            )
            candidates.append((peak, order, how.name.lower().replace("_", "-")))
    _, order, name = min(candidates, key=lambda c: c[0])
    return order, name


def _work(workers: list[Worker], crew: SharedSearch, progress: ProgressCall | None) -> None:
    """Run rounds until the peak is proved optimal, time runs out or the flag is set."""
    told = -1
    while workers and not (crew.state.proved or crew.stopped):
        play_round(workers, crew)
        if progress and told != crew.state.version:
            told = crew.state.version
            progress(crew.state.peak, crew.state.bound, crew.state.worst()[0].found_by)


def _result(state: SearchState, deadline: Deadline, crew: SharedSearch) -> OrderResult:
    stats = {"seconds": deadline.elapsed, "native": True, "segments": len(state.segments), **crew.counts}
    worst, order = state.worst()
    return OrderResult(tuple(order.tolist()), state.peak, state.bound, state.proved, worst.found_by, stats)
