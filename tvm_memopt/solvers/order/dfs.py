"""Depth-first order: continue with the consumers of the latest op."""

from __future__ import annotations

from tvm_memopt.graph import Graph


def dfs(graph: Graph) -> tuple[int, ...]:
    """Topological order from a stack of ready ops: the op that became ready last runs next. O(edges)."""
    waiting = [len(before) for before in graph.predecessors]
    stack = [op for op in reversed(range(len(waiting))) if waiting[op] == 0]
    order: list[int] = []
    while stack:
        op = stack.pop()
        order.append(op)
        for successor in reversed(graph.successors[op]):
            waiting[successor] -= 1
            if waiting[successor] == 0:
                stack.append(successor)
    return tuple(order)
