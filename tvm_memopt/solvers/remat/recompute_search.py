"""The exact best-first search of native/remat/exact_search.h, under increasing limits on the cost of repeats."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import call_interruptibly, library, vector
from tvm_memopt.solvers.remat.scaling import scale_costs
from tvm_memopt.solvers.request import Deadline

_MOST = 128  # ops and storages: the native search stores sets of them in two words
_MOST_PAIRS = 8  # in-place pairs per op: their subsets are enumerated
_LARGEST = 2**60
_LONGEST = 64  # runs per op on average; longer schedules are given up
_FIRST_SHARE, _GROWTH = 200, 1.5  # first limit above 0: base cost over this; factor to the next limits
_MEMORY_NBYTES = 2**30
_LAST_SHARE = 4  # times the base cost: the limit after that is the largest possible
_WORDS: tuple[Literal["none", "found", "open"], ...] = ("none", "found", "open")


@dataclass(frozen=True)
class ExactOutcome:
    """Result of the search.

    ``schedule``: the cheapest, if one was found.
    ``proved_units``: a lower bound on the cost of repeats.
    ``exhausted``: whether no schedule has repeats within the largest limit asked for.
    """

    schedule: tuple[int, ...] | None
    proved_units: int
    exhausted: bool
    states: int
    interrupted: bool = False


def packed(graph: Graph) -> np.ndarray | None:
    """``graph`` in the format of native/remat/exact_problem.h; None if it is too large for that search."""
    wanted = [t for t in range(len(graph.tensors)) if graph.planned[t] and _matters(graph, t)]
    total = sum(t.nbytes for t in graph.tensors) + sum(op.workspace for op in graph.ops)
    pairs = [_pairs(graph, op) for op in range(len(graph.ops))]
    if max(len(graph.ops), len(wanted)) > _MOST or total > _LARGEST or max(map(len, pairs), default=0) > _MOST_PAIRS:
        return None
    number = {tensor: index for index, tensor in enumerate(wanted)}
    flat = [len(graph.ops), len(wanted)]
    for tensor in wanted:
        flat += [graph.tensors[tensor].nbytes, graph.producer[tensor], int(tensor in graph.returned)]
    costs = scale_costs(graph).ops
    for op_id, op in enumerate(graph.ops):
        own = op.workspace + sum(graph.tensors[t].nbytes for t in graph.writes[op_id])
        flat += [costs[op_id], own, int(op.recomputable)]
        for row in (
            [number[t] for t in graph.reads[op_id]],
            [number[t] for t in graph.writes[op_id] if t in number],
            graph.predecessors[op_id],
        ):
            flat += [len(row), *row]
        flat.append(len(pairs[op_id]))
        for source, target, shared in pairs[op_id]:
            flat += [number[source], target, shared]
    return vector(flat)


def _matters(graph: Graph, tensor: int) -> bool:
    return bool(graph.readers[tensor]) or tensor in graph.returned or graph.tensors[tensor].kind != "activation"


def _pairs(graph: Graph, op_id: int) -> list[tuple[int, int, int]]:
    """(input, index of the output among the op's outputs, shared bytes) of each in-place pair."""
    place = {tensor: index for index, tensor in enumerate(graph.writes[op_id])}
    return [(p.source, place[p.target], p.weight) for p in graph.sharing[op_id] if p.weight]


def search_recompute(
    graph: Graph,
    problem: np.ndarray,
    budget_nbytes: int,
    deadline: Deadline,
    *,
    least_units: int = 0,
    most_units: int | None = None,
    safe_moves: bool = True,
    memory_nbytes: int = _MEMORY_NBYTES,
    flag: np.ndarray | None = None,
) -> ExactOutcome:
    """Find the schedule with the cheapest repeats, by iterative deepening up to ``most_units``.

    ``least_units``: a known lower bound on the cost of repeats. Under a small limit most ops can run only once, which
    keeps the search small. Ctrl-C ends it soon, as does ``flag[0]`` outside the main thread.
    """
    base = sum(scale_costs(graph).ops)
    top = _LARGEST if most_units is None else most_units
    limit, proved, states = min(least_units, top), least_units, 0
    while True:
        (word, schedule, visited), interrupted = _least(
            graph, problem, budget_nbytes, limit, deadline, safe_moves, memory_nbytes, flag
        )
        if interrupted:
            return ExactOutcome(None, proved, False, states, interrupted=True)
        states += visited
        if word == "open":
            return ExactOutcome(None, proved, False, states)
        if word == "found":
            assert schedule is not None
            costs = scale_costs(graph).ops
            return ExactOutcome(schedule, sum(costs[op] for op in schedule) - base, False, states)
        proved = limit + 1
        if limit >= top:
            return ExactOutcome(None, proved, True, states)
        limit = max(limit + base // _FIRST_SHARE + 1, int(limit * _GROWTH))
        limit = min(limit, top) if limit < _LAST_SHARE * base else top


def _least(
    graph: Graph,
    problem: np.ndarray,
    budget_nbytes: int,
    limit: int,
    deadline: Deadline,
    safe_moves: bool,
    memory_nbytes: int,
    flag: np.ndarray | None,
) -> tuple[tuple[Literal["none", "found", "open"], tuple[int, ...] | None, int], bool]:
    """(verdict, the schedule, states visited), and whether Ctrl-C ended the search."""
    options = vector([budget_nbytes, limit, int(safe_moves), memory_nbytes])
    schedule = np.zeros(_LONGEST * (len(graph.ops) + 1), np.int32)
    results = np.zeros(3, np.int64)

    def call(flag: np.ndarray) -> int:
        return int(library().recompute_least(problem, options, deadline.remaining, flag, schedule, results))

    # Only the main thread receives Ctrl-C, and not while in native code: there the call runs in a thread of its own.
    if flag is None or threading.current_thread() is threading.main_thread():
        number, interrupted = call_interruptibly(call)
    else:
        number, interrupted = call(flag), False
    word = _WORDS[number]
    steps = tuple(schedule[: results[2]].tolist()) if word == "found" else None
    return (word, steps, int(results[1])), interrupted
