"""Kahn's algorithm: breadth-first, ops run in the order in which they become ready."""

from __future__ import annotations

from collections import deque

from tvm_memopt.graph import Graph


def kahn(graph: Graph) -> tuple[int, ...]:
    """Topological order from a first-in, first-out queue of ready ops (Kahn 1962). O(edges)."""
    waiting = [len(before) for before in graph.predecessors]
    ready = deque(op for op, count in enumerate(waiting) if count == 0)
    order: list[int] = []
    while ready:
        op = ready.popleft()
        order.append(op)
        for successor in graph.successors[op]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(successor)
    return tuple(order)
