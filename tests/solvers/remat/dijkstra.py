"""An oracle that shares no code with the solvers or with graph.liveness: the cheapest schedule by Dijkstra."""

from __future__ import annotations

import heapq
from itertools import combinations, count

from tvm_memopt.graph import Graph

State = tuple[frozenset[int], frozenset[int]]  # ops that have run, planned tensors that are held


def least_cost(graph: Graph, budget: int) -> float | None:
    """The least summed cost of a schedule whose every step holds at most ``budget`` bytes; None if there is none.

    A state is what has run and what is held between two steps. A step runs an op whose reads are held, then
    drops any of the tensors that it does not have to keep.
    """
    inputs = frozenset(t for t, x in enumerate(graph.tensors) if x.kind != "activation" and graph.planned[t])
    ticket = count()
    heap: list[tuple[float, int, State]] = [(0.0, next(ticket), (frozenset(), inputs))]
    best: dict[State, float] = {heap[0][2]: 0.0}
    while heap:
        cost, _, state = heapq.heappop(heap)
        if cost > best[state]:
            continue
        done, held = state
        if len(done) == len(graph.ops) and graph.returned <= held:
            return cost
        for op in range(len(graph.ops)):
            for following in _steps(graph, done, held, op, budget):
                total = cost + graph.ops[op].cost
                if total < best.get(following, float("inf")):
                    best[following] = total
                    heapq.heappush(heap, (total, next(ticket), following))
    return None


def _steps(graph: Graph, done: frozenset[int], held: frozenset[int], op: int, budget: int) -> list[State]:
    """Where running ``op`` can lead: every choice of what is kept after it."""
    if op in done and not graph.ops[op].recomputable:
        return []
    reads, writes = set(graph.reads[op]), set(graph.writes[op])
    if not (set(graph.predecessors[op]) <= done and reads <= held):
        return []
    during = (held - writes) | reads | writes  # a new instance takes the place of the one before
    after_done = done | {op}
    found = []
    droppable = sorted(during)
    for size in range(len(droppable) + 1):
        for dropped in combinations(droppable, size):
            kept = during - frozenset(dropped)
            if _bytes(graph, op, during, held, kept) <= budget:
                found.append((frozenset(after_done), frozenset(kept)))
    return found


def _bytes(graph: Graph, op: int, during: set[int] | frozenset[int], held: frozenset[int], kept: frozenset[int]) -> int:
    """Bytes of the step: an input that is dropped after it may lend its bytes to an output."""
    total = sum(graph.tensors[t].nbytes for t in during) + graph.ops[op].workspace
    pairs = {
        (graph.root[source], target)
        for source, target in graph.ops[op].inplace
        if graph.root[source] in held and graph.root[source] not in kept and graph.planned[target]
    }
    return total - max(_saved(graph, chosen) for k in range(len(pairs) + 1) for chosen in combinations(pairs, k))


def _saved(graph: Graph, chosen: tuple[tuple[int, int], ...]) -> int:
    sources, targets = [s for s, _ in chosen], [t for _, t in chosen]
    if len(set(sources)) < len(sources) or len(set(targets)) < len(targets):
        return 0
    return sum(min(graph.tensors[s].nbytes, graph.tensors[t].nbytes) for s, t in chosen)
