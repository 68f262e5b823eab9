"""The input graph: operators, tensors and their dependences (``memopt-graph/1``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tvm_memopt.errors import GraphError
from tvm_memopt.graph.sharing import Sharing, sharing_of

TensorKind = Literal["input", "weight", "activation"]
TENSOR_KINDS: tuple[TensorKind, ...] = ("input", "weight", "activation")
MAX_NBYTES = 2**62
Inplace = tuple[int, int] | tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the program.

    ``arena``: whether the planner owns the bytes.
    ``alias_of``: id of the tensor of which this one is a view. A view shares that tensor's bytes and keeps it alive;
    it has no allocation of its own.
    """

    name: str
    nbytes: int
    kind: TensorKind = "activation"
    arena: bool = True
    alias_of: int | None = None


@dataclass(frozen=True, slots=True)
class Op:
    """One kernel or packed call.

    ``inputs``, ``outputs``: tensor ids.
    ``cost``: cost of one run, such as its time.
    ``workspace``: bytes held only while the op runs.
    ``recomputable``: whether the op may run more than once.
    ``inplace``: tensors whose bytes may overlap if the input dies in this op. (input, output): at one address.
    (input, output, distance): wherever the input's offset is at least the output's plus ``distance``, in bytes.
    """

    name: str
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    cost: float = 0.0
    workspace: int = 0
    recomputable: bool = True
    inplace: tuple[Inplace, ...] = ()


@dataclass(frozen=True)
class Graph:
    """An operator DAG. ``ops`` is in the order of the source program, which is a topological order.

    Raises GraphError on construction if a rule of the format is broken.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    outputs: tuple[int, ...] = ()
    alignment: int = 1

    def __post_init__(self) -> None:
        _validate(self)

    @cached_property
    def producer(self) -> tuple[int, ...]:
        """For each tensor: the op that produces it, or -1."""
        producer = [-1] * len(self.tensors)
        for op_id, op in enumerate(self.ops):
            for tensor in op.outputs:
                producer[tensor] = op_id
        return tuple(producer)

    @cached_property
    def root(self) -> tuple[int, ...]:
        """For each tensor: the tensor whose bytes it uses, which is itself unless it is a view."""
        roots = [-1] * len(self.tensors)
        for tensor_id in range(len(self.tensors)):
            chain, current = [], tensor_id
            while roots[current] < 0 and (parent := self.tensors[current].alias_of) is not None:
                chain.append(current)
                current = parent
            root = roots[current] if roots[current] >= 0 else current
            for view in (*chain, current):
                roots[view] = root
        return tuple(roots)

    @cached_property
    def planned(self) -> tuple[bool, ...]:
        """For each tensor: whether it has bytes of its own in the arena (an arena tensor that is not a view)."""
        return tuple(t.arena and t.alias_of is None for t in self.tensors)

    @cached_property
    def reads(self) -> tuple[tuple[int, ...], ...]:
        """For each op: the planned tensors that it reads, with views resolved, without repeats, in input order."""
        return tuple(tuple(self._planned_roots(op.inputs)) for op in self.ops)

    @cached_property
    def writes(self) -> tuple[tuple[int, ...], ...]:
        """For each op: the planned tensors that it produces."""
        return tuple(tuple(t for t in op.outputs if self.planned[t]) for op in self.ops)

    @cached_property
    def returned(self) -> frozenset[int]:
        """The planned tensors that the program returns, directly or through a view."""
        return frozenset(self._planned_roots(self.outputs))

    @cached_property
    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """For each op: the ops that must run before it, in ascending order."""
        return tuple(
            tuple(sorted({self.producer[t] for t in self._dependences(op)} - {-1, op_id}))
            for op_id, op in enumerate(self.ops)
        )

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """For each op: the ops that must run after it, in ascending order."""
        successors: list[list[int]] = [[] for _ in self.ops]
        for op_id, before in enumerate(self.predecessors):
            for predecessor in before:
                successors[predecessor].append(op_id)
        return tuple(map(tuple, successors))

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For each tensor: the ops that read its bytes, directly or through views. Only planned roots have any."""
        readers: list[list[int]] = [[] for _ in self.tensors]
        for op_id, tensors in enumerate(self.reads):
            for tensor in tensors:
                readers[tensor].append(op_id)
        return tuple(map(tuple, readers))

    @cached_property
    def sharing(self) -> tuple[tuple[Sharing, ...], ...]:
        """For each op: the planned inputs and outputs that may overlap if the input dies there."""
        return tuple(sharing_of(self, op_id) if op.inplace else () for op_id, op in enumerate(self.ops))

    @property
    def base_cost(self) -> float:
        """Total cost with every op run once."""
        return math.fsum(op.cost for op in self.ops)

    def _planned_roots(self, tensors: Sequence[int]) -> list[int]:
        return list(dict.fromkeys(r for t in tensors if self.planned[r := self.root[t]]))

    def _dependences(self, op: Op) -> list[int]:
        """Tensors whose producers must run first: the inputs, all they alias, and all that the outputs alias."""
        found: list[int] = []
        for tensor in (*op.inputs, *op.outputs):
            current: int | None = tensor
            while current is not None:
                found.append(current)
                current = self.tensors[current].alias_of
        return found


