"""Depth-first order from the outputs: an op runs once all ops that it reads from have run."""

from __future__ import annotations

from tvm_memopt.graph import Graph


def post_order(graph: Graph, *, last_first: bool) -> tuple[int, ...]:
    """Topological order: post-order of a depth-first search from the sinks along predecessors. O(edges).

    ``last_first``: visit the last predecessor first, as ONNX Runtime does by default.
    """
    order: list[int] = []
    seen = [False] * len(graph.ops)
    for sink in (op for op, after in enumerate(graph.successors) if not after):
        stack = [(sink, False)]
        while stack:
            op, descended = stack.pop()
            if descended:
                order.append(op)
            elif not seen[op]:
                seen[op] = True
                stack.append((op, True))
                before = graph.predecessors[op]
                stack += [(p, False) for p in (before if last_first else reversed(before)) if not seen[p]]
    return tuple(order)
