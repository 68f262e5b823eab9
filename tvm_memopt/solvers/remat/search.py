"""The rematerialisation search: lowest cost within a memory budget, over orders and repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tvm_memopt.graph import Graph, given_order
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.native import library
from tvm_memopt.solvers.native import remat as native
from tvm_memopt.solvers.order.search import search_order
from tvm_memopt.solvers.remat.cuts.bound import bound_by_cuts
from tvm_memopt.solvers.remat.cuts.search import keep_schedules
from tvm_memopt.solvers.remat.eviction import SCORES, evicting_schedule
from tvm_memopt.solvers.remat.exact import Method, solve_exactly
from tvm_memopt.solvers.remat.incumbents import TOLERANCE, Incumbents
from tvm_memopt.solvers.remat.price_bound import bound_repeats
from tvm_memopt.solvers.remat.result import EVERY_SCHEDULE, RematResult
from tvm_memopt.solvers.remat.rounds import AnnealingPool, AnnealingTask, reheat_tasks, restart_tasks
from tvm_memopt.solvers.remat.windows import improve_windows
from tvm_memopt.solvers.request import Deadline

_FIRST_MOVES = 300  # per op, in the first round
_MOST_MOVES = 3000  # per op: many restarts of that length find more than a few longer ones
_LEAST_MOVES = 50_000  # per thread and round
_GROWTH = 1.7, 1.05  # of the moves, from one pair of rounds to the next: up to that limit, and beyond it
_TINY, _TINY_SHARE = 12, 0.3  # ops: up to this size, searched exactly first, for this share of the time
_EXACT_ROUNDS = 2, 8, 20, 40  # rounds before which small graphs are searched exactly
_EXACT_SHARES = {60: 0.3, 128: 0.05}  # by number of ops: share of the time left, each time
_MOST_WALKED = 20_000  # ops: the walk is in plain Python
_MANY_OPS = 1000  # from this size, annealing continues from schedules that fit: there is too little time to restart
_MOST_ORDER_SECONDS = 2.0
_BOUND_AFTER = 0.3  # of the time: schedules come first
_MOST_BOUND_SECONDS = 5.0

ProgressCall = Callable[[float, int, str], None]


@dataclass
class _Search:
    graph: Graph
    found: Incumbents
    crew: AnnealingPool
    threads: int
    seed: int
    disabled: frozenset[str]
    starts: list[tuple[int, ...]]
    progress: ProgressCall | None
    rounds: int = 0
    repeating: bool = False  # whether it is proved that no order fits without repeats
    bounded: bool = False  # whether the time for the price bound is spent, or it is not worthwhile
    windowed: tuple[int, ...] = ()  # the schedule whose windows were solved last

    @property
    def done(self) -> bool:
        return self.found.proved or self.crew.stopped

    @property
    def settled(self) -> bool:
        """Whether there is a schedule to continue from that annealing anew would not reach in time."""
        return self.found.fits and len(self.graph.ops) > _MANY_OPS

    def take(self, schedule: Sequence[int], method: str) -> None:
        if self.found.add(schedule, method) and self.progress:
            best = self.found.best
            self.progress(best.cost, best.peak, best.method)

    def expect_repeats(self) -> None:
        """Raise the lower bound by the cheapest repeat if it is proved that one is needed."""
        if self.repeating:
            repeatable = [op.cost for op in self.graph.ops if op.recomputable]
            least = self.graph.base_cost + min(repeatable, default=0.0)
            self.found.cost_bound = max(self.found.cost_bound, least)

    def options(self, moves: int) -> native.AnnealOptions:
        return native.AnnealOptions(
            moves=moves,
            adaptive_weight="adaptive-weight" not in self.disabled,
            guided="guided-repeats" not in self.disabled,
            chains="chains" not in self.disabled,
            block_moves="block-moves" not in self.disabled,
            exchange="exchange" not in self.disabled,
            target=self.found.cost_bound * (1 + TOLERANCE),
        )

    def play(self, tasks: Sequence[AnnealingTask], method: str) -> list[tuple[int, ...]]:
        schedules = self.crew.play(tasks)
        for schedule in schedules:
            self.take(schedule, method)
        return schedules


def search_remat(
    graph: Graph,
    budget_nbytes: int,
    *,
    seconds: float,
    seed: int = 0,
    threads: int = 1,
    flag: np.ndarray | None = None,
    start_schedules: Sequence[Sequence[int]] = (),
    disabled: frozenset[str] = frozenset(),
    progress: ProgressCall | None = None,
    cost_bound: float = 0.0,
    repeating: bool = False,
    rounds: int | None = None,
) -> RematResult:
    """Find the cheapest schedule with peak live bytes within the budget in ``seconds``.

    The search ends as soon as the cost is proved optimal. Ctrl-C or setting ``flag[0]`` ends it soon, with the best so
    far.

    ``start_schedules``: valid schedules; the answer is never worse than any of them.
    ``disabled``: names from REMAT_SWITCHES.
    ``progress``: called as ``progress(cost, peak, method)`` for each better schedule.
    ``cost_bound``: a known lower bound on the cost.
    ``repeating``: whether it is already proved that no order without repeats fits, so that none is searched for.
    ``rounds``: end after this many, regardless of time and without the order search; the answer then depends only on
    the seed and the thread count.
    """
    library()  # loaded before the clock starts: the first search of a process waits for it
    clock = Deadline(seconds)
    flag = np.zeros(1, np.int32) if flag is None else flag
    found = Incumbents(graph, budget_nbytes, clock, max(graph.base_cost, cost_bound))
    given = [given_order(graph), *map(tuple, start_schedules)]
    for number, schedule in enumerate(given):
        found.add(schedule, f"start {number - 1}" if number else "given")
    problem = native.packed_remat(graph)
    if problem is None or found.proved:
        return found.result({"native": problem is not None, "rounds": 0, "moves": 0})
    crew = AnnealingPool(problem, budget_nbytes, clock, flag)
    search = _Search(graph, found, crew, threads, seed, disabled, given, progress, repeating=repeating)
    search.expect_repeats()
    try:
        _run(search, rounds)
    except KeyboardInterrupt:
        flag[0] = 1
    stats = {"native": True, "rounds": search.rounds, "moves": crew.moves, "stopped": bool(flag[0])}
    return found.result(stats)


def _run(search: _Search, rounds: int | None) -> None:
    if len(search.graph.ops) <= _TINY:
        _search_exactly(search, _TINY_SHARE, "auto")
    _bound_by_cuts(search)
    keep_share = time_shares.KEEP if len(search.graph.ops) > _MANY_OPS else time_shares.KEEP_SMALL
    _keep_by_cuts(search, 1.0 if rounds is not None else keep_share)
    walk_share = 1.0 if rounds is not None else time_shares.WALK
    _walk_orders(search, search.starts[:1], walk_share)
    walked = len(search.starts)
    if "order-annealing" not in search.disabled and not search.settled:
        _anneal_orders(search, _moves(search.graph, 0))
    if "order-search" not in search.disabled and rounds is None and not (search.done or search.repeating):
        _search_order(search)
    _walk_orders(search, search.starts[walked:], walk_share)
    while not search.done and (rounds is None or search.rounds < rounds):
        if rounds is None:
            _prove(search)
            if search.done:
                break
        turn, anew = divmod(search.rounds, 2)
        options = search.options(_moves(search.graph, turn))
        first = search.threads * turn
        if "restarts" not in search.disabled and anew == 0 and not search.settled:
            search.play(restart_tasks(search.starts, options, first, search.threads, search.seed), "restart")
        else:
            starts = [candidate.schedule for candidate in search.found.kept]
            search.play(reheat_tasks(starts, options, first, search.threads, search.seed), "reheat")
            _solve_windows(search, time_shares.WINDOW if rounds is None else 1.0)
        search.rounds += 1


def _prove(search: _Search) -> None:
    """Run, between rounds, the steps that are worthwhile once there are schedules."""
    clock = search.crew.deadline
    if not search.bounded and clock.elapsed >= _BOUND_AFTER * (clock.elapsed + clock.remaining):
        _bound_cost(search)
    shares = [share for ops, share in _EXACT_SHARES.items() if len(search.graph.ops) <= ops]
    if shares and search.rounds in _EXACT_ROUNDS and not search.done:
        _search_exactly(search, shares[0], "search")


def _search_exactly(search: _Search, share: float, method: Method) -> None:
    """Search small graphs exactly: some need one unusual repeat, such as of a returned tensor overwritten in place.

    The best schedule so far limits the cost of repeats, which shortens the exact search.
    """
    if "exact-remat" in search.disabled or search.crew.stopped:
        return
    best = search.found.best.schedule if search.found.fits else None
    found = solve_exactly(
        search.graph,
        search.found.budget,
        time_limit=share * search.crew.deadline.remaining,
        threads=search.threads,
        seed=search.seed,
        hint=best,
        cost_bound=search.found.cost_bound,
        method=method,
        flag=search.crew.flag,
    )
    search.take(found.schedule, "exact search")
    if found.scope != EVERY_SCHEDULE:
        return
    if found.status == "infeasible":
        search.found.refuted = True
    elif found.cost_bound is not None:
        search.found.cost_bound = max(search.found.cost_bound, found.cost_bound)


def _bound_by_cuts(search: _Search) -> None:
    if "cut-bound" in search.disabled or search.done:
        return
    clock, budget = search.crew.deadline, search.found.budget
    limit = clock.within(time_shares.CUT_BOUND * clock.remaining)
    least = bound_by_cuts(search.graph, search.starts[0], budget, limit)
    search.found.cost_bound = max(search.found.cost_bound, search.graph.base_cost + least)
    search.bounded |= least > 0 and len(search.graph.ops) > _MANY_OPS


def _keep_by_cuts(search: _Search, share: float) -> None:
    """Schedules of the given order that keep tensors worth their bytes: near-optimal on large training steps."""
    if "keep-cut" in search.disabled or search.done:
        return
    clock = search.crew.deadline
    limit, flag = clock.within(share * clock.remaining), search.crew.flag
    order, budget = search.starts[0], search.found.budget
    keep_schedules(search.graph, order, budget, limit, flag, lambda schedule: search.take(schedule, "keep cut"))


def _walk_orders(search: _Search, orders: Sequence[tuple[int, ...]], share: float) -> None:
    """Schedules that evict tensors for room: near-optimal on chains with far reads, such as training steps."""
    if "eviction" in search.disabled or len(search.graph.ops) > _MOST_WALKED:
        return
    limit = search.crew.deadline.within(share * search.crew.deadline.remaining)
    for order in orders:
        for score in SCORES.values():
            if search.done:
                return
            schedule = evicting_schedule(search.graph, order, search.found.budget, score, limit, search.crew.flag)
            if schedule is not None:
                search.take(schedule, "eviction")


def _moves(graph: Graph, turn: int) -> int:
    each = min(_FIRST_MOVES * _GROWTH[0] ** min(turn, 20), _MOST_MOVES * _GROWTH[1] ** turn)
    return max(_LEAST_MOVES, int(each * len(graph.ops)))


def _anneal_orders(search: _Search, moves: int) -> None:
    """Orders without repeats that come close to the budget. One may fit; the others are starts."""
    options = replace(search.options(moves), repeats=False)
    tasks = restart_tasks(search.starts[:1], options, 0, search.threads, search.seed)
    for order in search.play(tasks, "order annealing"):
        if order not in search.starts:
            search.starts.append(order)


def _search_order(search: _Search) -> None:
    seconds = min(_MOST_ORDER_SECONDS, time_shares.ORDER_WITHIN_BUDGET * search.crew.deadline.remaining)
    orders = [start for start in search.starts if len(start) == len(search.graph.ops)]
    best = search_order(
        search.graph,
        seconds=seconds,
        seed=search.seed,
        threads=search.threads,
        flag=search.crew.flag,
        start_orders=orders,
    )
    search.take(best.order, "order search")
    if best.order not in search.starts:
        search.starts.append(best.order)
    search.repeating = best.bound > search.found.budget
    search.expect_repeats()


def _bound_cost(search: _Search) -> None:
    """Compute the price bound, once. If an order may fit without repeats, no price gives a bound."""
    search.bounded = True
    if "price-bound" in search.disabled or not search.repeating:
        return
    found = bound_repeats(
        search.graph,
        search.found.budget,
        seconds=min(_MOST_BOUND_SECONDS, time_shares.PRICE_BOUND * search.crew.deadline.remaining),
        seed=search.seed,
        threads=search.threads,
        flag=search.crew.flag,
        start_orders=[start for start in search.starts if len(start) == len(search.graph.ops)],
    )
    search.found.cost_bound = max(search.found.cost_bound, search.graph.base_cost + found.cost)


def _solve_windows(search: _Search, share: float) -> None:
    """Solve windows of the best schedule exactly, unless this is done or no schedule fits yet."""
    best = search.found.best.schedule
    if "windows" in search.disabled or search.done or not search.found.fits or best == search.windowed:
        return
    clock, flag = search.crew.deadline, search.crew.flag
    limit = clock.within(share * clock.remaining)
    search.windowed = improve_windows(search.graph, best, search.found.budget, limit, seed=search.rounds, flag=flag)
    search.take(search.windowed, "windows")
