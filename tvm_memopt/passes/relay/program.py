"""A fused Relay function as a list of calls, with the tensors that each reads and produces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import tvm
from tvm import relay


class UnsupportedFunctionError(Exception):
    """The function cannot be planned, for the reason in the message."""


@dataclass(frozen=True)
class Value:
    """One tensor: leaf ``index`` of the flattened result of ``node``, a parameter, a constant or a call."""

    node: Any
    index: int
    type: Any

    @property
    def key(self) -> tuple[int, int]:
        """Identity of the value."""
        return identity(self.node), self.index

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return type_nbytes(self.type)


@dataclass(frozen=True)
class RelayCall:
    """One call of the function.

    ``call``: the Relay call. ``inputs``: the flattened tensors of its arguments. ``outputs``: its own tensors.
    ``view``: it only reshapes its argument, and executors run no kernel for it. ``kernel``: whether it calls a
    primitive function that TVM itself compiles.
    """

    call: Any
    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    view: bool
    kernel: bool


@dataclass(frozen=True)
class RelayProgram:
    """Calls of a function in the order in which TVM's executors run them.

    ``results``: the flattened result. ``definitions``: by variable, the value that a let binds to it.
    """

    function: Any
    calls: tuple[RelayCall, ...]
    results: tuple[Value, ...]
    constants: tuple[Any, ...]
    values: dict[tuple[int, int], Value] = field(default_factory=dict)
    definitions: dict[int, Any] = field(default_factory=dict)


def identity(node: Any) -> int:
    """The identity of an object of TVM, whose Python wrappers are made anew at each access."""
    return int(node.handle.value)


def type_nbytes(tensor_type: Any) -> int:
    """Size of a tensor type in bytes. Raises UnsupportedFunctionError if a dimension is known only at run time."""
    count = 1
    for extent in tensor_type.shape:
        if isinstance(extent, tvm.tir.Any):
            raise UnsupportedFunctionError("a tensor has a dimension that is known only at run time")
        if not isinstance(extent, tvm.tir.IntImm):
            raise UnsupportedFunctionError(f"a tensor has the dimension {extent}, known only at run time")
        count *= int(extent)
    dtype = tvm.DataType(str(tensor_type.dtype))
    return int(count * math.ceil(dtype.bits * dtype.lanes / 8))


def leaf_types(a_type: Any) -> list[Any]:
    """The tensor types of a type, flattened. Raises UnsupportedFunctionError for anything but tensors and tuples."""
    if isinstance(a_type, relay.TensorType):
        return [a_type]
    if isinstance(a_type, relay.TupleType):
        return [leaf for part in a_type.fields for leaf in leaf_types(part)]
    raise UnsupportedFunctionError(f"a value has the type {type(a_type).__name__}, expected tensors and tuples")


def parse_function(function: Any) -> RelayProgram:
    """The calls of a fused function, in the order in which its nodes are visited. O(nodes), without recursion.

    Raises UnsupportedFunctionError for control flow, closures, references and sizes known only at run time.
    """
    parser = _Parser()
    for parameter in function.params:
        parser.bind(parameter, leaf_types(parameter.checked_type))
    results = parser.leaves_of(function.body)
    return RelayProgram(
        function, tuple(parser.calls), tuple(results), tuple(parser.constants), parser.values, parser.definitions
    )


def with_copied_inputs(program: RelayProgram) -> RelayProgram:
    """The program as the ahead-of-time executor runs it: reshapes of inputs and constants are kernels that copy."""
    calls = tuple(
        replace(call, view=False)
        if call.view and isinstance(call.inputs[0].node, (relay.Var, relay.Constant))
        else call
        for call in program.calls
    )
    return replace(program, calls=calls)


class _Parser:
    def __init__(self) -> None:
        self.known: dict[int, tuple[Value, ...]] = {}
        self.calls: list[RelayCall] = []
        self.constants: list[Any] = []
        self.values: dict[tuple[int, int], Value] = {}
        self.definitions: dict[int, Any] = {}

    def bind(self, node: Any, types: list[Any]) -> tuple[Value, ...]:
        leaves = tuple(Value(node, index, leaf) for index, leaf in enumerate(types))
        for leaf in leaves:
            leaf.nbytes  # noqa: B018  raises for sizes known only at run time
            self.values[leaf.key] = leaf
        self.known[identity(node)] = leaves
        return leaves

    def leaves_of(self, body: Any) -> tuple[Value, ...]:
        """Visit ``body`` depth first, arguments from left to right, as TVM's executors do."""
        stack: list[tuple[Any, Iterator[Any]]] = [(body, iter(_children(body)))]
        while stack:
            node, children = stack[-1]
            child = next((c for c in children if identity(c) not in self.known), None)
            if child is not None:
                stack.append((child, iter(_children(child))))
                continue
            stack.pop()
            if identity(node) not in self.known:
                self._finish(node)
        return self.known[identity(body)]

    def _finish(self, node: Any) -> None:
        if is_annotation(node):
            self.known[identity(node)] = self.known[identity(node.args[0])]
        elif isinstance(node, relay.Call):
            self._call(node)
        elif isinstance(node, relay.Tuple):
            self.known[identity(node)] = tuple(v for f in node.fields for v in self.known[identity(f)])
        elif isinstance(node, relay.TupleGetItem):
            self.known[identity(node)] = self._field(node)
        elif isinstance(node, relay.Constant):
            self.constants.append(node)
            self.bind(node, leaf_types(node.checked_type))
        elif isinstance(node, relay.Let):
            self.known[identity(node.var)] = self.known[identity(node.value)]
            self.definitions[identity(node.var)] = node.value
            self.known[identity(node)] = self.leaves_of(node.body)
        else:
            raise UnsupportedFunctionError(f"it contains {_article(type(node).__name__)}")

    def _field(self, node: Any) -> tuple[Value, ...]:
        leaves = self.known[identity(node.tuple_value)]
        fields = node.tuple_value.checked_type.fields
        start = sum(len(leaf_types(part)) for part in fields[: node.index])
        return leaves[start : start + len(leaf_types(fields[node.index]))]

    def _call(self, node: Any) -> None:
        callee = node.op
        if not isinstance(callee, (relay.Function, relay.GlobalVar)):
            name = callee.name if isinstance(callee, tvm.ir.Op) else type(callee).__name__
            raise UnsupportedFunctionError(f"it calls {name} outside a fused function")
        attributes = callee.attrs if isinstance(callee, relay.Function) else None
        has = set(attributes.keys()) if attributes is not None else set()
        inputs = tuple(v for argument in node.args for v in self.known[identity(argument)])
        outputs = self.bind(node, leaf_types(node.checked_type))
        view = "relay.reshape_only" in has and len(inputs) == len(outputs) == 1
        kernel = "Primitive" in has and "Compiler" not in has
        self.calls.append(RelayCall(node, _name(callee), inputs, outputs, view, kernel))


def is_annotation(node: Any) -> bool:
    """Whether ``node`` only says on which device its argument lies."""
    return isinstance(node, relay.Call) and isinstance(node.op, tvm.ir.Op) and node.op.name == "on_device"


def _children(node: Any) -> list[Any]:
    if isinstance(node, relay.Call):
        return list(node.args)
    if isinstance(node, relay.Tuple):
        return list(node.fields)
    if isinstance(node, relay.TupleGetItem):
        return [node.tuple_value]
    if isinstance(node, relay.Let):
        return [node.value]
    return []


def _name(callee: Any) -> str:
    """The names of the operators of a fused function, joined, in the order of evaluation."""
    if isinstance(callee, relay.GlobalVar):
        return str(callee.name_hint)
    names: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call) and isinstance(node.op, tvm.ir.Op):
            names.append(node.op.name.replace(".", "_"))

    relay.analysis.post_order_visit(callee.body, visit)
    return "_".join(names)[:80] or "copy"


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