def _validate(graph: Graph) -> None:
    _validate_tensors(graph)
    _validate_ops(graph)
    _validate_producers(graph)
    _validate_order(graph)


def _fail(graph: Graph, where: str, what: str) -> GraphError:
    return GraphError(f"graph {graph.name!r}: {where}: {what}")


def _validate_tensors(graph: Graph) -> None:
    if not 1 <= graph.alignment <= MAX_NBYTES:
        raise _fail(graph, "alignment", f"{graph.alignment} is not a positive integer")
    count = len(graph.tensors)
    for index, tensor in enumerate(graph.tensors):
        where = f"tensors[{index}] ({tensor.name})"
        if not 0 <= tensor.nbytes <= MAX_NBYTES:
            raise _fail(graph, where, f"nbytes is {tensor.nbytes}, expected 0 to 2^62")
        if tensor.kind not in TENSOR_KINDS:
            raise _fail(graph, where, f"kind is {tensor.kind!r}, expected one of {TENSOR_KINDS}")
        if tensor.alias_of is None:
            continue
        if not 0 <= tensor.alias_of < count:
            raise _fail(graph, where, f"alias_of is {tensor.alias_of}, expected a tensor id below {count}")
        if tensor.kind != "activation" and graph.tensors[tensor.alias_of].kind == "activation":
            raise _fail(graph, where, f"is a graph {tensor.kind} but a view of the activation {tensor.alias_of}")
    _validate_views(graph)
    for tensor_id in graph.outputs:
        if not 0 <= tensor_id < count:
            raise _fail(graph, "outputs", f"{tensor_id} is not a tensor id below {count}")


def _validate_views(graph: Graph) -> None:
    parent = [index if t.alias_of is None else t.alias_of for index, t in enumerate(graph.tensors)]
    walked = [t.alias_of is None for t in graph.tensors]  # each tensor is visited once, so long chains stay cheap
    for index, tensor in enumerate(graph.tensors):
        chain: list[int] = []
        current = index
        while not walked[current]:
            walked[current] = True
            chain.append(current)
            current = parent[current]
        if current in chain:
            raise _fail(graph, f"tensors[{index}] ({tensor.name})", "its alias_of chain is a cycle")


def _validate_ops(graph: Graph) -> None:
    count = len(graph.tensors)
    for index, op in enumerate(graph.ops):
        where = f"ops[{index}] ({op.name})"
        for key, ids in (("inputs", op.inputs), ("outputs", op.outputs)):
            for tensor_id in ids:
                if not 0 <= tensor_id < count:
                    raise _fail(graph, where, f"{key} names tensor {tensor_id}, expected an id below {count}")
        if not (math.isfinite(op.cost) and op.cost >= 0):
            raise _fail(graph, where, f"cost is {op.cost}, expected a finite number >= 0")
        if not 0 <= op.workspace <= MAX_NBYTES:
            raise _fail(graph, where, f"workspace is {op.workspace}, expected 0 to 2^62 bytes")
        for source, target, *distance in op.inplace:
            if source not in op.inputs or target not in op.outputs:
                raise _fail(graph, where, f"inplace pair [{source}, {target}] is not (an input, an output) of the op")
            if distance and not -MAX_NBYTES <= distance[0] <= MAX_NBYTES:
                raise _fail(graph, where, f"inplace distance is {distance[0]}, expected -2^62 to 2^62 bytes")


def _validate_producers(graph: Graph) -> None:
    producer: dict[int, int] = {}
    for index, op in enumerate(graph.ops):
        for tensor_id in op.outputs:
            tensor = graph.tensors[tensor_id]
            if tensor.kind != "activation":
                raise _fail(graph, f"ops[{index}] ({op.name})", f"produces tensor {tensor_id} of kind {tensor.kind!r}")
            if tensor_id in producer:
                raise _fail(
                    graph,
                    f"tensors[{tensor_id}] ({tensor.name})",
                    f"produced twice, by ops {producer[tensor_id]} and {index}; expected exactly one producer",
                )
            producer[tensor_id] = index
    for tensor_id, tensor in enumerate(graph.tensors):
        if tensor.kind == "activation" and tensor_id not in producer:
            raise _fail(graph, f"tensors[{tensor_id}] ({tensor.name})", "is an activation that no op produces")


def _validate_order(graph: Graph) -> None:
    for index, before in enumerate(graph.predecessors):
        late = [p for p in before if p > index]
        own = set(graph.ops[index].inputs) & set(graph.ops[index].outputs)
        if late or own:
            later = f"what ops[{late[0]}] ({graph.ops[late[0]].name}) produces later" if late else "its own output"
            raise _fail(
                graph,
                f"ops[{index}] ({graph.ops[index].name})",
                f"reads {later}: the op list is not a topological order, or the graph has a cycle",
            )
