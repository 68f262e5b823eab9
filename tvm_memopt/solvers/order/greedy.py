"""Greedy list scheduling by memory: run the ready op that is cheapest now."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.order.live_state import LiveState, memory_tables

_Key = tuple[int, int]


def greedy_peak(graph: Graph) -> tuple[int, ...]:
    """Run the ready op whose step holds the fewest bytes. Ties: smaller net change, then smaller id."""
    return _greedy(graph, lambda extra, delta: (extra, delta))


def greedy_delta(graph: Graph) -> tuple[int, ...]:
    """Run the ready op with the smallest net change of live bytes. Ties: fewer bytes in the step, then smaller id."""
    return _greedy(graph, lambda extra, delta: (delta, extra))


def _greedy(graph: Graph, key: Callable[[int, int], _Key]) -> tuple[int, ...]:
    """List scheduling with a lazy heap. O(edges · log ops).

    All ready ops see the same live bytes, so keys leave them out. A key changes only when an input has one reader left.
    That reader is then pushed again, and its older entry becomes stale.
    """
    tables = memory_tables(graph)
    state = LiveState(graph, tables)
    waiting = [len(before) for before in graph.predecessors]
    reader_sum = [sum(readers) for readers in graph.readers]  # with one reader left, this is its id
    current: dict[int, _Key] = {}
    heap: list[tuple[_Key, int]] = []

    def push(op: int) -> None:
        current[op] = key(*state.effect(op))
        heapq.heappush(heap, (current[op], op))

    for op in (op for op, count in enumerate(waiting) if count == 0):
        push(op)
    order: list[int] = []
    while heap:
        found, op = heapq.heappop(heap)
        if current.get(op) != found:
            continue
        del current[op]
        state.run(op)
        order.append(op)
        changed: set[int] = set()
        for tensor in tables.frees[op]:
            reader_sum[tensor] -= op
            if state.unread[tensor] == 1 and reader_sum[tensor] in current:
                changed.add(reader_sum[tensor])
        for successor in graph.successors[op]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                changed.add(successor)
        for other in sorted(changed):
            push(other)
    return tuple(order)
