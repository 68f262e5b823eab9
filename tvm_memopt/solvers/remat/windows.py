"""Windows: stretches of a schedule with repeats, each replaced by the cheapest that exact search finds for it."""

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
"""Steps of a window: the longer, the more it can gain and the fewer are solved to the end."""

_FOUND = 1  # what recompute_least returns where its schedule is the cheapest
_STATE_NBYTES = 256  # a little more than the search counts for a state
_LONGEST = 64  # runs an op on average: longer windows are given up


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
    """``schedule``, or a cheaper one within the budget that no window of these lengths is known to improve.

    Windows overlap by half; ``seed`` shifts them. ``states``: how many the exact search of one window may keep, so the
    answer depends on the clock only where ``deadline`` passes. ``flag[0]`` set ends it soon. It needs the native
    library, and leaves a schedule over the budget as it is.
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
    """Every window once, from the last to the first, so that those to come stay where they are."""
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
    """The ops of the cheapest schedule of the window where it is cheaper than what stands there."""
    budget = windows.budget - problem.constant
    options = vector([budget, problem.repeats - 1, 1, windows.states * _STATE_NBYTES])
    out, results = np.zeros(_LONGEST * (steps + 1), np.int32), np.zeros(3, np.int64)
    word = library().recompute_least(problem.flat, options, windows.deadline.remaining, windows.flag, out, results)
    return tuple(problem.ops[i] for i in out[: results[2]]) if word == _FOUND else None
