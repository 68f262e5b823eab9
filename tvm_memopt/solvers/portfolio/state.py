"""The state of the portfolio: the orders seen, their addresses, the best plan and the bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tvm_memopt.graph import Graph, Lifetimes, lifetimes, working_set_bound
from tvm_memopt.graph.liveness import profile_of
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.layout import Placement, load_bound, place_greedily, refine
from tvm_memopt.solvers.request import Deadline, Progress, Request


@dataclass(frozen=True)
class Candidate:
    """A schedule with its total cost and lifetimes. ``bound`` is a lower bound on its arena."""

    method: str
    order: tuple[int, ...]
    lives: Lifetimes
    peak: int
    bound: int
    cost: float


@dataclass
class Search:
    """The state of the search.

    ``bound``: lower bound on the arena of every plan.
    ``order_bound``: lower bound on the arena of every plan without rematerialisation.
    ``peak_bound``: lower bound on the peak live bytes of such plans; alignment does not enter it.
    ``cost_bound``: lower bound on the cost of every plan within the budget.
    """

    graph: Graph
    request: Request
    clock: Deadline = field(init=False)
    deadline: Deadline = field(init=False)
    bound: int = field(init=False)
    bound_op: int | None = field(init=False)
    order_bound: int = field(init=False)
    peak_bound: int = field(init=False)
    cost_bound: float = field(init=False)
    candidates: list[Candidate] = field(default_factory=list)
    placed: dict[tuple[int, ...], Placement] = field(default_factory=dict)
    best: tuple[Candidate, Placement] | None = None
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.clock = self.deadline = Deadline(self.request.time_limit)
        self.bound, self.bound_op = working_set_bound(self.graph)
        self.order_bound = self.peak_bound = self.bound
        self.cost_bound = self.graph.base_cost
        if self.graph.alignment > 1:
            self.peak_bound = working_set_bound(replace(self.graph, alignment=1))[0]

    @property
    def arena(self) -> int | None:
        """The smallest arena so far."""
        return self.best[1].arena_nbytes if self.best else None

    @property
    def peak(self) -> int:
        """The lowest peak so far of an order without repeats."""
        return min(c.peak for c in self.candidates if len(c.order) == len(self.graph.ops))

    @property
    def proved_order(self) -> bool:
        """Whether no order has a smaller peak."""
        return self.peak <= self.peak_bound

    @property
    def done(self) -> bool:
        """Whether other orders and addresses cannot improve the plan: it is proved optimal, or no order fits."""
        budget = self.request.budget_nbytes
        if self.arena is None:
            return False
        if budget is None:
            return self.arena <= self.order_bound
        return self.arena <= budget or budget < self.order_bound

    @property
    def missed(self) -> bool:
        """Whether no plan so far is within the budget, and rematerialisation might find one."""
        budget = self.request.budget_nbytes
        return budget is not None and self.bound <= budget and (self.arena is None or self.arena > budget)

    def rank(self, candidate: Candidate, placement: Placement) -> tuple[float, int, int]:
        """Sort key of a candidate; smaller is better."""
        budget = self.request.budget_nbytes
        fits = budget is not None and placement.arena_nbytes <= budget
        return candidate.cost if fits else math.inf, placement.arena_nbytes, candidate.peak

    def stage(self, name: str) -> None:
        """Report the current stage to the listener."""
        if self.request.progress:
            self.request.progress(Progress(self.clock.elapsed, name, self.arena, self.order_bound))


def evaluate(search: Search, method: str, order: tuple[int, ...]) -> Candidate:
    """Record a schedule as a candidate."""
    lives = lifetimes(search.graph, order)
    bound = load_bound(lives, search.graph.alignment)
    cost = math.fsum(search.graph.ops[op].cost for op in order)
    candidate = Candidate(method, order, lives, max(profile_of(lives), default=0), bound, cost)
    search.candidates.append(candidate)
    return candidate


def place(search: Search, candidate: Candidate) -> None:
    """Place it greedily."""
    request = search.request
    hopeless = request.budget_nbytes is not None and candidate.bound > request.budget_nbytes
    share = search.deadline.within(
        request.time_limit * (time_shares.PLACE_OVER_BUDGET if hopeless else time_shares.PLACE)
    )
    alignment = search.graph.alignment
    found = place_greedily(candidate.lives, alignment, share, request.budget_nbytes, disabled=request.disabled)
    keep(search, candidate, found)


def refine_order(search: Search, candidate: Candidate, most_seconds: float = math.inf) -> None:
    """Search for a better placement, with at most half of the time left."""
    if candidate.order not in search.placed:
        place(search, candidate)
    request, placement = search.request, search.placed[candidate.order]
    found = refine(
        candidate.lives,
        placement,
        search.graph.alignment,
        search.deadline.within(min(most_seconds, search.deadline.remaining / 2)),
        request.seed,
        target=request.budget_nbytes,
        threads=request.threads,
        disabled=request.disabled,
    )
    keep(search, candidate, found)
    if found.interrupted:
        raise KeyboardInterrupt


def keep(search: Search, candidate: Candidate, placement: Placement) -> None:
    """Record a placement. The best plan has the least cost within the budget or, if none fits, the smallest arena."""
    search.placed[candidate.order] = placement
    if search.best is None or search.rank(candidate, placement) < search.rank(*search.best):
        search.best = candidate, placement


def promising(search: Search, again: bool = False) -> Iterator[Candidate]:
    """Distinct orders that could give a smaller arena than the best, lowest peak first."""
    seen: set[tuple[int, ...]] = set() if again else set(search.placed)
    for candidate in sorted(search.candidates, key=lambda c: (c.bound, c.peak)):
        if candidate.order not in seen and (search.arena is None or candidate.bound < search.arena):
            seen.add(candidate.order)
            yield candidate
