"""An If with planned branches as one op: the tensors of its result, and its in-place pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tvm import relax
from tvm.ir import Var

from tvm_memopt.graph import Tensor
from tvm_memopt.passes.relax.branch_results import may_overwrite, result_sizes
from tvm_memopt.passes.relax.graph_builder import GraphBuilder
from tvm_memopt.passes.relax.program import Operation, escaping_variables
from tvm_memopt.passes.relax.sizes import type_nbytes


def add_branch_results(builder: GraphBuilder, index: int, operation: Operation) -> list[int]:
    """Add the tensors of an If's result. A tensor gets its own offset only if both branches make it."""
    plans, variable = builder.branches[index], operation.result
    builder.notes += [note for plan in plans for note in plan.extraction.notes]
    sizes = result_sizes(plans)
    shared: list[int] = []
    if not sizes or None in sizes:
        builder.notes.append("a result of an If that not both branches make keeps storage of its own")
        shared = [t for v in escaping_variables(operation.value) for t in builder.tensors_of(v)]
    if not isinstance(variable.ty, relax.TupleType):
        nbytes = sizes[0] if len(sizes) == 1 else None
        result = Tensor(variable.name, nbytes or type_nbytes(variable.ty, builder.program.bounds) or 0)
        return [builder.add(variable, replace(result, arena=nbytes is not None), tuple(builder.closure(shared)))]
    for position, nbytes in enumerate(sizes):
        if nbytes is not None:
            key = (variable, position)
            builder.fields[key] = builder.add(key, Tensor(f"{variable.name}.{position}", nbytes))
    fields = [builder.fields[key] for key in builder.fields if key[0].same_as(variable)]
    whole = Tensor(variable.name, 0, arena=False)
    return [builder.add(variable, whole, (*fields, *builder.closure(shared))), *fields]


def branch_pairs(builder: GraphBuilder, index: int, operation: Operation) -> Iterator[tuple[int, int]]:
    """In-place pairs of an If: inputs whose last read precedes the first write of the result in both branches."""
    variable = operation.result
    results = {i: t for (v, i), t in builder.fields.items() if v.same_as(variable)}
    if not results and variable in builder.tensor_of:
        results = {0: builder.tensor_of[variable]}
    users: dict[int, list[Var]] = {}
    for used in relax.analysis.free_vars(operation.value):
        tensor = builder.tensor_of.get(used)
        for each in builder.closure([] if tensor is None else [tensor]):
            users.setdefault(builder.root(each), []).append(used)
    for source, variables in users.items():
        for position, target in results.items():
            arena = builder.tensors[source].arena and builder.tensors[target].arena
            if arena and may_overwrite(builder.branches[index], position, variables):
                yield source, target
