"""Memory schedulers of other compilers, reimplemented from their published rules for graphs of this package.

XLA (hlo_memory_scheduler.cc): list scheduling, depth-first search and post-order, of which XLA takes the best. The two
traversals depend on the operand order of the front end, so the real compiler's results may differ slightly.
PyTorch Inductor (torch/_inductor/memory.py): least peak memory first. ONNX Runtime (graph.cc): its default order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.order import LiveState

Order = tuple[int, ...]


def xla_list(graph: Graph) -> Order:
    """The ready op that frees most bytes over those it defines; ties: more users, then program order."""

    def priority(op: int, delta: int, _: int) -> tuple[int, ...]:
        return delta, -len(graph.successors[op]), op

    return _list_schedule(graph, priority)


def inductor_lpmf(graph: Graph) -> Order:
    """The ready op after which the peak so far is least; ties: least net bytes, then program order."""
    state, order = LiveState(graph), []
    waiting = [len(before) for before in graph.predecessors]
    ready = [op for op, count in enumerate(waiting) if not count]
    peak = 0
    while ready:
        effects = {op: state.effect(op) for op in ready}
        live = state.live
        op = min(ready, key=lambda o: (max(peak, live + effects[o][0]), effects[o][1], o))
        peak = max(peak, state.run(op))
        order.append(op)
        ready.remove(op)
        ready += _released(graph, waiting, op)
    return tuple(order)


def xla_dfs(graph: Graph) -> Order:
    """Operands first, those with most further users below them first; ties: more bytes below them."""
    extra_users, sizes = _below(graph)
    return _post_order(
        graph, lambda ops: sorted(ops, key=lambda op: (-extra_users[op], -sizes[op], graph.ops[op].name))
    )


def xla_post_order(graph: Graph) -> Order:
    """Operands first, in the order in which they are named."""
    return _post_order(graph, lambda ops: ops)


def onnx_runtime(graph: Graph) -> Order:
    """Operands first, the last named one first."""
    return _post_order(graph, reversed)


def _list_schedule(graph: Graph, priority: Callable[[int, int, int], tuple[int, ...]]) -> Order:
    state, order = LiveState(graph), []
    waiting = [len(before) for before in graph.predecessors]
    current: dict[int, tuple[int, ...]] = {}
    heap: list[tuple[tuple[int, ...], int]] = []

    def push(op: int) -> None:
        extra, delta = state.effect(op)
        current[op] = priority(op, delta, extra)
        heapq.heappush(heap, (current[op], op))

    for op in (op for op, count in enumerate(waiting) if not count):
        push(op)
    while heap:
        key, op = heapq.heappop(heap)
        if current.get(op) != key:
            continue
        del current[op]
        state.run(op)
        order.append(op)
        changed = {reader for tensor in graph.reads[op] for reader in graph.readers[tensor] if reader in current}
        for other in (*changed, *_released(graph, waiting, op)):
            push(other)
    return tuple(order)


def _released(graph: Graph, waiting: list[int], op: int) -> list[int]:
    released = []
    for successor in graph.successors[op]:
        waiting[successor] -= 1
        if not waiting[successor]:
            released.append(successor)
    return released


def _below(graph: Graph) -> tuple[list[int], list[int]]:
    """Per op: users beyond the first, and bytes, summed over the op and (once for each path) all before it."""
    extra_users, sizes = [0] * len(graph.ops), [0] * len(graph.ops)
    for op, before in enumerate(graph.predecessors):
        extra_users[op] = max(0, len(graph.successors[op]) - 1) + sum(extra_users[p] for p in before)
        extra_users[op] = min(extra_users[op], len(graph.ops))
        sizes[op] = sum(graph.tensors[t].nbytes for t in graph.writes[op]) + sum(sizes[p] for p in before)
    return extra_users, sizes


def _post_order(graph: Graph, ranked: Callable[[Sequence[int]], Iterable[int]]) -> Order:
    """Depth first from the sinks, each op after what it reads."""
    order: list[int] = []
    seen = [False] * len(graph.ops)
    for sink in (op for op, after in enumerate(graph.successors) if not after):
        stack = [(sink, False)]
        while stack:
            op, expanded = stack.pop()
            if expanded:
                order.append(op)
            elif not seen[op]:
                seen[op] = True
                stack.append((op, True))
                stack += [(p, False) for p in reversed(list(ranked(graph.predecessors[op]))) if not seen[p]]
    return tuple(order)
