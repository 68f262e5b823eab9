"""All ideas under one deadline: the given order is inside, so the answer is never worse than it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tvm_memopt.graph import Graph, Lifetimes, Plan, check, given_order, lifetimes, working_set_bound
from tvm_memopt.graph.liveness import profile_of
from tvm_memopt.solvers.fixed_order import assemble
from tvm_memopt.solvers.layout import Placement, load_bound, place_greedily, refine
from tvm_memopt.solvers.ordering import ORDERINGS, beam_search
from tvm_memopt.solvers.ordering.downsets import downset_space
from tvm_memopt.solvers.request import Deadline, Progress, Request

if TYPE_CHECKING:
    import numpy as np

    from tvm_memopt.solvers.ordering.search import OrderResult

_BEAM_WIDTHS = (8, 32, 128, 512, 2048, 8192)
_PLACED_AT_ONCE = 2  # constructive orders that get addresses before the beam starts
_REFINED = 4  # orders that exact placement is tried on
_FEW_OPS = 64  # so few are tried by a narrow beam before the native search is loaded
_MANY_OPS = 2000  # the native search makes the classical orders of so many itself
_ORDER_SHARE = 0.6  # of the time limit, while the best order's addresses leave a gap
_PLACE_SHARE = 0.1  # of the time limit, for the greedy addresses of one order
_CHECK_SECONDS = 5e-8  # the final check, per buffer and step


def solve(graph: Graph, request: Request | None = None) -> Plan:
    """The best plan without recomputation that is found in the time limit; Ctrl-C returns the best so far.

    Without a budget: the smallest arena. With one: the first plan that fits.
    """
    search = _Search(graph, request or Request())
    try:
        _run(search)
    except KeyboardInterrupt:
        search.interrupted = True
    try:
        return _finish(search)
    except KeyboardInterrupt:  # pressed while the plan was written down; pressed again, it is given up
        search.interrupted = True
        return _finish(search)


@dataclass(frozen=True)
class _Candidate:
    """An order with its lifetimes; no arena for it is below ``bound``."""

    method: str
    order: tuple[int, ...]
    lives: Lifetimes
    peak: int
    bound: int


@dataclass
class _Search:
    """What is known so far.

    ``bound`` holds for the arena of every plan, ``order_bound`` for those without recomputation;
    ``plain_bound`` for the peak live bytes, which alignment does not enter.
    """

    graph: Graph
    request: Request
    clock: Deadline = field(init=False)
    deadline: Deadline = field(init=False)
    bound: int = field(init=False)
    bound_op: int | None = field(init=False)
    order_bound: int = field(init=False)
    plain_bound: int = field(init=False)
    candidates: list[_Candidate] = field(default_factory=list)
    placed: dict[tuple[int, ...], Placement] = field(default_factory=dict)
    best: tuple[_Candidate, Placement] | None = None
    proved_order: bool = False
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.clock = self.deadline = Deadline(self.request.time_limit)
        self.bound, self.bound_op = working_set_bound(self.graph)
        self.order_bound = self.plain_bound = self.bound
        if self.graph.alignment > 1:
            self.plain_bound = working_set_bound(replace(self.graph, alignment=1))[0]

    @property
    def arena(self) -> int | None:
        """The best arena so far."""
        return self.best[1].arena_nbytes if self.best else None

    @property
    def peak(self) -> int:
        """The best order's peak so far."""
        return min(c.peak for c in self.candidates)

    @property
    def done(self) -> bool:
        """Whether more search cannot change the answer: it is as good as proved, or nothing fits."""
        budget = self.request.budget_nbytes
        if self.arena is None:
            return False
        if budget is None:
            return self.arena <= self.order_bound
        return self.arena <= budget or budget < self.order_bound

    def stage(self, name: str) -> None:
        """Tell the listener where the search is."""
        if self.request.progress:
            self.request.progress(Progress(self.clock.elapsed, name, self.arena, self.order_bound))


def _run(search: _Search) -> None:
    search.stage("given order")
    given = _evaluate(search, "given", given_order(search.graph))
    reserve = _CHECK_SECONDS * sum(b.last - b.first + 1 for b in given.lives.buffers)
    search.deadline = search.clock.within(max(search.clock.remaining - reserve, search.clock.remaining / 2))
    _place(search, given)
    for stage in (_constructive_orders, _better_orders, _better_addresses):
        if search.done or search.deadline.passed:
            break
        stage(search)
    search.stage("done")


def _constructive_orders(search: _Search) -> None:
    if "constructive" in search.request.disabled or (len(search.graph.ops) > _MANY_OPS and _uses_native(search)):
        return
    search.stage("constructive orders")
    for method, ordering in ORDERINGS.items():
        if method != "given" and not search.deadline.passed:
            _evaluate(search, method, ordering(search.graph))
    for candidate in list(_promising(search))[:_PLACED_AT_ONCE]:
        if search.done or search.deadline.passed:
            return
        _place(search, candidate)


def _better_orders(search: _Search) -> None:
    if search.peak <= search.plain_bound:
        return
    if len(search.graph.ops) <= _FEW_OPS and _beams(search, _BEAM_WIDTHS[:1]):
        return
    if _uses_native(search):
        _native_orders(search)
    else:
        _beams(search, _BEAM_WIDTHS)


def _uses_native(search: _Search) -> bool:
    from tvm_memopt.solvers import native  # numpy comes along: easy graphs do without

    return "native" not in search.request.disabled and native.available()


def _order_seconds(search: _Search) -> float:
    """What the orders may still take: a part of the time while addresses leave a gap too."""
    gap = search.arena is None or search.arena > search.peak
    share = _ORDER_SHARE * search.request.time_limit - search.clock.elapsed if gap else search.deadline.remaining
    return min(share, search.deadline.remaining)


