"""The one driver of CP-SAT: parameters, improving solutions as they come, the deadline and Ctrl-C."""

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
    """``status``: what is proved of the model; ``value`` reads a variable of the best solution, where there is one.

    ``bound``: no solution has a smaller objective.
    """

    status: Status
    objective: int | None
    bound: int
    value: Callable[[Any], int]
    interrupted: bool

    @property
    def solved(self) -> bool:
        """Whether there is a solution."""
        return self.status in ("optimal", "feasible")


def run_cp_sat(
    model: Any,
    deadline: Deadline,
    *,
    threads: int,
    seed: int,
    on_solution: Callable[[Callable[[Any], int]], None] | None = None,
) -> CpSatOutcome:
    """Solve ``model`` until ``deadline``; ``on_solution`` gets a reader of each improving solution's values.

    The search strategies take turns, so that a run that is not cut short gives the same answer whatever the threads'
    timing. Ctrl-C stops the search and raises nothing; the outcome says so.
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
    """The whole number that an objective of whole numbers cannot go below; safe against float noise."""
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
