"""Oracles for rematerialisation that share no code with the solvers: every schedule, or every staged one.

A schedule is written out whole and weighed by ``held_at``, which follows the format's words, not
graph.liveness; Dijkstra's search over (ops run, storages held) finds the least cost with any repeats.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, product

from tvm_memopt.graph import Graph, peak_live


def least_cost(graph: Graph, budget: int, copies: int | None = None) -> float | None:
    """The least cost over all schedules within ``budget``, at most ``copies`` runs an op; None: there is none.

    A state is (how often each op ran, storages whose newest bytes are kept). After each step any set of
    storages may be dropped, and a dropped one is only back when its producer runs again.
    """
    sources = frozenset(t for t, x in enumerate(graph.tensors) if x.kind != "activation" and _own(graph, t))
    returned = {_root(graph, t) for t in graph.outputs} & {t for t in range(len(graph.tensors)) if _own(graph, t)}
    count = len(graph.ops)
    begin = ((0,) * count, sources)
    best = {begin: 0.0}
    queue: list[tuple[float, int, tuple[tuple[int, ...], frozenset[int]]]] = [(0.0, 0, begin)]
    ticket = 0
    while queue:
        cost, _, (runs, kept) = heapq.heappop(queue)
        if cost > best[runs, kept]:
            continue
        if all(runs) and returned <= kept:
            return cost
        for op in range(count):
            if not _may_run(graph, op, runs, kept, copies):
                continue
            for after in _kept_sets(graph, op, kept, budget, first=not any(runs), sources=sources):
                more = tuple(min(r + (o == op), copies or 1) for o, r in enumerate(runs))
                state = (more, after)
                total = cost + graph.ops[op].cost
                if total < best.get(state, float("inf")):
                    best[state] = total
                    ticket += 1
                    heapq.heappush(queue, (total, ticket, state))
    return 0.0 if not count else None


def staged_schedules(graph: Graph, order: Sequence[int], copies: int | None, *, epilogue: bool) -> Iterator[list[int]]:
    """Every schedule of MOCCASIN's and Checkmate's space: ahead of each first run, any set of earlier ops once
    each in ``order``; with ``epilogue`` also after the last."""
    stages = [list(order[:s]) for s in range(len(order) + epilogue)]
    for chosen in product(*(_subsets(stage) for stage in stages)):
        schedule = [op for s, again in enumerate(chosen) for op in (*again, *order[s : s + 1])]
        runs = [schedule.count(op) for op in range(len(order))]
        fixed = any(r > 1 and not graph.ops[op].recomputable for op, r in enumerate(runs))
        if not fixed and (copies is None or max(runs, default=0) <= copies):
            yield schedule


def least_staged_cost(
    graph: Graph, budget: int, copies: int | None, *, order: Sequence[int] | None = None, epilogue: bool = True
) -> float | None:
    """The least cost over ``staged_schedules`` within ``budget``; None: there is none."""
    order = range(len(graph.ops)) if order is None else order
    costs = (
        (sum(graph.ops[op].cost for op in schedule), schedule)
        for schedule in staged_schedules(graph, order, copies, epilogue=epilogue)
    )
    for cost, schedule in sorted(costs):
        if peak_live(graph, schedule) <= budget:
            return cost
    return None


def _subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(items, k) for k in range(len(items) + 1)))


def _root(graph: Graph, tensor: int) -> int:
    while (parent := graph.tensors[tensor].alias_of) is not None:
        tensor = parent
    return tensor


def _own(graph: Graph, tensor: int) -> bool:
    return graph.tensors[tensor].arena and graph.tensors[tensor].alias_of is None


def _read(graph: Graph, op: int) -> set[int]:
    return {r for t in graph.ops[op].inputs if _own(graph, r := _root(graph, t))}


def _may_run(graph: Graph, op: int, runs: tuple[int, ...], kept: frozenset[int], copies: int | None) -> bool:
    if runs[op] and (not graph.ops[op].recomputable or (copies is not None and runs[op] >= copies)):
        return False
    return all(runs[p] for p in graph.predecessors[op]) and _read(graph, op) <= kept


def _kept_sets(
    graph: Graph, op: int, kept: frozenset[int], budget: int, *, first: bool, sources: frozenset[int]
) -> Iterator[frozenset[int]]:
    """What may be kept after ``op`` ran: whatever is kept is held in this step, and so is all it touches."""
    writes = {t for t in graph.ops[op].outputs if _own(graph, t)}
    for after in map(frozenset, _subsets(sorted(kept | writes))):
        held = after | writes | _read(graph, op) | (sources if first else frozenset())
        total = sum(graph.tensors[t].nbytes for t in held) + graph.ops[op].workspace
        if total - _shared(graph, op, after) <= budget:
            yield after


def _shared(graph: Graph, op: int, after: frozenset[int]) -> int:
    """The most bytes that in-place pairs of ``op`` save whose inputs are not kept."""
    pairs = {
        (_root(graph, s), t)
        for s, t in graph.ops[op].inplace
        if _own(graph, _root(graph, s)) and _own(graph, t) and _root(graph, s) not in after
    }
    best = 0
    for chosen in _subsets_of_pairs(sorted(pairs)):
        sources, targets = [s for s, _ in chosen], [t for _, t in chosen]
        if len(set(sources)) == len(sources) and len(set(targets)) == len(targets):
            best = max(best, sum(min(graph.tensors[s].nbytes, graph.tensors[t].nbytes) for s, t in chosen))
    return best


def _subsets_of_pairs(pairs: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], ...]]:
    return chain.from_iterable(combinations(pairs, k) for k in range(len(pairs) + 1))