def _native_orders(search: _Search) -> None:
    """The order search in C++; under a budget it ends as soon as an order's peak is within."""
    seconds = _order_seconds(search)
    if seconds <= 0:
        return
    from tvm_memopt.solvers.native import call_interruptibly
    from tvm_memopt.solvers.ordering.search import search_order

    request, budget = search.request, search.request.budget_nbytes
    search.stage("order search")

    def call(flag: np.ndarray) -> OrderResult:
        def listen(peak: int, bound: int, method: str) -> None:
            search.order_bound = max(search.order_bound, bound)
            search.stage(f"order search: peak {peak} by {method}")
            if budget is not None and (bound > budget or peak <= budget < search.peak):
                flag[0] = 1

        return search_order(
            search.graph,
            seconds=seconds,
            seed=request.seed,
            threads=request.threads,
            flag=flag,
            start_orders=[candidate.order for candidate in search.candidates],
            disabled=request.disabled,
            progress=listen,
        )

    pressed: KeyboardInterrupt | None = None
    try:
        found = call_interruptibly(call)
    except KeyboardInterrupt as interrupt:
        pressed, found = interrupt, interrupt.result  # type: ignore[attr-defined]
    search.order_bound = max(search.order_bound, found.bound)
    search.proved_order = found.proved
    if found.peak < search.peak:
        _place(search, _evaluate(search, found.method, found.order))
    if pressed is not None:
        raise pressed


def _beams(search: _Search, widths: tuple[int, ...]) -> bool:
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
            _place(search, _evaluate(search, f"beam of width {width}", found.order))
        if found.proved:
            search.order_bound, search.proved_order = max(search.order_bound, found.peak_nbytes), True
    return search.done or search.proved_order


def _incumbent(search: _Search) -> int:
    """Peaks from here on do not interest: as good is known, or they are over the budget."""
    budget = search.request.budget_nbytes
    return search.peak if budget is None else min(search.peak, budget + 1)


def _better_addresses(search: _Search) -> None:
    if {"boosting", "cp-sat"} <= search.request.disabled:
        return
    for rank, candidate in enumerate(list(_promising(search, again=True))[:_REFINED]):
        if search.done or search.deadline.passed:
            return
        if search.arena is not None and candidate.bound >= search.arena:
            continue
        search.stage(f"addresses of order {rank}")
        _refine(search, candidate)


def _promising(search: _Search, again: bool = False) -> Iterator[_Candidate]:
    """Distinct orders that could have a smaller arena than the best, lowest peak first."""
    seen: set[tuple[int, ...]] = set() if again else set(search.placed)
    for candidate in sorted(search.candidates, key=lambda c: (c.bound, c.peak)):
        if candidate.order not in seen and (search.arena is None or candidate.bound < search.arena):
            seen.add(candidate.order)
            yield candidate


def _evaluate(search: _Search, method: str, order: tuple[int, ...]) -> _Candidate:
    lives = lifetimes(search.graph, order)
    bound = load_bound(lives, search.graph.alignment)
    candidate = _Candidate(method, order, lives, max(profile_of(lives), default=0), bound)
    search.candidates.append(candidate)
    return candidate


def _place(search: _Search, candidate: _Candidate) -> None:
    request = search.request
    share = search.deadline.within(request.time_limit * _PLACE_SHARE)
    alignment = search.graph.alignment
    found = place_greedily(candidate.lives, alignment, share, request.budget_nbytes, disabled=request.disabled)
    _keep(search, candidate, found)


def _refine(search: _Search, candidate: _Candidate) -> None:
    if candidate.order not in search.placed:
        _place(search, candidate)
    request, placement = search.request, search.placed[candidate.order]
    found = refine(
        candidate.lives,
        placement,
        search.graph.alignment,
        search.deadline.within(search.deadline.remaining / 2),
        request.seed,
        target=request.budget_nbytes,
        threads=request.threads,
        disabled=request.disabled,
    )
    _keep(search, candidate, found)


def _keep(search: _Search, candidate: _Candidate, placement: Placement) -> None:
    search.placed[candidate.order] = placement
    figures = placement.arena_nbytes, candidate.peak
    if search.best is None or figures < (search.best[1].arena_nbytes, search.best[0].peak):
        search.best = candidate, placement


def _finish(search: _Search) -> Plan:
    if search.best is None:  # interrupted at the very start
        given = _evaluate(search, "given", given_order(search.graph))
        _keep(search, given, place_greedily(given.lives, search.graph.alignment, Deadline(0)))
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
        solver=_explanation(search, candidate, placement),
    )
    check(search.graph, plan)
    return plan


def _explanation(search: _Search, candidate: _Candidate, placement: Placement) -> dict[str, Any]:
    """What ``solver`` says of the plan; bounds say which plans they hold for."""
    return {
        "name": "portfolio",
        "seconds": search.clock.elapsed,
        "order_method": candidate.method,
        "layout_method": placement.method,
        "order_peak_nbytes": candidate.peak,
        "given_order_peak_nbytes": search.candidates[0].peak,
        "order_bound_nbytes": search.order_bound,
        "proved_order": search.proved_order or search.peak <= search.plain_bound,
        "bound_holds_for": _scope(search),
        "placement_bound_nbytes": placement.lower_bound_nbytes,
        "working_set_nbytes": search.bound,
        "working_set_op": search.bound_op,
        "evaluated": [(c.method, c.peak) for c in search.candidates],
        "interrupted": search.interrupted,
        "seed": search.request.seed,
    }


def _scope(search: _Search) -> str:
    plain = search.request.budget_nbytes is None and search.order_bound > search.bound
    return "schedules without recomputation" if plain else "every schedule"
