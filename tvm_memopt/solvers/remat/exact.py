"""Exact solver for small graphs: order and repeats together, with a proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Graph
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.cp_sat import run_cp_sat
from tvm_memopt.solvers.remat.exact_model import ExactModel, allowed_runs, build_exact, hint_schedule
from tvm_memopt.solvers.remat.outcome import BestSchedules, over_working_set, start
from tvm_memopt.solvers.remat.recompute_search import packed, search_recompute
from tvm_memopt.solvers.remat.result import EVERY_SCHEDULE, RematResult
from tvm_memopt.solvers.remat.scaling import scale_costs
from tvm_memopt.solvers.request import Deadline

Method = Literal["auto", "search", "cp-sat"]
_METHODS = ("auto", "search", "cp-sat")


def solve_exactly(
    graph: Graph,
    budget_nbytes: int,
    *,
    copies: int = 3,
    time_limit: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    hint: Sequence[int] | None = None,
    cost_bound: float = 0.0,
    method: Method = "auto",
    flag: np.ndarray | None = None,
) -> RematResult:
    """Minimise the cost over any order and any repeats, for up to about 60 ops. Memory counts as in graph.peak_live.

    ``hint``: a schedule to improve on. If it is within the budget, it limits the cost of repeats, which shortens the
    proof.
    ``cost_bound``: a proved lower bound on the cost.
    ``method``: the native search over (executed, kept) proves over every schedule; CP-SAT over at most ``copies`` runs
    per op. "auto" runs the first, then, if it was cut short, the second.
    ``scope`` of the result states which schedules the answer covers.

    Ctrl-C ends the search soon, as does ``flag[0]`` outside the main thread.
    Raises BudgetError for an invalid budget, ``copies`` or method; PlanError for a hint that reads a tensor before it
    exists.
    """
    if copies < 1:
        raise BudgetError(f"copies is {copies}, expected at least 1 run an op")
    if method not in _METHODS:
        raise BudgetError(f"method is {method!r}, expected one of {_METHODS}")
    task = _ExactProblem(graph, budget_nbytes, copies, Deadline(time_limit), threads, seed, flag)
    task.incumbents = start(graph, budget_nbytes, None, task.clock)
    task.bound = max(cost_bound, graph.base_cost)
    if hint is not None:
        task.hint = tuple(hint)
        task.incumbents.offer(hint)
    if over_working_set(graph, budget_nbytes):
        task.infeasible = True
    interrupted = False
    if not task.done and method != "cp-sat":
        interrupted = _search(task, 1.0 if method == "search" else time_shares.EXACT_REMAT)
    if not task.done and method != "search" and not interrupted:
        interrupted = _cp_sat(task)
    return replace(task.result(), interrupted=interrupted)


@dataclass
class _ExactProblem:
    """The problem, and what is known so far. ``bound`` and ``infeasible`` hold for ``scope``."""

    graph: Graph
    budget_nbytes: int
    copies: int
    clock: Deadline
    threads: int
    seed: int
    flag: np.ndarray | None = None
    incumbents: BestSchedules = field(init=False)
    hint: tuple[int, ...] | None = None
    bound: float = 0.0
    infeasible: bool = False
    scope: str = EVERY_SCHEDULE
    stats: dict[str, Any] = field(default_factory=dict)

    def result(self) -> RematResult:
        """The answer so far."""
        return self.incumbents.result(infeasible=self.infeasible, bound=self.bound, scope=self.scope, stats=self.stats)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to prove, or no time."""
        best = self.incumbents.cheapest
        stopped = self.clock.passed or (self.flag is not None and bool(self.flag[0]))
        return self.infeasible or stopped or (best is not None and best[0] <= self.bound * (1 + 1e-12))

    @property
    def slack(self) -> int | None:
        """Cost of the repeats of the cheapest schedule, in units of scale_costs."""
        if self.incumbents.cheapest is None:
            return None
        costs = scale_costs(self.graph).ops
        return sum(costs[op] for op in self.incumbents.cheapest[1]) - sum(costs)

    @property
    def proved_units(self) -> int:
        """Lower bound on the cost of repeats, in units of scale_costs."""
        scale = scale_costs(self.graph)
        return max(0, int((self.bound - self.graph.base_cost) / scale.unit * (1 - 1e-9)))


def _search(task: _ExactProblem, share: float) -> bool:
    """Run the native search. Returns whether Ctrl-C ended it."""
    problem = packed(task.graph)
    if problem is None:
        task.stats["search"] = "not used: the graph has too many ops or storages"
        return False
    slack = task.slack
    most = None if slack is None else slack - 1
    found = search_recompute(
        task.graph,
        problem,
        task.budget_nbytes,
        task.clock.within(task.clock.remaining * share),
        least_units=task.proved_units,
        most_units=most,
        flag=task.flag,
    )
    task.stats |= {"states": found.states, "search_seconds": task.clock.elapsed}
    if found.interrupted:
        return True
    if found.schedule is not None:
        task.incumbents.offer(found.schedule)
    task.infeasible = found.exhausted and task.incumbents.cheapest is None
    task.bound = max(task.bound, task.graph.base_cost + scale_costs(task.graph).cost(found.proved_units))
    return False


def _cp_sat(task: _ExactProblem) -> bool:
    """Run CP-SAT. Returns whether Ctrl-C ended it."""
    slack = task.slack
    counts = allowed_runs(task.graph, task.copies, slack)
    built = build_exact(task.graph, task.budget_nbytes, counts, slack)
    built.retention.model.add(built.repeats >= task.proved_units)
    _guide(task, built)
    built.retention.model.minimize(built.repeats)

    def offer(value: Callable[[Any], int]) -> None:
        task.incumbents.offer(built.retention.schedule(value))

    found = run_cp_sat(built.retention.model, task.clock, threads=task.threads, seed=task.seed, on_solution=offer)
    task.stats |= {"copies": task.copies, "cp_sat_status": found.status}
    if found.interrupted:
        return True
    bound = task.graph.base_cost + scale_costs(task.graph).cost(max(found.bound, 0))
    infeasible = found.status == "infeasible" and task.incumbents.cheapest is None
    if bound > task.bound or infeasible:
        task.bound, task.infeasible = max(bound, task.bound), infeasible
        task.scope = f"schedules with at most {task.copies} runs an op"
    return False


def _guide(task: _ExactProblem, built: ExactModel) -> None:
    best = task.incumbents.cheapest
    guide = best[1] if best is not None else task.hint
    if guide is not None:
        hint_schedule(built, guide)
