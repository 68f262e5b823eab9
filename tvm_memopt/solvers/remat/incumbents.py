"""The best schedules that a rematerialisation search has found so far, best first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tvm_memopt.graph import Graph, peak_live, working_set_bound
from tvm_memopt.solvers.remat.result import RematResult, Status
from tvm_memopt.solvers.request import Deadline

_KEPT = 4
TOLERANCE = 1e-9
"""Relative difference up to which costs are equal: they are sums of doubles."""


@dataclass(frozen=True)
class ScoredSchedule:
    """A valid schedule with its figures and the method that found it."""

    schedule: tuple[int, ...]
    cost: float
    peak: int
    method: str


@dataclass
class Incumbents:
    """The few best schedules, and a lower bound ``cost_bound`` on the cost of every schedule within the budget.

    ``refuted``: whether an exact search has proved that no schedule is within the budget.
    """

    graph: Graph
    budget: int
    clock: Deadline
    cost_bound: float
    refuted: bool = False
    kept: list[ScoredSchedule] = field(default_factory=list)
    history: list[tuple[float, float]] = field(default_factory=list)

    @property
    def best(self) -> ScoredSchedule:
        """The cheapest schedule within the budget, else the one with the lowest peak."""
        return self.kept[0]

    @property
    def fits(self) -> bool:
        """Whether some schedule is within the budget."""
        return self.best.peak <= self.budget

    @property
    def proved(self) -> bool:
        """Whether the best schedule reaches the lower bound, or no schedule can be within the budget."""
        return self.impossible or (self.fits and self.best.cost <= self.cost_bound * (1 + TOLERANCE))

    @property
    def impossible(self) -> bool:
        """Whether no schedule can be within the budget: some op alone needs more (live bytes have no padding)."""
        return self.refuted or self._working_set > self.budget

    def __post_init__(self) -> None:
        self._working_set = working_set_bound(replace(self.graph, alignment=1))[0]

    def add(self, schedule: Sequence[int], method: str) -> bool:
        """Add a valid schedule. Returns whether it is now the best."""
        steps = tuple(schedule)
        if any(steps == other.schedule for other in self.kept):
            return False
        cost = math.fsum(self.graph.ops[op].cost for op in steps)
        found = ScoredSchedule(steps, cost, peak_live(self.graph, steps), method)
        self.kept = sorted([*self.kept, found], key=self._rank)[:_KEPT]
        better = self.best is found
        if better and self.fits:
            self.history.append((self.clock.elapsed, cost))
        return better

    def result(self, stats: Mapping[str, object]) -> RematResult:
        """The answer so far."""
        status: Status = "feasible" if self.fits else "infeasible" if self.impossible else "unknown"
        if self.fits and self.proved:
            status = "optimal"
        best, bound = self.best, min(self.cost_bound, self.best.cost) if self.fits else self.cost_bound
        stats = {"seconds": self.clock.elapsed, "method": best.method, **stats}
        return RematResult(best.schedule, best.cost, best.peak, status, bound, history=tuple(self.history), stats=stats)

    def _rank(self, candidate: ScoredSchedule) -> tuple[bool, float, float]:
        over = candidate.peak > self.budget
        return (over, candidate.peak, candidate.cost) if over else (over, candidate.cost, len(candidate.schedule))
