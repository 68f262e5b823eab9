"""An integer programme as plain rows, independent of the solver."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.cp_sat import run_cp_sat
from tvm_memopt.solvers.interrupts import call_stoppable
from tvm_memopt.solvers.request import Deadline

Backend = Literal["cp-sat", "scip"]
Terms = Mapping[int, int]  # variable -> coefficient


@dataclass(frozen=True)
class Row:
    """low <= sum of ``terms`` <= high, enforced if the 0/1 variable ``when`` is 1 (if written ~variable: 0)."""

    terms: Terms
    low: int | None
    high: int | None
    when: int | None = None


@dataclass
class Programme:
    """Integer variables with bounds, rows, and one variable to minimise."""

    bounds: list[tuple[int, int]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    hints: dict[int, int] = field(default_factory=dict)
    objective: int = -1

    def variable(self, low: int = 0, high: int = 1) -> int:
        """Add a variable, 0/1 unless other bounds are given, and return its index."""
        self.bounds.append((low, high))
        return len(self.bounds) - 1

    def add(
        self,
        terms: Terms,
        *,
        low: int | None = None,
        high: int | None = None,
        when: int | None = None,
    ) -> None:
        """Add a row; see Row."""
        self.rows.append(Row(terms, low, high, when))


@dataclass(frozen=True)
class Outcome:
    """Result of a solve.

    ``values``: of all variables; None if no solution was found.
    ``bound``: a lower bound on the objective.
    ``none``: whether it is proved that there is no solution.
    """

    values: list[int] | None
    bound: int
    none: bool
    interrupted: bool = False


def solve_programme(programme: Programme, backend: Backend, deadline: Deadline, seed: int, threads: int) -> Outcome:
    """Minimise the objective. Ctrl-C ends the search early without raising; the outcome reports it."""
    if deadline.passed:
        return Outcome(None, programme.bounds[programme.objective][0], False)
    if backend == "scip":
        return _solve_with_scip(programme, deadline)
    return _solve_with_cp_sat(programme, deadline, seed, threads)


def _solve_with_cp_sat(programme: Programme, deadline: Deadline, seed: int, threads: int) -> Outcome:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    variables = [model.new_int_var(low, high, "") for low, high in programme.bounds]
    for row in programme.rows:
        expression = cp_model.LinearExpr.weighted_sum([variables[v] for v in row.terms], list(row.terms.values()))
        low = cp_model.INT_MIN if row.low is None else row.low
        high = cp_model.INT_MAX if row.high is None else row.high
        constraint = model.add_linear_constraint(expression, low, high)
        if row.when is not None:
            constraint.only_enforce_if(variables[row.when] if row.when >= 0 else ~variables[~row.when])
    for variable, value in programme.hints.items():
        model.add_hint(variables[variable], value)
    model.minimize(variables[programme.objective])
    found = run_cp_sat(model, deadline, threads=threads, seed=seed)
    low = programme.bounds[programme.objective][0]
    if found.status == "infeasible":
        return Outcome(None, low, True, found.interrupted)
    values = [found.value(variable) for variable in variables] if found.solved else None
    return Outcome(values, max(low, found.bound), False, found.interrupted)


def _solve_with_scip(programme: Programme, deadline: Deadline) -> Outcome:
    """Solve with SCIP, which uses floating point. Only for rows without ``when``, whose 0/1 answers round safely."""
    from ortools.linear_solver.python import model_builder

    solver, model = model_builder.Solver("scip"), model_builder.Model()
    if not solver.solver_is_supported():
        raise MemoptError("OLLA: this build of OR-tools has no SCIP; use backend='cp-sat'")
    variables = [model.new_int_var(low, high, None) for low, high in programme.bounds]
    for row in programme.rows:
        assert row.when is None
        terms = model_builder.LinearExpr.weighted_sum([variables[v] for v in row.terms], list(row.terms.values()))
        low, high = -math.inf if row.low is None else row.low, math.inf if row.high is None else row.high
        model.add_linear_constraint(terms, low, high)
    for variable, value in programme.hints.items():
        model.add_hint(variables[variable], value)
    model.minimize(variables[programme.objective])
    solver.set_time_limit_in_seconds(deadline.remaining)
    status, pressed = call_stoppable(lambda: solver.solve(model), solver.stop_search)
    # SCIP handles Ctrl-C itself, and ends early for no other reason.
    interrupted = pressed or (status == model_builder.SolveStatus.FEASIBLE and not deadline.passed)
    return replace(_scip_outcome(programme, solver, status, variables), interrupted=interrupted)


def _scip_outcome(programme: Programme, solver: Any, status: Any, variables: Sequence[Any]) -> Outcome:
    """Convert the outcome. The bound is lowered by what SCIP's tolerance of 1e-6 can amount to in the heaviest row."""
    from ortools.linear_solver.python import model_builder

    low = programme.bounds[programme.objective][0]
    if status == model_builder.SolveStatus.INFEASIBLE:
        return Outcome(None, low, True)
    if status not in (model_builder.SolveStatus.OPTIMAL, model_builder.SolveStatus.FEASIBLE):
        return Outcome(None, low, False)
    heaviest = max((sum(map(abs, row.terms.values())) for row in programme.rows), default=0)
    bound = solver.best_objective_bound - 2e-6 * heaviest
    safe = math.ceil(bound) if math.isfinite(bound) else low
    return Outcome([round(solver.value(v)) for v in variables], max(low, safe), False)
