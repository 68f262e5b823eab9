"""Parameters of a call that may share memory, and that do under a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tvm.ir import Var

from tvm_memopt.graph import Allocation, Graph, Op, Plan, align_up
from tvm_memopt.graph.model import Inplace
from tvm_memopt.graph.sharing import common_nbytes
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.program import Operation
from tvm_memopt.passes.tir.workspace import Kernel

Pair = tuple[int, int] | tuple[int, int, int]
"""Positions (input, output) of parameters at one address, or with the bytes by which the input begins above."""
Pairs = tuple[Pair, ...]
_LEAST_SHARE = 16  # pairs that save less than this fraction of the smaller tensor are left out


def inplace_pairs(extraction: Extraction, plan: Plan) -> tuple[Pairs, ...]:
    """For each step, the parameters that ``plan`` lets overlap.

    O(steps + allocations).
    """
    born: dict[int, dict[int, Allocation]] = {}
    dying: dict[int, dict[int, Allocation]] = {}
    for allocation in plan.allocations:
        if allocation.tensor is not None:
            born.setdefault(allocation.first, {})[allocation.tensor] = allocation
            if allocation.first < allocation.last:
                dying.setdefault(allocation.last, {})[allocation.tensor] = allocation
    return tuple(
        _pairs_of_op(extraction, op_id, born.get(step, {}), dying.get(step, {}))
        for step, op_id in enumerate(plan.schedule)
    )


def _pairs_of_op(
    extraction: Extraction, op_id: int, born: Mapping[int, Allocation], dying: Mapping[int, Allocation]
) -> Pairs:
    graph, pairs = extraction.graph, dict[tuple[int, int], Pair]()
    op, operation = graph.ops[op_id], extraction.operations[op_id]
    if operation.kind != "kernel":  # an If with planned branches places its results itself
        return ()
    for source, target, *distance in op.inplace:
        old, new = dying.get(graph.root[source]), born.get(target)
        if old is None or new is None or not _overlap(old, new):
            continue
        positions = _position(extraction, operation, source), _position(extraction, operation, target)
        if not distance:
            pairs[positions] = positions
        elif positions not in pairs:
            pairs[positions] = (*positions, old.offset - new.offset)
    return tuple(sorted(pairs.values()))


def _overlap(old: Allocation, new: Allocation) -> bool:
    return min(old.end, new.end) > max(old.offset, new.offset)


def _position(extraction: Extraction, operation: Operation, tensor: int) -> int:
    variable = extraction.variable_of[tensor]
    return next(i for i, a in enumerate(operation.arguments) if isinstance(a, Var) and a.same_as(variable))


def called_kernels(extraction: Extraction) -> frozenset[str]:
    """Names of the kernels that the function calls."""
    return frozenset(operation.callee for operation in extraction.operations if operation.callee is not None)


def with_overlaps(extraction: Extraction, names: Iterable[str]) -> Extraction:
    """``extraction`` with the overlaps that calls of the kernels in ``names`` allow."""
    chosen, graph = frozenset(names), extraction.graph
    ops = list(graph.ops)
    for op_id, operation in enumerate(extraction.operations):
        kernel = extraction.kernels.get(operation.callee or "")
        if operation.kind == "kernel" and operation.callee in chosen and kernel and ops[op_id].recomputable:
            found = _pairs(extraction, ops[op_id], operation, kernel)
            ops[op_id] = replace(ops[op_id], inplace=(*ops[op_id].inplace, *found))
    return replace(extraction, graph=replace(graph, ops=tuple(ops)), overlapping=chosen)


def _pairs(extraction: Extraction, op: Op, operation: Operation, kernel: Kernel) -> list[Inplace]:
    """Pairs at a distance. As for pairs at one address, the input is passed once and covers its buffer."""
    graph, found = extraction.graph, list[Inplace]()
    tensors = [extraction.tensor_of.get(a) if isinstance(a, Var) else None for a in operation.arguments]
    roots = [None if t is None else graph.root[t] for t in tensors]
    for (source, target), distance in kernel.overlaps.items():
        if max(source, target) >= len(tensors):
            continue
        one, other, root = tensors[source], tensors[target], roots[source]
        if one is None or other is None or root is None or other not in op.outputs or (one, other) in op.inplace:
            continue
        whole = graph.tensors[one].nbytes == graph.tensors[root].nbytes
        if whole and roots.count(root) == 1 and graph.planned[root] and graph.planned[other]:
            found += [(one, other, distance)] if _saves(graph, root, other, distance) else []
    return found


def _saves(graph: Graph, source: int, target: int, distance: int) -> bool:
    sizes = graph.tensors[source].nbytes, graph.tensors[target].nbytes
    return common_nbytes(*sizes, align_up(distance, graph.alignment)) * _LEAST_SHARE >= max(1, min(sizes))
