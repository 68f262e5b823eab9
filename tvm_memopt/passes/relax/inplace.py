"""Parameters of a call that share memory under a plan."""

from __future__ import annotations

from collections.abc import Mapping

from tvm.ir import Var

from tvm_memopt.graph import Allocation, Plan
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.program import Operation

Pair = tuple[int, int] | tuple[int, int, int]
"""Positions (input, output) of parameters at one address, or with the bytes by which the input begins above."""
Pairs = tuple[Pair, ...]


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
