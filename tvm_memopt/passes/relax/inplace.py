"""Parameters of a call that share memory under a plan."""

from __future__ import annotations

from collections.abc import Mapping

from tvm.ir import Var

from tvm_memopt.graph import Allocation, Plan
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.program import Operation

Pairs = tuple[tuple[int, int], ...]


def inplace_pairs(extraction: Extraction, plan: Plan) -> tuple[Pairs, ...]:
    """For each step, pairs (input, output) of parameter positions that ``plan`` puts at the same offset.

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
    graph, pairs = extraction.graph, []
    op, operation = graph.ops[op_id], extraction.operations[op_id]
    if operation.kind != "kernel":  # an If with planned branches places its results itself
        return ()
    for source, target in op.inplace:
        old, new = dying.get(graph.root[source]), born.get(target)
        if old is not None and new is not None and old.offset == new.offset and old.nbytes and new.nbytes:
            pairs.append((_position(extraction, operation, source), _position(extraction, operation, target)))
    return tuple(sorted(pairs))


def _position(extraction: Extraction, operation: Operation, tensor: int) -> int:
    variable = extraction.variable_of[tensor]
    return next(i for i, a in enumerate(operation.arguments) if isinstance(a, Var) and a.same_as(variable))
