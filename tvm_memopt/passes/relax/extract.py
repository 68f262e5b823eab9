"""IR → Graph: what is planned is what runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import tvm
from tvm import relax, tirx

from tvm_memopt.graph import Graph, Op, Tensor
from tvm_memopt.passes.relax.program import (
    Operation,
    Program,
    Var,
    escaping_variables,
    leaves,
    symbolic_variables,
)
from tvm_memopt.passes.relax.sizes import static_nbytes, type_nbytes
from tvm_memopt.passes.tir.workspace import Kernel

ARENA_ALIGNMENT = 64  # TVM's CPU allocation alignment, and what a view of the arena must keep


@dataclass(frozen=True)
class Extraction:
    """A graph and how its ids map back: ``operations[op id]``, ``tensor_of`` and ``variable_of``
    (tensor id → allocated or view variable). ``notes`` say what is not planned and why."""

    graph: Graph
    program: Program
    kernels: Mapping[str, Kernel]
    tensor_of: Mapping[Var, int]
    variable_of: Mapping[int, Var]
    notes: tuple[str, ...] = ()

    @property
    def operations(self) -> list[Operation]:
        """The operation behind each op id."""
        return self.program.operations

    @cached_property
    def view_operations(self) -> dict[Var, Operation]:
        """The operation that makes each view."""
        return {operation.result: operation for operation in self.operations if operation.kind == "view"}


@dataclass
class _Builder:
    program: Program
    kernels: Mapping[str, Kernel]
    costs: Mapping[str, float]
    inplace: bool
    tensors: list[Tensor] = field(default_factory=list)
    tensor_of: dict[object, int] = field(default_factory=dict)
    aliases: dict[int, tuple[int, ...]] = field(default_factory=dict)
    buffers: set[int] = field(default_factory=set)
    produced: set[int] = field(default_factory=set)
    touching: dict[int, list[int]] = field(default_factory=dict)
    mutated: set[int] = field(default_factory=set)
    pinned: set[int] = field(default_factory=set)
    constants: set[int] = field(default_factory=set)
    defined: dict[tirx.Var, int] = field(default_factory=dict)
    matched: set[int] = field(default_factory=set)
    order: set[tuple[int, int]] = field(default_factory=set)
    ops: list[Op] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last_effect: int | None = None

    def add(self, key: object, tensor: Tensor, aliases: tuple[int, ...] = ()) -> int:
        """A new tensor id for ``key``; ``aliases`` are the tensors whose bytes it may also use."""
        self.tensors.append(tensor)
        index = len(self.tensors) - 1
        self.tensor_of[key] = index
        if aliases:
            self.aliases[index] = aliases
        return index

    def tensors_of(self, expr: relax.Expr) -> list[int]:
        """The tensors that an argument names; constants are registered as they are met."""
        found: list[int] = []
        for leaf in leaves(expr):
            if isinstance(leaf, Var) and (tensor := self._variable(leaf)) is not None:
                found.append(tensor)
            elif isinstance(leaf, tvm.ir.GenericConst):
                found.append(self._constant(leaf))
            elif isinstance(leaf, relax.If):
                free = map(self._variable, relax.analysis.free_vars(leaf))
                found += [tensor for tensor in free if tensor is not None]
        return found

    def _variable(self, variable: Var) -> int | None:
        if variable not in self.tensor_of and variable in self.program.buffers:
            self._buffer(variable, self.program.buffers[variable])
        return self.tensor_of.get(variable)

    def _buffer(self, variable: Var, call: relax.Call) -> None:
        nbytes = static_nbytes(call.args[0].values, call.args[1].value, self.program.bounds)
        if nbytes is None:
            self.notes.append(f"tensor {variable.name} has no upper bound on its size: left to TVM's allocator")
        self.buffers.add(self.add(variable, Tensor(variable.name, nbytes or 0, arena=nbytes is not None)))

    def _constant(self, constant: tvm.ir.GenericConst) -> int:
        if constant in self.tensor_of:
            return self.tensor_of[constant]
        nbytes = type_nbytes(constant.ty, {}) or 0
        index = self.add(constant, Tensor(f"const_{len(self.tensors)}", nbytes, "weight", arena=False))
        self.constants.add(index)
        return index

    def closure(self, tensors: Iterable[int]) -> list[int]:
        """``tensors`` with everything whose bytes they may use."""
        found: dict[int, None] = {}
        stack = list(tensors)
        while stack:
            tensor = stack.pop()
            if tensor not in found:
                found[tensor] = None
                stack += self.aliases.get(tensor, ())
        return list(found)


def extract_program(
    program: Program, kernels: Mapping[str, Kernel], costs: Mapping[str, float], *, inplace: bool = True
) -> Extraction:
    """The graph of ``program``; ``kernels`` gives workspaces and in-place pairs, ``costs`` seconds by kernel."""
    builder = _Builder(program, kernels, costs, inplace)
    _add_inputs(builder)
    for index, operation in enumerate(program.operations):
        _add_operation(builder, index, operation)
    outputs = builder.tensors_of(program.result)
    builder.pinned.update(builder.closure(outputs))
    graph = _finish(builder, tuple(dict.fromkeys(outputs)))
    variables = {t: v for v, t in builder.tensor_of.items() if isinstance(v, Var)}
    tensor_of = {v: t for t, v in variables.items()}
    return Extraction(graph, program, kernels, tensor_of, variables, tuple(builder.notes))


def _add_inputs(builder: _Builder) -> None:
    for position, parameter in enumerate(builder.program.parameters):
        nbytes = type_nbytes(parameter.ty, builder.program.bounds)
        kind = "input" if position < builder.program.input_count else "weight"
        builder.add(parameter, Tensor(parameter.name, nbytes or 0, kind, arena=False))
        if nbytes is None:
            builder.notes.append(f"input {parameter.name} has a size that is known only at run time")


def _add_operation(builder: _Builder, index: int, operation: Operation) -> None:
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
    result = _add_result(builder, operation, read)
    outputs = [*written, *result]
    builder.ops.append(
        Op(
            operation.name,
            tuple(dict.fromkeys(builder.closure(read))),
            tuple(dict.fromkeys(outputs)),
            builder.costs.get(operation.callee or "", 0.0),
            kernel.workspace_nbytes if kernel else 0,
            recomputable=operation.kind == "kernel",
            inplace=_inplace_pairs(builder, kernel, per_argument) if builder.inplace else (),
        )
    )
    _name_after(builder, operation, written)
    builder.produced.update(outputs)
    _order_after(builder, index, operation, builder.closure(read), written)
    _order_after_matches(builder, index, operation)


def _name_after(builder: _Builder, operation: Operation, written: list[int]) -> None:
    """Name buffers by what fills them: the lowered program calls them alloc, alloc1, ..."""
    for position, tensor in enumerate(written):
        suffix = f".{position}" if len(written) > 1 else ""
        builder.tensors[tensor] = replace(builder.tensors[tensor], name=operation.name + suffix)


def _add_view(builder: _Builder, index: int, operation: Operation) -> None:
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


def _add_match(builder: _Builder, index: int, operation: Operation) -> None:
    """A match_cast: its result has the bytes of the value that is matched, and it defines symbolic variables."""
    base = builder.tensors_of(operation.value)
    nbytes = type_nbytes(operation.matched, builder.program.bounds)
    source = builder.tensors[base[0]] if len(base) == 1 else None
    result = Tensor(operation.result.name, nbytes or (source.nbytes if source else 0), arena=source is not None)
    if source is not None:
        result = replace(result, arena=source.arena, alias_of=base[0])
    tensor = builder.add(operation.result, result, tuple(base))
    builder.ops.append(Op(operation.name, tuple(builder.closure(base)), (tensor,), recomputable=False))
    builder.produced.add(tensor)
    builder.matched.update(builder.closure(base))
    for used in builder.closure(base):
        builder.touching.setdefault(used, []).append(index)
    _order_after_matches(builder, index, operation)
    for variable in symbolic_variables(operation.matched):
        builder.defined.setdefault(variable, index)


def _order_after_matches(builder: _Builder, index: int, operation: Operation) -> None:
    """An operation runs after the match_cast that defines a symbolic variable which it uses."""
    if not builder.defined:
        return
    buffers = builder.program.buffers
    used = [operation.value, *(buffers[v] for v in leaves_of(operation) if v in buffers)]
    if operation.matched is not None:
        used.append(operation.matched)
    for variable in (v for node in used for v in symbolic_variables(node)):
        if variable in builder.defined:
            builder.order.add((builder.defined[variable], index))


def leaves_of(operation: Operation) -> list[Var]:
    """The variables among the arguments of ``operation``."""
    arguments = operation.arguments or [operation.value]
    return [leaf for argument in arguments for leaf in leaves(argument) if isinstance(leaf, Var)]


def _split_arguments(
    builder: _Builder, operation: Operation, per_argument: list[list[int]]
) -> tuple[list[int], list[int]]:
    """(tensors read, buffers written for the first time); buffers that are overwritten count as read."""
    named = list(dict.fromkeys(t for tensors in per_argument for t in tensors))
    written = [t for t in named if t in builder.buffers and t not in builder.produced]
    read = [t for t in named if t not in written]
    if operation.kind == "other" and operation.name != "if":  # a branch keeps nothing that it does not return
        builder.pinned.update(t for t in builder.closure(named) if t in builder.buffers)
    return read, written


def _add_result(builder: _Builder, operation: Operation, read: list[int]) -> list[int]:
    """The tensor that a call returns, if it returns one: it may share the bytes of what the call read."""
    nbytes = type_nbytes(operation.result.ty, builder.program.bounds)
    if operation.kind == "kernel" or (
        isinstance(operation.result.ty, relax.TupleType) and not operation.result.ty.fields
    ):
        return []
    aliases = tuple(builder.closure(_shared_by_result(builder, operation, read)))
    return [builder.add(operation.result, Tensor(operation.result.name, nbytes or 0, arena=False), aliases)]


def _shared_by_result(builder: _Builder, operation: Operation, read: list[int]) -> list[int]:
    """What the result of a call may use the bytes of."""
    if operation.kind != "other":
        return []
    if isinstance(operation.value, relax.If):
        builder.notes.append("the branches of an If keep storage of their own, one for each tensor")
        return [t for v in escaping_variables(operation.value) for t in builder.tensors_of(v)]
    return read


def _inplace_pairs(
    builder: _Builder, kernel: Kernel | None, per_argument: list[list[int]]
) -> tuple[tuple[int, int], ...]:
    """In-place candidates of a call: the input must be in no other argument's memory, and be all of its own."""
    pairs = []
    roots = [{_root(builder, t) for t in builder.closure(tensors)} for tensors in per_argument]
    for source, target in kernel.inplace if kernel else ():
        if max(source, target) >= len(per_argument) or len(per_argument[source]) != 1 != len(per_argument[target]):
            continue
        root = _root(builder, per_argument[source][0])
        alone = sum(root in r for r in roots) == 1
        whole = builder.tensors[per_argument[source][0]].nbytes == builder.tensors[root].nbytes
        if alone and whole and builder.tensors[root].arena and len(per_argument[target]) == 1:
            pairs.append((per_argument[source][0], per_argument[target][0]))
    return tuple(pairs)


