"""The driver of CP-SAT: parameters, improving solutions, the deadline and Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tvm_memopt.solvers.interrupts import call_stoppable
from tvm_memopt.solvers.request import Deadline

Status = Literal["optimal", "feasible", "infeasible", "unknown"]
_LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class CpSatOutcome:
    """Result of a CP-SAT run.

    ``status``: what is proved about the model.
    ``objective``: value of the best solution, or None without one.
    ``bound``: a proved lower bound on the objective.
    ``value``: reads a variable of the best solution, if there is one.
    """

    status: Status
    objective: int | None
    bound: int
    value: Callable[[Any], int]
    interrupted: bool

    @property
    def solved(self) -> bool:
        """Whether a solution was found."""
        return self.status in ("optimal", "feasible")


def run_cp_sat(
    model: Any,
    deadline: Deadline,
    *,
    threads: int,
    seed: int,
    on_solution: Callable[[Callable[[Any], int]], None] | None = None,
) -> CpSatOutcome:
    """Solve ``model`` until ``deadline``. ``on_solution`` is called with a reader of each improving solution's values.

    The search strategies are interleaved, so a run that is not cut short gives the same answer whatever the timing of
    the threads. Ctrl-C stops the search without raising; the outcome reports it.
    """
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(deadline.remaining, _LEAST_SECONDS)
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = threads
    solver.parameters.interleave_search = True
    solver.parameters.catch_sigint_signal = False
    listener = _listener(on_solution)
    status, interrupted = call_stoppable(lambda: solver.solve(model, listener), solver.stop_search)
    words: dict[Any, Status] = {
        cp_model.OPTIMAL: "optimal",
        cp_model.FEASIBLE: "feasible",
        cp_model.INFEASIBLE: "infeasible",
    }
    word: Status = words.get(status, "unknown")
    objective = round(solver.objective_value) if word in ("optimal", "feasible") else None
    bound = solver.best_objective_bound if word != "infeasible" else 0.0
    return CpSatOutcome(word, objective, _round_up(bound), solver.value, interrupted)


def _round_up(bound: float) -> int:
    """The objective bound rounded up to a whole number, with a tolerance for floating-point noise."""
    return -int(-(bound - 1e-6 * max(1.0, abs(bound) * 1e-9)) // 1)


def _listener(on_solution: Callable[[Callable[[Any], int]], None] | None) -> Any:
    from ortools.sat.python import cp_model

    if on_solution is None:
        return None

    tell = on_solution

    class Listener(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
        def on_solution_callback(self) -> None:
            tell(self.value)

    return Listener()
