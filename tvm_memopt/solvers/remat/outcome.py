"""Shared by the reference solvers: scoring of schedules, easy cases and the input order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tvm_memopt.errors import BudgetError, PlanError
from tvm_memopt.graph import Graph, given_order, peak_live, working_set_bound
from tvm_memopt.solvers.remat.result import RematResult, Status
from tvm_memopt.solvers.request import Deadline

_TOLERANCE = 1e-9


@dataclass
class BestSchedules:
    """The best schedules so far: the cheapest within the budget, and the one with the lowest peak."""

    graph: Graph
    budget_nbytes: int
    clock: Deadline
    cheapest: tuple[float, tuple[int, ...], int] | None = None
    lowest: tuple[int, tuple[int, ...]] | None = None
    history: list[tuple[float, float]] = field(default_factory=list)

    def offer(self, schedule: Sequence[int]) -> bool:
        """Score ``schedule``. Returns whether it is the cheapest within the budget so far."""
        peak = peak_live(self.graph, schedule)
        if self.lowest is None or peak < self.lowest[0]:
            self.lowest = peak, tuple(schedule)
        cost = math.fsum(self.graph.ops[op].cost for op in schedule)
        if peak > self.budget_nbytes or (self.cheapest is not None and cost >= self.cheapest[0]):
            return False
        self.cheapest = cost, tuple(schedule), peak
        self.history.append((self.clock.elapsed, cost))
        return True

    def result(self, *, infeasible: bool, bound: float, scope: str, stats: Mapping[str, Any]) -> RematResult:
        """The answer. ``bound``, a lower bound on the cost, and ``infeasible`` are proved over ``scope``."""
        bound = max(bound, self.graph.base_cost)
        found = {**stats, "seconds": self.clock.elapsed}
        if self.cheapest is not None:
            cost, schedule, peak = self.cheapest
            status: Status = "optimal" if cost <= bound * (1 + _TOLERANCE) else "feasible"
            bound = min(bound, cost)
            return RematResult(schedule, cost, peak, status, bound, scope, tuple(self.history), found)
        assert self.lowest is not None
        peak, schedule = self.lowest
        cost = math.fsum(self.graph.ops[op].cost for op in schedule)
        status = "infeasible" if infeasible else "unknown"
        return RematResult(schedule, cost, peak, status, None if infeasible else bound, scope, (), found)


def start(graph: Graph, budget_nbytes: int, order: Sequence[int] | None, clock: Deadline) -> BestSchedules:
    """Create incumbents that contain the input order. Raises BudgetError for a budget of 0 or less, PlanError for an
    order that is not a topological order of all ops."""
    if budget_nbytes <= 0:
        raise BudgetError(f"budget is {budget_nbytes} bytes, expected more than 0")
    incumbents = BestSchedules(graph, budget_nbytes, clock)
    incumbents.offer(checked_order(graph, order))
    return incumbents


def checked_order(graph: Graph, order: Sequence[int] | None) -> tuple[int, ...]:
    """Return ``order``, or the given one if None. Raises PlanError if it is not a topological order of all ops."""
    if order is None:
        return given_order(graph)
    if sorted(order) != list(range(len(graph.ops))):
        raise PlanError(f"graph {graph.name!r}: the order has {len(order)} steps, expected each op exactly once")
    seen: set[int] = set()
    for step, op in enumerate(order):
        missing = [p for p in graph.predecessors[op] if p not in seen]
        if missing:
            text = f"op {op} ({graph.ops[op].name}) comes before op {missing[0]}, which it depends on"
            raise PlanError(f"graph {graph.name!r}: step {step} of the order: {text}")
        seen.add(op)
    return tuple(order)


def over_working_set(graph: Graph, budget_nbytes: int) -> bool:
    """Whether some op alone needs more live bytes than the budget, so that no schedule fits."""
    return working_set_bound(replace(graph, alignment=1))[0] > budget_nbytes
