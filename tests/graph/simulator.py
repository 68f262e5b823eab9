"""Runs a plan on a byte array with fake kernels: the meaning of a valid plan, apart from its rules.

Each byte holds the id of the tensor last written there. A kernel scribbles over its workspace and
writes its outputs while it reads, unless an in-place pair shares the very offset.
"""

from __future__ import annotations

from tests.graph.simple_planner import storage
from tvm_memopt.graph import Allocation, Graph, Plan

SCRATCH = -2


def runs_correctly(graph: Graph, plan: Plan) -> bool:
    """Whether every read, and the caller at the end, finds the bytes that were produced."""
    memory = [-1] * max((a.end for a in plan.allocations), default=0)
    place: dict[int, Allocation] = {}
    known = {t for t, tensor in enumerate(graph.tensors) if tensor.kind != "activation"}
    for a in plan.allocations:
        if a.tensor in known and a.first == 0:
            place[a.tensor] = a
            _write(memory, a, a.tensor)
    for step, op_id in enumerate(plan.schedule):
        op = graph.ops[op_id]
        if not known.issuperset(op.inputs):
            return False
        needed = {b for t in op.inputs if (b := storage(graph, t)) is not None}
        if not place.keys() >= needed:
            return False
        sources = {b: place[b] for b in needed}
        born = {a.tensor: a for a in plan.allocations if a.first == step and a.tensor in op.outputs}
        late = {
            t for s, t in op.inplace
            if t in born and (b := storage(graph, s)) in sources and born[t].offset == sources[b].offset
        }  # fmt: skip
        for tensor, a in born.items():
            if tensor not in late:
                _write(memory, a, tensor)
        for a in plan.allocations:
            if a.tensor is None and a.first == step:
                _write(memory, a, SCRATCH)
        if not all(_holds(memory, a, b) for b, a in sources.items()):
            return False
        for tensor in late:
            _write(memory, born[tensor], tensor)
        if not all(_holds(memory, a, tensor) for tensor, a in born.items()):
            return False
        place |= born
        known.update(op.outputs)
    returned = {b for t in graph.outputs if (b := storage(graph, t)) is not None}
    return not plan.schedule or all(b in place and _holds(memory, place[b], b) for b in returned)


def _write(memory: list[int], a: Allocation, value: int) -> None:
    memory[a.offset : a.end] = [value] * a.nbytes


def _holds(memory: list[int], a: Allocation, value: int) -> bool:
    return all(byte == value for byte in memory[a.offset : a.end])
