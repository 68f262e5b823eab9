"""Incremental construction of a program's graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tvm
from tvm import relax, tirx
from tvm.ir import Var

from tvm_memopt.graph import Op, Tensor
from tvm_memopt.passes.relax.program import Program, leaves
from tvm_memopt.passes.relax.sizes import static_nbytes, type_nbytes
from tvm_memopt.passes.tir.workspace import Kernel

if TYPE_CHECKING:
    from tvm_memopt.passes.relax.plan_function import FunctionPlan

Branches = Mapping[int, tuple["FunctionPlan", "FunctionPlan"]]


@dataclass
class GraphBuilder:
    """A graph under construction, with the aliases of its tensors."""

    program: Program
    kernels: Mapping[str, Kernel]
    costs: Mapping[str, float]
    inplace: bool
    branches: Branches = field(default_factory=dict)
    branch_nbytes: Mapping[int, int] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    tensor_of: dict[object, int] = field(default_factory=dict)
    aliases: dict[int, tuple[int, ...]] = field(default_factory=dict)
    buffers: set[int] = field(default_factory=set)
    produced: set[int] = field(default_factory=set)
    touching: dict[int, list[int]] = field(default_factory=dict)
    mutated: set[int] = field(default_factory=set)
    pinned: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    fields: dict[tuple[Var, int], int] = field(default_factory=dict)
    constants: set[int] = field(default_factory=set)
    defined: dict[tirx.Var, int] = field(default_factory=dict)
    matched: set[int] = field(default_factory=set)
    order: set[tuple[int, int]] = field(default_factory=set)
    ops: list[Op] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last_effect: int | None = None

    def add(self, key: object, tensor: Tensor, aliases: tuple[int, ...] = ()) -> int:
        """Add a tensor for ``key`` and return its id. ``aliases``: the tensors that it may alias."""
        self.tensors.append(tensor)
        index = len(self.tensors) - 1
        self.tensor_of[key] = index
        if aliases:
            self.aliases[index] = aliases
        return index

    def tensors_of(self, expr: relax.Expr) -> list[int]:
        """The tensors in an argument. Constants are added on first use."""
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
        """``tensors`` and everything that they may alias."""
        found: dict[int, None] = {}
        stack = list(tensors)
        while stack:
            tensor = stack.pop()
            if tensor not in found:
                found[tensor] = None
                stack += self.aliases.get(tensor, ())
        return list(found)

    def root(self, tensor: int) -> int:
        """The tensor that a view aliases, or the tensor itself if it is not a view."""
        while (parent := self.tensors[tensor].alias_of) is not None:
            tensor = parent
        return tensor
