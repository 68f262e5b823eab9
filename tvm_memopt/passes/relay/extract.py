"""The operator graph of a fused Relay function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tvm
from tvm import relay

from tvm_memopt.graph import Graph, Op, Tensor
from tvm_memopt.passes.relay.kernels import NEVER, KernelFacts, KernelReader
from tvm_memopt.passes.relay.program import RelayCall, RelayProgram, Value, identity, leaf_types

Key = tuple[int, int]
CallSeconds = Callable[[KernelFacts], float]


@dataclass(frozen=True)
class RelayExtraction:
    """A graph whose op ids are the positions of the calls in ``program``.

    ``tensor_of``: tensor id of each value. ``facts``: of each call's kernel, None for views and foreign functions.
    """

    graph: Graph
    program: RelayProgram
    tensor_of: Mapping[Key, int]
    facts: tuple[KernelFacts | None, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Builder:
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    tensor_of: dict[Key, int] = field(default_factory=dict)
    readers: Counter[int] = field(default_factory=Counter)

    def add(self, value: Value, tensor: Tensor) -> None:
        self.tensor_of[value.key] = len(self.tensors)
        self.tensors.append(tensor)


def extract_function(
    program: RelayProgram,
    reader: KernelReader,
    seconds: CallSeconds,
    *,
    alignment: int,
    outputs_in_arena: bool,
    workspace: bool = True,
    inplace: bool = True,
    name: str = "main",
) -> RelayExtraction:
    """Extract the graph of ``program``.

    ``seconds``: the cost of one run of a kernel. ``outputs_in_arena``: whether the executor allocates the results, as
    the graph executor does; the ahead-of-time executor writes them to memory of its caller. ``workspace``: whether
    scratch of kernels is part of the arena. Raises UnsupportedFunctionError for a kernel with sizes known only at run
    time.
    """
    builder = _Builder()
    _add_leaves(builder, program)
    outside = set() if outputs_in_arena else _returned_directly(program)
    facts = [reader.facts_of(call.call.op) if call.kernel and not call.view else None for call in program.calls]
    for call, kernel in zip(program.calls, facts, strict=True):
        _add_call(builder, call, kernel, seconds, outside, inplace)
    if workspace:
        _count_readers(builder, program)
        for op_id, (call, kernel) in enumerate(zip(program.calls, facts, strict=True)):
            if kernel is not None:
                inputs = [builder.tensor_of[value.key] for value in call.inputs]
                needed = _workspace(builder, inputs, list(builder.ops[op_id].outputs), kernel)
                builder.ops[op_id] = replace(builder.ops[op_id], workspace=needed)
    outputs = tuple(dict.fromkeys(builder.tensor_of[value.key] for value in program.results))
    graph = Graph(name, tuple(builder.tensors), tuple(builder.ops), outputs, alignment)
    notes = [f"{c.name}: compiled by another code generator: its scratch is not planned" for c in _foreign(program)]
    return RelayExtraction(graph, program, builder.tensor_of, tuple(facts), tuple(dict.fromkeys(notes)))


def _count_readers(builder: _Builder, program: RelayProgram) -> None:
    """How many calls read the bytes of each tensor; a returned one is read once more."""
    for op in builder.ops:
        if not any(builder.tensors[t].alias_of is not None for t in op.outputs):
            builder.readers.update({_root(builder, t) for t in op.inputs})
    builder.readers.update({_root(builder, builder.tensor_of[value.key]) for value in program.results})


def _foreign(program: RelayProgram) -> Sequence[RelayCall]:
    return [call for call in program.calls if not call.kernel]


def _add_leaves(builder: _Builder, program: RelayProgram) -> None:
    for parameter in program.function.params:
        leaves = leaf_types(parameter.checked_type)
        for value in (program.values[program_key(parameter, i)] for i in range(len(leaves))):
            suffix = f".{value.index}" if len(leaves) > 1 else ""
            builder.add(value, Tensor(parameter.name_hint + suffix, value.nbytes, "input", arena=False))
    for number, constant in enumerate(program.constants):
        value = program.values[program_key(constant, 0)]
        builder.add(value, Tensor(f"constant_{number}", value.nbytes, "weight", arena=False))


def program_key(node: Any, index: int) -> Key:
    """The key of leaf ``index`` of a node."""
    return int(node.handle.value), index


def _returned_directly(program: RelayProgram) -> set[Key]:
    """Results that a kernel writes to the caller's memory, also those that are returned through a view."""
    base = {call.outputs[0].key: call.inputs[0].key for call in program.calls if call.view}
    kernels = {value.key for call in program.calls if not call.view for value in call.outputs}
    found = set()
    for value in program.results:
        key = value.key
        while key in base:
            key = base[key]
        found.add(key)
    return found & kernels