def _root(builder: _Builder, tensor: int) -> int:
    while (parent := builder.tensors[tensor].alias_of) is not None:
        tensor = parent
    return tensor


def _order_after(builder: _Builder, index: int, operation: Operation, read: list[int], written: list[int]) -> None:
    """Orders that no tensor carries: effects stay in sequence, and overwritten buffers keep their readers."""
    if operation.kind == "other":
        if builder.last_effect is not None:
            builder.order.add((builder.last_effect, index))
        builder.last_effect = index
    overwritten = _overwritten(builder, operation, read)
    for tensor in overwritten:
        builder.order.update((earlier, index) for earlier in builder.touching.get(tensor, ()))
        builder.mutated.add(tensor)
    for tensor in read:
        if tensor in builder.mutated and tensor not in overwritten:
            builder.order.update((earlier, index) for earlier in builder.touching.get(tensor, ()))
    for tensor in {*read, *written}:
        builder.touching.setdefault(tensor, []).append(index)


def _overwritten(builder: _Builder, operation: Operation, read: list[int]) -> list[int]:
    """Memory that exists already and that the call may write: only a kernel's stores are known exactly."""
    if operation.kind == "filling":
        return []
    if operation.kind == "kernel":
        kernel = builder.kernels[operation.callee or ""]
        arguments = [builder.tensors_of(a) for a in operation.arguments]
        stored = [t for position in kernel.stored_parameters if position < len(arguments) for t in arguments[position]]
        return [t for t in builder.closure(stored) if t in read]
    return [t for t in read if t not in builder.constants]


