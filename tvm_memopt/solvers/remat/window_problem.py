"""A window of a schedule with repeats, as an exact problem of its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import vector
from tvm_memopt.solvers.remat.scaling import CostScale

_MOST = 128  # ops and storages: the native search stores sets of them in two words
_MOST_PAIRS = 8  # in-place pairs per op: their subsets are enumerated
_EMPTY_OP = [0] * 7  # stands for the ops before the window: its first step is not the program's first step


class Trace:
    """The steps of a schedule that run each op and read each storage, and the storages live between two steps."""

    def __init__(self, graph: Graph, schedule: Sequence[int]) -> None:
        self.graph, self.schedule = graph, tuple(schedule)
        self.runs: list[list[int]] = [[] for _ in graph.ops]
        self.uses: list[list[int]] = [[] for _ in graph.tensors]
        for step, op in enumerate(self.schedule):
            self.runs[op].append(step)
            for tensor in graph.reads[op]:
                self.uses[tensor].append(step)
        self.storages = [t for t, planned in enumerate(graph.planned) if planned]

    def held(self, boundary: int) -> frozenset[int]:
        """Storages whose instance from before ``boundary`` is read from there on, or returned."""
        return frozenset(t for t in self.storages if self._is_held(t, boundary))

    def _is_held(self, tensor: int, boundary: int) -> bool:
        producer = self.graph.producer[tensor]
        runs = self.runs[producer] if producer >= 0 else []
        later = bisect_left(runs, boundary)
        if producer >= 0 and not later:
            return False
        following = runs[later] if later < len(runs) else len(self.schedule)
        uses = self.uses[tensor]
        use = bisect_left(uses, boundary)
        if use < len(uses) and uses[use] < following:
            return True
        return following == len(self.schedule) and tensor in self.graph.returned


@dataclass(frozen=True)
class WindowProblem:
    """The problem of one window.

    ``flat``: in the format of native/remat/exact_problem.h, over ``ops`` of the graph.
    ``constant``: bytes live over the whole window that nothing in it can change.
    ``repeats``: cost of the repeats in the window.
    """

    ops: tuple[int, ...]
    flat: np.ndarray
    constant: int
    repeats: int


def window_problem(trace: Trace, start: int, end: int, scale: CostScale) -> WindowProblem | None:
    """The problem of steps ``start`` to ``end`` (exclusive), in any order, with any repeats of the ops run by then.

    Returns None if nothing can be gained or the problem is too large. At its end, the window holds what the rest of the
    schedule reads next. Ops that first run later are left out: they could help only as an additional first step of the
    program, the one step at which unread inputs are live.
    """
    graph, steps = trace.graph, trace.schedule[start:end]
    fresh = {op for op in steps if start <= trace.runs[op][0]}
    again = [op for i, op in enumerate(steps) if trace.runs[op][0] != start + i]
    repeats = sum(scale.ops[op] for op in again)
    if not repeats:
        return None
    entry, goal = trace.held(start), trace.held(end)
    if not start:
        entry = frozenset(t for t in trace.storages if graph.producer[t] < 0)
    for most in (_MOST, _MOST // 4, 0):
        chosen = _candidates(trace, start, fresh, set(again) - fresh, entry, goal, repeats - 1, scale, most)
        problem = _packed(graph, sorted(fresh | chosen), fresh, entry, goal, start, repeats, scale)
        if problem is not None:
            return problem
    return None


def _candidates(
    trace: Trace,
    start: int,
    fresh: set[int],
    known: set[int],
    entry: frozenset[int],
    goal: frozenset[int],
    slack: int,
    scale: CostScale,
    most: int,
) -> set[int]:
    """Ops that ran before ``start`` and may be worth another run in the window: ``known`` and ``most`` others."""
    graph = trace.graph
    chosen = set(known)
    wanted = [t for op in sorted(fresh | known) for t in graph.reads[op]] + sorted(goal)
    seen = set(wanted)
    for tensor in wanted:  # grows
        op = graph.producer[tensor]
        if op < 0 or op in fresh or op in chosen or scale.ops[op] > slack or not graph.ops[op].recomputable:
            continue
        if trace.runs[op][0] >= start or len(chosen) - len(known) >= most:
            continue
        chosen.add(op)
        more = [t for t in graph.reads[op] if t not in seen]
        seen.update(more)
        wanted += more
    return _runnable(graph, fresh, chosen, entry)


def _runnable(graph: Graph, fresh: set[int], chosen: set[int], entry: frozenset[int]) -> set[int]:
    """The ops of ``chosen`` whose inputs are live or can be recomputed."""
    there = set(entry) | {t for op in fresh for t in graph.writes[op]}
    able: set[int] = set()
    grown = True
    while grown:
        more = {op for op in chosen - able if there.issuperset(graph.reads[op])}
        able |= more
        there.update(t for op in more for t in graph.writes[op])
        grown = bool(more)
    return able


def _packed(
    graph: Graph,
    ops: Sequence[int],
    fresh: set[int],
    entry: frozenset[int],
    goal: frozenset[int],
    start: int,
    repeats: int,
    scale: CostScale,
) -> WindowProblem | None:
    made = {t for op in ops for t in graph.writes[op]}
    read = {t for op in ops for t in graph.reads[op]}
    fixed = (entry & goal) - made
    storages = sorted(((read | goal) & made) | (entry - fixed))
    pairs = [_pairs(graph, op, fixed) for op in ops]
    if max(len(ops) + 1, len(storages)) > _MOST or max(map(len, pairs), default=0) > _MOST_PAIRS:
        return None
    op_number = {op: index for index, op in enumerate(ops)}
    number = {tensor: index for index, tensor in enumerate(storages)}
    flat = [len(ops) + int(start > 0), len(storages)]
    for tensor in storages:
        flat += [graph.tensors[tensor].nbytes, op_number.get(graph.producer[tensor], -1), int(tensor in goal)]
    for op, lent in zip(ops, pairs, strict=True):
        own = graph.ops[op].workspace + sum(graph.tensors[t].nbytes for t in graph.writes[op])
        flat += [scale.ops[op], own, int(graph.ops[op].recomputable)]
        before = [op_number[p] for p in graph.predecessors[op] if p in fresh] if op in fresh else []
        rows = [number[t] for t in graph.reads[op] if t in number], [number[t] for t in graph.writes[op] if t in number]
        for row in (*rows, before):
            flat += [len(row), *row]
        flat.append(len(lent))
        for source, place, shared in lent:
            flat += [number[source], place, shared]
    done = [op_number[op] for op in ops if op not in fresh]
    if start:
        flat += _EMPTY_OP
        done.append(len(ops))
    kept = [number[t] for t in storages if t in entry]
    flat += [len(done), *done, len(kept), *kept]
    constant = sum(graph.tensors[t].nbytes for t in fixed)
    return WindowProblem(tuple(ops), vector(flat), constant, repeats)


def _pairs(graph: Graph, op_id: int, fixed: frozenset[int]) -> list[tuple[int, int, int]]:
    """(input, index of the output among the op's outputs, shared bytes) of inputs that can die in the window."""
    place = {tensor: index for index, tensor in enumerate(graph.writes[op_id])}
    pairs = [pair for pair in graph.sharing[op_id] if pair.weight and pair.source not in fixed]
    return [(pair.source, place[pair.target], pair.weight) for pair in pairs]
