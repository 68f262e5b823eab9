"""What a portfolio knows so far: the orders it has seen, their addresses, the best plan and the bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tvm_memopt.graph import Graph, Lifetimes, lifetimes, working_set_bound
from tvm_memopt.graph.liveness import profile_of
from tvm_memopt.solvers.layout import Placement, load_bound, place_greedily, refine
from tvm_memopt.solvers.request import Deadline, Progress, Request

_PLACE_SHARE = 0.1  # of the time limit, for the greedy addresses of one order
_HOPELESS_SHARE = 0.02  # of it, where the order alone needs more than the budget


@dataclass(frozen=True)
class Candidate:
    """A schedule with its summed cost and lifetimes; no arena for it is below ``bound``."""

    method: str
    order: tuple[int, ...]
    lives: Lifetimes
    peak: int
    bound: int
    cost: float


@dataclass
class Search:
    """What is known so far. ``cost_bound``: no plan within the budget costs less.

    ``bound`` holds for the arena of every plan, ``order_bound`` for those without recomputation;
    ``peak_bound`` for the peak live bytes of those, which alignment does not enter.
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
        """The best arena so far."""
        return self.best[1].arena_nbytes if self.best else None

    @property
    def peak(self) -> int:
        """The best order's peak so far, without recomputation."""
        return min(c.peak for c in self.candidates if len(c.order) == len(self.graph.ops))

    @property
    def proved_order(self) -> bool:
        """Whether no order has a smaller peak."""
        return self.peak <= self.peak_bound

    @property
    def done(self) -> bool:
        """Whether other orders and addresses cannot change the answer: it is proved, or none of them fits."""
        budget = self.request.budget_nbytes
        if self.arena is None:
            return False
        if budget is None:
            return self.arena <= self.order_bound
        return self.arena <= budget or budget < self.order_bound

    @property
    def missed(self) -> bool:
        """Whether there is a budget that no plan so far keeps, and that recomputing might."""
        budget = self.request.budget_nbytes
        return budget is not None and self.bound <= budget and (self.arena is None or self.arena > budget)

    def rank(self, candidate: Candidate, placement: Placement) -> tuple[float, int, int]:
        """Less is better."""
        budget = self.request.budget_nbytes
        fits = budget is not None and placement.arena_nbytes <= budget
        return candidate.cost if fits else math.inf, placement.arena_nbytes, candidate.peak

    def stage(self, name: str) -> None:
        """Tell the listener where the search is."""
        if self.request.progress:
            self.request.progress(Progress(self.clock.elapsed, name, self.arena, self.order_bound))


def evaluate(search: Search, method: str, order: tuple[int, ...]) -> Candidate:
    """Take note of a schedule."""
    lives = lifetimes(search.graph, order)
    bound = load_bound(lives, search.graph.alignment)
    cost = math.fsum(search.graph.ops[op].cost for op in order)
    candidate = Candidate(method, order, lives, max(profile_of(lives), default=0), bound, cost)
    search.candidates.append(candidate)
    return candidate


def place(search: Search, candidate: Candidate) -> None:
    """Give it addresses by the greedy family."""
    request = search.request
    hopeless = request.budget_nbytes is not None and candidate.bound > request.budget_nbytes
    share = search.deadline.within(request.time_limit * (_HOPELESS_SHARE if hopeless else _PLACE_SHARE))
    alignment = search.graph.alignment
    found = place_greedily(candidate.lives, alignment, share, request.budget_nbytes, disabled=request.disabled)
    keep(search, candidate, found)


def refine_order(search: Search, candidate: Candidate, most_seconds: float = math.inf) -> None:
    """Search for better addresses, with half of the time that is left at most."""
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
    """Take note of its addresses: the best plan has the least cost within the budget, or else the least arena."""
    search.placed[candidate.order] = placement
    if search.best is None or search.rank(candidate, placement) < search.rank(*search.best):
        search.best = candidate, placement


def promising(search: Search, again: bool = False) -> Iterator[Candidate]:
    """Distinct orders that could have a smaller arena than the best, lowest peak first."""
    seen: set[tuple[int, ...]] = set() if again else set(search.placed)
    for candidate in sorted(search.candidates, key=lambda c: (c.bound, c.peak)):
        if candidate.order not in seen and (search.arena is None or candidate.bound < search.arena):
            seen.add(candidate.order)
            yield candidate