def _finish(builder: _Builder, outputs: tuple[int, ...]) -> Graph:
    tensors = [replace(t, arena=False) if i in builder.pinned else t for i, t in enumerate(builder.tensors)]
    for index, tensor in enumerate(tensors):
        if tensor.alias_of is not None:
            tensors[index] = replace(tensor, arena=tensors[_root(builder, index)].arena)
    ops = list(builder.ops)
    for before, after in _group(builder.order):
        token = len(tensors)
        tensors.append(Tensor(f"order_{before}", 0, arena=False))
        ops[before] = replace(ops[before], outputs=(*ops[before].outputs, token))
        for op_id in after:
            ops[op_id] = replace(ops[op_id], inputs=(*ops[op_id].inputs, token))
    for op_id, op in enumerate(ops):
        if builder.matched.intersection(op.outputs):  # a match_cast names the one instance that there is
            ops[op_id] = replace(op, recomputable=False)
    for tensor in builder.mutated:
        for op_id in builder.touching.get(tensor, ()):
            ops[op_id] = replace(ops[op_id], recomputable=False, inplace=())
    return Graph(builder.program.name, tuple(tensors), tuple(ops), outputs, ARENA_ALIGNMENT)


def _group(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    after: dict[int, list[int]] = {}
    for first, second in sorted(pairs):
        after.setdefault(first, []).append(second)
    return list(after.items())
