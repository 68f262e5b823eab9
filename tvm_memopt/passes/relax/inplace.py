"""Parameters of a call that share memory under a plan."""

from __future__ import annotations

from tvm.ir import Var

from tvm_memopt.graph import Plan
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.program import Operation

Pairs = tuple[tuple[int, int], ...]


def shared_parameters(extraction: Extraction, plan: Plan, step: int) -> Pairs:
    """Pairs (input, output) of parameter positions that ``plan`` puts at the same offset at ``step``."""
    graph, op_id = extraction.graph, plan.schedule[step]
    op, operation = graph.ops[op_id], extraction.operations[op_id]
    if not op.inplace:
        return ()
    born = {a.tensor: a for a in plan.allocations if a.first == step and a.tensor is not None}
    dying = {a.tensor: a for a in plan.allocations if a.last == step and a.first < step}
    pairs = []
    for source, target in op.inplace:
        old, new = dying.get(graph.root[source]), born.get(target)
        if old is not None and new is not None and old.offset == new.offset and old.nbytes and new.nbytes:
            pairs.append((_position(extraction, operation, source), _position(extraction, operation, target)))
    return tuple(sorted(pairs))


def _position(extraction: Extraction, operation: Operation, tensor: int) -> int:
    variable = extraction.variable_of[tensor]
    return next(i for i, a in enumerate(operation.arguments) if isinstance(a, Var) and a.same_as(variable))