def _add_call(
    builder: _Builder,
    call: RelayCall,
    kernel: KernelFacts | None,
    seconds: CallSeconds,
    outside: set[Key],
    inplace: bool,
) -> None:
    inputs = [builder.tensor_of[value.key] for value in call.inputs]
    read = _read(call, inputs, kernel)
    number = len(builder.ops)
    if call.view:
        base = builder.tensors[inputs[0]]
        (value,) = call.outputs
        builder.add(value, Tensor(f"{call.name}_{number}", value.nbytes, arena=base.arena, alias_of=inputs[0]))
        builder.ops.append(Op(f"{call.name}_{number}", (inputs[0],), (builder.tensor_of[value.key],)))
        return
    for value in call.outputs:
        suffix = f".{value.index}" if len(call.outputs) > 1 else ""
        name = f"{call.name}_{number}{suffix}"
        builder.add(value, Tensor(name, value.nbytes, arena=value.key not in outside))
    outputs = [builder.tensor_of[value.key] for value in call.outputs]
    builder.ops.append(
        Op(
            f"{call.name}_{number}",
            tuple(dict.fromkeys(read)),
            tuple(outputs),
            seconds(kernel) if kernel else 0.0,
            0,
            recomputable=call.kernel and not _has_state(call.call.op),
            inplace=tuple(_inplace(builder, inputs, outputs, kernel)) if kernel and inplace else (),
        )
    )


def _read(call: RelayCall, inputs: list[int], kernel: KernelFacts | None) -> list[int]:
    """The tensors that a call reads, and those that it only names if nothing else orders it after their producers."""
    if kernel is None or len(inputs) + len(call.outputs) != len(kernel.spans):
        return inputs
    touched = [span != NEVER for span in kernel.spans[: len(inputs)]]
    makers = [identity(value.node) for value in call.inputs]
    ordered = {maker for maker, is_read in zip(makers, touched, strict=True) if is_read}
    return [t for t, maker, is_read in zip(inputs, makers, touched, strict=True) if is_read or maker not in ordered]


def _workspace(builder: _Builder, inputs: list[int], outputs: list[int], kernel: KernelFacts) -> int:
    sizes = [[builder.tensors[t].nbytes if builder.tensors[t].arena else 0 for t in ts] for ts in (inputs, outputs)]
    if len(inputs) + len(outputs) != len(kernel.spans):
        return sum(s.nbytes for s in kernel.scratch)
    first = {_root(builder, t): i for i, t in reversed(list(enumerate(inputs)))}
    alone = [n if first[_root(builder, inputs[i])] == i else 0 for i, n in enumerate(sizes[0])]
    stay = [builder.readers[_root(builder, t)] > 1 for t in inputs]
    return kernel.workspace_nbytes(alone, sizes[1], stay)


def _inplace(builder: _Builder, inputs: list[int], outputs: list[int], kernel: KernelFacts) -> list[tuple[int, int]]:
    """Pairs of tensors of which the output may take the address of the input."""
    if len(inputs) + len(outputs) != len(kernel.spans):
        return []
    allowed = set(kernel.inplace_pairs(len(inputs)))
    found = []
    for tensor in dict.fromkeys(inputs):
        positions = [i for i, t in enumerate(inputs) if _root(builder, t) == _root(builder, tensor)]
        if not builder.tensors[tensor].arena:
            continue
        for position, output in enumerate(outputs):
            if builder.tensors[output].arena and all((i, position) in allowed for i in positions):
                found.append((tensor, output))
    return found


def _root(builder: _Builder, tensor: int) -> int:
    while (base := builder.tensors[tensor].alias_of) is not None:
        tensor = base
    return tensor


def _has_state(function: Any) -> bool:
    """Whether a fused function contains an operator with state, such as a random number generator."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, tvm.ir.Op) and node.get_attr("TOpIsStateful"):
            found.append(node)

    relay.analysis.post_order_visit(function.body, visit)
    return bool(found)
