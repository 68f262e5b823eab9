"""One CP-SAT solve: parameters, improving solutions as they come, and Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tvm_memopt.solvers.request import Deadline

_POLL_SECONDS = 0.05
_Word = Literal["optimal", "feasible", "infeasible", "unknown"]


@dataclass(frozen=True)
class CpSatOutcome:
    """``status``: what is proved of the model; ``value`` reads a variable of the best solution, where one is."""

    status: _Word
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
    settings: dict[str, Any] | None = None,
) -> CpSatOutcome:
    """Solve ``model`` until ``deadline``; ``on_solution`` gets a reader of each improving solution's values.

    ``settings`` are further CP-SAT parameters by name. Ctrl-C stops the search; the outcome says so.
    """
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    parameters = {
        "max_time_in_seconds": max(deadline.remaining, 0.01),
        "random_seed": seed,
        "num_workers": threads,
        "interleave_search": threads == 1,  # one thread in turn for all strategies; more race, and which wins may vary
        "catch_sigint_signal": False,
        **(settings or {}),
    }
    for name, value in parameters.items():
        setattr(solver.parameters, name, value)
    status, interrupted = _solve_in_thread(solver, model, _listener(on_solution))
    words: dict[Any, _Word] = {
        cp_model.OPTIMAL: "optimal",
        cp_model.FEASIBLE: "feasible",
        cp_model.INFEASIBLE: "infeasible",
    }
    word: _Word = words.get(status, "unknown")
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


def _solve_in_thread(solver: Any, model: Any, listener: Any) -> tuple[Any, bool]:
    """Solve in a second thread, so that Ctrl-C reaches this one and stops the search at once."""
    outcome: list[Any] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            outcome.append(solver.solve(model, listener))
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True).start()
    interrupted = False
    while not done.is_set():
        try:
            done.wait(_POLL_SECONDS)
        except KeyboardInterrupt:
            interrupted = True
            solver.stop_search()
    if failure:
        raise failure[0]
    return outcome[0], interrupted
