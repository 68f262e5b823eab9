"""IR → Graph: extract the planner's graph from a lowered Relax function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from tvm import relax
from tvm.ir import Var

from tvm_memopt.graph import Graph, Op, Tensor
from tvm_memopt.graph.model import TensorKind
from tvm_memopt.passes.relax.extract_branches import add_branch_results, branch_pairs
from tvm_memopt.passes.relax.graph_builder import Branches, GraphBuilder
from tvm_memopt.passes.relax.program import (
    Operation,
    Program,
    escaping_variables,
    leaves,
    symbolic_variables,
)
from tvm_memopt.passes.relax.sizes import type_nbytes
from tvm_memopt.passes.tir.workspace import Kernel

ARENA_ALIGNMENT = 64  # TVM's CPU allocation alignment, which views of the arena must keep


@dataclass(frozen=True)
class Extraction:
    """A graph, and the mapping from its ids to the IR.

    ``operations[op id]``: the operations. ``tensor_of`` (variable → tensor id) and ``variable_of`` (tensor id →
    variable): allocated and view variables. ``notes``: what is not planned, and why. ``branches``: by op id, the
    planned branches of an If. ``branch_nbytes``: by op id, the workspace of an If. ``fields``: for an If that returns a
    tuple, the tensors of its result by variable and position. ``placeable``: tensors that a plan can place, including
    returned ones. ``touches_outside``: whether the function may overwrite or retain memory passed in from outside.
    ``io_in_arena``: ``"inputs"`` and ``"outputs"`` if the arena holds them. ``overlapping``: kernels whose outputs may
    overlap inputs at a distance.
    """

    graph: Graph
    program: Program
    kernels: Mapping[str, Kernel]
    tensor_of: Mapping[Var, int]
    variable_of: Mapping[int, Var]
    notes: tuple[str, ...] = ()
    branches: Branches = field(default_factory=dict)
    branch_nbytes: Mapping[int, int] = field(default_factory=dict)
    fields: Mapping[tuple[Var, int], int] = field(default_factory=dict)
    placeable: frozenset[int] = frozenset()
    touches_outside: bool = False
    io_in_arena: frozenset[str] = frozenset()
    overlapping: frozenset[str] = frozenset()

    @property
    def operations(self) -> list[Operation]:
        """The operation of each op id."""
        return self.program.operations

    @cached_property
    def view_operations(self) -> dict[Var, Operation]:
        """The operation that creates each view."""
        return {operation.result: operation for operation in self.operations if operation.kind == "view"}


def extract_program(
    program: Program,
    kernels: Mapping[str, Kernel],
    costs: Mapping[str, float],
    *,
    inplace: bool = True,
    branches: Branches | None = None,
    branch_nbytes: Mapping[int, int] | None = None,
    io_in_arena: frozenset[str] = frozenset(),
) -> Extraction:
    """Extract the graph of ``program``.

    ``kernels``: workspaces and in-place pairs. ``costs``: seconds by kernel name. ``branches``: the planned branches of
    each If; others stay unchanged. ``branch_nbytes``: by op id, the workspace of an If where it differs from the larger
    arena of its branches. ``io_in_arena``: ``"inputs"`` and ``"outputs"`` to place them in the arena too.
    """
    planned = branches or {}
    needed = {op_id: max(plan.plan.arena_nbytes for plan in plans) for op_id, plans in planned.items()}
    given = {op_id: max(nbytes, needed[op_id]) for op_id, nbytes in (branch_nbytes or {}).items()}
    builder = GraphBuilder(program, kernels, costs, inplace, planned, {**needed, **given})
    _add_inputs(builder, "inputs" in io_in_arena)
    for index, operation in enumerate(program.operations):
        _add_operation(builder, index, operation)
    outputs = builder.tensors_of(program.result)
    placeable = {i for i, t in enumerate(builder.tensors) if t.arena and t.alias_of is None} - builder.pinned
    _pin_outside(builder, outputs, placeable, io_in_arena)
    graph = _finish(builder, tuple(dict.fromkeys(outputs)))
    variables = {t: v for v, t in builder.tensor_of.items() if isinstance(v, Var)}
    tensor_of = {v: t for t, v in variables.items()}
    return Extraction(
        graph,
        program,
        kernels,
        tensor_of,
        variables,
        tuple(dict.fromkeys(builder.notes)),
        planned,
        builder.branch_nbytes,
        builder.fields,
        frozenset(placeable),
        any(t not in builder.buffers and t < len(program.parameters) for t in builder.seen | builder.mutated),
        io_in_arena,
    )


def _pin_outside(builder: GraphBuilder, outputs: list[int], placeable: set[int], io_in_arena: frozenset[str]) -> None:
    """Keep out of the arena what the caller receives, and what it may see being overwritten or retained."""
    returned = set(builder.closure(outputs))
    outside = {builder.root(tensor) for tensor in builder.seen | builder.mutated}
    if "outputs" in io_in_arena:
        returned -= placeable - outside
    builder.pinned |= returned | {t for t in outside if builder.tensors[t].kind == "input"}


def _add_inputs(builder: GraphBuilder, in_arena: bool) -> None:
    for position, parameter in enumerate(builder.program.parameters):
        nbytes = type_nbytes(parameter.ty, builder.program.bounds)
        kind: TensorKind = "input" if position < builder.program.input_count else "weight"
        placed = in_arena and kind == "input" and isinstance(parameter.ty, relax.TensorType) and bool(nbytes)
        placed = placed and not symbolic_variables(parameter.ty)
        builder.add(parameter, Tensor(parameter.name, nbytes or 0, kind, arena=placed))
        if in_arena and kind == "input" and not placed:
            builder.notes.append(f"input {parameter.name} is not in the arena: its size is not fixed")
        if nbytes is None:
            builder.notes.append(f"input {parameter.name} has a size that is known only at run time")


def _add_operation(builder: GraphBuilder, index: int, operation: Operation) -> None:
    if operation.kind == "view":
        _add_view(builder, index, operation)
        _order_after_matches(builder, index, operation)
        return
    if operation.kind == "match":
        _add_match(builder, index, operation)
        return
    arguments = operation.arguments or [operation.value]
    per_argument = [builder.tensors_of(a) for a in arguments]
    read, written = _split_arguments(builder, operation, per_argument)
    kernel = builder.kernels.get(operation.callee or "")
    result = _add_result(builder, index, operation, read)
    outputs = [*written, *result]
    builder.ops.append(
        Op(
            operation.name,
            tuple(dict.fromkeys(builder.closure(read))),
            tuple(dict.fromkeys(outputs)),
            builder.costs.get(operation.callee or "", 0.0),
            kernel.workspace_nbytes if kernel else builder.branch_nbytes.get(index, 0),
            recomputable=operation.kind == "kernel",
            inplace=_all_inplace_pairs(builder, index, operation, kernel, per_argument),
        )
    )
    _name_after(builder, operation, written)
    builder.produced.update(outputs)
    _order_after(builder, index, operation, builder.closure(read), written)
    _order_after_matches(builder, index, operation)


def _name_after(builder: GraphBuilder, operation: Operation, written: list[int]) -> None:
    """Name buffers after the operation that fills them. The lowered program calls them alloc, alloc1, ..."""
    for position, tensor in enumerate(written):
        suffix = f".{position}" if len(written) > 1 else ""
        builder.tensors[tensor] = replace(builder.tensors[tensor], name=operation.name + suffix)


def _add_view(builder: GraphBuilder, index: int, operation: Operation) -> None:
    base = builder.tensors_of(operation.value.args[0])
    nbytes = type_nbytes(operation.result.ty, builder.program.bounds)
    if len(base) != 1:
        raise ValueError(f"view {operation.result.name} of {len(base)} tensors")
    source = builder.tensors[base[0]]
    view = Tensor(operation.result.name, nbytes or source.nbytes, arena=source.arena, alias_of=base[0])
    tensor = builder.add(operation.result, view, (base[0],))
    builder.ops.append(Op(operation.name, (base[0],), (tensor,)))
    builder.produced.add(tensor)
    for used in builder.closure(base):
        builder.touching.setdefault(used, []).append(index)


def _add_match(builder: GraphBuilder, index: int, operation: Operation) -> None:
    """Add a match_cast. Its result aliases the matched value, and it defines symbolic variables."""
    base = builder.tensors_of(operation.value)
    nbytes = type_nbytes(operation.matched, builder.program.bounds)
    source = builder.tensors[base[0]] if len(base) == 1 else None
    result = Tensor(operation.result.name, nbytes or 0, arena=False)
    if source is not None:
        result = replace(result, nbytes=nbytes or source.nbytes, arena=source.arena, alias_of=base[0])
    tensor = builder.add(operation.result, result, tuple(base))
    builder.ops.append(Op(operation.name, tuple(builder.closure(base)), (tensor,), recomputable=False))
    builder.produced.add(tensor)
    builder.matched.update(builder.closure(base))
    for used in builder.closure(base):
        builder.touching.setdefault(used, []).append(index)
    _order_after_matches(builder, index, operation)
    for variable in symbolic_variables(operation.matched):
        builder.defined.setdefault(variable, index)


def _order_after_matches(builder: GraphBuilder, index: int, operation: Operation) -> None:
    """Order an operation after the match_casts that define its symbolic variables."""
    if not builder.defined:
        return
    buffers = builder.program.buffers
    used = [operation.value, *(buffers[v] for v in _variables_of(operation) if v in buffers)]
    if operation.matched is not None:
        used.append(operation.matched)
    for variable in (v for node in used for v in symbolic_variables(node)):
        if variable in builder.defined:
            builder.order.add((builder.defined[variable], index))


def _variables_of(operation: Operation) -> list[Var]:
    arguments = operation.arguments or [operation.value]
    return [leaf for argument in arguments for leaf in leaves(argument) if isinstance(leaf, Var)]


def _split_arguments(
    builder: GraphBuilder, operation: Operation, per_argument: list[list[int]]
) -> tuple[list[int], list[int]]:
    """(tensors read, buffers written for the first time). Overwritten buffers count as read."""
    named = list(dict.fromkeys(t for tensors in per_argument for t in tensors))
    written = [t for t in named if t in builder.buffers and t not in builder.produced]
    read = [t for t in named if t not in written]
    if operation.kind == "other" and operation.name != "if":  # a branch retains only what it returns
        builder.seen.update(builder.closure(named))
        builder.pinned.update(t for t in builder.closure(named) if builder.tensors[t].kind == "activation")
    return read, written


def _add_result(builder: GraphBuilder, index: int, operation: Operation, read: list[int]) -> list[int]:
    """Add the tensors that a call returns, if any. They may alias what the call read."""
    nbytes = type_nbytes(operation.result.ty, builder.program.bounds)
    if operation.kind == "kernel" or (
        isinstance(operation.result.ty, relax.TupleType) and not operation.result.ty.fields
    ):
        return []
    if index in builder.branches:
        return add_branch_results(builder, index, operation)
    aliases = tuple(builder.closure(_shared_by_result(builder, operation, read)))
    return [builder.add(operation.result, Tensor(operation.result.name, nbytes or 0, arena=False), aliases)]


def _shared_by_result(builder: GraphBuilder, operation: Operation, read: list[int]) -> list[int]:
    """The tensors that the result of a call may alias."""
    if operation.kind != "other":
        return []
    if isinstance(operation.value, relax.If):
        builder.notes.append("the branches of an If keep storage of their own, one for each tensor")
        return [t for v in escaping_variables(operation.value) for t in builder.tensors_of(v)]
    return read


def _all_inplace_pairs(
    builder: GraphBuilder, index: int, operation: Operation, kernel: Kernel | None, per_argument: list[list[int]]
) -> tuple[tuple[int, int], ...]:
    if not builder.inplace:
        return ()
    if index in builder.branches:
        return tuple(branch_pairs(builder, index, operation))
    return _inplace_pairs(builder, kernel, per_argument)


def _inplace_pairs(
    builder: GraphBuilder, kernel: Kernel | None, per_argument: list[list[int]]
) -> tuple[tuple[int, int], ...]:
    """In-place pairs of a call. The input must share no memory with another argument and must cover its buffer."""
    pairs = []
    roots = [{builder.root(t) for t in builder.closure(tensors)} for tensors in per_argument]
    for source, target in kernel.inplace if kernel else ():
        if max(source, target) >= len(per_argument) or len(per_argument[source]) != 1 != len(per_argument[target]):
            continue
        root = builder.root(per_argument[source][0])
        alone = sum(root in r for r in roots) == 1
        whole = builder.tensors[per_argument[source][0]].nbytes == builder.tensors[root].nbytes
        if alone and whole and builder.tensors[root].arena and len(per_argument[target]) == 1:
            pairs.append((per_argument[source][0], per_argument[target][0]))
    return tuple(pairs)


def _order_after(builder: GraphBuilder, index: int, operation: Operation, read: list[int], written: list[int]) -> None:
    """Add order constraints beyond data flow: effects stay in sequence, and reads precede overwrites."""
    if operation.kind == "other":
        if builder.last_effect is not None:
            builder.order.add((builder.last_effect, index))
        builder.last_effect = index
    overwritten = _overwritten(builder, index, operation, read)
    for tensor in overwritten:
        builder.order.update((earlier, index) for earlier in builder.touching.get(tensor, ()))
        builder.mutated.add(tensor)
    for tensor in read:
        if tensor in builder.mutated and tensor not in overwritten:
            builder.order.update((earlier, index) for earlier in builder.touching.get(tensor, ()))
    for tensor in {*read, *written}:
        builder.touching.setdefault(tensor, []).append(index)


def _overwritten(builder: GraphBuilder, index: int, operation: Operation, read: list[int]) -> list[int]:
    """Existing tensors that the call may overwrite. Only a kernel's stores are known exactly."""
    if operation.kind in ("filling", "reading") or index in builder.branches:  # branches overwrite nothing outside
        return []
    if operation.kind == "kernel":
        kernel = builder.kernels[operation.callee or ""]
        arguments = [builder.tensors_of(a) for a in operation.arguments]
        stored = [t for position in kernel.stored_parameters if position < len(arguments) for t in arguments[position]]
        return [t for t in builder.closure(stored) if t in read]
    return [t for t in read if t not in builder.constants]


