"""Windows of a schedule with repeats, each replaced by the cheapest replacement found by exact search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph, peak_live
from tvm_memopt.solvers.native import library, vector
from tvm_memopt.solvers.remat.scaling import CostScale, scale_costs
from tvm_memopt.solvers.remat.window_problem import Trace, WindowProblem, window_problem
from tvm_memopt.solvers.request import Deadline

LENGTHS = 10, 20, 40
"""Steps per window. Longer windows can gain more, but fewer are solved to the end."""

_FOUND = 1  # what recompute_least returns if its schedule is the cheapest
_STATE_NBYTES = 256  # slightly more than the search needs for a state
_LONGEST = 64  # runs per op on average; longer windows are given up


@dataclass
class _Windows:
    graph: Graph
    budget: int
    deadline: Deadline
    flag: np.ndarray
    states: int
    scale: CostScale

    @property
    def stopped(self) -> bool:
        return bool(self.flag[0]) or self.deadline.passed


def improve_windows(
    graph: Graph,
    schedule: Sequence[int],
    budget_nbytes: int,
    deadline: Deadline,
    *,
    seed: int = 0,
    lengths: Sequence[int] = LENGTHS,
    states: int = 500,
    flag: np.ndarray | None = None,
) -> tuple[int, ...]:
    """Return ``schedule``, or a cheaper one within the budget that no window of these lengths is known to improve.

    Windows overlap by half; ``seed`` shifts them. ``states``: most states that the exact search of one window may
    store, so that the answer depends on the clock only if ``deadline`` passes. Ends soon after ``flag[0]`` is set.
    Needs the native library. A schedule over the budget is returned unchanged.
    """
    best = tuple(schedule)
    if peak_live(graph, best) > budget_nbytes:
        return best
    flag = np.zeros(1, np.int32) if flag is None else flag
    windows = _Windows(graph, budget_nbytes, deadline, flag, states, scale_costs(graph))
    for length in lengths:
        shift = seed
        while not windows.stopped and (better := _pass(windows, best, length, shift)) != best:
            best = better
            shift += length // 4 + 1
    return best


def _pass(windows: _Windows, schedule: tuple[int, ...], length: int, shift: int) -> tuple[int, ...]:
    """Try every window once, from last to first, so that the remaining ones do not move."""
    best, trace = schedule, Trace(windows.graph, schedule)
    for start, end in _stretches(len(schedule), length, shift):
        if windows.stopped:
            break
        problem = window_problem(trace, start, end, windows.scale)
        cheaper = problem and _solve(windows, problem, end - start)
        if not cheaper:
            continue
        replaced = (*best[:start], *cheaper, *best[end:])
        if peak_live(windows.graph, replaced) <= windows.budget:
            best, trace = replaced, Trace(windows.graph, replaced)
    return best


def _stretches(steps: int, length: int, shift: int) -> Iterator[tuple[int, int]]:
    step = max(1, length // 2)
    for start in reversed(range(-(shift % step), steps, step)):
        if start + length <= steps + step:
            yield max(0, start), min(steps, start + length)


def _solve(windows: _Windows, problem: WindowProblem, steps: int) -> tuple[int, ...] | None:
    """The ops of the cheapest schedule of the window, if it is cheaper than the current one."""
    budget = windows.budget - problem.constant
    options = vector([budget, problem.repeats - 1, 1, windows.states * _STATE_NBYTES])
    out, results = np.zeros(_LONGEST * (steps + 1), np.int32), np.zeros(3, np.int64)
    word = library().recompute_least(problem.flat, options, windows.deadline.remaining, windows.flag, out, results)
    return tuple(problem.ops[i] for i in out[: results[2]]) if word == _FOUND else None
