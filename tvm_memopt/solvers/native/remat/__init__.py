"""The native rematerialisation search. Schedules with repeats are int32 vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import library

MAX_TOTAL_NBYTES = 2**46  # limit for exact sums of live bytes in doubles
_MOST_RUNS = 8  # per op on average: limits the length of schedules


@dataclass(frozen=True)
class PackedRemat:
    """``index``, ``bytes`` and ``costs`` in the layout of RematProblem in native/remat/problem.h."""

    index: np.ndarray
    bytes: np.ndarray
    costs: np.ndarray
    ops: int

    @property
    def longest(self) -> int:
        """Most steps that a schedule may have."""
        return _MOST_RUNS * self.ops + 1024


@dataclass(frozen=True)
class AnnealOptions:
    """Techniques, limits and scales of ``anneal``.

    ``repeats``: whether ops may run again; otherwise only the order changes.
    ``adaptive_weight``: adapt the weight of bytes over the budget to how often the search is within it.
    ``guided``: recompute an op right before a far read, across a step over the budget.
    ``chains``: with it, also recompute its inputs that are no longer live.
    ``block_moves``: let a run push the neighbour that blocks it.
    ``exchange``: drop one repeat and add another in one move.
    ``hot``, ``cold``: first and last temperature, as fractions of the total cost.
    ``weight``: of one budget's worth of bytes over the budget for one step, as a fraction of the total cost.
    ``target``: stop within the budget at this cost.
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
    """The problem of ``graph``, or None if sums of bytes could exceed 2^46 or there is no op. O(edges)."""
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
    sizes += [pair.weight for row in graph.sharing for pair in row]
    costs = np.array([op.cost for op in graph.ops], np.float64)
    return PackedRemat(np.array(index, np.int32), np.array(sizes, np.int64), costs, len(graph.ops))


def _packed(rows: Sequence[Sequence[int]]) -> list[int]:
    """The start of each row, then the items of all rows."""
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row))
    return [*starts, *(item for row in rows for item in row)]


def _pairs(graph: Graph, op: int, number: dict[int, int]) -> list[int]:
    return [number[t] for pair in graph.sharing[op] for t in (pair.source, pair.target)]


def schedule_vector(schedule: Sequence[int] | np.ndarray) -> np.ndarray:
    """``schedule`` as the int32 vector that the searches take."""
    return np.require(schedule, np.int32, ["C", "W"])


def profile(problem: PackedRemat, schedule: Sequence[int]) -> np.ndarray:
    """Live bytes at each step of a valid ``schedule``."""
    held = np.zeros(len(schedule), np.int64)
    library().remat_profile(problem.index, problem.bytes, problem.costs, schedule_vector(schedule), held)
    return held


@dataclass(frozen=True)
class Walk:
    """The result of random moves, with the figures as updated incrementally."""

    schedule: tuple[int, ...]
    held: tuple[int, ...]
    cost: float
    steps_over: int
    nbytes_over: int


def walk(problem: PackedRemat, schedule: Sequence[int], budget_nbytes: int, moves: int, seed: int) -> Walk:
    """Make random moves from ``schedule``, keeping about half of them whatever their effect on cost and memory."""
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
    """Return (schedule, moves tried): the cheapest found within the budget, else the one with the lowest peak."""
    tricks = options.guided, options.chains, options.block_moves, options.exchange
    numbers = np.array([options.repeats, options.adaptive_weight, *tricks, options.moves, options.seed], np.int64)
    scales = np.array([options.hot, options.cold, options.weight, options.target], np.float64)
    out, made = np.zeros(problem.longest, np.int32), np.zeros(1, np.int64)
    packed = problem.index, problem.bytes, problem.costs
    start, budget = schedule_vector(schedule), min(budget_nbytes, MAX_TOTAL_NBYTES)
    steps = library().remat_anneal(*packed, start, budget, numbers, scales, seconds, flag, out, made)
    return tuple(out[:steps].tolist()), int(made[0])
