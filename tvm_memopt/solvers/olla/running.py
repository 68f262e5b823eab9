"""One CP-SAT search that obeys a deadline and Ctrl-C and keeps the best answer it had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tvm_memopt.solvers.request import Deadline

_POLL_SECONDS = 0.05
_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """How a search ended; ``solver`` holds the values of "best" (proved) and "found" (not proved)."""

    solver: Any
    word: Literal["best", "found", "none", "unknown"]
    interrupt: KeyboardInterrupt | None


def run_cp_sat(model: Any, deadline: Deadline, seed: int, threads: int) -> Run:
    """Search until ``deadline``; an interrupt ends the search early and is handed back, not raised."""
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = deadline.remaining
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = threads
    solver.parameters.interleave_search = threads > 1  # the same answer whatever the threads' timing
    solver.parameters.catch_sigint_signal = False
    status, interrupt = call_stoppable(lambda: solver.solve(model), solver.stop_search)
    words: dict[Any, Literal["best", "found", "none"]] = {
        cp_model.OPTIMAL: "best",
        cp_model.FEASIBLE: "found",
        cp_model.INFEASIBLE: "none",
    }
    return Run(solver, words.get(status, "unknown"), interrupt)


def call_stoppable(call: Callable[[], _T], stop: Callable[[], object]) -> tuple[_T, KeyboardInterrupt | None]:
    """Run ``call`` in a second thread, so that Ctrl-C reaches this one; then ``stop`` is called until it ends."""
    outcome: list[_T] = []
    failure: list[BaseException] = []
    done = threading.Event()  # an interrupt inside Thread.join would mark the running thread as ended

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True).start()
    interrupt: KeyboardInterrupt | None = None
    while not done.is_set():
        try:
            done.wait(_POLL_SECONDS)
            if interrupt is not None:
                stop()  # again and again: a call before the search has begun is lost
        except KeyboardInterrupt as pressed:
            interrupt = pressed
    if failure:
        raise failure[0]
    return outcome[0], interrupt
