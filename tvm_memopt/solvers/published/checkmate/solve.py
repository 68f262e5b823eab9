"""Checkmate: rematerialisation by integer programming, and by rounding its linear relaxation.

Jain et al., "Checkmate: Breaking the Memory Wall with Optimal Tensor Rematerialization", MLSys 2020. This is the
reference for a given order of first runs. It is solved with HiGHS (the optional package highspy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.published.checkmate.highs_run import HighsOutcome, require_highs, run_highs
from tvm_memopt.solvers.published.checkmate.model import (
    CheckmateModel,
    StageProblem,
    build_checkmate,
    schedule_of,
    size_of,
    stage_problem,
)
from tvm_memopt.solvers.remat.outcome import BestSchedules, checked_order, over_working_set, start
from tvm_memopt.solvers.remat.result import RematResult
from tvm_memopt.solvers.request import Deadline

SCOPE = "first runs in the given order, each after any earlier ops once in that order"
_ALLOWANCE = 0.9  # fraction of the budget given to the relaxation, so that the rounded solution may still fit
_THRESHOLDS = tuple(k / 10 for k in range(1, 10))
_ENTRIES_PER_SECOND = 300_000  # speed of building the matrix; a model that would use up the time limit is not built
_TIGHTER = 1 - 2e-6  # exceeds HiGHS's feasibility tolerance


def solve_checkmate(
    graph: Graph,
    budget_nbytes: int,
    *,
    time_limit: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    order: Sequence[int] | None = None,
) -> RematResult:
    """Minimise the cost over ``scope``, to HiGHS's tolerances (1e-6); first runs in ``order`` (None: the given one).

    In-place pairs, outputs of one op that die at different times, and arena inputs are counted at their largest, so
    every schedule returned is valid. Graphs that have any of these get "optimal" only at the base cost, and
    "infeasible" only below a working set.

    Raises BudgetError for an invalid budget, PlanError for an invalid order, MemoptError without highspy.
    """
    clock = Deadline(time_limit)
    require_highs()
    problem = stage_problem(graph, checked_order(graph, order))
    incumbents = start(graph, budget_nbytes, order, clock)
    stats: dict[str, Any] = {"exact": problem.exact, "entries": size_of(problem)}
    settled = _settled(graph, incumbents, stats)
    if settled is not None:
        return settled
    proof, interrupted = (0.0, False), False
    try:
        proof = _branch_and_bound(problem, incumbents, clock, stats, threads=threads, seed=seed)
    except KeyboardInterrupt:
        interrupted = True
    bound, infeasible = proof if problem.exact else (0.0, False)
    result = incumbents.result(infeasible=infeasible, bound=bound, scope=SCOPE, stats=stats)
    return replace(result, interrupted=interrupted)


def _branch_and_bound(
    problem: StageProblem,
    incumbents: BestSchedules,
    clock: Deadline,
    stats: dict[str, Any],
    *,
    threads: int,
    seed: int,
) -> tuple[float, bool]:
    """Return (lower bound on the cost, whether the programme has no solution)."""
    bound, infeasible = 0.0, False
    for limit in (incumbents.budget_nbytes, incumbents.budget_nbytes * _TIGHTER):
        solved = _solve(problem, limit, clock, threads=threads, seed=seed, relax=False)
        if solved is None:
            stats["reason"] = "the model is too large for the time limit"
            break
        model, outcome = solved
        if "status" not in stats:  # of the first solve, which is the one that proves something
            stats["status"] = outcome.status
            bound, infeasible = outcome.bound * problem.cost_unit, outcome.status == "infeasible"
        if outcome.values is None or _offer(incumbents, problem, _kept(model, outcome.values), 0.5):
            break  # retry only if the schedule exceeds the budget by less than the tolerance
    return bound, infeasible


def round_checkmate(
    graph: Graph,
    budget_nbytes: int,
    *,
    time_limit: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    order: Sequence[int] | None = None,
) -> RematResult:
    """Two-phase rounding: S of the linear relaxation at 0.9 of the budget, rounded at 0.1 to 0.9; R in closed form.

    Returns the cheapest schedule that fits, or "unknown" if none does. Raises like solve_checkmate.
    """
    clock = Deadline(time_limit)
    require_highs()
    problem = stage_problem(graph, checked_order(graph, order))
    incumbents = start(graph, budget_nbytes, order, clock)
    stats: dict[str, Any] = {"entries": size_of(problem), "allowance": _ALLOWANCE}
    settled = _settled(graph, incumbents, stats)
    if settled is not None:
        return settled
    interrupted = False
    try:
        _round(problem, incumbents, clock, stats, threads=threads, seed=seed)
    except KeyboardInterrupt:
        interrupted = True
    result = incumbents.result(infeasible=False, bound=0.0, scope="every schedule", stats=stats)
    return replace(result, interrupted=interrupted)


def _round(
    problem: StageProblem,
    incumbents: BestSchedules,
    clock: Deadline,
    stats: dict[str, Any],
    *,
    threads: int,
    seed: int,
) -> None:
    limit = incumbents.budget_nbytes * _ALLOWANCE
    solved = _solve(problem, limit, clock, threads=threads, seed=seed, relax=True)
    if solved is None:
        stats["reason"] = "the model is too large for the time limit"
        return
    model, outcome = solved
    if outcome.values is None:
        stats["reason"] = f"the relaxation is {outcome.status}"
        return
    kept = _kept(model, outcome.values)
    for threshold in _THRESHOLDS:
        if _offer(incumbents, problem, kept, threshold):
            stats["threshold"] = threshold


def _settled(graph: Graph, incumbents: BestSchedules, stats: dict[str, Any]) -> RematResult | None:
    """The answer if no model is needed: the order itself fits, or no schedule can."""
    infeasible = over_working_set(graph, incumbents.budget_nbytes)
    if not infeasible and incumbents.cheapest is None:
        return None
    return incumbents.result(infeasible=infeasible, bound=0.0, scope="every schedule", stats=stats)


def _solve(
    problem: StageProblem, limit: float, clock: Deadline, *, threads: int, seed: int, relax: bool
) -> tuple[CheckmateModel, HighsOutcome] | None:
    if size_of(problem) > _ENTRIES_PER_SECOND * clock.remaining:
        return None
    model = build_checkmate(problem, limit)
    return model, run_highs(model.program, clock, threads=threads, seed=seed, relax=relax)


def _kept(model: CheckmateModel, values: np.ndarray) -> np.ndarray:
    """S as a square matrix, with one row per stage and one after the last."""
    count = len(model.runs)
    kept = np.zeros((count + 1, count))
    for t, row in enumerate(model.kept):
        kept[t, : len(row)] = values[row]
    return kept


def _offer(incumbents: BestSchedules, problem: StageProblem, kept: np.ndarray, threshold: float) -> bool:
    schedule = schedule_of(problem, kept > threshold)
    return schedule is not None and incumbents.offer(schedule)
