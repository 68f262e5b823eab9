"""The native rematerialisation search: schedules with repeats as int32 vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import library

MAX_TOTAL_NBYTES = 2**46  # bytes held are counted in doubles, exactly
_MOST_RUNS = 8  # of an op, on average: how long a schedule may grow


@dataclass(frozen=True)
class PackedRemat:
    """``index``, ``bytes`` and ``costs`` as RematProblem in native/remat/problem.h reads them."""

    index: np.ndarray
    bytes: np.ndarray
    costs: np.ndarray
    ops: int

    @property
    def longest(self) -> int:
        """Steps that a schedule may have."""
        return _MOST_RUNS * self.ops + 1024


@dataclass(frozen=True)
class AnnealOptions:
    """Tricks, limits and scales of ``anneal``.

    ``repeats``: ops may run again; else only the order changes. ``adaptive_weight``: let the weight of bytes over
    the budget follow how often the search is within it. ``guided``: run an op again right before a far read, across
    a step over the budget; ``chains``: with it what it reads and is no longer held. ``block_moves``: a run may push
    the neighbour that holds it back. ``exchange``: drop one repeat and add another in one move.
    ``hot``, ``cold``: first and last temperature, and ``weight``: of one budget's bytes over the budget for one
    step, all as parts of the summed cost. ``target``: end within the budget at this cost.
    """

    moves: int
    seed: int = 0
    repeats: bool = True
    adaptive_weight: bool = True
    guided: bool = True
    chains: bool = True
    block_moves: bool = True
    exchange: bool = True
    hot: float = 0.01
    cold: float = 0.00001
    weight: float = 0.1
    target: float = 0.0


def packed_remat(graph: Graph) -> PackedRemat | None:
    """The problem of ``graph``, or None where sums of bytes could pass 2^46 or there is no op. O(edges)."""
    total = sum(tensor.nbytes for tensor in graph.tensors) + sum(op.workspace for op in graph.ops)
    if total > MAX_TOTAL_NBYTES or not graph.ops:
        return None
    used = {*(t for row in (*graph.reads, *graph.writes) for t in row), *graph.returned}
    number = {tensor: index for index, tensor in enumerate(sorted(used))}
    orphans = sum(
        t.nbytes for i, t in enumerate(graph.tensors) if t.kind != "activation" and graph.planned[i] and i not in used
    )
    rows = (
        graph.predecessors,
        [[number[t] for t in row] for row in graph.reads],
        [[number[t] for t in row] for row in graph.writes],
        [_pairs(graph, op, number) for op in range(len(graph.ops))],
    )
    index = [len(graph.ops), len(number), *(item for table in rows for item in _packed(table))]
    index += [graph.producer[t] for t in number]
    index += [t in graph.returned for t in number]
    index += [op.recomputable for op in graph.ops]
    sizes = [orphans, *(graph.tensors[t].nbytes for t in number), *(op.workspace for op in graph.ops)]
    costs = np.array([op.cost for op in graph.ops], np.float64)
    return PackedRemat(np.array(index, np.int32), np.array(sizes, np.int64), costs, len(graph.ops))


def _packed(rows: Sequence[Sequence[int]]) -> list[int]:
    """Where each row starts, then the items of all."""
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row))
    return [*starts, *(item for row in rows for item in row)]


def _pairs(graph: Graph, op: int, number: dict[int, int]) -> list[int]:
    roots = dict.fromkeys((graph.root[source], target) for source, target in graph.ops[op].inplace)
    return [
        number[t]
        for source, target in roots
        if graph.planned[source] and graph.planned[target]
        for t in (source, target)
    ]


def schedule_vector(schedule: Sequence[int] | np.ndarray) -> np.ndarray:
    """``schedule`` as the vector that the searches take."""
    return np.require(schedule, np.int32, ["C", "W"])


def profile(problem: PackedRemat, schedule: Sequence[int]) -> np.ndarray:
    """Bytes held at each step of a valid ``schedule``."""
    held = np.zeros(len(schedule), np.int64)
    library().remat_profile(problem.index, problem.bytes, problem.costs, schedule_vector(schedule), held)
    return held


@dataclass(frozen=True)
class Walk:
    """Where random moves led, with the figures that were kept up to date move by move."""

    schedule: tuple[int, ...]
    held: tuple[int, ...]
    cost: float
    steps_over: int
    nbytes_over: int


def walk(problem: PackedRemat, schedule: Sequence[int], budget_nbytes: int, moves: int, seed: int) -> Walk:
    """Make random moves from ``schedule``, keeping about half, whatever they do to its cost and memory."""
    out, held, totals = np.zeros(problem.longest, np.int32), np.zeros(problem.longest, np.int64), np.zeros(3)
    packed = problem.index, problem.bytes, problem.costs
    start, budget = schedule_vector(schedule), min(budget_nbytes, MAX_TOTAL_NBYTES)
    steps = library().remat_walk(*packed, start, budget, moves, seed, out, held, totals)
    figures = float(totals[0]), int(totals[1]), int(totals[2])
    return Walk(tuple(out[:steps].tolist()), tuple(held[:steps].tolist()), *figures)


def anneal(
    problem: PackedRemat,
    schedule: Sequence[int],
    budget_nbytes: int,
    options: AnnealOptions,
    seconds: float,
    flag: np.ndarray,
) -> tuple[tuple[int, ...], int]:
    """(schedule, moves tried): the cheapest within the budget that annealing has seen, else the one of least peak."""
    tricks = options.guided, options.chains, options.block_moves, options.exchange
    numbers = np.array([options.repeats, options.adaptive_weight, *tricks, options.moves, options.seed], np.int64)
    scales = np.array([options.hot, options.cold, options.weight, options.target], np.float64)
    out, made = np.zeros(problem.longest, np.int32), np.zeros(1, np.int64)
    packed = problem.index, problem.bytes, problem.costs
    start, budget = schedule_vector(schedule), min(budget_nbytes, MAX_TOTAL_NBYTES)
    steps = library().remat_anneal(*packed, start, budget, numbers, scales, seconds, flag, out, made)
    return tuple(out[:steps].tolist()), int(made[0])
