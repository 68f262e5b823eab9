"""Results of an If: which of them can be placed in the enclosing function's arena."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvm.ir import Var

from tvm_memopt.passes.relax.program import leaves

if TYPE_CHECKING:
    from tvm_memopt.passes.relax.extract import Extraction
    from tvm_memopt.passes.relax.plan_function import FunctionPlan


def result_sizes(branches: tuple[FunctionPlan, FunctionPlan]) -> tuple[int | None, ...]:
    """Bytes of each tensor in an If's result, with tuples flattened. None for a tensor that only one branch, or
    neither, makes itself.

    Empty if the branches do not return the same number of distinguishable tensors.
    """
    first, second = (made_results(plan.extraction) for plan in branches)
    if len(first) != len(second):
        return ()
    sizes = [[_nbytes(plan.extraction, v) for v in made] for plan, made in zip(branches, (first, second), strict=True)]
    return tuple(None if a is None or b is None else max(a, b) for a, b in zip(*sizes, strict=True))


def made_results(branch: Extraction) -> list[Var | None]:
    """By position in the result of ``branch``, the buffer that the branch allocates for it alone, or None."""
    roots = [_root(branch, leaf) for leaf in leaves(branch.program.result)]
    return [branch.variable_of.get(root) if root is not None and roots.count(root) == 1 else None for root in roots]


def may_overwrite(branches: tuple[FunctionPlan, FunctionPlan], position: int, variables: Sequence[Var]) -> bool:
    """Whether the last use of the outer ``variables`` precedes the first write of the result at ``position`` in both
    branches."""
    return all(_is_used_before(plan, position, variables) for plan in branches)


def _is_used_before(branch: FunctionPlan, position: int, variables: Sequence[Var]) -> bool:
    extraction, schedule = branch.extraction, branch.plan.schedule
    made = made_results(extraction)[position]
    if made is None:
        return False
    used = {extraction.tensor_of[v] for v in variables if v in extraction.tensor_of}
    first = schedule.index(extraction.graph.producer[extraction.tensor_of[made]])
    return not any(used.intersection(extraction.graph.ops[op_id].inputs) for op_id in schedule[first:])


def _root(branch: Extraction, leaf: object) -> int | None:
    tensor = branch.tensor_of.get(leaf) if isinstance(leaf, Var) else None
    root = None if tensor is None else branch.graph.root[tensor]
    return root if root in branch.placeable else None


def _nbytes(branch: Extraction, variable: Var | None) -> int | None:
    return None if variable is None else branch.graph.tensors[branch.tensor_of[variable]].nbytes or None