def _finish(builder: GraphBuilder, outputs: tuple[int, ...]) -> Graph:
    tensors = [replace(t, arena=False) if i in builder.pinned else t for i, t in enumerate(builder.tensors)]
    for index, tensor in enumerate(tensors):
        if tensor.alias_of is not None:
            tensors[index] = replace(tensor, arena=tensors[builder.root(index)].arena)
    ops = list(builder.ops)
    for before, after in _group(builder.order):
        token = len(tensors)
        tensors.append(Tensor(f"order_{before}", 0, arena=False))
        ops[before] = replace(ops[before], outputs=(*ops[before].outputs, token))
        for op_id in after:
            ops[op_id] = replace(ops[op_id], inputs=(*ops[op_id].inputs, token))
    for op_id, op in enumerate(ops):
        if builder.matched.intersection(op.outputs):  # a match_cast names the only instance
            ops[op_id] = replace(op, recomputable=False)
    for mutated in builder.mutated:
        for op_id in builder.touching.get(mutated, ()):
            ops[op_id] = replace(ops[op_id], recomputable=False, inplace=())
    return Graph(builder.program.name, tuple(tensors), tuple(ops), outputs, ARENA_ALIGNMENT)


def _group(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    after: dict[int, list[int]] = {}
    for first, second in sorted(pairs):
        after.setdefault(first, []).append(second)
    return list(after.items())
