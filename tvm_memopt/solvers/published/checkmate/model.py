"""Checkmate's integer programme: which ops run in which stage, and which values are kept between stages.

Jain et al., MLSys 2020, equations 1-9. Each op has one value: its outputs are kept or dropped together. Stage t ends
with the first run of the order's t-th op. Before it, any earlier ops may run once each, in the given order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.published.checkmate.highs_run import INFINITY, LinearProgram
from tvm_memopt.solvers.remat.scaling import stage_position

_TOTAL_COST = 1e4  # the total cost in objective units, chosen for HiGHS's absolute tolerances


@dataclass(frozen=True)
class StageProblem:
    """The graph by positions in the order; memory in bytes.

    ``exact``: whether the model counts memory as graph.peak_live does. Otherwise it overestimates (in-place pairs,
    outputs of one op that die at different times, arena inputs that die early) and proves nothing.
    """

    order: tuple[int, ...]
    nbytes: tuple[int, ...]
    scratch: tuple[int, ...]
    costs: tuple[float, ...]
    once: tuple[bool, ...]
    returned: tuple[bool, ...]
    predecessors: tuple[tuple[int, ...], ...]
    users: tuple[tuple[int, ...], ...]
    constant: int
    exact: bool

    @property
    def cost_unit(self) -> float:
        """Cost in the graph's unit of one unit of the objective."""
        return math.fsum(self.costs) / _TOTAL_COST or 1.0


@dataclass(frozen=True)
class CheckmateModel:
    """The integer program and the columns of its variables.

    ``runs[t][i]``: op i runs in stage t (R in the paper). ``kept[t][i]``: value i is kept into stage t (S).
    """

    program: LinearProgram
    runs: list[list[int]]
    kept: list[list[int]]


def stage_problem(graph: Graph, order: Sequence[int]) -> StageProblem:
    """``graph`` with one value per op, indexed by position in ``order``."""
    place = stage_position(order)
    sources = [t for t, x in enumerate(graph.tensors) if x.kind != "activation" and graph.planned[t]]
    before = [tuple(sorted({place[p] for t in graph.reads[op] if (p := graph.producer[t]) >= 0})) for op in order]
    users: list[list[int]] = [[] for _ in order]
    for position, predecessors in enumerate(before):
        for predecessor in predecessors:
            users[predecessor].append(position)
    ops = [graph.ops[op] for op in order]
    return StageProblem(
        order=tuple(order),
        nbytes=tuple(sum(graph.tensors[t].nbytes for t in graph.writes[op]) for op in order),
        scratch=tuple(op.workspace for op in ops),
        costs=tuple(op.cost for op in ops),
        once=tuple(not op.recomputable for op in ops),
        returned=tuple(any(t in graph.returned for t in graph.writes[op]) for op in order),
        predecessors=tuple(before),
        users=tuple(map(tuple, users)),
        constant=sum(graph.tensors[t].nbytes for t in sources),
        exact=not sources and not any(op.inplace for op in ops) and all(len(w) <= 1 for w in graph.writes),
    )


def size_of(problem: StageProblem) -> int:
    """Approximate number of matrix entries, which determines the time to build and presolve."""
    n = len(problem.order)
    fan_out = sum((n - k) * len(problem.users[i]) for k in range(n) for i in problem.predecessors[k])
    return 6 * n * n + fan_out


def build_checkmate(problem: StageProblem, budget_nbytes: float) -> CheckmateModel:
    """Build the programme. Memory is counted in fractions of the budget."""
    n = len(problem.order)
    program = LinearProgram()
    costs = [c / problem.cost_unit for c in problem.costs]
    runs = [[program.column(i == t, i == t or not problem.once[i], costs[i]) for i in range(t + 1)] for t in range(n)]
    kept = [[program.column(0, 1) for _ in range(t)] for t in range(n)]
    kept.append([program.column(problem.returned[i], problem.returned[i]) for i in range(n)])
    _dependences(program, problem, runs, kept)
    for t in range(n):
        _memory(program, problem, runs[t], kept[t], kept[t + 1], budget_nbytes)
    return CheckmateModel(program, runs, kept)


def _dependences(program: LinearProgram, problem: StageProblem, runs: list[list[int]], kept: list[list[int]]) -> None:
    for t, row in enumerate(runs):
        for i in range(t + 1):
            held_before = [(kept[t][i], -1.0)] if i < t else []
            program.row(-INFINITY, [(kept[t + 1][i], 1.0), (row[i], -1.0), *held_before], 0)
            for u in problem.predecessors[i]:
                program.row(-INFINITY, [(row[i], 1.0), (row[u], -1.0), (kept[t][u], -1.0)], 0)


def _memory(
    program: LinearProgram,
    problem: StageProblem,
    runs: list[int],
    kept: list[int],
    kept_after: list[int],
    budget_nbytes: float,
) -> None:
    """Bytes held when each op of one stage runs: values kept and values computed before it, minus those freed."""
    share = [nbytes / budget_nbytes for nbytes in problem.nbytes]
    room = 1.0 - problem.constant / budget_nbytes
    before: list[tuple[int, float]] = [(column, -share[i]) for i, column in enumerate(kept)]
    for k, run in enumerate(runs):
        held = program.column(0, INFINITY, integer=False)
        program.row(0, [(held, 1.0), (run, -share[k]), *before], 0)
        program.row(-INFINITY, [(held, 1.0), (run, problem.scratch[k] / budget_nbytes)], room)
        freed = [(_freed(program, problem, runs, kept_after, i, k), share[i]) for i in problem.predecessors[k]]
        before = [(held, -1.0), *freed]


def _freed(
    program: LinearProgram, problem: StageProblem, runs: list[int], kept_after: list[int], i: int, k: int
) -> int:
    """A column that is 1 exactly if k runs in this stage and value i is not needed after it."""
    later = [(runs[j], 1.0) for j in problem.users[i] if k < j < len(runs)]
    most = 2.0 + len(later)
    freed = program.column(0, 1)
    hazards = [(runs[k], -1.0), (kept_after[i], 1.0), *later]
    program.row(0, [*hazards, (freed, 1.0)], INFINITY)  # 1 - freed <= 1 + hazards
    program.row(-INFINITY, [*hazards, (freed, most)], most - 1.0)  # 1 + hazards <= most * (1 - freed)
    return freed


def schedule_of(problem: StageProblem, kept: np.ndarray) -> tuple[int, ...] | None:
    """The cheapest schedule that keeps the values in ``kept[t, i]``: runs in closed form, stage by stage.

    None if that would repeat an op that must run once.
    """
    n = len(problem.order)
    schedule: list[int] = []
    for t in range(n):
        run = [bool(kept[t + 1, i]) and not (i < t and kept[t, i]) for i in range(t + 1)]
        run[t] = True
        for k in range(t, -1, -1):
            if run[k]:
                for u in problem.predecessors[k]:
                    run[u] = run[u] or not kept[t, u]
        if any(run[i] and problem.once[i] for i in range(t)):
            return None
        schedule += [problem.order[i] for i in range(t + 1) if run[i]]
    return tuple(schedule)
